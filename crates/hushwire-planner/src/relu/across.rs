//! Channels that copy decisions of earlier layers (after DeepShare, arXiv 2512.17398).
//!
//! Where maps have the same size, a channel may follow what a cluster of an earlier layer decides:
//! that costs nothing, as the decision is taken anyway. For every channel of a plan of clusters the
//! squared effect on the output of following each of these is measured; channels that are better off
//! than now change over, and clusters that nobody follows any more are dropped.

use hushwire_plan::{ChannelGate, Cluster, Clusters, Gate, Plan, Prototype, SiteKind};
use hushwire_train::Sensitivity;
use rayon::prelude::*;

use super::PlanError;
use super::clusters::patch_sums;
use super::measure::Measure;
use super::sites::ChoiceSite;

/// How often half of the changes are left out, if all of them lose more.
const HALVINGS: u32 = 4;

/// A cluster that decides itself.
struct Deciding {
    site: usize,
    cluster: usize,
    patch: [usize; 2],
    form: Vec<(u32, i32)>,
}

/// A channel that would better copy.
struct Change {
    site: usize,
    channel: usize,
    /// Whose decisions.
    of: usize,
    gain: f64,
}

/// Sums over images for one site.
struct Effects {
    /// Of each channel as it is.
    now: Vec<f64>,
    /// `[channel][deciding cluster of the sites before]`
    copying: Vec<f64>,
}

/// `plan`, which has clusters, with copies where they lose less; and its loss, which is at most
/// `loss`, the plan's own. `done` hears of every batch of images.
///
/// # Errors
/// A plan that does not fit.
pub fn across(
    measure: &mut Measure,
    plan: Plan,
    loss: f64,
    done: &mut dyn FnMut(usize),
) -> Result<(Plan, f64), PlanError> {
    let sites = measure.sites().to_vec();
    let deciding = deciding(&plan, &sites);
    let mut changes = changes(measure, &plan, &sites, &deciding, done)?;
    changes.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    for halving in 0..=HALVINGS {
        let some = &changes[..changes.len() >> halving];
        if some.is_empty() {
            break;
        }
        let changed = changed(&plan, &sites, &deciding, some);
        let measured = measure.loss(&changed, done)?;
        if measured <= loss {
            return Ok((changed, measured));
        }
    }
    Ok((plan, loss))
}

/// The clusters of a site.
fn clusters<'p>(plan: &'p Plan, site: &ChoiceSite) -> Option<&'p Clusters> {
    match &plan.site(&site.name, SiteKind::Activation)?.gate {
        Gate::Clusters(clusters) => Some(clusters),
        _ => None,
    }
}

fn deciding(plan: &Plan, sites: &[ChoiceSite]) -> Vec<Deciding> {
    let of_site = |(i, site): (usize, &ChoiceSite)| {
        let list = clusters(plan, site).map_or(&[][..], |clusters| &clusters.list[..]);
        let decides = list.iter().enumerate().filter_map(move |(cluster, of)| match of.gate {
            ChannelGate::Patch(h, w) if of.copies.is_none() => Some(Deciding {
                site: i,
                cluster,
                patch: [h.into(), w.into()],
                form: of.form.clone(),
            }),
            _ => None,
        });
        decides.collect::<Vec<_>>()
    };
    sites.iter().enumerate().flat_map(of_site).collect()
}

impl Deciding {
    /// The decisions on a sample of the site's pre-activations, patch by patch.
    fn open(&self, x: &[f32], map: [usize; 2]) -> Vec<bool> {
        let len = map[0] * map[1];
        let mut sums: Vec<f32> = Vec::new();
        for &(channel, k) in &self.form {
            let of = patch_sums(&x[channel as usize * len..][..len], map, self.patch);
            sums.resize(of.len(), 0.0);
            sums.iter_mut().zip(&of).for_each(|(sum, x)| *sum += k as f32 * x);
        }
        sums.iter().map(|sum| *sum >= 0.0).collect()
    }
}

/// Which of the deciding clusters channels of a site may copy.
fn within_reach<'d>(
    sites: &'d [ChoiceSite],
    deciding: &'d [Deciding],
    site: usize,
) -> impl Iterator<Item = (usize, &'d Deciding)> {
    let fits = move |d: &Deciding| d.site < site && sites[d.site].map == sites[site].map;
    deciding.iter().enumerate().filter(move |(_, d)| fits(d))
}

fn changes(
    measure: &mut Measure,
    plan: &Plan,
    sites: &[ChoiceSite],
    deciding: &[Deciding],
    done: &mut dyn FnMut(usize),
) -> Result<Vec<Change>, PlanError> {
    let new = |(i, site): (usize, &ChoiceSite)| {
        let reach = within_reach(sites, deciding, i).count();
        Effects { now: vec![0.0; site.channels], copying: vec![0.0; site.channels * reach] }
    };
    let mut effects: Vec<Effects> = sites.iter().enumerate().map(new).collect();
    // For every deciding cluster its decisions, sample by sample.
    let look = |inputs: &[&[f32]]| -> Vec<Vec<Vec<bool>>> {
        let of = |d: &Deciding| {
            let site = &sites[d.site];
            let samples = inputs[d.site].chunks_exact(site.channels * site.positions());
            samples.map(|x| d.open(x, site.map)).collect()
        };
        deciding.par_iter().map(of).collect()
    };
    let observe =
        |open: &Vec<Vec<Vec<bool>>>, i: usize, site: &ChoiceSite, seen: Sensitivity<'_>| {
            let reach: Vec<(usize, &Deciding)> = within_reach(sites, deciding, i).collect();
            let Effects { now, copying } = &mut effects[i];
            if reach.is_empty() {
                return;
            }
            let rows = copying.par_chunks_exact_mut(reach.len()).zip(now).enumerate();
            rows.for_each(|(channel, (copying, now))| {
                add_effects(site, channel, seen, &reach, open, copying, now);
            });
        };
    measure.directions_after(plan, 1, done, look, observe)?;
    let mut changes = Vec::new();
    for (i, (site, Effects { now, copying })) in sites.iter().zip(&effects).enumerate() {
        let reach: Vec<usize> = within_reach(sites, deciding, i).map(|(d, _)| d).collect();
        if reach.is_empty() || clusters(plan, site).is_none() {
            continue;
        }
        for (channel, (now, copying)) in now.iter().zip(copying.chunks(reach.len())).enumerate() {
            let best = copying.iter().zip(&reach).min_by(|a, b| a.0.total_cmp(b.0));
            if let Some((effect, of)) = best.filter(|(effect, _)| *effect < now) {
                changes.push(Change { site: i, channel, of: *of, gain: now - effect });
            }
        }
    }
    Ok(changes)
}

/// Adds a batch's squared effects, against the activation itself, of a channel as it is and of its
/// copying each of the clusters within reach.
fn add_effects(
    site: &ChoiceSite,
    channel: usize,
    seen: Sensitivity<'_>,
    reach: &[(usize, &Deciding)],
    open: &[Vec<Vec<bool>>],
    copying: &mut [f64],
    now: &mut f64,
) {
    let map = site.positions();
    let starts = (channel * map..seen.input.len()).step_by(site.channels * map);
    for (sample, start) in starts.enumerate() {
        let [x, y, g] = [seen.input, seen.value, seen.gradient].map(|v| &v[start..start + map]);
        let [low, high] = site.bounds;
        let sum = |f: &dyn Fn(f32, f32) -> f32| -> f32 {
            x.iter().zip(y).zip(g).map(|((x, y), g)| f(*x, *y) * g).sum()
        };
        let exact = sum(&|x, _| x.max(low).min(high));
        *now += f64::from(sum(&|_, y| y) - exact).powi(2);
        let products: Vec<f32> = x.iter().zip(g).map(|(x, g)| x * g).collect();
        let mut sums: Option<([usize; 2], Vec<f32>)> = None;
        for (effect, (d, of)) in copying.iter_mut().zip(reach) {
            // Clusters of a site have the same patches as a rule.
            let known = sums.take().filter(|(patch, _)| *patch == of.patch);
            let (_, sums) = sums.insert(
                known.unwrap_or_else(|| (of.patch, patch_sums(&products, site.map, of.patch))),
            );
            let pairs = sums.iter().zip(&open[*d][sample]);
            let then: f32 = pairs.map(|(sum, open)| if *open { *sum } else { 0.0 }).sum();
            *effect += f64::from(then - exact).powi(2);
        }
    }
}

/// The plan with some changes, the last sites' first: a channel whose decisions are copied stays.
fn changed(plan: &Plan, sites: &[ChoiceSite], deciding: &[Deciding], some: &[Change]) -> Plan {
    let mut result = plan.clone();
    // For each deciding cluster the channel by which it is copied.
    let mut prototypes: Vec<Option<usize>> = vec![None; deciding.len()];
    for (i, site) in sites.iter().enumerate().rev() {
        let Some(Clusters { of_channel, list }) = clusters(plan, site) else { continue };
        let (mut of_channel, mut list) = (of_channel.clone(), list.clone());
        for change in some.iter().filter(|change| change.site == i) {
            let frozen = (deciding.iter().zip(&prototypes))
                .any(|(d, prototype)| d.site == i && *prototype == Some(change.channel));
            let of = &deciding[change.of];
            let first = || {
                let Clusters { of_channel, .. } = clusters(plan, &sites[of.site])?;
                of_channel.iter().position(|cluster| *cluster as usize == of.cluster)
            };
            let prototype = prototypes[change.of].or_else(first);
            let Some(prototype) = prototype.filter(|_| !frozen) else { continue };
            prototypes[change.of] = Some(prototype);
            let copies = Prototype { node: sites[of.site].name.clone(), channel: prototype as u32 };
            let [h, w] = of.patch.map(|side| side as u16);
            let gate = ChannelGate::Patch(h, w);
            let cluster = Cluster { gate, form: Vec::new(), copies: Some(copies) };
            let at = list.iter().position(|known| *known == cluster).unwrap_or_else(|| {
                list.push(cluster);
                list.len() - 1
            });
            of_channel[change.channel] = at as u32;
        }
        let gate = Gate::Clusters(without_idle(&of_channel, list));
        let of =
            |s: &&mut hushwire_plan::Site| s.kind == SiteKind::Activation && s.node == site.name;
        result.sites.iter_mut().find(of).into_iter().for_each(|s| s.gate = gate.clone());
    }
    result
}

/// Clusters without those that no channel follows.
fn without_idle(of_channel: &[u32], list: Vec<Cluster>) -> Clusters {
    let mut numbers = vec![None; list.len()];
    let mut kept = Vec::new();
    for (number, (i, cluster)) in numbers.iter_mut().zip(list.into_iter().enumerate()) {
        if of_channel.contains(&(i as u32)) {
            *number = Some(kept.len() as u32);
            kept.push(cluster);
        }
    }
    let of_channel = of_channel.iter().filter_map(|cluster| numbers[*cluster as usize]).collect();
    Clusters { of_channel, list: kept }
}
