//! Many ReLUs and many max pools, by three processes over TLS.

use anyhow::Result;
use hushwire_graph::Model;
use hushwire_mpc::Comparison;

use super::super::subject::Subject;
use super::super::trial::{self, Phase};
use super::super::{Bench, shapes};

/// ReLUs, or windows of a pool.
const RELUS: u32 = 1 << 20;
const WINDOWS: u32 = 1 << 18;

/// Measures both, with both comparisons.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    for (suffix, comparison) in [("", Comparison::Digits), ("_dcf", Comparison::Dcf)] {
        gates(bench, &format!("relu{suffix}"), shapes::relus, RELUS, comparison)?;
        gates(bench, &format!("maxpool{suffix}"), shapes::maxima, WINDOWS, comparison)?;
    }
    Ok(())
}

/// Bytes of each of `count` gates; seconds of all of them.
fn gates(
    bench: &mut Bench,
    name: &str,
    model: impl FnOnce() -> Model,
    count: u32,
    comparison: Comparison,
) -> Result<()> {
    let folder = bench.folder().to_owned();
    let names = ["total_bytes", "online_bytes", "offline_seconds", "online_seconds", "seconds"];
    bench.measure(names.map(|what| format!("{name}.{what}")), || {
        let subject = Subject::made(&folder, name, &model())?;
        let measured = trial::run(&subject.task(comparison, None))?;
        let first = measured.first();
        let bytes = |phase: &Phase| subject.gate_bytes(phase) / f64::from(count);
        let (offline, online) = (bytes(&first.offline), bytes(&first.online));
        Ok([
            offline + online,
            online,
            measured.seconds(|r| r.offline.seconds),
            measured.seconds(|r| r.online.seconds),
            measured.seconds(|r| r.offline.seconds + r.online.seconds),
        ])
    })
}
