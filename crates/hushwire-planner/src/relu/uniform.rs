//! The same patch everywhere: what planning must beat.

use hushwire_plan::{ChannelGate, Gate, Plan, SiteKind};

use super::PlanError;
use super::costs::Costs;
use super::measure::Measure;

/// The plan with the smallest patch, the same for all channels of all sites (cut to their maps),
/// that costs at most `budget`; squares and what lies between them.
///
/// # Errors
/// A budget that patches alone cannot meet.
pub fn uniform(measure: &Measure, costs: &Costs, budget: u64) -> Result<Plan, PlanError> {
    let sites = measure.sites();
    let longest = sites.iter().flat_map(|site| site.map).max().unwrap_or(1);
    let mut least = u64::MAX;
    for size in (1..=longest).flat_map(|side| [[side, side], [side, side + 1]]) {
        let gate = |map: [usize; 2]| {
            let side = |i: usize| size[i].min(map[i]).min(usize::from(u16::MAX)) as u16;
            ChannelGate::Patch(side(0), side(1))
        };
        let of_site = |(i, site): (usize, &super::ChoiceSite)| {
            site.channels as u64 * costs.of(i, site.map, gate(site.map))
        };
        let cost: u64 = sites.iter().enumerate().map(of_site).sum();
        least = least.min(cost);
        if cost > budget {
            continue;
        }
        let mut plan = measure.plan(None);
        for of in plan.sites.iter_mut().filter(|of| of.kind == SiteKind::Activation) {
            if let Some(site) = sites.iter().find(|site| site.name == of.node) {
                of.gate = Gate::Patches(vec![gate(site.map); site.channels]);
            }
        }
        return Ok(plan);
    }
    Err(PlanError::Budget { least, budget })
}
