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
//! beforehand, once per call, and what pairs of X contribute while they are gathered.
//!
//! # What bounds it
//! The tile ([`Tile`]). Of its speed gathering takes away most: four to five cycles per vector of X
//! (the store port), against one per row of weights. With less than a hundred columns, the bandwidth
//! of memory: each weight is read for as many products as there are columns.

use rayon::prelude::*;

use crate::Word;
use crate::dot::{self, Dot};
use crate::panel::{Columns, Gather};
use crate::scratch::Scratch;
use crate::simd::{self, Kernel, LOW_BITS, Level, Vectorised};
use crate::tile::{ROWS, Scheme, Tile, lanes};

/// Steps in depth, at most: a tile streams its panel from the L2 cache at no cost.
const STEP: usize = 1152;

/// Bytes of panels gathered before the first is used, at most: they stay in the L2 cache.
const PANEL_BYTES: usize = 384 << 10;

/// Columns of a block, at most.
const BLOCK_COLUMNS: usize = 256;

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
        Level::Portable => run_with::<W, W>(paired, 16 / lanes::<W>(), weights, depth, blocks),
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
    let step = depth.div_ceil(depth.div_ceil(STEP)).next_multiple_of(2);
    let together = (PANEL_BYTES / (step * vectors * 64)).max(1);
    let mut product =
        Product { kernel, vectors, weights, depth, step, together, pairs: Vec::new() };
    if kernel.scheme == Scheme::Plain {
        product.pairs = vec![W::ZERO; product.height() * depth.div_ceil(step)];
    } else if blocks.iter().any(|block| block.right.columns.len() > FEW_COLUMNS) {
        product.pairs = product.all_pairs();
    }
    blocks.into_par_iter().for_each(|block| product.compute::<P>(block));
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

    fn compute<P: Word>(&self, mut block: Block<'_, W>) {
        let Gathered { data, rows, columns } = block.right;
        let edge = match columns.len() % lanes::<P>() {
            edge if edge <= dot::COLUMNS => edge,
            _ => 0,
        };
        let (columns, edge) = columns.split_at(columns.len() - edge);
        let columns = Columns::new::<P>(columns.to_vec());
        // Rows beyond the last repeat it; their sums are not used.
        let starts: Vec<[usize; ROWS]> = (block.first_row..block.first_row + block.out.len())
            .step_by(ROWS)
            .map(|top| core::array::from_fn(|i| (top + i).min(self.height() - 1) * self.depth))
            .collect();
        let all = columns.len().div_ceil(lanes::<P>());
        let firsts: Vec<usize> = (0..all).step_by(self.vectors).collect();
        let mut panels = Panels::<P>::new(self, firsts.len().min(self.together));
        let mut dots = Scratch::<W>::new(edge.len() * self.step);
        let groups = firsts.len().div_ceil(self.together).max(1);
        for group in 0..groups {
            let end = firsts.len().min((group + 1) * self.together);
            let firsts = &firsts[group * self.together..end];
            // The columns beyond the panels go with the last of them.
            let edge = if group + 1 == groups { edge } else { &[] };
            for (s, rows) in rows.chunks(self.step).enumerate() {
                panels.gather(self, data, rows, &columns, firsts);
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
                    panels.multiply(self, &rows, &columns, firsts, out);
                    let at = columns.len();
                    let step =
                        DotStep { weights: self.weights, rows: &rows, columns: dots, out, at };
                    simd::dispatch(self.kernel.level, step);
                }
            }
        }
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

/// One step in depth of some panels of a block.
struct Panels<P> {
    words: Scratch<P>,
    /// Distance between panels.
    stride: usize,
    /// Sums of products of pairs.
    pairs: Scratch<P>,
    /// Columns of a panel.
    width: usize,
}

impl<P: Word> Panels<P> {
    fn new<W: Word>(product: &Product<'_, W>, count: usize) -> Self {
        let width = product.vectors * lanes::<P>();
        // A line between panels keeps them from competing for the same sets of the cache.
        let stride = product.step * width + lanes::<P>();
        let (words, pairs) = (Scratch::new(count * stride), Scratch::new(count * width));
        Self { words, stride, pairs, width }
    }

    /// Gathers `rows` of the panels that start with the vectors `firsts`.
    fn gather<W: Word>(
        &mut self,
        product: &Product<'_, W>,
        data: &[W],
        rows: &[usize],
        columns: &Columns,
        firsts: &[usize],
    ) {
        let Kernel { level, scheme, .. } = product.kernel;
        let words = self.words.chunks_exact_mut(self.stride);
        let panels = words.zip(self.pairs.chunks_exact_mut(self.width));
        for (&first, (panel, pairs)) in firsts.iter().zip(panels) {
            let vectors = product.vectors.min(columns.vectors() - first);
            simd::gather(level, Gather { data, rows, columns, first, vectors, panel, pairs });
            if scheme == Scheme::Plain {
                pairs.fill(P::ZERO);
            }
        }
    }

    /// Multiplies a row of tiles with all panels.
    fn multiply<W: Word>(
        &self,
        product: &Product<'_, W>,
        rows: &TileRows<'_, W>,
        columns: &Columns,
        firsts: &[usize],
        out: &mut [&mut [W]],
    ) {
        let words = self.words.chunks_exact(self.stride);
        let panels = words.zip(self.pairs.chunks_exact(self.width));
        // Each tile fetches a part of the next rows.
        let part = ROWS.div_ceil(firsts.len().max(1));
        for (i, (&first, (panel, column_pairs))) in firsts.iter().zip(panels).enumerate() {
            let at = first * lanes::<P>();
            let tile = Tile {
                weights: product.weights,
                rows: rows.starts,
                start: rows.start,
                depth: rows.depth,
                ahead: &core::array::from_fn(|j| rows.next[(i * part + j % part).min(ROWS - 1)]),
                panel,
                vectors: product.vectors.min(columns.vectors() - first),
                row_pairs: &rows.pairs,
                column_pairs,
                out,
                at,
                width: self.width.min(columns.len() - at),
                accumulate: rows.start > 0,
            };
            simd::tile(product.kernel, tile);
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
