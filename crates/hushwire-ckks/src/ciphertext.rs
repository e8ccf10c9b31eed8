//! Plaintexts and ciphertexts: polynomials by their values at the roots, modulo each prime.

use std::fmt;

use crate::buffer::Buffer;
use crate::error::CkksError;
use crate::params::Parameters;
use crate::sample::Seed;

/// Scales that differ by less than this factor are the same: double-precision arithmetic on scales
/// drifts by less, and no result has that many right bits.
const SCALE_TOLERANCE: f64 = 1e-11;

/// Encoded values. Wiped when dropped.
#[derive(Clone)]
pub struct Plaintext {
    pub(crate) params: Parameters,
    pub(crate) level: usize,
    pub(crate) scale: f64,
    /// Limb by limb, times 2^52 (the Montgomery form); those of a linear transform have limbs of special
    /// primes as well.
    pub(crate) values: Buffer,
}

impl Plaintext {
    /// Level at which it was encoded.
    #[must_use]
    pub fn level(&self) -> usize {
        self.level
    }

    /// The factor by which values were multiplied before rounding.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Its parameters.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.params
    }

    pub(crate) fn limb(&self, i: usize) -> &[u64] {
        let n = self.params.degree();
        &self.values[i * n..(i + 1) * n]
    }
}

/// An encrypted vector: parts c_0, c_1 (and c_2 after a product) with c_0 + c_1 s + c_2 s^2 equal to
/// the plaintext up to noise.
#[derive(Clone)]
pub struct Ciphertext {
    pub(crate) params: Parameters,
    pub(crate) level: usize,
    pub(crate) scale: f64,
    pub(crate) parts: Vec<Buffer>,
    /// What the last part is expanded from, where it still is.
    pub(crate) seed: Option<Seed>,
}

impl Ciphertext {
    /// Rescalings that are left.
    #[must_use]
    pub fn level(&self) -> usize {
        self.level
    }

    /// The factor by which values are multiplied.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// 2, or 3 for a product that was not relinearised.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Its parameters.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.params
    }

    /// Bytes of memory that the residues take.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.parts.iter().map(|part| size_of_val::<[u64]>(part)).sum()
    }

    /// An undefined ciphertext, to be filled.
    pub(crate) fn undefined(params: &Parameters, level: usize, scale: f64, parts: usize) -> Self {
        let len = (level + 1) * params.degree();
        let parts = (0..parts).map(|_| params.0.pool.take(len)).collect();
        Self { params: params.clone(), level, scale, parts, seed: None }
    }

    pub(crate) fn limb(&self, part: usize, i: usize) -> &[u64] {
        let n = self.params.degree();
        &self.parts[part][i * n..(i + 1) * n]
    }

    /// Refuses ciphertexts of three parts.
    pub(crate) fn check_linear(&self) -> Result<(), CkksError> {
        match self.parts.len() {
            2 => Ok(()),
            parts => Err(CkksError::NotRelinearised { parts }),
        }
    }
}

/// Refuses two scales that are not the same.
pub(crate) fn check_scales(left: f64, right: f64) -> Result<(), CkksError> {
    if (left / right - 1.0).abs() < SCALE_TOLERANCE {
        return Ok(());
    }
    Err(CkksError::ScaleMismatch { left, right })
}

/// Refuses two levels that are not the same.
pub(crate) fn check_levels(left: usize, right: usize) -> Result<(), CkksError> {
    if left == right { Ok(()) } else { Err(CkksError::LevelMismatch { left, right }) }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plaintext")
            .field("level", &self.level)
            .field("scale", &self.scale)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Ciphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ciphertext")
            .field("level", &self.level)
            .field("scale", &self.scale)
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}
