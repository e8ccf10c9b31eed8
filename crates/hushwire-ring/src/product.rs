//! The blocked matrix product behind convolutions and fully connected layers.
//!
//! C = A X with A the weights, rows contiguous and used where they lie, and X given by offsets:
//! X[k][n] = data[rows[k] + columns[n]], which covers a convolution over padded input (rows: channel
//! and tap; columns: output position), a 1x1 convolution and a batch of vectors.
//!
//! C is cut into blocks, the unit of parallelism. A block goes through the depth in steps: for each
//! panel of its columns, it gathers the step's rows of X (this is the im2col, never materialised
//! beyond a panel in the L1 cache), then multiplies it with all rows of weights, which stream from
//! the L2 cache. A few columns beyond the last whole vector are dot products instead.
//!
//! Most kernels multiply in pairs ([`Scheme::Paired`]): what pairs of weights contribute is summed
//! beforehand, once per call, and what pairs of X contribute while they are gathered.
//!
//! # What bounds it
//! The tile ([`Tile`]), of whose speed these remain: gathering costs two to five cycles per vector
//! of X and block of rows, against half to one and a half per row of weights; the pairs of weights
//! as much as two columns do.

use rayon::prelude::*;

use crate::Word;
use crate::dot::{self, dot};
use crate::panel::{Columns, Gather};
use crate::simd::{self, Kernel, LOW_BITS, Level, Vectorised};
use crate::tile::{ROWS, Scheme, Tile, lanes};

/// Bytes of a panel, at most: with eight rows of weights it fits the L1 cache.
const PANEL_BYTES: usize = 24 << 10;

/// Rows of a block, at most: a step's weights and the block's part of C stay in the L2 cache.
const BLOCK_ROWS: usize = 512;

/// Columns of a block, at most.
const BLOCK_COLUMNS: usize = 256;

/// The right-hand side: element (k, n) is `data[rows[k] + columns[n]]`.
pub(crate) struct Gathered<'a, W> {
    pub(crate) data: &'a [W],
    pub(crate) rows: &'a [usize],
    pub(crate) columns: &'a [usize],
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
        const PANEL: usize = 16;
        let mut grid = Self {
            block_rows: rows.next_multiple_of(ROWS).min(BLOCK_ROWS),
            block_columns: columns.next_multiple_of(PANEL).min(BLOCK_COLUMNS),
        };
        let threads = rayon::current_num_threads();
        let wanted = if threads == 1 { 1 } else { 4 * threads };
        let blocks = |grid: Self| {
            products * rows.div_ceil(grid.block_rows) * columns.div_ceil(grid.block_columns)
        };
        while blocks(grid) < wanted {
            // Fewer rows mean more gathering, fewer columns more passes over the weights.
            if grid.block_columns > 8 * PANEL {
                grid.block_columns = (grid.block_columns / 2).next_multiple_of(PANEL);
            } else if grid.block_rows > 8 * ROWS {
                grid.block_rows = (grid.block_rows / 2).next_multiple_of(ROWS);
            } else if grid.block_columns > PANEL {
                grid.block_columns = (grid.block_columns / 2).next_multiple_of(PANEL);
            } else {
                break;
            }
        }
        grid
    }
}

/// One block of a product.
pub(crate) struct Block<'a, W> {
    pub(crate) right: Gathered<'a, W>,
    /// The weights' row of the first of `out`.
    pub(crate) first_row: usize,
    /// Rows of the result, each of as many columns as the right-hand side.
    pub(crate) out: Vec<&'a mut [W]>,
}

/// Computes all blocks of products with rows of `weights`, `depth` words each; of each sum at least
/// the low `bits` bits.
pub(crate) fn run<W: Word>(bits: u32, weights: &[W], depth: usize, blocks: Vec<Block<'_, W>>) {
    let level = Level::detected();
    let paired = Kernel { level, scheme: Scheme::Paired, low: false };
    match level {
        Level::Ifma if bits <= LOW_BITS && simd::pairs_lose() => {
            let kernel = Kernel { scheme: Scheme::Plain, low: true, ..paired };
            run_with::<W, u64>(kernel, 3, weights, depth, blocks);
        }
        Level::Ifma if bits <= LOW_BITS && W::BITS == 64 => {
            run_with::<W, W>(Kernel { low: true, ..paired }, 2, weights, depth, blocks);
        }
        _ => run_with::<W, W>(paired, 1, weights, depth, blocks),
    }
}

/// Computes all blocks with panels of `vectors` vectors of words `P`.
fn run_with<W: Word, P: Word>(
    kernel: Kernel,
    vectors: usize,
    weights: &[W],
    depth: usize,
    blocks: Vec<Block<'_, W>>,
) {
    let product = Product::<W>::new::<P>(kernel, vectors, weights, depth);
    blocks.into_par_iter().for_each_init(Scratch::<W, P>::default, |scratch, block| {
        product.compute(block, scratch);
    });
}

/// What all blocks of a product share.
struct Product<'a, W> {
    kernel: Kernel,
    /// Vectors of a panel.
    vectors: usize,
    weights: &'a [W],
    depth: usize,
    /// Length of the steps in depth, even unless there is only one.
    step: usize,
    /// For each step, for each row of weights, the sum of products of pairs.
    pairs: Vec<W>,
}

/// Memory that one thread's blocks share.
#[derive(Default)]
struct Scratch<W, P> {
    panel: Vec<P>,
    pairs: Vec<P>,
    dots: Vec<W>,
}

/// `len` words at the start of a cache line, of any content.
fn aligned<P: Word>(buffer: &mut Vec<P>, len: usize) -> &mut [P] {
    buffer.resize(buffer.len().max(len + lanes::<P>()), P::ZERO);
    let start = buffer.as_ptr().align_offset(64).min(lanes::<P>());
    &mut buffer[start..start + len]
}

impl<'a, W: Word> Product<'a, W> {
    fn new<P: Word>(kernel: Kernel, vectors: usize, weights: &'a [W], depth: usize) -> Self {
        let limit = PANEL_BYTES / (vectors * 64);
        let step = depth.div_ceil(depth.div_ceil(limit).max(1)).next_multiple_of(2);
        let height = weights.len() / depth;
        let mut pairs = vec![W::ZERO; height * depth.div_ceil(step)];
        if kernel.scheme == Scheme::Paired {
            for (s, pairs) in pairs.chunks_exact_mut(height).enumerate() {
                let (start, end) = (s * step, depth.min((s + 1) * step));
                let rows = weights.par_chunks_exact(depth);
                rows.zip(pairs).with_min_len(16).for_each(|(row, pairs)| {
                    *pairs = simd::dispatch(kernel.level, Pairs(&row[start..end]));
                });
            }
        }
        Self { kernel, vectors, weights, depth, step, pairs }
    }

    fn compute<P: Word>(&self, mut block: Block<'_, W>, scratch: &mut Scratch<W, P>) {
        let Self { kernel, vectors, weights, depth, step, .. } = *self;
        let Gathered { data, rows, columns } = block.right;
        let lanes = lanes::<P>();
        let edge = match columns.len() % lanes {
            edge if edge <= dot::COLUMNS => edge,
            _ => 0,
        };
        let (columns, edge) = columns.split_at(columns.len() - edge);
        let columns = Columns::new::<P>(columns);
        let Scratch { panel, pairs, dots } = scratch;
        let panel = aligned(panel, step * vectors * lanes);
        let pairs = aligned(pairs, vectors * lanes);

        let height = weights.len() / depth;
        // Rows beyond the last repeat it; their sums are not read.
        let tops: Vec<[usize; ROWS]> = (block.first_row..block.first_row + block.out.len())
            .step_by(ROWS)
            .map(|top| core::array::from_fn(|i| (top + i).min(height - 1) * depth))
            .collect();
        for (s, rows) in rows.chunks(step).enumerate() {
            for left in (0..columns.len()).step_by(vectors * lanes) {
                let vectors = vectors.min((columns.len() - left).div_ceil(lanes));
                let width = columns.len().min(left + vectors * lanes) - left;
                let first = left / lanes;
                simd::gather(
                    kernel.level,
                    Gather { data, rows, columns: &columns, first, vectors, panel, pairs },
                );
                if kernel.scheme == Scheme::Plain {
                    pairs.fill(P::ZERO);
                }
                for (top, out) in block.out.chunks_mut(ROWS).enumerate() {
                    let first = block.first_row + top * ROWS;
                    let tile = Tile {
                        weights,
                        rows: &tops[top],
                        start: s * step,
                        depth: rows.len(),
                        panel,
                        vectors,
                        row_pairs: &self.pairs[s * height + first..][..out.len()],
                        column_pairs: pairs,
                        out,
                        at: left,
                        width,
                        accumulate: s > 0,
                    };
                    simd::tile(kernel, tile);
                }
            }
            if !edge.is_empty() {
                dots.clear();
                for &column in edge {
                    let data = &data[column..];
                    dots.extend(rows.iter().map(|&row| data[row]));
                }
                let step = DotStep {
                    weights: &weights[block.first_row * depth..],
                    depth,
                    start: s * step,
                    columns: dots,
                    out: &mut block.out,
                    at: columns.len(),
                };
                simd::dispatch(kernel.level, step);
            }
        }
    }
}

/// The sum of products of the pairs of a row.
struct Pairs<'a, W>(&'a [W]);

impl<W: Word> Vectorised for Pairs<'_, W> {
    type Output = W;

    #[inline(always)]
    fn run(self) -> W {
        let pairs = self.0.as_chunks::<2>().0.iter();
        pairs.fold(W::ZERO, |sum, [a, b]| sum.wrapping_add(a.wrapping_mul(*b)))
    }
}

/// One step in depth of a few columns: a dot product for each and every row.
struct DotStep<'a, 'o, W> {
    /// From the first row on.
    weights: &'a [W],
    depth: usize,
    /// First product of the step.
    start: usize,
    /// The step's words of every column, one column after the other.
    columns: &'a [W],
    out: &'a mut [&'o mut [W]],
    /// First column.
    at: usize,
}

impl<W: Word> Vectorised for DotStep<'_, '_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { weights, depth, start, columns, out, at } = self;
        let len = columns.len() / out.first().map_or(1, |out| out.len() - at);
        for (out, row) in out.iter_mut().zip(weights.chunks_exact(depth)) {
            let row = &row[start..start + len];
            for (out, column) in out[at..].iter_mut().zip(columns.chunks_exact(len)) {
                let old = if start > 0 { *out } else { W::ZERO };
                *out = old.wrapping_add(dot(row, column));
            }
        }
    }
}
