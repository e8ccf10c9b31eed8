//! How outputs are cut into tiles, and which products each tile needs.

use super::transform::SIDE;

/// Products along one axis.
pub(super) const TERMS: usize = 6;

/// Outputs that a tile must have along an axis to need each of the products: 0, 1, 2, 01, 02, 12.
const NEEDED: [usize; TERMS] = [1, 2, 3, 1, 1, 2];

/// The tiles of some rows of outputs.
pub(super) struct Tiles {
    /// Rows of tiles.
    pub(super) rows: usize,
    /// Columns of tiles.
    pub(super) columns: usize,
    out_h: usize,
    /// Columns of outputs.
    pub(super) out_w: usize,
    /// Rows and columns of tiles that need each of the products along the axis: all, but perhaps not
    /// the last.
    counts: [[usize; TERMS]; 2],
    /// Where the rows of each product start, and where the last one's end.
    starts: [usize; TERMS * TERMS + 1],
}

impl Tiles {
    /// Tiles of `out_h` rows of `out_w` outputs.
    pub(super) fn new(out_h: usize, out_w: usize) -> Self {
        let (rows, columns) = (out_h.div_ceil(SIDE), out_w.div_ceil(SIDE));
        let counts = [(rows, out_h), (columns, out_w)].map(|(all, outputs)| {
            let last = outputs - (all - 1) * SIDE;
            NEEDED.map(|needed| all - usize::from(needed > last))
        });
        let mut starts = [0; TERMS * TERMS + 1];
        for i in 0..TERMS * TERMS {
            starts[i + 1] = starts[i] + counts[0][i / TERMS] * counts[1][i % TERMS];
        }
        Self { rows, columns, out_h, out_w, counts, starts }
    }

    /// Outputs of tile `t` along an axis.
    #[inline(always)]
    pub(super) fn used(&self, axis: usize, t: usize) -> usize {
        ([self.out_h, self.out_w][axis] - t * SIDE).min(SIDE)
    }

    /// Whether row `tile` of tiles needs product `term` along its axis.
    #[inline(always)]
    pub(super) fn needs(&self, tile: usize, term: usize) -> bool {
        tile < self.counts[0][term]
    }

    /// The row of the factors and of the results of product `terms` of `tile`, if it is needed.
    #[inline(always)]
    pub(super) fn row(&self, terms: [usize; 2], tile: [usize; 2]) -> Option<usize> {
        let width = self.counts[1][terms[1]];
        let needed = self.needs(tile[0], terms[0]) && tile[1] < width;
        needed.then(|| self.starts[terms[0] * TERMS + terms[1]] + tile[0] * width + tile[1])
    }

    /// The rows of product `i` of all tiles.
    pub(super) fn rows_of(&self, i: usize) -> core::ops::Range<usize> {
        self.starts[i]..self.starts[i + 1]
    }

    /// Rows of all products: products made for each pair of channels.
    pub(super) fn all_rows(&self) -> usize {
        self.starts[TERMS * TERMS]
    }
}
