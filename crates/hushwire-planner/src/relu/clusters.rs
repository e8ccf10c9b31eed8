//! Clusters of channels that share decisions (Helbitz, Avidan, arXiv 2101.11835), found by what it
//! costs the network's output when one channel follows another's gates.
//!
//! For every two channels of a site and every patch size the squared effect of the one following the
//! other's decisions is measured on calibration images. Prototypes are then added greedily, the one
//! first that helps most; a channel follows the prototype that suits it best, or passes or vanishes.
//! How many prototypes each site gets is a knapsack again.

use hushwire_plan::{ChannelGate, Cluster, Clusters, Gate, Plan, SiteKind};
use hushwire_train::Sensitivity;
use rayon::prelude::*;

use super::PlanError;
use super::costs::Costs;
use super::measure::Measure;
use super::sites::ChoiceSite;
use crate::knapsack::{Choice, solve};

/// Who decides for a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decider {
    /// The mean of its channels.
    Mean,
    /// One of its channels, the prototype.
    Member,
    /// Its channels by how much the output depends on them, in small whole numbers.
    Form,
}

/// Largest coefficient of a form.
const LARGEST: f64 = 8.0;

/// Steps from exact gates to the budget; effects are measured anew around the plan of each.
const STEPS: u32 = 4;

/// What following costs at one site, for one patch size.
struct Following {
    patch: [usize; 2],
    /// `[channel][prototype]`: mean squared effect of the channel following the prototype.
    effects: Vec<f64>,
}

/// Sums over images for one site.
struct Statistics {
    following: Vec<Following>,
    /// Mean squared effects of passing and of vanishing, for each channel.
    alone: [Vec<f64>; 2],
    /// Mean squares of the gradients, for each channel.
    weights: Vec<f64>,
}

/// A channel's fate.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Follows(usize),
    Passes,
    Vanishes,
}

/// The clusters of a site for every number of prototypes, in the order in which they are added.
struct Path {
    patch: [usize; 2],
    prototypes: Vec<usize>,
    /// The summed effect for each number of prototypes, from 0 on.
    losses: Vec<f64>,
}

/// A plan whose channels share decisions in clusters, at a cost of at most `budget`, and its loss.
/// `patches` are the sides of the square patches that may be shared on top; 1 is each location for
/// itself. `done` hears of every batch of images.
///
/// # Errors
/// A budget that cannot be met.
pub fn cluster(
    measure: &mut Measure,
    costs: &Costs,
    budget: u64,
    patches: &[usize],
    decider: Decider,
    done: &mut dyn FnMut(usize),
) -> Result<(Plan, f64), PlanError> {
    let exact = measure.plan(None);
    let mut plan = exact.clone();
    let all = costs.exact - costs.fixed;
    for step in 1..=STEPS {
        let share = (budget as f64 / all).min(1.0).powf(f64::from(step) / f64::from(STEPS));
        let allowed = if step == STEPS { budget } else { (all * share) as u64 };
        let statistics = statistics(measure, &plan, patches, u64::from(step), done)?;
        let paths: Vec<Vec<Path>> = statistics.par_iter().map(Statistics::paths).collect();
        let sites = measure.sites();
        let items: Vec<Vec<Choice>> = (sites.iter().enumerate())
            .map(|(s, site)| {
                let of_path = |path: &Path| {
                    let losses = path.losses.iter().enumerate();
                    let choice = |(count, loss): (usize, &f64)| Choice {
                        cost: path.cost(costs, s, site, count),
                        loss: *loss,
                    };
                    losses.map(choice).collect::<Vec<_>>()
                };
                paths[s].iter().flat_map(of_path).collect()
            })
            .collect();
        let solution = solve(&items, allowed, 1e-3)?;
        for (s, mut choice) in solution.choices.iter().copied().enumerate() {
            let mut at = paths[s].iter();
            let path = at.find(|path| {
                let here = choice < path.losses.len();
                choice -= if here { 0 } else { path.losses.len() };
                here
            });
            if let Some(path) = path {
                let gate = statistics[s].gate(path, choice, decider);
                let name = &sites[s].name;
                let of = |p: &&mut hushwire_plan::Site| {
                    p.kind == SiteKind::Activation && p.node == *name
                };
                plan.sites.iter_mut().find(of).into_iter().for_each(|p| p.gate = gate.clone());
            }
        }
    }
    let loss = measure.loss(&plan, done)?;
    Ok((plan, loss))
}

impl Path {
    /// What the first `count` prototypes cost, if no channel vanishes.
    fn cost(&self, costs: &Costs, index: usize, site: &ChoiceSite, count: usize) -> u64 {
        let unit = &costs.units[index];
        let patches = site.map[0].div_ceil(self.patch[0]) * site.map[1].div_ceil(self.patch[1]);
        let element = if count == 0 { unit.identity } else { unit.member.max(unit.identity) };
        let elements = (site.channels * site.positions()) as f64;
        ((count * patches) as f64 * unit.decision + elements * element).round() as u64
    }
}

fn statistics(
    measure: &mut Measure,
    plan: &Plan,
    patches: &[usize],
    seed: u64,
    done: &mut dyn FnMut(usize),
) -> Result<Vec<Statistics>, PlanError> {
    let sites = measure.sites().to_vec();
    let new = |site: &ChoiceSite| {
        let mut sides: Vec<[usize; 2]> =
            patches.iter().map(|p| [*p.min(&site.map[0]), *p.min(&site.map[1])]).collect();
        sides.dedup();
        let effects = || vec![0.0; site.channels * site.channels];
        let following = sides.into_iter().map(|patch| Following { patch, effects: effects() });
        let zeros = || vec![0.0; site.channels];
        let following = following.collect();
        Statistics { following, alone: [zeros(), zeros()], weights: zeros() }
    };
    let mut all: Vec<Statistics> = sites.iter().map(new).collect();
    measure.directions(plan, seed, done, |i, site, seen| all[i].observe(site, seen))?;
    Ok(all)
}

impl Statistics {
    /// Adds a batch.
    fn observe(&mut self, site: &ChoiceSite, seen: Sensitivity<'_>) {
        let (channels, map) = (site.channels, site.positions());
        let whole = channels * map;
        let [low, high] = site.bounds;
        for start in (0..seen.input.len()).step_by(whole) {
            let (x, g) = (&seen.input[start..start + whole], &seen.gradient[start..start + whole]);
            let products: Vec<f32> = x.iter().zip(g).map(|(x, g)| x * g).collect();
            let exact = |c: usize| -> f32 {
                let range = c * map..(c + 1) * map;
                let pairs = x[range.clone()].iter().zip(&g[range]);
                pairs.map(|(x, g)| x.max(low).min(high) * g).sum()
            };
            let exact: Vec<f32> = (0..channels).into_par_iter().map(exact).collect();
            for (c, exact) in exact.iter().enumerate() {
                let range = c * map..(c + 1) * map;
                let passed: f32 = products[range.clone()].iter().sum();
                self.alone[0][c] += f64::from(passed - exact).powi(2);
                self.alone[1][c] += f64::from(*exact).powi(2);
                self.weights[c] += g[range].iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
            }
            for following in &mut self.following {
                let sums = |v: &[f32]| patch_sums(v, site.map, following.patch);
                let open: Vec<f32> =
                    sums(x).iter().map(|s| if *s >= 0.0 { 1.0 } else { 0.0 }).collect();
                let products = sums(&products);
                let patches = open.len() / channels;
                let rows = following.effects.par_chunks_exact_mut(channels).enumerate();
                rows.for_each(|(c, row)| {
                    let products = &products[c * patches..(c + 1) * patches];
                    for (effect, open) in row.iter_mut().zip(open.chunks_exact(patches)) {
                        let then: f32 = products.iter().zip(open).map(|(p, o)| p * o).sum();
                        *effect += f64::from(then - exact[c]).powi(2);
                    }
                });
            }
        }
    }

    /// For every patch size the clusters for every number of prototypes.
    fn paths(&self) -> Vec<Path> {
        self.following.iter().map(|following| self.path(following)).collect()
    }

    fn path(&self, following: &Following) -> Path {
        let channels = self.weights.len();
        let [passing, vanishing] = &self.alone;
        let mut best: Vec<f64> = passing.iter().zip(vanishing).map(|(a, b)| a.min(*b)).collect();
        let mut path = Path {
            patch: following.patch,
            prototypes: Vec::new(),
            losses: vec![best.iter().sum()],
        };
        while path.prototypes.len() < channels {
            let gain = |p: usize| -> f64 {
                let effects = following.effects.iter().skip(p).step_by(channels);
                best.iter().zip(effects).map(|(best, effect)| (best - effect).max(0.0)).sum()
            };
            let gains: Vec<f64> = (0..channels).into_par_iter().map(gain).collect();
            let most = (0..channels).max_by(|a, b| gains[*a].total_cmp(&gains[*b]));
            let Some(prototype) = most.filter(|p| gains[*p] > 0.0) else { break };
            let effects = following.effects.iter().skip(prototype).step_by(channels);
            best.iter_mut().zip(effects).for_each(|(best, effect)| *best = best.min(*effect));
            path.prototypes.push(prototype);
            path.losses.push(best.iter().sum());
        }
        path
    }

    /// The gate that the first `count` prototypes of a path make.
    fn gate(&self, path: &Path, count: usize, decider: Decider) -> Gate {
        let channels = self.weights.len();
        let prototypes = &path.prototypes[..count];
        let following = self.following.iter().find(|f| f.patch == path.patch);
        let effects = following.map_or(&[][..], |f| &f.effects);
        let fate = |c: usize| {
            let mut best = (self.alone[0][c], Fate::Passes);
            if self.alone[1][c] < best.0 {
                best = (self.alone[1][c], Fate::Vanishes);
            }
            for (k, prototype) in prototypes.iter().enumerate() {
                let effect = effects[c * channels + prototype];
                if effect < best.0 {
                    best = (effect, Fate::Follows(k));
                }
            }
            best.1
        };
        let fates: Vec<Fate> = (0..channels).map(fate).collect();
        let mut list = Vec::new();
        // The number of each fate in the list, if any channel has it.
        let mut numbers: Vec<(Fate, u32)> = Vec::new();
        let of_channel = fates.iter().map(|fate| {
            if let Some((_, number)) = numbers.iter().find(|(known, _)| known == fate) {
                return *number;
            }
            let gate = match fate {
                Fate::Passes => ChannelGate::Identity,
                Fate::Vanishes => ChannelGate::Zero,
                Fate::Follows(_) => ChannelGate::Patch(path.patch[0] as u16, path.patch[1] as u16),
            };
            let form = match fate {
                Fate::Follows(k) => self.form(&fates, *k, prototypes[*k], decider),
                _ => Vec::new(),
            };
            list.push(Cluster { gate, form, copies: None });
            numbers.push((*fate, list.len() as u32 - 1));
            list.len() as u32 - 1
        });
        let of_channel = of_channel.collect();
        Gate::Clusters(Clusters { of_channel, list })
    }

    /// Who decides for the followers of the prototype with number `k`.
    fn form(
        &self,
        fates: &[Fate],
        k: usize,
        prototype: usize,
        decider: Decider,
    ) -> Vec<(u32, i32)> {
        let members = || (0..fates.len()).filter(|c| fates[*c] == Fate::Follows(k));
        match decider {
            Decider::Member => vec![(prototype as u32, 1)],
            Decider::Mean => members().map(|c| (c as u32, 1)).collect(),
            Decider::Form => {
                let weight = |c: usize| self.weights[c].sqrt();
                let most = members().map(weight).fold(f64::MIN_POSITIVE, f64::max);
                let coefficient = |c: usize| (LARGEST * weight(c) / most).round().max(1.0) as i32;
                members().map(|c| (c as u32, coefficient(c))).collect()
            }
        }
    }
}

/// Sums over the patches of every map.
pub(super) fn patch_sums(
    values: &[f32],
    [height, width]: [usize; 2],
    [h, w]: [usize; 2],
) -> Vec<f32> {
    if h == 1 && w == 1 {
        return values.to_vec();
    }
    let across = width.div_ceil(w);
    let per_map = height.div_ceil(h) * across;
    let mut sums = vec![0.0; values.len() / (height * width) * per_map];
    for (map, sums) in values.chunks_exact(height * width).zip(sums.chunks_exact_mut(per_map)) {
        for (y, row) in map.chunks_exact(width).enumerate() {
            for (x, value) in row.iter().enumerate() {
                sums[y / h * across + x / w] += value;
            }
        }
    }
    sums
}
