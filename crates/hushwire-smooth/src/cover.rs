//! The cheapest lines within a largest error.
//!
//! With slopes and intercepts on grids, the fewest lines that follow a function within a bound are
//! found from left to right: of all lines that fit where the last one ends, the one that fits longest.
//! Grids and formats are few enough to try all of them.

use hushwire_plan::{MAX_PIECES, Piecewise};
use rayon::prelude::*;

use crate::{Format, Function, Surroundings};

/// Fractional bits of the input, of slopes, and of intercepts beyond those of slopes.
const INPUTS: std::ops::RangeInclusive<i32> = 7..=14;
const SLOPES: std::ops::RangeInclusive<i32> = 2..=7;
const INTERCEPTS: std::ops::RangeInclusive<i32> = 1..=6;

/// Points at which errors are looked at, per unit.
const POINTS: f64 = 256.0;

/// The cheapest continuation of zero on the left and the identity on the right by lines that is found
/// within `error` of the function, everything included that the gate rounds; and its bits per element.
/// Nothing if there is none, or if the function has other tails.
pub fn within(function: Function, error: f64, around: &Surroundings) -> Option<(Piecewise, u64)> {
    let slope = |x: f64| (function.eval(x + 1e-4) - function.eval(x - 1e-4)) / 2e-4;
    let steepest = (-1600..=1600).map(|i| slope(f64::from(i) / 100.0).abs()).fold(0.0, f64::max);
    let tries: Vec<(i32, i32, i32)> = INPUTS
        .flat_map(|input| SLOPES.map(move |slope| (input, slope)))
        .flat_map(|(input, slope)| INTERCEPTS.map(move |more| (input, slope, slope + more)))
        .collect();
    let fits = tries.into_par_iter().filter_map(|(input, slope, intercept)| {
        let format = Format { input_bits: input, accumulator_bits: (input + slope).max(intercept) };
        // The input is off by less than a unit, and so is the output where bits are dropped.
        let rounding = steepest * 2f64.powi(-input) + around.output_rounding(&format);
        let bound = error - rounding;
        if bound <= 0.0 {
            return None;
        }
        let lines = Lines { function, bound, slope, intercept, near: around.undecided(&format) };
        let fit = lines.cover(format)?;
        let bits = around.bits(&fit)?;
        Some((fit, bits))
    });
    fits.min_by_key(|(_, bits)| *bits)
}

/// Lines on grids that stay within a bound of a function.
struct Lines {
    function: Function,
    bound: f64,
    /// Slopes are multiples of 2^-slope, intercepts of 2^-intercept.
    slope: i32,
    intercept: i32,
    /// How far before a knot the piece behind it may be computed.
    near: f64,
}

impl Lines {
    /// Whether the line is within the bound at `x`.
    fn fits(&self, [intercept, slope]: [f64; 2], x: f64) -> bool {
        (self.function.eval(x) - slope * x - intercept).abs() <= self.bound
    }

    /// The last point from `x` on until which the line is within the bound.
    fn end(&self, line: [f64; 2], x: f64) -> Option<f64> {
        let ahead = (0..).map(|i| x + f64::from(i) / POINTS).take_while(|x| *x <= 16.0);
        ahead.take_while(|x| self.fits(line, *x)).last()
    }

    /// All lines within the bound at `x`.
    fn through(&self, x: f64) -> impl Iterator<Item = [f64; 2]> + '_ {
        let (step, unit) = (2f64.powi(-self.slope), 2f64.powi(-self.intercept));
        let value = self.function.eval(x);
        let slopes = (-(0.5 / step) as i64..=(1.5 / step) as i64).map(move |i| i as f64 * step);
        slopes.flat_map(move |slope| {
            let least = ((value - slope * x - self.bound) / unit).ceil() as i64;
            let most = ((value - slope * x + self.bound) / unit).floor() as i64;
            (least..=most).map(move |i| [i as f64 * unit, slope])
        })
    }

    fn cover(&self, format: Format) -> Option<Piecewise> {
        // Zero from the far left as long as it fits, the identity from where it fits for good.
        let zero = self.end([0.0, 0.0], -16.0)?;
        let back = (0..).map(|i| 16.0 - f64::from(i) / POINTS).take_while(|x| *x > zero);
        let identity = back.take_while(|x| self.fits([0.0, 1.0], *x)).last()?;
        let mut at = zero;
        let mut pieces = vec![Vec::new()];
        let mut knots = Vec::new();
        while at - self.near < identity {
            let start = at - self.near;
            let ends = self.through(start).filter_map(|line| Some((line, self.end(line, start)?)));
            let (line, end) = ends.max_by(|a, b| a.1.total_cmp(&b.1))?;
            if end <= at || knots.len() + 3 > MAX_PIECES {
                return None;
            }
            knots.push(at);
            pieces.push(line.to_vec());
            at = end;
        }
        knots.push(at);
        pieces.push(vec![0.0, 1.0]);
        let Format { input_bits, accumulator_bits } = format;
        Some(Piecewise { input_bits, accumulator_bits, knots, pieces }.rounded())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_within_the_bound_whatever_is_rounded() {
        let around = Surroundings::usual(5.0, 5.0);
        let mut before = u64::MAX;
        for error in [0.008, 0.012, 0.03] {
            let (fit, bits) = within(Function::Gelu, error, &around).expect("a fit");
            let unit = 2f64.powi(-fit.input_bits);
            for i in -8000..8000 {
                let x = f64::from(i) / 1000.0;
                for rounded in [x - unit, x, x + unit] {
                    let off = (fit.eval(rounded) - Function::Gelu.eval(x)).abs();
                    assert!(off <= error, "{error}: off by {off} at {x}");
                }
            }
            assert!(bits <= before, "a looser bound is no dearer");
            before = bits;
        }
        assert!(before < 500, "{before}");
        assert!(within(Function::Gelu, 1e-9, &around).is_none());
        assert!(within(Function::Tanh, 0.01, &around).is_none(), "its tails are others");
    }
}
