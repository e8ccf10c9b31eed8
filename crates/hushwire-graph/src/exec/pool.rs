//! Pooling over windows.

use std::ops::Range;

use super::for_each_plane;
use crate::{Pool, Tensor};

pub(super) fn max(pool: &Pool, input: &Tensor, out: &mut Tensor) {
    reduce(pool, input, out, |window, rows, columns, width| {
        let lines = rows.map(|y| &window[y * width..][columns.clone()]);
        lines.flatten().fold(f32::NEG_INFINITY, |best, x| best.max(*x))
    });
}

pub(super) fn average(pool: &Pool, input: &Tensor, out: &mut Tensor) {
    let whole = pool.kernel[0] * pool.kernel[1];
    reduce(pool, input, out, |window, rows, columns, width| {
        let count = if pool.count_include_pad { whole } else { rows.len() * columns.len() };
        let lines = rows.map(|y| &window[y * width..][columns.clone()]);
        lines.map(|line| line.iter().sum::<f32>()).sum::<f32>() / count as f32
    });
}

/// Applies `f(plane, rows, columns, plane width)` to the part of each window inside the input.
fn reduce(
    pool: &Pool,
    input: &Tensor,
    out: &mut Tensor,
    f: impl Fn(&[f32], Range<usize>, Range<usize>, usize) -> f32 + Sync,
) {
    let (height, width) = (input.shape[2], input.shape[3]);
    let out_width = out.shape[3];
    let inside = |i: usize, axis: usize, extent: usize| {
        let start = i * pool.stride[axis];
        let end = (start + pool.kernel[axis]).saturating_sub(pool.pads[axis]).min(extent);
        start.saturating_sub(pool.pads[axis])..end
    };
    for_each_plane(out, |plane, out| {
        let input = &input.data[plane * height * width..][..height * width];
        for (y, line) in out.chunks_exact_mut(out_width).enumerate() {
            let rows = inside(y, 0, height);
            for (x, value) in line.iter_mut().enumerate() {
                *value = f(input, rows.clone(), inside(x, 1, width), width);
            }
        }
    });
}
