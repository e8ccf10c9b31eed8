//! How large values get, measured on some inputs.

use rayon::prelude::*;

use crate::network::{Network, Stage, Term};

/// Magnitudes of every value of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges {
    /// Of each value.
    pub values: Vec<Magnitude>,
    /// Of the result of each affine map, before the product; that of the value for the input.
    pub before: Vec<Magnitude>,
    /// Root of the mean square of the weights of each term.
    pub weights: Vec<Vec<f64>>,
}

/// How large numbers are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Magnitude {
    /// The largest, never 0.
    pub max: f64,
    /// Root of the mean square, never 0.
    pub rms: f64,
}

/// Smaller magnitudes count as this.
const LEAST: f64 = 1e-9;

impl Ranges {
    /// Runs the network on some inputs in the clear.
    pub fn measure(network: &Network, inputs: &[Vec<f64>]) -> Self {
        let count = network.values.len();
        let traces = inputs.par_iter().map(|input| {
            let trace = network.trace(input);
            let all = |vectors: &[Vec<f64>]| vectors.iter().map(|v| Sums::of(v)).collect();
            (all(&trace.values), all(&trace.before))
        });
        let none = || (vec![Sums::default(); count], vec![Sums::default(); count]);
        let merge = |(a, b): (Vec<Sums>, Vec<Sums>), (c, d): (Vec<Sums>, Vec<Sums>)| {
            let join = |a: Vec<Sums>, b: Vec<Sums>| a.into_iter().zip(b).map(|(a, b)| a.plus(b));
            (join(a, c).collect(), join(b, d).collect())
        };
        let (values, mut before): (Vec<Sums>, Vec<Sums>) = traces.reduce(none, merge);
        before[0] = values[0];
        let weights = |stage: &Stage| {
            let rms = |term: &Term| term.matrix.as_ref().map_or(1.0, crate::Sparse::weight_rms);
            stage.terms.iter().map(|term| rms(term).max(LEAST)).collect()
        };
        let stages = network.values.iter().map(|value| value.stage.as_ref());
        Self {
            values: values.into_iter().map(Sums::magnitude).collect(),
            before: before.into_iter().map(Sums::magnitude).collect(),
            weights: stages.map(|stage| stage.map_or_else(Vec::new, weights)).collect(),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Sums {
    max: f64,
    squares: f64,
    count: usize,
}

impl Sums {
    fn of(values: &[f64]) -> Self {
        let max = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        Self { max, squares: values.iter().map(|v| v * v).sum(), count: values.len() }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            max: self.max.max(other.max),
            squares: self.squares + other.squares,
            count: self.count + other.count,
        }
    }

    fn magnitude(self) -> Magnitude {
        let rms = (self.squares / self.count.max(1) as f64).sqrt();
        Magnitude { max: self.max.max(LEAST), rms: rms.max(LEAST) }
    }
}
