//! Operators forward and backward. Values are `[N, ...]`, one sample after the other; batches are
//! split into parts that do not depend on the number of threads, so neither do results.

pub(crate) mod activation;
pub(crate) mod affine;
pub(crate) mod conv;
pub(crate) mod dense;
pub(crate) mod elementwise;
pub(crate) mod gate;
pub(crate) mod movement;
pub(crate) mod norm;
pub(crate) mod pool;
pub(crate) mod rectified;
pub(crate) mod resize;

/// Most parts of a batch that are processed on their own.
const PARTS: usize = 16;

/// Samples of a part of a batch.
pub(crate) fn part(batch: usize) -> usize {
    batch.div_ceil(PARTS).max(1)
}
