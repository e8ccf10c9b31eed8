//! Patches of activations that share a decision, chosen for every channel so that the network's
//! output changes least for what the plan may cost (after Gorski, Jevnisek, Avidan,
//! arXiv 2304.10442).
//!
//! They measure every (channel, size) in a forward pass of its own and count decisions. Here
//! gradients estimate the losses of all choices at once, to second order and around any plan
//! ([`Measure::estimate`]); the knapsack's solutions are measured on all images and taken in steps
//! small enough for losses to add up ([`Search`]); and costs are what the engine predicts
//! ([`Costs::predicted`]).

mod across;
mod candidates;
mod clusters;
mod costs;
mod measure;
mod screen;
mod search;
mod sites;
mod uniform;

pub use across::across;
pub use candidates::{candidates, decisions};
pub use clusters::{Decider, cluster};
pub use costs::{Costs, UnitCosts};
pub use measure::{Estimate, Measure};
pub use search::{Options, Progress, Search, Step};
pub use sites::{ChoiceSite, Choices, sites, with_choices};
pub use uniform::uniform;

use hushwire_train::TrainError;

use crate::knapsack::KnapsackError;

/// Why no plan could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Images that are not the network's input.
    #[error("calibration images must have the shape {expected}, and there must be some")]
    Images {
        /// Shape of the network's input.
        expected: String,
    },
    /// The network has nothing to plan.
    #[error("the network has no ReLU whose decisions could be shared")]
    NoSites,
    /// All outputs are the same, or not finite.
    #[error("the network's outputs on the calibration images are all the same, or not finite")]
    Output,
    /// The budget is too small.
    #[error(
        "even without any decision the activations cost {least}, more than the {budget} that the budget leaves them"
    )]
    Budget {
        /// The least possible cost.
        least: u64,
        /// What may be spent.
        budget: u64,
    },
    /// The knapsack has no solution.
    #[error(transparent)]
    Knapsack(#[from] KnapsackError),
    /// The network cannot be run.
    #[error(transparent)]
    Train(#[from] TrainError),
}
