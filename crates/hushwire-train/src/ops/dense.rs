//! Fully connected layers of batches, on matrix products.

use hushwire_graph::gemm::{Destination, Matrix, multiply};

/// `to = x * weight^T + bias` for `x` `[N, F]` and `weight` `[out, F]`.
pub(crate) fn forward(
    weight: &[f32],
    bias: Option<&[f32]>,
    features: usize,
    x: &[f32],
    to: &mut [f32],
) {
    let outputs = weight.len() / features;
    if let Some(bias) = bias {
        to.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(bias));
    }
    let (x, weight) = (Matrix::rows(x, features), Matrix::columns(weight, features));
    let extents = [to.len() / outputs, outputs, features];
    let destination = if bias.is_some() { Destination::Accumulate } else { Destination::Overwrite };
    multiply(extents, x, weight, to, outputs, destination, true);
}

/// The gradient of the input, written or added to, from the gradient `g` of the value.
pub(crate) fn input(weight: &[f32], features: usize, g: &[f32], to: &mut [f32], add: bool) {
    let outputs = weight.len() / features;
    let extents = [to.len() / features, features, outputs];
    let destination = if add { Destination::Accumulate } else { Destination::Overwrite };
    let (g, weight) = (Matrix::rows(g, outputs), Matrix::rows(weight, features));
    multiply(extents, g, weight, to, features, destination, true);
}

/// Adds the gradient of the weights.
pub(crate) fn weight(features: usize, x: &[f32], g: &[f32], to: &mut [f32]) {
    let outputs = to.len() / features;
    let extents = [outputs, features, x.len() / features];
    let (g, x) = (Matrix::columns(g, outputs), Matrix::rows(x, features));
    multiply(extents, g, x, to, features, Destination::Accumulate, true);
}

/// Adds the gradient of the bias.
pub(crate) fn bias(g: &[f32], to: &mut [f32]) {
    for g in g.chunks_exact(to.len()) {
        to.iter_mut().zip(g).for_each(|(to, g)| *to += g);
    }
}
