//! `hushwire run`

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use hushwire_fixed::Settings;
use hushwire_mpc::{Comparison, Job};
use serde::Serialize;

use crate::answer::{self, Answer, Inputs};
use crate::args::{ComparisonArgs, JsonArg, NetworkArgs, positive};
use crate::encrypted;
use crate::images;
use crate::local::{Parties, PrivateFolder, Task};
use crate::network::Network;
use crate::output;
use crate::progress;
use crate::usage::Usage;

/// Run a network privately on images, with all parties on this machine
///
/// With `--executor he` this process encrypts the images, computes on them, and decrypts the result.
/// Otherwise it is the client; a server and a helper are started for it and talk over TLS with keys
/// made for the occasion. Without a plan the number formats are calibrated on the images
/// themselves.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// How it is made private
    #[arg(long, value_enum, default_value_t = Executor::Mpc)]
    executor: Executor,
    /// Images, PNG or JPEG; they are scaled and cut as the network's metadata says
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    input: Vec<PathBuf>,
    /// Images that are processed together [default: all]
    #[arg(long, value_name = "N", value_parser = positive)]
    batch: Option<usize>,
    /// Write segmentation maps as PNG files to this folder
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    comparison: ComparisonArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// How a network is made private.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Executor {
    /// By three processes: client, server and helper
    Mpc,
    /// On encrypted images, both sides in this process; `--plan` is an encrypted plan
    He,
}

#[derive(Serialize)]
struct Report {
    model: String,
    formats: String,
    comparison: Comparison,
    batch: usize,
    outputs: Vec<Answer>,
    #[serde(flatten)]
    usage: Usage,
    /// From the moment server and helper listen to the last logits.
    wall_seconds: f64,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let network = Network::load(&args.network.model)?;
    if args.executor == Executor::He {
        let (plan, folder) = (args.network.plan.as_deref(), args.output.as_deref());
        return encrypted::run::run(&network, plan, &args.input, folder, args.json.json);
    }
    let graph = &network.model.graph;
    let preprocess = images::preprocess(graph, &network.path)?;
    let inputs = Inputs::load(graph, &args.input, preprocess)?;
    let on_inputs = || {
        let origin = "the given images themselves".to_owned();
        Ok((images::batch(graph, inputs.values.clone()), origin))
    };
    let planned = network.plan(args.network.plan.as_deref(), &Settings::default(), on_inputs)?;
    let batch = args.batch.unwrap_or(inputs.values.len()).min(inputs.values.len());
    let job = Job::new(planned.program.clone(), batch, Comparison::Digits);
    let comparison = args.comparison.choose(&job)?;
    let task = Task {
        model: &network.path,
        plan: &planned.plan,
        comparison,
        line: args.comparison.forecast.link.emulated(),
        batch,
    };
    let bar = progress::bar(args.json.json, Some(inputs.values.len()), "running");
    let mut parties = Parties::start(PrivateFolder::new()?, &task)?;
    let (mut usage, mut logits) = (Usage::default(), Vec::new());
    for part in inputs.values.chunks(batch) {
        let outcome = parties.infer(&part.concat())?;
        usage.add(&outcome);
        logits.extend(outcome.logits);
        bar.inc(part.len() as u64);
    }
    let wall_seconds = parties.seconds();
    bar.finish_and_clear();
    drop(parties);
    let report = Report {
        model: network.path.display().to_string(),
        formats: planned.origin,
        comparison,
        batch,
        outputs: inputs.answers(graph, &logits, args.output.as_deref())?,
        usage,
        wall_seconds,
    };
    output::report(&report, args.json.json, human)
}

fn human(report: &Report) -> String {
    let mut text = format!("{}\n{}\n", answer::table(&report.outputs), report.usage.table());
    let _ = writeln!(text, "number formats: {}", report.formats);
    let _ = write!(
        text,
        "comparison by {}, batches of {}; {} in all",
        report.comparison,
        report.batch,
        output::seconds(report.wall_seconds)
    );
    text
}
