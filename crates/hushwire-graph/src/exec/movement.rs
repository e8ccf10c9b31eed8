//! Operators that move elements without computing.

use super::for_each_sample;
use crate::Tensor;

pub(super) fn concat(axis: usize, inputs: &[&Tensor], out: &mut Tensor) {
    let inner: usize = out.shape[axis + 2..].iter().product();
    let out_run = out.shape[axis + 1] * inner;
    for_each_sample(out, |n, out| {
        let mut offset = 0;
        for input in inputs {
            let run = input.shape[axis + 1] * inner;
            for (to, from) in out.chunks_exact_mut(out_run).zip(input.sample(n).chunks_exact(run)) {
                to[offset..offset + run].copy_from_slice(from);
            }
            offset += run;
        }
    });
}

pub(super) fn pad(before: &[usize], value: f32, input: &Tensor, out: &mut Tensor) {
    let (from, to) = (strides(&input.shape[1..]), strides(&out.shape[1..]));
    let extents = input.shape[1..].to_vec();
    let offset: usize = before.iter().zip(&to).map(|(b, s)| b * s).sum();
    for_each_sample(out, |n, out| {
        out.fill(value);
        copy(input.sample(n), &from, &mut out[offset..], &to, &extents);
    });
}

pub(super) fn slice(start: &[usize], step: &[usize], input: &Tensor, out: &mut Tensor) {
    let from = strides(&input.shape[1..]);
    let offset: usize = start.iter().zip(&from).map(|(b, s)| b * s).sum();
    let from: Vec<usize> = from.iter().zip(step).map(|(s, step)| s * step).collect();
    let (to, extents) = (strides(&out.shape[1..]), out.shape[1..].to_vec());
    for_each_sample(out, |n, out| copy(&input.sample(n)[offset..], &from, out, &to, &extents));
}

pub(super) fn transpose(perm: &[usize], input: &Tensor, out: &mut Tensor) {
    let from = strides(&input.shape[1..]);
    let from: Vec<usize> = perm.iter().map(|axis| from[*axis]).collect();
    let (to, extents) = (strides(&out.shape[1..]), out.shape[1..].to_vec());
    for_each_sample(out, |n, out| copy(input.sample(n), &from, out, &to, &extents));
}

/// Distances of neighbours along each axis of a row-major array.
fn strides(extents: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; extents.len()];
    for axis in (1..extents.len()).rev() {
        strides[axis - 1] = strides[axis] * extents[axis];
    }
    strides
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
    if rest.is_empty() && *from_stride == 1 && *to_stride == 1 {
        to[..*extent].copy_from_slice(&from[..*extent]);
        return;
    }
    for i in 0..*extent {
        copy(&from[i * from_stride..], from_rest, &mut to[i * to_stride..], to_rest, rest);
    }
}
