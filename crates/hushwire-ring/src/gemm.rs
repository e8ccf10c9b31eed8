//! Fully connected layers over Z_2^`BITS`.

use rayon::prelude::*;

use crate::Word;

/// Writes `out[b][o] = sum_i weights[o][i] * input[b][i]`.
///
/// # Panics
/// If a slice does not have the length the sizes give.
pub fn gemm<W: Word>(
    batch: usize,
    in_features: usize,
    out_features: usize,
    weights: &[W],
    input: &[W],
    out: &mut [W],
) {
    assert_eq!(weights.len(), out_features * in_features, "weights");
    assert_eq!(input.len(), batch * in_features, "input");
    assert_eq!(out.len(), batch * out_features, "output");
    if in_features == 0 {
        out.fill(W::ZERO);
        return;
    }
    out.par_iter_mut().enumerate().with_min_len(64).for_each(|(i, out)| {
        let (b, o) = (i / out_features, i % out_features);
        let row = &weights[o * in_features..][..in_features];
        let x = &input[b * in_features..][..in_features];
        *out = row
            .iter()
            .zip(x)
            .fold(W::ZERO, |sum, (&w, &x)| sum.wrapping_add(w.wrapping_mul(x)));
    });
}
