//! The transform in vectors of four floating-point numbers.
//!
//! Coefficients stay numbers from the first layer to the last, signed and of a magnitude of at most a few
//! q; in memory they are words with the same bits. Layers go two at a time, the last two inside vectors.
//!
//! # How large numbers get
//! A product by a factor has a magnitude of q/2 and 2^-52 q of that of the number ([`Prime::product`]).
//! Forward, each layer adds a product: from q/2 up by about that in each of 16 layers, so below 9q for
//! primes of [`LAZY_BITS`], of which 2^-52 q is little. For larger ones what is not multiplied is reduced
//! first, and numbers stay below 1.5q < 2^51. Backward, sums are reduced and differences multiplied, and
//! numbers stay below q.

use super::{Exit, Input};
use crate::modulus::{Factor, Modulus};
use crate::simd::avx2::{Chunk, D, Factors, Prime};

/// Bits of primes below which the forward transform does not reduce.
const LAZY_BITS: u32 = 46;
/// Smallest transform: one group of the order in which values are stored.
pub(super) const MIN_N: usize = 16;

/// Twiddles of one direction in heap order.
pub(super) struct Tables {
    modulus: Modulus,
    /// w
    values: Vec<f64>,
    /// w / q
    quotients: Vec<f64>,
}

impl Tables {
    pub(super) fn new(modulus: Modulus, tree: &[Factor]) -> Self {
        let values: Vec<_> = tree.iter().map(|w| w.value as f64).collect();
        let quotients = values.iter().map(|w| w / modulus.q as f64).collect();
        Self { modulus, values, quotients }
    }

    /// Of one node, in all lanes.
    #[inline(always)]
    fn node(&self, p: &Prime, node: usize) -> Factors {
        Factors {
            value: p.splat_number(self.values[node]),
            quotient: p.splat_number(self.quotients[node]),
        }
    }

    /// Of four nodes, one in each lane.
    #[inline(always)]
    fn four(&self, p: &Prime, node: usize) -> Factors {
        Factors {
            value: p.load_numbers(&self.values[node..].as_chunks().0[0]),
            quotient: p.load_numbers(&self.quotients[node..].as_chunks().0[0]),
        }
    }

    /// Of two nodes, each in two lanes.
    #[inline(always)]
    fn two(&self, p: &Prime, node: usize) -> Factors {
        let Factors { value, quotient } = self.four(p, node);
        Factors { value: p.twice(value), quotient: p.twice(quotient) }
    }
}

#[inline(always)]
fn load(p: &Prime, x: &Chunk) -> D {
    p.of_bits(p.load(x))
}

#[inline(always)]
fn store(p: &Prime, x: &mut Chunk, v: D) {
    p.store(x, p.bits(v));
}

/// out = values at the roots of `input` + `offset`, of equal lengths, reduced.
///
/// # Panics
/// If lengths are wrong.
pub(super) fn forward(tables: &Tables, out: &mut [u64], input: Input<'_>, offset: u64) {
    assert_eq!(out.len(), tables.values.len(), "length of a transform");
    #[expect(unsafe_code, reason = "calls of functions with target features")]
    // SAFETY: tables are only made where the instructions were detected.
    unsafe {
        if tables.modulus.q < 1 << LAZY_BITS {
            forward_with::<true>(tables, out.as_chunks_mut().0, input, offset);
        } else {
            forward_with::<false>(tables, out.as_chunks_mut().0, input, offset);
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn forward_with<const LAZY: bool>(
    tables: &Tables,
    out: &mut [Chunk],
    input: Input<'_>,
    offset: u64,
) {
    let p = Prime::new(&tables.modulus);
    enter(&p, out, input, offset);
    let mut nodes = 1;
    if out.len().ilog2() % 2 == 1 {
        let w = tables.node(&p, 1);
        let (left, right) = out.split_at_mut(out.len() / 2);
        for (x, y) in left.iter_mut().zip(right) {
            let (sum, difference) = butterfly::<LAZY>(&p, load(&p, x), load(&p, y), w);
            store(&p, x, sum);
            store(&p, y, difference);
        }
        nodes = 2;
    }
    while nodes < out.len() {
        for (i, block) in out.chunks_exact_mut(out.len() / nodes).enumerate() {
            radix_4_forward::<LAZY>(&p, tables, block, nodes + i);
        }
        nodes *= 4;
    }
    last_forward::<LAZY>(&p, tables, out);
}

/// Numbers of a magnitude of about q/2 from words.
#[target_feature(enable = "avx2,fma")]
fn enter(p: &Prime, out: &mut [Chunk], input: Input<'_>, offset: u64) {
    let offset = p.splat(offset);
    match input {
        Input::Own => {
            for x in out {
                let number = p.number(p.add(p.load(x), offset));
                store(p, x, p.remainder(number));
            }
        }
        Input::One(x) => {
            for (out, x) in out.iter_mut().zip(x.as_chunks().0) {
                store(p, out, p.remainder(p.number(p.add(p.load(x), offset))));
            }
        }
        Input::Two([x, y], factors) => {
            let [w, v] = factors.map(|w| p.factors(w));
            let offset = p.number(offset);
            for ((out, x), y) in out.iter_mut().zip(x.as_chunks().0).zip(y.as_chunks().0) {
                let first = p.product(p.number(p.load(x)), w);
                let sum = p.plus(first, p.product(p.number(p.load(y)), v));
                store(p, out, p.remainder(p.plus(sum, offset)));
            }
        }
    }
}

/// x + w y and x - w y.
#[inline(always)]
fn butterfly<const LAZY: bool>(p: &Prime, x: D, y: D, w: Factors) -> (D, D) {
    let x = if LAZY { x } else { p.remainder(x) };
    let product = p.product(y, w);
    (p.plus(x, product), p.minus(x, product))
}

#[target_feature(enable = "avx2,fma")]
fn radix_4_forward<const LAZY: bool>(p: &Prime, tables: &Tables, block: &mut [Chunk], node: usize) {
    let [w, left, right] = [node, 2 * node, 2 * node + 1].map(|node| tables.node(p, node));
    let (low, high) = block.split_at_mut(block.len() / 2);
    let ((a, b), (c, d)) = (low.split_at_mut(low.len() / 2), high.split_at_mut(high.len() / 2));
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        let (x0, x2) = butterfly::<LAZY>(p, load(p, a), load(p, c), w);
        let (x1, x3) = butterfly::<LAZY>(p, load(p, b), load(p, d), w);
        let (x0, x1) = butterfly::<LAZY>(p, x0, x1, left);
        let (x2, x3) = butterfly::<LAZY>(p, x2, x3, right);
        store(p, a, x0);
        store(p, b, x1);
        store(p, c, x2);
        store(p, d, x3);
    }
}

/// The last two layers, and the order of [`super::GROUP`].
#[target_feature(enable = "avx2,fma")]
fn last_forward<const LAZY: bool>(p: &Prime, tables: &Tables, out: &mut [Chunk]) {
    let n = tables.values.len();
    for (i, group) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        // Even and odd leaves of eight.
        let eight = |half: usize| {
            let (x, y) = (load(p, &group[2 * half]), load(p, &group[2 * half + 1]));
            let (x, y) = (p.lower_halves(x, y), p.upper_halves(x, y));
            let vector = 4 * i + 2 * half;
            let (x, y) = butterfly::<LAZY>(p, x, y, tables.two(p, n / 4 + vector));
            let (x, y) = (p.unpack_lo(x, y), p.unpack_hi(x, y));
            butterfly::<LAZY>(p, x, y, tables.four(p, n / 2 + 2 * vector))
        };
        let ((even, odd), (more_even, more_odd)) = (eight(0), eight(1));
        let values = [
            p.lower_halves(even, more_even),
            p.upper_halves(even, more_even),
            p.lower_halves(odd, more_odd),
            p.upper_halves(odd, more_odd),
        ];
        for (out, value) in group.iter_mut().zip(values) {
            p.store(out, p.near_residue(p.remainder(value)));
        }
    }
}

/// Coefficients of reduced values in place, times a factor, plus `exit.half`: reduced.
///
/// # Panics
/// If lengths are wrong.
pub(super) fn inverse(tables: &Tables, x: &mut [u64], exit: &Exit) {
    assert_eq!(x.len(), tables.values.len(), "length of a transform");
    #[expect(unsafe_code, reason = "calls of functions with target features")]
    // SAFETY: tables are only made where the instructions were detected.
    unsafe {
        inverse_with(tables, x.as_chunks_mut().0, exit);
    }
}

#[target_feature(enable = "avx2,fma")]
fn inverse_with(tables: &Tables, x: &mut [Chunk], exit: &Exit) {
    let p = Prime::new(&tables.modulus);
    first_inverse(&p, tables, x);
    let mut nodes = x.len();
    while nodes > 2 {
        let layers = if nodes >= 8 { 2 } else { 1 };
        nodes >>= layers;
        for (i, block) in x.chunks_exact_mut(x.len() / nodes).enumerate() {
            if layers == 2 {
                radix_4_inverse(&p, tables, block, nodes + i);
            } else {
                radix_2_inverse(&p, tables, block, nodes + i);
            }
        }
    }
    let (sum, difference) = (p.factors(exit.sum), p.factors(exit.difference));
    let half = p.splat(exit.half);
    let (left, right) = x.split_at_mut(x.len() / 2);
    for (a, b) in left.iter_mut().zip(right) {
        let (x, y) = (load(&p, a), load(&p, b));
        let x = p.residue(p.product(p.plus(x, y), sum));
        let y = p.residue(p.product(p.minus(load(&p, a), y), difference));
        p.store(a, p.sub_once(p.add(x, half), p.q));
        p.store(b, p.sub_once(p.add(y, half), p.q));
    }
}

/// x + y and w (x - y).
#[inline(always)]
fn butterfly_inverse(p: &Prime, x: D, y: D, w: Factors) -> (D, D) {
    (p.remainder(p.plus(x, y)), p.product(p.minus(x, y), w))
}

/// The first two layers, from the order of [`super::GROUP`].
#[target_feature(enable = "avx2,fma")]
fn first_inverse(p: &Prime, tables: &Tables, x: &mut [Chunk]) {
    let n = tables.values.len();
    for (i, group) in x.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let [a, b, c, d] = group.each_ref().map(|x| p.number(p.load(x)));
        // Even and odd leaves of eight, and of eight more.
        let pairs = [
            (p.lower_halves(a, b), p.lower_halves(c, d)),
            (p.upper_halves(a, b), p.upper_halves(c, d)),
        ];
        for (half, (even, odd)) in pairs.into_iter().enumerate() {
            let vector = 4 * i + 2 * half;
            let w = tables.four(p, n / 2 + 2 * vector);
            let (x, y) = butterfly_inverse(p, even, odd, w);
            let (x, y) = (p.unpack_lo(x, y), p.unpack_hi(x, y));
            let (x, y) = butterfly_inverse(p, x, y, tables.two(p, n / 4 + vector));
            store(p, &mut group[2 * half], p.lower_halves(x, y));
            store(p, &mut group[2 * half + 1], p.upper_halves(x, y));
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn radix_2_inverse(p: &Prime, tables: &Tables, block: &mut [Chunk], node: usize) {
    let w = tables.node(p, node);
    let (left, right) = block.split_at_mut(block.len() / 2);
    for (a, b) in left.iter_mut().zip(right) {
        let (x, y) = butterfly_inverse(p, load(p, a), load(p, b), w);
        store(p, a, x);
        store(p, b, y);
    }
}

#[target_feature(enable = "avx2,fma")]
fn radix_4_inverse(p: &Prime, tables: &Tables, block: &mut [Chunk], node: usize) {
    let [w, left, right] = [node, 2 * node, 2 * node + 1].map(|node| tables.node(p, node));
    let (low, high) = block.split_at_mut(block.len() / 2);
    let ((a, b), (c, d)) = (low.split_at_mut(low.len() / 2), high.split_at_mut(high.len() / 2));
    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
        let (x0, x1) = butterfly_inverse(p, load(p, a), load(p, b), left);
        let (x2, x3) = butterfly_inverse(p, load(p, c), load(p, d), right);
        let (x0, x2) = butterfly_inverse(p, x0, x2, w);
        let (x1, x3) = butterfly_inverse(p, x1, x3, w);
        store(p, a, x0);
        store(p, b, x1);
        store(p, c, x2);
        store(p, d, x3);
    }
}
