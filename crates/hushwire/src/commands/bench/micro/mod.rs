//! Suite `micro`: the parts of the engine one by one.

mod gates;
mod kernels;

use anyhow::Result;

use super::Bench;

/// Runs the suite.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    kernels::run(bench)?;
    gates::run(bench)
}
