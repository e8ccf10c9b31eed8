//! `hushwire eval`

use std::fmt::Write;

use anyhow::{Result, bail};
use clap::ValueEnum;
use hushwire_data::{Sample, Source, Split};
use hushwire_fixed::Settings;
use hushwire_mpc::{Comparison, Job};
use serde::Serialize;

use crate::args::{ComparisonArgs, JsonArg, NetworkArgs, positive};
use crate::evaluation::{Counts, Evaluation};
use crate::images::{self, CALIBRATION_IMAGES};
use crate::local::{Parties, PrivateFolder, Task};
use crate::network::{Network, Planned};
use crate::output;
use crate::progress;

/// Measure a network's accuracy on a data set
///
/// Classification networks are scored by top-1 accuracy, segmentation networks by mean
/// intersection over union. Labels are compared with those of float inference.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// The data set: mnist:DIR, cifar10:DIR, imagenet:DIR or voc:DIR; its test split is used
    #[arg(long, value_name = "KIND:DIR")]
    data: Source,
    /// How the network is run
    #[arg(long, value_enum, default_value_t = Executor::Fixed)]
    executor: Executor,
    /// Images to measure [default: all]
    #[arg(long, value_name = "N", value_parser = positive)]
    limit: Option<usize>,
    /// Images that are processed together [default: by the network's size]
    #[arg(long, value_name = "N", value_parser = positive)]
    batch: Option<usize>,
    #[command(flatten)]
    comparison: ComparisonArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// How a network is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Executor {
    /// Ordinary floating point
    Float,
    /// In the clear, in the fixed-point arithmetic of the private protocol
    Fixed,
    /// Privately, by three processes on this machine
    Mpc,
}

#[derive(Serialize)]
struct Report {
    model: String,
    data: String,
    executor: Executor,
    #[serde(skip_serializing_if = "Option::is_none")]
    formats: Option<String>,
    #[serde(flatten)]
    counts: Counts,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let network = Network::load(&args.network.model)?;
    let graph = &network.model.graph;
    let preprocess = images::preprocess(graph, &network.path)?;
    let calibration = || images::calibration(graph, &preprocess, &args.data, CALIBRATION_IMAGES);
    let planned = match args.executor {
        Executor::Float => None,
        _ => Some(network.plan(args.network.plan.as_deref(), &Settings::default(), calibration)?),
    };
    let mut samples = args.data.load(Split::Test, args.limit)?.peekable();
    if samples.peek().is_none() {
        bail!("{} has no images in its test split", args.data);
    }
    let total = args.data.load(Split::Test, args.limit)?.count_hint();
    let batch = args.batch.unwrap_or_else(|| network.usual_batch());
    let (parties, group) = match (&planned, args.executor) {
        (Some(planned), Executor::Mpc) => {
            let batch = batch.min(total.unwrap_or(batch));
            (Some(start(&network, planned, batch, &args.comparison)?), batch)
        }
        _ => (None, batch * rayon::current_num_threads()),
    };
    let bar = progress::bar(args.json.json, total, "measuring");
    let program = planned.as_ref().map(|p| &*p.program);
    let mut evaluation = Evaluation::new(&network, preprocess.clone(), program, batch, parties);
    while samples.peek().is_some() {
        let samples: Result<Vec<Sample>, _> = samples.by_ref().take(group).collect();
        let samples = samples?;
        evaluation.add(&samples)?;
        bar.inc(samples.len() as u64);
        bar.set_message(format!("{:.2}%", 100.0 * evaluation.score()));
    }
    bar.finish_and_clear();
    let counts = evaluation.finish();
    if let Some(count @ 1..) = counts.overflows {
        output::note(format!(
            "warning: {count} values were larger than their number formats allow, so some results \
             are wrong; calibrate with more images or more --headroom"
        ));
    }
    let report = Report {
        model: network.path.display().to_string(),
        data: args.data.to_string(),
        executor: args.executor,
        formats: planned.as_ref().map(|p| p.origin.clone()),
        counts,
    };
    output::report(&report, args.json.json, human)
}

fn start(
    network: &Network,
    planned: &Planned,
    batch: usize,
    comparison: &ComparisonArgs,
) -> Result<Parties> {
    let job = Job::new(planned.program.clone(), batch, Comparison::Digits);
    let task = Task {
        model: &network.path,
        plan: &planned.plan,
        comparison: comparison.choose(&job)?,
        line: comparison.forecast.link.emulated(),
        batch,
    };
    Parties::start(PrivateFolder::new()?, &task)
}

fn human(report: &Report) -> String {
    let counts = &report.counts;
    let mut text = format!("{}, {} images of {}\n", report.model, counts.n, report.data);
    let percent = |share: f64| format!("{:.2}%", 100.0 * share);
    if let Some(formats) = &report.formats {
        let _ = writeln!(text, "number formats: {formats}");
    }
    let _ = writeln!(text, "{}: {}", counts.measure, percent(counts.accuracy));
    let _ = writeln!(text, "same label as float inference: {}", percent(counts.agreement));
    if let (Some(same), Some(ulps)) = (counts.agreement_fixed, counts.largest_difference_ulps) {
        let _ = writeln!(text, "same label as clear fixed point: {}", percent(same));
        let _ = writeln!(text, "largest difference of a logit to it: {ulps:.0} ulps");
    }
    let _ = write!(text, "time: {}", output::seconds(counts.seconds));
    text
}
