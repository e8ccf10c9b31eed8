//! Weighted least squares on intervals, from moments, and rounding that spreads errors.
//!
//! Polynomials are in the interval's own coordinate s, from -1 to 1, where their moments are well
//! conditioned; [`Chart`] takes them to powers of x.

use nalgebra::{DMatrix, DVector};

use crate::MAX_DEGREE;

const GRAM: usize = 2 * MAX_DEGREE + 1;
const CROSS: usize = MAX_DEGREE + 1;

/// A polynomial in an interval's coordinate, the constant first.
pub(crate) type Local = [f64; CROSS];

/// Sums of w t^n and of w y t^n over samples.
#[derive(Clone, Copy, Default)]
pub(crate) struct Moments {
    powers: [f64; GRAM],
    cross: [f64; CROSS],
}

impl Moments {
    pub(crate) fn add(&mut self, t: f64, y: f64, weight: f64) {
        let mut power = weight;
        for n in 0..GRAM {
            self.powers[n] += power;
            if n < CROSS {
                self.cross[n] += power * y;
            }
            power *= t;
        }
    }

    /// These and `share` times others.
    pub(crate) fn plus(&self, others: &Moments, share: f64) -> Moments {
        let mut sum = *self;
        sum.powers.iter_mut().zip(&others.powers).for_each(|(a, b)| *a += share * b);
        sum.cross.iter_mut().zip(&others.cross).for_each(|(a, b)| *a += share * b);
        sum
    }

    /// The moments in s = (t - centre) / half.
    pub(crate) fn shifted(&self, centre: f64, half: f64) -> Moments {
        let shift = |moments: &[f64], out: &mut [f64]| {
            // Horner's scheme of the binomial theorem, in place: moments of t - centre.
            let mut work = [0.0; GRAM];
            work[..moments.len()].copy_from_slice(moments);
            for pass in 1..moments.len() {
                for n in (pass..moments.len()).rev() {
                    work[n] -= centre * work[n - 1];
                }
            }
            let mut scale = 1.0;
            for (out, moment) in out.iter_mut().zip(work) {
                *out = moment * scale;
                scale /= half;
            }
        };
        let mut out = Moments::default();
        shift(&self.powers, &mut out.powers);
        shift(&self.cross, &mut out.cross);
        out
    }

    /// The Gram matrix of 1, s, .., s^degree.
    pub(crate) fn gram(&self, degree: usize) -> DMatrix<f64> {
        DMatrix::from_fn(degree + 1, degree + 1, |i, j| self.powers[i + j])
    }

    /// The polynomial with the least weighted square error, if the weights determine one.
    pub(crate) fn solve(&self, degree: usize) -> Option<Local> {
        let mut gram = self.gram(degree);
        // Where weights nearly vanish on a part of the interval, rounding must not decide.
        for i in 0..=degree {
            gram[(i, i)] += 1e-13 * self.powers[0];
        }
        let cross = DVector::from_column_slice(&self.cross[..=degree]);
        let solved = gram.cholesky()?.solve(&cross);
        let mut local = [0.0; CROSS];
        local[..=degree].copy_from_slice(solved.as_slice());
        local.iter().all(|c| c.is_finite()).then_some(local)
    }
}

/// The coordinate s = (x - centre) / half of an interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chart {
    pub(crate) centre: f64,
    pub(crate) half: f64,
}

impl Chart {
    pub(crate) fn new(low: f64, high: f64) -> Self {
        Self { centre: (low + high) / 2.0, half: (high - low) / 2.0 }
    }

    pub(crate) fn s(self, x: f64) -> f64 {
        (x - self.centre) / self.half
    }

    /// Column j has the coefficients of x^j as a polynomial in s: upper triangular.
    fn powers(self, degree: usize) -> DMatrix<f64> {
        let mut matrix = DMatrix::zeros(degree + 1, degree + 1);
        matrix[(0, 0)] = 1.0;
        for j in 1..=degree {
            for i in 0..j {
                matrix[(i, j)] += matrix[(i, j - 1)] * self.centre;
                matrix[(i + 1, j)] += matrix[(i, j - 1)] * self.half;
            }
        }
        matrix
    }

    /// Coefficients of the powers of x.
    pub(crate) fn globally(self, local: &Local, degree: usize) -> Vec<f64> {
        let local = DVector::from_column_slice(&local[..=degree]);
        let solved = self.powers(degree).solve_upper_triangular(&local);
        // The diagonal has powers of half the width, which is not zero.
        solved.map_or_else(|| vec![0.0; degree + 1], |c| c.as_slice().to_vec())
    }

    /// Coefficients of the powers of x, the one of x^j a multiple of `units[j]`, chosen together:
    /// the highest is rounded first and each lower one then makes up for what was rounded before
    /// (Babai's nearest plane; the basis is triangular as it is).
    pub(crate) fn rounded(self, local: &Local, moments: &Moments, units: &[f64]) -> Vec<f64> {
        let degree = units.len() - 1;
        let exact = self.globally(local, degree);
        let mut gram = moments.gram(degree);
        for i in 0..=degree {
            gram[(i, i)] += 1e-12 * moments.powers[0].max(f64::MIN_POSITIVE);
        }
        let alone = |j: usize| (exact[j] / units[j]).round() * units[j];
        let Some(factor) = gram.cholesky() else { return (0..=degree).map(alone).collect() };
        let basis = factor.l().transpose() * self.powers(degree);
        let mut rounded = vec![0.0; degree + 1];
        for j in (0..=degree).rev() {
            let owed: f64 = (j + 1..=degree).map(|l| basis[(j, l)] * (exact[l] - rounded[l])).sum();
            rounded[j] = ((exact[j] + owed / basis[(j, j)]) / units[j]).round() * units[j];
        }
        rounded
    }
}

/// The value of a polynomial, the constant first.
pub(crate) fn horner(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn samples(from: f64, to: f64, f: impl Fn(f64) -> f64, weight: impl Fn(f64) -> f64) -> Moments {
        let mut moments = Moments::default();
        for i in 0..200 {
            let t = from + (to - from) * (f64::from(i) + 0.5) / 200.0;
            moments.add(t, f(t), weight(t));
        }
        moments
    }

    proptest! {
        /// Polynomials are found again, in whatever coordinates moments were taken.
        #[test]
        fn polynomials_are_their_own_fit(
            coefficients in prop::collection::vec(-3.0f64..3.0, 1..=6),
            from in -4.0f64..4.0,
            width in 0.1f64..4.0,
        ) {
            let degree = coefficients.len() - 1;
            let chart = Chart::new(from, from + width);
            // Moments about the left end, as they are summed.
            let f = |t: f64| horner(&coefficients, t + from);
            let moments = samples(0.0, width, f, |t| 1.0 + t);
            let local = moments.shifted(width / 2.0, width / 2.0).solve(degree).expect("determined");
            for i in 0..=10 {
                let x = from + width * f64::from(i) / 10.0;
                let (value, exact) = (horner(&local, chart.s(x)), horner(&coefficients, x));
                prop_assert!((value - exact).abs() < 1e-6 * (1.0 + exact.abs()), "{} {}", value, exact);
                let global = horner(&chart.globally(&local, degree), x);
                prop_assert!((value - global).abs() < 1e-6 * (1.0 + exact.abs()));
            }
        }

        /// Rounding together is never worse than rounding alone by much, and gives multiples.
        #[test]
        fn rounded_together_is_near(local in prop::array::uniform4(-1.0f64..1.0), centre in -4.0f64..4.0) {
            let chart = Chart { centre, half: 0.5 };
            let mut full = Local::default();
            full[..4].copy_from_slice(&local);
            let moments = samples(-1.0, 1.0, |_| 0.0, |_| 0.01);
            let units = [1.0 / 256.0, 1.0 / 128.0, 1.0 / 64.0, 1.0 / 32.0];
            let rounded = chart.rounded(&full, &moments, &units);
            for (c, unit) in rounded.iter().zip(units) {
                prop_assert_eq!((c / unit).fract(), 0.0);
            }
            let exact = chart.globally(&full, 3);
            let alone: Vec<f64> =
                exact.iter().zip(units).map(|(c, unit)| (c / unit).round() * unit).collect();
            let off = |other: &[f64]| -> f64 {
                (0..100)
                    .map(|i| centre - 0.5 + f64::from(i) / 100.0)
                    .map(|x| (horner(other, x) - horner(&exact, x)).powi(2))
                    .sum::<f64>()
                    .sqrt()
                    / 10.0
            };
            // Half a unit of the constant, and what the higher ones leave in the shape.
            prop_assert!(off(&rounded) < 0.02, "{} {}", off(&rounded), off(&alone));
        }
    }
}
