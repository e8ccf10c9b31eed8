//! Checking a plan against the graph it is for: every problem at once, by name.

use crate::groups::map_size;
use crate::{ChannelGate, Format, Gate, Plan, Prototype, Site, SiteKind, architecture_hash};
use hushwire_graph::{Activation, Graph, Node, Op};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// Largest coefficient of a deciding form.
const MAX_COEFFICIENT: i32 = 1 << 15;
/// Widest ring.
const MAX_RING: u32 = 64;
/// Bound on fractional bits, in either direction.
const MAX_FRACTIONAL_BITS: u32 = 60;

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The node, layer or field concerned.
    pub place: String,
    /// What is wrong and what would fit.
    pub reason: String,
}

/// The plan does not fit the graph.
#[derive(Clone, Debug, thiserror::Error)]
pub struct CheckError {
    /// Everything that does not fit.
    pub problems: Vec<Problem>,
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plan does not fit the network ({} problems):", self.problems.len())?;
        for p in &self.problems {
            write!(f, "\n  {}: {}", p.place, p.reason)?;
        }
        Ok(())
    }
}

impl Plan {
    /// Checks that the plan fits `graph`.
    ///
    /// # Errors
    /// Everything that does not fit, at once.
    pub fn check(&self, graph: &Graph) -> Result<(), CheckError> {
        let mut check = Checker { problems: Vec::new() };
        check.architecture(self, graph);
        let nodes: HashMap<&str, &Node> =
            graph.nodes.iter().map(|n| (n.name.as_str(), n)).collect();
        if let Some(numbers) = self.numbers {
            check.that((8..=MAX_RING).contains(&numbers.ring), "numbers.ring", || {
                format!("{} bits; 8 to {MAX_RING} are possible", numbers.ring)
            });
            check.fractional("numbers.input", numbers.input.fractional_bits);
        }
        for layer in &self.layers {
            check.fractional(&layer.node, layer.fractional_bits);
            check.that(nodes.contains_key(layer.node.as_str()), &layer.node, || {
                "a layer of that name is not in the network".into()
            });
        }
        let mut seen = HashSet::new();
        for site in &self.sites {
            check.that(seen.insert((&site.node, site.kind)), &site.node, || {
                "the site is named twice".into()
            });
            match nodes.get(site.node.as_str()) {
                None => check.problem(&site.node, "no node of that name is in the network".into()),
                Some(node) => check.site(self, site, node),
            }
        }
        if check.problems.is_empty() {
            check.copies(self, graph);
        }
        for id in graph.activation_sites() {
            let name = &graph.nodes[id.0].name;
            check.that(self.site(name, SiteKind::Activation).is_some(), name, || {
                "the plan names no gate for this activation".into()
            });
        }
        if check.problems.is_empty() {
            Ok(())
        } else {
            Err(CheckError { problems: check.problems })
        }
    }
}

struct Checker {
    problems: Vec<Problem>,
}

impl Checker {
    fn problem(&mut self, place: &str, reason: String) {
        self.problems.push(Problem { place: place.to_owned(), reason });
    }

    fn that(&mut self, holds: bool, place: &str, reason: impl FnOnce() -> String) {
        if !holds {
            self.problem(place, reason());
        }
    }

    fn architecture(&mut self, plan: &Plan, graph: &Graph) {
        let hash = architecture_hash(graph);
        self.that(plan.architecture == hash, "architecture", || {
            format!(
                "the plan was made for network {}, this is {}",
                abbreviate(&plan.architecture),
                abbreviate(&hash)
            )
        });
    }

    fn fractional(&mut self, place: &str, bits: i32) {
        self.that(bits.unsigned_abs() <= MAX_FRACTIONAL_BITS, place, || {
            format!("{bits} fractional bits; at most {MAX_FRACTIONAL_BITS} either way are possible")
        });
    }

    fn site(&mut self, plan: &Plan, site: &Site, node: &Node) {
        let fits = match site.kind {
            SiteKind::Activation => matches!(node.op, Op::Activation(_)),
            SiteKind::MaxPool => matches!(node.op, Op::MaxPool(_)),
            SiteKind::Wire | SiteKind::Output => true,
        };
        self.that(fits, &site.node, || format!("the node is no {}", kind_name(site.kind)));
        self.that(
            site.kind == SiteKind::Activation || site.gate == Gate::Exact,
            &site.node,
            || format!("a {} has no gate to choose", kind_name(site.kind)),
        );
        if site.kind == SiteKind::Activation {
            self.gate(&site.node, &site.gate, &node.shape.0);
            let polynomial = matches!(site.gate, Gate::Polynomial(_));
            self.that(
                !polynomial || node.op == Op::Activation(Activation::Relu),
                &site.node,
                || "composite polynomials stand for Relu, which the node is not".into(),
            );
        }
        if let Some(format) = site.format {
            let ring = plan.numbers.map_or(MAX_RING, |n| n.ring.min(MAX_RING));
            // A piecewise polynomial is computed with more bits than its output keeps.
            let more = match &site.gate {
                Gate::Piecewise(function) => {
                    function.accumulator_bits.saturating_sub(format.fractional_bits)
                }
                _ => 0,
            };
            self.that((0..=MAX_FRACTIONAL_BITS as i32).contains(&more), &site.node, || {
                format!("an output of {} fractional bits from {more} more", format.fractional_bits)
            });
            self.format(&site.node, format, ring, more.clamp(0, 64) as u32);
        }
    }

    /// Checks a format whose gate computes with `more` fractional bits than the output has.
    fn format(&mut self, node: &str, format: Format, ring: u32, more: u32) {
        self.fractional(node, format.fractional_bits);
        let most = ring.saturating_sub(more);
        self.that((3..=most).contains(&format.width), node, || {
            format!("a width of {} bits; 3 to {most}, the ring's width, are possible", format.width)
        });
        if let Some(w) = format.window {
            let fits = w.bits >= 2
                && w.bits <= MAX_RING
                && w.low <= MAX_RING
                && w.low + w.bits <= format.width.saturating_add(more);
            self.that(fits, node, || {
                format!(
                    "the window of {} bits from bit {} does not lie within the width of {} bits (and has 2 bits at least)",
                    w.bits, w.low, format.width
                )
            });
        }
    }

    fn gate(&mut self, node: &str, gate: &Gate, dims: &[usize]) {
        let len: usize = dims.iter().product();
        match gate {
            Gate::Exact | Gate::Identity | Gate::Zero => {}
            Gate::Piecewise(function) => {
                if let Some(reason) = function.problem() {
                    self.problem(node, format!("its piecewise polynomial: {reason}"));
                }
            }
            Gate::Polynomial(polynomial) => {
                if let Some(reason) = polynomial.problem() {
                    self.problem(node, format!("its composite polynomial: {reason}"));
                }
            }
            Gate::Patches(channels) => {
                self.count(node, channels.len(), dims);
                for (c, gate) in channels.iter().enumerate() {
                    self.patch(node, &format!("channel {c}"), *gate, dims);
                }
            }
            Gate::Clusters(clusters) => {
                self.count(node, clusters.of_channel.len(), dims);
                let unknown = |c: &&u32| **c as usize >= clusters.list.len();
                if let Some(c) = clusters.of_channel.iter().find(unknown) {
                    self.problem(
                        node,
                        format!("a channel belongs to cluster {c}, which is not listed"),
                    );
                }
                for (c, cluster) in clusters.list.iter().enumerate() {
                    let place = format!("cluster {c}");
                    self.patch(node, &place, cluster.gate, dims);
                    let count = dims.first().copied().unwrap_or(0);
                    let mut taken = HashSet::new();
                    let fits = |i: u32| (i as usize) < count;
                    let once = cluster.form.iter().all(|(i, _)| fits(*i) && taken.insert(*i));
                    self.that(once, node, || {
                        format!("{place}: its form names a channel twice, or one of {count} that is not there")
                    });
                    let decides =
                        matches!(cluster.gate, ChannelGate::Patch(..)) && cluster.copies.is_none();
                    self.that(!decides || good_form(&cluster.form), node, || bad_form(&place));
                }
            }
            Gate::Groups { list, .. } => {
                let mut taken = HashSet::new();
                for (g, group) in list.iter().enumerate() {
                    let elements = group.members.iter().chain(group.form.iter().map(|(i, _)| i));
                    if let Some(i) = elements.into_iter().find(|i| **i as usize >= len) {
                        self.problem(node, format!("group {g} names element {i} of {len}"));
                    }
                    if let Some(m) = group.members.iter().find(|m| !taken.insert(**m)) {
                        self.problem(node, format!("element {m} is a member twice (group {g})"));
                    }
                    self.that(good_form(&group.form), node, || bad_form(&format!("group {g}")));
                }
            }
        }
    }

    /// Checks clusters that copy decisions, in a plan in which everything else fits.
    fn copies(&mut self, plan: &Plan, graph: &Graph) {
        let order: HashMap<&str, (usize, &Node)> =
            graph.nodes.iter().enumerate().map(|(i, n)| (n.name.as_str(), (i, n))).collect();
        for site in &plan.sites {
            let Gate::Clusters(clusters) = &site.gate else { continue };
            let Some((place, node)) = order.get(site.node.as_str()) else { continue };
            for (c, cluster) in clusters.list.iter().enumerate() {
                let Some(Prototype { node: name, channel }) = &cluster.copies else { continue };
                let mut refuse = |reason: &str| {
                    let reason =
                        format!("cluster {c} copies channel {channel} of {name}, {reason}");
                    self.problem(&site.node, reason);
                };
                if !matches!(cluster.gate, ChannelGate::Patch(..)) || !cluster.form.is_empty() {
                    refuse("so it needs patches, and no form");
                }
                let earlier = order.get(name.as_str()).filter(|(at, _)| at < place);
                let of = earlier.and_then(|_| plan.site(name, SiteKind::Activation));
                let (Some((_, prototype)), Some(of)) = (earlier, of) else {
                    refuse("which is no activation before it");
                    continue;
                };
                let dims = &prototype.shape.0;
                if map_size(dims) != map_size(&node.shape.0) || dims.len() != node.shape.0.len() {
                    refuse("whose map has another size");
                }
                match of.gate.of_channel(*channel) {
                    None => refuse("which decides nothing that can be copied"),
                    Some(gate) if gate != cluster.gate => refuse("which has other patches"),
                    Some(_) => {}
                }
            }
        }
    }

    fn count(&mut self, node: &str, channels: usize, dims: &[usize]) {
        let count = dims.first().copied().unwrap_or(0);
        self.that(channels == count, node, || {
            format!("{channels} channels have patches, the node has {count}")
        });
    }

    fn patch(&mut self, node: &str, place: &str, gate: ChannelGate, dims: &[usize]) {
        let (h, w) = map_size(dims);
        if let ChannelGate::Patch(ph, pw) = gate {
            self.that((ph as usize) <= h && (pw as usize) <= w, node, || {
                format!("{place}: a {ph}x{pw} patch on a {h}x{w} map")
            });
        }
    }
}

/// Whether a form decides something, with coefficients within bounds.
fn good_form(form: &[(u32, i32)]) -> bool {
    let bounded = |k: i32| k != 0 && (-MAX_COEFFICIENT..=MAX_COEFFICIENT).contains(&k);
    !form.is_empty() && form.iter().all(|(_, k)| bounded(*k))
}

fn bad_form(place: &str) -> String {
    format!("{place}: a form needs coefficients between 1 and {MAX_COEFFICIENT} in magnitude")
}

fn kind_name(kind: SiteKind) -> &'static str {
    match kind {
        SiteKind::Activation => "activation",
        SiteKind::MaxPool => "max pool",
        SiteKind::Wire => "wire",
        SiteKind::Output => "output",
    }
}

fn abbreviate(hash: &str) -> String {
    hash.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractional_bits_at_the_edges_of_their_type_are_refused() {
        for (bits, fits) in [(60, true), (-60, true), (61, false), (i32::MIN, false)] {
            let mut check = Checker { problems: Vec::new() };
            check.fractional("conv", bits);
            assert_eq!(check.problems.is_empty(), fits, "{bits}");
        }
    }
}
