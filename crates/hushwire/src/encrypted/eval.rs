//! `hushwire eval --executor he`

use std::path::Path;

use anyhow::{Result, bail};
use hushwire_data::{Agreement, Sample, Source, Split};
use hushwire_graph::Executor as Float;
use serde::Serialize;

use super::{Encrypted, Usage};
use crate::gated::{self, Gated};
use crate::images::{self, CALIBRATION_IMAGES};
use crate::network::Network;
use crate::score::Score;
use crate::{classes, output, progress};

#[derive(Serialize)]
struct Report {
    model: String,
    data: String,
    executor: &'static str,
    layouts: String,
    accuracy: f64,
    #[serde(skip)]
    measure: &'static str,
    n: usize,
    /// Share of labels equal to those of float inference.
    agreement: f64,
    /// Largest difference of a logit to it.
    largest_difference: f32,
    /// With the plan's gates in floating point, where it has any: the largest difference of a logit.
    #[serde(skip_serializing_if = "Option::is_none")]
    largest_difference_gates: Option<f32>,
    /// There, inputs outside the range of their composite polynomial.
    #[serde(skip_serializing_if = "Option::is_none")]
    outside_range: Option<usize>,
    #[serde(flatten)]
    usage: Usage,
}

/// Measures a network on a data set.
pub fn run(
    network: &Network,
    plan: Option<&Path>,
    data: &Source,
    limit: Option<usize>,
    json: bool,
) -> Result<()> {
    let graph = &network.model.graph;
    let preprocess = images::preprocess(graph, &network.path)?;
    let calibration = || images::calibration(graph, &preprocess, data, CALIBRATION_IMAGES);
    let encrypted = Encrypted::new(network, plan, json, calibration)?;
    let mut samples = data.load(Split::Test, limit)?.peekable();
    if samples.peek().is_none() {
        bail!("{data} has no images in its test split");
    }
    let float = Float::new(&network.model);
    let gated = encrypted.gated(network);
    let (classes, len) = (classes::count(graph), graph.output_shape().len());
    let mut score = Score::new(graph, &preprocess);
    let mut agreement = Agreement::default();
    let mut agreement_gates = Agreement::default();
    let bar = progress::bar(json, data.load(Split::Test, limit)?.count_hint(), "measuring");
    let ((), usage) = encrypted.with_session(|session, usage| {
        while samples.peek().is_some() {
            let part: Result<Vec<Sample>, _> = samples.by_ref().take(session.batch()).collect();
            let part = part?;
            let inputs: Result<Vec<Vec<f32>>> =
                part.iter().map(|sample| images::input_of(&preprocess, sample)).collect();
            let inputs = inputs?;
            let slices: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
            let logits = session.infer(&slices, usage)?;
            for ((sample, input), logits) in part.iter().zip(inputs).zip(logits.chunks(len)) {
                let input = images::batch(graph, vec![input]);
                score.add(logits, classes, sample)?;
                agreement.add(logits, &float.run(&input)?.data, classes)?;
                if let Some(gated) = &gated {
                    agreement_gates.add(logits, &gated.run(&input)?, classes)?;
                }
            }
            bar.inc(part.len() as u64);
            bar.set_message(format!("{:.2}%", 100.0 * score.value()));
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    let outside_range = gated.as_ref().and_then(Gated::outside);
    gated::warn_outside(outside_range);
    let report = Report {
        model: network.path.display().to_string(),
        data: data.to_string(),
        executor: "he",
        layouts: encrypted.origin,
        accuracy: score.value(),
        measure: score.name(),
        n: agreement.count() as usize,
        agreement: agreement.value(),
        largest_difference: agreement.max_difference(),
        largest_difference_gates: gated.is_some().then(|| agreement_gates.max_difference()),
        outside_range,
        usage,
    };
    output::report(&report, json, human)
}

fn human(report: &Report) -> String {
    let gates = report.largest_difference_gates.map_or_else(String::new, |difference| {
        format!("\nlargest difference to float inference with the plan's gates: {difference:.4}")
    });
    let outside = report.outside_range.map_or_else(String::new, |count| {
        format!("\ninputs outside the range of their polynomial: {count}")
    });
    format!(
        "{}, {} images of {}\n{}: {:.2}%\nsame label as float inference: {:.2}%\n\
         largest difference of a logit to it: {:.4}{gates}{outside}\n{}\nlayouts: {}",
        report.model,
        report.n,
        report.data,
        report.measure,
        100.0 * report.accuracy,
        100.0 * report.agreement,
        report.largest_difference,
        report.usage.text(),
        report.layouts
    )
}
