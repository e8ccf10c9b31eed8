//! The loops in vectors of eight words.
//!
//! # What bounds them
//! A Montgomery product is four multiplications, one each cycle on Zen 4; a term of an inner product
//! is two, and its reduction four more. With operands in the L2 cache, which moves half a vector each
//! cycle, sums and products of two operands are bound by that, inner products by the multiplier.

use crate::automorphism::Permutation;
use crate::modulus::{Factor, Modulus};
use crate::simd::ifma::{Chunk, Prime, V};

/// x = f(x, y)
#[inline(always)]
fn zip(p: &Prime, x: &mut [u64], y: &[u64], f: impl Fn(V, V) -> V) {
    for (x, y) in chunks_mut(x).iter_mut().zip(chunks(y)) {
        p.store(x, f(p.load(x), p.load(y)));
    }
}

/// x = f(x)
#[inline(always)]
fn map(p: &Prime, x: &mut [u64], f: impl Fn(V) -> V) {
    for x in chunks_mut(x) {
        p.store(x, f(p.load(x)));
    }
}

fn chunks(x: &[u64]) -> &[Chunk] {
    x.as_chunks().0
}

fn chunks_mut(x: &mut [u64]) -> &mut [Chunk] {
    x.as_chunks_mut().0
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn add(m: &Modulus, x: &mut [u64], y: &[u64]) {
    let p = Prime::new(m);
    zip(&p, x, y, |x, y| p.sub_once(p.add(x, y), p.q));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn sub(m: &Modulus, x: &mut [u64], y: &[u64]) {
    let p = Prime::new(m);
    zip(&p, x, y, |x, y| p.sub_once(p.sub(p.add(x, p.q), y), p.q));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn neg(m: &Modulus, x: &mut [u64]) {
    let p = Prime::new(m);
    map(&p, x, |x| p.sub_once(p.sub(p.q, x), p.q));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn add_scaled(m: &Modulus, x: &mut [u64], y: &[u64], w: u64) {
    let p = Prime::new(m);
    let w = p.splat(w);
    zip(&p, x, y, |x, y| p.sub_once(p.add(x, p.montgomery(y, w)), p.q));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn mul(m: &Modulus, x: &mut [u64], y: &[u64]) {
    let p = Prime::new(m);
    zip(&p, x, y, |x, y| p.montgomery(x, y));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn mul_to(m: &Modulus, out: &mut [u64], x: &[u64], y: &[u64]) {
    let p = Prime::new(m);
    for ((out, x), y) in chunks_mut(out).iter_mut().zip(chunks(x)).zip(chunks(y)) {
        p.store(out, p.montgomery(p.load(x), p.load(y)));
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn scale(m: &Modulus, x: &mut [u64], w: u64) {
    let p = Prime::new(m);
    let w = p.splat(w);
    map(&p, x, |x| p.montgomery(x, w));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn add_scalar(m: &Modulus, x: &mut [u64], w: u64) {
    let p = Prime::new(m);
    let w = p.splat(w);
    map(&p, x, |x| p.sub_once(p.add(x, w), p.q));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn reduce(m: &Modulus, out: &mut [u64], x: &[u64]) {
    let p = Prime::new(m);
    zip(&p, out, x, |_, x| p.reduce(x));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn sub_scale(m: &Modulus, out: &mut [u64], x: &[u64], y: &[u64], w: Factor) {
    let p = Prime::new(m);
    let w = p.factors(w);
    for ((out, x), y) in chunks_mut(out).iter_mut().zip(chunks(x)).zip(chunks(y)) {
        let difference = p.sub(p.add(p.load(x), p.two_q), p.reduce_lazy(p.load(y)));
        p.store(out, p.mul(difference, w));
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn permute(m: &Modulus, permutation: &Permutation, out: &mut [u64], input: &[u64]) {
    let p = Prime::new(m);
    let (input, out) = (chunks(input).as_chunks::<2>().0, chunks_mut(out).as_chunks_mut::<2>().0);
    for (out, (group, places)) in out.iter_mut().zip(permutation.groups()) {
        let (x, y) = (p.load(&input[group][0]), p.load(&input[group][1]));
        for (out, places) in out.iter_mut().zip(chunks(places)) {
            p.store(out, p.pick(x, p.load(places), y));
        }
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn dot(m: &Modulus, out: &mut [u64], terms: &[(&[u64], &[u64])]) {
    let p = Prime::new(m);
    match *terms {
        [(x, y)] => mul_to(m, out, x, y),
        [a, b] => dot_of(&p, out, [a, b]),
        [a, b, c] => dot_of(&p, out, [a, b, c]),
        [a, b, c, d] => dot_of(&p, out, [a, b, c, d]),
        _ => dot_many(&p, out, terms, |(x, y), i| (p.load(&chunks(x)[i]), p.load(&chunks(y)[i]))),
    }
}

/// A sum whose number of terms is known: no loop between the loads.
#[inline(always)]
fn dot_of<const K: usize>(p: &Prime, out: &mut [u64], terms: [(&[u64], &[u64]); K]) {
    let terms = terms.map(|(x, y)| (chunks(x), chunks(y)));
    for (i, out) in chunks_mut(out).iter_mut().enumerate() {
        let (mut hi, mut lo) = (p.zero, p.zero);
        for (x, y) in terms {
            let (x, y) = (p.load(&x[i]), p.load(&y[i]));
            (hi, lo) = (p.add_hi(hi, x, y), p.add_lo(lo, x, y));
        }
        p.store(out, if K < 4 { p.montgomery_few(hi, lo) } else { p.montgomery_sum(hi, lo) });
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn dot_scalars(m: &Modulus, out: &mut [u64], terms: &[(&[u64], u64)]) {
    let p = Prime::new(m);
    dot_many(&p, out, terms, |&(x, w), i| (p.load(&chunks(x)[i]), p.splat(w)));
}

/// Four vectors at a time, so that sums do not wait for each other.
#[inline(always)]
fn dot_many<T>(p: &Prime, out: &mut [u64], terms: &[T], factors: impl Fn(&T, usize) -> (V, V)) {
    for (i, out) in chunks_mut(out).as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let (mut hi, mut lo) = ([p.zero; 4], [p.zero; 4]);
        for term in terms {
            for j in 0..4 {
                let (x, y) = factors(term, 4 * i + j);
                (hi[j], lo[j]) = (p.add_hi(hi[j], x, y), p.add_lo(lo[j], x, y));
            }
        }
        for j in 0..4 {
            p.store(&mut out[j], p.montgomery_sum(hi[j], lo[j]));
        }
    }
}
