//! The blocked matrix product behind convolutions and fully connected layers.
//!
//! C = A X with A the weights, rows contiguous and used where they lie, and X given by offsets:
//! X[k][n] = data[rows[k] + columns[n]], which covers a convolution over padded input (rows: channel
//! and tap; columns: sample and output position), a 1x1 convolution and a batch of vectors.
//!
//! C is cut into blocks, the unit of parallelism. A block goes through the depth in steps: it packs
//! [`DEPTH`] rows of its columns into panels one tile wide (this is the im2col, never materialised
//! beyond the block), then multiplies each panel, resident in the L1 cache, with all rows of
//! weights, which stream from L2.
//!
//! # What bounds it
//! Packing costs one load and store per element of X and block of rows, against one multiplication
//! per row: from 64 rows on, the multiplier is the limit.

use rayon::prelude::*;

use crate::Word;
use crate::simd::{self, IFMA_BITS, Level};
use crate::tile::{ROWS, Tile, VECTORS, lanes};

/// Steps in depth: a panel of 3 vectors and 8 rows of weights together fill the L1 cache.
const DEPTH: usize = 192;

/// Rows of a block, at most.
const BLOCK_ROWS: usize = 512;

/// Panels of a block, at most.
const BLOCK_PANELS: usize = 5;

/// The right-hand side: element (k, n) is `data[rows[k] + columns[n]]`.
pub(crate) struct Gathered<'a, W> {
    pub(crate) data: &'a [W],
    pub(crate) rows: &'a [usize],
    pub(crate) columns: &'a [usize],
}

/// A part of a row of the result, and where it belongs: row, first column.
pub(crate) struct Segment<'a, W> {
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) out: &'a mut [W],
}

/// How the result is cut into blocks.
#[derive(Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) block_rows: usize,
    pub(crate) block_columns: usize,
}

impl Grid {
    /// Blocks as large as the caches allow, but enough of them to keep all threads busy.
    pub(crate) fn new(products: usize, rows: usize, columns: usize) -> Self {
        let panel = VECTORS * lanes::<u64>();
        let mut grid = Self {
            block_rows: rows.next_multiple_of(ROWS).min(BLOCK_ROWS),
            block_columns: columns.next_multiple_of(panel).min(BLOCK_PANELS * panel),
        };
        let threads = rayon::current_num_threads();
        let wanted = if threads == 1 { 1 } else { 4 * threads };
        let blocks = |grid: Self| {
            products * rows.div_ceil(grid.block_rows) * columns.div_ceil(grid.block_columns)
        };
        // Halving the rows repeats the packing, so columns go first, down to a panel.
        while blocks(grid) < wanted && grid.block_columns > panel {
            grid.block_columns = (grid.block_columns / 2).next_multiple_of(panel);
        }
        while blocks(grid) < wanted && grid.block_rows > 4 * ROWS {
            grid.block_rows = (grid.block_rows / 2).next_multiple_of(ROWS);
        }
        grid
    }
}

/// One block of a product: `segments` lie within `block_rows` rows from `first_row` and
/// `block_columns` columns from `first_column`.
pub(crate) struct Block<'a, W> {
    /// All rows of weights of the product.
    pub(crate) weights: &'a [W],
    pub(crate) right: Gathered<'a, W>,
    pub(crate) first_row: usize,
    pub(crate) rows: usize,
    pub(crate) segments: Vec<Segment<'a, W>>,
}

/// Computes all blocks, of each sum at least the low `bits` bits.
pub(crate) fn run<W: Word>(bits: u32, blocks: Vec<Block<'_, W>>) {
    match Level::detected() {
        Level::Ifma if bits <= IFMA_BITS => run_with::<W, u64>(Level::Ifma, blocks),
        level => run_with::<W, W>(level.min(Level::Avx512), blocks),
    }
}

/// Computes all blocks with panels and sums of words `P`.
fn run_with<W: Word, P: Word>(level: Level, blocks: Vec<Block<'_, W>>) {
    blocks.into_par_iter().for_each_init(Scratch::<P>::default, |scratch, block| {
        block.run(level, scratch);
    });
}

/// Memory that one thread's blocks share.
#[derive(Default)]
struct Scratch<P> {
    panels: Vec<P>,
    sums: Vec<P>,
}

impl<W: Word> Block<'_, W> {
    fn run<P: Word>(self, level: Level, scratch: &mut Scratch<P>) {
        let depth = self.right.rows.len();
        let columns = self.right.columns.len();
        let stride = columns.next_multiple_of(lanes::<P>());
        let tall = self.rows.next_multiple_of(ROWS);
        let Scratch { panels, sums } = scratch;
        if sums.len() < tall * stride {
            sums.resize(tall * stride, P::ZERO);
        }
        if panels.len() < DEPTH * stride {
            panels.resize(DEPTH * stride, P::ZERO);
        }
        let sums = &mut sums[..tall * stride];
        if depth == 0 {
            sums.fill(P::ZERO);
        }
        let steps = depth.div_ceil(DEPTH).max(1);
        let step = depth.div_ceil(steps).max(1);
        let runs = consecutive::<P>(self.right.columns);
        for start in (0..depth).step_by(step) {
            let rows = &self.right.rows[start..depth.min(start + step)];
            for left in (0..stride).step_by(VECTORS * lanes::<P>()) {
                let width = (stride - left).min(VECTORS * lanes::<P>());
                let panel = &mut panels[..rows.len() * width];
                self.right.pack(rows, left, &runs, width, panel);
                for top in (0..tall).step_by(ROWS) {
                    // Rows beyond the last repeat it; their sums are not read.
                    let last = self.first_row + self.rows - 1;
                    let weights = |i: usize| (self.first_row + top + i).min(last) * depth + start;
                    let tile = Tile {
                        depth: rows.len(),
                        rows: core::array::from_fn(weights),
                        weights: self.weights,
                        panel,
                        vectors: width / lanes::<P>(),
                        out: &mut sums[top * stride + left..],
                        stride,
                        accumulate: start > 0,
                    };
                    simd::tile(level, tile);
                }
            }
        }
        for Segment { row, column, out } in self.segments {
            for (out, sum) in out.iter_mut().zip(&sums[row * stride + column..]) {
                *out = W::from_u64(sum.to_u64());
            }
        }
    }
}

/// For each vector of columns, whether its offsets are consecutive.
fn consecutive<P: Word>(columns: &[usize]) -> Vec<bool> {
    columns
        .chunks(lanes::<P>())
        .map(|c| c.len() == lanes::<P>() && c.iter().enumerate().all(|(i, &at)| at == c[0] + i))
        .collect()
}

impl<W: Word> Gathered<'_, W> {
    /// Packs `rows` of the `width` columns from `left`; columns beyond the last are garbage.
    fn pack<P: Word>(
        &self,
        rows: &[usize],
        left: usize,
        runs: &[bool],
        width: usize,
        panel: &mut [P],
    ) {
        let lanes = lanes::<P>();
        for v in 0..width / lanes {
            let first = left + v * lanes;
            let columns = &self.columns[first..self.columns.len().min(first + lanes)];
            let vectors = panel[v * lanes..].chunks_mut(width);
            if runs[first / lanes] {
                let data = &self.data[columns[0]..];
                for (out, &row) in vectors.zip(rows) {
                    copy_vector(&data[row..row + lanes], &mut out[..lanes]);
                }
            } else {
                for (out, &row) in vectors.zip(rows) {
                    let data = &self.data[row..];
                    for (out, &column) in out.iter_mut().zip(columns) {
                        *out = P::from_u64(data[column].to_u64());
                    }
                }
            }
        }
    }
}

/// Copies one vector of words; counts that are constants make it one or two moves.
#[inline(always)]
fn copy_vector<W: Word, P: Word>(from: &[W], to: &mut [P]) {
    if P::BITS == 64 {
        for (to, from) in to[..8].iter_mut().zip(&from[..8]) {
            *to = P::from_u64(from.to_u64());
        }
    } else {
        for (to, from) in to[..16].iter_mut().zip(&from[..16]) {
            *to = P::from_u64(from.to_u64());
        }
    }
}
