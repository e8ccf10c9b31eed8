//! `hushwire demo`

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use hushwire_data::{Preprocess, argmax, open_image};
use hushwire_fixed::Settings;
use hushwire_graph::Executor as Float;
use hushwire_mpc::{Comparison, Job};
use serde::Serialize;

use crate::answer::{Answer, Inputs};
use crate::args::{ComparisonArgs, JsonArg};
use crate::demo_files::{DIGITS, NETWORK};
use crate::fixed::Fixed;
use crate::images;
use crate::local::{Parties, PrivateFolder, Task};
use crate::network::Network;
use crate::output::{self, bytes, seconds};
use crate::picture;
use crate::usage::Usage;

/// See private inference at work: ten drawn digits, a small network, three processes
///
/// The network and the digits are part of this program. Server and helper are processes of their
/// own; everything between them and this process, the client, goes over TLS.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    comparison: ComparisonArgs,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct Report {
    comparison: Comparison,
    outputs: Vec<Digit>,
    #[serde(flatten)]
    usage: Usage,
    wall_seconds: f64,
    /// The same images by float inference in the clear.
    clear_seconds: f64,
}

#[derive(Serialize)]
struct Digit {
    #[serde(flatten)]
    answer: Answer,
    /// Whether clear inference gives the same label, in floating point and in fixed point.
    equals_clear: bool,
    #[serde(skip)]
    picture: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let folder = PrivateFolder::new()?;
    let (model, files) = unpack(&folder)?;
    let network = Network::load(&model)?;
    let graph = &network.model.graph;
    let inputs = Inputs::load(graph, &files, Preprocess::for_graph(graph)?)?;
    let batch = images::batch(graph, inputs.values.clone());
    let calibration = || Ok((batch.clone(), "the digits themselves".to_owned()));
    let planned = network.plan(None, &Settings::default(), calibration)?;
    let job = Job::new(planned.program.clone(), DIGITS.len(), Comparison::Digits);
    let comparison = args.comparison.choose(&job)?;
    let task = Task {
        model: &model,
        plan: &planned.plan,
        comparison,
        line: args.comparison.forecast.link.emulated(),
        batch: DIGITS.len(),
    };
    let mut parties = Parties::start(folder, &task)?;
    let outcome = parties.infer(&batch.data)?;
    let wall_seconds = parties.seconds();

    let start = Instant::now();
    let float = Float::new(&network.model).run(&batch)?;
    let clear_seconds = start.elapsed().as_secs_f64();
    let (fixed, _) =
        Fixed::new(&planned.program, &network.model.params).run(DIGITS.len(), &batch.data);

    let answers = inputs.answers(graph, &outcome.logits, None)?;
    let len = graph.output_shape().len();
    let label = |logits: &[f32], i: usize| argmax(&logits[i * len..(i + 1) * len], len);
    let digit = |(i, answer): (usize, Answer)| {
        let own = label(&outcome.logits, i);
        let equals_clear = own == label(&float.data, i) && own == label(&fixed, i);
        let picture = picture::half_blocks(&open_image(&files[i])?);
        Ok(Digit { answer, equals_clear, picture })
    };
    let outputs: Result<Vec<Digit>> = answers.into_iter().enumerate().map(digit).collect();
    let outputs = outputs?;
    drop(parties);
    let mut usage = Usage::default();
    usage.add(&outcome);
    let report = Report { comparison, outputs, usage, wall_seconds, clear_seconds };
    output::report(&report, args.json.json, human)
}

/// Writes the network and the digits to files.
fn unpack(folder: &PrivateFolder) -> Result<(PathBuf, Vec<PathBuf>)> {
    let write = |name: String, contents: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, contents)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    };
    let model = write("demo.onnx".to_owned(), NETWORK)?;
    let digits = DIGITS.iter().enumerate();
    let files: Result<_> = digits.map(|(i, png)| write(format!("{i}.png"), png)).collect();
    Ok((model, files?))
}

fn human(report: &Report) -> String {
    const WIDTH: usize = 28;
    let block = |digit: &Digit| {
        let caption = match &digit.answer {
            Answer::Class { label, score, .. } => format!("private: {label}, score {score:.4}"),
            Answer::Map { .. } => String::new(),
        };
        let verdict = if digit.equals_clear { "equals clear" } else { "DIFFERS FROM CLEAR" };
        let mut lines = digit.picture.clone();
        lines.extend([caption, verdict.to_owned(), String::new()]);
        lines
    };
    let blocks: Vec<Vec<String>> = report.outputs.iter().map(block).collect();
    let mut text: String = blocks.chunks(2).map(|pair| picture::beside(pair, WIDTH)).collect();
    let (offline, online) = (&report.usage.offline, &report.usage.online);
    let equal = report.outputs.iter().filter(|digit| digit.equals_clear).count();
    let _ = writeln!(
        text,
        "{equal} of {} private labels equal those of clear inference.\n\n\
         setup    {}, {}: once per session\n\
         offline  {}, {}: before the images exist\n\
         online   {}, {}, {} round trips, comparison by {}\n\
         clear    {} for the same {} images in floating point",
        report.outputs.len(),
        seconds(report.usage.setup.seconds),
        bytes(report.usage.setup.bytes.total),
        seconds(offline.seconds),
        bytes(offline.bytes.total),
        seconds(online.seconds),
        bytes(online.bytes.total),
        online.rounds,
        report.comparison,
        seconds(report.clear_seconds),
        report.outputs.len(),
    );
    text
}
