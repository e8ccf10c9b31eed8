//! Convolutions with 3x3 kernels and stride 1 by four products in nine.
//!
//! Three neighbouring outputs y along one axis are sums of products of three weights g with five
//! inputs d, nine in all. In every commutative ring six are enough:
//!
//! ```text
//! y0 = g0 (d0 - d1 - d2) + (g0 + g1) d1 + (g0 + g2) d2
//! y1 = g1 (d2 - d1 - d3) + (g0 + g1) d1 + (g1 + g2) d3
//! y2 = g2 (d4 - d2 - d3) + (g0 + g2) d2 + (g1 + g2) d3
//! ```
//!
//! This is Karatsuba's trick for three parts (A. Karatsuba and Yu. Ofman, 1962), transposed: products
//! of Toeplitz matrices and vectors (S. Winograd, Arithmetic Complexity of Computations, 1980; H. Fan
//! and M. A. Hasan, IEEE Trans. Computers, 2007). Unlike the filters that are known by Winograd's name
//! it divides by nothing, so it is exact modulo 2^l. Along both axes it takes 36 products for a tile of
//! 3x3 outputs instead of 81, each a product of matrices: weights by input channels times input
//! channels by tiles. A tile at the edge makes only the products that its outputs need.
//!
//! A block of outputs goes like this, everything on vectors of channels, which transpositions make
//! and undo. The sums of inputs are the left side of the products, a row for each product and tile.
//! For a few output channels and a step of input channels at a time, the sums of weights are panels;
//! [tiles](crate::tile) multiply all rows with them, and the sums of what they give are outputs.
//!
//! # What bounds it
//! By a profile of ResNet-50's layers on a Sapphire Rapids core with other processes beside it, the
//! [tile](crate::tile::Tile) has half of the time. The other half are the sums and transpositions, which
//! read and write four words for every input and output and for every nine weights, in the L2 cache. Of
//! the factor 2.25 that is saved in products this leaves, for 56x56, 28x28, 14x14 and 7x7 outputs of 64,
//! 128, 256 and 512 channels,
//!
//! | words, ring | against direct products |
//! |---|---|
//! | 32 bits, AVX-512 | 1.25, 1.26, 1.2, 0.95 |
//! | 64 bits, AVX-512 | 1.5, 1.4, 1.1, 0.7 |
//! | 64 bits, up to 52 used, AVX-512 | 1.05, 1.05, 0.9, 0.6 |
//! | 32 and 64 bits, AVX2 | 1.7, 1.6, 1.4, 0.8 to 1.2 |
//! | 32 and 64 bits, portable | 1.9, 1.8, 1.6, 1.1 to 1.2 |
//!
//! so it is used from a number of outputs on.

use core::ops::Range;

use rayon::prelude::*;

use crate::limbs::{self, CutRows};
use crate::panel::ColumnPairs;
use crate::product::{self, Pairs};
use crate::scratch::Scratch;
use crate::simd::{self, Kernel, Level, Transpose};
use crate::tile::{ROWS, Scheme, Tile, lanes};
use crate::{ConvShape, Word};

mod tiles;
mod transform;

use tiles::{TERMS, Tiles};
use transform::{Inputs, Outputs, REACH, SIDE, Weights};

/// Bytes of the left side of a block, at most: it is read once for every panel, from the L2 cache.
const LEFT_BYTES: usize = 1408 << 10;

/// Bytes of the panels of six products, at most: each is in the L1 cache while it is used.
const PANEL_BYTES: usize = 128 << 10;

/// Channels in and out from which the saved products pay for the sums.
const MIN_CHANNELS: usize = 32;

/// Outputs from which they pay for the sums of weights: measured on ResNet-50's layers, where fewer
/// outputs come with more weights.
fn least_outputs(kernel: Kernel) -> usize {
    match kernel {
        Kernel { level: Level::Portable, .. } => 36,
        // The fastest products for the size of their words.
        Kernel { scheme: Scheme::Plain, .. } => 576,
        _ => 144,
    }
}

/// Whether a convolution is computed so.
pub(crate) fn applies<W: Word>(bits: u32, shape: &ConvShape) -> bool {
    shape.kernel == [SIDE; 2]
        && shape.stride == [1; 2]
        && shape.dilation == [1; 2]
        && shape.in_channels / shape.groups >= MIN_CHANNELS
        && shape.out_channels / shape.groups >= MIN_CHANNELS
        && shape.out_h() * shape.out_w() >= least_outputs(product::kernel::<W>(bits).0)
}

/// Writes the convolution of all samples; of each output at least the low `bits` bits.
pub(crate) fn compute<W: Word>(
    bits: u32,
    shape: &ConvShape,
    weights: &[W],
    input: &[W],
    out: &mut [W],
) {
    let (kernel, vectors) = product::kernel::<W>(bits);
    Convolution { kernel, vectors, shape, weights }.run(input, out);
}

/// What all blocks share.
struct Convolution<'a, W> {
    kernel: Kernel,
    /// Vectors of a panel, at most.
    vectors: usize,
    shape: &'a ConvShape,
    weights: &'a [W],
}

/// Some rows of the outputs of some channels.
struct Block<'a, W> {
    /// The input's channels.
    data: &'a [W],
    rows: Range<usize>,
    first_channel: usize,
    /// For each channel, the outputs.
    out: Vec<&'a mut [W]>,
}

/// The left side of a block's products, by steps in depth.
struct Left<W> {
    words: Scratch<W>,
    /// Where each step's rows start.
    starts: Vec<usize>,
    /// Sums of products of pairs, for each step and row; zeros unless paired.
    pairs: Vec<W>,
}

impl<W: Word> Convolution<'_, W> {
    /// Writes the convolution of all samples.
    fn run(&self, input: &[W], out: &mut [W]) {
        let shape = self.shape;
        let (out_h, out_w) = (shape.out_h(), shape.out_w());
        let group_in = shape.in_channels / shape.groups;
        let group_out = shape.out_channels / shape.groups;
        let samples = out.len() / (group_out * out_h * out_w);
        let [height, channels] = self.block_size(samples);
        let mut blocks = Vec::new();
        for (i, out) in out.chunks_mut(group_out * out_h * out_w).enumerate() {
            // A sample's groups are consecutive, and so are samples.
            let plane = shape.in_h * shape.in_w;
            let data = &input[i * group_in * plane..][..group_in * plane];
            for (c, out) in out.chunks_mut(channels * out_h * out_w).enumerate() {
                let first_channel = i % shape.groups * group_out + c * channels;
                let first = blocks.len();
                blocks.extend((0..out_h).step_by(height).map(|y| Block {
                    data,
                    rows: y..out_h.min(y + height),
                    first_channel,
                    out: Vec::with_capacity(channels),
                }));
                for out in out.chunks_mut(out_h * out_w) {
                    let parts = out.chunks_mut(height * out_w);
                    blocks[first..]
                        .iter_mut()
                        .zip(parts)
                        .for_each(|(block, out)| block.out.push(out));
                }
            }
        }
        blocks.into_par_iter().for_each(|block| match W::BITS {
            32 => self.compute::<16>(block),
            _ => self.compute::<8>(block),
        });
    }

    /// Input channels, rounded up to whole vectors: those beyond the last are zero.
    fn depth(&self) -> usize {
        (self.shape.in_channels / self.shape.groups).next_multiple_of(lanes::<W>())
    }

    /// Words that `depth` channels become.
    fn len(&self, depth: usize) -> usize {
        if self.limbs() { limbs::len(depth) } else { depth }
    }

    fn limbs(&self) -> bool {
        self.kernel.scheme == Scheme::Limbs
    }

    /// Rows of outputs and output channels of a block.
    fn block_size(&self, samples: usize) -> [usize; 2] {
        let (out_h, out_w) = (self.shape.out_h(), self.shape.out_w());
        let group_out = self.shape.out_channels / self.shape.groups;
        let row = out_w.div_ceil(SIDE) * TERMS * TERMS * self.len(self.depth()) * size_of::<W>();
        let most = (LEFT_BYTES / row).max(1);
        let tiles = out_h.div_ceil(SIDE);
        let (mut parts, mut cuts) = (tiles.div_ceil(most), 1);
        let threads = rayon::current_num_threads();
        let wanted = if threads == 1 { 1 } else { 4 * threads };
        let few = 2 * self.vectors * lanes::<W>();
        while samples * parts * cuts < wanted {
            // More parts mean more sums of weights, more cuts more sums of inputs.
            let more_parts = 2 * parts <= tiles;
            let more_cuts = group_out / (2 * cuts) >= few;
            let outputs = out_h * out_w / (SIDE * SIDE * parts);
            if more_parts && (outputs > group_out / cuts || !more_cuts) {
                parts *= 2;
            } else if more_cuts {
                cuts *= 2;
            } else {
                break;
            }
        }
        let channels = group_out.div_ceil(cuts).next_multiple_of(lanes::<W>());
        [tiles.div_ceil(parts) * SIDE, channels]
    }

    fn compute<const L: usize>(&self, mut block: Block<'_, W>) {
        let tiles = Tiles::new(block.rows.len(), self.shape.out_w());
        let all = block.out.len().div_ceil(L);
        let count = all.div_ceil(self.vectors);
        let width = all.div_ceil(count) * L;
        // Steps in depth, of two vectors of channels each: their limbs are whole vectors.
        let row = TERMS * width * size_of::<W>();
        let most = PANEL_BYTES / row * 2 / self.len(2);
        let steps = self.depth().div_ceil(most);
        let step = self.depth().div_ceil(steps).next_multiple_of(2 * L);
        let left = self.left::<L>(&block, &tiles, step);

        let rows = tiles.all_rows();
        let mut products = Scratch::<W>::new(rows * width);
        let mut products: Vec<&mut [W]> = products.chunks_exact_mut(width).collect();
        let mut panels = Panels::new(self.len(step), width);
        // Vectors of weights, then of outputs.
        let weights = step * SIDE * SIDE * L;
        let sums = (block.rows.len() * tiles.out_w + TERMS * SIDE * tiles.columns) * L;
        let mut stage = Scratch::new((weights * width / L).max(sums));
        let mut outputs = Scratch::new(block.rows.len() * tiles.out_w * L);
        for i in 0..count {
            let range = i * all / count * L..((i + 1) * all / count * L).min(block.out.len());
            let vectors = range.len().div_ceil(L);
            for (s, start) in (0..self.depth()).step_by(step).enumerate() {
                let depth = step.min(self.depth() - start);
                for (v, stage) in stage.chunks_exact_mut(weights).take(vectors).enumerate() {
                    let first = block.first_channel + range.start + v * L;
                    let channels = first..(first + L).min(block.first_channel + range.end);
                    self.stage_weights::<L>(channels, start..start + depth, stage);
                }
                for t in 0..TERMS * TERMS {
                    let (term, other) = (t / TERMS, t % TERMS);
                    if other == 0 {
                        for (v, stage) in stage.chunks_exact(weights).take(vectors).enumerate() {
                            let sums = Weights::<W, L> {
                                stage,
                                term,
                                depth,
                                stride: panels.stride,
                                panels: &mut panels.words,
                                width: vectors * L,
                                at: v * L,
                                limbs: self.limbs(),
                            };
                            simd::dispatch(self.kernel.level, sums);
                        }
                        if self.kernel.scheme == Scheme::Paired {
                            panels.sum_pairs(self.kernel.level, depth, vectors * L);
                        }
                    }
                    let of_product = tiles.rows_of(t);
                    let all = s * rows + of_product.start..s * rows + of_product.end;
                    let tile = Tile {
                        weights: &left.words,
                        rows: &left.starts[all.clone()],
                        start: 0,
                        depth: self.len(depth),
                        ahead: &[0; ROWS],
                        panel: &panels.words[other * panels.stride..][..panels.stride],
                        vectors,
                        row_pairs: &left.pairs[all],
                        column_pairs: &panels.pairs[other * width..][..width],
                        out: &mut products[of_product],
                        at: 0,
                        width: vectors * L,
                        accumulate: s > 0,
                    };
                    simd::tile(self.kernel, tile);
                }
            }
            for v in 0..vectors {
                let channels = range.start + v * L..range.end.min(range.start + (v + 1) * L);
                let out = &mut block.out[channels];
                self.outputs::<L>(&tiles, &products, v, &mut stage, &mut outputs, out);
            }
        }
    }

    /// The sums of a block's inputs.
    fn left<const L: usize>(&self, block: &Block<'_, W>, tiles: &Tiles, step: usize) -> Left<W> {
        let Self { shape, kernel, .. } = self;
        let (len, rows, depth) = (self.len(step), tiles.all_rows(), self.depth());
        let (channels, plane) = (shape.in_channels / shape.groups, shape.in_h * shape.in_w);
        // The rows of the input that the block reads, and where a tile finds each position.
        let [top, left, ..] = shape.pads;
        let above = block.rows.start.saturating_sub(top).min(shape.in_h);
        let below = (block.rows.end + REACH - SIDE).saturating_sub(top).clamp(above, shape.in_h);
        let positions = (below - above) * shape.in_w;
        let place = |y: usize, x: usize| {
            let (y, x) = ((block.rows.start + y).wrapping_sub(top), x.wrapping_sub(left));
            let inside = (above..below).contains(&y) && x < shape.in_w;
            if inside { ((y - above) * shape.in_w + x) * L } else { positions * L }
        };
        let width = tiles.columns * SIDE + REACH - SIDE;
        let places: Vec<usize> = (0..tiles.rows * SIDE + REACH - SIDE)
            .flat_map(|y| (0..width).map(move |x| (y, x)))
            .map(|(y, x)| place(y, x))
            .collect();

        let steps = depth.div_ceil(step);
        let mut words = Scratch::<W>::new(steps * rows * len);
        // One vector more, of zeros.
        let mut stage = Scratch::<W>::new((positions + 1) * L);
        let mut between = Scratch::<W>::new(TERMS * width * L);
        for c in (0..depth).step_by(L) {
            let some = channels.saturating_sub(c).min(L);
            if some < L || c == 0 {
                stage.fill(W::ZERO);
            }
            let matrix = Transpose {
                from: &block.data[c * plane + above * shape.in_w..],
                from_stride: plane,
                rows: some,
                columns: positions,
                to: &mut stage,
                to_stride: L,
            };
            simd::transpose(kernel.level, matrix);
            let (s, at) = (c / step, c % step);
            let inputs = Inputs::<W, L> {
                tiles,
                stage: &stage,
                places: &places,
                between: &mut between,
                left: &mut words[s * rows * len..][..rows * len],
                len,
                at,
            };
            simd::dispatch(kernel.level, inputs);
        }
        if self.limbs() {
            for (s, rows) in words.chunks_exact_mut(rows * len).enumerate() {
                let depth = step.min(depth - s * step);
                simd::dispatch(kernel.level, CutRows { rows, len, depth });
            }
        }
        let starts: Vec<usize> = (0..steps * rows).map(|row| row * len).collect();
        let pairs = if kernel.scheme == Scheme::Paired {
            let pairs = starts.iter().enumerate().map(|(i, &start)| {
                let depth = step.min(depth - i / rows * step);
                simd::dispatch(kernel.level, Pairs(&words[start..start + depth]))
            });
            pairs.collect()
        } else {
            vec![W::ZERO; starts.len()]
        };
        Left { words, starts, pairs }
    }

    /// The weights of at most `L` output channels, channel by channel of the input.
    fn stage_weights<const L: usize>(
        &self,
        channels: Range<usize>,
        depth: Range<usize>,
        stage: &mut [W],
    ) {
        const TAPS: usize = SIDE * SIDE;
        let group_in = self.shape.in_channels / self.shape.groups;
        let there = depth.start * TAPS..depth.end.min(group_in) * TAPS;
        if channels.len() < L || depth.end > group_in {
            stage.fill(W::ZERO);
        }
        let matrix = Transpose {
            from: &self.weights[channels.start * group_in * TAPS + there.start..],
            from_stride: group_in * TAPS,
            rows: channels.len(),
            columns: there.len(),
            to: stage,
            to_stride: L,
        };
        simd::transpose(self.kernel.level, matrix);
    }

    /// The outputs of at most `L` channels, whose products are vector `v`.
    fn outputs<const L: usize>(
        &self,
        tiles: &Tiles,
        products: &[&mut [W]],
        v: usize,
        stage: &mut [W],
        planes: &mut [W],
        out: &mut [&mut [W]],
    ) {
        let len = out.first().map_or(0, |out| out.len());
        let (between, stage) = stage.split_at_mut(TERMS * SIDE * tiles.columns * L);
        let outputs = Outputs::<W, L> { tiles, products, at: v * L, between, out: stage };
        simd::dispatch(self.kernel.level, outputs);
        let matrix = Transpose {
            from: stage,
            from_stride: L,
            rows: len,
            columns: out.len(),
            to: planes,
            to_stride: len,
        };
        simd::transpose(self.kernel.level, matrix);
        out.iter_mut().zip(planes.chunks_exact(len)).for_each(|(out, plane)| {
            out.copy_from_slice(plane);
        });
    }
}

/// The sums of weights, a panel for each of six products.
struct Panels<W> {
    words: Scratch<W>,
    /// Words from panel to panel.
    stride: usize,
    /// For each panel and column the sum of products of its pairs; zeros unless paired.
    pairs: Vec<W>,
}

impl<W: Word> Panels<W> {
    fn new(len: usize, width: usize) -> Self {
        // A line between panels keeps them from competing for the same sets of the cache.
        let stride = len * width + lanes::<W>();
        Self { words: Scratch::new(TERMS * stride), stride, pairs: vec![W::ZERO; TERMS * width] }
    }

    fn sum_pairs(&mut self, level: Level, depth: usize, width: usize) {
        let most = self.pairs.len() / TERMS;
        let pairs = self.pairs.chunks_exact_mut(most);
        for (panel, pairs) in self.words.chunks_exact(self.stride).zip(pairs) {
            let (rows, sums) = (&panel[..depth * width], &mut pairs[..width]);
            simd::dispatch(level, ColumnPairs { rows, sums });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{LOW_BITS, levels, noise};

    fn shape(groups: usize, [inputs, outputs]: [usize; 2], [in_h, in_w]: [usize; 2]) -> ConvShape {
        ConvShape {
            in_channels: groups * inputs,
            in_h,
            in_w,
            out_channels: groups * outputs,
            kernel: [SIDE; 2],
            stride: [1; 2],
            pads: [1, 0, 2, 1],
            dilation: [1; 2],
            groups,
        }
    }

    /// One output at a time.
    fn plain<W: Word>(shape: &ConvShape, weights: &[W], input: &[W]) -> Vec<W> {
        let group_in = shape.in_channels / shape.groups;
        let group_out = shape.out_channels / shape.groups;
        let (out_h, out_w) = (shape.out_h(), shape.out_w());
        let output = |at: usize| {
            let (channel, y, x) = (at / (out_h * out_w), at / out_w % out_h, at % out_w);
            let weights = weights.chunks(group_in * 9).cycle().nth(channel).into_iter().flatten();
            let mut sum = W::ZERO;
            for (k, weight) in weights.enumerate() {
                let y = (y + k % 9 / SIDE).wrapping_sub(shape.pads[0]);
                let x = (x + k % SIDE).wrapping_sub(shape.pads[1]);
                if y < shape.in_h && x < shape.in_w {
                    let plane = channel / group_out * group_in + k / 9;
                    let at = (plane * shape.in_h + y) * shape.in_w + x;
                    sum = sum.wrapping_add(weight.wrapping_mul(input[at]));
                }
            }
            sum
        };
        let samples = input.len() / shape.input_len();
        (0..samples * shape.output_len()).map(output).collect()
    }

    fn agrees<W: Word>(kernel: Kernel, vectors: usize) {
        for (samples, shape) in [
            (1, shape(1, [1, 1], [2, 3])),
            (1, shape(1, [35, 40], [4, 7])),
            (2, shape(2, [17, 5], [8, 5])),
            (1, shape(1, [300, 9], [3, 3])),
            // More than one block, even on one thread.
            (1, shape(1, [64, 65], [60, 9])),
        ] {
            let weights = noise::<W>(shape.weight_len(), 1);
            let input = noise::<W>(samples * shape.input_len(), 2);
            let mut out = noise::<W>(samples * shape.output_len(), 3);
            Convolution { kernel, vectors, shape: &shape, weights: &weights }.run(&input, &mut out);
            let mask = if kernel.low { (1 << LOW_BITS) - 1 } else { u64::MAX };
            for (got, expected) in out.iter().zip(plain(&shape, &weights, &input)) {
                let wrong = (got.to_u64() ^ expected.to_u64()) & mask;
                assert_eq!(wrong, 0, "{kernel:?}, {vectors} vectors, {shape:?}");
            }
        }
    }

    #[test]
    fn sums_agree_with_direct_ones_at_every_level() {
        for level in levels() {
            let paired = Kernel { level, scheme: Scheme::Paired, low: false };
            agrees::<u32>(paired, 1);
            agrees::<u64>(paired, 2);
            if level >= Level::Ifma {
                agrees::<u64>(Kernel { low: true, ..paired }, 2);
                agrees::<u64>(Kernel { scheme: Scheme::Plain, low: true, ..paired }, 3);
            }
            if level >= Level::Vnni {
                let limbs = Kernel { scheme: Scheme::Limbs, ..paired };
                agrees::<u32>(limbs, 3);
                agrees::<u64>(limbs, 3);
            }
        }
    }

    #[test]
    fn tiles_need_what_their_outputs_take() {
        // 15 products along an axis of seven outputs, instead of 21.
        assert_eq!(Tiles::new(7, 7).all_rows(), 15 * 15);
        assert_eq!(Tiles::new(1, 8).all_rows(), 3 * 17);
    }
}
