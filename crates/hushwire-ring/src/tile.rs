//! The register tile of the matrix product.

use crate::Word;
use crate::simd::Vectorised;

/// Rows of a tile that are computed together.
pub(crate) const ROWS: usize = 8;

/// Words in 64 bytes, the unit in which panels are padded.
pub(crate) const fn lanes<W: Word>() -> usize {
    64 / size_of::<W>()
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
    /// Dot products of 16-bit [limbs](crate::limbs), into which weights and panels were cut.
    Limbs,
}

/// `out[i][at + j] (+)= sum over k < depth of weights[rows[i] + start + k] * panel[k][j]`, for any
/// number of rows, [`ROWS`] or a few less at a time, and `vectors` * [`lanes`] columns.
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
/// Intel's server cores have two pipes of 512 bits that do everything, and `vpmulld` and `vpmullq` take
/// two and three turns: pairs are worth more there, but less than [limbs](crate::limbs) of 16 bits
/// and, with `vpmadd52luq`, less than nothing. Sapphire Rapids at 3.3 GHz starts 6.4 to 6.7 * 10^9
/// vectors a second, in a loop without loads; ceilings, and what tiles alone reach (by a profile of
/// convolutions), in GMAC/s:
///
/// | words, ring | instructions for 8 or 16 products | tile | of a ceiling of |
/// |---|---|---|---|
/// | 32 bits, limbs | 1.5 `vpdpwssd` | 64 | 71 |
/// | 64 bits, limbs | 0.5 `vpdpwssd`, 2 `vpmadd52` | 18 | 21 |
/// | 64 bits, at most 52 used | 1 `vpmadd52luq` | 41 | 48 |
pub(crate) struct Tile<'a, 'o, W> {
    pub(crate) weights: &'a [W],
    /// Where each row of weights starts, at least as many as rows of `out`.
    pub(crate) rows: &'a [usize],
    /// First product.
    pub(crate) start: usize,
    pub(crate) depth: usize,
    /// Where rows of weights start that are needed soon: they are fetched into the cache.
    pub(crate) ahead: &'a [usize; ROWS],
    /// `depth` rows of `vectors` * lanes words.
    pub(crate) panel: &'a [W],
    /// 1 to 3.
    pub(crate) vectors: usize,
    /// For each row of `out`, the sum of products of its pairs of weights; zero unless paired.
    pub(crate) row_pairs: &'a [W],
    /// For each column of the panel, the sum of products of its pairs; zero unless paired.
    pub(crate) column_pairs: &'a [W],
    /// Rows of the result.
    pub(crate) out: &'a mut [&'o mut [W]],
    /// First column of `out`.
    pub(crate) at: usize,
    /// Columns of `out`, at most those of the panel.
    pub(crate) width: usize,
    /// Whether to add to what is in `out`.
    pub(crate) accumulate: bool,
}

impl<W: Word> Tile<'_, '_, W> {
    /// Panics unless every access of the tile is in bounds.
    #[inline(always)]
    pub(crate) fn check(&self) {
        let width = self.vectors * lanes::<W>();
        assert!(self.panel.len() >= self.depth * width, "panel");
        assert!(self.column_pairs.len() >= width, "pairs of columns");
        assert!(self.width <= width, "columns");
        let last = self.rows.iter().fold(0, |last, &row| last.max(row));
        let end = last.checked_add(self.start).and_then(|start| start.checked_add(self.depth));
        assert!(end.is_some_and(|end| end <= self.weights.len()), "weights");
        assert!(self.out.len() <= self.rows.len(), "rows");
        assert!(self.out.len() <= self.row_pairs.len(), "pairs of rows");
        let end = self.at.checked_add(self.width);
        let enough = |out: &&mut [W]| end.is_some_and(|end| end <= out.len());
        assert!(self.out.iter().all(enough), "output");
    }
}

/// A paired tile without intrinsics: sub-tiles that fit the registers of smaller instruction sets.
pub(crate) struct Portable<'a, 'o, W>(pub(crate) Tile<'a, 'o, W>);

impl<W: Word> Vectorised for Portable<'_, '_, W> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        self.0.check();
        for top in (0..self.0.out.len()).step_by(SUB_ROWS) {
            let mut left = 0;
            while left + 16 <= self.0.vectors * lanes::<W>() {
                sub_tile::<W, 16>(&mut self.0, top, left);
                left += 16;
            }
            if left < self.0.vectors * lanes::<W>() {
                sub_tile::<W, 8>(&mut self.0, top, left);
            }
        }
    }
}

/// Rows of a sub-tile.
const SUB_ROWS: usize = 4;

/// Rows and columns of a tile from (`top`, `left`) on.
#[inline(always)]
fn sub_tile<W: Word, const COLUMNS: usize>(tile: &mut Tile<'_, '_, W>, top: usize, left: usize) {
    // Rows beyond the last repeat it; their sums are not used.
    let last = tile.out.len() - 1;
    let rows: [&[W]; SUB_ROWS] = core::array::from_fn(|i| {
        &tile.weights[tile.rows[last.min(top + i)] + tile.start..][..tile.depth]
    });
    let sums = products::<W, COLUMNS>(&rows, tile.panel, tile.vectors * lanes::<W>(), left);
    let columns = &tile.column_pairs[left..][..COLUMNS];
    let end = tile.width.clamp(left, left + COLUMNS);
    let out = tile.out[top..].iter_mut().zip(&tile.row_pairs[top..]);
    for ((out, row), sums) in out.zip(&sums) {
        let out = &mut out[tile.at + left..tile.at + end];
        for (out, (sum, column)) in out.iter_mut().zip(sums.iter().zip(columns)) {
            let old = if tile.accumulate { *out } else { W::ZERO };
            *out = old.wrapping_add(sum.wrapping_sub(*column).wrapping_sub(*row));
        }
    }
}

/// The sums of a sub-tile.
#[inline(always)]
fn products<W: Word, const COLUMNS: usize>(
    rows: &[&[W]; SUB_ROWS],
    panel: &[W],
    width: usize,
    left: usize,
) -> [[W; COLUMNS]; SUB_ROWS] {
    let depth = rows[0].len();
    let rows: [&[W]; SUB_ROWS] = core::array::from_fn(|i| &rows[i][..depth]);
    let mut sums = [[W::ZERO; COLUMNS]; SUB_ROWS];
    for k in 0..depth / 2 {
        let (Some(x), Some(y)) = (
            panel[2 * k * width + left..].first_chunk::<COLUMNS>(),
            panel[(2 * k + 1) * width + left..].first_chunk::<COLUMNS>(),
        ) else {
            break;
        };
        for i in 0..SUB_ROWS {
            let (a, b) = (rows[i][2 * k], rows[i][2 * k + 1]);
            for j in 0..COLUMNS {
                let product = a.wrapping_add(y[j]).wrapping_mul(b.wrapping_add(x[j]));
                sums[i][j] = sums[i][j].wrapping_add(product);
            }
        }
    }
    if depth % 2 == 1
        && let Some(x) = panel[(depth - 1) * width + left..].first_chunk::<COLUMNS>()
    {
        for i in 0..SUB_ROWS {
            let a = rows[i][depth - 1];
            for j in 0..COLUMNS {
                sums[i][j] = sums[i][j].wrapping_add(a.wrapping_mul(x[j]));
            }
        }
    }
    sums
}
