//! `hushwire eval`

use std::fmt::Write;

use anyhow::{Result, bail};
use clap::ValueEnum;
use hushwire_data::{Sample, Source, Split};
use hushwire_fixed::Settings;
use hushwire_mpc::{Comparison, Job};
use serde::Serialize;

use crate::args::{ComparisonArgs, JsonArg, NetworkArgs, positive};
use crate::encrypted;
use crate::evaluation::{Counts, Evaluation, Measured};
use crate::gated;
use crate::images::{self, CALIBRATION_IMAGES};
use crate::local::{Parties, PrivateFolder, Task};
use crate::network::{Network, Planned};
use crate::output;
use crate::progress;

/// Measure a network's accuracy on a data set
///
/// Classification networks are scored by top-1 accuracy, segmentation networks by mean
/// intersection over union. Labels are compared with those of float inference with the network's
/// own activations.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// The data set: mnist:DIR, cifar10:DIR, imagenet:DIR, voc:DIR or oscillator:SEED; its test split is used
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
    /// Floating point, with the gates of the plan
    Float,
    /// In the clear, in the fixed-point arithmetic of the private protocol
    Fixed,
    /// Privately, by three processes on this machine
    Mpc,
    /// On encrypted images, both sides in this process; `--plan` is an encrypted plan
    He,
}

#[derive(Serialize)]
struct Report {
    model: String,
    data: String,
    executor: Executor,
    /// The plan, where it decides about gates alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    gates: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    formats: Option<String>,
    #[serde(flatten)]
    counts: Counts,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let network = Network::load(&args.network.model)?;
    if args.executor == Executor::He {
        let plan = args.network.plan.as_deref();
        return encrypted::eval::run(&network, plan, &args.data, args.limit, args.json.json);
    }
    let graph = &network.model.graph;
    let preprocess = images::preprocess(graph, &network.path)?;
    let calibration = || images::calibration(graph, &preprocess, &args.data, CALIBRATION_IMAGES);
    let plan = args.network.plan.as_deref();
    let gates = match (args.executor, plan) {
        (Executor::Float, Some(path)) => Some(network.read_plan(path)?),
        _ => None,
    };
    let planned = match args.executor {
        Executor::Float => None,
        Executor::Fixed => Some(network.plan_in_clear(plan, &Settings::default(), calibration)?),
        _ => Some(network.plan(plan, &Settings::default(), calibration)?),
    };
    let mut samples = args.data.load(Split::Test, args.limit)?.peekable();
    if samples.peek().is_none() {
        bail!("{} has no images in its test split", args.data);
    }
    let total = args.data.load(Split::Test, args.limit)?.count_hint();
    let batch = args.batch.unwrap_or_else(|| network.usual_batch());
    let parallel = batch * rayon::current_num_threads();
    let (measured, group) = match (&planned, args.executor) {
        (Some(planned), Executor::Mpc) => {
            let batch = batch.min(total.unwrap_or(batch));
            let parties = start(&network, planned, batch, &args.comparison)?;
            (Measured::Private(&planned.program, Box::new(parties)), batch)
        }
        (Some(planned), _) => (Measured::Fixed(&planned.program), parallel),
        (None, _) => (Measured::Float(gates.as_ref()), parallel),
    };
    let bar = progress::bar(args.json.json, total, "measuring");
    let mut evaluation = Evaluation::new(&network, preprocess.clone(), batch, measured);
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
    gated::warn_outside(counts.outside_range);
    let report = Report {
        model: network.path.display().to_string(),
        data: args.data.to_string(),
        executor: args.executor,
        gates: gates.and(plan).map(|path| path.display().to_string()),
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
    if let Some(gates) = &report.gates {
        let _ = writeln!(text, "gates: plan {gates}");
    }
    if let Some(formats) = &report.formats {
        let _ = writeln!(text, "number formats: {formats}");
    }
    let _ = writeln!(text, "{}: {}", counts.measure, percent(counts.accuracy));
    let _ = writeln!(text, "same label as float inference: {}", percent(counts.agreement));
    if let (Some(same), Some(ulps)) = (counts.agreement_fixed, counts.largest_difference_ulps) {
        let _ = writeln!(text, "same label as clear fixed point: {}", percent(same));
        let _ = writeln!(text, "largest difference of a logit to it: {ulps:.0} ulps");
    }
    if let Some(outside) = counts.outside_range {
        let _ = writeln!(text, "inputs outside the range of their polynomial: {outside}");
    }
    let _ = write!(text, "time: {}", output::seconds(counts.seconds));
    text
}
