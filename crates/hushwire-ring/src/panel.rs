//! Panels: columns of the right-hand side, gathered for the tile.

use crate::Word;
use crate::limbs;
use crate::simd::Vectorised;
use crate::tile::lanes;

/// A column of zeros.
pub(crate) const HOLE: usize = usize::MAX;

/// Columns of a right-hand side, a vector at a time.
///
/// Element (k, n) of the right-hand side is `data[rows[k] + columns[n]]`, or zero where column n is a
/// [`HOLE`]. Neighbouring columns usually lie side by side: a vector is a few *pieces*, each one load.
pub(crate) struct Columns {
    offsets: Vec<usize>,
    lanes: usize,
    pieces: Vec<Piece>,
    /// Where each vector's pieces start, and where the last one's end.
    starts: Vec<usize>,
    /// The greatest offset of each vector; zero if it is all holes.
    reaches: Vec<usize>,
}

/// Lanes of a vector that lie side by side.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    /// Offset of lane 0, were it there too; may wrap.
    pub(crate) offset: usize,
    /// A bit per lane.
    pub(crate) lanes: u16,
}

impl Columns {
    /// Columns at `offsets`, for panels of words `W`.
    pub(crate) fn new<W: Word>(offsets: Vec<usize>) -> Self {
        let lanes = lanes::<W>();
        let (mut pieces, mut starts, mut reaches) = (Vec::<Piece>::new(), vec![0], Vec::new());
        for vector in offsets.chunks(lanes) {
            let (mut reach, first) = (0, pieces.len());
            for (i, &at) in vector.iter().enumerate().filter(|(_, at)| **at != HOLE) {
                let offset = at.wrapping_sub(i);
                match pieces[first..].last_mut() {
                    Some(last) if last.offset == offset => last.lanes |= 1 << i,
                    _ => pieces.push(Piece { offset, lanes: 1 << i }),
                }
                reach = reach.max(at);
            }
            starts.push(pieces.len());
            reaches.push(reach);
        }
        Self { offsets, lanes, pieces, starts, reaches }
    }

    /// Number of columns.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Number of vectors.
    #[inline]
    pub(crate) fn vectors(&self) -> usize {
        self.reaches.len()
    }

    /// Offsets of the columns of vector `v`; the last vector may have fewer than its lanes.
    fn vector(&self, v: usize) -> &[usize] {
        &self.offsets[self.len().min(v * self.lanes)..self.len().min((v + 1) * self.lanes)]
    }

    /// The greatest offset of vector `v`; zero if it is all holes.
    #[inline]
    pub(crate) fn reach(&self, v: usize) -> usize {
        self.reaches[v]
    }

    /// The pieces of vector `v`.
    #[inline]
    pub(crate) fn pieces(&self, v: usize) -> &[Piece] {
        &self.pieces[self.starts[v]..self.starts[v + 1]]
    }
}

/// One panel to gather: `rows` of `vectors` vectors of columns, from vector `first` on. Lanes
/// beyond the last column become zero.
pub(crate) struct Gather<'a, W> {
    pub(crate) data: &'a [W],
    pub(crate) rows: &'a [usize],
    pub(crate) columns: &'a Columns,
    pub(crate) first: usize,
    pub(crate) vectors: usize,
    /// Whether rows become [limbs](crate::limbs), for which there must be AVX-512.
    pub(crate) limbs: bool,
    /// `vectors` * lanes words for each of `rows`, and half as many again, rounded up, of limbs.
    pub(crate) panel: &'a mut [W],
    /// For each column the sum of products of its pairs of rows: `vectors` * lanes words. Untouched
    /// if rows become limbs.
    pub(crate) pairs: &'a mut [W],
}

impl<W: Word> Gather<'_, W> {
    /// Panics unless every access but those through offsets is in bounds.
    #[inline(always)]
    pub(crate) fn check(&self) {
        let width = self.vectors * lanes::<W>();
        let rows = if self.limbs { limbs::len(self.rows.len()) } else { self.rows.len() };
        assert!(self.panel.len() >= rows * width, "panel");
        assert!(self.pairs.len() >= width, "pairs");
        assert!(self.columns.lanes == lanes::<W>(), "columns by vectors of other words");
        assert!(self.columns.starts.len() > self.first + self.vectors, "vectors");
    }
}

/// Gathering without intrinsics, lane by lane.
pub(crate) struct Portable<'a, W>(pub(crate) Gather<'a, W>);

impl<W: Word> Vectorised for Portable<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Gather { data, rows, columns, first, vectors, limbs, panel, pairs } = self.0;
        assert!(!limbs, "limbs are for AVX-512");
        let (lanes, width) = (lanes::<W>(), vectors * lanes::<W>());
        for v in 0..vectors {
            let offsets = columns.vector(first + v);
            for (out, &row) in panel[v * lanes..].chunks_mut(width).zip(rows) {
                let data = &data[row..];
                let (out, beyond) = out[..lanes].split_at_mut(offsets.len());
                for (out, &column) in out.iter_mut().zip(offsets) {
                    *out = if column == HOLE { W::ZERO } else { data[column] };
                }
                beyond.fill(W::ZERO);
            }
        }
        ColumnPairs { rows: &panel[..rows.len() * width], sums: &mut pairs[..width] }.run();
    }
}

/// Writes the sum of products of pairs of rows for each column to `sums`, which is as long as a row.
pub(crate) struct ColumnPairs<'a, W> {
    pub(crate) rows: &'a [W],
    pub(crate) sums: &'a mut [W],
}

impl<W: Word> Vectorised for ColumnPairs<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let width = self.sums.len();
        self.sums.fill(W::ZERO);
        for pair in self.rows.chunks_exact(2 * width) {
            let (x, y) = pair.split_at(width);
            for (sum, (x, y)) in self.sums.iter_mut().zip(x.iter().zip(y)) {
                *sum = sum.wrapping_add(x.wrapping_mul(*y));
            }
        }
    }
}
