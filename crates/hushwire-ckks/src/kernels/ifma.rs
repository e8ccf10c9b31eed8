//! The loops in vectors of eight words.
//!
//! # What bounds them
//! A Montgomery product is four multiplications, one each cycle on Zen 4; a term of an inner product
//! is two, and its reduction four more. With operands in the L2 cache, which moves half a vector each
//! cycle, sums and products of two operands are bound by that, inner products by the multiplier.

use super::{Difference, vector_kernels};
use crate::automorphism::Permutation;
use crate::modulus::Modulus;
use crate::simd::ifma::{Chunk, Factors, LANES, Prime, V};

vector_kernels!("avx512f,avx512ifma");

/// Vectors of a key that are asked for before they are read: the processor does not look beyond a page by
/// itself, and keys are larger than its caches.
const AHEAD: usize = 16;

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn permute_difference(
    m: &Modulus,
    permutation: &Permutation,
    out: &mut [u64],
    difference: &Difference<'_>,
    addend: Option<&[u64]>,
) {
    let p = Prime::new(m);
    let difference = Differences::new(&p, difference);
    let out = chunks_mut(out).as_chunks_mut::<2>().0;
    if let Some(addend) = addend {
        let addend = chunks(addend);
        permute_from(&p, permutation, out, |i| {
            p.sub_once(p.add(p.load(&addend[i]), difference.at(&p, i)), p.q)
        });
    } else {
        permute_from(&p, permutation, out, |i| difference.at(&p, i));
    }
}

/// Permutes the vectors that `read` gives.
#[inline(always)]
fn permute_from(
    p: &Prime,
    permutation: &Permutation,
    out: &mut [[Chunk; 2]],
    read: impl Fn(usize) -> V,
) {
    for (out, (group, places)) in out.iter_mut().zip(permutation.groups()) {
        // Called at one place, it is inlined.
        let mut read_both = [p.zero; 2];
        for (i, v) in read_both.iter_mut().enumerate() {
            *v = read(2 * group + i);
        }
        let [x, y] = read_both;
        for (out, places) in out.iter_mut().zip(chunks(places)) {
            p.store(out, p.pick(x, p.load(places), y));
        }
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn permute(m: &Modulus, permutation: &Permutation, out: &mut [u64], input: &[u64]) {
    let p = Prime::new(m);
    let (input, out) = (chunks(input), chunks_mut(out).as_chunks_mut::<2>().0);
    permute_from(&p, permutation, out, |i| p.load(&input[i]));
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

/// Two inner products at once, if they are short.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn dot_pair(
    m: &Modulus,
    out: &mut [&mut [u64]; 2],
    x: &[&[u64]],
    keys: &[&[u64]],
) -> bool {
    let p = Prime::new(m);
    match (x, keys) {
        (&[a], &[b0, a0]) => pair_of(&p, out, [a], [[b0, a0]]),
        (&[a, b], &[b0, a0, b1, a1]) => pair_of(&p, out, [a, b], [[b0, a0], [b1, a1]]),
        (&[a, b, c], &[b0, a0, b1, a1, b2, a2]) => {
            pair_of(&p, out, [a, b, c], [[b0, a0], [b1, a1], [b2, a2]]);
        }
        (&[a, b, c, d], &[b0, a0, b1, a1, b2, a2, b3, a3]) => {
            pair_of(&p, out, [a, b, c, d], [[b0, a0], [b1, a1], [b2, a2], [b3, a3]]);
        }
        _ => return false,
    }
    true
}

/// Two sums with one load of what they share.
#[inline(always)]
fn pair_of<const K: usize>(
    p: &Prime,
    [first, second]: &mut [&mut [u64]; 2],
    x: [&[u64]; K],
    keys: [[&[u64]; 2]; K],
) {
    let len = first.len() / LANES;
    let (first, second) = (&mut chunks_mut(first)[..len], &mut chunks_mut(second)[..len]);
    let x = x.map(|x| &chunks(x)[..len]);
    let keys = keys.map(|key| key.map(|key| &chunks(key)[..len]));
    for i in 0..len {
        let (mut hi, mut lo) = ([p.zero; 2], [p.zero; 2]);
        for (x, key) in x.iter().zip(&keys) {
            let x = p.load(&x[i]);
            for part in 0..2 {
                p.prefetch(key[part], i + AHEAD);
                let key = p.load(&key[part][i]);
                (hi[part], lo[part]) = (p.add_hi(hi[part], x, key), p.add_lo(lo[part], x, key));
            }
        }
        for (part, out) in [&mut first[i], &mut second[i]].into_iter().enumerate() {
            let (hi, lo) = (hi[part], lo[part]);
            p.store(out, if K < 4 { p.montgomery_few(hi, lo) } else { p.montgomery_sum(hi, lo) });
        }
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
