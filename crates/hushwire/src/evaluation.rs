//! Running a network over many images and counting how well it does.

use std::time::Instant;

use anyhow::Result;
use hushwire_data::{Agreement, Preprocess, Sample};
use hushwire_fixed::program::Op;
use hushwire_fixed::{Program, Report};
use hushwire_graph::{Executor as Float, Graph, Tensor};
use hushwire_plan::Plan;
use rayon::prelude::*;
use serde::Serialize;

use crate::classes;
use crate::fixed::Fixed;
use crate::gated::Gated;
use crate::images;
use crate::local::Parties;
use crate::network::Network;
use crate::score::Score;

/// The result of an evaluation.
#[derive(Debug, Serialize)]
pub struct Counts {
    /// Accuracy, or mean intersection over union.
    pub accuracy: f64,
    /// Which of the two.
    #[serde(skip)]
    pub measure: &'static str,
    /// Images.
    pub n: usize,
    /// Share of labels equal to those of float inference with the network's own activations.
    pub agreement: f64,
    /// Of a private run: share of labels equal to those in clear fixed point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement_fixed: Option<f64>,
    /// Of a private run: largest difference of a logit to clear fixed point, in units of the logits'
    /// last place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_difference_ulps: Option<f64>,
    /// Values outside their number format, in clear fixed point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflows: Option<usize>,
    /// Inputs outside the range of their composite polynomial, where the plan has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside_range: Option<usize>,
    /// What the executor that is measured took.
    pub seconds: f64,
}

/// What an evaluation measures.
pub enum Measured<'a> {
    /// Float inference, with the gates of a plan if there is one.
    Float(Option<&'a Plan>),
    /// Clear fixed point.
    Fixed(&'a Program),
    /// Three parties, who run the program.
    Private(&'a Program, Box<Parties>),
}

/// An evaluation under way.
pub struct Evaluation<'a> {
    graph: &'a Graph,
    preprocess: Preprocess,
    /// What all others are compared with.
    float: Float<'a>,
    gates: Option<Gated<'a>>,
    fixed: Option<(Fixed<'a>, &'a Program)>,
    parties: Option<Parties>,
    batch: usize,
    score: Score,
    agreement: Agreement,
    agreement_fixed: Agreement,
    n: usize,
    overflows: usize,
    /// Inputs of composite polynomials that were out of range in clear fixed point, if it has any.
    outside_fixed: Option<usize>,
    seconds: f64,
}

impl<'a> Evaluation<'a> {
    /// Begins.
    pub fn new(
        network: &'a Network,
        preprocess: Preprocess,
        batch: usize,
        measured: Measured<'a>,
    ) -> Evaluation<'a> {
        let model = &network.model;
        let (gates, program, parties) = match measured {
            Measured::Float(gates) => (gates, None, None),
            Measured::Fixed(program) => (None, Some(program), None),
            Measured::Private(program, parties) => (None, Some(program), Some(*parties)),
        };
        let has_polynomials =
            |program: &&Program| program.ops.iter().any(|op| matches!(op, Op::Polynomial(_)));
        Evaluation {
            graph: &model.graph,
            score: Score::new(&model.graph, &preprocess),
            preprocess,
            float: Float::new(model),
            gates: gates.map(|plan| Gated::new(model, plan.clone())),
            fixed: program.map(|program| (Fixed::new(program, &model.params), program)),
            // The session's setup belongs to what privacy costs.
            seconds: parties.as_ref().map_or(0.0, Parties::seconds),
            parties,
            batch,
            agreement: Agreement::default(),
            agreement_fixed: Agreement::default(),
            n: 0,
            overflows: 0,
            outside_fixed: program.filter(has_polynomials).map(|_| 0),
        }
    }

    /// The score so far.
    pub fn score(&self) -> f64 {
        self.score.value()
    }

    /// Runs some images: in batches, and in parallel where that is possible.
    pub fn add(&mut self, samples: &[Sample]) -> Result<()> {
        let input = |sample| images::input_of(&self.preprocess, sample);
        let inputs: Result<Vec<Vec<f32>>> = samples.par_iter().map(input).collect();
        let batch = |part: &[Vec<f32>]| images::batch(self.graph, part.to_vec());
        let batches: Vec<Tensor> = inputs?.chunks(self.batch).map(batch).collect();

        let (float, float_seconds) = timed(|| self.run_float(&batches))?;
        let (gated, gated_seconds) = timed(|| self.run_gated(&batches))?;
        let (fixed, fixed_seconds) = timed(|| Ok(self.run_fixed(&batches)))?;
        let (private, private_seconds) = timed(|| self.run_private(&batches))?;
        let others =
            [(&private, private_seconds), (&fixed, fixed_seconds), (&gated, gated_seconds)];
        let found = others.into_iter().find_map(|(logits, s)| Some((logits.as_ref()?, s)));
        let (measured, seconds) = found.unwrap_or((&float, float_seconds));
        self.seconds += seconds;
        let (classes, len) = (classes::count(self.graph), self.graph.output_shape().len());
        for (i, sample) in samples.iter().enumerate() {
            let of = |logits: &'_ [f32]| logits[i * len..(i + 1) * len].to_vec();
            self.score.add(&of(measured), classes, sample)?;
            self.agreement.add(&of(measured), &of(&float), classes)?;
            if let (Some(private), Some(fixed)) = (&private, &fixed) {
                self.agreement_fixed.add(&of(private), &of(fixed), classes)?;
            }
        }
        self.n += samples.len();
        Ok(())
    }

    fn run_float(&self, batches: &[Tensor]) -> Result<Vec<f32>> {
        let run = |batch: &Tensor| Ok(self.float.run(batch)?.data);
        let logits: Result<Vec<Vec<f32>>> = batches.par_iter().map(run).collect();
        Ok(logits?.concat())
    }

    /// Float inference with the plan's gates.
    fn run_gated(&self, batches: &[Tensor]) -> Result<Option<Vec<f32>>> {
        let Some(gated) = &self.gates else { return Ok(None) };
        let logits: Result<Vec<Vec<f32>>> =
            batches.par_iter().map(|batch| gated.run(batch)).collect();
        Ok(Some(logits?.concat()))
    }

    fn run_fixed(&mut self, batches: &[Tensor]) -> Option<Vec<f32>> {
        let (fixed, _) = self.fixed.as_ref()?;
        let run = |batch: &Tensor| fixed.run(batch.batch(), &batch.data);
        let (logits, reports): (Vec<_>, Vec<_>) = batches.par_iter().map(run).unzip();
        self.overflows += reports.iter().map(Report::overflow_count).sum::<usize>();
        if let Some(outside) = &mut self.outside_fixed {
            *outside += reports.iter().map(Report::outside_count).sum::<usize>();
        }
        Some(logits.concat())
    }

    fn run_private(&mut self, batches: &[Tensor]) -> Result<Option<Vec<f32>>> {
        let Some(parties) = &mut self.parties else { return Ok(None) };
        let run = |batch: &Tensor| Ok(parties.infer(&batch.data)?.logits);
        let logits: Result<Vec<Vec<f32>>> = batches.iter().map(run).collect();
        Ok(Some(logits?.concat()))
    }

    /// The result.
    pub fn finish(self) -> Counts {
        let private = self.parties.is_some();
        let step = self.fixed.as_ref().map(|(_, program)| program.opened().step);
        let difference = f64::from(self.agreement_fixed.max_difference());
        Counts {
            accuracy: self.score.value(),
            measure: self.score.name(),
            n: self.n,
            agreement: self.agreement.value(),
            agreement_fixed: private.then(|| self.agreement_fixed.value()),
            largest_difference_ulps: step.filter(|_| private).map(|step| difference / step),
            overflows: step.map(|_| self.overflows),
            outside_range: self.gates.and_then(|gated| gated.outside()).or(self.outside_fixed),
            seconds: self.seconds,
        }
    }
}

fn timed<T>(run: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let start = Instant::now();
    let value = run()?;
    Ok((value, start.elapsed().as_secs_f64()))
}
