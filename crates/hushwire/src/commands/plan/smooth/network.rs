//! Plans for networks with smooth activations.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use hushwire_data::{DataError, Sample, Source, Split};
use hushwire_fixed::Settings;
use hushwire_graph::Tensor;
use hushwire_mpc::cost::Prediction;
use hushwire_mpc::{Comparison, Job};
use hushwire_net::Phase;
use hushwire_profile::Hosts;
use hushwire_smooth::Method;
use serde::Serialize;

use super::Way;
use super::measure::{self, Layer};
use super::search::{Chosen, HeldBack, Loss, Search, groups};
use crate::args::{ForecastArgs, JsonArg, Link, positive};
use crate::files;
use crate::forecast::Forecast;
use crate::images;
use crate::network::{Network, Planned};
use crate::output::{self, Table, bytes, seconds};
use crate::progress;

/// How much more a plan may cost each time that fixed point loses more than floating point did, and
/// how often.
const MORE: f64 = 1.15;
const TIMES: usize = 6;

fn points(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(points) if (0.0..=100.0).contains(&points) => Ok(points),
        _ => Err("a number from 0 to 100 is needed".to_owned()),
    }
}

/// What a plan is for, and how it is found.
#[derive(clap::Args)]
pub struct NetworkArgs {
    /// The network, an ONNX file
    #[arg(required_unless_present = "fit_table")]
    model: Option<PathBuf>,
    /// Labelled images: mnist:DIR, cifar10:DIR, imagenet:DIR, voc:DIR or oscillator:SEED; of the
    /// training split where there is one
    #[arg(long, value_name = "KIND:DIR", required_unless_present = "fit_table")]
    data: Option<Source>,
    /// How functions are fitted
    #[arg(long, value_enum, default_value_t = Way(Method::Ours), conflicts_with = "fit_table")]
    method: Way,
    /// One function for all layers that compute the same, fitted to the inputs of all of them, in the
    /// place of one for each layer
    #[arg(long)]
    one_function: bool,
    /// Most points of accuracy to lose on held-back images, one standard error included
    #[arg(long, value_name = "POINTS", default_value_t = 0.1, value_parser = points)]
    max_loss: f64,
    /// Images to measure densities and sensitivities on
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = positive)]
    calibration: usize,
    /// Images that follow those, to measure losses on
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = positive)]
    held_back: usize,
    /// Where to write the plan; measurements are kept beside it
    #[arg(short, long, value_name = "FILE", required_unless_present = "fit_table")]
    output: Option<PathBuf>,
    #[command(flatten)]
    forecast: ForecastArgs,
}

#[derive(Serialize)]
struct Report {
    model: String,
    method: &'static str,
    one_function: bool,
    data: String,
    layers: Vec<Row>,
    /// Accuracy of the network as it is, on held-back images.
    accuracy: f64,
    held_back: usize,
    float_loss: Loss,
    fixed_loss: Loss,
    elements: u64,
    /// Of the gates alone, as the planner counts them.
    gate_bytes_per_element: f64,
    /// Of the whole inference, as the engine predicts it.
    offline_bytes: u64,
    online_bytes: u64,
    round_trips: usize,
    predicted_seconds: f64,
    #[serde(skip)]
    link: String,
    output: String,
}

#[derive(Serialize)]
struct Row {
    layer: String,
    function: &'static str,
    elements: u64,
    pieces: usize,
    degree: usize,
    input_bits: i32,
    accumulator_bits: i32,
    selectors: usize,
    bits_per_element: u64,
    expected_error: f64,
    largest_error: f64,
}

/// Finds and writes a plan.
pub fn run(args: &NetworkArgs, json: JsonArg) -> Result<()> {
    let (Some(path), Some(source), Some(output)) = (&args.model, &args.data, &args.output) else {
        bail!("a network, --data and --output are needed");
    };
    let network = Network::load(path)?;
    let model = &network.model;
    let preprocess = images::preprocess(&model.graph, &network.path)?;
    let layers = measure::layers(model);
    if layers.is_empty() {
        bail!("{} has no smooth activations to replace", path.display());
    }
    let (split, samples) = samples(source, args.calibration + args.held_back)?;
    if samples.len() <= args.calibration {
        bail!("{source} has {} images: none are left to hold back", samples.len());
    }
    let (calibration, held) = samples.split_at(args.calibration);
    let origin = format!("the first {} {split} images of {source}", args.calibration);
    let inputs = calibration.iter().map(|sample| images::input_of(&preprocess, sample));
    let inputs: Vec<Vec<f32>> = inputs.collect::<Result<_>>()?;
    let batch = network.usual_batch().max(4);
    let batches: Vec<Tensor> =
        inputs.chunks(batch).map(|part| images::batch(&model.graph, part.to_vec())).collect();

    let bar = |what| progress::bar(json.json, Some(0), what);
    let measuring = bar("layers measured");
    let seen = measure::measure(model, &layers, &batches, &origin, output, &measuring)?;
    measuring.finish_and_clear();
    let fitting = bar("layers fitted");
    let groups = groups(&layers, &seen, args.method.0, args.one_function, &fitting)?;
    fitting.finish_and_clear();
    let held = HeldBack::new(model, &preprocess, held, batch)?;
    let search = Search { layers: &layers, groups: &groups, seen: &seen, held: &held };
    let trying = bar("budgets tried");
    let mut chosen = search.cheapest(args.max_loss, &trying)?;
    trying.finish_and_clear();

    let images = images::batch(&model.graph, inputs);
    let mut tries = 0;
    let (planned, fixed_loss) = loop {
        let calibrated = (images.clone(), origin.clone());
        let planned =
            network.calibrate(Some(chosen.plan.clone()), &Settings::default(), calibrated)?;
        let loss = held.fixed_loss(&planned.program);
        tries += 1;
        if loss.points <= args.max_loss || tries > TIMES {
            break (planned, loss);
        }
        chosen = search.within((chosen.budget as f64 * MORE) as u64)?;
    };
    files::write_text(output, &planned.plan.to_text())?;
    if fixed_loss.points > args.max_loss {
        output::note(format!(
            "in fixed point the plan loses {:.3} points on held-back images, more than {}",
            fixed_loss.points, args.max_loss
        ));
    }
    let report = report(args, &network, &layers, &chosen, planned, &held, fixed_loss)?;
    output::report(&report, json.json, text)
}

/// Images of the training split, or of the test split where there is no other.
fn samples(source: &Source, count: usize) -> Result<(Split, Vec<Sample>)> {
    let (split, samples) = match source.load(Split::Train, Some(count)) {
        Ok(samples) => (Split::Train, samples),
        Err(DataError::NoSplit { .. } | DataError::Missing { .. }) => {
            (Split::Test, source.load(Split::Test, Some(count))?)
        }
        Err(error) => return Err(error.into()),
    };
    Ok((split, samples.collect::<Result<_, _>>()?))
}

fn report(
    args: &NetworkArgs,
    network: &Network,
    layers: &[Layer],
    chosen: &Chosen,
    planned: Planned,
    held: &HeldBack<'_>,
    fixed_loss: Loss,
) -> Result<Report> {
    let job = Job::new(planned.program, 1, Comparison::Digits);
    let prediction = Prediction::new(&job);
    let hosts = if args.forecast.link == Link::Loopback { Hosts::One } else { Hosts::Three };
    let times = Forecast::new(&args.forecast, hosts)?.times(&job);
    let rows = layers.iter().zip(&chosen.candidates).map(|(layer, candidate)| {
        let function = &candidate.function;
        let curve = function.quantise(2f64.powi(-function.input_bits));
        Row {
            layer: layer.name.clone(),
            function: layer.function.name(),
            elements: layer.elements,
            pieces: function.pieces.len(),
            degree: curve.degree(),
            input_bits: function.input_bits,
            accumulator_bits: function.accumulator_bits,
            selectors: curve.encode().selectors.len(),
            bits_per_element: candidate.bits,
            expected_error: candidate.score.expected,
            largest_error: candidate.score.max,
        }
    });
    let elements: u64 = layers.iter().map(|layer| layer.elements).sum();
    let costs = layers.iter().zip(&chosen.candidates);
    let bits: u64 = costs.map(|(layer, candidate)| layer.elements * candidate.bits).sum();
    let text = |path: &Option<PathBuf>| {
        path.as_ref().map_or_else(String::new, |path| path.display().to_string())
    };
    Ok(Report {
        model: network.path.display().to_string(),
        method: args.method.0.name(),
        one_function: args.one_function,
        data: args.data.as_ref().map_or_else(String::new, Source::to_string),
        layers: rows.collect(),
        accuracy: held.accuracy(),
        held_back: args.held_back,
        float_loss: chosen.loss,
        fixed_loss,
        elements,
        gate_bytes_per_element: bits as f64 / 8.0 / elements as f64,
        offline_bytes: prediction.total(Phase::Offline),
        online_bytes: prediction.total(Phase::Online),
        round_trips: prediction.rounds,
        predicted_seconds: times.total(),
        link: args.forecast.link.to_string(),
        output: text(&args.output),
    })
}

fn text(report: &Report) -> String {
    let heads = [
        "layer", "function", "elements", "pieces", "degree", "f, F", "bits", "expected", "largest",
    ];
    let mut table = Table::new(&heads);
    for row in &report.layers {
        table.row([
            row.layer.clone(),
            row.function.to_owned(),
            row.elements.to_string(),
            row.pieces.to_string(),
            row.degree.to_string(),
            format!("{}, {}", row.input_bits, row.accumulator_bits),
            row.bits_per_element.to_string(),
            format!("{:.1e}", row.expected_error),
            format!("{:.1e}", row.largest_error),
        ]);
    }
    let shared = if report.one_function { ", one function for all layers" } else { "" };
    let mut text = format!(
        "{}, method {}{}, {}\n\n{table}\n",
        report.model, report.method, shared, report.data
    );
    let _ = writeln!(
        text,
        "accuracy on {} held-back images: {:.2}%; lost {:.3} ± {:.3} points in floating point, {:.3} \
         ± {:.3} in fixed point",
        report.held_back,
        100.0 * report.accuracy,
        report.float_loss.points,
        report.float_loss.error,
        report.fixed_loss.points,
        report.fixed_loss.error
    );
    let _ = writeln!(
        text,
        "gates: {:.1} bytes for each of {} elements; the whole inference: {} offline, {} online, {} \
         round trips, {} predicted over {}",
        report.gate_bytes_per_element,
        report.elements,
        bytes(report.offline_bytes),
        bytes(report.online_bytes),
        report.round_trips,
        seconds(report.predicted_seconds),
        report.link
    );
    let _ = write!(text, "wrote {}", report.output);
    text
}
