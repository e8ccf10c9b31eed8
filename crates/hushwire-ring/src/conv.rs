//! Convolutions over Z_2^`BITS`.

use rayon::prelude::*;

use crate::planes::{Geometry, Splitter};
use crate::product::{self, Block, Gathered, Grid};
use crate::scratch::Scratch;
use crate::simd::Level;
use crate::{ConvShape, Ring, Word, depthwise, karatsuba};

/// Words of the input's planes held at a time.
const HELD_WORDS: usize = 1 << 23;

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
/// Rings of up to 52 bits use the 52-bit multiplier where there is one.
///
/// # What bounds it
/// The multiplier and the adders: the blocked product (see the module `product`, which also says
/// what a processor's ceilings are) for all shapes except depthwise ones, whose direct loop is bound
/// by loads and memory. Kernels of 3x3 with many channels and outputs and stride 1 take four products
/// for nine (see the module `karatsuba`). Before they did, measured on ResNet-50's 3x3 layers, one
/// core, in GMAC/s, of the instructions' own limit:
///
/// | words, ring | AMD EPYC (Zen 4), 3.7 GHz | Intel Xeon (Sapphire Rapids), 3.3 GHz |
/// |---|---|---|
/// | 32 bits | 50 to 54 of 59 | 38 to 48 of 71 |
/// | 64 bits, up to 52 used | 29 to 34 of 39 | 34 to 37 of 48 |
/// | 64 bits | 23 to 26 of 29 | 12 to 14 of 21 |
///
/// (On the Intel machine with its other hardware thread busy.) There, a quarter of the time of 32-bit
/// words goes to gathering and to cutting weights; least is reached with 7x7 planes, where weights are
/// used for few columns and come from memory. 25 GMAC/s for 64 used bits are beyond that processor's
/// multipliers. On the AMD machine without AVX-512 28 and 7, without AVX2 7.6 and 3.6.
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
    if shape.in_channels == shape.groups {
        return depthwise::compute(shape, weights, input, out);
    }
    if karatsuba::applies::<W>(bits, shape) {
        return karatsuba::compute(bits, shape, weights, input, out);
    }
    let geometry = Geometry::new(shape);
    let at_once = (HELD_WORDS / (shape.in_channels * geometry.channel_len()).max(1)).max(1);
    let inputs = input.chunks(at_once * shape.input_len());
    for (input, out) in inputs.zip(out.chunks_mut(at_once * shape.output_len())) {
        if geometry.is_plain() {
            blocked(bits, shape, &geometry, weights, input, out);
        } else {
            let planes = split(shape, &geometry, input);
            blocked(bits, shape, &geometry, weights, &planes, out);
        }
    }
}

/// The input's channels by phases.
fn split<W: Word>(shape: &ConvShape, geometry: &Geometry, input: &[W]) -> Scratch<W> {
    let (plane, channel) = (shape.in_h * shape.in_w, geometry.channel_len());
    let mut out = Scratch::new(input.len() / plane * channel);
    let (level, splitter) = (Level::detected(), Splitter::new::<W>(geometry));
    // Enough channels at a time to pay for what they share.
    let some = (1_usize << 16).div_ceil(channel);
    out.par_chunks_mut(some * channel)
        .zip(input.par_chunks(some * plane))
        .for_each(|(out, planes)| splitter.run(level, planes, out));
    out
}

fn blocked<W: Word>(
    bits: u32,
    shape: &ConvShape,
    geometry: &Geometry,
    weights: &[W],
    planes: &[W],
    out: &mut [W],
) {
    let (depth, plane) = (shape.depth(), shape.out_h() * shape.out_w());
    let channel = geometry.channel_len();
    let group_in = shape.in_channels / shape.groups;
    let group_out = shape.out_channels / shape.groups;

    let mut rows = Vec::with_capacity(depth);
    for i in 0..group_in {
        for ky in 0..shape.kernel[0] {
            rows.extend((0..shape.kernel[1]).map(|kx| i * channel + geometry.tap([ky, kx])));
        }
    }
    let columns: Vec<usize> = (0..shape.out_h())
        .flat_map(|y| (0..shape.out_w()).map(move |x| y * geometry.width() + x))
        .collect();

    let products = out.len() / (group_out * plane);
    let grid = Grid::new(products, group_out, plane);
    let mut blocks = Vec::new();
    for (i, out) in out.chunks_mut(group_out * plane).enumerate() {
        let group = i % shape.groups;
        // The sample's groups are consecutive, and so are samples.
        let data = &planes[i * group_in * channel..][..group_in * channel];
        for (r, out) in out.chunks_mut(grid.block_rows * plane).enumerate() {
            let first_row = group * group_out + r * grid.block_rows;
            let of_block = columns.chunks(grid.block_columns).map(|columns| Block {
                right: Gathered { data, rows: &rows, columns },
                first_row,
                out: Vec::with_capacity(grid.block_rows),
            });
            let first = blocks.len();
            blocks.extend(of_block);
            for out in out.chunks_mut(plane) {
                let parts = out.chunks_mut(grid.block_columns);
                blocks[first..].iter_mut().zip(parts).for_each(|(block, out)| block.out.push(out));
            }
        }
    }
    product::run(bits, weights, depth, blocks);
}
