//! The fold of the real subring in vectors of eight words: index j goes with N - j, so every vector
//! goes with one that is read backwards.

use crate::modulus::{Factor, Modulus};
use crate::simd::ifma::{Prime, V};

/// x_j, x_{N-j} = f(x_j, x_{N-j}) for j from 1 up to what it returns, which is left to do and at most
/// N/2.
#[inline(always)]
fn pairs(p: &Prime, x: &mut [u64], f: impl Fn(V, V) -> V) -> usize {
    let backwards = p.load(&[7, 6, 5, 4, 3, 2, 1, 0]);
    let reverse = |v: V| p.pick(v, backwards, v);
    let half = x.len() / 2;
    let (low, high) = x.split_at_mut(half + 1);
    let (low, _) = low[1..half].as_chunks_mut();
    let (_, high) = high.as_rchunks_mut();
    let done = 1 + low.as_flattened().len();
    for (low, high) in low.iter_mut().zip(high.iter_mut().rev()) {
        let (a, b) = (p.load(low), reverse(p.load(high)));
        p.store(low, f(a, b));
        p.store(high, reverse(f(b, a)));
    }
    done
}

/// x_j - I x_{N-j} of words below 2^52 with an offset, reduced.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn fold(m: &Modulus, x: &mut [u64], i: Factor, offset: u64) -> usize {
    let p = Prime::new(m);
    let (i, offset) = (p.factors(i), p.splat(offset));
    let entry = |x: V| p.reduce(p.add(x, offset));
    pairs(&p, x, |a, b| p.sub_once(p.sub(p.add(entry(a), p.q), p.mul(entry(b), i)), p.q))
}

/// x_j + I x_{N-j} + `half` of reduced words, reduced.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn unfold(m: &Modulus, x: &mut [u64], i: Factor, half: u64) -> usize {
    let p = Prime::new(m);
    let (i, half) = (p.factors(i), p.splat(half));
    pairs(&p, x, |a, b| {
        let sum = p.sub_once(p.add(a, p.mul(b, i)), p.q);
        p.sub_once(p.add(sum, half), p.q)
    })
}
