//! The fits of a method that no others beat in cost and error at once.

use std::collections::HashMap;

use hushwire_plan::Piecewise;
use rayon::prelude::*;

use crate::anneal::{Lattice, Point, anneal};
use crate::greedy::Greedy;
use crate::intervals::{Intervals, Rounding};
use crate::{BALANCE, Format, MEAN_BALANCE, Method, Score, SmoothError, Surroundings, Target, fit};

/// A fit with its cost.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The function, its numbers rounded to what is computed with.
    pub function: Piecewise,
    /// Its errors, for inputs as the gate rounds them.
    pub score: Score,
    /// Bits that the parties send for one element.
    pub bits: u64,
}

impl Candidate {
    fn new(target: &Target, around: &Surroundings, function: Piecewise) -> Option<Self> {
        let function = merged(function.rounded());
        let bits = around.bits(&function)?;
        let mut score = target.score(&function);
        // The input is off by up to one unit either way: by two roundings, of both parties' parts.
        let unit = 2f64.powi(-function.input_bits);
        let slopes = target.x.iter().map(|x| function.derivative(*x).abs());
        let squared: f64 = slopes.clone().zip(&target.mass).map(|(s, mass)| s * s * mass).sum();
        score.squared += squared * unit * unit / 6.0;
        score.max += slopes.fold(0.0, f64::max) * unit;
        Some(Self { function, score, bits })
    }
}

/// The same function without knots at which nothing changes.
fn merged(function: Piecewise) -> Piecewise {
    let trim = |mut piece: Vec<f64>| {
        while piece.last() == Some(&0.0) {
            piece.pop();
        }
        piece
    };
    let mut all = function.pieces.into_iter().map(trim);
    let mut pieces: Vec<Vec<f64>> = all.next().into_iter().collect();
    let mut knots: Vec<f64> = Vec::new();
    for (knot, piece) in function.knots.into_iter().zip(all) {
        if knots.last() == Some(&knot) {
            // Two knots were rounded to the same: nothing is left of the piece between them.
            knots.pop();
            pieces.pop();
        }
        if pieces.last() != Some(&piece) {
            knots.push(knot);
            pieces.push(piece);
        }
    }
    Piecewise { knots, pieces, ..function }
}

/// What a method looks at when it compares fits: NFGen at the largest error, the others at the
/// expected square.
fn criterion(method: Method, score: &Score) -> f64 {
    if method == Method::Nfgen { score.max } else { score.squared }
}

/// Fractional bits of the input that are tried for lines.
const LINE_INPUTS: std::ops::RangeInclusive<i32> = 4..=9;

/// Slopes of coded lines are multiples of 2^-s for these s.
const SLOPES: std::ops::RangeInclusive<i32> = 1..=6;

/// Intercepts of coded lines are multiples of 2^-(s + e) for these e.
const INTERCEPTS: std::ops::RangeInclusive<i32> = 1..=5;

/// Shapes and formats of polynomials of degree two and more.
const LATTICE: Lattice = Lattice {
    least: Point { pieces: 1, degree: 1, input_bits: 4, coefficient_bits: 2 },
    greatest: Point { pieces: 16, degree: 3, input_bits: 8, coefficient_bits: 9 },
};

fn format(degree: usize, input_bits: i32, coefficient_bits: i32) -> Format {
    Format { input_bits, accumulator_bits: degree as i32 * input_bits + coefficient_bits }
}

/// The fits of a method for a target that no others of it beat, cheapest first.
///
/// # Errors
/// [`SmoothError::Unreachable`] where no fit can be computed in the ring.
pub fn front(
    target: &Target,
    method: Method,
    around: &Surroundings,
) -> Result<Vec<Candidate>, SmoothError> {
    target.check(1, 1)?;
    let most = LATTICE.greatest.pieces.min(target.most_pieces());
    let mut found = match method {
        Method::Ours | Method::OursMean | Method::Coded => {
            let mut found = lines(target, around, most);
            found.extend(polynomials(target, around, most));
            found
        }
        Method::Compact => annealed(target, around, most),
        Method::Nfgen | Method::Chebyshev => fixed(target, method, around, most)?,
    };
    found.sort_by(|a, b| {
        a.bits
            .cmp(&b.bits)
            .then(criterion(method, &a.score).total_cmp(&criterion(method, &b.score)))
    });
    let mut front: Vec<Candidate> = Vec::new();
    for candidate in found {
        let error = criterion(method, &candidate.score);
        let last = front.last().map(|last| criterion(method, &last.score));
        if last.is_none_or(|last| error < last) {
            front.push(candidate);
        }
    }
    if front.is_empty() { Err(SmoothError::Unreachable) } else { Ok(front) }
}

/// Lines whose slopes and intercepts are multiples of coarse units, so that few selectors code them.
/// With such units dynamic programming finds the best division just the same.
fn lines(target: &Target, around: &Surroundings, most: usize) -> Vec<Candidate> {
    let units: Vec<(i32, i32)> = SLOPES.flat_map(|s| INTERCEPTS.map(move |e| (s, s + e))).collect();
    let found = units.into_par_iter().flat_map_iter(|(slope, intercept)| {
        let units = [2f64.powi(-intercept), 2f64.powi(-slope)];
        let intervals = Intervals::new(target, 1, Rounding::Early(units));
        let divisions = [BALANCE, MEAN_BALANCE]
            .into_iter()
            .flat_map(|balance| intervals.balanced(most, balance).into_iter().flatten());
        let mut found = Vec::new();
        for division in divisions {
            for input_bits in LINE_INPUTS {
                let accumulator_bits = (input_bits + slope).max(intercept);
                let format = Format { input_bits, accumulator_bits };
                let function = intervals.function(&division, format);
                found.extend(Candidate::new(target, around, function));
            }
        }
        found
    });
    found.collect()
}

fn polynomials(target: &Target, around: &Surroundings, most: usize) -> Vec<Candidate> {
    let degrees = 2..=LATTICE.greatest.degree;
    let found = degrees.into_par_iter().flat_map_iter(|degree| {
        let intervals = Intervals::new(target, degree, Rounding::Late);
        let mut found = Vec::new();
        for division in intervals.balanced(most, BALANCE).into_iter().flatten() {
            for input_bits in LATTICE.least.input_bits..=LATTICE.greatest.input_bits {
                for bits in LATTICE.least.coefficient_bits..=LATTICE.greatest.coefficient_bits {
                    let function = intervals.function(&division, format(degree, input_bits, bits));
                    found.extend(Candidate::new(target, around, function));
                }
            }
        }
        found
    });
    found.collect()
}

/// All fits of a method that only knows degrees, pieces and formats.
fn fixed(
    target: &Target,
    method: Method,
    around: &Surroundings,
    most: usize,
) -> Result<Vec<Candidate>, SmoothError> {
    let shapes: Vec<Point> = LATTICE.points().filter(|p| p.pieces == 1).collect();
    let found = shapes.into_par_iter().map(|shape| {
        let format = format(shape.degree, shape.input_bits, shape.coefficient_bits);
        let fits = fit(target, method, most, shape.degree, format)?;
        let candidates = fits.into_iter().filter_map(|(f, _)| Candidate::new(target, around, f));
        Ok(candidates.collect::<Vec<_>>())
    });
    Ok(found.collect::<Result<Vec<_>, SmoothError>>()?.concat())
}

/// Bounds on the expected square of the error that Compact's search is run for.
const LADDER: usize = 16;

/// Steps of a walk, and the temperature that it begins at, in bits.
const STEPS: usize = 400;
const HOT: f64 = 100.0;

/// What the annealer finds within one bound on the error after the other.
fn annealed(target: &Target, around: &Surroundings, most: usize) -> Vec<Candidate> {
    let greatest = Point { pieces: most, ..LATTICE.greatest };
    let lattice = Lattice { greatest, ..LATTICE };
    let mut known: HashMap<Point, Option<Candidate>> = HashMap::new();
    let mut found = Vec::new();
    for rung in 0..LADDER {
        let bound = 1e-1 * 0.4f64.powi(rung as i32);
        let mut get = |point: Point| -> Option<Candidate> {
            if let Some(candidate) = known.get(&point) {
                return candidate.clone();
            }
            let format = format(point.degree, point.input_bits, point.coefficient_bits);
            let greedy = Greedy::new(target, point.degree, format);
            let function = greedy.fit(Method::Compact, point.pieces);
            let candidate = Candidate::new(target, around, function);
            known.insert(point, candidate.clone());
            candidate
        };
        let start = Point { pieces: most, degree: 2, input_bits: 7, coefficient_bits: 9 };
        let energy = |point| match get(point) {
            None => f64::INFINITY,
            // Out of bounds, but which way is out is to be seen.
            Some(c) if c.score.squared > bound => 1e6 * (1.0 + (c.score.squared / bound).ln()),
            Some(c) => c.bits as f64,
        };
        let (point, _) = anneal(lattice, start, STEPS, HOT, rung as u64, energy);
        found.extend(get(point));
    }
    found
}
