//! `hushwire plan relu`

mod budget;
mod search;

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;
use hushwire_data::Source;
use hushwire_fixed::Settings;
use hushwire_planner::relu::{Measure, Options, Step};
use serde::{Deserialize, Serialize};

use self::budget::{Outcome, Task, decisions};
use self::search::Found;
use crate::args::{ComparisonArgs, JsonArg, positive};
use crate::images;
use crate::network::Network;
use crate::output::{self, Table, grouped};
use crate::{files, progress};

/// Choose patches that share a ReLU's decision, within a budget
///
/// Every channel of every activation gets the patch size, or identity or zero, with which the
/// network's output changes least for what the whole may cost. Losses are estimated from gradients
/// on calibration images; plans are measured on all of these images on the way from exact gates
/// down to the budget. A search that was interrupted goes on when the same command is given again.
#[derive(clap::Args)]
pub struct Args {
    /// The network, an ONNX file
    model: PathBuf,
    /// Calibration images: mnist:DIR, cifar10:DIR, imagenet:DIR or voc:DIR; of the training split
    /// where there is one. Labels are not looked at
    #[arg(long, value_name = "KIND:DIR")]
    data: Source,
    /// What the plan may cost, as a share of what exact gates cost
    #[arg(long, value_name = "SHARE", value_parser = share)]
    budget: f64,
    /// What costs: sign decisions, all bytes sent, or predicted seconds; of both phases
    #[arg(long, value_enum, default_value_t = Objective::Decisions)]
    objective: Objective,
    /// Which activations share a decision
    #[arg(long, value_enum, default_value_t = Grouping::Patches)]
    grouping: Grouping,
    /// Who decides for a cluster of channels; with `member` its channels copy a prototype
    #[arg(long, value_enum, default_value_t = Decision::Mean)]
    decision: Decision,
    /// How many calibration images
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = positive)]
    calibration: usize,
    /// Rounds in which some channels choose again at the budget
    #[arg(long, value_name = "N", default_value_t = Options::default().rounds)]
    rounds: usize,
    /// With bytes or seconds: leave low bits out of comparisons as far as these shares of each gate's
    /// decisions flip, search for a plan with each, and keep the one that is best in fixed point. It is
    /// written with number formats and windows
    #[arg(long, value_name = "SHARES", value_delimiter = ',', value_parser = flips)]
    flips: Vec<f64>,
    /// Measure plans with the network's weights as they are, not as `plan match` and `tune` adjust
    /// them first
    #[arg(long)]
    as_is: bool,
    /// Where to write the plan
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    comparison: ComparisonArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// What a budget is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Sign decisions of activations
    Decisions,
    /// Bytes on all links
    Bytes,
    /// Predicted seconds, in whole nanoseconds
    Seconds,
}

/// Which activations share a decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grouping {
    /// Patches of a channel's map; every channel has its own size, or is passed or zero
    Patches,
    /// The same patch everywhere: the straw man
    Uniform,
    /// Clusters of channels, at every location
    Channels,
    /// Clusters of channels, over square patches
    Blocks,
    /// The same, and channels may copy decisions of earlier layers
    Across,
}

/// Who decides for a cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Decision {
    /// The mean of its channels
    Mean,
    /// One of its channels, the prototype
    Member,
    /// Its channels, weighted by how much the output depends on them
    Form,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    model: String,
    calibration: String,
    objective: Objective,
    grouping: Grouping,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Decision>,
    /// The cost with exact gates, and with the plan's.
    exact: f64,
    cost: f64,
    share: f64,
    /// The loss that the last estimates predicted for the plan, if they did, and the one measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted: Option<f64>,
    measured: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    windows: Option<Windows>,
    decisions: u64,
    exact_decisions: u64,
    /// What it would cost if majorities decided, as shares of decisions and cost with exact gates.
    majority: Majority,
    steps: Vec<Step>,
    seconds: f64,
    output: String,
}

/// How many bits are compared.
#[derive(Serialize)]
struct Windows {
    flips: f64,
    /// The mean over decisions, the sign included.
    bits: f64,
    /// The loss in fixed point.
    measured: f64,
}

/// A costed reference: nothing runs it.
#[derive(Serialize)]
struct Majority {
    decisions: u64,
    share: f64,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        Ok(_) => Err("a share between 0 and 1 is needed, such as 0.06".to_owned()),
        Err(e) => Err(format!("{e}")),
    }
}

fn flips(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..0.5).contains(&share) => Ok(share),
        Ok(_) => Err("a share from 0 to 0.5 is needed, such as 0.01".to_owned()),
        Err(e) => Err(format!("{e}")),
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    if !args.flips.is_empty() && args.objective == Objective::Decisions {
        bail!("--flips trades bits against bytes or seconds: give --objective bytes or seconds");
    }
    let network = Network::load(&args.model)?;
    let graph = &network.model.graph;
    let preprocess = images::preprocess(graph, &network.path)?;
    let (images, origin) = images::calibration(graph, &preprocess, &args.data, args.calibration)?;
    let exact = match args.objective {
        Objective::Decisions => None,
        _ => {
            Some(network.calibrate(None, &Settings::default(), (images.clone(), String::new()))?)
        }
    };
    let mut measure = Measure::new(&network.model, images.clone(), !args.as_is)?;
    let bar = progress::bar(args.json.json, None, "images measured");
    let task = Task { args, network: &network, images: &images, exact, bar: &bar };
    let Outcome { found, cost, costs, exact, narrow } = task.best(&mut measure)?;
    let Found { plan, measured, steps } = found;
    bar.finish_and_clear();
    if cost > args.budget * exact {
        output::note("warning: the plan costs more than the budget");
    }
    let whole = narrow.as_ref().map_or(&plan, |narrow| &narrow.plan);
    files::write_text(&args.output, &whole.to_text())?;
    let clusters = !matches!(args.grouping, Grouping::Patches | Grouping::Uniform);
    let last = steps.iter().rev().find(|step| step.accepted);
    let own = decisions(&measure, graph, &plan) as u64;
    let (votes, of_votes) = costs.majority(&plan, graph, measure.sites());
    let report = Report {
        model: network.path.display().to_string(),
        calibration: origin,
        objective: args.objective,
        grouping: args.grouping,
        decision: clusters.then_some(args.decision),
        exact,
        cost,
        share: cost / exact,
        predicted: last.map(|step| step.predicted),
        measured,
        windows: narrow.map(|n| Windows { flips: n.flips, bits: n.bits, measured: n.measured }),
        decisions: own,
        majority: Majority { decisions: own + votes, share: (cost + of_votes) / exact },
        exact_decisions: decisions(&measure, graph, &measure.plan(None)) as u64,
        steps,
        seconds: started.elapsed().as_secs_f64(),
        output: args.output.display().to_string(),
    };
    output::report(&report, args.json.json, human)
}

fn human(report: &Report) -> String {
    let mut text = format!("{}, {}\n", report.model, report.calibration);
    let mut table = Table::new(&["step", "budget", "predicted loss", "measured", "gap", ""]);
    for (i, step) in report.steps.iter().enumerate() {
        table.row([
            (i + 1).to_string(),
            grouped(step.budget),
            format!("{:.4}", step.predicted),
            format!("{:.4}", step.measured),
            format!("{:.3}%", 100.0 * step.gap),
            if step.accepted { "taken" } else { "left" }.to_owned(),
        ]);
    }
    if !report.steps.is_empty() {
        let _ = writeln!(text, "{table}");
    }
    let _ = writeln!(
        text,
        "{} of {} decisions ({:.2}%)",
        grouped(report.decisions),
        grouped(report.exact_decisions),
        100.0 * report.decisions as f64 / report.exact_decisions as f64
    );
    let unit = match report.objective {
        Objective::Decisions => "decisions",
        Objective::Bytes => "bytes",
        Objective::Seconds => "predicted nanoseconds",
    };
    let _ = writeln!(
        text,
        "{:.2}% of the exact plan's {unit}; the outputs' relative distortion is {:.4}",
        100.0 * report.share,
        report.measured
    );
    if let Some(windows) = &report.windows {
        let _ = writeln!(
            text,
            "{:.2} compared bits on average, {:.2}% of a gate's decisions may flip; distortion in \
             fixed point {:.4}",
            windows.bits,
            100.0 * windows.flips,
            windows.measured
        );
    }
    let _ = writeln!(
        text,
        "if majorities of the same elements decided: {} decisions, {:.2}% of the exact plan's {unit}",
        grouped(report.majority.decisions),
        100.0 * report.majority.share
    );
    let _ = writeln!(text, "{}", output::seconds(report.seconds));
    let _ = write!(text, "wrote {}", report.output);
    text
}
