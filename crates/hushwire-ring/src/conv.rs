//! Convolutions over Z_2^`BITS`.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::product::{self, Block, Gathered, Grid, Segment};
use crate::simd::{self, Level, Vectorised};
use crate::{ConvShape, Ring, Word};

/// Words of padded input held at a time.
const PADDED_WORDS: usize = 1 << 23;

/// Writes the convolution of `batch` samples (NCHW, weights OIHW) to `out`, modulo 2^`BITS`.
///
/// See [`conv2d_mod`] for smaller rings.
///
/// # Panics
/// As [`conv2d_mod`].
pub fn conv2d<W: Word>(shape: &ConvShape, batch: usize, weights: &[W], input: &[W], out: &mut [W]) {
    conv2d_to(W::BITS, shape, batch, weights, input, out);
}

/// Like [`conv2d`], modulo 2^l only: the bits of `out` above the ring's are garbage.
///
/// Rings of up to 52 bits use the 52-bit multiplier where there is one, four times as fast as
/// 64-bit products.
///
/// # What bounds it
/// The multiplier: the blocked product (see the module `product`) for all shapes except depthwise
/// ones, whose direct loop has one multiplication per load and is bound by the L1 and L2 caches.
/// Measured on ResNet-50's 3x3 layers, one core at 2.8 GHz, against the instructions' own limit:
/// 27 to 34 of 45 GMAC/s with 32-bit words or rings of up to 52 bits, 9.5 of 11 with 64-bit rings.
///
/// # Panics
/// If a slice does not have the length the shape gives, or the shape is degenerate (no groups,
/// channels that are no multiple of them, an empty kernel, a zero stride or dilation).
pub fn conv2d_mod<W: Word>(
    ring: Ring,
    shape: &ConvShape,
    batch: usize,
    weights: &[W],
    input: &[W],
    out: &mut [W],
) {
    conv2d_to(ring.bits().min(W::BITS), shape, batch, weights, input, out);
}

fn conv2d_to<W: Word>(
    bits: u32,
    shape: &ConvShape,
    batch: usize,
    weights: &[W],
    input: &[W],
    out: &mut [W],
) {
    shape.check();
    assert_eq!(weights.len(), shape.weight_len(), "weights");
    assert_eq!(input.len(), batch * shape.input_len(), "input");
    assert_eq!(out.len(), batch * shape.output_len(), "output");
    if out.is_empty() {
        return;
    }
    if shape.input_len() == 0 {
        out.fill(W::ZERO);
        return;
    }
    let [top, left, bottom, right] = shape.pads;
    let padded_len = shape.in_channels * (shape.in_h + top + bottom) * (shape.in_w + left + right);
    let at_once = (PADDED_WORDS / padded_len).max(1);
    let inputs = input.chunks(at_once * shape.input_len());
    for (input, out) in inputs.zip(out.chunks_mut(at_once * shape.output_len())) {
        let padded = pad(shape, input);
        if shape.in_channels == shape.groups {
            depthwise(shape, weights, &padded, out);
        } else {
            blocked(bits, shape, weights, &padded, out);
        }
    }
}

/// Geometry of the padded input.
struct Padded {
    height: usize,
    width: usize,
}

impl Padded {
    fn of(shape: &ConvShape) -> Self {
        let [top, left, bottom, right] = shape.pads;
        Self { height: shape.in_h + top + bottom, width: shape.in_w + left + right }
    }

    fn plane(&self) -> usize {
        self.height * self.width
    }
}

/// The input with its zeros around it: taps then need no bounds of their own.
fn pad<'a, W: Word>(shape: &ConvShape, input: &'a [W]) -> Cow<'a, [W]> {
    if shape.pads == [0; 4] {
        return Cow::Borrowed(input);
    }
    let [top, left, ..] = shape.pads;
    let padded = Padded::of(shape);
    let planes = input.len() / (shape.in_h * shape.in_w);
    let mut out = vec![W::ZERO; planes * padded.plane()];
    out.par_chunks_mut(padded.plane())
        .zip(input.par_chunks(shape.in_h * shape.in_w))
        .with_min_len(8)
        .for_each(|(out, plane)| {
            let rows = out[top * padded.width..].chunks_mut(padded.width);
            for (out, row) in rows.zip(plane.chunks(shape.in_w)) {
                out[left..left + shape.in_w].copy_from_slice(row);
            }
        });
    Cow::Owned(out)
}

fn blocked<W: Word>(bits: u32, shape: &ConvShape, weights: &[W], padded: &[W], out: &mut [W]) {
    let geometry = Padded::of(shape);
    let (depth, plane) = (shape.depth(), shape.out_h() * shape.out_w());
    let sample = shape.in_channels * geometry.plane();
    let samples = padded.len() / sample;
    let group_in = shape.in_channels / shape.groups;
    let group_out = shape.out_channels / shape.groups;

    let mut rows = Vec::with_capacity(depth);
    for channel in 0..group_in {
        for ky in 0..shape.kernel[0] {
            for kx in 0..shape.kernel[1] {
                let (y, x) = (ky * shape.dilation[0], kx * shape.dilation[1]);
                rows.push(channel * geometry.plane() + y * geometry.width + x);
            }
        }
    }
    let mut columns = Vec::with_capacity(samples * plane);
    for s in 0..samples {
        for y in 0..shape.out_h() {
            for x in 0..shape.out_w() {
                let (y, x) = (y * shape.stride[0], x * shape.stride[1]);
                columns.push(s * sample + y * geometry.width + x);
            }
        }
    }

    let grid = Grid::new(shape.groups, group_out, columns.len());
    let down = group_out.div_ceil(grid.block_rows);
    let across = columns.len().div_ceil(grid.block_columns);
    let mut segments: Vec<Vec<Segment<'_, W>>> = Vec::new();
    segments.resize_with(shape.groups * down * across, Vec::new);
    for (i, mut out) in out.chunks_mut(plane).enumerate() {
        let (s, channel) = (i / shape.out_channels, i % shape.out_channels);
        let (group, row) = (channel / group_out, channel % group_out);
        let mut column = s * plane;
        while !out.is_empty() {
            let (block, offset) = (column / grid.block_columns, column % grid.block_columns);
            let (head, tail) = out.split_at_mut(out.len().min(grid.block_columns - offset));
            column += head.len();
            segments[(group * down + row / grid.block_rows) * across + block].push(Segment {
                row: row % grid.block_rows,
                column: offset,
                out: head,
            });
            out = tail;
        }
    }
    let blocks = segments.into_iter().enumerate().map(|(i, segments)| {
        let (group, down_at, across_at) = (i / across / down, i / across % down, i % across);
        let first_row = down_at * grid.block_rows;
        let first_column = across_at * grid.block_columns;
        let end = columns.len().min(first_column + grid.block_columns);
        Block {
            weights: &weights[group * group_out * depth..][..group_out * depth],
            right: Gathered {
                data: &padded[group * group_in * geometry.plane()..],
                rows: &rows,
                columns: &columns[first_column..end],
            },
            first_row,
            rows: grid.block_rows.min(group_out - first_row),
            segments,
        }
    });
    product::run(bits, blocks.collect());
}

/// One input channel per group: every output plane is a sum of shifted input planes.
fn depthwise<W: Word>(shape: &ConvShape, weights: &[W], padded: &[W], out: &mut [W]) {
    let level = Level::detected();
    let plane = Padded::of(shape).plane();
    let taps = shape.kernel[0] * shape.kernel[1];
    let multiplier = shape.out_channels / shape.groups;
    out.par_chunks_mut(shape.out_h() * shape.out_w()).enumerate().for_each(|(i, out)| {
        let channel = i % shape.out_channels;
        let weights = &weights[channel * taps..][..taps];
        let input = &padded[i / multiplier * plane..][..plane];
        simd::dispatch(level, Depthwise { shape, weights, input, out });
    });
}

struct Depthwise<'a, W> {
    shape: &'a ConvShape,
    weights: &'a [W],
    /// One padded plane.
    input: &'a [W],
    out: &'a mut [W],
}

impl<W: Word> Vectorised for Depthwise<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { shape, weights, input, out } = self;
        let width = Padded::of(shape).width;
        let out_w = shape.out_w();
        for (oy, out) in out.chunks_exact_mut(out_w).enumerate() {
            out.fill(W::ZERO);
            for (ky, weights) in weights.chunks_exact(shape.kernel[1]).enumerate() {
                let row =
                    &input[(oy * shape.stride[0] + ky * shape.dilation[0]) * width..][..width];
                for (kx, &weight) in weights.iter().enumerate() {
                    let row = &row[kx * shape.dilation[1]..];
                    if shape.stride[1] == 1 {
                        for (out, &x) in out.iter_mut().zip(row) {
                            *out = out.wrapping_add(weight.wrapping_mul(x));
                        }
                    } else {
                        for (out, &x) in out.iter_mut().zip(row.iter().step_by(shape.stride[1])) {
                            *out = out.wrapping_add(weight.wrapping_mul(x));
                        }
                    }
                }
            }
        }
    }
}
