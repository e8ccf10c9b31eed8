//! A function on a range with a density, as samples.

use hushwire_plan::Piecewise;

use crate::{Density, Function, SmoothError};

/// Widest cells between which knots may lie, as a power of two.
pub const KNOT_BITS: i32 = 5;

/// Samples in a cell, each at the middle of its part.
const PER_CELL: usize = 4;

/// What is fitted: a function on a range, sampled, and where its inputs are.
///
/// The range is cut into cells of equal width, a power of two; knots lie between cells.
#[derive(Clone, Debug)]
pub struct Target {
    /// The function.
    pub function: Function,
    low: f64,
    cell: f64,
    cells: usize,
    /// Where the samples are, their values, and their share of the density's mass.
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
    pub(crate) mass: Vec<f64>,
    /// Values between cells, ends included.
    pub(crate) between: Vec<f64>,
    most_pieces: u64,
}

impl Target {
    /// A function on `low..high` (widened to whole cells of 1/32, or coarser ones where there would be
    /// more than 512 of them) under a density.
    ///
    /// # Errors
    /// A range that is not one, a pole in it or a value that is not finite, a density without mass in
    /// it.
    pub fn new(
        function: Function,
        range: [f64; 2],
        density: &Density,
    ) -> Result<Self, SmoothError> {
        Self::with_cells(function, range, density, 512)
    }

    /// As [`new`](Self::new) with at most about `most` cells: fits take time with their square.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_cells(
        function: Function,
        [low, high]: [f64; 2],
        density: &Density,
        most: usize,
    ) -> Result<Self, SmoothError> {
        if !(low.is_finite() && high.is_finite() && low < high && high - low <= 2f64.powi(20)) {
            return Err(SmoothError::Range(low, high));
        }
        if let Some(at) = function.pole().filter(|at| (low..=high).contains(at)) {
            return Err(SmoothError::Pole { function: function.name(), at, low, high });
        }
        let mut cell = 2f64.powi(-KNOT_BITS);
        while (high - low) / cell > most as f64 {
            cell *= 2.0;
        }
        let low = (low / cell).floor() * cell;
        let cells = ((high - low) / cell).ceil() as usize;
        let part = cell / PER_CELL as f64;
        let x: Vec<f64> = (0..cells * PER_CELL).map(|i| low + (i as f64 + 0.5) * part).collect();
        let y: Vec<f64> = x.iter().map(|x| function.eval(*x)).collect();
        let between: Vec<f64> = (0..=cells).map(|i| function.eval(low + i as f64 * cell)).collect();
        let broken = y.iter().zip(&x).find(|(y, _)| !y.is_finite()).map(|(_, x)| *x);
        if let Some(at) = broken {
            return Err(SmoothError::NotFinite { function: function.name(), at });
        }
        let mass: Vec<f64> =
            x.iter().map(|x| density.mass(x - part / 2.0, x + part / 2.0)).collect();
        if mass.iter().sum::<f64>() <= 0.0 {
            return Err(SmoothError::Outside(low, high));
        }
        let most_pieces = density.samples().min(cells as u64);
        Ok(Self { function, low, cell, cells, x, y, mass, between, most_pieces })
    }

    /// Ends of the range.
    pub fn range(&self) -> [f64; 2] {
        [self.low, self.knot(self.cells)]
    }

    /// How many cells there are.
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// Where cell `index` begins.
    pub fn knot(&self, index: usize) -> f64 {
        self.low + index as f64 * self.cell
    }

    /// The samples of the cells in a range.
    pub(crate) fn samples(&self, cells: std::ops::Range<usize>) -> std::ops::Range<usize> {
        cells.start * PER_CELL..cells.end * PER_CELL
    }

    /// The share of the range's length that a sample stands for.
    pub(crate) fn even(&self) -> f64 {
        1.0 / self.x.len() as f64
    }

    /// How many pieces are possible.
    pub(crate) fn most_pieces(&self) -> usize {
        self.most_pieces.min(crate::MAX_PIECES as u64) as usize
    }

    /// Refuses numbers of pieces that cannot be.
    pub(crate) fn check(&self, pieces: usize, degree: usize) -> Result<(), SmoothError> {
        if pieces as u64 > self.most_pieces {
            return Err(SmoothError::Pieces { pieces, samples: self.most_pieces });
        }
        let within = |what, value, least, most| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(SmoothError::Size { what, value, least, most })
            }
        };
        within("pieces:", pieces, 1, crate::MAX_PIECES)?;
        within("degree", degree, 1, crate::MAX_DEGREE)
    }

    /// The whole function of pieces that meet at the given cells, in the plan's form: with the
    /// function's tails outside the range.
    pub(crate) fn piecewise(
        &self,
        inner: &[usize],
        pieces: Vec<Vec<f64>>,
        format: Format,
    ) -> Piecewise {
        let mut knots: Vec<f64> = inner.iter().map(|i| self.knot(*i)).collect();
        let mut pieces = pieces;
        let [left, right] = self.function.tails().map(|tail| {
            tail.map(|[constant, slope]| match (constant, slope) {
                (0.0, 0.0) => Vec::new(),
                (constant, 0.0) => vec![constant],
                (constant, slope) => vec![constant, slope],
            })
        });
        if let Some(left) = left {
            knots.insert(0, self.knot(0));
            pieces.insert(0, left);
        }
        if let Some(right) = right {
            knots.push(self.knot(self.cells));
            pieces.push(right);
        }
        let Format { input_bits, accumulator_bits } = format;
        Piecewise { input_bits, accumulator_bits, knots, pieces }
    }

    /// The errors of a piecewise polynomial.
    pub fn score(&self, function: &Piecewise) -> Score {
        let mut score = Score { expected: 0.0, squared: 0.0, max: 0.0 };
        for ((x, y), mass) in self.x.iter().zip(&self.y).zip(&self.mass) {
            let error = (function.eval(*x) - y).abs();
            score.expected += mass * error;
            score.squared += mass * error * error;
            score.max = score.max.max(error);
        }
        let [low, high] = self.range();
        for (i, y) in self.between.iter().enumerate() {
            // From the left as well: a function may jump at a knot.
            let x = self.knot(i);
            for x in [x, x - 1e-9 * self.cell] {
                if (low..high).contains(&x) {
                    score.max = score.max.max((function.eval(x) - y).abs());
                }
            }
        }
        score
    }
}

/// Errors of a fit.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Score {
    /// Expectation of the absolute error under the density.
    pub expected: f64,
    /// Expectation of its square.
    pub squared: f64,
    /// Largest absolute error on the range.
    pub max: f64,
}

/// The precision of coefficients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Fractional bits f of the input.
    pub input_bits: i32,
    /// Fractional bits F of the result: the coefficient of x^j is a multiple of 2^(j f - F).
    pub accumulator_bits: i32,
}

impl Format {
    /// As precise as a plan allows, at six fractional bits of the input.
    pub const FINE: Self = Self { input_bits: 6, accumulator_bits: 50 };

    /// What the coefficient of x^j is a multiple of.
    pub fn unit(self, j: usize) -> f64 {
        2f64.powi(j as i32 * self.input_bits - self.accumulator_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_poles_are_refused() {
        let at = |function, range| Target::new(function, range, &Density::Normal);
        let pole = at(Function::Reciprocal, [-5.0, 5.0]).expect_err("a pole");
        assert_eq!(
            pole.to_string(),
            "reciprocal has a pole at 0, inside -5..5: no polynomial comes near it"
        );
        assert!(at(Function::Reciprocal, [1.0, 5.0]).is_ok());
        assert!(matches!(at(Function::Silu, [1.0, 1.0]), Err(SmoothError::Range(..))));
        assert!(matches!(at(Function::Silu, [f64::NAN, 1.0]), Err(SmoothError::Range(..))));
        let infinite = at(Function::Exp, [0.0, 1000.0]);
        assert!(matches!(infinite, Err(SmoothError::NotFinite { .. })));
        let histogram = crate::Histogram::from_counts(8.0, 9.0, &[1], 0.0).expect("counts");
        let density = Density::Histogram(histogram);
        let outside = Target::new(Function::Silu, [-5.0, 5.0], &density);
        assert!(matches!(outside, Err(SmoothError::Outside(..))));
    }

    #[test]
    fn scores_are_those_of_the_definition() {
        let target = Target::new(Function::Silu, [-5.0, 5.0], &Density::Normal).expect("fine");
        let zero =
            Piecewise { input_bits: 6, accumulator_bits: 6, knots: vec![], pieces: vec![vec![]] };
        let score = target.score(&zero);
        // E|SiLU| by a sum over a far finer grid.
        let fine: f64 = (-50_000..50_000)
            .map(|i| f64::from(i) / 1e4 + 5e-5)
            .map(|x| Function::Silu.eval(x).abs() * (-x * x / 2.0).exp() * 1e-4)
            .sum::<f64>()
            / std::f64::consts::TAU.sqrt();
        assert!((score.expected - fine).abs() < 1e-5, "{score:?} {fine}");
        assert!((score.max - Function::Silu.eval(5.0)).abs() < 1e-6, "{score:?}");
    }
}
