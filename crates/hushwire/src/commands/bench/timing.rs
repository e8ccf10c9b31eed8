//! Timing of short computations.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How long a computation is repeated.
const PATIENCE: Duration = Duration::from_millis(500);

/// Repetitions at least.
const REPETITIONS: usize = 5;

/// Seconds of the fastest of many repetitions: other processes only ever make them slower.
pub(super) fn fastest<T>(mut run: impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    let mut best = f64::INFINITY;
    let mut repetitions = 0;
    while repetitions < REPETITIONS || start.elapsed() < PATIENCE {
        let start = Instant::now();
        std::hint::black_box(run());
        best = best.min(start.elapsed().as_secs_f64());
        repetitions += 1;
    }
    best
}

/// Runs on one core, whatever the machine has.
pub(super) fn on_one_core<T: Send>(run: impl FnOnce() -> T + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    Ok(pool.context("no thread can be started")?.install(run))
}
