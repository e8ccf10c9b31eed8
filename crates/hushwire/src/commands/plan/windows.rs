//! `hushwire plan windows`

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use hushwire_data::Source;
use hushwire_fixed::Settings;
use hushwire_planner::windows;
use serde::Serialize;

use crate::args::{JsonArg, NetworkArgs, positive};
use crate::network::{Network, Planned};
use crate::output::{self, Table, grouped};
use crate::{files, images};

/// Leave low bits out of comparisons, as far as few decisions flip
///
/// Every activation's window of compared bits begins at the highest bit with which no more than a
/// given share of its decisions flip on calibration images: negative values near zero that count as
/// positive. A plan that is not calibrated yet is calibrated first. `eval` says what accuracy is left.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// Calibration images: mnist:DIR, cifar10:DIR, imagenet:DIR or voc:DIR
    #[arg(long, value_name = "KIND:DIR")]
    data: Source,
    /// How many
    #[arg(long, value_name = "N", default_value_t = images::CALIBRATION_IMAGES,
          value_parser = positive)]
    images: usize,
    /// Share of a gate's decisions that may flip
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    flips: f64,
    /// Where to write the plan
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct Report {
    model: String,
    formats: String,
    /// Compared bits, the sign included: the mean over decisions.
    bits: f64,
    decisions: usize,
    gates: Vec<Gate>,
    output: String,
}

#[derive(Serialize)]
struct Gate {
    node: String,
    decisions: usize,
    low: u32,
    bits: u32,
    flips: f64,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let network = Network::load(&args.network.model)?;
    let graph = &network.model.graph;
    let preprocess = images::preprocess(graph, &network.path)?;
    let calibration = images::calibration(graph, &preprocess, &args.data, args.images)?;
    let Planned { plan, origin, .. } =
        network
            .plan(args.network.plan.as_deref(), &Settings::default(), || Ok(calibration.clone()))?;
    let (plan, fitted) = windows::fit(&network.model, &plan, &calibration.0, args.flips)?;
    files::write_text(&args.output, &plan.to_text())?;
    let decisions: usize = fitted.iter().map(|f| f.decisions).sum();
    let bits: usize = fitted.iter().map(|f| f.decisions * f.window.bits as usize).sum();
    let gate = |f: &windows::Fitted| Gate {
        node: f.node.clone(),
        decisions: f.decisions,
        low: f.window.low,
        bits: f.window.bits,
        flips: f.flips,
    };
    let report = Report {
        model: network.path.display().to_string(),
        formats: origin,
        bits: bits as f64 / decisions.max(1) as f64,
        decisions,
        gates: fitted.iter().map(gate).collect(),
        output: args.output.display().to_string(),
    };
    output::report(&report, args.json.json, human)
}

fn human(report: &Report) -> String {
    let mut text = format!("{}, number formats: {}\n", report.model, report.formats);
    let mut table = Table::new(&["gate", "decisions", "compared bits", "may flip"]);
    for gate in &report.gates {
        table.row([
            gate.node.clone(),
            grouped(gate.decisions as u64),
            format!("{}..{}", gate.low, gate.low + gate.bits),
            format!("{:.2}%", 100.0 * gate.flips),
        ]);
    }
    let _ = writeln!(text, "{table}");
    let decisions = grouped(report.decisions as u64);
    let _ =
        writeln!(text, "{:.2} compared bits on average over {decisions} decisions", report.bits);
    let _ = write!(text, "wrote {}", report.output);
    text
}
