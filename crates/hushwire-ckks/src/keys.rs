//! Keys: the secret, the public key for encryption, and those that let the server compute.

use std::collections::BTreeMap;

use zeroize::{Zeroize, Zeroizing};

use crate::buffer::Buffer;
use crate::ciphertext::{Ciphertext, Plaintext};
use crate::embedding::Complex;
use crate::error::CkksError;
use crate::kernels;
use crate::modulus::Modulus;
use crate::params::{Gadget, Parameters};
use crate::sample::{Rng, Seed, uniform};

/// The secret key: a polynomial with coefficients -1, 0, 1. Wiped when dropped.
///
/// What decryption returns has noise that depends on this key. Whoever sees both a ciphertext and its
/// decryption to all digits can compute the key (Li and Micciancio, EUROCRYPT 2021): decrypted values
/// are for the holder of the key; to pass them on, round them well above the noise first.
pub struct SecretKey {
    params: Parameters,
    pub(crate) coefficients: Zeroizing<Vec<i8>>,
    /// Values at the roots for all primes, in Montgomery form.
    pub(crate) values: Buffer,
}

impl SecretKey {
    /// A fresh key.
    #[must_use]
    pub fn generate(params: &Parameters, rng: &mut Rng) -> Self {
        let mut coefficients = Zeroizing::new(vec![0; params.degree()]);
        rng.ternary(&mut coefficients);
        Self::from_coefficients(params, coefficients)
    }

    pub(crate) fn from_coefficients(params: &Parameters, coefficients: Zeroizing<Vec<i8>>) -> Self {
        let (level, specials) = (params.max_level(), params.spec().special_bits.len());
        let mut values = small_values(params, &coefficients, level, specials);
        let limbs = values.chunks_exact_mut(params.degree());
        for (limb, table) in limbs.zip(params.basis(level, specials)) {
            kernels::to_montgomery(&table.modulus, limb);
        }
        Self { params: params.clone(), coefficients, values }
    }

    /// Its parameters.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.params
    }

    /// The limb of the key for place `i` of the basis of `level`, special primes included.
    fn limb(&self, level: usize, i: usize) -> &[u64] {
        let n = self.params.degree();
        let place = if i <= level { i } else { self.params.max_level() + i - level };
        &self.values[place * n..(place + 1) * n]
    }

    /// Encrypts at the plaintext's level. The second part of the ciphertext comes from a seed, so it
    /// serialises to half the size.
    ///
    /// # Errors
    /// If the plaintext has other parameters.
    pub fn encrypt(&self, plaintext: &Plaintext, rng: &mut Rng) -> Result<Ciphertext, CkksError> {
        self.params.check_same(&plaintext.params, "the plaintext")?;
        let (params, level) = (&self.params, plaintext.level);
        let n = params.degree();
        let seed = rng.seed();
        let mut out = Ciphertext::undefined(params, level, plaintext.scale, 2);
        let error = error_values(params, level, 0, rng);
        for (i, table) in params.basis(level, 0).enumerate() {
            let m = &table.modulus;
            let range = i * n..(i + 1) * n;
            let [c0, c1] = &mut out.parts[..] else { unreachable!("two parts were made") };
            let (c0, c1) = (&mut c0[range.clone()], &mut c1[range.clone()]);
            uniform(&seed, i as u64, m, c1);
            c0.copy_from_slice(c1);
            kernels::mul(m, c0, self.limb(level, i));
            kernels::neg(m, c0);
            kernels::add(m, c0, &error[range]);
            kernels::add_montgomery(m, c0, plaintext.limb(i));
        }
        out.seed = Some(seed);
        Ok(out)
    }

    /// The plaintext of a ciphertext, noise included. See the warning at [`SecretKey`].
    ///
    /// # Errors
    /// If the ciphertext has other parameters.
    pub fn decrypt_plaintext(&self, ciphertext: &Ciphertext) -> Result<Plaintext, CkksError> {
        self.params.check_same(&ciphertext.params, "the ciphertext")?;
        let (params, level) = (&self.params, ciphertext.level);
        let n = params.degree();
        let mut values = Buffer::secret((level + 1) * n);
        for (i, table) in params.basis(level, 0).enumerate() {
            let m = &table.modulus;
            let sum = &mut values[i * n..(i + 1) * n];
            // Horner's rule in the secret.
            for part in (0..ciphertext.parts()).rev() {
                kernels::mul(m, sum, self.limb(level, i));
                kernels::add(m, sum, ciphertext.limb(part, i));
            }
            kernels::to_montgomery(m, sum);
        }
        let scale = ciphertext.scale;
        Ok(Plaintext { params: params.clone(), level, scale, values })
    }

    /// The real parts of all slots. See the warning at [`SecretKey`].
    ///
    /// # Errors
    /// If the ciphertext has other parameters.
    pub fn decrypt(&self, ciphertext: &Ciphertext) -> Result<Zeroizing<Vec<f64>>, CkksError> {
        Ok(self.params.decode(&self.decrypt_plaintext(ciphertext)?))
    }

    /// All slots. See the warning at [`SecretKey`].
    ///
    /// # Errors
    /// If the ciphertext has other parameters.
    pub fn decrypt_complex(&self, ciphertext: &Ciphertext) -> Result<Vec<Complex>, CkksError> {
        Ok(self.params.decode_complex(&self.decrypt_plaintext(ciphertext)?))
    }

    /// A key with which others encrypt.
    #[must_use]
    pub fn public_key(&self, rng: &mut Rng) -> PublicKey {
        let params = &self.params;
        let (n, level) = (params.degree(), params.max_level());
        let mut key = PublicKey::undefined(params, rng.seed());
        let error = error_values(params, level, 0, rng);
        for (i, table) in params.basis(level, 0).enumerate() {
            let m = &table.modulus;
            let range = i * n..(i + 1) * n;
            let (b, a) = (&mut key.b[range.clone()], &key.a[range.clone()]);
            encrypt_zero(m, b, a, self.limb(level, i), &error[range]);
            kernels::to_montgomery(m, b);
        }
        key
    }

    /// The key that turns the square of the secret into the secret: for products.
    ///
    /// # Errors
    /// If the gadget is not possible or not secure.
    pub fn relinearisation_key(
        &self,
        gadget: Gadget,
        rng: &mut Rng,
    ) -> Result<SwitchKey, CkksError> {
        self.switch_key(Purpose::Relinearise, gadget, rng)
    }

    /// The key that rotates slots by `steps` to the left.
    ///
    /// # Errors
    /// If the gadget is not possible or not secure.
    pub fn rotation_key(
        &self,
        steps: i64,
        gadget: Gadget,
        rng: &mut Rng,
    ) -> Result<SwitchKey, CkksError> {
        self.switch_key(Purpose::Automorphism(self.params.rotation_element(steps)), gadget, rng)
    }

    /// The key that conjugates slots.
    ///
    /// # Errors
    /// If the gadget is not possible or not secure, or the ring has real slots.
    pub fn conjugation_key(&self, gadget: Gadget, rng: &mut Rng) -> Result<SwitchKey, CkksError> {
        if self.params.spec().ring == crate::params::Ring::Real {
            return Err(CkksError::Parameters("the slots of this ring are real".into()));
        }
        self.switch_key(Purpose::Automorphism(self.params.conjugation_element()), gadget, rng)
    }

    fn switch_key(
        &self,
        purpose: Purpose,
        gadget: Gadget,
        rng: &mut Rng,
    ) -> Result<SwitchKey, CkksError> {
        let params = &self.params;
        params.check_gadget(&gadget)?;
        let (level, n) = (gadget.level, params.degree());
        let seed = rng.seed();
        let mut key = SwitchKey::undefined(params, purpose, gadget, seed);
        key.expand();
        let digits = gadget.digits(level);
        let mut source = Buffer::secret(n);
        let mut target = Buffer::secret(n);
        let errors: Vec<_> =
            (0..digits).map(|_| error_values(params, level, gadget.specials, rng)).collect();
        for (t, table) in params.basis(level, gadget.specials).enumerate() {
            let m = &table.modulus;
            let secret = self.limb(level, t);
            source.copy_from_slice(secret);
            match purpose {
                Purpose::Relinearise => {
                    kernels::mul(m, &mut source, secret);
                    target.copy_from_slice(secret);
                }
                Purpose::Automorphism(g) => {
                    let permutation = params.permutation(invert_element(g, params.order()));
                    kernels::permute(m, &permutation, &mut target, secret);
                }
            }
            // The factor of the digit that has this prime; the source leaves Montgomery form.
            kernels::scale(m, &mut source, params.special_product(gadget.specials, m));
            for (digit, error) in errors.iter().enumerate() {
                let (b, a) = key.limbs_mut(t, digit);
                encrypt_zero(m, b, a, &target, &error[t * n..(t + 1) * n]);
                if t <= level && t / gadget.digit == digit {
                    kernels::add(m, b, &source);
                }
                kernels::to_montgomery(m, b);
            }
        }
        Ok(key)
    }
}

/// b = e - a s of keys: a and s in Montgomery form, e and b not.
fn encrypt_zero(m: &Modulus, b: &mut [u64], a: &[u64], secret: &[u64], error: &[u64]) {
    b.copy_from_slice(a);
    kernels::from_montgomery(m, b);
    kernels::mul(m, b, secret);
    kernels::neg(m, b);
    kernels::add(m, b, error);
}

/// g^-1 modulo a power of two.
fn invert_element(g: usize, order: usize) -> usize {
    (0..order.ilog2()).fold(1, |x: usize, _| x.wrapping_mul(2usize.wrapping_sub(g.wrapping_mul(x))))
        % order
}

/// Values at the roots of a polynomial with small coefficients.
fn small_values(params: &Parameters, coefficients: &[i8], level: usize, specials: usize) -> Buffer {
    let n = params.degree();
    let mut values = Buffer::secret((level + 1 + specials) * n);
    for (limb, table) in values.chunks_exact_mut(n).zip(params.basis(level, specials)) {
        for (out, &x) in limb.iter_mut().zip(coefficients) {
            *out = small_residue(&table.modulus, x);
        }
        table.forward(limb);
    }
    values
}

/// x mod q without a branch on x.
fn small_residue(m: &Modulus, x: i8) -> u64 {
    let x = i64::from(x);
    (x + (m.q as i64 & (x >> 63))) as u64
}

fn error_values(params: &Parameters, level: usize, specials: usize, rng: &mut Rng) -> Buffer {
    let mut coefficients = Zeroizing::new(vec![0; params.degree()]);
    rng.errors(&mut coefficients);
    small_values(params, &coefficients, level, specials)
}

/// An encryption of zero, with which others encrypt.
#[derive(Clone)]
pub struct PublicKey {
    pub(crate) params: Parameters,
    /// In Montgomery form.
    pub(crate) b: Buffer,
    pub(crate) a: Buffer,
    pub(crate) seed: Seed,
}

impl PublicKey {
    /// Without the secret half.
    pub(crate) fn undefined(params: &Parameters, seed: Seed) -> Self {
        let (n, level) = (params.degree(), params.max_level());
        let [b, mut a] = [0, 1].map(|_| params.0.pool.take((level + 1) * n));
        for (i, (limb, table)) in a.chunks_exact_mut(n).zip(params.basis(level, 0)).enumerate() {
            uniform(&seed, i as u64, &table.modulus, limb);
        }
        Self { params: params.clone(), b, a, seed }
    }

    /// Its parameters.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.params
    }

    /// Encrypts at the plaintext's level.
    ///
    /// # Errors
    /// If the plaintext has other parameters.
    pub fn encrypt(&self, plaintext: &Plaintext, rng: &mut Rng) -> Result<Ciphertext, CkksError> {
        self.params.check_same(&plaintext.params, "the plaintext")?;
        let (params, level) = (&self.params, plaintext.level);
        let n = params.degree();
        let mut mask = Zeroizing::new(vec![0; n]);
        rng.ternary(&mut mask);
        let mask_values = small_values(params, &mask, level, 0);
        let errors = [error_values(params, level, 0, rng), error_values(params, level, 0, rng)];
        let mut out = Ciphertext::undefined(params, level, plaintext.scale, 2);
        for (i, table) in params.basis(level, 0).enumerate() {
            let m = &table.modulus;
            let range = i * n..(i + 1) * n;
            for ((part, key), error) in out.parts.iter_mut().zip([&self.b, &self.a]).zip(&errors) {
                let part = &mut part[range.clone()];
                part.copy_from_slice(&mask_values[range.clone()]);
                kernels::mul(m, part, &key[range.clone()]);
                kernels::add(m, part, &error[range.clone()]);
            }
            kernels::add_montgomery(m, &mut out.parts[0][range], plaintext.limb(i));
        }
        mask.zeroize();
        Ok(out)
    }
}

/// What a switching key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// From s^2 to s.
    Relinearise,
    /// From s to s(X^(1/g)), after which X -> X^g gives s: the sum over digits comes before the
    /// permutation, so that digits are shared by all rotations of a ciphertext.
    Automorphism(usize),
}

/// A key with which the server switches ciphertexts from one secret to another.
#[derive(Clone)]
pub struct SwitchKey {
    pub(crate) params: Parameters,
    pub(crate) purpose: Purpose,
    pub(crate) gadget: Gadget,
    pub(crate) seed: Seed,
    /// Limb by limb of the extended basis; in a limb, digit by digit, b then a; Montgomery form.
    pub(crate) values: Buffer,
}

impl SwitchKey {
    pub(crate) fn undefined(
        params: &Parameters,
        purpose: Purpose,
        gadget: Gadget,
        seed: Seed,
    ) -> Self {
        let limbs = gadget.level + 1 + gadget.specials;
        let len = limbs * gadget.digits(gadget.level) * 2 * params.degree();
        let values = params.0.pool.take(len);
        Self { params: params.clone(), purpose, gadget, seed, values }
    }

    /// Bytes of memory of a key with a gadget.
    #[must_use]
    pub fn memory_with(params: &Parameters, gadget: Gadget) -> usize {
        let limbs = gadget.level + 1 + gadget.specials;
        limbs * gadget.digits(gadget.level) * 2 * params.degree() * size_of::<u64>()
    }

    /// How it switches.
    #[must_use]
    pub fn gadget(&self) -> Gadget {
        self.gadget
    }

    /// Bytes of memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of_val::<[u64]>(&self.values)
    }

    /// Fills the public halves from the seed.
    pub(crate) fn expand(&mut self) {
        let Gadget { level, specials, .. } = self.gadget;
        let (params, seed) = (self.params.clone(), self.seed);
        for (t, table) in params.basis(level, specials).enumerate() {
            for digit in 0..self.gadget.digits(level) {
                let (_, a) = self.limbs_mut(t, digit);
                // Values of a uniform polynomial are uniform, in either form.
                uniform(&seed, (digit << 32 | t) as u64, &table.modulus, a);
            }
        }
    }

    pub(crate) fn limbs_mut(&mut self, t: usize, digit: usize) -> (&mut [u64], &mut [u64]) {
        let n = self.params.degree();
        let start = (t * self.gadget.digits(self.gadget.level) + digit) * 2 * n;
        self.values[start..start + 2 * n].split_at_mut(n)
    }

    /// All digits for place `t` of the basis of `level` with the gadget's special primes: digit by digit, b
    /// then a.
    pub(crate) fn limb(&self, level: usize, t: usize) -> &[u64] {
        let t = if t <= level { t } else { t + self.gadget.level - level };
        let len = self.gadget.digits(self.gadget.level) * 2 * self.params.degree();
        &self.values[t * len..(t + 1) * len]
    }
}

/// The keys a server computes with. Several may serve the same purpose at different levels: the one
/// with the lowest sufficient level is used.
#[derive(Clone)]
pub struct EvaluationKeys {
    pub(crate) params: Parameters,
    pub(crate) relinearise: Vec<SwitchKey>,
    pub(crate) automorphisms: BTreeMap<usize, Vec<SwitchKey>>,
}

impl EvaluationKeys {
    /// No keys yet.
    #[must_use]
    pub fn new(params: &Parameters) -> Self {
        Self { params: params.clone(), relinearise: Vec::new(), automorphisms: BTreeMap::new() }
    }

    /// Their parameters.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.params
    }

    /// Adds a key, in place of one for the same purpose with the same gadget.
    ///
    /// # Errors
    /// If it has other parameters.
    pub fn insert(&mut self, key: SwitchKey) -> Result<(), CkksError> {
        self.params.check_same(&key.params, "the key")?;
        let list = match key.purpose {
            Purpose::Relinearise => &mut self.relinearise,
            Purpose::Automorphism(g) => self.automorphisms.entry(g).or_default(),
        };
        match list.binary_search_by_key(&key.gadget, |other| other.gadget) {
            Ok(place) => list[place] = key,
            Err(place) => list.insert(place, key),
        }
        Ok(())
    }

    /// All keys, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &SwitchKey> {
        self.relinearise.iter().chain(self.automorphisms.values().flatten())
    }

    /// Bytes of memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.iter().map(SwitchKey::memory).sum()
    }

    /// Whether there is a relinearisation key for a level.
    ///
    /// # Errors
    /// [`CkksError::MissingKey`] if there is not.
    pub fn check_relinearisation(&self, level: usize) -> Result<(), CkksError> {
        self.find(Purpose::Relinearise, level).map(drop)
    }

    /// Whether there is a key for a rotation by `steps` at a level.
    ///
    /// # Errors
    /// [`CkksError::MissingKey`] if there is not.
    pub fn check_rotation(&self, steps: i64, level: usize) -> Result<(), CkksError> {
        let purpose = Purpose::Automorphism(self.params.rotation_element(steps));
        self.find(purpose, level).map(drop)
    }

    /// The key for a purpose at a level with the lowest level that suffices.
    pub(crate) fn find(&self, purpose: Purpose, level: usize) -> Result<&SwitchKey, CkksError> {
        let found = self.of(purpose).find(|key| key.gadget.level >= level);
        found.ok_or_else(|| self.missing(purpose, level))
    }

    /// The key for a purpose with a gadget.
    pub(crate) fn find_with(
        &self,
        purpose: Purpose,
        gadget: Gadget,
        level: usize,
    ) -> Result<&SwitchKey, CkksError> {
        let found = self.of(purpose).find(|key| key.gadget == gadget);
        found.ok_or_else(|| self.missing(purpose, level))
    }

    fn of(&self, purpose: Purpose) -> impl Iterator<Item = &SwitchKey> {
        let list = match purpose {
            Purpose::Relinearise => Some(&self.relinearise),
            Purpose::Automorphism(g) => self.automorphisms.get(&g),
        };
        list.into_iter().flatten()
    }

    fn missing(&self, purpose: Purpose, level: usize) -> CkksError {
        let what = match purpose {
            Purpose::Relinearise => "relinearisation".into(),
            Purpose::Automorphism(g) => self.describe(g),
        };
        CkksError::MissingKey { what, level }
    }

    fn describe(&self, g: usize) -> String {
        if g == self.params.conjugation_element() {
            return "conjugation".into();
        }
        let steps = (0..self.params.slots() as i64).find(|&k| self.params.rotation_element(k) == g);
        format!("rotation by {}", steps.unwrap_or_default())
    }
}
