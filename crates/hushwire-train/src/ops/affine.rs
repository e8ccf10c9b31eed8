//! Scales and shifts, per channel or per element of a sample.

use rayon::prelude::*;

/// Extents of an affine node's value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extents {
    pub channels: usize,
    pub positions: usize,
}

impl Extents {
    fn len(self) -> usize {
        self.channels * self.positions
    }

    /// Which coefficient belongs to an element.
    fn index(self, coefficients: usize, element: usize) -> usize {
        if coefficients == self.channels { element / self.positions } else { element }
    }
}

/// `to = x * scale + shift`
pub(crate) fn forward(
    extents: Extents,
    scale: Option<&[f32]>,
    shift: Option<&[f32]>,
    x: &[f32],
    to: &mut [f32],
) {
    let at = |c: Option<&[f32]>, neutral: f32, i: usize| {
        c.map_or(neutral, |c| c[extents.index(c.len(), i)])
    };
    let samples = to.par_chunks_mut(extents.len()).zip(x.par_chunks(extents.len()));
    samples.for_each(|(to, x)| {
        for (i, (to, x)) in to.iter_mut().zip(x).enumerate() {
            *to = x * at(scale, 1.0, i) + at(shift, 0.0, i);
        }
    });
}

/// Turns the gradient of the value into that of `x`.
pub(crate) fn input(extents: Extents, scale: &[f32], g: &mut [f32]) {
    g.par_chunks_mut(extents.len()).for_each(|g| {
        for (i, g) in g.iter_mut().enumerate() {
            *g *= scale[extents.index(scale.len(), i)];
        }
    });
}

/// Adds the gradient of the scale.
pub(crate) fn scale(extents: Extents, x: &[f32], g: &[f32], to: &mut [f32]) {
    coefficients(extents, g, to, |n, i| x[n * extents.len() + i]);
}

/// Adds the gradient of the shift.
pub(crate) fn shift(extents: Extents, g: &[f32], to: &mut [f32]) {
    coefficients(extents, g, to, |_, _| 1.0);
}

fn coefficients(
    extents: Extents,
    g: &[f32],
    to: &mut [f32],
    factor: impl Fn(usize, usize) -> f32 + Sync,
) {
    let count = to.len();
    to.par_iter_mut().enumerate().for_each(|(c, to)| {
        let elements = if count == extents.channels {
            c * extents.positions..(c + 1) * extents.positions
        } else {
            c..c + 1
        };
        let mut sum = 0.0;
        for (n, g) in g.chunks_exact(extents.len()).enumerate() {
            let terms = elements.clone().map(|i| f64::from(g[i] * factor(n, i)));
            sum += terms.sum::<f64>();
        }
        *to += sum as f32;
    });
}
