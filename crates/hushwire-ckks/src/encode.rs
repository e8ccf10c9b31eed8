//! Encoding: slots to integer coefficients at a scale, and back.

use zeroize::{Zeroize, Zeroizing};

use crate::buffer::Buffer;
use crate::ciphertext::Plaintext;
use crate::embedding::Complex;
use crate::error::CkksError;
use crate::kernels;
use crate::noise::slot_variance;
use crate::params::{Parameters, Ring};
use crate::sample::Rng;

/// log2 of the largest coefficient that encoding makes.
const MAX_COEFFICIENT: f64 = 120.0;
/// log2 of the largest random coefficient.
const MAX_FLOOD: f64 = 62.0;

impl Parameters {
    /// Encodes real values, zeros after the last, times `scale`.
    ///
    /// # Errors
    /// If there are more values than slots, the scale does not fit the level, or a value does not
    /// fit both.
    pub fn encode(&self, values: &[f64], level: usize, scale: f64) -> Result<Plaintext, CkksError> {
        self.encode_extended(values, level, 0, scale)
    }

    /// [`Self::encode`] over `specials` special primes as well.
    pub(crate) fn encode_extended(
        &self,
        values: &[f64],
        level: usize,
        specials: usize,
        scale: f64,
    ) -> Result<Plaintext, CkksError> {
        let mut slots: Vec<_> = values.iter().map(|&re| Complex { re, im: 0.0 }).collect();
        let encoded = self.encode_slots(&mut slots, level, specials, scale);
        slots.iter_mut().for_each(|slot| *slot = Complex::default());
        encoded
    }

    /// Encodes complex values, zeros after the last, times `scale`.
    ///
    /// # Errors
    /// As [`Self::encode`], and if the ring has real slots.
    pub fn encode_complex(
        &self,
        values: &[Complex],
        level: usize,
        scale: f64,
    ) -> Result<Plaintext, CkksError> {
        if self.spec().ring == Ring::Real {
            return Err(CkksError::Parameters("the slots of this ring are real".into()));
        }
        self.encode_slots(&mut values.to_vec(), level, 0, scale)
    }

    /// Encodes the same value in all slots: exact but for rounding, and fast.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_constant(
        &self,
        value: f64,
        level: usize,
        scale: f64,
    ) -> Result<Plaintext, CkksError> {
        let integer = self.constant(value, level, scale)?;
        let mut plaintext = self.empty_plaintext(level, 0, scale);
        for (limb, table) in
            plaintext.values.chunks_exact_mut(self.degree()).zip(self.basis(level, 0))
        {
            let m = &table.modulus;
            limb.fill(m.to_montgomery(m.reduce_signed(integer)));
        }
        Ok(plaintext)
    }

    /// Random integer coefficients, uniform within bounds such that the real parts of all slots have
    /// this standard deviation. Added to a result they drown what its noise tells about how it was
    /// computed, as far as they are larger than that noise.
    ///
    /// # Errors
    /// As [`Self::encode`]; a deviation that is not finite or negative.
    pub fn flood(
        &self,
        deviation: f64,
        level: usize,
        scale: f64,
        rng: &mut Rng,
    ) -> Result<Plaintext, CkksError> {
        self.check_level("plaintext", level)?;
        self.check_scale(level, scale)?;
        let bound = deviation * scale * (3.0 / slot_variance(self)).sqrt();
        let limit = (self.log_modulus(level) - 1.0).min(MAX_FLOOD).exp2();
        if !(0.0..limit).contains(&bound) {
            return Err(CkksError::Value);
        }
        let mut coefficients = Zeroizing::new(vec![0; self.degree()]);
        rng.integers(bound.round() as u64, &mut coefficients);
        let mut plaintext = self.empty_plaintext(level, 0, scale);
        self.fill(&mut plaintext, 0, |i| i128::from(coefficients[i]));
        Ok(plaintext)
    }

    /// Puts integer coefficients into a plaintext.
    fn fill(
        &self,
        plaintext: &mut Plaintext,
        specials: usize,
        coefficient: impl Fn(usize) -> i128,
    ) {
        let limbs = plaintext.values.chunks_exact_mut(self.degree());
        for (limb, table) in limbs.zip(self.basis(plaintext.level, specials)) {
            for (i, out) in limb.iter_mut().enumerate() {
                *out = table.modulus.reduce_signed(coefficient(i));
            }
            table.forward(limb);
            kernels::to_montgomery(&table.modulus, limb);
        }
    }

    /// A value times a scale, as the integer that stands in all slots.
    pub(crate) fn constant(&self, value: f64, level: usize, scale: f64) -> Result<i128, CkksError> {
        self.check_level("plaintext", level)?;
        self.check_scale(level, scale)?;
        self.round(value * scale, level)
    }

    /// The integer next to a coefficient.
    fn round(&self, x: f64, level: usize) -> Result<i128, CkksError> {
        let limit = (self.log_modulus(level) - 1.0).min(MAX_COEFFICIENT).exp2();
        if x.abs() < limit { Ok(x.round() as i128) } else { Err(CkksError::Value) }
    }

    fn empty_plaintext(&self, level: usize, specials: usize, scale: f64) -> Plaintext {
        let values = Buffer::secret((level + 1 + specials) * self.degree());
        Plaintext { params: self.clone(), level, scale, values }
    }

    fn encode_slots(
        &self,
        slots: &mut Vec<Complex>,
        level: usize,
        specials: usize,
        scale: f64,
    ) -> Result<Plaintext, CkksError> {
        self.check_level("plaintext", level)?;
        self.check_scale(level, scale)?;
        if slots.len() > self.slots() {
            return Err(CkksError::TooManyValues { got: slots.len(), slots: self.slots() });
        }
        slots.resize(self.slots(), Complex::default());
        let mut coefficients = Zeroizing::new(self.0.embedding.coefficients(slots));
        let limit = (self.log_modulus(level) - 1.0).min(MAX_COEFFICIENT).exp2();
        for x in coefficients.iter_mut() {
            *x = (*x * scale).round();
            // NaN is not below either.
            if x.is_nan() || x.abs() >= limit {
                return Err(CkksError::Value);
            }
        }
        let mut plaintext = self.empty_plaintext(level, specials, scale);
        self.fill(&mut plaintext, specials, |i| coefficients[i] as i128);
        Ok(plaintext)
    }

    /// The real parts of the slots of a plaintext.
    #[must_use]
    pub fn decode(&self, plaintext: &Plaintext) -> Zeroizing<Vec<f64>> {
        let values = self.decode_complex(plaintext);
        Zeroizing::new(values.iter().map(|value| value.re).collect())
    }

    /// The slots of a plaintext.
    #[must_use]
    pub fn decode_complex(&self, plaintext: &Plaintext) -> Vec<Complex> {
        let mut limbs = plaintext.values.clone();
        let n = self.degree();
        for (limb, table) in limbs.chunks_exact_mut(n).zip(self.basis(plaintext.level, 0)) {
            kernels::from_montgomery(&table.modulus, limb);
            table.inverse(limb);
        }
        let crt = Reconstruction::new(self, plaintext.level);
        let mut residues = vec![0; plaintext.level + 1];
        let coefficients: Zeroizing<Vec<f64>> = Zeroizing::new(
            (0..n)
                .map(|i| {
                    for (residue, limb) in residues.iter_mut().zip(limbs.chunks_exact(n)) {
                        *residue = limb[i];
                    }
                    crt.centred(&mut residues) / plaintext.scale
                })
                .collect(),
        );
        residues.zeroize();
        self.0.embedding.values(&coefficients)
    }
}

/// The Chinese remainder theorem in mixed radix: x = d_0 + d_1 q_0 + d_2 q_0 q_1 + ...
struct Reconstruction<'a> {
    params: &'a Parameters,
    /// Position i, j: 1/q_j mod q_i, j below i.
    inverses: Vec<Vec<u64>>,
    /// q_0 .. q_{i-1}
    weights: Vec<f64>,
    /// Digits of (Q - 1) / 2.
    half: Vec<u64>,
}

impl<'a> Reconstruction<'a> {
    fn new(params: &'a Parameters, level: usize) -> Self {
        let tables = &params.0.tables;
        let inverses = (0..=level)
            .map(|i| {
                let m = &tables[i].modulus;
                (0..i).map(|j| m.invert(tables[j].modulus.q % m.q)).collect()
            })
            .collect();
        let weights =
            (0..=level).map(|i| tables[..i].iter().map(|t| t.modulus.q as f64).product()).collect();
        // (Q - 1) / 2 has the digits (q_i - 1) / 2 in mixed radix.
        let half = (0..=level).map(|i| (tables[i].modulus.q - 1) / 2).collect();
        Self { params, inverses, weights, half }
    }

    fn digits(&self, residues: &mut [u64]) {
        for i in 1..residues.len() {
            let m = &self.params.0.tables[i].modulus;
            for j in 0..i {
                let difference = m.sub(residues[i], residues[j] % m.q);
                residues[i] = m.mul(difference, self.inverses[i][j]);
            }
        }
    }

    /// The representative between -Q/2 and Q/2; `residues` are overwritten.
    fn centred(&self, residues: &mut [u64]) -> f64 {
        self.digits(residues);
        let negative = residues.iter().rev().gt(self.half.iter().rev());
        if negative {
            // Q - x = (Q - 1 - x) + 1, and Q - 1 has the digits q_i - 1.
            for (digit, table) in residues.iter_mut().zip(&self.params.0.tables) {
                *digit = table.modulus.q - 1 - *digit;
            }
        }
        let sum = residues.iter().zip(&self.weights).rev().map(|(&d, w)| d as f64 * w).sum::<f64>();
        if negative { -(sum + 1.0) } else { sum }
    }
}
