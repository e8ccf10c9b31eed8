//! Suite `networks`: whole networks on several lines.

use std::path::Path;

use anyhow::{Result, bail};
use hushwire_mpc::Comparison;
use hushwire_net::Phase;

use super::subject::{ModelArg, Subject};
use super::{Bench, shapes, trial};
use crate::args::Line;
use crate::demo_files;
use crate::output;

/// Part of a metric's name and the line it stands for.
const LINES: [(&str, Option<Line>); 3] =
    [("", None), ("lan.", Some(Line::LAN)), ("wan.", Some(Line::WAN))];

/// Comparisons likewise.
const COMPARISONS: [(&str, Comparison); 2] = [("", Comparison::Digits), ("dcf.", Comparison::Dcf)];

/// Messages that take longer than this on a line are only predicted: large keys on a slow line.
const LONGEST_SECONDS: f64 = 120.0;

const MEGA: f64 = 1e6;

/// Runs the suite.
pub(super) fn run(bench: &mut Bench, models: &[ModelArg]) -> Result<()> {
    network(bench, "demo", |folder| Subject::from_bytes(folder, "demo", demo_files::NETWORK))?;
    let resnet18 = || shapes::resnet18(100);
    network(bench, "resnet18", |folder| Subject::made(folder, "resnet18", &resnet18()))?;
    let mut names = vec!["demo".to_owned(), "resnet18".to_owned()];
    for arg in models {
        let name = arg.name();
        if names.contains(&name) {
            bail!("two networks would have metrics named {name}: rename one of the files");
        }
        network(bench, &name, |folder| Subject::load(folder, &name, arg))?;
        names.push(name);
    }
    Ok(())
}

fn network(
    bench: &mut Bench,
    name: &str,
    subject: impl FnOnce(&Path) -> Result<Subject>,
) -> Result<()> {
    if !bench.wants(name) {
        return Ok(());
    }
    let subject = subject(bench.folder())?;
    for (way, comparison) in COMPARISONS {
        let prediction = subject.prediction(comparison);
        for (place, line) in LINES {
            let metric = |what: &str| format!("{name}.{place}{way}{what}");
            if line.is_some_and(|line| line.seconds(&prediction) > LONGEST_SECONDS) {
                output::note(format_args!("{} would take minutes: left out", metric("*")));
                continue;
            }
            let task = subject.task(comparison, line);
            let seconds = ["offline_seconds", "online_seconds", "total_seconds"].map(metric);
            let sizes = ["setup_mb", "total_mb", "online_mb", "peak_mb"].map(metric);
            let times = |measured: &trial::Measured| {
                [
                    measured.seconds(|r| r.offline.seconds),
                    measured.seconds(|r| r.online.seconds),
                    measured.seconds(|r| r.offline.seconds + r.online.seconds),
                ]
            };
            if line.is_some() {
                bench.measure(seconds, || Ok(times(&trial::run(&task)?)))?;
                continue;
            }
            // Bytes and memory do not depend on the line.
            let [a, b, c] = seconds;
            let [d, e, f, g] = sizes;
            bench.measure([a, b, c, d, e, f, g], || {
                let measured = trial::run(&task)?;
                let [a, b, c] = times(&measured);
                let first = measured.first();
                debug_assert_eq!(first.offline.bytes, prediction.total(Phase::Offline));
                let total = first.offline.bytes + first.online.bytes;
                let bytes = [first.setup.bytes, total, first.online.bytes, measured.peak_bytes()?];
                let [d, e, f, g] = bytes.map(|bytes| bytes as f64 / MEGA);
                Ok([a, b, c, d, e, f, g])
            })?;
        }
    }
    Ok(())
}
