//! Pooling over windows, plane by plane.

use std::ops::Range;

use hushwire_graph::Pool;
use rayon::prelude::*;

/// Windows on maps of the given extents.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    pool: Pool,
    input: [usize; 2],
    output: [usize; 2],
}

impl Windows {
    pub(crate) fn new(pool: &Pool, input: [usize; 2], output: [usize; 2]) -> Self {
        Self { pool: pool.clone(), input, output }
    }

    /// The part of window `i` along an axis that lies inside the input.
    fn inside(&self, i: usize, axis: usize) -> Range<usize> {
        let start = i * self.pool.stride[axis];
        let end = (start + self.pool.kernel[axis]).saturating_sub(self.pool.pads[axis]);
        start.saturating_sub(self.pool.pads[axis])..end.min(self.input[axis])
    }

    /// Calls `f(output element, rows, columns)` for every window.
    fn each(&self, mut f: impl FnMut(usize, Range<usize>, Range<usize>)) {
        for y in 0..self.output[0] {
            let rows = self.inside(y, 0);
            for x in 0..self.output[1] {
                f(y * self.output[1] + x, rows.clone(), self.inside(x, 1));
            }
        }
    }

    fn planes(&self) -> [usize; 2] {
        [self.input[0] * self.input[1], self.output[0] * self.output[1]]
    }

    /// What the sum over a window is multiplied by for its mean.
    fn share(&self, rows: &Range<usize>, columns: &Range<usize>) -> f32 {
        let whole = self.pool.kernel[0] * self.pool.kernel[1];
        let inside = rows.len() * columns.len();
        1.0 / if self.pool.count_include_pad { whole } else { inside } as f32
    }

    /// Means of the windows.
    pub(crate) fn average(&self, x: &[f32], to: &mut [f32]) {
        let [from, into] = self.planes();
        to.par_chunks_mut(into).zip(x.par_chunks(from)).for_each(|(to, x)| {
            self.each(|out, rows, columns| {
                let share = self.share(&rows, &columns);
                let lines = rows.map(|y| &x[y * self.input[1]..][columns.clone()]);
                to[out] = lines.flatten().sum::<f32>() * share;
            });
        });
    }

    /// The gradient of the input of [`average`](Self::average).
    pub(crate) fn average_gradient(&self, g: &[f32], to: &mut [f32]) {
        let [into, from] = self.planes();
        to.par_chunks_mut(into).zip(g.par_chunks(from)).for_each(|(to, g)| {
            to.fill(0.0);
            self.each(|out, rows, columns| {
                let share = g[out] * self.share(&rows, &columns);
                for y in rows {
                    to[y * self.input[1]..][columns.clone()].iter_mut().for_each(|t| *t += share);
                }
            });
        });
    }

    /// Maxima of the windows; `at` gets where in its plane each of them is, the first of equals.
    pub(crate) fn maximum(&self, x: &[f32], to: &mut [f32], at: &mut [u32]) {
        let [from, into] = self.planes();
        let outputs = to.par_chunks_mut(into).zip(at.par_chunks_mut(into));
        outputs.zip(x.par_chunks(from)).for_each(|((to, at), x)| {
            self.each(|out, rows, columns| {
                let mut best = (f32::NEG_INFINITY, rows.start * self.input[1] + columns.start);
                for y in rows {
                    let first = y * self.input[1] + columns.start;
                    for (i, &x) in x[first..][..columns.len()].iter().enumerate() {
                        if x > best.0 {
                            best = (x, first + i);
                        }
                    }
                }
                (to[out], at[out]) = (best.0, best.1 as u32);
            });
        });
    }

    /// The gradient of the input of [`maximum`](Self::maximum).
    pub(crate) fn maximum_gradient(&self, at: &[u32], g: &[f32], to: &mut [f32]) {
        let [into, from] = self.planes();
        let read = at.par_chunks(from).zip(g.par_chunks(from));
        to.par_chunks_mut(into).zip(read).for_each(|(to, (at, g))| {
            to.fill(0.0);
            at.iter().zip(g).for_each(|(at, g)| to[*at as usize] += g);
        });
    }
}
