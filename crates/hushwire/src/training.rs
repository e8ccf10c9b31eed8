//! Training runs: flags, progress, checkpoints, results.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ArgAction;
use hushwire_data::{Source, Split};
use hushwire_graph::Model;
use hushwire_plan::Plan;
use hushwire_train::{Images, Net, Origin, Pass, Recipe, Row, Trainer, accuracy};
use serde::Serialize;

use crate::args::positive;
use crate::files::{self, beside};
use crate::{output, progress};

/// How a network is trained.
#[derive(clap::Args)]
pub struct RecipeArgs {
    /// Passes over the training images
    #[arg(long, value_name = "N", value_parser = positive)]
    epochs: Option<usize>,
    /// Images per step
    #[arg(long, value_name = "N", value_parser = positive)]
    batch: Option<usize>,
    /// Greatest learning rate; it follows a cosine to zero
    #[arg(long, value_name = "X")]
    rate: Option<f64>,
    /// Epochs over which the rate grows from zero first
    #[arg(long, value_name = "X")]
    warmup: Option<f64>,
    /// Share of the velocity that stays from step to step
    #[arg(long, value_name = "X")]
    momentum: Option<f32>,
    /// Weight decay
    #[arg(long, value_name = "X")]
    decay: Option<f32>,
    /// Longest gradient, longer ones are cut; 0 cuts none
    #[arg(long, value_name = "X")]
    clip: Option<f32>,
    /// Move training images by up to this many pixels
    #[arg(long, value_name = "PIXELS")]
    shift: Option<usize>,
    /// Mirror half of the training images
    #[arg(long, value_name = "BOOL", action = ArgAction::Set)]
    flip: Option<bool>,
    /// Turn, stretch and slant training images, at 1 as strongly as handwriting varies
    #[arg(long, value_name = "X")]
    distort: Option<f32>,
    /// Mix each image with another, the share drawn from Beta(X, X)
    #[arg(long, value_name = "X")]
    mixup: Option<f32>,
    /// Share of the labels that is spread over all classes
    #[arg(long, value_name = "X")]
    smoothing: Option<f32>,
    /// Share of the loss that compares with the original network, not with the labels
    #[arg(long, value_name = "X")]
    distill: Option<f32>,
    /// Divides logits before they are compared with the original network's
    #[arg(long, value_name = "X")]
    temperature: Option<f32>,
    /// Determines the order of the images, their changes, and random weights
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl RecipeArgs {
    /// The recipe with what the flags say instead.
    pub fn apply(&self, recipe: Recipe) -> Recipe {
        fn set<T: Copy>(to: &mut T, from: Option<T>) {
            if let Some(value) = from {
                *to = value;
            }
        }
        let mut recipe = recipe;
        set(&mut recipe.epochs, self.epochs);
        set(&mut recipe.batch, self.batch);
        set(&mut recipe.seed, self.seed);
        set(&mut recipe.descent.rate, self.rate);
        set(&mut recipe.descent.warmup, self.warmup);
        set(&mut recipe.descent.momentum, self.momentum);
        set(&mut recipe.descent.decay, self.decay);
        set(&mut recipe.descent.clip, self.clip);
        set(&mut recipe.augmentation.shift, self.shift);
        set(&mut recipe.augmentation.flip, self.flip);
        set(&mut recipe.augmentation.distort, self.distort);
        set(&mut recipe.mixup, self.mixup);
        set(&mut recipe.smoothing, self.smoothing);
        set(&mut recipe.distillation.share, self.distill);
        set(&mut recipe.distillation.temperature, self.temperature);
        recipe
    }
}

/// What a run looks at and leaves behind.
#[derive(clap::Args)]
pub struct RunArgs {
    /// Use the first N training images [default: all]
    #[arg(long, value_name = "N", value_parser = positive)]
    images: Option<usize>,
    /// Measure on the first N test images [default: all]
    #[arg(long, value_name = "N", value_parser = positive)]
    test_images: Option<usize>,
    /// Where the state is kept while the run lasts [default: OUTPUT.checkpoint]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Seconds between checkpoints
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    checkpoint_every: u64,
    /// Where the loss curve is written [default: OUTPUT.csv]
    #[arg(long, value_name = "FILE")]
    curve: Option<PathBuf>,
}

/// Makes a network, given the training images.
pub type Prepare<'a> = Box<dyn FnOnce(&Images) -> Result<Net> + 'a>;

/// What to train, and how.
pub struct Run<'a> {
    /// What the report calls it.
    pub name: String,
    /// The network it begins with.
    pub model: &'a Model,
    /// The plan its gates come from.
    pub plan: Option<&'a Plan>,
    /// Makes the network, given the training images.
    pub prepare: Prepare<'a>,
    /// The network to learn from.
    pub teacher: Option<Net>,
    /// How.
    pub recipe: Recipe,
    /// The data set.
    pub source: &'a Source,
    /// Where the result goes.
    pub output: &'a Path,
    /// Whether the network is worth measuring before the first step.
    pub measure_first: bool,
    /// What is made of the result and the test images in the end, if anything.
    pub finish: Option<Finish<'a>>,
    /// Further flags.
    pub args: &'a RunArgs,
    /// Whether to report as JSON.
    pub json: bool,
}

/// Makes something of a trained network and the test images.
pub type Finish<'a> = Box<dyn FnOnce(&Model, &Images) -> Result<Finished> + 'a>;

/// A plan for a trained network, and how it does under it.
#[derive(Serialize)]
pub struct Finished {
    /// The plan's file.
    pub plan: String,
    /// Accuracy on the test images under it.
    pub plan_accuracy: f64,
    /// Inputs outside the range of their composite polynomial, over all test images.
    pub outside_range: usize,
}

/// What came of it.
#[derive(Serialize)]
struct Report {
    network: String,
    data: String,
    output: String,
    curve: String,
    epochs: usize,
    steps: usize,
    images: usize,
    test_images: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy_before: Option<f64>,
    loss: f64,
    accuracy: f64,
    #[serde(flatten)]
    finished: Option<Finished>,
    seconds: f64,
}

/// Runs a training, from the beginning or from its checkpoint.
pub fn run(run: Run<'_>) -> Result<()> {
    let Run { model, source, output, args, json, .. } = run;
    let checkpoint = args.checkpoint.clone().unwrap_or_else(|| beside(output, ".checkpoint"));
    let curve = args.curve.clone().unwrap_or_else(|| beside(output, ".csv"));
    run.recipe.check()?;
    // Whether the result can be written shows before hours are spent on it.
    files::write(&curve, curve_text(&[]).as_bytes())?;

    let load = |split, limit| Images::load(source, split, limit, &model.graph);
    let images = load(Split::Train, args.images)?;
    let test = load(Split::Test, args.test_images)?;
    let before = run.measure_first.then(|| {
        let net = Net::new(model, run.plan)?;
        Ok::<_, anyhow::Error>(accuracy(&net, &test, &mut Pass::default()))
    });
    let before = before.transpose()?;

    let origin = Origin {
        network: files::hash(&model.to_onnx()),
        plan: run.plan.map(|plan| files::hash(plan.to_text().as_bytes())),
        data: source.dataset().to_string(),
    };
    let net = (run.prepare)(&images)?;
    let mut trainer = Trainer::new(net, run.teacher, &images, run.recipe, &origin)?;
    if checkpoint.exists() {
        trainer.resume(&checkpoint)?;
        let (done, all) = (trainer.step(), trainer.steps());
        output::note(format!("going on after step {done} of {all}, from {}", checkpoint.display()));
    }
    let keep = Keep { checkpoint: &checkpoint, curve: &curve, every: args.checkpoint_every };
    let accuracy = train(&mut trainer, &test, &keep, json)?;

    let result = trainer.net().to_model();
    files::write(output, &result.to_onnx())?;
    files::write(&curve, curve_text(trainer.curve()).as_bytes())?;
    let finished = run.finish.map(|finish| finish(&result, &test)).transpose()?;
    // The result is there; nothing is lost if the state stays.
    let _ = std::fs::remove_file(&checkpoint);
    let report = Report {
        network: run.name,
        data: source.to_string(),
        output: output.display().to_string(),
        curve: curve.display().to_string(),
        epochs: run.recipe.epochs,
        steps: trainer.steps(),
        images: images.len(),
        test_images: test.len(),
        accuracy_before: before,
        loss: trainer.recent().0,
        accuracy,
        finished,
        seconds: trainer.seconds(),
    };
    output::report(&report, json, human)
}

/// Where a run's state is kept.
struct Keep<'a> {
    checkpoint: &'a Path,
    curve: &'a Path,
    every: u64,
}

/// Takes the steps that are left; the accuracy in the end.
fn train(trainer: &mut Trainer<'_>, test: &Images, keep: &Keep<'_>, json: bool) -> Result<f64> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    ctrlc::set_handler(move || {
        if stopped.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .context("signals cannot be handled")?;
    let bar = progress::bar(json, Some(trainer.steps()), "training");
    bar.set_position(trainer.step() as u64);
    bar.reset_eta();
    let mut saved = Instant::now();
    let mut accuracy = trainer.curve().last().and_then(|row| row.test_accuracy);
    while trainer.step() < trainer.steps() {
        trainer.advance()?;
        bar.inc(1);
        let (loss, right) = trainer.recent();
        let tested = accuracy.map_or(String::new(), |a| format!(", test {:.2}%", 100.0 * a));
        bar.set_message(format!("loss {loss:.4}, {:.2}%{tested}", 100.0 * right));
        if trainer.step().is_multiple_of(trainer.steps_per_epoch()) {
            accuracy = Some(trainer.test(test));
            files::write(keep.curve, curve_text(trainer.curve()).as_bytes())?;
        }
        let interrupted = stop.load(Ordering::Relaxed);
        if interrupted || saved.elapsed() >= Duration::from_secs(keep.every) {
            trainer.save(keep.checkpoint)?;
            saved = Instant::now();
        }
        if interrupted {
            bail!(
                "interrupted after step {} of {}; the same command goes on from {}",
                trainer.step(),
                trainer.steps(),
                keep.checkpoint.display()
            );
        }
    }
    bar.finish_and_clear();
    Ok(accuracy.unwrap_or_else(|| trainer.test(test)))
}

/// The loss curve as comma-separated values.
fn curve_text(curve: &[Row]) -> String {
    let mut text = "step,epoch,rate,loss,accuracy,test_accuracy,seconds\n".to_owned();
    for row in curve {
        let test = row.test_accuracy.map_or(String::new(), |a| format!("{a:.4}"));
        let Row { step, epoch, rate, loss, accuracy, seconds, .. } = row;
        let _ = writeln!(
            text,
            "{step},{epoch:.2},{rate:.6},{loss:.6},{accuracy:.4},{test},{seconds:.1}"
        );
    }
    text
}

fn human(report: &Report) -> String {
    let percent = |share: f64| format!("{:.2}%", 100.0 * share);
    let mut text = format!("{}, {} images of {}\n", report.network, report.images, report.data);
    let gates = if report.finished.is_some() { " with the polynomials" } else { "" };
    if let Some(before) = report.accuracy_before {
        let _ = writeln!(text, "accuracy before{gates}: {}", percent(before));
    }
    let _ = writeln!(
        text,
        "accuracy{gates}: {} of {} test images, loss {:.4}",
        percent(report.accuracy),
        report.test_images,
        report.loss
    );
    if let Some(Finished { plan, plan_accuracy, outside_range }) = &report.finished {
        let _ = writeln!(
            text,
            "under the plan {plan}: {}, {outside_range} inputs out of range",
            percent(*plan_accuracy)
        );
    }
    let _ = writeln!(
        text,
        "{} epochs, {} steps, {}",
        report.epochs,
        report.steps,
        output::seconds(report.seconds)
    );
    match &report.finished {
        Some(Finished { plan, .. }) => {
            let _ = write!(text, "wrote {}, {plan} and {}", report.output, report.curve);
        }
        None => {
            let _ = write!(text, "wrote {} and {}", report.output, report.curve);
        }
    }
    text
}
