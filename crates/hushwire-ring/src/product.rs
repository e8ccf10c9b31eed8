//! The blocked matrix product behind convolutions and fully connected layers.
//!
//! C = A X with A the weights, rows contiguous and used where they lie, and X given by offsets:
//! X[k][n] = data[rows[k] + columns[n]], which covers a convolution over padded input (rows: channel
//! and tap; columns: output position), a 1x1 convolution and a batch of vectors.
//!
//! C is cut into blocks, the unit of parallelism. A block goes through the depth in steps: it gathers
//! the step's rows of X for a few panels of columns (this is the im2col, never materialised beyond
//! the L2 cache), then multiplies them with the weights, eight rows at a time, which are so read from
//! memory once. A few columns beyond the last whole vector are dot products instead.
//!
//! Most kernels multiply in pairs ([`Scheme::Paired`]): what pairs of weights contribute is summed
//! beforehand, once per call, and what pairs of X contribute while they are gathered. Where products
//! are made from [limbs](crate::limbs), X is cut while it is gathered and eight rows of weights just
//! before they are used; that costs too little (five percent of a small layer) to keep cut weights from
//! call to call.
//!
//! # What bounds it
//! The tile ([`Tile`]). Of its speed gathering takes away most: four to five cycles per vector of X
//! (the store port), against one per row of weights. With less than a hundred columns, the bandwidth
//! of memory: each weight is read for as many products as there are columns.

use core::ops::Range;

use rayon::prelude::*;

use crate::Word;
use crate::dot::{self, Dot};
use crate::limbs::{self, Cut};
use crate::panel::{Columns, Gather};
use crate::scratch::Scratch;
use crate::simd::{self, Kernel, LOW_BITS, Level, Vectorised};
use crate::tile::{ROWS, Scheme, Tile, lanes};

/// Steps in depth, at most: a tile streams its panel from the L2 cache at no cost.
const STEP: usize = 1152;

/// Bytes of panels gathered before the first is used, at most: they stay in the L2 cache.
const PANEL_BYTES: usize = 384 << 10;

/// The same for limbs, which are Intel's, whose L2 caches are larger: weights should be cut for as
/// many columns as possible.
const LIMB_STEP: usize = 384;
const LIMB_PANEL_BYTES: usize = 768 << 10;

/// Columns of a block, at most: whole panels of one to three vectors.
const BLOCK_COLUMNS: usize = 240;

/// Columns up to which the pairs of weights are summed when the weights are in the cache anyway,
/// instead of beforehand.
const FEW_COLUMNS: usize = 64;

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
    /// Blocks as large as is useful, but enough of them to keep all threads busy.
    pub(crate) fn new(products: usize, rows: usize, columns: usize) -> Self {
        const PANEL: usize = 16;
        let mut grid = Self {
            block_rows: rows.next_multiple_of(ROWS),
            block_columns: columns.next_multiple_of(PANEL).min(BLOCK_COLUMNS),
        };
        let threads = rayon::current_num_threads();
        let wanted = if threads == 1 { 1 } else { 4 * threads };
        let blocks = |grid: Self| {
            products * rows.div_ceil(grid.block_rows) * columns.div_ceil(grid.block_columns)
        };
        while blocks(grid) < wanted {
            // Fewer rows mean more gathering, fewer columns more passes over the weights.
            if grid.block_columns > 4 * PANEL {
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
    let (kernel, vectors) = kernel::<W>(bits);
    run_with(kernel, vectors, weights, depth, blocks);
}

/// The kernel for products of which the low `bits` bits are needed, and the vectors of a panel.
pub(crate) fn kernel<W: Word>(bits: u32) -> (Kernel, usize) {
    let level = Level::detected();
    let paired = Kernel { level, scheme: Scheme::Paired, low: false };
    let low = W::BITS == 64 && bits <= LOW_BITS && level >= Level::Ifma;
    match level {
        Level::Portable => (paired, 16 / lanes::<W>()),
        Level::Vnni if simd::pairs_lose() && !low => {
            (Kernel { scheme: Scheme::Limbs, ..paired }, 3)
        }
        _ if low && simd::pairs_lose() => (Kernel { scheme: Scheme::Plain, low, ..paired }, 3),
        _ if low => (Kernel { low, ..paired }, 2),
        _ => (paired, 1),
    }
}

/// Computes all blocks with panels of `vectors` vectors.
fn run_with<W: Word>(
    kernel: Kernel,
    vectors: usize,
    weights: &[W],
    depth: usize,
    blocks: Vec<Block<'_, W>>,
) {
    let limbs = kernel.scheme == Scheme::Limbs;
    let (step, bytes) = if limbs { (LIMB_STEP, LIMB_PANEL_BYTES) } else { (STEP, PANEL_BYTES) };
    let step = depth.div_ceil(depth.div_ceil(step)).next_multiple_of(2);
    let len = if limbs { limbs::len(step) } else { step };
    let together = (bytes / (len * vectors * 64)).max(1);
    let mut product =
        Product { kernel, vectors, weights, depth, step, len, together, pairs: Vec::new() };
    if kernel.scheme != Scheme::Paired {
        product.pairs = vec![W::ZERO; product.height() * depth.div_ceil(step)];
    } else if blocks.iter().any(|block| block.right.columns.len() > FEW_COLUMNS) {
        product.pairs = product.all_pairs();
    }
    blocks.into_par_iter().for_each(|block| product.compute(block));
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
    /// Rows of a panel of a whole step.
    len: usize,
    /// Panels gathered before the first is used.
    together: usize,
    /// For each step, for each row of weights, the sum of products of pairs; empty if they are to
    /// be summed on the way.
    pairs: Vec<W>,
}

impl<W: Word> Product<'_, W> {
    fn height(&self) -> usize {
        self.weights.len() / self.depth
    }

    fn all_pairs(&self) -> Vec<W> {
        let height = self.height();
        let mut pairs = vec![W::ZERO; height * self.depth.div_ceil(self.step)];
        for (s, pairs) in pairs.chunks_exact_mut(height).enumerate() {
            let (start, end) = (s * self.step, self.depth.min((s + 1) * self.step));
            let rows = self.weights.par_chunks_exact(self.depth);
            rows.zip(pairs).with_min_len(16).for_each(|(row, pairs)| {
                *pairs = simd::dispatch(self.kernel.level, Pairs(&row[start..end]));
            });
        }
        pairs
    }

    fn compute(&self, mut block: Block<'_, W>) {
        let Gathered { data, rows, columns } = block.right;
        let edge = match columns.len() % lanes::<W>() {
            edge if edge <= dot::COLUMNS => edge,
            _ => 0,
        };
        let (columns, edge) = columns.split_at(columns.len() - edge);
        let columns = Columns::new::<W>(columns.to_vec());
        // Rows beyond the last repeat it; their sums are not used.
        let starts: Vec<[usize; ROWS]> = (block.first_row..block.first_row + block.out.len())
            .step_by(ROWS)
            .map(|top| core::array::from_fn(|i| (top + i).min(self.height() - 1) * self.depth))
            .collect();
        // Panels as wide as each other, or nearly.
        let all = columns.len().div_ceil(lanes::<W>());
        let count = all.div_ceil(self.vectors);
        let ranges = (0..count).map(|i| i * all / count..(i + 1) * all / count);
        let ranges: Vec<Range<usize>> = ranges.collect();
        let mut panels = Panels::new(self, count.min(self.together));
        let mut dots = Scratch::<W>::new(edge.len() * self.step);
        let cut = if self.kernel.scheme == Scheme::Limbs { ROWS * self.len } else { 0 };
        let mut cut = Scratch::<W>::new(cut);
        let groups = count.div_ceil(self.together).max(1);
        for group in 0..groups {
            let end = count.min((group + 1) * self.together);
            let ranges = &ranges[group * self.together..end];
            // The columns beyond the panels go with the last of them.
            let edge = if group + 1 == groups { edge } else { &[] };
            for (s, rows) in rows.chunks(self.step).enumerate() {
                panels.gather(self, data, rows, &columns, ranges);
                let dots = &mut dots[..edge.len() * rows.len()];
                for (dots, &column) in dots.chunks_exact_mut(rows.len()).zip(edge) {
                    let data = &data[column..];
                    dots.iter_mut().zip(rows).for_each(|(x, &row)| *x = data[row]);
                }
                for (top, out) in block.out.chunks_mut(ROWS).enumerate() {
                    let rows = TileRows {
                        starts: &starts[top],
                        next: starts.get(top + 1).unwrap_or(&starts[top]),
                        pairs: self.row_pairs(
                            block.first_row + top * ROWS,
                            &starts[top],
                            s,
                            rows.len(),
                        ),
                        start: s * self.step,
                        depth: rows.len(),
                    };
                    if self.kernel.scheme == Scheme::Limbs {
                        panels.multiply(self, &self.cut(&rows, &mut cut), &columns, ranges, out);
                    } else {
                        panels.multiply(self, &self.plain(&rows), &columns, ranges, out);
                    }
                    let at = columns.len();
                    let step =
                        DotStep { weights: self.weights, rows: &rows, columns: dots, out, at };
                    simd::dispatch(self.kernel.level, step);
                }
            }
        }
    }

    /// The rows of a tile where they lie.
    fn plain<'t>(&'t self, rows: &'t TileRows<'_, W>) -> Left<'t, W> {
        let &TileRows { starts, next, pairs, start, depth } = rows;
        let accumulate = start > 0;
        Left { weights: self.weights, starts: *starts, next, pairs, start, depth, accumulate }
    }

    /// The rows of a tile as limbs.
    fn cut<'t>(&self, rows: &'t TileRows<'_, W>, out: &'t mut Scratch<W>) -> Left<'t, W> {
        let &TileRows { starts, next, pairs, start, depth } = rows;
        let (weights, from) = (self.weights, starts.map(|row| row + start));
        simd::dispatch(self.kernel.level, Cut { weights, rows: from, depth, out: &mut out[..] });
        let depth = limbs::len(depth);
        let starts = core::array::from_fn(|i| i * depth);
        Left { weights: out, starts, next, pairs, start: 0, depth, accumulate: start > 0 }
    }

    /// The sums of products of pairs of one row of tiles in step `s`.
    fn row_pairs(&self, row: usize, starts: &[usize; ROWS], s: usize, depth: usize) -> [W; ROWS] {
        let height = self.height();
        if self.pairs.is_empty() {
            starts.map(|start| {
                let row = &self.weights[start + s * self.step..][..depth];
                simd::dispatch(self.kernel.level, Pairs(row))
            })
        } else {
            core::array::from_fn(|i| self.pairs[s * height + (row + i).min(height - 1)])
        }
    }
}

/// One step in depth of the rows of a row of tiles.
struct TileRows<'a, W> {
    /// Where each row of weights starts.
    starts: &'a [usize; ROWS],
    /// The same of the next row of tiles.
    next: &'a [usize; ROWS],
    pairs: [W; ROWS],
    /// First product of the step.
    start: usize,
    depth: usize,
}

/// What tiles of a row of tiles multiply with panels: rows of weights, or limbs of them.
struct Left<'a, W> {
    weights: &'a [W],
    starts: [usize; ROWS],
    next: &'a [usize; ROWS],
    pairs: [W; ROWS],
    start: usize,
    depth: usize,
    accumulate: bool,
}

/// One step in depth of some panels of a block.
struct Panels<W> {
    words: Scratch<W>,
    /// Distance between panels.
    stride: usize,
    /// Sums of products of pairs.
    pairs: Scratch<W>,
    /// Columns of a panel, at most.
    width: usize,
}

impl<W: Word> Panels<W> {
    fn new(product: &Product<'_, W>, count: usize) -> Self {
        let width = product.vectors * lanes::<W>();
        // A line between panels keeps them from competing for the same sets of the cache.
        let stride = product.len * width + lanes::<W>();
        let (words, mut pairs) = (Scratch::new(count * stride), Scratch::new(count * width));
        if product.kernel.scheme != Scheme::Paired {
            pairs.fill(W::ZERO);
        }
        Self { words, stride, pairs, width }
    }

    /// Gathers `rows` of the panels of the vectors `ranges`.
    fn gather(
        &mut self,
        product: &Product<'_, W>,
        data: &[W],
        rows: &[usize],
        columns: &Columns,
        ranges: &[Range<usize>],
    ) {
        let Kernel { level, scheme, .. } = product.kernel;
        let limbs = scheme == Scheme::Limbs;
        let mut unused = Scratch::new(if scheme == Scheme::Plain { self.width } else { 0 });
        let words = self.words.chunks_exact_mut(self.stride);
        let panels = words.zip(self.pairs.chunks_exact_mut(self.width));
        for (range, (panel, pairs)) in ranges.iter().zip(panels) {
            let (first, vectors) = (range.start, range.len());
            let pairs = if scheme == Scheme::Plain { &mut unused[..] } else { pairs };
            simd::gather(
                level,
                Gather { data, rows, columns, first, vectors, limbs, panel, pairs },
            );
        }
    }

    /// Multiplies a row of tiles with all panels.
    fn multiply(
        &self,
        product: &Product<'_, W>,
        left: &Left<'_, W>,
        columns: &Columns,
        ranges: &[Range<usize>],
        out: &mut [&mut [W]],
    ) {
        let words = self.words.chunks_exact(self.stride);
        let panels = words.zip(self.pairs.chunks_exact(self.width));
        // Each tile fetches a part of the next rows.
        let part = ROWS.div_ceil(ranges.len().max(1));
        for (i, (range, (panel, column_pairs))) in ranges.iter().zip(panels).enumerate() {
            let (at, vectors) = (range.start * lanes::<W>(), range.len());
            let tile = Tile {
                weights: left.weights,
                rows: &left.starts,
                start: left.start,
                depth: left.depth,
                ahead: &core::array::from_fn(|j| left.next[(i * part + j % part).min(ROWS - 1)]),
                panel,
                vectors,
                row_pairs: &left.pairs,
                column_pairs,
                out,
                at,
                width: (vectors * lanes::<W>()).min(columns.len() - at),
                accumulate: left.accumulate,
            };
            simd::tile(product.kernel, tile);
        }
    }
}

/// The sum of products of the pairs of a row.
pub(crate) struct Pairs<'a, W>(pub(crate) &'a [W]);

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
    weights: &'a [W],
    rows: &'a TileRows<'a, W>,
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
        let Self { weights, rows: &TileRows { starts, start, depth, .. }, columns, out, at } = self;
        for (out, &row) in out.iter_mut().zip(starts) {
            let row = &weights[row + start..][..depth];
            for (out, column) in out[at..].iter_mut().zip(columns.chunks_exact(depth)) {
                let old = if start > 0 { *out } else { W::ZERO };
                *out = old.wrapping_add(Dot(row, column).run());
            }
        }
    }
}
