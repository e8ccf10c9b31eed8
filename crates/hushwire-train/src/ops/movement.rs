//! Operators that move elements: each copies between strided views, and backward the other way.

use hushwire_graph::{Op, Shape};
use rayon::prelude::*;

/// A copy of elements from one sample's layout to another's.
#[derive(Clone, Debug)]
pub(crate) struct Movement {
    extents: Vec<usize>,
    from: View,
    to: View,
    /// What elements that nothing is copied to have.
    fill: Option<f32>,
}

#[derive(Clone, Debug)]
struct View {
    len: usize,
    start: usize,
    strides: Vec<usize>,
}

impl View {
    fn whole(shape: &Shape) -> Self {
        let mut strides = vec![1; shape.rank()];
        for axis in (1..shape.rank()).rev() {
            strides[axis - 1] = strides[axis] * shape.0[axis];
        }
        Self { len: shape.len(), start: 0, strides }
    }

    /// The view that begins at these indices.
    fn at(mut self, start: &[usize]) -> Self {
        self.start = start.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum();
        self
    }
}

impl Movement {
    /// The copies that compute a node with this operator; one for each input of a Concat, one for
    /// the others. Nothing for operators that compute.
    pub(crate) fn of(op: &Op, inputs: &[&Shape], output: &Shape) -> Option<Vec<Self>> {
        let input = inputs.first()?;
        let (source, target) = (View::whole(input), View::whole(output));
        let one = |extents: &[usize], from, to, fill| {
            Some(vec![Self { extents: extents.to_vec(), from, to, fill }])
        };
        match op {
            Op::Pad { before, value, .. } => one(&input.0, source, target.at(before), Some(*value)),
            Op::Slice { start, step, len } => {
                let mut source = source.at(start);
                source.strides.iter_mut().zip(step).for_each(|(stride, step)| *stride *= step);
                one(len, source, target, None)
            }
            Op::Transpose { perm } => {
                let strides = perm.iter().map(|axis| source.strides[*axis]).collect();
                one(&output.0, View { strides, ..source }, target, None)
            }
            Op::Concat { axis } => {
                let mut start = vec![0; output.rank()];
                let mut moves = Vec::new();
                for input in inputs {
                    moves.push(Self {
                        extents: input.0.clone(),
                        from: View::whole(input),
                        to: target.clone().at(&start),
                        fill: None,
                    });
                    start[*axis] += input.0[*axis];
                }
                Some(moves)
            }
            _ => None,
        }
    }

    /// Copies every sample of a batch.
    pub(crate) fn forward(&self, x: &[f32], to: &mut [f32]) {
        to.par_chunks_mut(self.to.len).zip(x.par_chunks(self.from.len)).for_each(|(to, x)| {
            if let Some(fill) = self.fill {
                to.fill(fill);
            }
            let (x, to) = (&x[self.from.start..], &mut to[self.to.start..]);
            copy(x, &self.from.strides, to, &self.to.strides, &self.extents);
        });
    }

    /// The gradient of the input.
    pub(crate) fn backward(&self, g: &[f32], to: &mut [f32]) {
        to.par_chunks_mut(self.from.len).zip(g.par_chunks(self.to.len)).for_each(|(to, g)| {
            to.fill(0.0);
            let (g, to) = (&g[self.to.start..], &mut to[self.from.start..]);
            copy(g, &self.to.strides, to, &self.from.strides, &self.extents);
        });
    }
}

/// Copies an array of the given extents between two layouts.
fn copy(
    from: &[f32],
    from_strides: &[usize],
    to: &mut [f32],
    to_strides: &[usize],
    extents: &[usize],
) {
    let ([from_stride, from_rest @ ..], [to_stride, to_rest @ ..], [extent, rest @ ..]) =
        (from_strides, to_strides, extents)
    else {
        to[0] = from[0];
        return;
    };
    if rest.is_empty() {
        let line = from.iter().step_by(*from_stride).take(*extent);
        to.iter_mut().step_by(*to_stride).zip(line).for_each(|(to, from)| *to = *from);
        return;
    }
    for i in 0..*extent {
        copy(&from[i * from_stride..], from_rest, &mut to[i * to_stride..], to_rest, rest);
    }
}
