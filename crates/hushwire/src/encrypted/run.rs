//! `hushwire run --executor he`

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::{Encrypted, Usage};
use crate::answer::{self, Answer, Inputs};
use crate::network::Network;
use crate::{gated, images, output, progress};

#[derive(Serialize)]
struct Report {
    model: String,
    layouts: String,
    outputs: Vec<Answer>,
    #[serde(flatten)]
    usage: Usage,
}

/// Runs a network on images.
pub fn run(
    network: &Network,
    plan: Option<&Path>,
    files: &[PathBuf],
    folder: Option<&Path>,
    json: bool,
) -> Result<()> {
    let graph = &network.model.graph;
    let preprocess = images::preprocess(graph, &network.path)?;
    let inputs = Inputs::load(graph, files, preprocess)?;
    let on_inputs = || {
        let origin = "the given images themselves".to_owned();
        Ok((images::batch(graph, inputs.values.clone()), origin))
    };
    let encrypted = Encrypted::new(network, plan, json, on_inputs)?;
    let samples: Vec<&[f32]> = inputs.values.iter().map(Vec::as_slice).collect();
    let bar = progress::bar(json, Some(samples.len()), "running");
    let (logits, usage) = encrypted.with_session(|session, usage| {
        let mut logits = Vec::new();
        for part in samples.chunks(session.batch()) {
            logits.extend(session.infer(part, usage)?);
            bar.inc(part.len() as u64);
        }
        Ok(logits)
    })?;
    bar.finish_and_clear();
    if let Some(gated) = encrypted.gated(network) {
        gated.run(&images::batch(graph, inputs.values.clone()))?;
        gated::warn_outside(gated.outside());
    }
    let report = Report {
        model: network.path.display().to_string(),
        layouts: encrypted.origin,
        outputs: inputs.answers(graph, &logits, folder)?,
        usage,
    };
    output::report(&report, json, |report| {
        let (outputs, usage) = (answer::table(&report.outputs), report.usage.text());
        format!("{outputs}\n{usage}\nlayouts: {}", report.layouts)
    })
}
