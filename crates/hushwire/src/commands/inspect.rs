//! `hushwire inspect`

use std::collections::HashSet;
use std::fmt::Write;

use anyhow::Result;
use clap::ValueEnum;
use hushwire_data::Source;
use hushwire_fixed::program::Op;
use hushwire_fixed::{Program, Settings};
use hushwire_graph::Graph;
use hushwire_mpc::cost::{Message, Prediction};
use hushwire_mpc::{Comparison, Job};
use hushwire_net::{Phase, Role};
use hushwire_plan::architecture_hash;
use hushwire_profile::Hosts;
use serde::Serialize;

use crate::args::{Choice, ComparisonArgs, JsonArg, Link, NetworkArgs, positive};
use crate::forecast::Forecast;
use crate::images::{self, CALIBRATION_IMAGES};
use crate::network::{Network, Planned};
use crate::output::{self, Table, bytes, grouped};

/// Show a network's layers and predict what running it privately sends and how long it takes
///
/// Predicted bytes and round trips are exact: they are what the parties' meters show. Predicted times
/// are those of the machine that the profile describes.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// Images to calibrate on without a plan: mnist:DIR, cifar10:DIR, imagenet:DIR, voc:DIR or oscillator:SEED.
    /// Without them random pixels are taken: bytes then differ a little from the real network's,
    /// as number formats do
    #[arg(long, value_name = "KIND:DIR", conflicts_with = "plan")]
    data: Option<Source>,
    /// Images that are processed together
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    batch: usize,
    #[command(flatten)]
    comparison: ComparisonArgs,
    /// Whether the parties share one machine like the profile's or have one each
    /// [default: one on the loopback interface, three on a line]
    #[arg(long, value_enum)]
    machines: Option<Machines>,
    #[command(flatten)]
    json: JsonArg,
}

/// Where the parties run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Machines {
    /// All on one machine, as `hushwire run` has them
    One,
    /// Each on one of its own
    Three,
}

#[derive(Serialize)]
struct Report {
    model: String,
    architecture: String,
    /// The hash by which a client names the network it wants; only a plan given makes one.
    network: Option<String>,
    input: Vec<usize>,
    output: Vec<usize>,
    parameters: usize,
    formats: String,
    ring: u32,
    batch: usize,
    comparison: Comparison,
    layers: Vec<Layer>,
    multiplications: u64,
    decisions: u64,
    rounds: usize,
    upload_bytes: u64,
    offline: Routes,
    online: Routes,
    offline_seconds: f64,
    online_seconds: f64,
    /// Of both phases.
    predicted_seconds: f64,
    /// What the times are predicted for.
    #[serde(skip)]
    predicted_for: String,
}

/// One graph node, for the whole batch.
#[derive(Serialize)]
struct Layer {
    name: String,
    operator: String,
    shape: Vec<usize>,
    multiplications: u64,
    decisions: u64,
    offline_bytes: u64,
    online_bytes: u64,
    rounds: usize,
}

#[derive(Serialize)]
struct Routes {
    p0_p1: u64,
    p1_p0: u64,
    p2_p0: u64,
    p2_p1: u64,
    total: u64,
}

impl Routes {
    fn new(prediction: &Prediction, phase: Phase) -> Routes {
        let route = |from, to| prediction.bytes(phase, from, to);
        Routes {
            p0_p1: route(Role::Client, Role::Server),
            p1_p0: route(Role::Server, Role::Client),
            p2_p0: route(Role::Helper, Role::Client),
            p2_p1: route(Role::Helper, Role::Server),
            total: prediction.total(phase),
        }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let network = Network::load(&args.network.model)?;
    let graph = &network.model.graph;
    let calibration = || match &args.data {
        None => images::synthetic(graph),
        Some(source) => {
            let preprocess = images::preprocess(graph, &network.path)?;
            images::calibration(graph, &preprocess, source, CALIBRATION_IMAGES)
        }
    };
    let Planned { plan, program, origin } =
        network.plan(args.network.plan.as_deref(), &Settings::default(), calibration)?;
    let network_hash = match &args.network.plan {
        Some(_) => Some(hushwire_party::Network::new(graph, &plan)?.hash().to_string()),
        None => None,
    };
    let hosts = match (args.machines, args.comparison.forecast.link) {
        (Some(Machines::One), _) | (None, Link::Loopback) => Hosts::One,
        (Some(Machines::Three), _) | (None, Link::Line(_)) => Hosts::Three,
    };
    let forecast = Forecast::new(&args.comparison.forecast, hosts)?;
    let mut job = Job::new(program, args.batch, Comparison::Digits);
    job.comparison = match args.comparison.comparison {
        Choice::Auto => forecast.faster(&job),
        Choice::Dcf => Comparison::Dcf,
        Choice::Digits => Comparison::Digits,
    };
    let times = forecast.times(&job);
    let prediction = Prediction::new(&job);
    let layers = layers(graph, &job, &prediction);
    let sum = |of: fn(&Layer) -> u64| layers.iter().map(of).sum();
    let report = Report {
        model: network.path.display().to_string(),
        architecture: architecture_hash(graph),
        network: network_hash,
        input: graph.input_shape().0.clone(),
        output: graph.output_shape().0.clone(),
        parameters: graph.params.iter().map(|p| p.dims.iter().product::<usize>()).sum(),
        formats: origin,
        ring: job.program.ring,
        batch: job.batch,
        comparison: job.comparison,
        multiplications: sum(|layer| layer.multiplications),
        decisions: sum(|layer| layer.decisions),
        rounds: prediction.rounds,
        upload_bytes: prediction.upload_bytes,
        offline: Routes::new(&prediction, Phase::Offline),
        online: Routes::new(&prediction, Phase::Online),
        offline_seconds: times.offline,
        online_seconds: times.online,
        predicted_seconds: times.total(),
        predicted_for: format!(
            "{} ({}), {}",
            match hosts {
                Hosts::One => "three processes on one machine",
                Hosts::Three => "three machines",
            },
            forecast.processor(),
            args.comparison.forecast.link
        ),
        layers,
    };
    output::report(&report, args.json.json, human)
}

fn layers(graph: &Graph, job: &Job, prediction: &Prediction) -> Vec<Layer> {
    let program: &Program = &job.program;
    let batch = job.batch as u64;
    let layer = |node: &hushwire_graph::Node| {
        let of_node = |op: usize| program.values[op].name == node.name;
        let sum = |phase| -> u64 {
            let messages = prediction.phase(phase).iter();
            messages.filter(|m| of_node(m.op)).map(Message::framed).sum()
        };
        let own = (0..program.ops.len()).filter(|op| of_node(*op));
        let decisions = own.map(|op| program.decisions_of(op));
        // The server speaks once in every round trip; the result's is the input's as well.
        let spoken = |m: &&Message| m.from == Role::Server && of_node(m.op);
        Layer {
            name: node.name.clone(),
            operator: node.op.kind().to_owned(),
            shape: node.shape.0.clone(),
            multiplications: node.macs(graph) * batch,
            decisions: decisions.sum::<usize>() as u64 * batch,
            offline_bytes: sum(Phase::Offline),
            online_bytes: sum(Phase::Online),
            // All parts of a gate travel together.
            rounds: prediction
                .online
                .iter()
                .filter(spoken)
                .map(|m| m.step)
                .collect::<HashSet<_>>()
                .len(),
        }
    };
    debug_assert!(matches!(program.ops.last(), Some(Op::Open { .. })));
    graph.nodes.iter().map(layer).collect()
}

fn human(report: &Report) -> String {
    let dims =
        |shape: &[usize]| shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
    let mut table = Table::new(&[
        "layer",
        "operator",
        "shape",
        "products",
        "decisions",
        "offline",
        "online",
        "rounds",
    ]);
    let blank = |n: u64| if n == 0 { String::new() } else { grouped(n) };
    let amount = |n: u64| if n == 0 { String::new() } else { bytes(n) };
    for layer in &report.layers {
        table.row([
            layer.name.clone(),
            layer.operator.clone(),
            dims(&layer.shape),
            blank(layer.multiplications),
            blank(layer.decisions),
            amount(layer.offline_bytes),
            amount(layer.online_bytes),
            blank(layer.rounds as u64),
        ]);
    }
    table.row([
        "total".to_owned(),
        String::new(),
        String::new(),
        grouped(report.multiplications),
        grouped(report.decisions),
        bytes(report.offline.total),
        bytes(report.online.total),
        report.rounds.to_string(),
    ]);
    let mut text = format!("{table}\n");
    let mut routes = Table::new(&[
        "bytes",
        "client to server",
        "server to client",
        "helper to client",
        "helper to server",
        "total",
    ]);
    for (phase, r) in [("offline", &report.offline), ("online", &report.online)] {
        let numbers = [r.p0_p1, r.p1_p0, r.p2_p0, r.p2_p1, r.total].map(grouped);
        routes.row(std::iter::once(phase.to_owned()).chain(numbers));
    }
    let _ = writeln!(text, "{routes}");
    let _ = writeln!(
        text,
        "{}: {} to {}, {} parameters, ring of {} bits, batch of {}, comparison by {}",
        report.model,
        dims(&report.input),
        dims(&report.output),
        grouped(report.parameters as u64),
        report.ring,
        report.batch,
        report.comparison,
    );
    if let Some(network) = &report.network {
        let _ = writeln!(text, "network, as clients may demand it: {network}");
    }
    let _ = writeln!(text, "number formats: {}", report.formats);
    let _ = writeln!(
        text,
        "masked weights, server to helper, once per model: {}",
        bytes(report.upload_bytes)
    );
    let seconds = output::seconds;
    let _ = write!(
        text,
        "predicted: {} offline, {} online; {}",
        seconds(report.offline_seconds),
        seconds(report.online_seconds),
        report.predicted_for
    );
    text
}
