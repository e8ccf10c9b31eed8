//! Spatial resampling, plane by plane.

use hushwire_graph::Resize;
use rayon::prelude::*;

/// Where each row and column of a resampled map reads.
#[derive(Clone, Debug)]
pub(crate) struct Resampling {
    rows: Vec<[(usize, f32); 2]>,
    columns: Vec<[(usize, f32); 2]>,
    input: [usize; 2],
}

impl Resampling {
    pub(crate) fn new(resize: &Resize, input: [usize; 2], output: [usize; 2]) -> Self {
        let taps = |axis: usize| {
            let taps = resize.taps(axis, input[axis], output[axis]).into_iter();
            taps.map(|t| [(t.first, 1.0 - t.weight), (t.second, t.weight)]).collect()
        };
        Self { rows: taps(0), columns: taps(1), input }
    }

    /// Calls `f(output element, input element, weight)` for every pair with a weight.
    fn each(&self, mut f: impl FnMut(usize, usize, f32)) {
        let width = self.columns.len();
        for (y, rows) in self.rows.iter().enumerate() {
            for (x, columns) in self.columns.iter().enumerate() {
                for &(row, row_weight) in rows {
                    for &(column, weight) in columns {
                        f(y * width + x, row * self.input[1] + column, row_weight * weight);
                    }
                }
            }
        }
    }

    /// The resampled maps.
    pub(crate) fn forward(&self, x: &[f32], to: &mut [f32]) {
        let (from, into) = (self.input[0] * self.input[1], self.rows.len() * self.columns.len());
        to.par_chunks_mut(into).zip(x.par_chunks(from)).for_each(|(to, x)| {
            to.fill(0.0);
            self.each(|out, input, weight| to[out] += x[input] * weight);
        });
    }

    /// The gradient of the input.
    pub(crate) fn backward(&self, g: &[f32], to: &mut [f32]) {
        let (into, from) = (self.input[0] * self.input[1], self.rows.len() * self.columns.len());
        to.par_chunks_mut(into).zip(g.par_chunks(from)).for_each(|(to, g)| {
            to.fill(0.0);
            self.each(|out, input, weight| to[input] += g[out] * weight);
        });
    }
}
