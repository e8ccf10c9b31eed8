//! The project's own RNS-CKKS as a machine.

use std::sync::{Mutex, PoisonError};

use std::sync::Arc;

use hushwire_ckks::{
    Ciphertext, CkksError, EvaluationKeys, Evaluator, ParameterSpec, Plaintext, PublicKey, Ring,
    Rng, SecretKey,
};
use zeroize::Zeroizing;

use crate::keys::{KeyNeeds, KeySet};
use crate::machine::{KeyHolder, Machine};
use crate::plan;

/// log2 of a scale that nothing uses: every value has its own.
const LOG_SCALE: u32 = 30;

/// The parameter set of a plan, over the ring with real slots.
///
/// # Errors
/// If it is malformed or not 128-bit secure.
pub fn parameters(plan: &plan::Parameters) -> Result<hushwire_ckks::Parameters, CkksError> {
    hushwire_ckks::Parameters::new(spec(plan))
}

fn spec(plan: &plan::Parameters) -> ParameterSpec {
    ParameterSpec {
        ring: Ring::Real,
        log_degree: plan.log_degree,
        data_bits: plan.data_bits.clone(),
        special_bits: plan.special_bits.clone(),
        log_scale: LOG_SCALE,
    }
}

/// Parameters of any degree, which need not be secure, for tests.
///
/// # Errors
/// If they are malformed.
#[cfg(feature = "test-support")]
pub fn danger_insecure_parameters(
    plan: &plan::Parameters,
) -> Result<hushwire_ckks::Parameters, CkksError> {
    hushwire_ckks::Parameters::danger_insecure(spec(plan))
}

/// The server's side: computes on ciphertexts with the client's evaluation keys.
pub struct CkksMachine {
    evaluator: Evaluator,
}

impl CkksMachine {
    /// A machine with these keys.
    pub fn new(keys: impl Into<Arc<EvaluationKeys>>) -> Self {
        Self { evaluator: Evaluator::new(keys) }
    }

    /// The keys.
    pub fn keys(&self) -> &EvaluationKeys {
        self.evaluator.keys()
    }

    /// Makes results tell their owner what they decrypt to and little else: adds to each an encryption
    /// of zero under the owner's public key, whose random choices the owner does not know, so that the
    /// ciphertext itself is new, and noise of a standard deviation that drowns the noise in which the
    /// weights have left traces.
    ///
    /// # Errors
    /// If the deviation does not fit, or the key has other parameters.
    pub fn blind(
        &self,
        results: &mut [Ciphertext],
        key: &PublicKey,
        deviation: f64,
    ) -> Result<(), CkksError> {
        let mut rng = Rng::from_system()?;
        for x in results {
            let parameters = self.evaluator.parameters();
            let noise = parameters.flood(deviation, x.level(), x.scale(), &mut rng)?;
            self.evaluator.add_assign(x, &key.encrypt(&noise, &mut rng)?)?;
        }
        Ok(())
    }

    /// Sums of products of equal scales are one reduction each.
    fn dot(&self, terms: &[(&Ciphertext, &Plaintext)]) -> Result<Ciphertext, CkksError> {
        let (x, y): (Vec<&Ciphertext>, Vec<&Plaintext>) = terms.iter().copied().unzip();
        self.evaluator.dot_plain(&x, &y)
    }
}

impl Machine for CkksMachine {
    type Cipher = Ciphertext;
    type Plain = Plaintext;
    type Error = CkksError;

    fn slots(&self) -> usize {
        self.evaluator.parameters().slots()
    }

    fn prime(&self, level: usize) -> f64 {
        self.evaluator.parameters().prime(level) as f64
    }

    fn level(&self, x: &Ciphertext) -> usize {
        x.level()
    }

    fn scale(&self, x: &Ciphertext) -> f64 {
        x.scale()
    }

    fn encode(&self, values: &[f64], level: usize, scale: f64) -> Result<Plaintext, CkksError> {
        self.evaluator.parameters().encode(values, level, scale)
    }

    fn reduce(&self, x: &mut Ciphertext, level: usize) -> Result<(), CkksError> {
        if x.level() != level {
            *x = self.evaluator.drop_to_level(x, level)?;
        }
        Ok(())
    }

    fn add(&self, sum: &mut Ciphertext, x: &Ciphertext) -> Result<(), CkksError> {
        self.evaluator.add_assign(sum, x)
    }

    fn add_plain(&self, sum: &mut Ciphertext, x: &Plaintext) -> Result<(), CkksError> {
        self.evaluator.add_plain_assign(sum, x)
    }

    fn add_constant(&self, sum: &mut Ciphertext, x: f64) -> Result<(), CkksError> {
        self.evaluator.add_constant_assign(sum, x)
    }

    fn sum_of_products(
        &self,
        terms: &[(&Ciphertext, &Plaintext)],
    ) -> Result<Ciphertext, CkksError> {
        let mut rest = terms.to_vec();
        let mut sum: Option<Ciphertext> = None;
        while let Some((first, _)) = rest.first().copied() {
            let (equal, others) = rest.into_iter().partition(|(x, _)| x.scale() == first.scale());
            rest = others;
            let part = self.dot(&equal)?;
            match &mut sum {
                None => sum = Some(part),
                Some(sum) => self.evaluator.add_assign(sum, &part)?,
            }
        }
        // An empty sum is refused in the evaluator's words.
        sum.map_or_else(|| self.dot(&[]), Ok)
    }

    fn sum_of_multiples(
        &self,
        terms: &[(&Ciphertext, f64)],
        scale: f64,
    ) -> Result<Ciphertext, CkksError> {
        let (x, factors): (Vec<&Ciphertext>, Vec<f64>) = terms.iter().copied().unzip();
        self.evaluator.dot_constants(&x, &factors, scale)
    }

    fn multiply(&self, x: &Ciphertext, y: &Ciphertext) -> Result<Ciphertext, CkksError> {
        self.evaluator.mul(x, y)
    }

    fn square(&self, x: &Ciphertext) -> Result<Ciphertext, CkksError> {
        self.evaluator.square(x)
    }

    fn rescale(&self, x: &mut Ciphertext) -> Result<(), CkksError> {
        self.evaluator.rescale_assign(x)
    }

    fn rotate(&self, x: &Ciphertext, steps: usize) -> Result<Ciphertext, CkksError> {
        self.evaluator.rotate(x, steps as i64)
    }

    fn rotate_each(&self, x: &Ciphertext, steps: &[usize]) -> Result<Vec<Ciphertext>, CkksError> {
        let steps: Vec<i64> = steps.iter().map(|steps| *steps as i64).collect();
        self.evaluator.rotate_many(x, &steps)
    }

    fn cipher_bytes(&self, x: &Ciphertext) -> usize {
        x.memory()
    }

    fn plain_bytes(&self, x: &Plaintext) -> usize {
        (x.level() + 1) * x.parameters().degree() * size_of::<u64>()
    }
}

/// The client's side: the secret key.
pub struct CkksOwner {
    secret: SecretKey,
    rng: Mutex<Rng>,
}

impl CkksOwner {
    /// A fresh key.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn generate(parameters: &hushwire_ckks::Parameters) -> Result<Self, CkksError> {
        let mut rng = Rng::from_system()?;
        let secret = SecretKey::generate(parameters, &mut rng);
        Ok(Self { secret, rng: Mutex::new(rng) })
    }

    /// The key that [`Self::danger_to_bytes`] wrote.
    ///
    /// # Errors
    /// If the bytes are no key of these parameters, or the system has no randomness.
    pub fn from_bytes(
        parameters: &hushwire_ckks::Parameters,
        bytes: &[u8],
    ) -> Result<Self, CkksError> {
        let secret = SecretKey::from_bytes(parameters, bytes)?;
        Ok(Self { secret, rng: Mutex::new(Rng::from_system()?) })
    }

    /// The secret key as bytes, for the owner's own storage only.
    pub fn danger_to_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.secret.danger_to_bytes()
    }

    /// Its parameters.
    pub fn parameters(&self) -> &hushwire_ckks::Parameters {
        self.secret.parameters()
    }

    /// The public keys that a program needs; `progress` hears of every key that is made.
    ///
    /// # Errors
    /// If a level is none of the parameters'.
    pub fn keys(&self, needs: &KeyNeeds, mut progress: impl FnMut()) -> Result<KeySet, CkksError> {
        let parameters = self.secret.parameters();
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys = EvaluationKeys::new(parameters);
        if let Some(level) = needs.product {
            let gadget = parameters.gadget(level);
            keys.insert(self.secret.relinearisation_key(gadget, &mut rng)?)?;
            progress();
        }
        for (steps, level) in &needs.rotations {
            let gadget = parameters.gadget(*level);
            keys.insert(self.secret.rotation_key(*steps as i64, gadget, &mut rng)?)?;
            progress();
        }
        Ok(KeySet { public: self.secret.public_key(&mut rng), evaluation: Arc::new(keys) })
    }
}

impl KeyHolder for CkksOwner {
    type Cipher = Ciphertext;
    type Error = CkksError;

    fn encrypt(&self, values: &[f64], level: usize, scale: f64) -> Result<Ciphertext, CkksError> {
        let plain = self.secret.parameters().encode(values, level, scale)?;
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.secret.encrypt(&plain, &mut rng)
    }

    fn decrypt(&self, x: &Ciphertext) -> Result<Vec<f64>, CkksError> {
        Ok(self.secret.decrypt(x)?.to_vec())
    }
}
