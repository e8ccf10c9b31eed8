//! ReLU by a composite polynomial for many elements at once, in single precision.

use crate::SignPolynomial;

/// Elements that are worked on together: loops over them become vector code.
const LANES: usize = 16;

/// ReLU by a composite polynomial, in single precision.
///
/// Every caller gets the same bits, whatever instructions it was compiled for: sums and products are
/// taken in one order and never contracted. On [-1, 1] the result is within 2^-14 of
/// [`SignPolynomial::relu`]; beyond, a polynomial grows as polynomials do.
#[derive(Clone, Debug, PartialEq)]
pub struct Rectifier {
    stages: Vec<Stage>,
    /// Values of the sign at -1 and 1 are those of this magnitude.
    end: f32,
}

#[derive(Clone, Debug, PartialEq)]
struct Stage {
    /// Arguments are multiplied by this.
    scale: f32,
    /// Of `T_1, T_3, ...`, the last one first.
    values: Vec<f32>,
    /// Of `U_0, U_2, ...` in the derivative, the last one first.
    slopes: Vec<f32>,
}

impl Rectifier {
    /// ReLU with this sign.
    pub fn new(sign: &SignPolynomial) -> Rectifier {
        let stage = |stage: &crate::OddPolynomial| {
            // T_n' = n U_(n-1)
            let slopes = stage.coefficients().iter().enumerate();
            let slopes = slopes.map(|(i, c)| (c * (2 * i + 1) as f64 / stage.bound()) as f32);
            Stage {
                scale: (1.0 / stage.bound()) as f32,
                values: stage.coefficients().iter().rev().map(|c| *c as f32).collect(),
                slopes: slopes.rev().collect(),
            }
        };
        let stages = sign.stages().iter().map(stage).collect();
        Rectifier { stages, end: sign.sign(1.0) as f32 }
    }

    /// The polynomial at every `x` where |x| <= `range`, x (1 + s(x / range)) / 2, and as it is
    /// beyond; gives how many are beyond.
    #[inline(always)]
    pub fn relu(&self, range: f32, x: &[f32], to: &mut [f32]) -> usize {
        self.each(range, x, to, |x, u| {
            let s = self.sign(u);
            lanes(|l| 0.5 * x[l] * (1.0 + s[l]))
        })
    }

    /// As [`relu`](Self::relu) within the range; beyond, the sign stays what it is at the ends.
    #[inline(always)]
    pub fn bounded(&self, range: f32, x: &[f32], to: &mut [f32]) -> usize {
        self.each(range, x, to, |x, u| {
            let s = self.bounded_sign(u);
            lanes(|l| 0.5 * x[l] * (1.0 + s[l]))
        })
    }

    /// The derivatives of [`bounded`](Self::bounded).
    #[inline(always)]
    pub fn slope(&self, range: f32, x: &[f32], to: &mut [f32]) {
        self.each(range, x, to, |_, u| {
            let inside = lanes(|l| u[l].clamp(-1.0, 1.0));
            let (s, slope) = self.sign_and_slope(inside);
            lanes(|l| {
                let beyond = u[l].abs() > 1.0;
                let sign = if beyond { self.end.copysign(u[l]) } else { s[l] };
                let bend = if beyond { 0.0 } else { u[l] * slope[l] };
                0.5 * (1.0 + sign + bend)
            })
        });
    }

    /// Applies `f(x, x / range)` and counts what is out of range.
    #[inline(always)]
    fn each(
        &self,
        range: f32,
        x: &[f32],
        to: &mut [f32],
        f: impl Fn([f32; LANES], [f32; LANES]) -> [f32; LANES],
    ) -> usize {
        let inverse = 1.0 / range;
        let mut outside = 0;
        let mut part = |x: &[f32; LANES], to: &mut [f32; LANES]| {
            *to = f(*x, lanes(|l| x[l] * inverse));
            // What is no number is out of range.
            outside +=
                x.iter().map(|x| u32::from(x.is_nan() || x.abs() > range)).sum::<u32>() as usize;
        };
        let (wide, rest) = x.as_chunks::<LANES>();
        let (to_wide, to_rest) = to.as_chunks_mut::<LANES>();
        wide.iter().zip(to_wide).for_each(|(x, to)| part(x, to));
        let (mut last, mut result) = ([0.0; LANES], [0.0; LANES]);
        last[..rest.len()].copy_from_slice(rest);
        part(&last, &mut result);
        to_rest.copy_from_slice(&result[..rest.len()]);
        outside
    }

    #[inline(always)]
    fn bounded_sign(&self, u: [f32; LANES]) -> [f32; LANES] {
        let s = self.sign(lanes(|l| u[l].clamp(-1.0, 1.0)));
        lanes(|l| if u[l].abs() > 1.0 { self.end.copysign(u[l]) } else { s[l] })
    }

    /// The sign, by Clenshaw's recurrence stage by stage.
    #[inline(always)]
    fn sign(&self, x: [f32; LANES]) -> [f32; LANES] {
        self.stages.iter().fold(x, |x, stage| stage.value(lanes(|l| x[l] * stage.scale)))
    }

    /// The sign and its derivative.
    #[inline(always)]
    fn sign_and_slope(&self, x: [f32; LANES]) -> ([f32; LANES], [f32; LANES]) {
        self.stages.iter().fold((x, [1.0; LANES]), |(x, slope), stage| {
            let u = lanes(|l| x[l] * stage.scale);
            let inner = stage.slope(u);
            (stage.value(u), lanes(|l| slope[l] * inner[l]))
        })
    }
}

impl Stage {
    #[inline(always)]
    fn value(&self, u: [f32; LANES]) -> [f32; LANES] {
        let (b, next) = clenshaw(&self.values, u);
        lanes(|l| u[l] * (b[l] - next[l]))
    }

    #[inline(always)]
    fn slope(&self, u: [f32; LANES]) -> [f32; LANES] {
        // U_2 = 2 T_2 + 1, so the sum is b_0 + b_1.
        let (b, next) = clenshaw(&self.slopes, u);
        lanes(|l| b[l] + next[l])
    }
}

/// b_0 and b_1 of the recurrence b_i = c_i + 2 T_2(u) b_(i+1) - b_(i+2).
#[inline(always)]
fn clenshaw(coefficients: &[f32], u: [f32; LANES]) -> ([f32; LANES], [f32; LANES]) {
    let twice = lanes(|l| 4.0 * u[l] * u[l] - 2.0);
    let (mut b, mut next) = ([0.0; LANES], [0.0; LANES]);
    for c in coefficients {
        let value = lanes(|l| twice[l] * b[l] - next[l] + c);
        (b, next) = (value, b);
    }
    (b, next)
}

#[inline(always)]
fn lanes(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    let mut to = [0.0; LANES];
    for (l, to) in to.iter_mut().enumerate() {
        *to = f(l);
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ALPHAS, Construction, PolynomialFile};
    use proptest::prelude::*;

    fn all() -> Vec<(SignPolynomial, Rectifier)> {
        let both = [Construction::Uniform, Construction::Weighted];
        let known = |alpha| both.map(|c| PolynomialFile::known(alpha, c).unwrap().polynomial);
        let all = ALPHAS.flat_map(known);
        all.map(|sign| (sign.clone(), Rectifier::new(&sign))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Against the circuits whose depth and multiplications are counted.
        #[test]
        fn single_precision_is_close_to_the_circuits(
            x in prop::collection::vec(-1.0f32..1.0, 1..40), range in 0.01f32..300.0,
        ) {
            let x: Vec<f32> = x.iter().map(|x| x * range).collect();
            let mut y = vec![f32::NAN; x.len()];
            let mut bounded = y.clone();
            for (sign, rectifier) in all() {
                prop_assert_eq!(rectifier.relu(range, &x, &mut y), 0);
                rectifier.bounded(range, &x, &mut bounded);
                prop_assert_eq!(&y, &bounded);
                for (x, y) in x.iter().zip(&y) {
                    let u = f64::from(*x) / f64::from(range);
                    let exact = u * (1.0 + sign.sign_by_circuit(u)) / 2.0;
                    let error = f64::from(*y) / f64::from(range) - exact;
                    prop_assert!(error.abs() < 2f64.powi(-14), "{x} of {range}: off by {error:e}");
                }
            }
        }

        #[test]
        fn slopes_are_differences(u in -0.99f64..0.99) {
            for (sign, rectifier) in all() {
                let h = 1e-6;
                let exact = (sign.relu(u + h, 1.0) - sign.relu(u - h, 1.0)) / (2.0 * h);
                let mut slope = [0.0];
                rectifier.slope(3.0, &[3.0 * u as f32], &mut slope);
                let error = (f64::from(slope[0]) - exact).abs();
                prop_assert!(error < 2e-2 * exact.abs().max(1.0), "{u}: {} {exact}", slope[0]);
            }
        }
    }

    #[test]
    fn what_is_out_of_range_is_counted() {
        for (sign, rectifier) in all() {
            let x = [-2.0, -1.0, 0.5, 1.0, 1.0001, f32::NAN, f32::INFINITY];
            let mut y = [0.0; 7];
            assert_eq!(rectifier.relu(1.0, &x, &mut y), 4);
            assert_eq!(rectifier.bounded(1.0, &x, &mut y), 4);
            let error = sign.relu(1.0, 1.0) - 1.0;
            assert!((f64::from(y[0]) - 2.0 * error).abs() < 1e-3, "the sign stays");
            let mut slope = [0.0; 7];
            rectifier.slope(1.0, &x, &mut slope);
            assert!((slope[0]).abs() < 0.05 && (slope[4] - 1.0).abs() < 0.05, "{slope:?}");
        }
    }
}
