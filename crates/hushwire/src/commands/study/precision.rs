//! `hushwire study precision`

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use hushwire_data::{Source, Split};
use hushwire_minimax::ALPHAS;
use hushwire_train::{Images, Net, Pass, measure};
use serde::Serialize;

use super::stats::Mean;
use crate::args::{FittingArgs, JsonArg, positive};
use crate::commands::plan::polynomial::alpha;
use crate::network::Network;
use crate::output::{self, Table};
use crate::{images, progress};

/// Accuracy of a network with composite polynomials of every precision in the place of its ReLUs
///
/// For each precision, ranges are measured on training images and the network on test images, in
/// floating point, as `plan polynomial` and `eval --executor float` do it.
#[derive(clap::Args)]
pub struct Args {
    /// The network, an ONNX file that classifies images
    model: PathBuf,
    /// The data set: mnist:DIR, cifar10:DIR or oscillator:SEED
    #[arg(long, value_name = "KIND:DIR")]
    data: Source,
    /// Precisions in bits [default: 4 to 14]
    #[arg(long, value_name = "BITS,...", value_delimiter = ',', value_parser = alpha)]
    alphas: Vec<u32>,
    #[command(flatten)]
    fitting: FittingArgs,
    /// Measure on the first N test images [default: all]
    #[arg(long, value_name = "N", value_parser = positive)]
    limit: Option<usize>,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct Report {
    model: String,
    data: String,
    ranges: String,
    margin: f64,
    n: usize,
    /// Of the network as it is.
    accuracy: f64,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    alpha: u32,
    degrees: Vec<u32>,
    depth: u32,
    multiplications: u32,
    /// Share of the images that are classified right.
    accuracy: f64,
    /// Half the width of its 95% interval.
    within: f64,
    /// Accuracy lost against the network as it is, with the interval of paired differences.
    lost: f64,
    lost_within: f64,
    outside_range: usize,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let network = Network::load(&args.model)?;
    let model = &network.model;
    let fitting = args.fitting.fitting()?;
    let preprocess = images::preprocess(&model.graph, &network.path)?;
    let (calibration, ranges) =
        images::calibration(&model.graph, &preprocess, &args.data, args.fitting.range_images)?;
    let test = Images::load(&args.data, Split::Test, args.limit, &model.graph)?;
    let alphas = if args.alphas.is_empty() { ALPHAS.collect() } else { args.alphas.clone() };
    let mut pass = Pass::default();
    let plain = measure(&Net::new(model, None)?, &test, &mut pass);
    if test.is_empty() {
        bail!("{} has no test images", args.data);
    }
    let bar = progress::bar(args.json.json, Some(alphas.len()), "precisions");
    let mut row = |alpha: u32| -> Result<Row> {
        let all = vec![alpha; model.graph.activation_sites().len()];
        let (layers, plan) = fitting.fit(model, &calibration, &all)?;
        let found = measure(&Net::new(model, Some(&plan))?, &test, &mut pass);
        let degrees = fitting.gate(&layers[0], alpha).sign()?.degrees();
        let right = found.right.iter().filter(|right| **right).count();
        let pairs = plain.right.iter().zip(&found.right);
        let lost: Vec<f64> = pairs.map(|(a, b)| f64::from(*a) - f64::from(*b)).collect();
        let lost = Mean::of(&lost).unwrap_or(Mean { mean: 0.0, within: None });
        bar.inc(1);
        Ok(Row {
            alpha,
            degrees: degrees.degrees().to_vec(),
            depth: degrees.depth(),
            multiplications: degrees.multiplications(),
            accuracy: found.accuracy,
            within: Mean::of_share(right, test.len()).within.unwrap_or(0.0),
            lost: lost.mean,
            lost_within: lost.within.unwrap_or(0.0),
            outside_range: found.outside,
        })
    };
    let rows = alphas.into_iter().map(&mut row).collect::<Result<_>>()?;
    bar.finish_and_clear();
    let report = Report {
        model: network.path.display().to_string(),
        data: args.data.to_string(),
        ranges,
        margin: args.fitting.margin,
        n: test.len(),
        accuracy: plain.accuracy,
        rows,
    };
    output::report(&report, args.json.json, human)
}

fn human(report: &Report) -> String {
    let mut text = format!(
        "{}, {} test images of {}, ranges from {} with margin {}\n",
        report.model, report.n, report.data, report.ranges, report.margin
    );
    let _ = writeln!(text, "accuracy with ReLU: {:.2}%\n", 100.0 * report.accuracy);
    let heads =
        ["alpha", "degrees", "depth", "mult.", "accuracy in %", "lost points", "out of range"];
    let mut table = Table::new(&heads);
    for row in &report.rows {
        let degrees: Vec<String> = row.degrees.iter().map(u32::to_string).collect();
        let points = |mean, within| Mean { mean, within: Some(within) }.times(100.0).to_string();
        table.row([
            row.alpha.to_string(),
            degrees.join(","),
            row.depth.to_string(),
            row.multiplications.to_string(),
            points(row.accuracy, row.within),
            points(row.lost, row.lost_within),
            row.outside_range.to_string(),
        ]);
    }
    let _ = write!(text, "{table}");
    text
}
