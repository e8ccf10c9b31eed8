//! Loops over the residues of one limb. Inputs and outputs are reduced unless said otherwise.

use crate::modulus::{Factor, MASK, Modulus, WORD, mul_hi, mul_lo};

fn zip(x: &mut [u64], y: &[u64], f: impl Fn(u64, u64) -> u64) {
    assert_eq!(x.len(), y.len(), "lengths of limbs");
    for (x, y) in x.iter_mut().zip(y) {
        *x = f(*x, *y);
    }
}

/// x += y
pub(crate) fn add(m: &Modulus, x: &mut [u64], y: &[u64]) {
    zip(x, y, |x, y| m.add(x, y));
}

/// x -= y
pub(crate) fn sub(m: &Modulus, x: &mut [u64], y: &[u64]) {
    zip(x, y, |x, y| m.sub(x, y));
}

/// x = -x
pub(crate) fn neg(m: &Modulus, x: &mut [u64]) {
    x.iter_mut().for_each(|x| *x = m.neg(*x));
}

/// x += y / 2^52
pub(crate) fn add_montgomery(m: &Modulus, x: &mut [u64], y: &[u64]) {
    zip(x, y, |x, y| m.add(x, m.montgomery(y, 1)));
}

/// x -= y / 2^52
pub(crate) fn sub_montgomery(m: &Modulus, x: &mut [u64], y: &[u64]) {
    zip(x, y, |x, y| m.sub(x, m.montgomery(y, 1)));
}

/// x = x y / 2^52
pub(crate) fn mul(m: &Modulus, x: &mut [u64], y: &[u64]) {
    zip(x, y, |x, y| m.montgomery(x, y));
}

/// x = 2^52 x
pub(crate) fn to_montgomery(m: &Modulus, x: &mut [u64]) {
    x.iter_mut().for_each(|x| *x = m.to_montgomery(*x));
}

/// x = x / 2^52
pub(crate) fn from_montgomery(m: &Modulus, x: &mut [u64]) {
    x.iter_mut().for_each(|x| *x = m.montgomery(*x, 1));
}

/// x = w x, for any words x
pub(crate) fn scale(m: &Modulus, x: &mut [u64], w: Factor) {
    x.iter_mut().for_each(|x| *x = m.mul_factor(*x, w));
}

/// x += w y / 2^52
pub(crate) fn add_scaled(m: &Modulus, x: &mut [u64], y: &[u64], w: u64) {
    zip(x, y, |x, y| m.add(x, m.montgomery(y, w)));
}

/// x += w
pub(crate) fn add_scalar(m: &Modulus, x: &mut [u64], w: u64) {
    x.iter_mut().for_each(|x| *x = m.add(*x, w));
}

/// out = x mod q, for any words x
pub(crate) fn reduce(m: &Modulus, out: &mut [u64], x: &[u64]) {
    zip(out, x, |_, x| m.reduce(x));
}

/// x = (x - y) w, for any words y
pub(crate) fn sub_scale(m: &Modulus, x: &mut [u64], y: &[u64], w: Factor) {
    zip(x, y, |x, y| m.mul_factor(x + m.q - m.reduce(y), w));
}

/// out = sum x_i y_i / 2^52, for any words x and less than 2^12 terms.
pub(crate) fn dot(m: &Modulus, out: &mut [u64], terms: &[(&[u64], &[u64])]) {
    assert!(terms.len() < 1 << 12, "terms of an inner product");
    assert!(terms.iter().all(|(x, y)| x.len() == out.len() && y.len() == out.len()), "lengths");
    for (i, out) in out.iter_mut().enumerate() {
        let (mut hi, mut lo) = (0, 0);
        for (x, y) in terms {
            hi += mul_hi(x[i], y[i]);
            lo += mul_lo(x[i], y[i]);
        }
        *out = reduce_sum(m, hi, lo);
    }
}

/// out = sum x_i w_i / 2^52, for any words x and less than 2^12 terms.
pub(crate) fn dot_scalars(m: &Modulus, out: &mut [u64], terms: &[(&[u64], u64)]) {
    assert!(terms.len() < 1 << 12, "terms of an inner product");
    assert!(terms.iter().all(|(x, _)| x.len() == out.len()), "lengths");
    for (i, out) in out.iter_mut().enumerate() {
        let (mut hi, mut lo) = (0, 0);
        for (x, w) in terms {
            hi += mul_hi(x[i], *w);
            lo += mul_lo(x[i], *w);
        }
        *out = reduce_sum(m, hi, lo);
    }
}

/// (hi 2^52 + lo) / 2^52 mod q, for hi that is a sum of less than 2^12 numbers below q and lo of
/// less than 2^12 words.
#[inline(always)]
fn reduce_sum(m: &Modulus, hi: u64, lo: u64) -> u64 {
    // hi has up to 62 bits: its upper part counts 2^52, which is r2 as a Montgomery product with it
    // would leave; a plain remainder is as good here.
    let hi = (hi + (lo >> WORD)) % m.q;
    m.montgomery_reduce(hi, lo & MASK)
}
