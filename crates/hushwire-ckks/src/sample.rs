//! Randomness: uniform residues, ternary secrets and narrow errors.

use hushwire_fss::Prf;
use zeroize::Zeroize;

use crate::error::CkksError;
use crate::modulus::Modulus;

/// Bits on each side of the centred binomial distribution of errors, whose variance is half of it:
/// the standard deviation is 3.24, not below the 3.2 of the security table.
const ERROR_BITS: u32 = 21;
/// Variance of an error coefficient.
pub(crate) const ERROR_VARIANCE: f64 = ERROR_BITS as f64 / 2.0;
/// Variance of a ternary coefficient.
pub(crate) const TERNARY_VARIANCE: f64 = 2.0 / 3.0;

/// Bytes that name a public uniform polynomial.
pub(crate) type Seed = [u8; 16];

/// A generator for secrets: AES-128 in counter mode under a key from the system.
pub struct Rng {
    prf: Prf,
    next: u64,
}

impl Rng {
    /// A generator with a key from the system's generator.
    ///
    /// # Errors
    /// If the system has none.
    pub fn from_system() -> Result<Self, CkksError> {
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(|e| CkksError::Random(e.to_string()))?;
        let rng = Self { prf: Prf::new(key), next: 0 };
        key.zeroize();
        Ok(rng)
    }

    /// A generator that gives the same numbers each time, for tests.
    #[cfg(feature = "test-support")]
    #[must_use]
    pub fn danger_from_seed(seed: u64) -> Self {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self { prf: Prf::new(key), next: 0 }
    }

    fn words(&mut self, out: &mut [u64]) {
        self.prf.stream(self.next).fill_words(out);
        self.next += 1;
    }

    /// A seed for something public. It tells nothing about other output of this generator.
    pub(crate) fn seed(&mut self) -> Seed {
        let mut words = [0; 2];
        self.words(&mut words);
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&words[0].to_le_bytes());
        seed[8..].copy_from_slice(&words[1].to_le_bytes());
        seed
    }

    /// Coefficients uniform in -1, 0, 1, up to a bias of 2^-63; without branches.
    pub(crate) fn ternary(&mut self, out: &mut [i8]) {
        self.map_words(out, |word| ((u128::from(word) * 3) >> 64) as i8 - 1);
    }

    /// Error coefficients; without branches.
    pub(crate) fn errors(&mut self, out: &mut [i8]) {
        const SIDE: u64 = (1 << ERROR_BITS) - 1;
        self.map_words(out, |word| {
            let ones = |bits: u64| (bits & SIDE).count_ones() as i8;
            ones(word) - ones(word >> ERROR_BITS)
        });
    }

    /// Integers uniform between `-bound` and `bound`, up to a bias of `bound / 2^63`; without branches.
    pub(crate) fn integers(&mut self, bound: u64, out: &mut [i64]) {
        let count = 2 * u128::from(bound) + 1;
        let mut words = vec![0; out.len()];
        self.words(&mut words);
        for (out, word) in out.iter_mut().zip(&words) {
            *out = ((u128::from(*word) * count) >> 64) as i64 - bound as i64;
        }
        words.zeroize();
    }

    fn map_words(&mut self, out: &mut [i8], f: impl Fn(u64) -> i8) {
        let mut words = vec![0; out.len()];
        self.words(&mut words);
        for (out, word) in out.iter_mut().zip(&words) {
            *out = f(*word);
        }
        words.zeroize();
    }
}

/// A public polynomial, uniform modulo q: words of the stream `domain` under `seed`, cut to the
/// bits of q, those not below q left out. Part of the wire format.
pub(crate) fn uniform(seed: &Seed, domain: u64, modulus: &Modulus, out: &mut [u64]) {
    let mask = u64::MAX >> modulus.q.leading_zeros();
    let mut stream = Prf::new(*seed).stream(domain);
    let mut filled = 0;
    let mut words = [0u64; 512];
    while filled < out.len() {
        stream.fill_words(&mut words);
        for word in words.map(|w| w & mask) {
            // A rejected word is overwritten by the next.
            let Some(place) = out.get_mut(filled) else { break };
            *place = word;
            filled += usize::from(word < modulus.q);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[i8]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        (mean, values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n)
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut rng = Rng::from_system().unwrap();
        let mut values = vec![0; 1 << 18];
        rng.ternary(&mut values);
        let (mean, variance) = moments(&values);
        assert!(mean.abs() < 0.01 && (variance - TERNARY_VARIANCE).abs() < 0.01);
        assert!(values.iter().all(|v| v.abs() <= 1));
        rng.errors(&mut values);
        let (mean, variance) = moments(&values);
        assert!(mean.abs() < 0.05 && (variance - ERROR_VARIANCE).abs() < 0.2, "{mean} {variance}");
        assert!(variance.sqrt() >= 3.2);
    }

    #[test]
    fn uniform_residues_are_below_the_prime_and_repeat() {
        let modulus = Modulus::new(40961);
        let draw = |seed: u8, domain| {
            let mut out = vec![u64::MAX; 10_000];
            uniform(&[seed; 16], domain, &modulus, &mut out);
            out
        };
        let first = draw(1, 0);
        assert!(first.iter().all(|&x| x < modulus.q));
        let mean = first.iter().sum::<u64>() as f64 / 1e4;
        assert!((mean / modulus.q as f64 - 0.5).abs() < 0.02);
        assert_eq!(first, draw(1, 0));
        assert!(first != draw(1, 1) && first != draw(2, 0));
    }
}
