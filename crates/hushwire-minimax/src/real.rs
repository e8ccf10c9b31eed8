//! Numbers that the exchange algorithm computes with: doubles for searches, 256 bits for results.

use std::cmp::Ordering;
use std::ops::{Add, Div, Mul, Neg, Sub};

use dashu_float::round::mode::HalfEven;

/// A binary floating-point number with a precision of its own.
pub(crate) type Big = dashu_float::FBig<HalfEven, 2>;

/// Significant bits of extended precision.
pub(crate) const PRECISION: usize = 256;

/// A field with an order.
pub(crate) trait Real:
    Clone
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The number itself; `x` must be finite.
    fn from_f64(x: f64) -> Self;

    /// The nearest double.
    fn nearest(&self) -> f64;

    fn abs(&self) -> Self {
        if *self < Self::from_f64(0.0) { -self.clone() } else { self.clone() }
    }

    fn squared(&self) -> Self {
        self.clone() * self.clone()
    }
}

impl Real for f64 {
    fn from_f64(x: f64) -> f64 {
        x
    }

    fn nearest(&self) -> f64 {
        *self
    }
}

impl Real for Big {
    fn from_f64(x: f64) -> Big {
        Big::try_from(x)
            .unwrap_or_else(|_| unreachable!("only finite numbers are converted"))
            .with_precision(PRECISION)
            .value()
    }

    fn nearest(&self) -> f64 {
        Big::to_f64(self).value()
    }
}

/// The index of the largest element.
pub(crate) fn largest<R: PartialOrd>(values: &[R]) -> usize {
    let order = |a: &R, b: &R| a.partial_cmp(b).unwrap_or(Ordering::Equal);
    (0..values.len()).max_by(|&i, &j| order(&values[i], &values[j])).unwrap_or(0)
}
