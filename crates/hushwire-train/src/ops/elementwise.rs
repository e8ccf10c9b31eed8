//! Sums of slices.

use rayon::prelude::*;

/// Elements per task: enough to outweigh the scheduling.
pub(crate) const CHUNK: usize = 1 << 14;

/// `to += from`
pub(crate) fn add(to: &mut [f32], from: &[f32]) {
    zip(to, from, |to, from| *to += from);
}

/// `to = a + b`
pub(crate) fn sum(a: &[f32], b: &[f32], to: &mut [f32]) {
    combine(a, b, to, |a, b| a + b);
}

/// `to = a - b`
pub(crate) fn difference(a: &[f32], b: &[f32], to: &mut [f32]) {
    combine(a, b, to, |a, b| a - b);
}

/// `to = -to`
pub(crate) fn negate(to: &mut [f32]) {
    to.par_chunks_mut(CHUNK).for_each(|to| to.iter_mut().for_each(|x| *x = -*x));
}

/// Changes each element of `to` with the element of `from` at its place.
pub(crate) fn zip(to: &mut [f32], from: &[f32], f: impl Fn(&mut f32, f32) + Sync) {
    let chunks = to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK));
    chunks.for_each(|(to, from)| to.iter_mut().zip(from).for_each(|(to, from)| f(to, *from)));
}

fn combine(a: &[f32], b: &[f32], to: &mut [f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    let inputs = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
    to.par_chunks_mut(CHUNK).zip(inputs).for_each(|(to, (a, b))| {
        to.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (a, b))| *to = f(*a, *b));
    });
}
