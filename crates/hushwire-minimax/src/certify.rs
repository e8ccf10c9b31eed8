//! Proofs of errors by interval arithmetic.
//!
//! The error of ReLU at x is h(x) = x (1 - s(x)) / 2 for x in [0, 1], and the same at -x since s is
//! odd. [0, 1] is cut into cells. On a cell with centre c and half width r, |h| is at most
//! |h(c)| + r max |h'|, where h(c) and h' over the cell are enclosed with 128 bits and outward
//! rounding; h' comes from the chain rule with each stage expanded at its value at c. A cell whose
//! bound is too large is halved.

use crate::interval::Interval;
use crate::{Error, OddPolynomial, SignPolynomial};

/// How far the bound may lie above the largest error found, relatively.
const SLACK: f64 = 1.0 / 1024.0;

/// Cells narrower than this are not halved.
const NARROWEST: f64 = 1e-12;

/// Cells to begin with.
const CELLS: u32 = 256;

/// Cells at most: ten times what the most precise polynomials here take.
const PATIENCE: usize = 1 << 20;

impl SignPolynomial {
    /// An upper bound on |max(x, 0) - x (1 + s(x)) / 2| over [-1, 1] for the polynomials with these
    /// coefficients in exact arithmetic. It exceeds the maximum by 0.1% at most.
    ///
    /// # Errors
    /// The error varies too fast to be enclosed; such polynomials approximate nothing.
    pub fn certified_error(&self) -> Result<f64, Error> {
        let mut largest: f64 = 0.0;
        self.enclose(|found| {
            largest = largest.max(found);
            largest * (1.0 + SLACK)
        })
    }

    /// Proves that that error is at most `bound`. Much faster than
    /// [`certified_error`](Self::certified_error) if it is smaller by some percent.
    ///
    /// # Errors
    /// It is not, or it is too close to the bound to tell.
    pub fn prove(&self, bound: f64) -> Result<(), Error> {
        self.enclose(|_| bound).map(|_| ())
    }

    /// The largest bound of a cell. Cells are halved until their bound is at most what `limit`
    /// returns for a bound of the error at their centre.
    fn enclose(&self, mut limit: impl FnMut(f64) -> f64) -> Result<f64, Error> {
        let stages: Vec<Stage> = self.stages().iter().map(Stage::new).collect();
        let at = |i: u32| f64::from(i) / f64::from(CELLS);
        let mut cells: Vec<(f64, f64)> = (0..CELLS).map(|i| (at(i), at(i + 1))).collect();
        let mut bound: f64 = 0.0;
        let mut seen = 0;
        while let Some((a, b)) = cells.pop() {
            seen += 1;
            // Half sums and differences of these binary fractions are exact.
            let (centre, half) = ((a + b) / 2.0, (b - a) / 2.0);
            let (value, slope) = error_and_slope(&stages, centre, half);
            let most = (value + (slope * half).next_up()).next_up();
            if most <= limit(value) {
                bound = bound.max(most);
            } else if half < NARROWEST || !most.is_finite() || seen > PATIENCE {
                return Err(Error::Enclosure { x: centre, bound: most });
            } else {
                cells.extend([(a, centre), (centre, b)]);
            }
        }
        Ok(bound)
    }
}

/// Upper bounds of |h(c)| and of |h'| on the cell.
fn error_and_slope(stages: &[Stage], centre: f64, half: f64) -> (f64, f64) {
    let [one, x] = [1.0, centre].map(Interval::point);
    let cell = Interval::between(centre - half, centre + half);
    let (mut value, mut range, mut slope) = (x.clone(), cell.clone(), one.clone());
    for stage in stages {
        let (at, over, derivative) = stage.enclose(&value, &range);
        slope = &derivative * &slope;
        (value, range) = (at, over);
    }
    let error = &(&one - &value) * &x;
    let slope = &(&one - &range) - &(&cell * &slope);
    (error.magnitude() / 2.0, slope.magnitude() / 2.0)
}

/// A stage in powers of its scaled argument.
struct Stage {
    /// 1 / bound
    scale: Interval,
    /// Of u, u^3, ...
    powers: Vec<Interval>,
}

impl Stage {
    fn new(polynomial: &OddPolynomial) -> Stage {
        let terms = polynomial.coefficients().len();
        let mut powers = vec![Interval::point(0.0); terms];
        // T_1 and T_-1 = T_1 to begin with; T_(n+2) = (4 u^2 - 2) T_n - T_(n-2).
        let mut first = vec![0.0; terms];
        first[0] = 1.0;
        let (mut before, mut now) = (first.clone(), first);
        for c in polynomial.coefficients() {
            for (power, t) in powers.iter_mut().zip(&now) {
                *power = &*power + &(&Interval::point(*c) * &Interval::point(*t));
            }
            // Whole numbers below 2^53.
            let next: Vec<f64> = (0..terms)
                .map(|i| 4.0 * if i > 0 { now[i - 1] } else { 0.0 } - 2.0 * now[i] - before[i])
                .collect();
            (before, now) = (now, next);
        }
        Stage { scale: Interval::reciprocal(polynomial.bound()), powers }
    }

    /// Enclosures of the value at `at`, and of value and derivative over `range`.
    fn enclose(&self, at: &Interval, range: &Interval) -> (Interval, Interval, Interval) {
        let (u, all) = (at * &self.scale, range * &self.scale);
        let offset = &all - &u;
        // Taylor's coefficients at u, by repeated division by (v - u).
        let zero = Interval::point(0.0);
        let mut taylor: Vec<Interval> =
            self.powers.iter().flat_map(|c| [zero.clone(), c.clone()]).collect();
        let degree = taylor.len() - 1;
        for order in 0..degree {
            for i in (order..degree).rev() {
                taylor[i] = &taylor[i] + &(&taylor[i + 1] * &u);
            }
        }
        let (mut value, mut derivative) = (zero.clone(), zero);
        for coefficient in taylor.iter().rev() {
            derivative = &(&derivative * &offset) + &value;
            value = &(&value * &offset) + coefficient;
        }
        (taylor.swap_remove(0), value, &derivative * &self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Construction, DegreeSet};

    #[test]
    fn the_bound_is_close_above_what_is_found() {
        for degrees in [&[5][..], &[3, 7], &[7, 15]] {
            let degrees = DegreeSet::new(degrees).unwrap();
            let p = SignPolynomial::new(&degrees, Construction::Uniform).unwrap();
            let bound = p.certified_error().unwrap();
            let errors = (-100_000..=100_000).map(|i| {
                let x = f64::from(i) / 100_000.0;
                (x.max(0.0) - p.relu(x, 1.0)).abs()
            });
            let found = errors.fold(0.0, f64::max);
            assert!(found <= bound && bound <= found * 1.002, "{degrees}: {found} {bound}");
        }
    }

    #[test]
    fn a_wrong_coefficient_shows() {
        let degrees = DegreeSet::new(&[7, 7]).unwrap();
        let p = SignPolynomial::new(&degrees, Construction::Uniform).unwrap();
        let mut stages = p.stages().to_vec();
        stages[1].coefficients[2] += 0.01;
        let wrong = SignPolynomial::from_stages(stages).unwrap();
        let error = p.certified_error().unwrap();
        assert!(wrong.certified_error().unwrap() > error * 1.2);
        assert!(p.prove(error * 1.1).is_ok());
        assert!(wrong.prove(error * 1.1).is_err());
    }
}
