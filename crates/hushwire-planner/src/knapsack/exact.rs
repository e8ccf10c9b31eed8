//! The dynamic programme over the budget: the reference.

use super::{Choice, KnapsackError, Solution, check};

/// Entries of the largest table that [`solve_exactly`] makes.
pub const MAX_TABLE: u128 = 1 << 28;

/// The optimum, in time and memory proportional to the budget.
///
/// # Errors
/// As [`solve`](super::solve), and budgets for which the table, of items x budget, is too large.
pub fn solve_exactly(items: &[Vec<Choice>], budget: u64) -> Result<Solution, KnapsackError> {
    check(items, budget)?;
    // More than everything is never spent.
    let most = |choices: &Vec<Choice>| choices.iter().map(|choice| choice.cost).max().unwrap_or(0);
    let budget = budget.min(items.iter().map(most).sum());
    let entries = (u128::from(budget) + 1) * items.len() as u128;
    if entries > MAX_TABLE {
        return Err(KnapsackError::TooLarge { entries });
    }
    let columns = budget as usize + 1;
    // least[b]: the least loss of the items so far at a cost of at most b.
    let mut least = vec![0.0; columns];
    let mut chosen = vec![0u32; columns * items.len()];
    for (choices, chosen) in items.iter().zip(chosen.chunks_exact_mut(columns)) {
        let mut next = vec![f64::INFINITY; columns];
        for (index, choice) in choices.iter().enumerate() {
            let Some(room) = columns.checked_sub(choice.cost as usize) else { continue };
            let targets = next.iter_mut().zip(chosen.iter_mut()).skip(choice.cost as usize);
            for ((next, chosen), before) in targets.zip(&least[..room]) {
                if before + choice.loss < *next {
                    *next = before + choice.loss;
                    *chosen = index as u32;
                }
            }
        }
        least = next;
    }
    // `least` does not rise with the budget, so its last entry is the best.
    let mut room = columns - 1;
    let mut choices = vec![0; items.len()];
    let rows = chosen.chunks_exact(columns).zip(items).zip(&mut choices);
    for ((row, item), choice) in rows.rev() {
        *choice = row[room] as usize;
        room -= item[*choice].cost as usize;
    }
    let bound = least[columns - 1];
    let mut solution = Solution::of(items, choices, bound);
    solution.bound = solution.loss;
    Ok(solution)
}
