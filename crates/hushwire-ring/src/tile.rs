//! The register tile of the matrix product.

use crate::Word;
use crate::simd::Vectorised;

/// Rows of a tile.
pub(crate) const ROWS: usize = 8;

/// Greatest number of vectors in a row of a tile.
pub(crate) const VECTORS: usize = 3;

/// Words in 64 bytes, the unit in which panels are padded.
pub(crate) const fn lanes<P: Word>() -> usize {
    64 / size_of::<P>()
}

/// `out[i][j] (+)= sum over k < depth of weights[rows[i] + k] * panel[k][j]`, for [`ROWS`] rows and
/// `vectors` * [`lanes`] columns.
///
/// Panels and sums hold words `P`: the weights' own, or 64-bit ones for the 52-bit multiplier.
///
/// # What bounds it
/// A tile of 8 x 3 vectors loads 3 vectors and 8 scalars for 24 products, so it is bound by the
/// vector ports alone. Cycles per AVX-512 vector of products on recent Intel cores, and what that
/// allows per core at 2.8 GHz: `vpmadd52luq` (8 products modulo 2^52, addition included) 1/2, 45
/// GMAC/s; `vpmulld` and `vpaddd` (16 products) 3/2, 30 GMAC/s; `vpmullq` and `vpaddq` (8) 2, 11
/// GMAC/s. Hence 52-bit products wherever the ring is that small, 32-bit words included.
pub(crate) struct Tile<'a, W, P> {
    pub(crate) depth: usize,
    /// Where each row of weights starts.
    pub(crate) rows: [usize; ROWS],
    pub(crate) weights: &'a [W],
    /// `depth` rows of `vectors` * lanes words.
    pub(crate) panel: &'a [P],
    /// 1 to [`VECTORS`].
    pub(crate) vectors: usize,
    pub(crate) out: &'a mut [P],
    /// Distance between rows of `out`.
    pub(crate) stride: usize,
    /// Whether to add to what is in `out`.
    pub(crate) accumulate: bool,
}

impl<W: Word, P: Word> Tile<'_, W, P> {
    /// Panics unless every access of the tile is in bounds.
    #[inline(always)]
    pub(crate) fn check(&self) {
        let width = self.vectors * lanes::<P>();
        assert!(self.panel.len() >= self.depth * width, "panel");
        assert!(self.out.len() >= (ROWS - 1) * self.stride + width, "output");
        let enough =
            |&row: &usize| row <= self.weights.len() && self.weights.len() - row >= self.depth;
        assert!(self.rows.iter().all(enough), "weights");
    }
}

/// A tile without intrinsics: sub-tiles that fit the registers of smaller instruction sets.
pub(crate) struct Portable<'a, W, P>(pub(crate) Tile<'a, W, P>);

impl<W: Word, P: Word> Vectorised for Portable<'_, W, P> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        self.0.check();
        for top in (0..ROWS).step_by(SUB_ROWS) {
            for left in (0..self.0.vectors * lanes::<P>()).step_by(SUB_COLUMNS) {
                sub_tile(&mut self.0, top, left);
            }
        }
    }
}

const SUB_ROWS: usize = 4;
const SUB_COLUMNS: usize = 8;

#[inline(always)]
fn sub_tile<W: Word, P: Word>(tile: &mut Tile<'_, W, P>, top: usize, left: usize) {
    let width = tile.vectors * lanes::<P>();
    let rows: [&[W]; SUB_ROWS] =
        core::array::from_fn(|i| &tile.weights[tile.rows[top + i]..][..tile.depth]);
    let mut sums = [[P::ZERO; SUB_COLUMNS]; SUB_ROWS];
    for (k, column) in tile.panel.chunks_exact(width).take(tile.depth).enumerate() {
        let column = &column[left..left + SUB_COLUMNS];
        for (sums, row) in sums.iter_mut().zip(&rows) {
            let weight = P::from_u64(row[k].to_u64());
            for (sum, x) in sums.iter_mut().zip(column) {
                *sum = sum.wrapping_add(weight.wrapping_mul(*x));
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        let out = &mut tile.out[(top + i) * tile.stride + left..][..SUB_COLUMNS];
        for (out, sum) in out.iter_mut().zip(sums) {
            let old = if tile.accumulate { *out } else { P::ZERO };
            *out = old.wrapping_add(*sum);
        }
    }
}
