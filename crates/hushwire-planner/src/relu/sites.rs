//! What can be chosen: a gate for each channel of each activation.

use std::collections::BTreeMap;

use hushwire_graph::{Activation, Graph, NodeId, Op};
use hushwire_plan::{ChannelGate, Gate, Plan, SiteKind};

use super::candidates::candidates;

/// An activation whose channels may share decisions.
#[derive(Clone, Debug)]
pub struct ChoiceSite {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Number of channels.
    pub channels: usize,
    /// Height and width of a channel's map.
    pub map: [usize; 2],
    /// What the activation clamps to; the upper bound of a ReLU is infinite.
    pub bounds: [f32; 2],
    /// What each channel may choose, each element for itself first.
    pub candidates: Vec<ChannelGate>,
    /// The first of its channels among those of all sites.
    pub first: usize,
}

impl ChoiceSite {
    /// Its channels among those of all sites.
    pub fn items(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.channels
    }

    /// Elements of a map.
    pub fn positions(&self) -> usize {
        self.map[0] * self.map[1]
    }
}

/// For every channel of every site, in order, the index of its choice among the site's candidates.
pub type Choices = Vec<u16>;

/// The activations of a graph that are ReLUs, bounded or not; others have no choice.
pub fn sites(graph: &Graph) -> Vec<ChoiceSite> {
    let mut first = 0;
    let mut sites = Vec::new();
    for node in graph.activation_sites() {
        let of = graph.node(node);
        let bounds = match of.op {
            Op::Activation(Activation::Relu) => [0.0, f32::INFINITY],
            Op::Activation(Activation::Clip { min, max }) => [min, max],
            _ => continue,
        };
        let map = match of.shape.0[..] {
            [_, height, width] => [height, width],
            _ => [1, of.shape.0.iter().skip(1).product()],
        };
        let channels = of.shape.0[0];
        let (name, candidates) = (of.name.clone(), candidates(map));
        sites.push(ChoiceSite { node, name, channels, map, bounds, candidates, first });
        first += channels;
    }
    sites
}

/// `base` with the gates that `choices` make; what no longer needs patches is written without.
pub fn with_choices(base: &Plan, sites: &[ChoiceSite], choices: &[u16]) -> Plan {
    let mut gates: BTreeMap<&str, Gate> = BTreeMap::new();
    for site in sites {
        let of_channel = |choice: &u16| site.candidates[usize::from(*choice)];
        let channels: Vec<ChannelGate> = choices[site.items()].iter().map(of_channel).collect();
        gates.insert(&site.name, gate(channels, site.bounds == [0.0, f32::INFINITY]));
    }
    let mut plan = base.clone();
    for site in plan.sites.iter_mut().filter(|site| site.kind == SiteKind::Activation) {
        if let Some(gate) = gates.remove(site.node.as_str()) {
            site.gate = gate;
        }
    }
    plan
}

/// The gate of a node whose channels choose so.
fn gate(channels: Vec<ChannelGate>, relu: bool) -> Gate {
    let all = |gate: ChannelGate| channels.iter().all(|channel| *channel == gate);
    if relu && all(ChannelGate::Patch(1, 1)) {
        Gate::Exact
    } else if all(ChannelGate::Identity) {
        Gate::Identity
    } else if all(ChannelGate::Zero) {
        Gate::Zero
    } else {
        Gate::Patches(channels)
    }
}
