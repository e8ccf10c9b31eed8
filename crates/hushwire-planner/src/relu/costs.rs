//! What choices cost, from predictions of what whole plans cost.

use hushwire_graph::Graph;
use hushwire_plan::{ChannelGate, Form, Gate, Grouping, Plan, SiteKind};

use super::candidates::decisions;
use super::sites::ChoiceSite;

/// Cost of a site's elements.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UnitCosts {
    /// Of a decision.
    pub decision: f64,
    /// Of an element that a decision is applied to.
    pub member: f64,
    /// Of an element that passes unchanged.
    pub identity: f64,
}

/// Costs of all choices.
#[derive(Clone, Debug, PartialEq)]
pub struct Costs {
    /// For each site.
    pub units: Vec<UnitCosts>,
    /// What a plan costs that has no site at all.
    pub fixed: f64,
    /// What the plan with exact gates costs.
    pub exact: f64,
}

impl Costs {
    /// Every decision costs 1, nothing else anything.
    pub fn decisions(sites: &[ChoiceSite]) -> Costs {
        let unit = UnitCosts { decision: 1.0, ..UnitCosts::default() };
        let exact = sites.iter().map(|site| site.channels * site.positions()).sum::<usize>();
        Costs { units: vec![unit; sites.len()], fixed: 0.0, exact: exact as f64 }
    }

    /// From `predict`, which says what a whole plan costs: `exact` is calibrated and has exact gates.
    /// Costs of elements are differences between plans that differ in the gate of one site.
    ///
    /// # Errors
    /// Those of `predict`.
    pub fn predicted<E>(
        exact: &Plan,
        graph: &Graph,
        sites: &[ChoiceSite],
        mut predict: impl FnMut(&Plan) -> Result<f64, E>,
    ) -> Result<Costs, E> {
        let whole = predict(exact)?;
        let mut costs = Costs { units: Vec::new(), fixed: whole, exact: whole };
        for site in sites {
            let elements = graph.node(site.node).shape.len() as f64;
            let alike = |gate: ChannelGate| Gate::Patches(vec![gate; site.channels]);
            let mut with = |gate: Gate| {
                let mut plan = exact.clone();
                let of = |s: &&mut hushwire_plan::Site| {
                    s.kind == SiteKind::Activation && s.node == site.name
                };
                plan.sites.iter_mut().find(of).into_iter().for_each(|s| s.gate = gate.clone());
                predict(&plan)
            };
            // Channel by channel: a whole node that passes would leave its share to another gate.
            let zero = with(alike(ChannelGate::Zero))?;
            let identity = with(alike(ChannelGate::Identity))?;
            let each = with(alike(ChannelGate::Patch(1, 1)))?;
            let [height, width] = site.map.map(|side| side.min(usize::from(u16::MAX)) as u16);
            let one = with(alike(ChannelGate::Patch(height, width)))?;
            let channels = site.channels as f64;
            let decision = ((each - one) / (elements - channels)).max(0.0);
            let unit = UnitCosts {
                // A map of one element cannot tell decisions from members: all is decision.
                decision: if elements > channels { decision } else { (each - zero) / elements },
                member: 0.0,
                identity: ((identity - zero) / elements).max(0.0),
            };
            let member = ((each - zero) / elements - unit.decision).max(0.0);
            costs.units.push(UnitCosts { member, ..unit });
            costs.fixed -= whole - zero;
        }
        Ok(costs)
    }

    /// What a plan would cost beyond its own cost if in every group the majority of the deciding
    /// elements decided, not the sign of a sum: decisions, and their cost. Each element votes by a
    /// comparison of its own, and the votes are counted and compared once more. It is the reference
    /// of Helbitz and Avidan (arXiv 2101.11835), not a gate: it costs more than the exact gates of the
    /// same elements.
    pub fn majority(&self, plan: &Plan, graph: &Graph, sites: &[ChoiceSite]) -> (u64, f64) {
        let votes = |site: &ChoiceSite| {
            let planned = plan.site(&site.name, SiteKind::Activation)?;
            match Grouping::resolve(&planned.gate, &graph.node(site.node).shape.0) {
                Grouping::Mixed { forms, .. } => {
                    let of = |form: &Form| if form.0.len() > 1 { form.0.len() } else { 0 };
                    Some(forms.iter().map(of).sum::<usize>())
                }
                _ => None,
            }
        };
        let votes = sites.iter().map(|site| votes(site).unwrap_or(0));
        votes.zip(&self.units).fold((0, 0.0), |(count, cost), (votes, unit)| {
            (count + votes as u64, cost + votes as f64 * unit.decision)
        })
    }

    /// The cost of a choice for a channel of a site, in whole units.
    pub fn of(&self, site: usize, map: [usize; 2], gate: ChannelGate) -> u64 {
        let unit = &self.units[site];
        let positions = (map[0] * map[1]) as f64;
        let cost = match gate {
            ChannelGate::Patch(..) => {
                decisions(gate, map) as f64 * unit.decision + positions * unit.member
            }
            ChannelGate::Identity => positions * unit.identity,
            ChannelGate::Zero => 0.0,
        };
        cost.round() as u64
    }
}
