//! Suite `networks`: whole networks on several lines.

use std::path::Path;

use anyhow::{Result, bail};
use hushwire_mpc::Comparison;
use hushwire_mpc::cost::Prediction;
use hushwire_net::{Phase, Role};
use hushwire_profile::{Hosts, Profile, Times};

use super::subject::{ModelArg, Subject};
use super::trial::{self, Repetition};
use super::{Bench, shapes};
use crate::args::{Line, Link};
use crate::demo_files;
use crate::forecast::Forecast;
use crate::output;

/// Part of a metric's name and the link it stands for.
const LINKS: [(&str, Link); 3] =
    [("", Link::Loopback), ("lan.", Link::Line(Line::LAN)), ("wan.", Link::Line(Line::WAN))];

/// Comparisons likewise.
const COMPARISONS: [(&str, Comparison); 2] = [("", Comparison::Digits), ("dcf.", Comparison::Dcf)];

/// Messages that take longer than this on a line are only predicted: large keys on a slow line.
const LONGEST_SECONDS: f64 = 120.0;

const MEGA: f64 = 1e6;

/// Runs the suite.
pub(super) fn run(bench: &mut Bench, models: &[ModelArg], profile: Option<&Path>) -> Result<()> {
    let profile = profile.map(Profile::load).transpose()?;
    let profile = profile.as_ref();
    let demo = |folder: &Path| Subject::from_bytes(folder, "demo", demo_files::NETWORK);
    network(bench, profile, "demo", demo)?;
    let resnet18 = |folder: &Path| Subject::made(folder, "resnet18", &shapes::resnet18(100));
    network(bench, profile, "resnet18", resnet18)?;
    let mut names = vec!["demo".to_owned(), "resnet18".to_owned()];
    for arg in models {
        let name = arg.name();
        if names.contains(&name) {
            bail!("two networks would have metrics named {name}: rename one of the files");
        }
        network(bench, profile, &name, |folder| Subject::load(folder, &name, arg))?;
        names.push(name);
    }
    Ok(())
}

/// Measures a network, with each comparison on each line.
fn network(
    bench: &mut Bench,
    profile: Option<&Profile>,
    name: &str,
    subject: impl FnOnce(&Path) -> Result<Subject>,
) -> Result<()> {
    if !bench.wants(name) {
        return Ok(());
    }
    let subject = subject(bench.folder())?;
    for (way, comparison) in COMPARISONS {
        for (place, link) in LINKS {
            let metric = |what: &&str| format!("{name}.{place}{way}{what}");
            let job = subject.job(comparison);
            if seconds(link, &Prediction::new(&job)) > LONGEST_SECONDS {
                output::note(format_args!("{} would take minutes: left out", metric(&"*")));
                continue;
            }
            let mut names = vec!["offline_seconds", "online_seconds", "total_seconds"];
            let predicted = profile.map(|profile| {
                names.extend(["offline_ratio", "online_ratio", "total_ratio"]);
                Forecast::with(profile.clone(), link, Hosts::One).times(&job)
            });
            // Bytes and memory do not depend on the line.
            let sized = link == Link::Loopback;
            if sized {
                names.extend(["setup_mb", "total_mb", "online_mb", "peak_mb"]);
            }
            let names: Vec<String> = names.iter().map(metric).collect();
            let task = subject.task(comparison, link.emulated());
            bench.measure_all(&names, || {
                let measured = trial::run(&task)?;
                let times = [
                    measured.seconds(|r| r.offline.seconds),
                    measured.seconds(|r| r.online.seconds),
                    measured.seconds(|r| r.offline.seconds + r.online.seconds),
                ];
                let mut values = times.to_vec();
                if let Some(Times { offline, online }) = predicted {
                    let predicted = [offline, online, offline + online];
                    values.extend(predicted.iter().zip(times).map(|(p, measured)| p / measured));
                }
                if sized {
                    let Repetition { setup, offline, online, .. } = measured.first();
                    let bytes = [setup.bytes, offline.bytes + online.bytes, online.bytes];
                    let bytes = bytes.into_iter().chain([measured.peak_bytes()?]);
                    values.extend(bytes.map(|bytes| bytes as f64 / MEGA));
                }
                Ok(values)
            })?;
        }
    }
    Ok(())
}

/// Seconds that the busiest direction of a link is occupied.
fn seconds(link: Link, prediction: &Prediction) -> f64 {
    let routes = [(Role::Helper, Role::Server), (Role::Helper, Role::Client)];
    let bytes = routes.map(|(from, to)| prediction.bytes(Phase::Offline, from, to));
    let mbit = link.emulated().map_or(f64::INFINITY, |line| line.mbit);
    bytes.into_iter().max().unwrap_or(0) as f64 * 8e-6 / mbit
}
