//! The multiple-choice knapsack problem: one choice for every item, the sum of costs within a
//! budget, the sum of losses least.
//!
//! [`solve`] is Pisinger's algorithm (A minimal algorithm for the multiple-choice knapsack problem,
//! EJOR 83, 1995), stopped as soon as a given gap is certified. The linear relaxation is solved over
//! the lower convex hulls of the items' choices; its solution is integral but for one item. What is
//! left between it and the best feasible solution is closed by a dynamic programme over the *core*,
//! the items whose choice is least certain, which grows only until bounds exclude everything else.
//! No table depends on the budget. [`solve_exactly`] is the textbook dynamic programme, whose table
//! does, for small instances and as a reference.

mod core;
mod exact;
mod hull;
pub mod synthetic;

pub use exact::{MAX_TABLE, solve_exactly};

use self::core::Core;
use self::hull::Relaxation;

/// One way to serve an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// What it takes from the budget.
    pub cost: u64,
    /// What it loses; finite, of any sign.
    pub loss: f64,
}

/// A choice for every item.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// For each item the index of its choice.
    pub choices: Vec<usize>,
    /// Sum of costs, within the budget.
    pub cost: u64,
    /// Sum of losses.
    pub loss: f64,
    /// No solution within the budget loses less than this.
    pub bound: f64,
}

impl Solution {
    /// The most by which the loss can exceed the least one, as a share of it.
    pub fn gap(&self) -> f64 {
        let excess = (self.loss - self.bound).max(0.0);
        if excess == 0.0 { 0.0 } else { excess / self.bound.abs() }
    }

    /// The solution that `choices` make, with the bound that is known.
    fn of(items: &[Vec<Choice>], choices: Vec<usize>, bound: f64) -> Solution {
        let chosen = || items.iter().zip(&choices).map(|(item, &choice)| item[choice]);
        let cost = chosen().map(|choice| choice.cost).sum();
        let loss = chosen().map(|choice| choice.loss).sum();
        // Sums in another order may differ in the last bits.
        Solution { choices, cost, loss, bound: bound.min(loss) }
    }
}

/// Why an instance has no solution.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KnapsackError {
    /// An item without choices.
    #[error("item {item} has no choices")]
    NoChoices {
        /// Its index.
        item: usize,
    },
    /// A loss that is infinite or no number, or costs that do not add up in 62 bits.
    #[error("item {item} has a choice whose loss is not finite or whose cost is too large")]
    Unfit {
        /// Its index.
        item: usize,
    },
    /// Even the cheapest choices cost too much.
    #[error("the cheapest choices together cost {least}, more than the budget of {budget}")]
    Infeasible {
        /// What they cost.
        least: u64,
        /// What may be spent.
        budget: u64,
    },
    /// The exact dynamic programme would need too large a table.
    #[error("the exact solver's table would have {entries} entries; at most {MAX_TABLE} are made")]
    TooLarge {
        /// Entries of the table.
        entries: u128,
    },
}

/// Sums of costs stay below this, so that differences fit a signed word.
const MAX_COST: u64 = 1 << 62;

fn check(items: &[Vec<Choice>], budget: u64) -> Result<(), KnapsackError> {
    let (mut least, mut most) = (0u64, 0u64);
    for (item, choices) in items.iter().enumerate() {
        let costs = choices.iter().map(|choice| choice.cost);
        let (Some(low), Some(high)) = (costs.clone().min(), costs.max()) else {
            return Err(KnapsackError::NoChoices { item });
        };
        most = most.saturating_add(high);
        if most >= MAX_COST || choices.iter().any(|choice| !choice.loss.is_finite()) {
            return Err(KnapsackError::Unfit { item });
        }
        least += low;
    }
    if least > budget {
        return Err(KnapsackError::Infeasible { least, budget });
    }
    Ok(())
}

/// A solution whose gap is at most `tolerance` (0 for the optimum).
///
/// Should an instance need more than some 10^7 partial solutions, the best one found by then is
/// given, with the bound that holds for it: look at [`Solution::gap`].
///
/// # Errors
/// Items without choices, losses that are not finite, a budget below the cheapest choices.
pub fn solve(
    items: &[Vec<Choice>],
    budget: u64,
    tolerance: f64,
) -> Result<Solution, KnapsackError> {
    check(items, budget)?;
    let relaxation = Relaxation::new(items, budget.min(MAX_COST));
    let slack = tolerance.max(0.0) * relaxation.bound().abs();
    Ok(Core::new(items, &relaxation, slack).solve())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(of: &[(u64, f64)]) -> Vec<Choice> {
        of.iter().map(|&(cost, loss)| Choice { cost, loss }).collect()
    }

    #[test]
    fn an_instance_by_hand() {
        let items = [
            choices(&[(5, 0.0), (3, 1.0), (0, 9.0)]),
            choices(&[(0, 4.0), (4, 0.5)]),
            choices(&[(2, 2.0)]),
        ];
        for (budget, loss, chosen) in
            [(2, 15.0, [2, 0, 0]), (5, 7.0, [1, 0, 0]), (9, 3.5, [1, 1, 0]), (100, 2.5, [0, 1, 0])]
        {
            for solution in [solve(&items, budget, 0.0), solve_exactly(&items, budget)] {
                let solution = solution.unwrap();
                assert_eq!((solution.loss, &solution.choices[..]), (loss, &chosen[..]), "{budget}");
                assert!(solution.cost <= budget && solution.gap() == 0.0, "{solution:?}");
            }
        }
        let infeasible = KnapsackError::Infeasible { least: 2, budget: 1 };
        assert_eq!(solve(&items, 1, 0.0), Err(infeasible.clone()));
        assert_eq!(solve_exactly(&items, 1), Err(infeasible));
    }

    #[test]
    fn unfit_instances_are_refused() {
        assert_eq!(solve(&[vec![]], 1, 0.0), Err(KnapsackError::NoChoices { item: 0 }));
        for bad in [(1, f64::NAN), (u64::MAX, 0.0)] {
            let items = [choices(&[(1, 1.0)]), choices(&[bad])];
            assert_eq!(solve(&items, 9, 0.0), Err(KnapsackError::Unfit { item: 1 }));
        }
        let wide = vec![choices(&[(0, 1.0), (1 << 40, 0.0)])];
        assert!(matches!(solve_exactly(&wide, 1 << 40), Err(KnapsackError::TooLarge { .. })));
        assert_eq!(solve(&wide, 1 << 40, 0.0).unwrap().loss, 0.0);
    }

    #[test]
    fn nothing_to_choose() {
        let empty = solve(&[], 7, 0.0).unwrap();
        assert_eq!((empty.cost, empty.loss, empty.gap()), (0, 0.0, 0.0));
        assert_eq!(solve_exactly(&[], 7).unwrap(), empty);
    }

    /// The optimum of every kind of instance is found, and the bounds hold.
    #[test]
    fn a_thousand_random_instances() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut worst: f64 = 0.0;
        for round in 0..1000 {
            let (items, budget) = synthetic::small(&mut random);
            let optimum = solve_exactly(&items, budget).unwrap();
            for tolerance in [0.0, 1e-3] {
                let solution = solve(&items, budget, tolerance).unwrap();
                let scale = 1e-9 * optimum.loss.abs().max(1.0);
                assert!(solution.cost <= budget, "instance {round}");
                assert!(solution.gap() <= tolerance + 1e-9, "instance {round}: {solution:?}");
                assert!(solution.bound <= optimum.loss + scale, "instance {round}: a false bound");
                assert!(solution.loss >= optimum.loss - scale, "instance {round}: too good");
                let excess = (solution.loss - optimum.loss) / optimum.loss.abs().max(1e-12);
                assert!(excess <= tolerance + 1e-9, "instance {round}: {excess}");
                worst = worst.max(excess);
            }
        }
        assert!(worst <= 1e-3, "{worst}");
    }

    /// As many items as ResNet-50 has channels, solved to a gap of 0.1%.
    #[test]
    fn a_large_instance_has_a_certificate() {
        let items = synthetic::resnet50(&mut fastrand::Rng::with_seed(1));
        assert_eq!(items.len(), 22_720);
        let most: u64 = items.iter().map(|c| c.iter().map(|c| c.cost).max().unwrap()).sum();
        for percent in [1, 6, 18, 60] {
            let budget = most * percent / 100;
            let solution = solve(&items, budget, 1e-3).unwrap();
            assert!(solution.gap() <= 1e-3 && solution.cost <= budget, "{percent}");
            // What is left of the budget is less than one step of one item.
            assert!(budget - solution.cost < 20_000, "{percent}: {}", budget - solution.cost);
        }
    }
}
