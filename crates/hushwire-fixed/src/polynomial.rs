//! Gates that evaluate a composite polynomial, in the clear alone.

use crate::program::ValueId;
use hushwire_minimax::SignPolynomial;

/// Fractional bits of everything between the argument and the sign.
const FRACTION: u32 = 40;

/// Bits by which the factor that turns inputs into arguments is finer still.
const SCALE: u32 = 20;

const ONE: i64 = 1 << FRACTION;

/// A gate that evaluates x (1 + s(x / range)) / 2 of each element with a composite polynomial s.
///
/// The input is truncated to integers u as for any gate. Arguments, coefficients and the results of
/// all products are rounded to nearest multiples of 2^-40: those of Clenshaw's recurrence, stage by
/// stage, and the result to an integer. All that together moves the result by at most
/// [`error`](Self::error). Beyond the range sums wrap around.
#[derive(Clone, Debug)]
pub struct PolynomialOp {
    /// The share it reads.
    pub source: ValueId,
    /// Low bits dropped from the input.
    pub truncate: u32,
    /// Bits of u, of which it must use less: |u| < 2^(width-2).
    pub width: u32,
    /// The largest |u| that the polynomial is made for.
    pub range: i64,
    /// Precision in bits.
    pub alpha: u32,
    /// Levels and multiplications of an encrypted evaluation.
    pub depth: u32,
    /// See [`depth`](Self::depth).
    pub multiplications: u32,
    /// u times this in units of 2^-(40 + 20) is the argument.
    scale: i64,
    stages: Vec<Stage>,
}

/// One polynomial, in units of 2^-40.
#[derive(Clone, Debug)]
struct Stage {
    /// Arguments are multiplied by this.
    scale: i64,
    /// Of `T_1, T_3, ...`
    coefficients: Vec<i64>,
    /// Bound on what the stage does to an error of its argument: its greatest slope.
    slope: f64,
    /// Bound on what its own roundings add, in units.
    rounding: f64,
}

/// The numbers of a gate that do not depend on its polynomial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub source: ValueId,
    pub truncate: u32,
    pub width: u32,
    /// The range in units of u.
    pub range: f64,
}

impl PolynomialOp {
    pub(crate) fn new(place: Place, alpha: u32, sign: &SignPolynomial) -> PolynomialOp {
        let Place { source, truncate, width, range } = place;
        let fixed = |x: f64| (x * ONE as f64).round() as i64;
        let stage = |stage: &hushwire_minimax::OddPolynomial| {
            let c = stage.coefficients();
            let n = c.len() as f64;
            let sum: f64 = c.iter().map(|c| c.abs()).sum();
            // |T_m'| <= m^2
            let steep = |(i, c): (usize, &f64)| c.abs() * ((2 * i + 1) as f64).powi(2);
            Stage {
                scale: fixed(1.0 / stage.bound()),
                coefficients: c.iter().map(|c| fixed(*c)).collect(),
                slope: c.iter().enumerate().map(steep).sum::<f64>() / stage.bound(),
                // Every step of the recurrence is off by a product's and a coefficient's rounding, and
                // by that of 2 T_2 times a partial sum; step k reaches the result times k + 1 at most.
                rounding: n * (n + 1.0) * (1.0 + sum * n / 2.0) + 1.0,
            }
        };
        let degrees = sign.degrees();
        PolynomialOp {
            source,
            truncate,
            width,
            range: range as i64,
            alpha,
            depth: degrees.depth(),
            multiplications: degrees.multiplications(),
            scale: (2f64.powi((FRACTION + SCALE) as i32) / range).round() as i64,
            stages: sign.stages().iter().map(stage).collect(),
        }
    }

    /// The value at u, in the same units.
    pub fn eval(&self, u: i64) -> i64 {
        let argument = product(u, self.scale, SCALE);
        let sign = self.stages.iter().fold(argument, |x, stage| stage.eval(x));
        product(u, ONE.wrapping_add(sign), FRACTION + 1)
    }

    /// Whether u is within the range.
    pub fn in_range(&self, u: i64) -> bool {
        (-self.range..=self.range).contains(&u)
    }

    /// Bound on how far roundings move the value at any u within the range from that of the
    /// polynomial, in units of u.
    pub fn error(&self) -> f64 {
        let unit = 1.0 / ONE as f64;
        // The factor is off by half a unit of its own, times u; the product is rounded.
        let first = self.range as f64 / f64::from(1u32 << (SCALE + 1)) + 0.5;
        let sign = self.stages.iter().fold(first, |error, stage| {
            // The argument's own product and factor are rounded.
            stage.slope * (error + 2.0) + stage.rounding
        });
        self.range as f64 * sign * unit / 2.0 + 0.5
    }
}

impl Stage {
    fn eval(&self, x: i64) -> i64 {
        let u = product(x, self.scale, FRACTION);
        let twice = product(u, u, FRACTION - 2).wrapping_sub(2 * ONE);
        let (mut b, mut next) = (0i64, 0i64);
        for c in self.coefficients.iter().rev() {
            let value = product(twice, b, FRACTION).wrapping_sub(next).wrapping_add(*c);
            (b, next) = (value, b);
        }
        product(u, b.wrapping_sub(next), FRACTION)
    }
}

/// a b / 2^bits to nearest, modulo 2^64.
fn product(a: i64, b: i64, bits: u32) -> i64 {
    ((i128::from(a) * i128::from(b) + (1i128 << (bits - 1))) >> bits) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use hushwire_minimax::{ALPHAS, Construction, PolynomialFile};
    use proptest::prelude::*;

    fn all(range: f64) -> Vec<(SignPolynomial, PolynomialOp)> {
        let place = Place { source: 0, truncate: 0, width: 40, range };
        let both = [Construction::Uniform, Construction::Weighted];
        let known = |alpha| {
            both.map(|c| {
                let sign = PolynomialFile::known(alpha, c).unwrap().polynomial;
                (sign.clone(), PolynomialOp::new(place, alpha, &sign))
            })
        };
        ALPHAS.flat_map(known).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Against the circuits in double precision.
        #[test]
        fn roundings_stay_below_their_bound(
            bits in 3.0f64..22.0, at in prop::collection::vec(-1.0f64..=1.0, 30),
        ) {
            let range = bits.exp2();
            for (sign, op) in all(range) {
                prop_assert!(op.error() < 0.5 + range / 1e4, "alpha {}: {}", op.alpha, op.error());
                for at in &at {
                    let u = (at * op.range as f64).round() as i64;
                    prop_assert!(op.in_range(u));
                    let x = u as f64 / range;
                    let exact = u as f64 * (1.0 + sign.sign_by_circuit(x)) / 2.0;
                    // Double precision is off as well.
                    let allowed = op.error() + range * 1e-12;
                    let found = op.eval(u) as f64;
                    prop_assert!((found - exact).abs() <= allowed, "{u}: {found} {exact}");
                }
            }
        }
    }

    #[test]
    fn nothing_panics_out_of_range() {
        for (_, op) in all(1000.0) {
            for u in [i64::MIN, -(1 << 40), -1001, 1001, 1 << 33, i64::MAX] {
                assert!(!op.in_range(u));
                op.eval(u);
            }
        }
    }
}
