//! Fits that look at one piece after the other.

use hushwire_plan::Piecewise;

use crate::chebyshev::Interpolation;
use crate::squares::{Chart, horner};
use crate::{Format, Method, Target};

/// What bounds a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// Its largest error.
    Max,
    /// Its part of the expected error.
    Expected,
}

/// Interpolated pieces of one degree.
pub(crate) struct Greedy<'t> {
    target: &'t Target,
    interpolation: Interpolation,
    format: Format,
}

impl<'t> Greedy<'t> {
    pub(crate) fn new(target: &'t Target, degree: usize, format: Format) -> Self {
        Self { target, interpolation: Interpolation::new(degree), format }
    }

    /// The fit of a method with so many pieces at most; of those that are not greedy the one with equal
    /// pieces.
    pub(crate) fn fit(&self, method: Method, pieces: usize) -> Piecewise {
        match method {
            Method::Nfgen => self.within(Measure::Max, pieces),
            Method::Compact => self.within(Measure::Expected, pieces),
            Method::Ours | Method::OursMean | Method::Coded | Method::Chebyshev => {
                self.equal(pieces)
            }
        }
    }

    fn piece(&self, first: usize, end: usize) -> Vec<f64> {
        let chart = Chart::new(self.target.knot(first), self.target.knot(end));
        self.interpolation.rounded(self.target.function, chart, self.format)
    }

    fn error(&self, measure: Measure, first: usize, end: usize) -> f64 {
        let piece = self.piece(first, end);
        let target = self.target;
        let error = |i: usize| (horner(&piece, target.x[i]) - target.y[i]).abs();
        let samples = target.samples(first..end);
        match measure {
            Measure::Max => samples.map(error).fold(0.0, f64::max),
            Measure::Expected => samples.map(|i| error(i) * target.mass[i]).sum(),
        }
    }

    /// The function of pieces that begin at these cells and the first.
    fn function(&self, inner: &[usize]) -> Piecewise {
        let ends: Vec<usize> =
            [0].iter().chain(inner).copied().chain([self.target.cells()]).collect();
        let pieces = ends.windows(2).map(|pair| self.piece(pair[0], pair[1])).collect();
        self.target.piecewise(inner, pieces, self.format)
    }

    /// Pieces of equal length.
    fn equal(&self, pieces: usize) -> Piecewise {
        let cells = self.target.cells();
        let inner: Vec<usize> = (1..pieces).map(|i| (i * cells + pieces / 2) / pieces).collect();
        self.function(&inner)
    }

    /// The least bound on every piece that is met by so many pieces, each as long as the bound allows.
    fn within(&self, measure: Measure, pieces: usize) -> Piecewise {
        let whole = self.error(measure, 0, self.target.cells()).max(1e-15);
        let (mut low, mut high) = (whole.ln() - 40.0, whole.ln());
        let mut best = self.divide(measure, high.exp(), pieces).unwrap_or_default();
        for _ in 0..24 {
            let middle = (low + high) / 2.0;
            match self.divide(measure, middle.exp(), pieces) {
                Some(inner) => (best, high) = (inner, middle),
                None => low = middle,
            }
        }
        self.function(&best)
    }

    /// Where pieces within a bound begin, if at most so many are needed. A piece of one cell is taken
    /// as it is only if it is within the bound as well.
    fn divide(&self, measure: Measure, bound: f64, pieces: usize) -> Option<Vec<usize>> {
        let cells = self.target.cells();
        let mut begins = vec![0];
        loop {
            let first = begins[begins.len() - 1];
            let fits = |end: usize| self.error(measure, first, end) <= bound;
            if fits(cells) {
                return Some(begins[1..].to_vec());
            }
            if begins.len() == pieces {
                return None;
            }
            // Errors grow with the length, all but always.
            let (mut good, mut bad) = (first, cells);
            while bad - good > 1 {
                let middle = (good + bad) / 2;
                if fits(middle) {
                    good = middle;
                } else {
                    bad = middle;
                }
            }
            if good == first {
                return None;
            }
            begins.push(good);
        }
    }
}
