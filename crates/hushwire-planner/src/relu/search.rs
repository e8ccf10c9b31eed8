//! From exact gates down to a budget, in steps that measurements confirm.
//!
//! Losses of single channels add up only while they are small. So the budget falls step by step. In
//! each the distances of all choices are estimated around the plan reached so far, the knapsack is
//! solved, and the plan it gives is measured on all images. A plan that loses much more than predicted
//! is not taken, but a smaller step. At the budget itself a few channels at a time choose again, by
//! what they would add to the loss as it stands; what loses less is kept. (What single changes would
//! take away from a loss does not add up at all: each of them would undo the same error.)

use serde::{Deserialize, Serialize};

use super::PlanError;
use super::costs::Costs;
use super::measure::{Estimate, Measure};
use super::sites::Choices;
use crate::knapsack::{Choice, solve};

/// How the search goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// The share of the variable cost that a step leaves at first.
    pub step: f64,
    /// A step is taken back if its plan loses this many times what was predicted.
    pub trust: f64,
    /// Rounds of choosing again at the budget.
    pub rounds: usize,
    /// The gap that the knapsack may leave.
    pub tolerance: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options { step: 0.7, trust: 2.5, rounds: 24, tolerance: 1e-3 }
    }
}

/// A step of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What the choices might cost.
    pub budget: u64,
    /// What they cost.
    pub cost: u64,
    /// The loss that the estimates add up to.
    pub predicted: f64,
    /// The loss measured.
    pub measured: f64,
    /// The certified gap of the knapsack.
    pub gap: f64,
    /// Whether the plan was taken.
    pub accepted: bool,
}

/// Where a search stands: enough to go on from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The best plan so far; exact gates at first.
    pub choices: Option<Choices>,
    /// The steps so far.
    pub steps: Vec<Step>,
    /// The seed of the estimates around it.
    pub seed: u64,
    /// The share of the cost that the next step leaves.
    pub ratio: f64,
    /// Rounds done at the budget.
    pub rounds: usize,
    /// The share of the channels that choose again in the next round.
    pub share: f64,
}

/// The search for one plan.
pub struct Search<'m> {
    measure: &'m mut Measure,
    costs: &'m Costs,
    options: Options,
    budget: u64,
    progress: Progress,
    estimate: Option<Estimate>,
}

/// Steps are not made smaller than this.
const SMALLEST_STEP: f64 = 0.93;
/// The share of the channels that choose again in the first round.
const FIRST_SHARE: f64 = 0.125;
/// The share of a loss that changes at the budget may claim to take away.
const BELIEVED: f64 = 0.3;
/// By how much the share grows where changes were taken.
const GROWTH: f64 = 1.25;
/// Shares are not halved below this.
const SMALLEST_SHARE: f64 = 1e-3;
/// Losses below this are not worth a smaller step.
const NEGLIGIBLE: f64 = 1e-3;

impl<'m> Search<'m> {
    /// A search for choices that cost at most `budget`, from `progress` on.
    pub fn new(
        measure: &'m mut Measure,
        costs: &'m Costs,
        budget: u64,
        options: Options,
        progress: Option<Progress>,
    ) -> Search<'m> {
        let begin = || Progress { ratio: options.step, share: FIRST_SHARE, ..Progress::default() };
        let progress = progress.unwrap_or_else(begin);
        Search { measure, costs, options, budget, progress, estimate: None }
    }

    /// Where the search stands.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The choices reached.
    pub fn into_choices(self) -> Option<Choices> {
        self.progress.choices
    }

    /// What choices cost; the dearest ones, if there are none yet.
    fn cost(&self) -> u64 {
        let none = || vec![0; self.measure.sites().iter().map(|site| site.channels).sum()];
        let choices = self.progress.choices.clone().unwrap_or_else(none);
        self.items(|site, item| self.of(site, usize::from(choices[item]))).into_iter().sum()
    }

    /// The cost of a candidate.
    fn of(&self, site: usize, candidate: usize) -> u64 {
        let of = &self.measure.sites()[site];
        self.costs.of(site, of.map, of.candidates[candidate])
    }

    /// `f(site, item)` for every channel of every site.
    fn items<T>(&self, mut f: impl FnMut(usize, usize) -> T) -> Vec<T> {
        let sites = self.measure.sites().iter().enumerate();
        sites
            .flat_map(|(s, site)| site.items().map(move |item| (s, item)))
            .map(|(s, i)| f(s, i))
            .collect()
    }

    /// Takes one step; `false` if there is nothing left to do. `done` hears of every batch of images.
    ///
    /// # Errors
    /// A budget that even the cheapest choices exceed.
    pub fn advance(&mut self, done: &mut dyn FnMut(usize)) -> Result<bool, PlanError> {
        let cost = self.cost();
        let arrived = self.progress.choices.is_some() && cost <= self.budget;
        if arrived && self.progress.rounds >= self.options.rounds {
            return Ok(false);
        }
        let round = self.progress.steps.len() as u64;
        let estimate = match self.estimate.take() {
            Some(estimate) => estimate,
            None => {
                let plan = self.measure.plan(self.progress.choices.as_ref());
                self.measure.estimate(&plan, self.progress.seed, done)?
            }
        };
        let budget = if arrived { self.budget } else { self.next_budget(cost)? };
        let (solution, allowed) = loop {
            let (items, allowed) = self.instance(&estimate, arrived, round);
            let solution = solve(&items, budget, self.options.tolerance)?;
            // Too many changes would all undo the same error.
            let bold = -solution.loss > BELIEVED * estimate.loss;
            if !arrived || !bold || self.progress.share < SMALLEST_SHARE {
                break (solution, allowed);
            }
            self.progress.share /= 2.0;
        };
        let choices: Choices = (solution.choices.iter().zip(&allowed))
            .map(|(choice, allowed)| allowed[*choice])
            .collect();
        let plan = self.measure.plan(Some(&choices));
        let next = self.measure.estimate(&plan, round + 1, done)?;
        let (predicted, accepted) = if arrived {
            (estimate.loss + solution.loss, next.loss < estimate.loss)
        } else {
            let growth = (solution.loss - self.distance(&estimate)).max(0.0);
            let predicted = estimate.loss + growth;
            let limit = self.options.trust * predicted + NEGLIGIBLE;
            (predicted, next.loss <= limit || self.progress.ratio >= SMALLEST_STEP)
        };
        self.progress.steps.push(Step {
            budget,
            cost: solution.cost,
            predicted,
            measured: next.loss,
            gap: solution.gap(),
            accepted,
        });
        match (arrived, accepted) {
            (false, true) => self.progress.ratio = self.progress.ratio.max(self.options.step),
            (false, false) => self.progress.ratio = self.progress.ratio.sqrt(),
            (true, true) => {
                self.progress.share = (self.progress.share * GROWTH).min(1.0);
                self.progress.rounds += 1;
            }
            (true, false) => {
                self.progress.share /= 2.0;
                self.progress.rounds += 1;
            }
        }
        if accepted {
            (self.progress.choices, self.progress.seed) = (Some(choices), round + 1);
            self.estimate = Some(next);
        } else {
            self.estimate = Some(estimate);
        }
        Ok(true)
    }

    /// The distances of the present choices, added up.
    fn distance(&self, estimate: &Estimate) -> f64 {
        let choices = self.progress.choices.iter().flatten();
        choices.zip(&estimate.distance).map(|(c, distance)| distance[usize::from(*c)]).sum()
    }

    /// The next budget on the way down.
    fn next_budget(&self, cost: u64) -> Result<u64, PlanError> {
        let cheapest: u64 = self
            .items(|site, _| {
                let candidates = 0..self.measure.sites()[site].candidates.len();
                candidates.map(|c| self.of(site, c)).min().unwrap_or(0)
            })
            .into_iter()
            .sum();
        if cheapest > self.budget {
            return Err(PlanError::Budget { least: cheapest, budget: self.budget });
        }
        Ok(((cost as f64 * self.progress.ratio) as u64).max(self.budget))
    }

    /// The knapsack around a plan: for every channel its choices, and which candidates they are. At
    /// the budget a random share of the channels may choose.
    fn instance(
        &self,
        estimate: &Estimate,
        arrived: bool,
        round: u64,
    ) -> (Vec<Vec<Choice>>, Vec<Vec<u16>>) {
        let losses = if arrived { &estimate.added } else { &estimate.distance };
        let mut random = fastrand::Rng::with_seed(round);
        let mut instance = |site: usize, item: usize| {
            let free = !arrived || random.f64() < self.progress.share;
            let all = 0..self.measure.sites()[site].candidates.len() as u16;
            let allowed: Vec<u16> = match &self.progress.choices {
                Some(choices) if !free => vec![choices[item]],
                _ => all.collect(),
            };
            let choice = |candidate: &u16| Choice {
                cost: self.of(site, usize::from(*candidate)),
                loss: losses[item][usize::from(*candidate)],
            };
            (allowed.iter().map(choice).collect(), allowed)
        };
        self.items(&mut instance).into_iter().unzip()
    }
}
