//! What calibration images say about a network's smooth activations.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hushwire_graph::{Executor, Model, NodeId, Op, Tensor};
use hushwire_plan::float::{GateHooks, Observed};
use hushwire_plan::{Gate, Plan, SiteKind, architecture_hash};
use hushwire_smooth::{Density, Format, Function, Histogram, Method, Target, fit};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bins of histograms, and where they are: between minus and plus this.
const BINS: usize = 4096;
const REACH: f64 = 16.0;

/// Share of the density that is spread evenly, so that inputs that calibration did not see matter.
const FLOOR: f64 = 2e-3;

/// Cells that ranges are cut into at most.
const CELLS: usize = 160;

/// Error of the tails beyond the range that is fitted.
const TAIL: f64 = 1e-3;

/// A smooth activation.
pub struct Layer {
    /// Its node, and the node's name.
    pub node: NodeId,
    pub name: String,
    /// What it computes.
    pub function: Function,
    /// Elements of one image.
    pub elements: u64,
}

/// The smooth activations of a network.
pub fn layers(model: &Model) -> Vec<Layer> {
    let of = |node: NodeId| {
        let Op::Activation(activation) = &model.graph.node(node).op else { return None };
        let (name, shape) = (&model.graph.node(node).name, &model.graph.node(node).shape);
        let function = Function::of(activation)?;
        Some(Layer { node, name: name.clone(), function, elements: shape.len() as u64 })
    };
    model.graph.activation_sites().into_iter().filter_map(of).collect()
}

/// What was seen of a layer.
#[derive(Clone, Serialize, Deserialize)]
pub struct Seen {
    counts: Vec<u64>,
    /// Largest magnitudes of inputs and outputs.
    pub input: f64,
    pub output: f64,
    /// Mean square of the logits' errors over the layer's expected square error; nothing yet if it has
    /// not been measured.
    pub sensitivity: Option<f64>,
}

impl Seen {
    /// What was seen of several layers, as if they were one.
    pub fn together<'a>(layers: impl Iterator<Item = &'a Seen>) -> Seen {
        let mut all = Seen { counts: vec![0; BINS], input: 0.0, output: 0.0, sensitivity: None };
        for seen in layers {
            all.counts.iter_mut().zip(&seen.counts).for_each(|(sum, count)| *sum += count);
            all.input = all.input.max(seen.input);
            all.output = all.output.max(seen.output);
        }
        all
    }

    /// What is to be fitted: the function where it is not yet its tails, under what was seen.
    pub fn target(&self, function: Function) -> Result<Target> {
        let histogram = Histogram::from_counts(-REACH, REACH, &self.counts, FLOOR)?;
        let edge = |side: usize, sign: f64| {
            let Some([constant, slope]) = function.tails()[side] else { return sign * self.input };
            let off = |x: f64| (function.eval(x) - constant - slope * x).abs();
            let steps = (1..(REACH * 8.0) as usize).rev().map(|i| sign * i as f64 / 8.0);
            steps.take_while(|x| off(*x) <= TAIL).last().unwrap_or(sign * REACH)
        };
        let range = [edge(0, -1.0), edge(1, 1.0)];
        Ok(Target::with_cells(function, range, &Density::Histogram(histogram), CELLS)?)
    }
}

/// A file that keeps measurements, so that they can be gone on with.
#[derive(Serialize, Deserialize)]
struct Saved {
    /// Hash of all that decides about the measurements.
    of: String,
    layers: Vec<Seen>,
}

/// Measures the layers on calibration images, or goes on with what is in the file beside the plan.
pub fn measure(
    model: &Model,
    layers: &[Layer],
    images: &[Tensor],
    origin: &str,
    output: &Path,
    bar: &ProgressBar,
) -> Result<Vec<Seen>> {
    let path = beside(output);
    let of = fingerprint(model, origin);
    let mut seen = match read(&path)? {
        Some(saved) if saved.of == of && saved.layers.len() == layers.len() => saved.layers,
        _ => histograms(model, layers, images)?,
    };
    bar.set_length(layers.len() as u64);
    let executor = Executor::new(model);
    let run = |plan: &Plan, batch: &Tensor| -> Result<Tensor> {
        let mut ignore = |_: Observed<'_>| {};
        Ok(executor.run_with(batch, &mut GateHooks::new(&model.graph, plan, &mut ignore))?)
    };
    let exact = Plan::exact(&model.graph);
    // A part of the images is enough for a mean over all logits.
    let some = &images[..images.len().div_ceil(4)];
    let logits: Vec<Tensor> = some.iter().map(|b| run(&exact, b)).collect::<Result<_>>()?;
    for (i, layer) in layers.iter().enumerate() {
        if seen[i].sensitivity.is_none() {
            let target = seen[i].target(layer.function)?;
            let (function, score) = fit(&target, Method::OursMean, 5, 1, Format::FINE)?.remove(4);
            let mut plan = exact.clone();
            replace(&mut plan, &layer.name, Gate::Piecewise(function));
            let (mut sum, mut count) = (0.0, 0);
            for (batch, exact) in some.iter().zip(&logits) {
                let moved = run(&plan, batch)?;
                let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
                sum += moved.data.iter().zip(&exact.data).map(square).sum::<f64>();
                count += exact.data.len();
            }
            seen[i].sensitivity = Some(sum / count as f64 / score.squared.max(1e-30));
            let saved = Saved { of: of.clone(), layers: seen };
            write(&path, &serde_json::to_vec(&saved)?)?;
            seen = saved.layers;
        }
        bar.inc(1);
    }
    Ok(seen)
}

/// Puts a gate in the place of an activation.
pub fn replace(plan: &mut Plan, name: &str, gate: Gate) {
    let site = plan.sites.iter_mut().find(|s| s.kind == SiteKind::Activation && s.node == name);
    if let Some(site) = site {
        site.gate = gate;
    }
}

fn histograms(model: &Model, layers: &[Layer], images: &[Tensor]) -> Result<Vec<Seen>> {
    let mut seen = vec![Seen::together(std::iter::empty()); layers.len()];
    let exact = Plan::exact(&model.graph);
    let executor = Executor::new(model);
    let mut broken = None;
    for batch in images {
        let mut observe = |observed: Observed<'_>| {
            let Observed::Value(node, value) = observed else { return };
            for (layer, seen) in layers.iter().zip(&mut seen) {
                if model.graph.node(layer.node).inputs[0] == node {
                    for x in value.data.iter().map(|x| f64::from(*x)) {
                        if !x.is_finite() {
                            broken.get_or_insert_with(|| layer.name.clone());
                            continue;
                        }
                        seen.input = seen.input.max(x.abs());
                        seen.output = seen.output.max(layer.function.eval(x).abs());
                        let bin = ((x + REACH) / (2.0 * REACH) * BINS as f64).floor();
                        if (0.0..BINS as f64).contains(&bin) {
                            seen.counts[bin as usize] += 1;
                        }
                    }
                }
            }
        };
        executor.run_with(batch, &mut GateHooks::new(&model.graph, &exact, &mut observe))?;
    }
    match broken {
        Some(name) => bail!("{name}: the calibration images give a value that is not finite"),
        None => Ok(seen),
    }
}

fn fingerprint(model: &Model, origin: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(architecture_hash(&model.graph));
    for (i, _) in model.graph.params.iter().enumerate() {
        for value in &model.params[hushwire_graph::ParamId(i)].data {
            hash.update(value.to_le_bytes());
        }
    }
    hash.update(origin);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where measurements for a plan are kept.
fn beside(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".measured");
    PathBuf::from(name)
}

fn read(path: &Path) -> Result<Option<Saved>> {
    match std::fs::read(path) {
        // Another version's file, or a damaged one, is measured again.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes beside the file and renames, so that the one that is there is whole.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    std::fs::write(&part, bytes)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
