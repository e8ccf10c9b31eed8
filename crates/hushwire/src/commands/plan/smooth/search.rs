//! The cheapest functions for all layers within a bound on the loss of accuracy.

use std::sync::Arc;

use anyhow::{Result, bail};
use hushwire_data::{Label, Preprocess, Sample, argmax};
use hushwire_fixed::Program;
use hushwire_graph::{Executor, Model, Tensor};
use hushwire_plan::float::{GateHooks, Observed};
use hushwire_plan::{Gate, Plan};
use hushwire_planner::knapsack::{Choice, solve};
use hushwire_smooth::{Candidate, Method, Surroundings, front};
use indicatif::ProgressBar;
use rayon::prelude::*;
use serde::Serialize;

use super::measure::{Layer, Seen, replace};
use crate::classes;
use crate::fixed::Fixed;
use crate::images;

/// Budgets that are tried on the way to the least one.
const TRIALS: usize = 9;

/// Labelled images that no function was fitted to, and what the network makes of them.
pub struct HeldBack<'m> {
    model: &'m Model,
    batches: Vec<Tensor>,
    labels: Vec<u32>,
    right: Vec<bool>,
}

/// A loss of accuracy on held-back images, in points.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Loss {
    /// Accuracy lost; below zero if it was won.
    pub points: f64,
    /// Its standard error: from the images that were right under one of the two and not the other.
    pub error: f64,
}

impl Loss {
    fn within(self, most: f64) -> bool {
        self.points + self.error <= most
    }
}

impl<'m> HeldBack<'m> {
    /// Runs the network as it is.
    pub fn new(
        model: &'m Model,
        preprocess: &Preprocess,
        samples: &[Sample],
        batch: usize,
    ) -> Result<HeldBack<'m>> {
        let label = |sample: &Sample| match sample.label {
            Label::Class(class) => Ok(class),
            Label::Mask(_) => bail!("the bound on accuracy needs one label per image"),
        };
        let labels = samples.iter().map(label).collect::<Result<Vec<u32>>>()?;
        let inputs = samples.iter().map(|sample| images::input_of(preprocess, sample));
        let inputs: Vec<Vec<f32>> = inputs.collect::<Result<_>>()?;
        let batches = inputs.chunks(batch).map(|b| images::batch(&model.graph, b.to_vec()));
        let mut held = HeldBack { model, batches: batches.collect(), labels, right: Vec::new() };
        held.right = held.float(&Plan::exact(&model.graph))?;
        Ok(held)
    }

    /// Share of images that the network is right about.
    pub fn accuracy(&self) -> f64 {
        self.right.iter().filter(|right| **right).count() as f64 / self.right.len() as f64
    }

    fn float(&self, plan: &Plan) -> Result<Vec<bool>> {
        let executor = Executor::new(self.model);
        let run = |batch: &Tensor| -> Result<Vec<f32>> {
            let mut ignore = |_: Observed<'_>| {};
            let mut hooks = GateHooks::new(&self.model.graph, plan, &mut ignore);
            Ok(executor.run_with(batch, &mut hooks)?.data)
        };
        let logits: Result<Vec<Vec<f32>>> = self.batches.par_iter().map(run).collect();
        Ok(self.judge(&logits?.concat()))
    }

    fn judge(&self, logits: &[f32]) -> Vec<bool> {
        let count = classes::count(&self.model.graph);
        let offset = classes::offset(&self.model.graph);
        let rows = logits.chunks(count).zip(&self.labels);
        rows.map(|(row, label)| {
            argmax(row, count).first().is_some_and(|found| *found as u32 == label + offset)
        })
        .collect()
    }

    fn loss(&self, right: &[bool]) -> Loss {
        let pairs = || self.right.iter().zip(right);
        let lost = pairs().filter(|(a, b)| **a && !**b).count() as f64;
        let won = pairs().filter(|(a, b)| !**a && **b).count() as f64;
        let share = 100.0 / right.len() as f64;
        Loss { points: (lost - won) * share, error: (lost + won).sqrt() * share }
    }

    /// The loss under a plan in floating point.
    pub fn float_loss(&self, plan: &Plan) -> Result<Loss> {
        Ok(self.loss(&self.float(plan)?))
    }

    /// The loss in clear fixed point.
    pub fn fixed_loss(&self, program: &Arc<Program>) -> Loss {
        let fixed = Fixed::new(program, &self.model.params);
        let run = |batch: &Tensor| fixed.run(batch.batch(), &batch.data).0;
        let logits: Vec<Vec<f32>> = self.batches.par_iter().map(run).collect();
        self.loss(&self.judge(&logits.concat()))
    }
}

/// Layers that get the same function, and the functions that they may have.
pub struct Group {
    /// The layers, by number.
    layers: Vec<usize>,
    /// For each function its bits in each of the layers.
    front: Vec<(Candidate, Vec<u64>)>,
}

/// The functions that layers may have, cheapest first: each layer its own, or one for all layers of a
/// kind, fitted to the inputs of all of them.
pub fn groups(
    layers: &[Layer],
    seen: &[Seen],
    method: Method,
    shared: bool,
    bar: &ProgressBar,
) -> Result<Vec<Group>> {
    let mut members: Vec<Vec<usize>> = Vec::new();
    for i in 0..layers.len() {
        let alike = |group: &&mut Vec<usize>| layers[group[0]].function == layers[i].function;
        match members.iter_mut().find(alike) {
            Some(group) if shared => group.push(i),
            _ => members.push(vec![i]),
        }
    }
    bar.set_length(members.len() as u64);
    let one = |members: Vec<usize>| {
        let together = Seen::together(members.iter().map(|i| &seen[*i]));
        let around = Surroundings::usual(together.input, together.output);
        let found = front(&together.target(layers[members[0]].function)?, method, &around)?;
        let bits = |candidate: &Candidate| {
            let of = |i: &usize| {
                Surroundings::usual(seen[*i].input, seen[*i].output).bits(&candidate.function)
            };
            members.iter().map(of).collect::<Option<Vec<u64>>>()
        };
        let front = found.into_iter().filter_map(|c| bits(&c).map(|bits| (c, bits))).collect();
        bar.inc(1);
        Ok(Group { layers: members, front })
    };
    members.into_iter().map(one).collect()
}

/// A choice for every layer.
pub struct Chosen {
    /// The plan, without number formats.
    pub plan: Plan,
    /// For each layer the candidate.
    pub candidates: Vec<Candidate>,
    /// Loss on held-back images in floating point.
    pub loss: Loss,
    /// What it may cost, in bits per image.
    pub budget: u64,
}

/// Chooses within budgets.
pub struct Search<'a> {
    pub layers: &'a [Layer],
    pub groups: &'a [Group],
    pub seen: &'a [Seen],
    pub held: &'a HeldBack<'a>,
}

impl Search<'_> {
    fn items(&self) -> Vec<Vec<Choice>> {
        let item = |group: &Group| {
            let weight: f64 =
                group.layers.iter().map(|i| self.seen[*i].sensitivity.unwrap_or(1.0)).sum();
            let choice = |(candidate, bits): &(Candidate, Vec<u64>)| Choice {
                cost: group
                    .layers
                    .iter()
                    .zip(bits)
                    .map(|(i, b)| b * self.layers[*i].elements)
                    .sum(),
                loss: weight * candidate.score.squared,
            };
            group.front.iter().map(choice).collect()
        };
        self.groups.iter().map(item).collect()
    }

    /// The plan that disturbs the output least within a budget, and what it loses.
    pub fn within(&self, budget: u64) -> Result<Chosen> {
        let solution = solve(&self.items(), budget, 1e-4)?;
        let mut candidates: Vec<(usize, Candidate)> = Vec::new();
        for (group, choice) in self.groups.iter().zip(&solution.choices) {
            let (candidate, bits) = &group.front[*choice];
            let of = group.layers.iter().zip(bits);
            candidates
                .extend(of.map(|(i, bits)| (*i, Candidate { bits: *bits, ..candidate.clone() })));
        }
        candidates.sort_by_key(|(layer, _)| *layer);
        let candidates: Vec<Candidate> = candidates.into_iter().map(|(_, c)| c).collect();
        let mut plan = Plan::exact(&self.held.model.graph);
        for (layer, candidate) in self.layers.iter().zip(&candidates) {
            replace(&mut plan, &layer.name, Gate::Piecewise(candidate.function.clone()));
        }
        let loss = self.held.float_loss(&plan)?;
        Ok(Chosen { plan, candidates, loss, budget })
    }

    /// The cheapest plan that is found to lose no more than `most` points, its standard error included,
    /// by bisection over budgets.
    pub fn cheapest(&self, most: f64, bar: &ProgressBar) -> Result<Chosen> {
        let items = self.items();
        let sum = |of: fn(&[Choice]) -> Option<u64>| -> u64 {
            items.iter().filter_map(|item| of(item)).sum()
        };
        let least = sum(|item| item.iter().map(|choice| choice.cost).min());
        let greatest = sum(|item| item.iter().map(|choice| choice.cost).max());
        bar.set_length(TRIALS as u64);
        let mut best = self.within(greatest)?;
        if !best.loss.within(most) {
            bail!(
                "even the most precise functions lose {:.3} points, give or take {:.3}, of the \
                 {:.2}% on held-back images; both together may be {most} at most: hold back more \
                 images (--held-back), or allow more (--max-loss)",
                best.loss.points,
                best.loss.error,
                100.0 * self.held.accuracy()
            );
        }
        let (mut low, mut high) = ((least as f64).ln(), (greatest as f64).ln());
        for _ in 1..TRIALS {
            bar.inc(1);
            let budget = ((low + high) / 2.0).exp();
            let chosen = self.within((budget as u64).max(least))?;
            if chosen.loss.within(most) {
                (best, high) = (chosen, budget.ln());
            } else {
                low = budget.ln();
            }
        }
        Ok(best)
    }
}
