//! The sums around the products: of inputs, of weights and of results.
//!
//! Everything is elementwise on vectors of `L` channels.

use super::tiles::{TERMS, Tiles};
use crate::Word;
use crate::limbs::cut_pair;
use crate::simd::Vectorised;

/// Outputs, and taps, of a tile along one axis.
pub(super) const SIDE: usize = 3;

/// Inputs of a tile along one axis.
pub(super) const REACH: usize = 2 * SIDE - 1;

/// Words that begin with a line of the cache, also on the stack.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Vector<W, const L: usize>([W; L]);

impl<W: Word, const L: usize> Vector<W, L> {
    const ZERO: Self = Self([W::ZERO; L]);
}

#[inline(always)]
fn load<W: Word, const L: usize>(from: &[W], at: usize) -> Vector<W, L> {
    let mut x = Vector::ZERO;
    x.0.copy_from_slice(&from[at..at + L]);
    x
}

#[inline(always)]
fn store<W: Word, const L: usize>(x: &Vector<W, L>, to: &mut [W], at: usize) {
    to[at..at + L].copy_from_slice(&x.0);
}

#[inline(always)]
fn add<W: Word, const L: usize>(x: &Vector<W, L>, y: &Vector<W, L>) -> Vector<W, L> {
    let mut sum = *x;
    for (sum, y) in sum.0.iter_mut().zip(&y.0) {
        *sum = sum.wrapping_add(*y);
    }
    sum
}

#[inline(always)]
fn sub<W: Word, const L: usize>(x: &Vector<W, L>, y: &Vector<W, L>) -> Vector<W, L> {
    let mut difference = *x;
    for (x, y) in difference.0.iter_mut().zip(&y.0) {
        *x = x.wrapping_sub(*y);
    }
    difference
}

/// What the six products along an axis take of five inputs.
#[inline(always)]
fn of_inputs<W: Word, const L: usize>(d: [Vector<W, L>; REACH]) -> [Vector<W, L>; TERMS] {
    let [d0, d1, d2, d3, d4] = d;
    let (first, last) = (add(&d1, &d2), add(&d2, &d3));
    [sub(&d0, &first), sub(&sub(&d2, &d1), &d3), sub(&d4, &last), d1, d2, d3]
}

/// What they take of three weights.
#[inline(always)]
fn of_weights<W: Word, const L: usize>(g: [Vector<W, L>; SIDE]) -> [Vector<W, L>; TERMS] {
    let [g0, g1, g2] = g;
    [g0, g1, g2, add(&g0, &g1), add(&g0, &g2), add(&g1, &g2)]
}

/// The three outputs, of the products.
#[inline(always)]
fn of_products<W: Word, const L: usize>(m: [Vector<W, L>; TERMS]) -> [Vector<W, L>; SIDE] {
    let [m0, m1, m2, m01, m02, m12] = m;
    [add(&add(&m0, &m01), &m02), add(&add(&m1, &m01), &m12), add(&add(&m2, &m02), &m12)]
}

/// Makes the left factors of some channels: a row for each product and tile.
pub(super) struct Inputs<'a, W, const L: usize> {
    pub(super) tiles: &'a Tiles,
    /// Vectors of `L` channels.
    pub(super) stage: &'a [W],
    /// Where in `stage` each position is that a tile reads, row by row.
    pub(super) places: &'a [usize],
    /// [`TERMS`] vectors for each column of `places`.
    pub(super) between: &'a mut [W],
    /// The factors' rows.
    pub(super) left: &'a mut [W],
    /// Words from row to row.
    pub(super) len: usize,
    /// First channel in a row.
    pub(super) at: usize,
}

// Here and below, arrays of vectors are only indexed by constants: so they stay in registers.
impl<W: Word, const L: usize> Vectorised for Inputs<'_, W, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { tiles, stage, places, between, left, len, at } = self;
        let width = tiles.columns * SIDE + REACH - SIDE;
        for ty in 0..tiles.rows {
            let rows = &places[ty * SIDE * width..][..REACH * width];
            for x in 0..width {
                let [t0, t1, t2, t3, t4, t5] = of_inputs::<W, L>([
                    load(stage, rows[x]),
                    load(stage, rows[width + x]),
                    load(stage, rows[2 * width + x]),
                    load(stage, rows[3 * width + x]),
                    load(stage, rows[4 * width + x]),
                ]);
                store(&t0, between, x * L);
                store(&t1, between, (width + x) * L);
                store(&t2, between, (2 * width + x) * L);
                store(&t3, between, (3 * width + x) * L);
                store(&t4, between, (4 * width + x) * L);
                store(&t5, between, (5 * width + x) * L);
            }
            for a in (0..TERMS).filter(|&a| tiles.needs(ty, a)) {
                let between = &between[a * width * L..][..width * L];
                for tx in 0..tiles.columns {
                    let x = tx * SIDE;
                    let [t0, t1, t2, t3, t4, t5] = of_inputs::<W, L>([
                        load(between, x * L),
                        load(between, (x + 1) * L),
                        load(between, (x + 2) * L),
                        load(between, (x + 3) * L),
                        load(between, (x + 4) * L),
                    ]);
                    store_row(&t0, left, tiles.row([a, 0], [ty, tx]), len, at);
                    store_row(&t1, left, tiles.row([a, 1], [ty, tx]), len, at);
                    store_row(&t2, left, tiles.row([a, 2], [ty, tx]), len, at);
                    store_row(&t3, left, tiles.row([a, 3], [ty, tx]), len, at);
                    store_row(&t4, left, tiles.row([a, 4], [ty, tx]), len, at);
                    store_row(&t5, left, tiles.row([a, 5], [ty, tx]), len, at);
                }
            }
        }
    }
}

#[inline(always)]
fn store_row<W: Word, const L: usize>(
    x: &Vector<W, L>,
    left: &mut [W],
    row: Option<usize>,
    len: usize,
    at: usize,
) {
    if let Some(row) = row {
        store(x, left, row * len + at);
    }
}

/// Makes one vector of each row of the panels of weights of six products.
pub(super) struct Weights<'a, W, const L: usize> {
    /// For each input channel, [`SIDE`]^2 vectors of output channels.
    pub(super) stage: &'a [W],
    /// The product along the rows' axis; the panels are those along the other.
    pub(super) term: usize,
    /// Input channels, an even number.
    pub(super) depth: usize,
    /// Panels of `depth` rows, or limbs of them, from word to word `stride`.
    pub(super) panels: &'a mut [W],
    pub(super) stride: usize,
    /// Words of a row of a panel, and the vector's first.
    pub(super) width: usize,
    pub(super) at: usize,
    /// Whether rows are [limbs](crate::limbs).
    pub(super) limbs: bool,
}

impl<W: Word, const L: usize> Vectorised for Weights<'_, W, L> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        for k in (0..self.depth).step_by(2) {
            let [x0, x1, x2, x3, x4, x5] = self.terms(k);
            let [y0, y1, y2, y3, y4, y5] = self.terms(k + 1);
            self.store(0, k, x0, y0);
            self.store(1, k, x1, y1);
            self.store(2, k, x2, y2);
            self.store(3, k, x3, y3);
            self.store(4, k, x4, y4);
            self.store(5, k, x5, y5);
        }
    }
}

impl<W: Word, const L: usize> Weights<'_, W, L> {
    /// What the panels take of the weights of channel `k`.
    #[inline(always)]
    fn terms(&self, k: usize) -> [Vector<W, L>; TERMS] {
        // Rows of the kernel whose sum is taken, as in `of_weights`.
        let (first, second) = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)][self.term];
        let stage = &self.stage[k * SIDE * SIDE * L..][..SIDE * SIDE * L];
        let from = first * SIDE * L;
        let mut g = [load(stage, from), load(stage, from + L), load(stage, from + 2 * L)];
        if second != first {
            let from = second * SIDE * L;
            g = [
                add(&g[0], &load(stage, from)),
                add(&g[1], &load(stage, from + L)),
                add(&g[2], &load(stage, from + 2 * L)),
            ];
        }
        of_weights(g)
    }

    /// Writes rows `k` and `k + 1` of a panel.
    #[inline(always)]
    fn store(&mut self, panel: usize, k: usize, mut x: Vector<W, L>, mut y: Vector<W, L>) {
        let panel = &mut self.panels[panel * self.stride..][..self.stride];
        if self.limbs {
            let extra = Vector(cut_pair(&mut x.0, &mut y.0));
            store(&extra, panel, (self.depth + k / 2) * self.width + self.at);
        }
        store(&x, panel, k * self.width + self.at);
        store(&y, panel, (k + 1) * self.width + self.at);
    }
}

/// Makes the outputs of `L` channels.
pub(super) struct Outputs<'a, W, const L: usize> {
    pub(super) tiles: &'a Tiles,
    /// A row for each product and tile, in which the channels are from `at` on.
    pub(super) products: &'a [&'a mut [W]],
    pub(super) at: usize,
    /// [`SIDE`] vectors for each column of tiles and product along the columns' axis.
    pub(super) between: &'a mut [W],
    /// A vector for each output, row by row.
    pub(super) out: &'a mut [W],
}

impl<W: Word, const L: usize> Vectorised for Outputs<'_, W, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { tiles, products, at, between, out } = self;
        let row = TERMS * tiles.columns * L;
        for ty in 0..tiles.rows {
            for tx in 0..tiles.columns {
                for b in 0..TERMS {
                    // What is not there is not needed either: anything will do.
                    let product =
                        |a: usize| load(products[tiles.row([a, b], [ty, tx]).unwrap_or(0)], at);
                    let [y0, y1, y2] = of_products::<W, L>([
                        product(0),
                        product(1),
                        product(2),
                        product(3),
                        product(4),
                        product(5),
                    ]);
                    let to = (tx * TERMS + b) * L;
                    store(&y0, between, to);
                    store(&y1, between, row + to);
                    store(&y2, between, 2 * row + to);
                }
            }
            for y in 0..tiles.used(0, ty) {
                let between = &between[y * row..][..row];
                for tx in 0..tiles.columns {
                    let from = tx * TERMS * L;
                    let [x0, x1, x2] = of_products::<W, L>([
                        load(between, from),
                        load(between, from + L),
                        load(between, from + 2 * L),
                        load(between, from + 3 * L),
                        load(between, from + 4 * L),
                        load(between, from + 5 * L),
                    ]);
                    let to = ((ty * SIDE + y) * tiles.out_w + tx * SIDE) * L;
                    let used = tiles.used(1, tx);
                    store(&x0, out, to);
                    if used > 1 {
                        store(&x1, out, to + L);
                    }
                    if used > 2 {
                        store(&x2, out, to + 2 * L);
                    }
                }
            }
        }
    }
}
