//! Plans within a budget as a whole, and how many bits they compare.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use hushwire_fixed::{Program, Settings, lower};
use hushwire_graph::{Executor, Graph, Model, Tensor};
use hushwire_mpc::cost::Prediction;
use hushwire_mpc::{Comparison, Job};
use hushwire_net::Phase;
use hushwire_plan::{Grouping as Resolved, Plan, SiteKind};
use hushwire_planner::relu::{ChoiceSite, Costs, Measure};
use hushwire_planner::windows;
use hushwire_profile::Hosts;
use hushwire_train::match_moments;
use indicatif::ProgressBar;

use super::search::{Found, find};
use super::{Args, Objective};
use crate::args::{Choice, Link};
use crate::classes;
use crate::fixed::Fixed;
use crate::forecast::Forecast;
use crate::network::{Network, Planned};

/// How often a plan is made that costs less, if the one before cost too much.
const TRIES: usize = 6;

/// By how much more than its excess a plan that costs too much is made cheaper.
const CHEAPER: f64 = 0.995;

/// Images that run together in fixed point.
const BATCH: usize = 16;

/// What plans are found for.
pub(super) struct Task<'t> {
    pub args: &'t Args,
    pub network: &'t Network,
    pub images: &'t Tensor,
    /// Exact gates with their number formats, where costs depend on these.
    pub exact: Option<Planned>,
    pub bar: &'t ProgressBar,
}

/// A plan within the budget.
pub(super) struct Outcome {
    pub found: Found,
    pub cost: f64,
    pub costs: Costs,
    /// What exact gates cost.
    pub exact: f64,
    /// Where low bits are left out of comparisons.
    pub narrow: Option<Narrow>,
}

/// A plan that leaves low bits out of comparisons.
pub(super) struct Narrow {
    /// The plan with its windows.
    pub plan: Plan,
    /// Share of each gate's decisions that may flip.
    pub flips: f64,
    /// Compared bits: the mean over decisions.
    pub bits: f64,
    /// The loss in fixed point.
    pub measured: f64,
}

impl Task<'_> {
    /// The plan that is best of those with each share of flips that is asked for, or the one plan
    /// with all bits if none is.
    pub(super) fn best(&self, measure: &mut Measure) -> Result<Outcome> {
        let mut best: Option<Outcome> = None;
        for flips in &self.args.flips {
            let outcome = self.within_budget(measure, Some(*flips))?;
            let loss = |o: &Outcome| o.narrow.as_ref().map_or(f64::INFINITY, |n| n.measured);
            if best.as_ref().is_none_or(|known| loss(&outcome) < loss(known)) {
                best = Some(outcome);
            }
        }
        match best {
            Some(best) => Ok(best),
            None => self.within_budget(measure, None),
        }
    }

    fn within_budget(&self, measure: &mut Measure, flips: Option<f64>) -> Result<Outcome> {
        let graph = &self.network.model.graph;
        let (costs, exact) = match &self.exact {
            None => {
                let costs = Costs::decisions(measure.sites());
                let exact = costs.exact;
                (costs, exact)
            }
            Some(exact) => {
                let mut predict = self.predictor(exact.program.clone())?;
                let whole = predict(&exact.plan)?;
                let plan = match flips {
                    Some(flips) => {
                        windows::fit(&self.network.model, &exact.plan, self.images, flips)?.0
                    }
                    None => exact.plan.clone(),
                };
                (Costs::predicted(&plan, graph, measure.sites(), predict)?, whole)
            }
        };
        let budget = self.args.budget * exact - costs.fixed;
        if budget < 0.0 {
            bail!(
                "without any activation the network still costs {:.1}% of what it costs with exact \
                 gates: a budget of {:.1}% cannot be met",
                100.0 * costs.fixed / exact,
                100.0 * self.args.budget
            );
        }
        let mut allowed = budget;
        let mut tries = 0;
        // Costs of elements leave out what sums over patches do to number formats, and how messages
        // are packed: a plan that costs too much as a whole is made cheaper.
        loop {
            let found = find(self, measure, &costs, allowed as u64, flips)?;
            let mut narrow = None;
            let cost = match &self.exact {
                Some(exact) => {
                    let whole = self.whole(&found.plan, flips)?;
                    let cost = self.predictor(exact.program.clone())?(&whole.plan)?;
                    narrow = whole.narrow;
                    cost
                }
                None => decisions(measure, graph, &found.plan) as f64,
            };
            tries += 1;
            if cost <= self.args.budget * exact || tries == TRIES {
                return Ok(Outcome { found, cost, costs, exact, narrow });
            }
            allowed *= CHEAPER * budget / (cost - costs.fixed).max(budget);
        }
    }

    /// Gates with number formats, and windows if decisions may flip.
    fn whole(&self, gates: &Plan, flips: Option<f64>) -> Result<Whole> {
        let images = (self.images.clone(), String::new());
        let Some(flips) = flips else {
            let plan = self.network.calibrate(Some(gates.clone()), &Settings::default(), images)?;
            return Ok(Whole { plan: plan.plan, narrow: None });
        };
        // As it will run: with weights that `plan match` adjusts.
        let model = if self.args.as_is {
            self.network.model.clone()
        } else {
            match_moments(&self.network.model, gates, &self.images.data)?
        };
        let network = Network { path: self.network.path.clone(), model };
        let plan = network.calibrate(Some(gates.clone()), &Settings::default(), images)?.plan;
        let (plan, fitted) = windows::fit(&network.model, &plan, self.images, flips)?;
        let measured = self.fixed_loss(&network.model, &plan)?;
        let all: usize = fitted.iter().map(|f| f.decisions).sum();
        let bits: usize = fitted.iter().map(|f| f.decisions * f.window.bits as usize).sum();
        let bits = bits as f64 / all.max(1) as f64;
        let narrow = Narrow { plan: plan.clone(), flips, bits, measured };
        Ok(Whole { plan, narrow: Some(narrow) })
    }

    /// The squared distance of the outputs in fixed point to the original's, relative to the length of
    /// these, both without the mean over the classes.
    fn fixed_loss(&self, model: &Model, plan: &Plan) -> Result<f64> {
        let program = lower(&model.graph, plan).context("the plan cannot be run privately")?;
        let fixed = Fixed::new(&program, &model.params);
        let float = Executor::new(&self.network.model);
        let classes = classes::count(&model.graph);
        let len = self.images.sample_len();
        let (mut lost, mut all) = (0.0, 0.0);
        for part in self.images.data.chunks(BATCH * len) {
            let batch = part.len() / len;
            let shape = model.graph.input_shape().with_batch(batch);
            let mut reference = float.run(&Tensor::new(shape, part.to_vec()))?.data;
            let (mut outputs, _) = fixed.run(batch, part);
            let sample = reference.len() / batch;
            centre(&mut reference, sample, classes);
            centre(&mut outputs, sample, classes);
            all += reference.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            let pairs = outputs.iter().zip(&reference);
            lost += pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        }
        Ok(lost / all)
    }

    /// Predicts what plans cost, in the objective's units.
    fn predictor(&self, exact: Arc<Program>) -> Result<impl FnMut(&Plan) -> Result<f64> + use<'_>> {
        let (args, network) = (self.args, self.network);
        let hosts = match args.comparison.forecast.link {
            Link::Loopback => Hosts::One,
            Link::Line(_) => Hosts::Three,
        };
        let forecast = Forecast::new(&args.comparison.forecast, hosts)?;
        let comparison = match args.comparison.comparison {
            Choice::Dcf => Comparison::Dcf,
            Choice::Digits => Comparison::Digits,
            Choice::Auto => forecast.faster(&Job::new(exact, 1, Comparison::Digits)),
        };
        let objective = args.objective;
        Ok(move |plan: &Plan| {
            let job = Job::new(Arc::new(lower(&network.model.graph, plan)?), 1, comparison);
            Ok(match objective {
                Objective::Seconds => 1e9 * forecast.times(&job).total(),
                _ => {
                    let prediction = Prediction::new(&job);
                    (prediction.total(Phase::Offline) + prediction.total(Phase::Online)) as f64
                }
            })
        })
    }
}

/// A plan with number formats.
struct Whole {
    plan: Plan,
    narrow: Option<Narrow>,
}

/// Takes the mean over the classes away, at every position of every sample.
fn centre(values: &mut [f32], sample: usize, classes: usize) {
    let positions = sample / classes;
    for sample in values.chunks_exact_mut(sample) {
        for at in 0..positions {
            let of = |class: usize| class * positions + at;
            let mean = (0..classes).map(|c| sample[of(c)]).sum::<f32>() / classes as f32;
            (0..classes).for_each(|c| sample[of(c)] -= mean);
        }
    }
}

/// Decisions of a plan at the sites that can be planned.
pub(super) fn decisions(measure: &Measure, graph: &Graph, plan: &Plan) -> usize {
    let of = |site: &ChoiceSite| {
        let shape = &graph.node(site.node).shape;
        let planned = plan.site(&site.name, SiteKind::Activation);
        planned.map_or(0, |p| Resolved::resolve(&p.gate, &shape.0).decisions(shape.len()))
    };
    measure.sites().iter().map(of).sum()
}
