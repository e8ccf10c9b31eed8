//! Suite `planner`: planning shared decisions, and training with them.

use anyhow::{Result, ensure};
use fastrand::Rng;
use hushwire_planner::knapsack::{solve, solve_exactly, synthetic};

use hushwire_train::resnet20_step_seconds;

use super::Bench;
use super::timing::fastest;

/// Random instances that are solved exactly as well.
const INSTANCES: usize = 1000;

/// The gap at which the solver stops.
const TOLERANCE: f64 = 1e-3;

/// Percent of all costs that the instance of ResNet-50's size may spend.
const BUDGET: u64 = 6;

/// Training steps of which the shortest counts.
const STEPS: usize = 5;

/// Runs the suite.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    bench.measure(["knapsack.worst_gap_percent"], || Ok([100.0 * worst_gap()?]))?;
    bench.measure(["knapsack.resnet50_seconds"], || Ok([seconds()?]))?;
    bench.measure(["train.resnet20_step_seconds"], || Ok([resnet20_step_seconds(STEPS)?]))
}

/// The largest share by which a solution loses more than the optimum.
fn worst_gap() -> Result<f64> {
    let mut random = Rng::with_seed(1);
    let mut worst: f64 = 0.0;
    for _ in 0..INSTANCES {
        let (items, budget) = synthetic::small(&mut random);
        let optimum = solve_exactly(&items, budget)?.loss;
        let found = solve(&items, budget, TOLERANCE)?.loss;
        // Losses are never negative here, and where the least is 0, 0 must be found.
        ensure!(optimum > 0.0 || found == 0.0, "a loss of {found} where 0 is possible");
        worst = worst.max((found - optimum) / optimum.max(f64::MIN_POSITIVE));
    }
    Ok(worst)
}

fn seconds() -> Result<f64> {
    let items = synthetic::resnet50(&mut Rng::with_seed(1));
    let dearest = items.iter().filter_map(|item| item.iter().map(|c| c.cost).max());
    let budget = dearest.sum::<u64>() * BUDGET / 100;
    let gap = solve(&items, budget, TOLERANCE)?.gap();
    ensure!(gap <= TOLERANCE, "the solver left a gap of {gap}");
    Ok(fastest(|| solve(&items, budget, TOLERANCE)))
}
