//! The matrices of linear operators.

use hushwire_graph::{Conv, Params, Pool, Shape};

use crate::Sparse;

/// The matrix of a convolution from `input` to `output`, both `[C, H, W]`.
pub(super) fn conv(conv: &Conv, params: &Params, input: [usize; 3], output: [usize; 3]) -> Sparse {
    let weight = &params[conv.weight];
    let [outputs, per_group, kernel_height, kernel_width] = weight.shape[..] else {
        unreachable!("a validated kernel has four axes")
    };
    let [_, height, width] = input;
    let mut matrix = Sparse::new(input.iter().product());
    for o in 0..outputs {
        let group = o / (outputs / conv.groups);
        for y in 0..output[1] {
            for x in 0..output[2] {
                for c in 0..per_group {
                    let channel = group * per_group + c;
                    for ky in 0..kernel_height {
                        let Some(iy) = tap(y, ky, conv, 0, height) else { continue };
                        for kx in 0..kernel_width {
                            let Some(ix) = tap(x, kx, conv, 1, width) else { continue };
                            let at = ((o * per_group + c) * kernel_height + ky) * kernel_width + kx;
                            matrix.push((channel * height + iy) * width + ix, weight.data[at]);
                        }
                    }
                }
                matrix.end_row();
            }
        }
    }
    matrix
}

/// The input index that tap `k` of output index `i` reads, unless it lies in the border.
fn tap(i: usize, k: usize, conv: &Conv, axis: usize, extent: usize) -> Option<usize> {
    let position = i * conv.stride[axis] + k * conv.dilation[axis];
    position.checked_sub(conv.pads[axis]).filter(|p| *p < extent)
}

/// The matrix of an average over windows.
pub(super) fn average(pool: &Pool, input: [usize; 3], output: [usize; 3]) -> Sparse {
    let [channels, height, width] = input;
    let whole = pool.kernel[0] * pool.kernel[1];
    let inside = |i: usize, axis: usize, extent: usize| {
        let start = i * pool.stride[axis];
        let end = (start + pool.kernel[axis]).saturating_sub(pool.pads[axis]).min(extent);
        start.saturating_sub(pool.pads[axis])..end
    };
    let mut matrix = Sparse::new(input.iter().product());
    for c in 0..channels {
        for y in 0..output[1] {
            for x in 0..output[2] {
                let (rows, columns) = (inside(y, 0, height), inside(x, 1, width));
                let within = rows.len() * columns.len();
                let count = if pool.count_include_pad { whole } else { within };
                for iy in rows {
                    for ix in columns.clone() {
                        matrix.push((c * height + iy) * width + ix, 1.0 / count as f32);
                    }
                }
                matrix.end_row();
            }
        }
    }
    matrix
}

/// A matrix that takes one input element for each output element, or none.
pub(super) fn select(
    columns: usize,
    shape: &Shape,
    source: impl Fn(&[usize]) -> Option<usize>,
) -> Sparse {
    let mut matrix = Sparse::new(columns);
    let mut position = vec![0; shape.rank()];
    for _ in 0..shape.len() {
        if let Some(column) = source(&position) {
            matrix.push(column, 1.0);
        }
        matrix.end_row();
        for (at, extent) in position.iter_mut().zip(&shape.0).rev() {
            *at += 1;
            if *at < *extent {
                break;
            }
            *at = 0;
        }
    }
    matrix
}

/// The position of an element in row-major order.
pub(super) fn flat(shape: &Shape, position: impl IntoIterator<Item = usize>) -> usize {
    position.into_iter().zip(&shape.0).fold(0, |sum, (at, extent)| sum * extent + at)
}
