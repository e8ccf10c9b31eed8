//! `hushwire plan encrypted`

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use hushwire_data::Source;
use hushwire_he::{Counts, Interface, Line, Objective, Parameters, Settings};
use serde::Serialize;

use crate::args::JsonArg;
use crate::encrypted::{costs, find_plan};
use crate::files;
use crate::images::{self, CALIBRATION_IMAGES};
use crate::network::Network;
use crate::output::{self, Table, bytes, grouped};

/// Find layouts, levels and scales for running a network on encrypted images
///
/// Networks whose activations are not polynomials of degree 2 to 7 are refused, and so are those that
/// are too deep: the message says how many levels they take. Images decide how large values get.
#[derive(clap::Args)]
pub struct Args {
    /// The network, an ONNX file
    model: PathBuf,
    /// An activation plan whose composite polynomials stand for ReLUs, as `plan polynomial` writes it;
    /// the encrypted plan keeps its gates
    #[arg(long, value_name = "FILE")]
    gates: Option<PathBuf>,
    /// Images: mnist:DIR, cifar10:DIR, imagenet:DIR or voc:DIR [default: random pixels]
    #[arg(long, value_name = "KIND:DIR")]
    data: Option<Source>,
    /// How many images
    #[arg(long, value_name = "N", default_value_t = CALIBRATION_IMAGES,
          value_parser = crate::args::positive)]
    images: usize,
    /// What the plan is to be good at
    #[arg(long, value_enum, default_value_t = Goal::Latency)]
    objective: Goal,
    /// log2 of the ring's degree [default: the fastest]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(13..=16))]
    log_degree: Option<u32>,
    /// Costs of operations, as `hushwire plan costs` writes them [default: built in]
    #[arg(long, value_name = "FILE")]
    costs: Option<PathBuf>,
    /// Most memory of a batch's encrypted values, in 2^20 bytes
    #[arg(long, value_name = "MIB", default_value_t = Settings::default().memory >> 20)]
    memory_mib: u64,
    /// Where to write the plan
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    json: JsonArg,
}

/// What a plan is good at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Goal {
    /// One image, soon
    Latency,
    /// Many images at once
    Throughput,
}

#[derive(Serialize)]
struct Report {
    model: String,
    images: String,
    costs: String,
    parameters: Parameters,
    modulus_bits: u32,
    layers: Vec<Line>,
    operations: Counts,
    /// Images of a run.
    batch: usize,
    predicted_seconds: f64,
    predicted_seconds_per_image: f64,
    precision_bits: f64,
    keys: usize,
    key_memory_bytes: u64,
    value_memory_bytes: u64,
    output: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let network = Network::load(&args.model)?;
    let graph = &network.model.graph;
    let (images, origin) = match &args.data {
        Some(source) => {
            let preprocess = images::preprocess(graph, &network.path)?;
            images::calibration(graph, &preprocess, source, args.images)?
        }
        None => images::synthetic(graph)?,
    };
    let costs = costs(args.costs.as_deref())?;
    let machine = costs.machine.clone();
    let settings = Settings {
        objective: match args.objective {
            Goal::Latency => Objective::Latency,
            Goal::Throughput => Objective::Throughput,
        },
        costs,
        memory: args.memory_mib << 20,
        log_degree: args.log_degree,
    };
    let sites =
        args.gates.as_ref().map(|path| Ok::<_, anyhow::Error>(network.read_plan(path)?.sites));
    let sites = sites.transpose()?.unwrap_or_default();
    let (normal, planned) = find_plan(&network, &sites, &images, &settings, args.json.json)?;
    if let Some(path) = &args.output {
        files::write_text(path, &planned.plan.to_text())?;
    }
    let interface = Interface::of(&planned.program, &planned.plan);
    let parameters = interface.check()?;
    let spec = &planned.plan.parameters;
    let report = Report {
        model: network.path.display().to_string(),
        images: origin,
        costs: machine,
        modulus_bits: spec.data_bits.iter().chain(spec.special_bits.first()).sum(),
        parameters: spec.clone(),
        layers: planned.lines(&normal),
        operations: planned.program.counts(),
        batch: interface.batch(),
        predicted_seconds: planned.seconds,
        predicted_seconds_per_image: planned.seconds_per_image(),
        precision_bits: planned.precision,
        keys: interface.needs.count(),
        key_memory_bytes: interface.needs.memory(&parameters) as u64,
        value_memory_bytes: planned.program.memory(),
        output: args.output.as_ref().map(|path| path.display().to_string()),
    };
    output::report(&report, args.json.json, human)
}

fn human(report: &Report) -> String {
    let mut text = format!("{}, ranges from {}\n", report.model, report.images);
    let Parameters { log_degree, data_bits, .. } = &report.parameters;
    let _ = writeln!(
        text,
        "ring degree 2^{log_degree}, {} primes for data, modulus of {} bits; values keep {:.1} bits\n",
        data_bits.len(),
        report.modulus_bits,
        report.precision_bits
    );
    let heads =
        ["value", "ciphertexts", "level", "rotations", "products", "plain", "rescalings", "sums"];
    let mut table = Table::new(&heads);
    let cells = |c: &Counts| {
        [c.rotations, c.products, c.plain_products, c.rescalings, c.additions].map(grouped)
    };
    for line in &report.layers {
        let start = [line.value.clone(), line.ciphertexts.to_string(), line.level.to_string()];
        table.row(start.into_iter().chain(cells(&line.counts)));
    }
    let total = ["all".to_owned(), String::new(), String::new()];
    table.row(total.into_iter().chain(cells(&report.operations)));
    let _ = writeln!(text, "{table}");
    let mut layouts = Table::new(&["value", "layout"]);
    for line in &report.layers {
        layouts.row([line.value.clone(), line.layout.clone()]);
    }
    let _ = writeln!(text, "{layouts}");
    let _ = writeln!(
        text,
        "predicted: {} for a run of {} images on one thread (costs: {})",
        output::seconds(report.predicted_seconds),
        grouped(report.batch as u64),
        report.costs
    );
    let _ = writeln!(
        text,
        "{} keys that take {} of memory, encrypted values {}",
        report.keys,
        bytes(report.key_memory_bytes),
        bytes(report.value_memory_bytes)
    );
    let _ = match &report.output {
        Some(path) => write!(text, "wrote {path}"),
        None => write!(text, "nothing was written; give --output FILE to keep the plan"),
    };
    text
}
