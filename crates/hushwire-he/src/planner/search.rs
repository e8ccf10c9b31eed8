//! Dynamic programming over layouts.

use std::collections::HashMap;

use rayon::prelude::*;

use super::candidates::{Source, candidates};
use super::stage::{Way, cheapest, cheapest_aligned};
use super::{Planning, PlanningError};
use crate::Split;
use crate::assemble::only_reader;
use crate::costs::{CostTable, Costs};
use crate::layout::{Layout, Table};
use crate::lower;
use crate::network::{Network, Product, Stage};
use crate::plan::Placement;
use crate::schedule::Schedule;

/// Most states that are kept after each value, the cheapest ones.
const STATES: usize = 64;
/// Entries of matrices that are looked at for one layer, about.
const WORK: usize = 1 << 29;
/// States that are kept however large a layer is.
const FEWEST: usize = 4;

/// The best layouts.
pub(super) struct Found {
    pub(super) placements: Vec<Placement>,
    /// Folds and split of each value.
    pub(super) stages: Vec<(Vec<usize>, Split)>,
    /// Seconds of all of it.
    pub(super) seconds: f64,
}

/// A layout of a value.
struct Candidate {
    placement: Placement,
    /// Nothing for an aligned input, whose table depends on its reader.
    table: Option<Table>,
}

/// Values that are still read, with the number of their candidate.
type State = Vec<(usize, usize)>;

/// How a state was reached.
#[derive(Clone)]
struct Path {
    seconds: f64,
    /// For each value so far its candidate and how it is computed.
    chosen: Vec<(usize, Option<Way>)>,
}

struct Search<'a> {
    network: &'a Network,
    schedule: &'a Schedule,
    costs: &'a CostTable,
    plain: Vec<bool>,
    slots: usize,
    candidates: Vec<Vec<Candidate>>,
}

/// Finds the cheapest layouts for a schedule.
pub(super) fn search(
    network: &Network,
    schedule: &Schedule,
    costs: &CostTable,
    told: &mut dyn FnMut(Planning<'_>),
) -> Result<Found, PlanningError> {
    let slots = 1 << schedule.parameters.log_degree;
    let mut search =
        Search { network, schedule, costs, plain: network.plain(), slots, candidates: Vec::new() };
    let mut states: HashMap<State, Path> = search.input();
    let last_reader = last_readers(network);
    for i in 1..network.values.len() {
        told(Planning {
            log_degree: schedule.parameters.log_degree,
            value: &network.values[i].name,
            done: i - 1,
            of: network.values.len() - 1,
        });
        search.add_candidates(i);
        search.prune(i, &mut states);
        states = search.step(i, states, &last_reader);
        if states.is_empty() {
            return Err(PlanningError::NoLayout {
                value: network.values[i].name.clone(),
                reason: "no candidate can be computed".to_owned(),
            });
        }
    }
    let best = states.into_values().min_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let Path { seconds, chosen } = best.ok_or_else(|| PlanningError::NoLayout {
        value: network.output().name.clone(),
        reason: "the network has no layers".to_owned(),
    })?;
    let none = (Vec::new(), Split { giant: 1, centred: false });
    let placement =
        |(i, (c, _)): (usize, &(usize, Option<Way>))| search.candidates[i][*c].placement.clone();
    Ok(Found {
        placements: chosen.iter().enumerate().map(placement).collect(),
        stages: chosen
            .into_iter()
            .map(|(_, way)| way.map_or_else(|| none.clone(), |way| (way.folds, way.split)))
            .collect(),
        seconds,
    })
}

fn keep_cheapest(states: &mut HashMap<State, Path>, count: usize) {
    if states.len() <= count {
        return;
    }
    let mut kept: Vec<(State, Path)> = states.drain().collect();
    kept.sort_by(|a, b| a.1.seconds.total_cmp(&b.1.seconds).then_with(|| a.0.cmp(&b.0)));
    kept.truncate(count);
    states.extend(kept);
}

/// For each value the last one that reads it.
fn last_readers(network: &Network) -> Vec<usize> {
    let mut last = vec![0; network.values.len()];
    for (i, value) in network.values.iter().enumerate() {
        if let Some(stage) = &value.stage {
            stage.sources().for_each(|source| last[source] = i);
        }
    }
    last
}

impl Search<'_> {
    fn cost(&self, level: usize) -> Costs {
        self.costs.at(self.schedule.parameters.log_degree, level + 1)
    }

    /// The states after the input.
    fn input(&mut self) -> HashMap<State, Path> {
        let input = self.network.input();
        let mut found = Vec::new();
        if only_reader(self.network).is_some() {
            found.push(Candidate { placement: Placement::Aligned, table: None });
        }
        for layout in candidates(&input.shape, None, self.slots) {
            found.extend(self.candidate(&input.shape, layout));
        }
        self.candidates.push(found);
        let encrypt = self.cost(self.schedule.after[0]).encrypt;
        let path = |(c, candidate): (usize, &Candidate)| {
            let ciphertexts = candidate.table.as_ref().map_or(0, |t| t.ciphertexts.len());
            let seconds = ciphertexts as f64 * encrypt;
            (vec![(0, c)], Path { seconds, chosen: vec![(c, None)] })
        };
        self.candidates[0].iter().enumerate().map(path).collect()
    }

    fn candidate(&self, shape: &[usize], layout: Layout) -> Option<Candidate> {
        let table = layout.table(shape, self.slots).ok()?;
        Some(Candidate { placement: Placement::Layout(layout), table: Some(table) })
    }

    /// Layouts of a value, derived from those of what it is computed from.
    fn add_candidates(&mut self, i: usize) {
        let value = &self.network.values[i];
        let mut layouts: Vec<Layout> = Vec::new();
        let mut add = |found: Vec<Layout>| {
            for layout in found {
                if !layouts.contains(&layout) {
                    layouts.push(layout);
                }
            }
        };
        add(candidates(&value.shape, None, self.slots));
        for source in value.stage.iter().flat_map(Stage::sources) {
            let shape = &self.network.values[source].shape;
            for candidate in &self.candidates[source] {
                if let Placement::Layout(layout) = &candidate.placement {
                    let source = Source { shape, layout };
                    add(candidates(&value.shape, Some(source), self.slots));
                }
            }
        }
        let found = layouts.into_iter().filter_map(|l| self.candidate(&value.shape, l)).collect();
        self.candidates.push(found);
    }

    /// Gives up the most expensive states where looking at all of them would take too long: what a
    /// layer's entries cost to look at, times its layouts, times the states.
    fn prune(&self, i: usize, states: &mut HashMap<State, Path>) {
        let entries = self.network.values[i].stage.as_ref().map_or(0, Stage::entries);
        let work = entries.max(1) * self.candidates[i].len().max(1);
        keep_cheapest(states, (WORK / work).max(FEWEST));
    }

    /// The states after value `i`.
    fn step(
        &self,
        i: usize,
        states: HashMap<State, Path>,
        last_reader: &[usize],
    ) -> HashMap<State, Path> {
        let Some(stage) = &self.network.values[i].stage else { return HashMap::new() };
        // The layers between the same layouts are the same.
        let mut tasks: Vec<(Vec<usize>, usize)> = Vec::new();
        let key = |state: &State| -> Vec<usize> {
            let of =
                |source: usize| state.iter().find(|(v, _)| *v == source).map_or(0, |(_, c)| *c);
            stage.sources().map(of).collect()
        };
        for state in states.keys() {
            for c in 0..self.candidates[i].len() {
                let task = (key(state), c);
                if !tasks.contains(&task) {
                    tasks.push(task);
                }
            }
        }
        let ways: HashMap<(Vec<usize>, usize), Option<Way>> = tasks
            .into_par_iter()
            .map(|(sources, c)| {
                let way = self.way(i, stage, &sources, c);
                ((sources, c), way)
            })
            .collect();
        let mut next: HashMap<State, Path> = HashMap::new();
        for (state, path) in states {
            for c in 0..self.candidates[i].len() {
                let Some(way) = &ways[&(key(&state), c)] else { continue };
                let mut live: State =
                    state.iter().filter(|(v, _)| last_reader[*v] > i).copied().collect();
                live.push((i, c));
                let seconds = path.seconds + way.seconds;
                if next.get(&live).is_none_or(|known| seconds < known.seconds) {
                    let mut chosen = path.chosen.clone();
                    chosen.push((c, Some(way.clone())));
                    next.insert(live, Path { seconds, chosen });
                }
            }
        }
        keep_cheapest(&mut next, STATES);
        next
    }

    /// The cheapest way to compute value `i` in candidate `c` from sources in theirs.
    fn way(&self, i: usize, stage: &Stage, sources: &[usize], c: usize) -> Option<Way> {
        let candidate = &self.candidates[i][c];
        let (Placement::Layout(layout), Some(table)) = (&candidate.placement, &candidate.table)
        else {
            return None;
        };
        let costs = self.cost(self.schedule.before[i]);
        let of = |(source, c): (usize, &usize)| &self.candidates[source][*c];
        let sources: Vec<&Candidate> = stage.sources().zip(sources).map(of).collect();
        if let Product::With(_) = stage.product
            && sources.last()?.placement != candidate.placement
        {
            return None;
        }
        let terms = &sources[..stage.terms.len()];
        let mut way = if self.plain[i] {
            if terms[0].placement != candidate.placement {
                return None;
            }
            let split = Split { giant: 1, centred: false };
            Way { folds: Vec::new(), split, seconds: 0.0 }
        } else if let [Candidate { placement: Placement::Aligned, .. }] = terms {
            let (_, matrix) = only_reader(self.network)?;
            cheapest_aligned(matrix, (layout, table), &costs)?
        } else {
            let layouts = terms.iter().map(|candidate| match &candidate.placement {
                Placement::Layout(layout) => Some((layout, candidate.table.as_ref()?)),
                _ => None,
            });
            let layouts: Vec<(&Layout, &Table)> = layouts.collect::<Option<_>>()?;
            cheapest(stage, &layouts, (layout, table), &costs)?
        };
        let ciphertexts = table.ciphertexts.len() as f64;
        let rescalings = (self.schedule.before[i] - self.schedule.after[i]) as f64;
        let product = if stage.product == Product::None { 0.0 } else { costs.product };
        way.seconds += ciphertexts * (product + rescalings * costs.rescaling + costs.addition);
        if i + 1 == self.network.values.len() {
            if lower::remains(table, &way.folds).is_some() {
                return None;
            }
            way.seconds += ciphertexts * self.cost(self.schedule.after[i]).decrypt;
        }
        Some(way)
    }
}
