//! Every interval between two possible knots with a few polynomials for it, and the best division
//! of the range into pieces: dynamic programming over the knots.

use hushwire_plan::Piecewise;
use rayon::prelude::*;

use crate::chebyshev::Interpolation;
use crate::squares::{Chart, Local, Moments, horner};
use crate::{Format, Score, SmoothError, Target};

/// Shares of an even density that are mixed into the density, one polynomial each: from fits that
/// only see where inputs are to fits that see the whole interval.
const EVEN: [f64; 6] = [0.0, 1e-3, 1e-2, 0.1, 1.0, 1e3];

/// Polynomials for an interval: least squares under each mixture, and interpolation.
const CANDIDATES: usize = EVEN.len() + 1;

/// How a polynomial's coefficients are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rounding {
    /// After the division is chosen.
    Late,
    /// Before, because it decides which division is good: coefficients of x^j are multiples of these.
    Early([f64; 2]),
}

/// Errors of an interval's polynomials.
type Errors = [[f32; 2]; CANDIDATES];

/// All intervals of a target with polynomials of one degree.
pub(crate) struct Intervals<'t> {
    target: &'t Target,
    degree: usize,
    rounding: Rounding,
    interpolation: Interpolation,
    /// By the first cell, then the number of cells less one: expectation and maximum of the error.
    errors: Vec<Vec<Errors>>,
}

/// A division of the range.
#[derive(Clone, Debug)]
pub(crate) struct Division {
    /// Cells at which pieces begin, but for the first.
    pub inner: Vec<usize>,
    /// Which of its interval's polynomials each piece has.
    choices: Vec<usize>,
    /// Expectation of the error.
    expected: f64,
    /// Its maximum.
    max: f64,
}

impl<'t> Intervals<'t> {
    pub(crate) fn new(target: &'t Target, degree: usize, rounding: Rounding) -> Self {
        let interpolation = Interpolation::new(degree);
        let mut all = Self { target, degree, rounding, interpolation, errors: Vec::new() };
        all.errors =
            (0..target.cells()).into_par_iter().map(|first| all.beginning_at(first)).collect();
        all
    }

    /// The errors of all intervals that begin at a cell.
    fn beginning_at(&self, first: usize) -> Vec<Errors> {
        let mut sums = Sums::new(self.target, first);
        (first + 1..=self.target.cells())
            .map(|end| {
                sums.extend();
                let chart = Chart::new(self.target.knot(first), self.target.knot(end));
                let mut errors = Errors::default();
                for (choice, errors) in errors.iter_mut().enumerate() {
                    *errors = match self.polynomial(&sums, chart, choice) {
                        Some(local) => self.measure(first..end, chart, &local),
                        None => [f32::INFINITY; 2],
                    };
                }
                errors
            })
            .collect()
    }

    /// Candidate `choice` for the interval that has been summed.
    fn polynomial(&self, sums: &Sums<'_>, chart: Chart, choice: usize) -> Option<Local> {
        let moments = sums.moments(chart, choice);
        let local = if choice < EVEN.len() {
            moments.solve(self.degree)?
        } else {
            self.interpolation.local(self.target.function, chart)
        };
        let Rounding::Early(units) = &self.rounding else { return Some(local) };
        // Back into the interval's coordinate; lines only.
        let line = chart.rounded(&local, &moments, units);
        let mut local = Local::default();
        local[0] = line[0] + line[1] * chart.centre;
        local[1] = line[1] * chart.half;
        Some(local)
    }

    fn measure(&self, cells: std::ops::Range<usize>, chart: Chart, local: &Local) -> [f32; 2] {
        let target = self.target;
        let local = &local[..=self.degree];
        let samples = target.samples(cells.clone());
        let (mut expected, mut max) = (0.0f64, 0.0f64);
        for i in samples {
            let error = (horner(local, chart.s(target.x[i])) - target.y[i]).abs();
            expected += error * target.mass[i];
            max = max.max(error);
        }
        for (s, end) in [(-1.0, cells.start), (1.0, cells.end)] {
            max = max.max((horner(local, s) - target.between[end]).abs());
        }
        [expected as f32, max as f32]
    }

    /// For every cap on the maximum error the divisions with the least expected error, by the number
    /// of pieces less one; nothing where the cap cannot be met.
    pub(crate) fn divide(&self, pieces: usize, cap: f32) -> Vec<Option<Division>> {
        let cells = self.target.cells();
        // The best candidate of every interval within the cap.
        let best = |errors: &Errors| {
            errors.iter().enumerate().filter(|(_, e)| e[1] <= cap).fold(
                (f32::INFINITY, 0),
                |best, (i, e)| {
                    if e[0] < best.0 { (e[0], i) } else { best }
                },
            )
        };
        let costs: Vec<Vec<f32>> = self
            .errors
            .iter()
            .map(|ends| ends.iter().map(|errors| best(errors).0).collect())
            .collect();
        // Rows by the number of pieces: the least error of the first cells, and where the last begins.
        let mut least: Vec<f32> = std::iter::once(0.0).chain(costs[0].iter().copied()).collect();
        let mut begins: Vec<Vec<u32>> = vec![vec![0; cells + 1]];
        let mut divisions = Vec::with_capacity(pieces);
        for count in 1..=pieces {
            if count > 1 {
                let mut next = vec![f32::INFINITY; cells + 1];
                let mut begin = vec![0; cells + 1];
                for from in count - 1..cells {
                    if least[from].is_infinite() {
                        continue;
                    }
                    for (offset, cost) in costs[from].iter().enumerate() {
                        let sum = least[from] + cost;
                        if sum < next[from + offset + 1] {
                            next[from + offset + 1] = sum;
                            begin[from + offset + 1] = from as u32;
                        }
                    }
                }
                least = next;
                begins.push(begin);
            }
            divisions.push(least[cells].is_finite().then(|| {
                let mut ends = vec![cells];
                for begin in begins.iter().rev() {
                    let end = ends[ends.len() - 1];
                    ends.push(begin[end] as usize);
                }
                ends.reverse();
                let errors = |pair: &[usize]| &self.errors[pair[0]][pair[1] - pair[0] - 1];
                let choices: Vec<usize> = ends.windows(2).map(|p| best(errors(p)).1).collect();
                let chosen = || ends.windows(2).zip(&choices).map(|(p, c)| errors(p)[*c]);
                let expected = chosen().map(|e| f64::from(e[0])).sum();
                let max = chosen().map(|e| f64::from(e[1])).fold(0.0, f64::max);
                Division { inner: ends[1..ends.len() - 1].to_vec(), choices, expected, max }
            }));
        }
        divisions
    }

    /// For every number of pieces up to `pieces` the division with the least sum of expected error and
    /// `balance` times the maximum: one sweep over caps gives all of them.
    pub(crate) fn balanced(&self, pieces: usize, balance: f64) -> Vec<Option<Division>> {
        let mut best: Vec<Option<Division>> = vec![None; pieces];
        let worth = |division: &Division| division.expected + balance * division.max;
        for cap in self.caps() {
            let divisions = self.divide(pieces, cap);
            let mut any = false;
            for (best, division) in best.iter_mut().zip(divisions) {
                let Some(division) = division else { continue };
                any = true;
                if best.as_ref().is_none_or(|best| worth(&division) < worth(best)) {
                    *best = Some(division);
                }
            }
            if !any {
                break;
            }
        }
        best
    }

    /// Caps from the largest that matters down, in steps of a sixth.
    pub(crate) fn caps(&self) -> impl Iterator<Item = f32> + use<> {
        let whole = &self.errors[0][self.target.cells() - 1];
        let most = whole.iter().map(|e| e[1]).filter(|e| e.is_finite()).fold(1e-6, f32::max);
        (0..120).map(move |i| most * (5.0f32 / 6.0).powi(i))
    }

    /// The balanced fits for every number of pieces up to `pieces`, with their errors.
    fn fits(
        &self,
        pieces: usize,
        format: Format,
        balance: f64,
    ) -> Result<Vec<(Piecewise, Score)>, SmoothError> {
        let fit = |division: Option<Division>| {
            let function = self.function(&division.ok_or(SmoothError::Unreachable)?, format);
            let score = self.target.score(&function);
            Ok((function, score))
        };
        self.balanced(pieces, balance).into_iter().map(fit).collect()
    }

    /// The function of a division, with rounded coefficients.
    pub(crate) fn function(&self, division: &Division, format: Format) -> Piecewise {
        let mut pieces = Vec::with_capacity(division.choices.len());
        let mut first = 0;
        let ends = division.inner.iter().copied().chain([self.target.cells()]);
        for (end, choice) in ends.zip(&division.choices) {
            let mut sums = Sums::new(self.target, first);
            (first..end).for_each(|_| sums.extend());
            let chart = Chart::new(self.target.knot(first), self.target.knot(end));
            let local = self.polynomial(&sums, chart, *choice).unwrap_or_default();
            pieces.push(match self.rounding {
                Rounding::Early(_) => chart.globally(&local, 1),
                Rounding::Late => {
                    let units: Vec<f64> = (0..=self.degree).map(|j| format.unit(j)).collect();
                    chart.rounded(&local, &sums.moments(chart, *choice), &units)
                }
            });
            first = end;
        }
        self.target.piecewise(&division.inner, pieces, format)
    }
}

/// Moments of the cells from one on, about its left end.
struct Sums<'t> {
    target: &'t Target,
    first: usize,
    end: usize,
    density: Moments,
    even: Moments,
}

impl<'t> Sums<'t> {
    fn new(target: &'t Target, first: usize) -> Self {
        let (density, even) = (Moments::default(), Moments::default());
        Self { target, first, end: first, density, even }
    }

    /// Takes one more cell in.
    fn extend(&mut self) {
        let origin = self.target.knot(self.first);
        for i in self.target.samples(self.end..self.end + 1) {
            let (t, y) = (self.target.x[i] - origin, self.target.y[i]);
            self.density.add(t, y, self.target.mass[i]);
            self.even.add(t, y, self.target.even());
        }
        self.end += 1;
    }

    /// The moments that a candidate minimises, in the coordinate of the interval.
    fn moments(&self, chart: Chart, choice: usize) -> Moments {
        let share = EVEN.get(choice).copied().unwrap_or(1e3);
        self.density.plus(&self.even, share).shifted(chart.half, chart.half)
    }
}

/// The best fits of one degree for every number of pieces up to `pieces`.
///
/// # Errors
/// Pieces or degrees that cannot be.
pub(crate) fn best(
    target: &Target,
    pieces: usize,
    degree: usize,
    format: Format,
    balance: f64,
) -> Result<Vec<(Piecewise, Score)>, SmoothError> {
    target.check(pieces, degree)?;
    let intervals = Intervals::new(target, degree, Rounding::Late);
    intervals.fits(pieces, format, balance)
}

/// The same for lines with coarse coefficients.
///
/// # Errors
/// Pieces that cannot be, or another degree than 1.
pub(crate) fn coded(
    target: &Target,
    pieces: usize,
    degree: usize,
    format: Format,
) -> Result<Vec<(Piecewise, Score)>, SmoothError> {
    if degree != 1 {
        return Err(SmoothError::Size { what: "degree", value: degree, least: 1, most: 1 });
    }
    let intervals = Intervals::new(target, 1, Rounding::Early([1.0 / 1024.0, 1.0 / 16.0]));
    intervals.fits(pieces, format, crate::BALANCE)
}
