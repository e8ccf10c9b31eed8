//! Convolutions of batches.

use std::cell::RefCell;

use rayon::prelude::*;

use super::part;
use crate::kernels::conv::{self, Gradients, Packed, Scratch};
use crate::kernels::geometry::Geometry;

/// Weights whose parts of the gradient one thread sums.
const SUMMED: usize = 4096;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// `to = conv(x) + bias`
pub(crate) fn forward(
    geometry: &Geometry,
    weights: &Packed,
    bias: Option<&[f32]>,
    x: &[f32],
    to: &mut [f32],
) {
    let (from, into) = (geometry.input_len(), geometry.output_len());
    let size = part(x.len() / from);
    x.par_chunks(size * from).zip(to.par_chunks_mut(size * into)).for_each(|(x, to)| {
        SCRATCH.with_borrow_mut(|scratch| conv::forward(geometry, weights, bias, x, to, scratch));
    });
}

/// Where the gradients of a convolution go.
pub(crate) struct Targets<'a> {
    /// That of the input, if it is needed: written, or added to if the flag says so.
    pub input: Option<(&'a mut [f32], bool)>,
    /// That of the weights, added to.
    pub weight: &'a mut [f32],
    /// Room for the parts' sums.
    pub spare: &'a mut Vec<f32>,
}

/// The gradients of a convolution with input `x`, from the gradient `g` of its value.
pub(crate) fn backward(
    geometry: &Geometry,
    weights: &Packed,
    x: &[f32],
    g: &[f32],
    targets: Targets<'_>,
) {
    let Targets { input, weight, spare } = targets;
    let (from, into) = (geometry.input_len(), geometry.output_len());
    let size = part(x.len() / from);
    let parts = x.len() / from;
    let parts = parts.div_ceil(size);
    spare.resize(parts * weight.len(), 0.0);
    let run = |x: &[f32], g: &[f32], weight: &mut [f32], input: Option<(&mut [f32], bool)>| {
        weight.fill(0.0);
        SCRATCH.with_borrow_mut(|scratch| {
            conv::backward(geometry, weights, x, g, Gradients { input, weight }, scratch);
        });
    };
    let sums = spare.par_chunks_mut(weight.len());
    let read = x.par_chunks(size * from).zip(g.par_chunks(size * into)).zip(sums);
    match input {
        Some((input, add)) => {
            read.zip(input.par_chunks_mut(size * from)).for_each(|(((x, g), weight), input)| {
                run(x, g, weight, Some((input, add)));
            });
        }
        None => read.for_each(|((x, g), weight)| run(x, g, weight, None)),
    }
    let len = weight.len();
    weight.par_chunks_mut(SUMMED).enumerate().for_each(|(chunk, weight)| {
        // In order, whatever thread was first.
        for sums in spare.chunks_exact(len) {
            let sums = &sums[chunk * SUMMED..];
            weight.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum);
        }
    });
}

/// The gradient of the input alone, written or added to.
pub(crate) fn backward_input(
    geometry: &Geometry,
    weights: &Packed,
    g: &[f32],
    (input, add): (&mut [f32], bool),
) {
    let (from, into) = (geometry.input_len(), geometry.output_len());
    let size = part(g.len() / into);
    let parts = g.par_chunks(size * into).zip(input.par_chunks_mut(size * from));
    parts.for_each(|(g, input)| {
        SCRATCH.with_borrow_mut(|scratch| {
            conv::backward_input(geometry, weights, g, (input, add), scratch);
        });
    });
}

/// Adds the gradient of a bias per channel, from the gradient `g` `[N, C, positions]`.
pub(crate) fn bias(g: &[f32], positions: usize, to: &mut [f32]) {
    let channels = to.len();
    to.par_iter_mut().enumerate().for_each(|(channel, to)| {
        let planes = g.chunks_exact(positions).skip(channel).step_by(channels);
        let sum: f64 = planes.map(|plane| f64::from(plane_sum(plane))).sum();
        *to += sum as f32;
    });
}

fn plane_sum(plane: &[f32]) -> f32 {
    let (chunks, rest) = plane.as_chunks::<16>();
    let mut lanes = [0.0; 16];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x);
    }
    lanes.iter().chain(rest).sum()
}
