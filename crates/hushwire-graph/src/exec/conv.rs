//! Convolution: depthwise by direct loops, everything else as matrix products of the kernel with
//! the input's windows laid out as columns.

use rayon::prelude::*;

use super::gemm::{Destination, Matrix, multiply};
use super::{for_each_plane, for_each_sample};
use crate::{Conv, Tensor};

/// Elements of the column matrix made at a time: about half of a second-level cache.
const COLUMN_BUFFER: usize = 1 << 18;

pub(super) fn run(
    conv: &Conv,
    weight: &Tensor,
    bias: Option<&[f32]>,
    input: &Tensor,
    out: &mut Tensor,
) {
    let geometry = Geometry::new(conv, weight, input, out);
    if geometry.channels == 1 && geometry.outputs == 1 {
        return depthwise(&geometry, weight, bias, input, out);
    }
    // With many samples each thread takes whole ones; with few the products are split instead.
    let inner_parallel = input.batch() < rayon::current_num_threads();
    if inner_parallel {
        let len = out.sample_len();
        for (n, sample) in out.data.chunks_exact_mut(len).enumerate() {
            convolve(&geometry, weight, bias, input.sample(n), sample, true);
        }
    } else {
        for_each_sample(out, |n, sample| {
            convolve(&geometry, weight, bias, input.sample(n), sample, false);
        });
    }
}

/// Extents of one group of a convolution.
struct Geometry {
    groups: usize,
    /// Input channels per group.
    channels: usize,
    /// Output channels per group.
    outputs: usize,
    input: [usize; 2],
    kernel: [usize; 2],
    output: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    /// Padding before, vertical and horizontal.
    pad: [usize; 2],
    /// A 1x1 kernel that visits every element: the input is its own column matrix.
    pointwise: bool,
}

impl Geometry {
    fn new(conv: &Conv, weight: &Tensor, input: &Tensor, out: &Tensor) -> Self {
        let plane = |shape: &[usize]| [shape[2], shape[3]];
        let kernel = plane(&weight.shape);
        let pointwise = kernel == [1, 1] && conv.stride == [1, 1] && conv.pads == [0; 4];
        Self {
            groups: conv.groups,
            channels: weight.shape[1],
            outputs: weight.shape[0] / conv.groups,
            input: plane(&input.shape),
            kernel,
            output: plane(&out.shape),
            stride: conv.stride,
            dilation: conv.dilation,
            pad: [conv.pads[0], conv.pads[1]],
            pointwise,
        }
    }

    /// Output indices along `axis` whose tap `k` lies inside the input, and the first's input index.
    fn valid(&self, axis: usize, k: usize) -> (std::ops::Range<usize>, usize) {
        let (offset, stride) = (k * self.dilation[axis], self.stride[axis]);
        let start = self.pad[axis].saturating_sub(offset).div_ceil(stride);
        let end = (self.input[axis] + self.pad[axis]).saturating_sub(offset).div_ceil(stride);
        let end = end.min(self.output[axis]);
        let start = start.min(end);
        (start..end, (start * stride + offset).saturating_sub(self.pad[axis]))
    }
}

fn convolve(
    g: &Geometry,
    weight: &Tensor,
    bias: Option<&[f32]>,
    input: &[f32],
    out: &mut [f32],
    parallel: bool,
) {
    let positions = g.output[0] * g.output[1];
    let input_plane = g.input[0] * g.input[1];
    let depth = g.channels * g.kernel[0] * g.kernel[1];
    let destination = match bias {
        Some(bias) => {
            let planes = out.chunks_exact_mut(positions).zip(bias);
            planes.for_each(|(plane, bias)| plane.fill(*bias));
            Destination::Accumulate
        }
        None => Destination::Overwrite,
    };
    // Whole rows of the output at a time, so that windows are copied in runs.
    let rows = (COLUMN_BUFFER / (depth * g.output[1])).clamp(1, g.output[0]);
    let mut columns = vec![0.0; if g.pointwise { 0 } else { depth * rows * g.output[1] }];
    for group in 0..g.groups {
        let input = &input[group * g.channels * input_plane..][..g.channels * input_plane];
        let kernel = &weight.data[group * g.outputs * depth..][..g.outputs * depth];
        let kernel = Matrix::rows(kernel, depth);
        let out = &mut out[group * g.outputs * positions..][..g.outputs * positions];
        if g.pointwise {
            let extents = [g.outputs, positions, depth];
            let windows = Matrix::rows(input, positions);
            multiply(extents, kernel, windows, out, positions, destination, parallel);
            continue;
        }
        for first in (0..g.output[0]).step_by(rows) {
            let count = rows.min(g.output[0] - first);
            let width = count * g.output[1];
            let columns = &mut columns[..depth * width];
            lay_out(g, input, first, count, columns, parallel);
            let out = &mut out[first * g.output[1]..];
            let extents = [g.outputs, width, depth];
            let windows = Matrix::rows(columns, width);
            multiply(extents, kernel, windows, out, positions, destination, parallel);
        }
    }
}

/// Fills `columns` `[channels * kernel, count * output width]`: row by row the input element under
/// each tap of the kernel, for the output rows from `first`.
fn lay_out(
    g: &Geometry,
    input: &[f32],
    first: usize,
    count: usize,
    columns: &mut [f32],
    parallel: bool,
) {
    let taps = g.kernel[0] * g.kernel[1];
    let plane = g.input[0] * g.input[1];
    let fill = |(row, columns): (usize, &mut [f32])| {
        let (channel, tap) = (row / taps, row % taps);
        let (ky, kx) = (tap / g.kernel[1], tap % g.kernel[1]);
        let input = &input[channel * plane..][..plane];
        let (valid_y, _) = g.valid(0, ky);
        let (valid_x, x) = g.valid(1, kx);
        for (y, line) in (first..first + count).zip(columns.chunks_exact_mut(g.output[1])) {
            if !valid_y.contains(&y) || valid_x.is_empty() {
                line.fill(0.0);
                continue;
            }
            let source = (y * g.stride[0] + ky * g.dilation[0] - g.pad[0]) * g.input[1] + x;
            line[..valid_x.start].fill(0.0);
            line[valid_x.end..].fill(0.0);
            let line = &mut line[valid_x.clone()];
            if g.stride[1] == 1 {
                line.copy_from_slice(&input[source..][..line.len()]);
            } else {
                let taken = input[source..].iter().step_by(g.stride[1]);
                line.iter_mut().zip(taken).for_each(|(to, from)| *to = *from);
            }
        }
    };
    let width = count * g.output[1];
    if parallel {
        columns.par_chunks_exact_mut(width).enumerate().for_each(fill);
    } else {
        columns.chunks_exact_mut(width).enumerate().for_each(fill);
    }
}

/// One input channel per output channel: tap by tap over whole rows.
fn depthwise(
    g: &Geometry,
    weight: &Tensor,
    bias: Option<&[f32]>,
    input: &Tensor,
    out: &mut Tensor,
) {
    let plane_len = g.input[0] * g.input[1];
    let taps = g.kernel[0] * g.kernel[1];
    for_each_plane(out, |plane, out| {
        let channel = plane % g.groups;
        let input = &input.data[plane * plane_len..][..plane_len];
        let kernel = &weight.data[channel * taps..][..taps];
        out.fill(bias.map_or(0.0, |bias| bias[channel]));
        for (tap, &w) in kernel.iter().enumerate() {
            let (ky, kx) = (tap / g.kernel[1], tap % g.kernel[1]);
            let (valid_y, first_y) = g.valid(0, ky);
            let (valid_x, x) = g.valid(1, kx);
            if valid_x.is_empty() {
                continue;
            }
            for (i, y) in valid_y.enumerate() {
                let line = &mut out[y * g.output[1]..][valid_x.clone()];
                let source = &input[(first_y + i * g.stride[0]) * g.input[1] + x..];
                if g.stride[1] == 1 {
                    line.iter_mut().zip(source).for_each(|(y, x)| *y += w * x);
                } else {
                    let taken = source.iter().step_by(g.stride[1]);
                    line.iter_mut().zip(taken).for_each(|(y, x)| *y += w * x);
                }
            }
        }
    });
}
