//! `hushwire plan polynomial`

use std::fmt::Write;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};
use hushwire_data::Source;
use hushwire_graph::Op;
use hushwire_minimax::ALPHAS;
use hushwire_plan::{Gate, Plan, SiteKind};
use hushwire_planner::polynomial::{Budget, allot, losses};
use hushwire_planner::relu::Measure;
use serde::Serialize;

use crate::args::{FittingArgs, JsonArg, positive};
use crate::network::Network;
use crate::output::{self, Table, grouped};
use crate::{files, images, progress};

/// Replace ReLUs by composite polynomials, for encrypted computation
///
/// Every ReLU becomes x (1 + s(x / B)) / 2, where s is a composite minimax polynomial for the sign and
/// B the largest input that calibration images give, times a margin. All have the precision of --alpha,
/// or each its own, so that the network's output changes least within --budget. Maxima of max pooling
/// stay exact: no executor computes them by polynomials. `eval` counts inputs beyond B.
#[derive(clap::Args)]
pub struct Args {
    /// The network, an ONNX file
    model: PathBuf,
    /// Calibration images: mnist:DIR, cifar10:DIR, imagenet:DIR, voc:DIR or oscillator:SEED
    #[arg(long, value_name = "KIND:DIR")]
    data: Source,
    #[command(flatten)]
    precision: Precision,
    #[command(flatten)]
    fitting: FittingArgs,
    /// Images on which losses are measured for --budget
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = positive)]
    loss_images: usize,
    /// Where to write the plan
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Precision {
    /// Precision of every layer in bits, relative to its range: 4 to 14
    #[arg(long, value_name = "BITS", value_parser = alpha)]
    alpha: Option<u32>,
    /// Choose each layer's precision: depth=N levels or multiplications=N of an element, summed over
    /// the layers
    #[arg(long, value_name = "WHAT=N")]
    budget: Option<BudgetArg>,
}

/// A precision for which there are polynomials.
pub fn alpha(text: &str) -> Result<u32, String> {
    let (least, most) = (ALPHAS.start(), ALPHAS.end());
    text.parse().ok().filter(|alpha| ALPHAS.contains(alpha)).ok_or_else(|| {
        format!("`{text}` is no precision: there are polynomials for {least} to {most} bits")
    })
}

#[derive(Clone, Copy)]
struct BudgetArg(Budget);

impl FromStr for BudgetArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(what, n)| Some((what, n.parse().ok()?)));
        match parts {
            Some(("depth", n)) => Ok(BudgetArg(Budget::Depth(n))),
            Some(("multiplications", n)) => Ok(BudgetArg(Budget::Multiplications(n))),
            _ => Err(format!(
                "`{text}` is no budget: expected depth=N or multiplications=N with a whole number"
            )),
        }
    }
}

#[derive(Serialize)]
struct Report {
    model: String,
    calibration: String,
    layers: Vec<Row>,
    /// Summed over the layers.
    depth: u32,
    /// Of an element, summed over the layers.
    multiplications: u32,
    /// Of a sample: those of all elements.
    products: u64,
    /// Squared distance of the outputs over their squared length, on calibration images.
    loss: Option<f64>,
    /// Max pooling whose maxima stay exact.
    exact_maxima: Vec<String>,
    output: String,
}

#[derive(Serialize)]
struct Row {
    node: String,
    elements: usize,
    range: f64,
    alpha: u32,
    degrees: Vec<u32>,
    depth: u32,
    multiplications: u32,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let network = Network::load(&args.model)?;
    let model = &network.model;
    let fitting = args.fitting.fitting()?;
    let preprocess = images::preprocess(&model.graph, &network.path)?;
    let count = args.fitting.range_images;
    let (images, origin) = images::calibration(&model.graph, &preprocess, &args.data, count)?;
    let few = images::first(&images, args.loss_images);
    let alphas = match (args.precision.alpha, args.precision.budget) {
        (Some(alpha), _) => vec![alpha; model.graph.activation_sites().len()],
        (None, Some(BudgetArg(budget))) => {
            let (layers, _) = fitting.fit(model, &images, &[])?;
            let all = layers.len() * ALPHAS.count();
            let bar = progress::bar(args.json.json, Some(all), "layers and precisions");
            let losses = losses(model, &layers, fitting, &few, &mut || bar.inc(1))?;
            bar.finish_and_clear();
            allot(&losses, budget, fitting.construction)?
        }
        (None, None) => bail!("--alpha or --budget is needed"),
    };
    let (layers, plan) = fitting.fit(model, &images, &alphas)?;
    let loss = Measure::new(model, few, false)?.loss(&plan, &mut |_| {})?;
    files::write_text(&args.output, &plan.to_text())?;
    let rows: Vec<Row> = layers
        .iter()
        .filter_map(|layer| row(&plan, &layer.name, layer.elements))
        .collect::<Result<_>>()?;
    let nodes = model.graph.nodes.iter();
    let report = Report {
        model: network.path.display().to_string(),
        calibration: origin,
        depth: rows.iter().map(|row| row.depth).sum(),
        multiplications: rows.iter().map(|row| row.multiplications).sum(),
        products: rows.iter().map(|row| u64::from(row.multiplications) * row.elements as u64).sum(),
        loss: loss.is_finite().then_some(loss),
        exact_maxima: nodes
            .filter(|node| matches!(node.op, Op::MaxPool(_)))
            .map(|node| node.name.clone())
            .collect(),
        layers: rows,
        output: args.output.display().to_string(),
    };
    output::report(&report, args.json.json, human)
}

/// What a plan says about a layer, if it has a composite polynomial there.
fn row(plan: &Plan, node: &str, elements: usize) -> Option<Result<Row>> {
    let Gate::Polynomial(gate) = plan.site(node, SiteKind::Activation)?.gate else { return None };
    let row = |degrees: hushwire_minimax::DegreeSet| Row {
        node: node.to_owned(),
        elements,
        range: gate.range,
        alpha: gate.alpha,
        degrees: degrees.degrees().to_vec(),
        depth: degrees.depth(),
        multiplications: degrees.multiplications(),
    };
    Some(gate.sign().map(|sign| row(sign.degrees())).map_err(Into::into))
}

fn human(report: &Report) -> String {
    let mut text = format!("{}, ranges from {}\n", report.model, report.calibration);
    let heads = ["layer", "elements", "range", "alpha", "degrees", "depth", "multiplications"];
    let mut table = Table::new(&heads);
    for row in &report.layers {
        let degrees: Vec<String> = row.degrees.iter().map(u32::to_string).collect();
        table.row([
            row.node.clone(),
            grouped(row.elements as u64),
            format!("{:.3}", row.range),
            row.alpha.to_string(),
            degrees.join(","),
            row.depth.to_string(),
            row.multiplications.to_string(),
        ]);
    }
    let _ = writeln!(text, "{table}");
    let _ = writeln!(
        text,
        "depth {}, {} multiplications of an element, {} of an image",
        report.depth,
        report.multiplications,
        grouped(report.products)
    );
    let _ = match report.loss {
        Some(loss) => writeln!(text, "the output changes by {loss:.2e} of its squared length"),
        None => writeln!(text, "the output leaves all bounds"),
    };
    if !report.exact_maxima.is_empty() {
        let _ = writeln!(text, "maxima stay exact: {}", report.exact_maxima.join(", "));
    }
    let _ = write!(text, "wrote {}", report.output);
    text
}
