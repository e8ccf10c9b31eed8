//! A network to measure: its file, its plan, what is predicted of it.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result};
use hushwire_fixed::program::Op;
use hushwire_fixed::{Program, Settings};
use hushwire_graph::Model;
use hushwire_mpc::{Comparison, Job};
use hushwire_plan::Plan;

use super::trial::{Phase, Task};
use crate::args::Line;
use crate::images;
use crate::network::Network;

/// A network of the command line: an ONNX file and, after a comma, its plan.
#[derive(Clone, Debug)]
pub(super) struct ModelArg {
    model: PathBuf,
    plan: Option<PathBuf>,
}

impl FromStr for ModelArg {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<ModelArg, Self::Err> {
        Ok(match text.split_once(',') {
            Some((model, plan)) => ModelArg { model: model.into(), plan: Some(plan.into()) },
            None => ModelArg { model: text.into(), plan: None },
        })
    }
}

impl ModelArg {
    /// What metrics of the network begin with: the file's name, without what is special in names.
    pub fn name(&self) -> String {
        let stem = self.model.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
    }
}

/// A network with a calibrated plan, both in files.
pub(super) struct Subject {
    model: PathBuf,
    plan: PathBuf,
    program: Arc<Program>,
}

impl Subject {
    /// A network made for measuring. Its files go to `folder`.
    pub fn made(folder: &Path, name: &str, model: &Model) -> Result<Subject> {
        Subject::from_bytes(folder, name, &model.to_onnx())
    }

    /// A network made for measuring, with gates for its activations.
    pub fn planned(
        folder: &Path,
        name: &str,
        model: &Model,
        gates: &Plan,
        settings: &Settings,
    ) -> Result<Subject> {
        let plan = folder.join(format!("{name}.gates.toml"));
        write(&plan, gates.to_text().as_bytes())?;
        let file = folder.join(format!("{name}.onnx"));
        write(&file, &model.to_onnx())?;
        Subject::calibrated(folder, name, &ModelArg { model: file, plan: Some(plan) }, settings)
    }

    /// A network from the bytes of an ONNX file.
    pub fn from_bytes(folder: &Path, name: &str, onnx: &[u8]) -> Result<Subject> {
        let model = folder.join(format!("{name}.onnx"));
        write(&model, onnx)?;
        Subject::load(folder, name, &ModelArg { model, plan: None })
    }

    /// A network of the command line, calibrated on random images if it has no plan.
    pub fn load(folder: &Path, name: &str, arg: &ModelArg) -> Result<Subject> {
        Subject::calibrated(folder, name, arg, &Settings::default())
    }

    fn calibrated(
        folder: &Path,
        name: &str,
        arg: &ModelArg,
        settings: &Settings,
    ) -> Result<Subject> {
        let network = Network::load(&arg.model)?;
        let calibration = || images::synthetic(&network.model.graph);
        let planned = network.plan(arg.plan.as_deref(), settings, calibration)?;
        let plan = folder.join(format!("{name}.toml"));
        write(&plan, planned.plan.to_text().as_bytes())?;
        Ok(Subject { model: network.path, plan, program: planned.program })
    }

    /// Running it once.
    pub fn task(&self, comparison: Comparison, line: Option<Line>) -> Task {
        let (model, plan) = (self.model.clone(), self.plan.clone());
        Task { model, plan, comparison, line }
    }

    /// One inference.
    pub fn job(&self, comparison: Comparison) -> Job {
        Job::new(Arc::clone(&self.program), 1, comparison)
    }

    /// What all parties execute.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Bytes of the gates in a phase.
    pub fn gate_bytes(&self, phase: &Phase) -> f64 {
        let is_gate = |op: usize| matches!(self.program.ops[op], Op::Gate(_) | Op::Curve(_));
        let of_gates = phase.of_ops.iter().filter(|(op, _)| is_gate(*op));
        of_gates.map(|(_, bytes)| *bytes as f64).sum()
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
