//! Fully connected layers over Z_2^`BITS`.

use rayon::prelude::*;

use crate::product::{self, Block, Gathered, Grid, Segment};
use crate::simd::{self, Level, Vectorised};
use crate::{Ring, Word};

/// Up to this batch, a dot product per output beats packing vectors into panels.
const DOT_BATCH: usize = 2;

/// Writes `out[b][o] = sum_i weights[o][i] * input[b][i]` modulo 2^`BITS`.
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
    gemm_to(W::BITS, batch, in_features, out_features, weights, input, out);
}

/// Like [`gemm`], modulo 2^l only: the bits of `out` above the ring's are garbage.
///
/// # What bounds it
/// With one or two vectors every weight is used once or twice: memory bandwidth. Larger batches go
/// through the blocked product, bound by the multiplier (see [`crate::conv2d_mod`]).
///
/// # Panics
/// If a slice does not have the length the sizes give.
pub fn gemm_mod<W: Word>(
    ring: Ring,
    batch: usize,
    in_features: usize,
    out_features: usize,
    weights: &[W],
    input: &[W],
    out: &mut [W],
) {
    gemm_to(ring.bits().min(W::BITS), batch, in_features, out_features, weights, input, out);
}

fn gemm_to<W: Word>(
    bits: u32,
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
    if out.is_empty() {
        return;
    }
    if in_features == 0 {
        out.fill(W::ZERO);
    } else if batch <= DOT_BATCH {
        let level = Level::detected();
        for (x, out) in input.chunks_exact(in_features).zip(out.chunks_exact_mut(out_features)) {
            let rows = weights.par_chunks_exact(in_features);
            rows.zip(out).with_min_len(16).for_each(|(row, out)| {
                *out = simd::dispatch(level, Dot(row, x));
            });
        }
    } else {
        blocked(bits, batch, [in_features, out_features], weights, input, out);
    }
}

struct Dot<'a, W>(&'a [W], &'a [W]);

impl<W: Word> Vectorised for Dot<'_, W> {
    type Output = W;

    #[inline(always)]
    fn run(self) -> W {
        self.0.iter().zip(self.1).fold(W::ZERO, |sum, (&w, &x)| sum.wrapping_add(w.wrapping_mul(x)))
    }
}

/// The product's result has a row per output; it is computed so and transposed.
fn blocked<W: Word>(
    bits: u32,
    batch: usize,
    [in_features, out_features]: [usize; 2],
    weights: &[W],
    input: &[W],
    out: &mut [W],
) {
    let rows: Vec<usize> = (0..in_features).collect();
    let columns: Vec<usize> = (0..batch).map(|b| b * in_features).collect();
    let grid = Grid::new(1, out_features, batch);
    let mut by_output = vec![W::ZERO; out.len()];
    let mut blocks = Vec::new();
    for (i, out) in by_output.chunks_mut(grid.block_rows * batch).enumerate() {
        let mut segments: Vec<Vec<_>> = Vec::new();
        segments.resize_with(batch.div_ceil(grid.block_columns), Vec::new);
        for (row, out) in out.chunks_mut(batch).enumerate() {
            for (segments, out) in segments.iter_mut().zip(out.chunks_mut(grid.block_columns)) {
                segments.push(Segment { row, column: 0, out });
            }
        }
        for (columns, segments) in columns.chunks(grid.block_columns).zip(segments) {
            let first_row = i * grid.block_rows;
            blocks.push(Block {
                weights,
                right: Gathered { data: input, rows: &rows, columns },
                first_row,
                rows: grid.block_rows.min(out_features - first_row),
                segments,
            });
        }
    }
    product::run(bits, blocks);
    out.par_chunks_mut(out_features).enumerate().for_each(|(b, out)| {
        for (out, row) in out.iter_mut().zip(by_output.chunks_exact(batch)) {
            *out = row[b];
        }
    });
}
