//! `hushwire calibrate`

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use hushwire_data::Source;
use hushwire_plan::{Plan, SiteKind};
use serde::Serialize;

use crate::args::{JsonArg, SettingsArgs};
use crate::files;
use crate::images::{self, CALIBRATION_IMAGES};
use crate::network::{Network, Planned};
use crate::output::{self, Table};

/// Find number formats for a network from a few images and write its plan
///
/// The images decide how large values get; labels are not looked at. They come from the data set's
/// training split, or from its test split where it has no other.
#[derive(clap::Args)]
pub struct Args {
    /// The network, an ONNX file
    model: PathBuf,
    /// Images: mnist:DIR, cifar10:DIR, imagenet:DIR, voc:DIR or oscillator:SEED
    #[arg(long, value_name = "KIND:DIR")]
    data: Source,
    /// How many images
    #[arg(long, value_name = "N", default_value_t = CALIBRATION_IMAGES,
          value_parser = crate::args::positive)]
    images: usize,
    /// Keep the gates of this plan; its number formats are replaced
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Where to write the plan
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// What was found.
#[derive(Serialize)]
struct Report<'a> {
    model: String,
    calibration: String,
    ring: u32,
    plan: &'a Plan,
    output: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let network = Network::load(&args.model)?;
    let graph = &network.model.graph;
    let gates = args.plan.as_ref().map(|path| network.read_plan(path)).transpose()?;
    let preprocess = images::preprocess(graph, &network.path)?;
    let calibration = images::calibration(graph, &preprocess, &args.data, args.images)?;
    let Planned { plan, program, origin } =
        network.calibrate(gates, &args.settings.settings(), calibration)?;
    if let Some(path) = &args.output {
        files::write_text(path, &plan.to_text())?;
    }
    let report = Report {
        model: network.path.display().to_string(),
        calibration: origin,
        ring: program.ring,
        plan: &plan,
        output: args.output.as_ref().map(|path| path.display().to_string()),
    };
    output::report(&report, args.json.json, human)
}

fn human(report: &Report<'_>) -> String {
    let mut text = format!("{}, {}\n", report.model, report.calibration);
    let _ = writeln!(text, "ring of {} bits\n", report.ring);
    let mut table = Table::new(&["site", "kind", "fractional", "width", "compared", "range"]);
    for site in &report.plan.sites {
        let kind = match site.kind {
            SiteKind::Activation => "activation",
            SiteKind::MaxPool => "max pool",
            SiteKind::Wire => "wire",
            SiteKind::Output => "output",
        };
        let Some(format) = site.format else { continue };
        let window =
            format.window.map_or_else(String::new, |w| format!("{}..{}", w.low, w.low + w.bits));
        table.row([
            site.node.clone(),
            kind.to_owned(),
            format.fractional_bits.to_string(),
            format.width.to_string(),
            window,
            format!("{:.3}", format.range),
        ]);
    }
    let _ = writeln!(text, "{table}");
    let _ = match &report.output {
        Some(path) => write!(text, "wrote {path}"),
        None => write!(text, "nothing was written; give --output FILE to keep the plan"),
    };
    text
}
