//! Estimates of noise, operation by operation, in the canonical embedding.
//!
//! A polynomial with independent coefficients of variance V has, at each root, a value of variance N V
//! (2 N V in the ring of real slots), and values multiply; so the noise of a product is that of its
//! factors slot by slot (Costache, Curtis, Hales, Murphy, Ogilvie, Player, "On the precision loss in
//! approximate homomorphic encryption", SAC 2023).

use crate::params::{Gadget, Parameters, Ring};
use crate::sample::{ERROR_VARIANCE, TERNARY_VARIANCE};

/// Variance of rounding to an integer.
const ROUNDING: f64 = 1.0 / 12.0;

/// What is known of a ciphertext without its key: its level, scale, and the sizes of message and
/// noise.
#[derive(Clone, Debug)]
pub struct NoiseEstimate {
    params: Parameters,
    level: usize,
    scale: f64,
    /// Root of the mean square of the slots' values.
    message: f64,
    /// Mean square of the slots' errors, times the scale squared.
    variance: f64,
}

/// The share of a slot's variance that its real part has.
fn real_share(params: &Parameters) -> f64 {
    match params.spec().ring {
        Ring::Complex => 0.5,
        Ring::Real => 1.0,
    }
}

/// Variance of the slots' real parts of a polynomial whose coefficients have variance 1.
pub(crate) fn slot_variance(params: &Parameters) -> f64 {
    embedded(params, 1.0) * real_share(params)
}

impl NoiseEstimate {
    /// A ciphertext that the secret key made, of values with this root of the mean square.
    #[must_use]
    pub fn fresh(params: &Parameters, level: usize, scale: f64, message: f64) -> Self {
        let variance = embedded(params, ERROR_VARIANCE + ROUNDING);
        Self { params: params.clone(), level, scale, message, variance }
    }

    /// A ciphertext that the public key made.
    #[must_use]
    pub fn fresh_public(params: &Parameters, level: usize, scale: f64, message: f64) -> Self {
        let mut fresh = Self::fresh(params, level, scale, message);
        // e_0 + e_1 s + v e, s and v ternary.
        let error = embedded(params, ERROR_VARIANCE);
        fresh.variance += 2.0 * error * embedded(params, TERNARY_VARIANCE);
        fresh
    }

    /// Root of the mean square of the errors of the slots' real parts.
    #[must_use]
    pub fn error(&self) -> f64 {
        (self.variance * real_share(&self.params)).sqrt() / self.scale
    }

    /// What no slot's error exceeds but for a chance of about 2^-40. Errors are products of two
    /// normal variables at worst (a polynomial times the errors of a key), whose tail is exponential.
    #[must_use]
    pub fn bound(&self) -> f64 {
        self.error() * 2f64.ln() * (41.0 + (self.params.slots() as f64).log2())
    }

    /// Root of the mean square of the values.
    #[must_use]
    pub fn message(&self) -> f64 {
        self.message
    }

    /// The level.
    #[must_use]
    pub fn level(&self) -> usize {
        self.level
    }

    /// The scale.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// A sum of ciphertexts with independent messages.
    #[must_use]
    pub fn add(&self, other: &Self) -> Self {
        Self {
            message: self.message.hypot(other.message),
            variance: self.variance + other.variance,
            ..self.clone()
        }
    }

    /// A product by a plaintext of values with this root of the mean square.
    #[must_use]
    pub fn mul_plain(&self, message: f64, scale: f64) -> Self {
        let rounding = embedded(&self.params, ROUNDING);
        Self {
            scale: self.scale * scale,
            message: self.message * message,
            variance: self.variance * ((message * scale).powi(2) + rounding)
                + rounding * (self.message * self.scale).powi(2),
            ..self.clone()
        }
    }

    /// A product, not relinearised.
    #[must_use]
    pub fn tensor(&self, other: &Self) -> Self {
        let (x, y) = (self.message * self.scale, other.message * other.scale);
        Self {
            scale: self.scale * other.scale,
            message: self.message * other.message,
            variance: self.variance * y * y
                + other.variance * x * x
                + self.variance * other.variance,
            ..self.clone()
        }
    }

    /// After a rotation, a conjugation or a relinearisation with a gadget.
    #[must_use]
    pub fn switch(&self, gadget: Gadget) -> Self {
        let rounding = gadget.specials as f64 * rounded_parts(&self.params);
        Self { variance: self.variance + self.key(gadget) + rounding, ..self.clone() }
    }

    /// After a relinearisation with a gadget and rescaling in one.
    ///
    /// # Panics
    /// If no level is left.
    #[must_use]
    pub fn switch_rescale(&self, gadget: Gadget) -> Self {
        let mut switched = self.clone();
        switched.variance += self.key(gadget);
        let mut out = switched.rescale();
        out.variance += gadget.specials as f64 * rounded_parts(&self.params);
        out
    }

    /// What the errors of a switching key add.
    fn key(&self, gadget: Gadget) -> f64 {
        let params = &self.params;
        let log_special = params.log_special(gadget.specials);
        let digits: f64 = (0..=self.level)
            .step_by(gadget.digit)
            .map(|first| {
                let last = (first + gadget.digit - 1).min(self.level);
                let below = if first == 0 { 0.0 } else { params.log_modulus(first - 1) };
                let count = (last - first + 1) as f64;
                // A sum of so many numbers, uniform and centred.
                let relative = (params.log_modulus(last) - below - log_special).exp2();
                relative.powi(2) * count / 12.0
            })
            .sum();
        embedded(params, digits) * embedded(params, ERROR_VARIANCE)
    }

    /// After rescaling.
    ///
    /// # Panics
    /// If no level is left.
    #[must_use]
    pub fn rescale(&self) -> Self {
        let q = self.params.prime(self.level) as f64;
        Self {
            level: self.level - 1,
            scale: self.scale / q,
            variance: self.variance / (q * q) + rounded_parts(&self.params),
            ..self.clone()
        }
    }
}

/// Variance of values at the roots of polynomials with coefficients of this variance.
fn embedded(params: &Parameters, variance: f64) -> f64 {
    let n = params.degree() as f64;
    match params.spec().ring {
        Ring::Complex => n * variance,
        Ring::Real => 2.0 * n * variance,
    }
}

/// Noise of rounding both parts to integers.
fn rounded_parts(params: &Parameters) -> f64 {
    embedded(params, ROUNDING) * (1.0 + embedded(params, TERNARY_VARIANCE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Ciphertext, CkksError, EvaluationKeys, Evaluator, ParameterSpec, Plaintext, Rng, SecretKey,
    };

    struct World {
        params: Parameters,
        gadget: Gadget,
        secret: SecretKey,
        rng: Rng,
        evaluator: Evaluator,
        a: Vec<f64>,
        b: Vec<f64>,
    }

    const SCALE: f64 = (1u64 << 40) as f64;

    impl World {
        fn new(ring: Ring, special_bits: &[u32], gadget: Gadget) -> Result<Self, CkksError> {
            let params = Parameters::danger_insecure(ParameterSpec {
                ring,
                log_degree: 11,
                data_bits: vec![48, 40, 40, 40],
                special_bits: special_bits.to_vec(),
                log_scale: 40,
            })?;
            let mut rng = Rng::danger_from_seed(1);
            let secret = SecretKey::generate(&params, &mut rng);
            let mut keys = EvaluationKeys::new(&params);
            keys.insert(secret.relinearisation_key(gadget, &mut rng)?)?;
            keys.insert(secret.rotation_key(3, gadget, &mut rng)?)?;
            let numbers = |k: u64| {
                let word = |i: u64| (i * 2 + k).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
                (0..params.slots() as u64).map(|i| word(i) as f64 / 2f64.powi(52) - 1.0).collect()
            };
            let (a, b) = (numbers(0), numbers(1));
            Ok(Self { evaluator: Evaluator::new(keys), params, gadget, secret, rng, a, b })
        }

        fn encode(&self, values: &[f64]) -> Result<Plaintext, CkksError> {
            self.params.encode(values, 3, SCALE)
        }

        fn encrypt(&mut self, values: &[f64]) -> Result<Ciphertext, CkksError> {
            self.secret.encrypt(&self.encode(values)?, &mut self.rng)
        }

        /// Compares the estimate with what decryption shows.
        #[track_caller]
        fn check(&self, estimate: &NoiseEstimate, x: &Ciphertext, values: impl Fn(usize) -> f64) {
            assert_eq!(x.level(), estimate.level());
            assert!((x.scale() / estimate.scale() - 1.0).abs() < 1e-9);
            let decrypted = self.secret.decrypt(x).unwrap();
            let errors: Vec<_> = decrypted.iter().enumerate().map(|(i, x)| x - values(i)).collect();
            let mean = errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64;
            let ratio = mean.sqrt() / estimate.error();
            let shape = (self.params.spec(), self.gadget);
            assert!((0.8..1.25).contains(&ratio), "measured / estimated = {ratio} {shape:?}");
            let worst = errors.iter().fold(0.0, |max: f64, e| max.max(e.abs()));
            assert!(worst < estimate.bound(), "{worst} {}", estimate.bound());
        }
    }

    #[test]
    fn estimates_are_what_is_measured() {
        let shapes: [(&[u32], Gadget); 4] = [
            (&[48], Gadget { level: 3, specials: 1, digit: 1 }),
            (&[40], Gadget { level: 3, specials: 1, digit: 1 }),
            (&[45, 45], Gadget { level: 3, specials: 2, digit: 2 }),
            (&[45, 45, 40], Gadget { level: 3, specials: 3, digit: 3 }),
        ];
        for ring in [Ring::Complex, Ring::Real] {
            for (special, gadget) in shapes {
                estimates_of(World::new(ring, special, gadget).unwrap());
            }
        }
    }

    fn estimates_of(mut w: World) {
        let (a, b) = (w.a.clone(), w.b.clone());
        let rms = (1.0f64 / 3.0).sqrt();
        let fresh = NoiseEstimate::fresh(&w.params, 3, SCALE, rms);
        let (x, y) = (w.encrypt(&a).unwrap(), w.encrypt(&b).unwrap());
        let e = w.evaluator.clone();
        w.check(&fresh, &x, |i| a[i]);

        let public = w.secret.public_key(&mut w.rng);
        let z = public.encrypt(&w.encode(&a).unwrap(), &mut w.rng).unwrap();
        w.check(&NoiseEstimate::fresh_public(&w.params, 3, SCALE, rms), &z, |i| a[i]);

        w.check(&fresh.add(&fresh), &e.add(&x, &y).unwrap(), |i| a[i] + b[i]);

        let plain = e.mul_plain(&x, &w.encode(&b).unwrap()).unwrap();
        let estimate = fresh.mul_plain(rms, SCALE);
        w.check(&estimate, &plain, |i| a[i] * b[i]);
        w.check(&estimate.rescale(), &e.rescale(&plain).unwrap(), |i| a[i] * b[i]);

        let mut product = e.tensor(&x, &y).unwrap();
        let estimate = fresh.tensor(&fresh);
        w.check(&estimate, &product, |i| a[i] * b[i]);
        e.relinearize_assign(&mut product).unwrap();
        let switched = estimate.switch(w.gadget);
        w.check(&switched, &product, |i| a[i] * b[i]);
        w.check(&switched.rescale(), &e.rescale(&product).unwrap(), |i| a[i] * b[i]);
        let estimate = estimate.switch_rescale(w.gadget);
        w.check(&estimate, &e.mul_rescale(&x, &y).unwrap(), |i| a[i] * b[i]);

        // At the scale of a bit, rotation shows its own noise.
        let slots = w.params.slots();
        let scale = 16.0;
        let coarse = w.params.encode(&[], 3, scale).unwrap();
        let zero = w.secret.encrypt(&coarse, &mut w.rng).unwrap();
        let estimate = NoiseEstimate::fresh(&w.params, 3, scale, 0.0).switch(w.gadget);
        w.check(&estimate, &e.rotate(&zero, 3).unwrap(), |_| 0.0);
        w.check(&fresh.switch(w.gadget), &e.rotate(&x, 3).unwrap(), |i| a[(i + 3) % slots]);
        let lower = e.rotate(&e.rescale(&plain).unwrap(), 3).unwrap();
        let estimate = fresh.mul_plain(rms, SCALE).rescale().switch(w.gadget);
        let at = |i| (i + 3) % slots;
        w.check(&estimate, &lower, |i| a[at(i)] * b[at(i)]);
    }
}
