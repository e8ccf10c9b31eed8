//! The loops in plain integers.

use super::Difference;
use crate::automorphism::Permutation;
use crate::modulus::{MASK, Modulus, WORD, mul_hi, mul_lo};

fn map(x: &mut [u64], f: impl Fn(u64) -> u64) {
    x.iter_mut().for_each(|x| *x = f(*x));
}

fn zip(x: &mut [u64], y: &[u64], f: impl Fn(u64, u64) -> u64) {
    for (x, y) in x.iter_mut().zip(y) {
        *x = f(*x, *y);
    }
}

pub(super) fn add(m: &Modulus, x: &mut [u64], y: &[u64]) {
    zip(x, y, |x, y| m.add(x, y));
}

pub(super) fn sub(m: &Modulus, x: &mut [u64], y: &[u64]) {
    zip(x, y, |x, y| m.sub(x, y));
}

pub(super) fn neg(m: &Modulus, x: &mut [u64]) {
    map(x, |x| m.neg(x));
}

pub(super) fn add_scaled(m: &Modulus, x: &mut [u64], y: &[u64], w: u64) {
    zip(x, y, |x, y| m.add(x, m.montgomery(y, w)));
}

pub(super) fn mul(m: &Modulus, x: &mut [u64], y: &[u64]) {
    zip(x, y, |x, y| m.montgomery(x, y));
}

pub(super) fn mul_to(m: &Modulus, out: &mut [u64], x: &[u64], y: &[u64]) {
    for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
        *out = m.montgomery(*x, *y);
    }
}

pub(super) fn scale(m: &Modulus, x: &mut [u64], w: u64) {
    map(x, |x| m.montgomery(x, w));
}

pub(super) fn add_scalar(m: &Modulus, x: &mut [u64], w: u64) {
    map(x, |x| m.add(x, w));
}

pub(super) fn reduce(m: &Modulus, out: &mut [u64], x: &[u64]) {
    zip(out, x, |_, x| m.reduce(x));
}

/// The values of a difference.
fn differences(m: &Modulus, d: &Difference<'_>) -> impl Fn(usize) -> u64 {
    |i| m.mul_factor(d.x[i] + m.q - m.reduce(d.y[i]), d.factor)
}

pub(super) fn scale_difference(m: &Modulus, out: &mut [u64], difference: &Difference<'_>) {
    let difference = differences(m, difference);
    out.iter_mut().enumerate().for_each(|(i, out)| *out = difference(i));
}

pub(super) fn add_difference(m: &Modulus, x: &mut [u64], difference: &Difference<'_>) {
    let difference = differences(m, difference);
    x.iter_mut().enumerate().for_each(|(i, x)| *x = m.add(*x, difference(i)));
}

pub(super) fn permute_difference(
    m: &Modulus,
    permutation: &Permutation,
    out: &mut [u64],
    difference: &Difference<'_>,
    addend: Option<&[u64]>,
) {
    let difference = differences(m, difference);
    for (out, (group, places)) in out.as_chunks_mut::<16>().0.iter_mut().zip(permutation.groups()) {
        *out = places.map(|i| {
            let i = 16 * group + i as usize;
            m.add(difference(i), addend.map_or(0, |addend| addend[i]))
        });
    }
}

pub(super) fn permute(permutation: &Permutation, out: &mut [u64], input: &[u64]) {
    let input = input.as_chunks::<16>().0;
    for (out, (group, places)) in out.as_chunks_mut::<16>().0.iter_mut().zip(permutation.groups()) {
        *out = places.map(|i| input[group][i as usize]);
    }
}

pub(super) fn dot(m: &Modulus, out: &mut [u64], terms: &[(&[u64], &[u64])]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = montgomery_sum(m, terms.iter().map(|(x, y)| (x[i], y[i])));
    }
}

pub(super) fn tensor(m: &Modulus, out: [&mut [u64]; 3], x: [&[u64]; 2], y: [&[u64]; 2]) {
    let [a, b, c] = out;
    for (i, ((a, b), c)) in a.iter_mut().zip(b).zip(c).enumerate() {
        let y = y.map(|y| m.to_montgomery(y[i]));
        *a = m.montgomery(x[0][i], y[0]);
        *b = m.add(m.montgomery(x[0][i], y[1]), m.montgomery(x[1][i], y[0]));
        *c = m.montgomery(x[1][i], y[1]);
    }
}

pub(super) fn dot_scalars(m: &Modulus, out: &mut [u64], terms: &[(&[u64], u64)]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = montgomery_sum(m, terms.iter().map(|(x, w)| (x[i], *w)));
    }
}

/// sum x y / 2^52 mod q, for y below q and less than 2^12 terms.
#[inline(always)]
fn montgomery_sum(m: &Modulus, terms: impl Iterator<Item = (u64, u64)>) -> u64 {
    let (mut hi, mut lo) = (0, 0);
    for (x, y) in terms {
        hi += mul_hi(x, y);
        lo += mul_lo(x, y);
    }
    m.montgomery_reduce((hi + (lo >> WORD)) % m.q, lo & MASK)
}
