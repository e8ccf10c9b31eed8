//! `hushwire eval`

use std::fmt::Write;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;
use hushwire_data::{Agreement, Preprocess, Sample, Source, Split};
use hushwire_fixed::{Program, Settings};
use hushwire_graph::{Executor as Float, Tensor};
use rayon::prelude::*;
use serde::Serialize;

use crate::args::{ComparisonArgs, JsonArg, NetworkArgs, positive};
use crate::fixed::Fixed;
use crate::images::{self, CALIBRATION_IMAGES};
use crate::network::Network;
use crate::output;
use crate::progress;
use crate::score::Score;

/// Measure a network's accuracy on a data set
///
/// Classification networks are scored by top-1 accuracy, segmentation networks by mean
/// intersection over union. Labels are compared with those of float inference.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// The data set: mnist:DIR, cifar10:DIR, imagenet:DIR or voc:DIR; its test split is used
    #[arg(long, value_name = "KIND:DIR")]
    data: Source,
    /// How the network is run
    #[arg(long, value_enum, default_value_t = Executor::Fixed)]
    executor: Executor,
    /// Images to measure [default: all]
    #[arg(long, value_name = "N", value_parser = positive)]
    limit: Option<usize>,
    /// Images that are processed together [default: by the network's size]
    #[arg(long, value_name = "N", value_parser = positive)]
    batch: Option<usize>,
    #[command(flatten)]
    comparison: ComparisonArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// How a network is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Executor {
    /// Ordinary floating point
    Float,
    /// In the clear, in the fixed-point arithmetic of the private protocol
    Fixed,
    /// Privately, by three processes on this machine
    Mpc,
}

#[derive(Serialize)]
struct Report {
    model: String,
    data: String,
    executor: Executor,
    #[serde(skip_serializing_if = "Option::is_none")]
    formats: Option<String>,
    /// Accuracy, or mean intersection over union.
    accuracy: f64,
    #[serde(skip)]
    score: &'static str,
    n: usize,
    /// Share of labels equal to those of float inference.
    agreement: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement_fixed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    largest_difference_ulps: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overflows: Option<usize>,
    seconds: f64,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let network = Network::load(&args.network.model)?;
    let graph = &network.model.graph;
    let preprocess = images::preprocess(graph, &network.path)?;
    let calibration = || images::calibration(graph, &preprocess, &args.data, CALIBRATION_IMAGES);
    let planned = match args.executor {
        Executor::Float => None,
        _ => Some(network.plan(args.network.plan.as_deref(), &Settings::default(), calibration)?),
    };
    let samples = args.data.load(Split::Test, args.limit)?;
    let bar = progress::bar(args.json.json, samples.count_hint(), "measuring");
    let program = planned.as_ref().map(|p| &*p.program);
    let mut evaluation = Evaluation::new(&network, &preprocess, program, args);
    let mut samples = samples.peekable();
    while samples.peek().is_some() {
        let group: Result<Vec<Sample>, _> = samples.by_ref().take(evaluation.group).collect();
        let group = group?;
        evaluation.add(&group)?;
        bar.inc(group.len() as u64);
        bar.set_message(format!("{:.2}%", 100.0 * evaluation.score.value()));
    }
    bar.finish_and_clear();
    let report = evaluation.report(args, planned.as_ref().map(|p| p.origin.clone()))?;
    if let Some(count @ 1..) = report.overflows {
        output::note(format!(
            "warning: {count} values were larger than their number formats allow, so some results \
             are wrong; calibrate with more images or more --headroom"
        ));
    }
    output::report(&report, args.json.json, human)
}

struct Evaluation<'a> {
    network: &'a Network,
    preprocess: &'a Preprocess,
    float: Float<'a>,
    fixed: Option<Fixed<'a>>,
    batch: usize,
    /// Images between two looks at the score.
    group: usize,
    score: Score,
    agreement: Agreement,
    n: usize,
    overflows: usize,
    seconds: f64,
}

impl<'a> Evaluation<'a> {
    fn new(
        network: &'a Network,
        preprocess: &'a Preprocess,
        program: Option<&'a Program>,
        args: &Args,
    ) -> Evaluation<'a> {
        let batch = args.batch.unwrap_or_else(|| network.usual_batch());
        Evaluation {
            network,
            preprocess,
            float: Float::new(&network.model),
            fixed: program.map(|program| Fixed::new(program, &network.model.params)),
            batch,
            group: batch * rayon::current_num_threads(),
            score: Score::new(network, preprocess),
            agreement: Agreement::default(),
            n: 0,
            overflows: 0,
            seconds: 0.0,
        }
    }

    fn add(&mut self, samples: &[Sample]) -> Result<()> {
        let input = |sample| images::input_of(self.preprocess, sample);
        let inputs: Result<Vec<Vec<f32>>> = samples.par_iter().map(input).collect();
        let graph = &self.network.model.graph;
        let batches: Vec<Tensor> =
            inputs?.chunks(self.batch).map(|part| images::batch(graph, part.to_vec())).collect();

        let start = Instant::now();
        let float = || -> Result<Vec<f32>> {
            let run = |batch: &Tensor| Ok(self.float.run(batch)?.data);
            let logits: Result<Vec<Vec<f32>>> = batches.par_iter().map(run).collect();
            Ok(logits?.concat())
        };
        let (logits, reference) = match &self.fixed {
            None => {
                let logits = float()?;
                self.seconds += start.elapsed().as_secs_f64();
                (logits.clone(), logits)
            }
            Some(fixed) => {
                let run = |batch: &Tensor| fixed.run(batch.batch(), &batch.data);
                let (logits, overflows): (Vec<_>, Vec<_>) = batches.par_iter().map(run).unzip();
                self.seconds += start.elapsed().as_secs_f64();
                self.overflows += overflows.iter().sum::<usize>();
                (logits.concat(), float()?)
            }
        };
        let (classes, len) = (self.network.classes(), graph.output_shape().len());
        for ((sample, logits), reference) in
            samples.iter().zip(logits.chunks_exact(len)).zip(reference.chunks_exact(len))
        {
            self.score.add(logits, classes, sample)?;
            self.agreement.add(logits, reference, classes)?;
        }
        self.n += samples.len();
        Ok(())
    }

    fn report(&self, args: &Args, formats: Option<String>) -> Result<Report> {
        if self.n == 0 {
            bail!("{} has no images in its test split", args.data);
        }
        Ok(Report {
            model: self.network.path.display().to_string(),
            data: args.data.to_string(),
            executor: args.executor,
            formats,
            accuracy: self.score.value(),
            score: self.score.name(),
            n: self.n,
            agreement: self.agreement.value(),
            agreement_fixed: None,
            largest_difference_ulps: None,
            overflows: self.fixed.as_ref().map(|_| self.overflows),
            seconds: self.seconds,
        })
    }
}

fn human(report: &Report) -> String {
    let mut text = format!("{}, {} images of {}\n", report.model, report.n, report.data);
    let percent = |share: f64| format!("{:.2}%", 100.0 * share);
    if let Some(formats) = &report.formats {
        let _ = writeln!(text, "number formats: {formats}");
    }
    let _ = writeln!(text, "{}: {}", report.score, percent(report.accuracy));
    let _ = writeln!(text, "same label as float: {}", percent(report.agreement));
    let _ = write!(text, "time: {}", output::seconds(report.seconds));
    text
}
