//! The register tile of the matrix product.

use crate::Word;
use crate::simd::Vectorised;

/// Rows of a tile.
pub(crate) const ROWS: usize = 8;

/// Words in 64 bytes, the unit in which panels are padded.
pub(crate) const fn lanes<P: Word>() -> usize {
    64 / size_of::<P>()
}

/// How a tile sums the products of two rows and columns at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `a1 b1 + a2 b2`, as it stands.
    Plain,
    /// One product instead of two: `(a1 + b2)(a2 + b1) = a1 b1 + a2 b2 + a1 a2 + b1 b2`.
    ///
    /// The last two terms depend on a row or on a column alone: their sums are given to the tile,
    /// which subtracts them. If the depth is odd, the last product stands alone. (S. Winograd, A New
    /// Algorithm for Inner Product, IEEE Trans. Computers, 1968; exact over every commutative ring.)
    Paired,
}

/// `out[i][at + j] (+)= sum over k < depth of weights[rows[i] + start + k] * panel[k][j]`, for at most
/// [`ROWS`] rows and `vectors` * [`lanes`] columns.
///
/// Panels hold words `P`: the weights' own, or 64-bit ones for the 52-bit multiplier.
///
/// # What bounds it
/// The vector pipes: a tile of 8 x 1 vectors loads 2 vectors and 16 scalars for every 8 paired
/// products. AMD's Zen 4 has four pipes of 256 bits, two of which multiply; a 512-bit operation
/// takes two of them. A plain product is one multiplication and one addition, and all additions
/// must go to the two other pipes for the two to overlap (1 vector per cycle at best, 0.75
/// measured); a pair is one multiplication and three additions, which fill the four pipes by
/// themselves. With `vpmadd52luq`, which adds by itself, a pair is three operations instead of two
/// of the multiplying pipes' own. Ceilings at 3.7 GHz and what tiles reach with panels in the L1
/// cache, in GMAC/s:
///
/// | words, ring | plain | paired | of a ceiling of |
/// |---|---|---|---|
/// | 32 bits, `vpmulld` | 45 | 58 | 59 |
/// | 64 bits, `vpmullq` | 25 | 28 | 29 |
/// | 64 bits, at most 52 used, `vpmadd52luq` | 28 | 37 | 39 |
///
/// On Intel, where two pipes of 512 bits do everything and `vpmulld` and `vpmullq` take two and
/// three turns of one, pairs are worth more with these two and less than nothing with
/// `vpmadd52luq`.
pub(crate) struct Tile<'a, 'o, W, P> {
    pub(crate) weights: &'a [W],
    /// Where each row of weights starts.
    pub(crate) rows: &'a [usize; ROWS],
    /// First product.
    pub(crate) start: usize,
    pub(crate) depth: usize,
    /// `depth` rows of `vectors` * lanes words.
    pub(crate) panel: &'a [P],
    /// 1 to 3.
    pub(crate) vectors: usize,
    /// For each row of `out`, the sum of products of its pairs of weights; zero unless paired.
    pub(crate) row_pairs: &'a [W],
    /// For each column of the panel, the sum of products of its pairs; zero unless paired.
    pub(crate) column_pairs: &'a [P],
    /// At most [`ROWS`] rows.
    pub(crate) out: &'a mut [&'o mut [W]],
    /// First column of `out`.
    pub(crate) at: usize,
    /// Columns of `out`, at most those of the panel.
    pub(crate) width: usize,
    /// Whether to add to what is in `out`.
    pub(crate) accumulate: bool,
}

impl<W: Word, P: Word> Tile<'_, '_, W, P> {
    /// Panics unless every access of the tile is in bounds.
    #[inline(always)]
    pub(crate) fn check(&self) {
        let width = self.vectors * lanes::<P>();
        assert!(self.panel.len() >= self.depth * width, "panel");
        assert!(self.column_pairs.len() >= width, "pairs of columns");
        assert!(self.width <= width, "columns");
        let last = self.rows.iter().fold(0, |last, &row| last.max(row));
        let end = last.checked_add(self.start).and_then(|start| start.checked_add(self.depth));
        assert!(end.is_some_and(|end| end <= self.weights.len()), "weights");
        assert!(self.out.len() <= ROWS && self.out.len() <= self.row_pairs.len(), "rows");
        let end = self.at.checked_add(self.width);
        let enough = |out: &&mut [W]| end.is_some_and(|end| end <= out.len());
        assert!(self.out.iter().all(enough), "output");
    }
}

/// A paired tile without intrinsics: sub-tiles that fit the registers of smaller instruction sets.
pub(crate) struct Portable<'a, 'o, W, P>(pub(crate) Tile<'a, 'o, W, P>);

impl<W: Word, P: Word> Vectorised for Portable<'_, '_, W, P> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        self.0.check();
        for top in (0..self.0.out.len()).step_by(SUB_ROWS) {
            for left in (0..self.0.width).step_by(SUB_COLUMNS) {
                sub_tile(&mut self.0, top, left);
            }
        }
    }
}

const SUB_ROWS: usize = 4;
const SUB_COLUMNS: usize = 8;

#[inline(always)]
fn sub_tile<W: Word, P: Word>(tile: &mut Tile<'_, '_, W, P>, top: usize, left: usize) {
    let width = tile.vectors * lanes::<P>();
    let rows: [&[W]; SUB_ROWS] =
        core::array::from_fn(|i| &tile.weights[tile.rows[top + i] + tile.start..][..tile.depth]);
    let mut sums = [[P::ZERO; SUB_COLUMNS]; SUB_ROWS];
    let panel = &tile.panel[..tile.depth * width];
    let pairs = panel.chunks_exact(2 * width);
    let last = pairs.remainder();
    for (k, pair) in pairs.enumerate() {
        let (first, second) = pair.split_at(width);
        let (first, second) = (&first[left..][..SUB_COLUMNS], &second[left..][..SUB_COLUMNS]);
        for (sums, row) in sums.iter_mut().zip(&rows) {
            let a: P = P::from_u64(row[2 * k].to_u64());
            let b: P = P::from_u64(row[2 * k + 1].to_u64());
            for (sum, (x, y)) in sums.iter_mut().zip(first.iter().zip(second)) {
                *sum = sum.wrapping_add(a.wrapping_add(*y).wrapping_mul(b.wrapping_add(*x)));
            }
        }
    }
    if !last.is_empty() {
        let last = &last[left..][..SUB_COLUMNS];
        for (sums, row) in sums.iter_mut().zip(&rows) {
            let a: P = P::from_u64(row[tile.depth - 1].to_u64());
            for (sum, x) in sums.iter_mut().zip(last) {
                *sum = sum.wrapping_add(a.wrapping_mul(*x));
            }
        }
    }
    let columns = &tile.column_pairs[left..][..SUB_COLUMNS];
    let end = tile.width.min(left + SUB_COLUMNS);
    let out = tile.out[top..].iter_mut().zip(&tile.row_pairs[top..]);
    for ((out, row), sums) in out.zip(&sums) {
        let row = P::from_u64(row.to_u64());
        let out = &mut out[tile.at + left..tile.at + end];
        for (out, (sum, column)) in out.iter_mut().zip(sums.iter().zip(columns)) {
            let old = if tile.accumulate { *out } else { W::ZERO };
            let sum = sum.wrapping_sub(*column).wrapping_sub(row);
            *out = old.wrapping_add(W::from_u64(sum.to_u64()));
        }
    }
}
