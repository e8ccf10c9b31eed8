//! Polynomials as activations.

use serde::{Deserialize, Serialize};

/// A polynomial with finite coefficients whose degree is 2 to [`MAX_DEGREE`](Self::MAX_DEGREE).
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Polynomial {
    /// The coefficient of `x^i` at position `i`.
    coefficients: [f32; Self::MAX_DEGREE + 1],
}

impl Polynomial {
    /// Greatest degree.
    pub const MAX_DEGREE: usize = 7;

    /// `x^2`
    pub const SQUARE: Self = Self { coefficients: [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0] };

    /// The polynomial with these coefficients, the constant first; nothing if the degree is out of
    /// range or a coefficient is not finite.
    pub fn new(coefficients: &[f32]) -> Option<Self> {
        let degree = coefficients.iter().rposition(|c| *c != 0.0)?;
        let mut padded = [0.0; Self::MAX_DEGREE + 1];
        padded.get_mut(..=degree)?.copy_from_slice(&coefficients[..=degree]);
        let polynomial = Self { coefficients: padded };
        polynomial.is_valid().then_some(polynomial)
    }

    /// The degree.
    pub fn degree(&self) -> usize {
        self.coefficients.iter().rposition(|c| *c != 0.0).unwrap_or(0)
    }

    /// The coefficients, the constant first, up to the degree.
    pub fn coefficients(&self) -> &[f32] {
        &self.coefficients[..=self.degree()]
    }

    /// The value at `x`, by Horner's rule.
    pub fn eval(&self, x: f64) -> f64 {
        self.coefficients().iter().rev().fold(0.0, |sum, c| sum * x + f64::from(*c))
    }

    /// The value at `x` in single precision.
    pub fn apply(&self, x: f32) -> f32 {
        self.coefficients().iter().rev().fold(0.0, |sum, c| sum * x + c)
    }

    /// Whether the invariants hold, which deserialising does not check.
    pub(crate) fn is_valid(&self) -> bool {
        self.degree() >= 2 && self.coefficients.iter().all(|c| c.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_and_values() {
        let cubic = Polynomial::new(&[1.0, 0.0, -2.0, 0.5, 0.0]).unwrap();
        assert_eq!((cubic.degree(), cubic.coefficients()), (3, &[1.0, 0.0, -2.0, 0.5][..]));
        assert_eq!((cubic.eval(2.0), cubic.apply(2.0)), (-3.0, -3.0));
        assert_eq!(Polynomial::new(&[0.0, 0.0, 1.0]), Some(Polynomial::SQUARE));
        assert_eq!(Polynomial::new(&[1.0, 2.0, 0.0]), None);
        assert_eq!(Polynomial::new(&[]), None);
        assert_eq!(Polynomial::new(&[0.0, 0.0, f32::NAN]), None);
        assert_eq!(Polynomial::new(&[1.0; 9]), None);
        assert_eq!(Polynomial::new(&[1.0; 8]).map(|p| p.degree()), Some(7));
    }
}
