//! The expanding core: a dynamic programme over the items whose choice the relaxation leaves open.

use super::hull::Relaxation;
use super::{Choice, Solution};

/// Partial solutions that are made before the search gives up on closing the gap.
const MAX_STATES: usize = 1 << 24;

/// No partial solution before this one.
const ROOT: u32 = u32::MAX;

/// Choices of the core's items, against the relaxation's vertices.
#[derive(Clone, Copy, Debug)]
struct State {
    /// Difference in cost.
    cost: i64,
    /// Difference in loss.
    loss: f64,
    /// What was decided: an index into the trace.
    trace: u32,
}

/// One decision on the way to a state.
#[derive(Clone, Copy, Debug)]
struct Step {
    before: u32,
    item: u32,
    choice: u32,
}

/// The search for the optimum between the relaxation's bound and the best solution known.
pub(super) struct Core<'a> {
    items: &'a [Vec<Choice>],
    relaxation: &'a Relaxation,
    /// What the result may lose more than the optimum.
    slack: f64,
    /// Loss of the best solution known.
    best: f64,
    /// Its decisions: ROOT is the relaxation itself; `None` the greedy filling.
    found: Option<u32>,
    trace: Vec<Step>,
    /// The least bound of what was left out.
    excluded: f64,
}

/// Slopes that remaining items offer: the least loss per unit of cost saved, the greatest saving
/// per unit of cost spent.
#[derive(Clone, Copy, Debug)]
struct Slopes {
    down: f64,
    up: f64,
}

impl<'a> Core<'a> {
    pub fn new(items: &'a [Vec<Choice>], relaxation: &'a Relaxation, slack: f64) -> Core<'a> {
        Core {
            items,
            relaxation,
            slack,
            best: f64::INFINITY,
            found: None,
            trace: Vec::new(),
            excluded: f64::INFINITY,
        }
    }

    /// Searches until the gap is closed.
    pub fn solve(mut self) -> Solution {
        let greedy = self.greedy();
        let order = self.order();
        let mut states = vec![State { cost: 0, loss: 0.0, trace: ROOT }];
        let mut offered = order.iter().map(|(_, slopes)| *slopes).chain([Slopes::NONE]);
        let mut rest = offered.next().unwrap_or(Slopes::NONE);
        for ((item, _), after) in order.iter().zip(offered) {
            self.prune(&mut states, rest);
            let made = states.len().saturating_mul(self.items[*item].len());
            if states.is_empty() || self.trace.len() + made > MAX_STATES {
                break;
            }
            rest = after;
            states = self.expand(&states, *item, rest);
        }
        // What is left was neither excluded nor extended: its bound holds.
        let open = states.iter().map(|state| self.bound(state, rest));
        let bound = open.fold(self.excluded.min(self.best), f64::min);
        let choices = match self.found {
            Some(trace) => self.decisions(trace),
            None => greedy,
        };
        Solution::of(self.items, choices, bound.max(self.relaxation.bound()))
    }

    /// The first solution: the relaxation's vertices, and further steps while they fit.
    fn greedy(&mut self) -> Vec<usize> {
        let hulls = &self.relaxation.hulls;
        let at = self.relaxation.filled();
        let chosen = || hulls.iter().zip(&at).map(|(hull, &at)| hull[at]);
        self.best = chosen().map(|vertex| vertex.loss).sum();
        chosen().map(|vertex| vertex.choice).collect()
    }

    /// The items in the order in which the core takes them in, each with the slopes that it and the
    /// items after it offer. Items whose next or last step has a slope near the price come first,
    /// from either side in turn.
    fn order(&self) -> Vec<(usize, Slopes)> {
        let count = self.items.len();
        let (up, down) = (|i: usize| self.relaxation.up(i), |i: usize| self.relaxation.down(i));
        let mut rising: Vec<usize> = (0..count).collect();
        let mut falling = rising.clone();
        rising.sort_by(|&a, &b| up(b).total_cmp(&up(a)));
        falling.sort_by(|&a, &b| down(a).total_cmp(&down(b)));
        let mut taken = vec![false; count];
        let in_turn = rising.into_iter().zip(falling).flat_map(|(a, b)| [a, b]);
        let order = in_turn.filter(|&i| !std::mem::replace(&mut taken[i], true));
        let mut order: Vec<(usize, Slopes)> =
            order.map(|i| (i, Slopes { down: down(i), up: up(i) })).collect();
        let mut rest = Slopes::NONE;
        for (_, slopes) in order.iter_mut().rev() {
            rest = Slopes { down: rest.down.min(slopes.down), up: rest.up.max(slopes.up) };
            *slopes = rest;
        }
        order
    }

    /// No completion of `state` loses less, if the remaining items offer `slopes`.
    fn bound(&self, state: &State, slopes: Slopes) -> f64 {
        let loss = self.relaxation.loss + state.loss;
        let left = self.relaxation.left as i64 - state.cost;
        match left {
            0 => loss,
            ..0 => loss + slopes.down * left.unsigned_abs() as f64,
            _ => loss - slopes.up * left as f64,
        }
    }

    /// Whether nothing with this bound is worth looking for; remembers the bound if so.
    fn excludes(&mut self, bound: f64) -> bool {
        let excluded = bound >= self.best - self.slack;
        if excluded {
            self.excluded = self.excluded.min(bound);
        }
        excluded
    }

    fn prune(&mut self, states: &mut Vec<State>, slopes: Slopes) {
        states.retain(|state| {
            let bound = self.bound(state, slopes);
            !self.excludes(bound)
        });
    }

    /// Every state with every choice of `item` that can still lead to something better, undominated
    /// and in the order of costs. `rest` are the slopes of the items after it.
    fn expand(&mut self, states: &[State], item: usize, rest: Slopes) -> Vec<State> {
        let hull = &self.relaxation.hulls[item];
        let base = hull[self.relaxation.at[item]];
        let mut next: Vec<State> = Vec::new();
        for (choice, option) in self.items[item].iter().enumerate() {
            let cost = option.cost as i64 - base.cost as i64;
            let loss = option.loss - base.loss;
            for state in states {
                let (cost, loss) = (state.cost + cost, state.loss + loss);
                let mut state = State { cost, loss, trace: state.trace };
                let bound = self.bound(&state, rest);
                if self.excludes(bound) {
                    continue;
                }
                if choice != base.choice {
                    let step =
                        Step { before: state.trace, item: item as u32, choice: choice as u32 };
                    state.trace = self.trace.len() as u32;
                    self.trace.push(step);
                }
                let total = self.relaxation.loss + loss;
                if cost <= self.relaxation.left as i64 && total < self.best {
                    self.best = total;
                    self.found = Some(state.trace);
                }
                next.push(state);
            }
        }
        next.sort_by(|a, b| a.cost.cmp(&b.cost).then(a.loss.total_cmp(&b.loss)));
        let mut least = f64::INFINITY;
        next.retain(|state| {
            let better = state.loss < least;
            least = least.min(state.loss);
            better
        });
        next
    }

    /// The choices at the end of a trace.
    fn decisions(&self, mut trace: u32) -> Vec<usize> {
        let vertices = self.relaxation.hulls.iter().zip(&self.relaxation.at);
        let mut choices: Vec<usize> = vertices.map(|(hull, &at)| hull[at].choice).collect();
        while let Some(step) = self.trace.get(trace as usize) {
            choices[step.item as usize] = step.choice as usize;
            trace = step.before;
        }
        choices
    }
}

impl Slopes {
    /// No item remains: nothing can be saved.
    const NONE: Slopes = Slopes { down: f64::INFINITY, up: 0.0 };
}
