//! Fully connected layers over Z_2^`BITS`.

use rayon::prelude::*;

use crate::dot::Dot;
use crate::product::{self, Block, Gathered, Grid};
use crate::simd::{self, Level};
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
        let first = blocks.len();
        blocks.extend(columns.chunks(grid.block_columns).map(|columns| Block {
            right: Gathered { data: input, rows: &rows, columns },
            first_row: i * grid.block_rows,
            out: Vec::with_capacity(grid.block_rows),
        }));
        for out in out.chunks_mut(batch) {
            let parts = out.chunks_mut(grid.block_columns);
            blocks[first..].iter_mut().zip(parts).for_each(|(block, out)| block.out.push(out));
        }
    }
    product::run(bits, weights, in_features, blocks);
    out.par_chunks_mut(out_features).enumerate().for_each(|(b, out)| {
        for (out, row) in out.iter_mut().zip(by_output.chunks_exact(batch)) {
            *out = row[b];
        }
    });
}
