//! The register tile of the matrix product.

use crate::Word;
use crate::simd::Vectorised;

/// Rows of a tile.
pub(crate) const ROWS: usize = 8;

/// Greatest number of vectors in a row of a tile.
pub(crate) const VECTORS: usize = 3;

/// Words in 64 bytes, the unit in which panels are padded.
pub(crate) const fn lanes<W: Word>() -> usize {
    64 / size_of::<W>()
}

/// `out[i][j] (+)= sum over k < depth of weights[rows[i] + k] * panel[k][j]`, for [`ROWS`] rows and
/// `vectors` * [`lanes`] columns.
///
/// # What bounds it
/// A tile of 8 x 3 vectors loads 3 vectors and 8 scalars for 24 multiplications, so it is bound by
/// the multiplier alone: with AVX-512, `vpmullq` gives 8 and `vpmulld` 16 products an instruction.
pub(crate) struct Tile<'a, W> {
    pub(crate) depth: usize,
    /// Where each row of weights starts.
    pub(crate) rows: [usize; ROWS],
    pub(crate) weights: &'a [W],
    /// `depth` rows of `vectors` * lanes words.
    pub(crate) panel: &'a [W],
    /// 1 to [`VECTORS`].
    pub(crate) vectors: usize,
    pub(crate) out: &'a mut [W],
    /// Distance between rows of `out`.
    pub(crate) stride: usize,
    /// Whether to add to what is in `out`.
    pub(crate) accumulate: bool,
}

impl<W: Word> Tile<'_, W> {
    /// Panics unless every access of the tile is in bounds.
    #[inline(always)]
    pub(crate) fn check(&self) {
        let width = self.vectors * lanes::<W>();
        assert!(self.panel.len() >= self.depth * width, "panel");
        assert!(self.out.len() >= (ROWS - 1) * self.stride + width, "output");
        let enough = |&row: &usize| row <= self.weights.len() && self.weights.len() - row >= self.depth;
        assert!(self.rows.iter().all(enough), "weights");
    }
}

/// A tile without intrinsics: sub-tiles that fit the registers of smaller instruction sets.
pub(crate) struct Portable<'a, W>(pub(crate) Tile<'a, W>);

impl<W: Word> Vectorised for Portable<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        self.0.check();
        for top in (0..ROWS).step_by(SUB_ROWS) {
            for left in (0..self.0.vectors * lanes::<W>()).step_by(SUB_COLUMNS) {
                sub_tile(&mut self.0, top, left);
            }
        }
    }
}

const SUB_ROWS: usize = 4;
const SUB_COLUMNS: usize = 8;

#[inline(always)]
fn sub_tile<W: Word>(tile: &mut Tile<'_, W>, top: usize, left: usize) {
    let width = tile.vectors * lanes::<W>();
    let rows: [&[W]; SUB_ROWS] =
        core::array::from_fn(|i| &tile.weights[tile.rows[top + i]..][..tile.depth]);
    let mut sums = [[W::ZERO; SUB_COLUMNS]; SUB_ROWS];
    for (k, column) in tile.panel.chunks_exact(width).take(tile.depth).enumerate() {
        let column = &column[left..left + SUB_COLUMNS];
        for (sums, row) in sums.iter_mut().zip(&rows) {
            for (sum, x) in sums.iter_mut().zip(column) {
                *sum = sum.wrapping_add(row[k].wrapping_mul(*x));
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        let out = &mut tile.out[(top + i) * tile.stride + left..][..SUB_COLUMNS];
        for (out, sum) in out.iter_mut().zip(sums) {
            let old = if tile.accumulate { *out } else { W::ZERO };
            *out = old.wrapping_add(*sum);
        }
    }
}
