//! The search for a plan within a budget.

use std::path::Path;

use anyhow::{Context as _, Result};
use hushwire_plan::Plan;
use hushwire_planner::relu::{self, Costs, Decider, Measure, Options, Progress, Search, Step};
use serde::{Deserialize, Serialize};

use super::budget::Task;
use super::{Args, Decision, Grouping};
use crate::files;
use crate::network::Network;

/// Of the search: what an older one has reached is of no use to a newer one.
const VERSION: u32 = 2;

/// Sides of the patches that blocks may have.
const BLOCKS: [usize; 4] = [1, 2, 4, 8];

/// The measurement file: what a search has reached, and which search it was.
#[derive(Serialize, Deserialize)]
struct Saved {
    /// Hash of everything that decides about the search.
    search: String,
    progress: Progress,
}

/// A plan, and how it was found.
pub(super) struct Found {
    pub plan: Plan,
    /// Its loss.
    pub measured: f64,
    pub steps: Vec<Step>,
}

/// A plan whose choices cost at most `budget`.
///
/// `flips` names the search where there are several.
pub(super) fn find(
    task: &Task<'_>,
    measure: &mut Measure,
    costs: &Costs,
    budget: u64,
    flips: Option<f64>,
) -> Result<Found> {
    let Task { args, bar, .. } = task;
    let mut done = |images: usize| bar.inc(images as u64);
    let (plan, measured) = match args.grouping {
        Grouping::Patches => return search(task, measure, costs, budget, flips),
        Grouping::Uniform => {
            let plan = relu::uniform(measure, costs, budget)?;
            let measured = measure.loss(&plan, &mut done)?;
            (plan, measured)
        }
        Grouping::Channels | Grouping::Blocks | Grouping::Across => {
            let channels = args.grouping == Grouping::Channels;
            let patches = if channels { &BLOCKS[..1] } else { &BLOCKS[..] };
            let decider = match args.decision {
                Decision::Mean => Decider::Mean,
                Decision::Member => Decider::Member,
                Decision::Form => Decider::Form,
            };
            let (plan, loss) = relu::cluster(measure, costs, budget, patches, decider, &mut done)?;
            if args.grouping == Grouping::Across {
                relu::across(measure, plan, loss, &mut done)?
            } else {
                (plan, loss)
            }
        }
    };
    Ok(Found { plan, measured, steps: Vec::new() })
}

/// The search for patches, from where an earlier run left off.
fn search(
    task: &Task<'_>,
    measure: &mut Measure,
    costs: &Costs,
    budget: u64,
    flips: Option<f64>,
) -> Result<Found> {
    let Task { args, network, bar, .. } = task;
    let options = Options { rounds: args.rounds, ..Options::default() };
    let identity = identity(args, network, &options, costs)?;
    let which = flips.map_or_else(String::new, |flips| format!("-{flips}"));
    let file = files::beside(&args.output, &format!(".measured{which}.json"));
    let saved = read_progress(&file, &identity);
    let mut search = Search::new(measure, costs, budget, options, saved);
    bar.set_position((search.progress().steps.len() * args.calibration) as u64);
    while search.advance(&mut |images| bar.inc(images as u64))? {
        if let Some(step) = search.progress().steps.last() {
            let share = (step.cost as f64 + costs.fixed) / costs.exact;
            bar.set_message(format!("cost {:.2}%, loss {:.4}", 100.0 * share, step.measured));
        }
        let saved = Saved { search: identity.clone(), progress: search.progress().clone() };
        files::write(&file, serde_json::to_string(&saved)?.as_bytes())?;
    }
    let Progress { choices, steps, .. } = search.progress().clone();
    let choices = choices.context("the search took no step")?;
    let last = steps.iter().rev().find(|step| step.accepted);
    let measured = last.map_or(0.0, |step| step.measured);
    Ok(Found { plan: measure.plan(Some(&choices)), measured, steps })
}

/// What decides about a search, so that only the same one goes on.
fn identity(args: &Args, network: &Network, options: &Options, costs: &Costs) -> Result<String> {
    let settings = serde_json::to_string(&(
        args.data.to_string(),
        args.calibration,
        args.budget,
        args.objective,
        args.as_is,
        VERSION,
        options,
        format!("{costs:?}"),
    ))?;
    let network = files::hash(&network.model.to_onnx());
    Ok(files::hash(format!("{network} {settings}").as_bytes()))
}

/// What an earlier run of the same search has reached.
fn read_progress(file: &Path, identity: &str) -> Option<Progress> {
    let saved: Saved = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    if saved.search != identity {
        return None;
    }
    Some(saved.progress)
}
