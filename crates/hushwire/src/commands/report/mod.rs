//! `hushwire report`

pub mod charts;
mod page;
mod study;

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};
use hushwire_data::Source;
use serde::Serialize;

use crate::args::{ComparisonArgs, JsonArg, positive};
use crate::files::{self, beside};
use crate::network::Network;
use crate::output;

use study::Study;

/// Compare plans on one page: accuracy, decisions, bytes, predicted seconds
///
/// Writes one HTML file that needs nothing else, with the Pareto front of accuracy against each
/// cost, where the bytes go, patch sizes layer by layer and the gates' decisions on a sample image;
/// and the numbers as comma-separated values beside it.
#[derive(clap::Args)]
pub struct Args {
    /// The network, an ONNX file
    model: PathBuf,
    /// A plan to compare with the exact one: LABEL=PLAN, or LABEL=PLAN,MODEL with the network that was
    /// tuned for it; may be given several times
    #[arg(long = "plan", value_name = "LABEL=PLAN[,MODEL]")]
    plans: Vec<Entry>,
    /// The data set: mnist:DIR, cifar10:DIR, imagenet:DIR or voc:DIR; its test split is measured
    #[arg(long, value_name = "KIND:DIR")]
    data: Source,
    /// Images to measure, in the clear fixed-point arithmetic of the protocol
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = positive)]
    limit: usize,
    /// Where to write the page
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    comparison: ComparisonArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// A plan with a label, and perhaps a network of its own.
#[derive(Clone, Debug)]
struct Entry {
    label: String,
    plan: PathBuf,
    model: Option<PathBuf>,
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(text: &str) -> Result<Entry, String> {
        let (label, files) = text
            .split_once('=')
            .filter(|(label, files)| !label.is_empty() && !files.is_empty())
            .ok_or_else(|| format!("`{text}` is no LABEL=PLAN or LABEL=PLAN,MODEL"))?;
        let (plan, model) = match files.split_once(',') {
            Some((plan, model)) => (plan, Some(PathBuf::from(model))),
            None => (files, None),
        };
        Ok(Entry { label: label.to_owned(), plan: PathBuf::from(plan), model })
    }
}

/// What was written.
#[derive(Serialize)]
struct Report<'a> {
    page: String,
    table: String,
    plans: &'a [study::Row],
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    for (i, entry) in args.plans.iter().enumerate() {
        let taken = |other: &Entry| other.label == entry.label;
        if entry.label == study::EXACT || args.plans[..i].iter().any(taken) {
            bail!("there are two plans of the name {}", entry.label);
        }
    }
    let network = Network::load(&args.model)?;
    let study = Study::new(args, &network)?;
    let table = beside(&args.output, ".csv");
    files::write_text(&table, &study.csv())?;
    files::write_text(&args.output, &page::html(&study)?)?;
    let report = Report {
        page: args.output.display().to_string(),
        table: table.display().to_string(),
        plans: &study.rows,
    };
    output::report(&report, args.json.json, |report| {
        format!("{}\nwrote {} and {}", study.table(), report.page, report.table)
    })
}
