//! Operators that treat each element on its own.

use rayon::prelude::*;

use super::for_each_plane;
use crate::{Activation, Tensor};

/// Elements per task: enough to outweigh the scheduling.
const CHUNK: usize = 1 << 14;

pub(super) fn activate(activation: Activation, input: &Tensor, out: &mut Tensor) {
    match activation {
        // The two every network has get loops of their own, which the compiler vectorises.
        Activation::Relu => map(input, out, |x| x.max(0.0)),
        Activation::Clip { min, max } => map(input, out, |x| x.max(min).min(max)),
        other => map(input, out, |x| other.apply(x)),
    }
}

fn map(input: &Tensor, out: &mut Tensor, f: impl Fn(f32) -> f32 + Sync) {
    let chunks = out.data.par_chunks_mut(CHUNK).zip(input.data.par_chunks(CHUNK));
    chunks.for_each(|(out, input)| out.iter_mut().zip(input).for_each(|(y, x)| *y = f(*x)));
}

pub(super) fn combine(
    a: &Tensor,
    b: &Tensor,
    out: &mut Tensor,
    f: impl Fn(f32, f32) -> f32 + Sync,
) {
    let inputs = a.data.par_chunks(CHUNK).zip(b.data.par_chunks(CHUNK));
    out.data.par_chunks_mut(CHUNK).zip(inputs).for_each(|(out, (a, b))| {
        out.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (a, b))| *y = f(*a, *b));
    });
}

/// `input * scale + shift`, each per channel or per element of a sample.
pub(super) fn affine(
    scale: Option<&Tensor>,
    shift: Option<&Tensor>,
    input: &Tensor,
    out: &mut Tensor,
) {
    let channels = input.shape.get(1).copied().unwrap_or(1);
    let len = input.shape.iter().skip(2).product::<usize>().max(1);
    for_each_plane(out, |plane, out| {
        let channel = plane % channels;
        let x = &input.data[plane * len..][..len];
        let coefficient = |tensor: Option<&Tensor>, neutral: f32, i: usize| match tensor {
            None => neutral,
            Some(t) if t.len() == channels => t.data[channel],
            Some(t) => t.data[channel * len + i],
        };
        for (i, (y, x)) in out.iter_mut().zip(x).enumerate() {
            *y = x * coefficient(scale, 1.0, i) + coefficient(shift, 0.0, i);
        }
    });
}
