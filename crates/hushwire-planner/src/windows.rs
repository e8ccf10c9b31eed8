//! Which bits of a deciding form are compared.
//!
//! A window leaves out the lowest bits of a form, and with them the sign of those negative values
//! that have no others: they count as positive. How many those are is known from calibration images,
//! so every gate's window can begin at the highest bit that flips no more than a given share of its
//! decisions. The windows' upper ends stay where calibration put them.

use std::collections::HashMap;

use hushwire_graph::{ExecError, Executor, Model, NodeId, Tensor};
use hushwire_plan::float::{GateHooks, Observed};
use hushwire_plan::{Gate, Plan, SiteKind, Window};

/// Samples that run together.
const BATCH: usize = 16;

/// Widest form that is counted.
const BITS: usize = 64;

/// Why there are no windows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// The plan does not say how values are represented.
    #[error("the plan is not calibrated, so its forms have no bits yet")]
    NotCalibrated,
    /// The images do not fit.
    #[error("the calibration images do not run: {0}")]
    Images(#[from] ExecError),
}

/// The window of a gate.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// Name of the node.
    pub node: String,
    /// Decisions of an inference.
    pub decisions: usize,
    /// The window.
    pub window: Window,
    /// Share of the decisions that may flip, as the images have it.
    pub flips: f64,
}

/// Counts of a gate's forms by the bits of their magnitude, in units of the last place.
#[derive(Clone)]
struct Counts {
    scale: f64,
    /// Of negative values: `[b]` counts those below 2^b that are not below 2^(b-1).
    negative: [u64; BITS + 1],
    all: u64,
}

impl Counts {
    fn add(&mut self, forms: &[f32]) {
        self.all += forms.len() as u64;
        for form in forms.iter().filter(|form| **form < 0.0) {
            let magnitude = (-f64::from(*form) * self.scale).round();
            let bits = if magnitude < 1.0 { 0 } else { magnitude.log2().floor() as usize + 1 };
            self.negative[bits.min(BITS)] += 1;
        }
    }

    /// The share of decisions that flip if the bits below `low` are left out.
    fn flips(&self, low: u32) -> f64 {
        // What rounds to zero counts as positive with any window.
        let flipped: u64 = self.negative[1..=low as usize].iter().sum();
        flipped as f64 / self.all.max(1) as f64
    }
}

/// `plan` with windows that begin as high as `flips`, a share of each gate's decisions, allows, and
/// what they are; activations alone, of networks whose plan is calibrated.
///
/// # Errors
/// Plans that are not calibrated, images that do not fit.
pub fn fit(
    model: &Model,
    plan: &Plan,
    images: &Tensor,
    flips: f64,
) -> Result<(Plan, Vec<Fitted>), WindowError> {
    let graph = &model.graph;
    if !plan.is_calibrated() {
        return Err(WindowError::NotCalibrated);
    }
    let mut counts: HashMap<NodeId, Counts> = HashMap::new();
    // The node whose value decides, for gates in which each element does so for itself.
    let mut sources: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for id in graph.activation_sites() {
        let node = graph.node(id);
        let site = plan.site(&node.name, SiteKind::Activation);
        let Some((site, format)) = site.and_then(|site| Some((site, site.format?))) else {
            continue;
        };
        if format.window.is_none() || matches!(site.gate, Gate::Piecewise(_)) {
            continue;
        }
        let scale = 2f64.powi(format.fractional_bits);
        counts.insert(id, Counts { scale, negative: [0; BITS + 1], all: 0 });
        if site.gate == Gate::Exact {
            sources.entry(node.inputs[0]).or_default().push(id);
        }
    }
    let mut count = |observed: Observed<'_>| match observed {
        Observed::Value(id, value) => {
            for site in sources.get(&id).into_iter().flatten() {
                counts.entry(*site).and_modify(|counts| counts.add(&value.data));
            }
        }
        Observed::Forms(id, forms) => {
            counts.entry(id).and_modify(|counts| counts.add(forms));
        }
        Observed::Outside(..) => {}
    };
    let executor = Executor::new(model);
    let len = images.sample_len();
    for part in images.data.chunks(BATCH * len) {
        let part = Tensor::new(graph.input_shape().with_batch(part.len() / len), part.to_vec());
        executor.run_with(&part, &mut GateHooks::new(graph, plan, &mut count))?;
    }
    let mut plan = plan.clone();
    let mut fitted = Vec::new();
    for id in graph.activation_sites() {
        let name = &graph.node(id).name;
        let Some(counts) = counts.get(&id).filter(|counts| counts.all > 0) else { continue };
        let mut sites = plan.sites.iter_mut();
        let site = sites.find(|s| s.kind == SiteKind::Activation && s.node == *name);
        let Some(format) = site.and_then(|site| site.format.as_mut()) else { continue };
        let Some(window) = &mut format.window else { continue };
        let top = window.low + window.bits;
        // Two bits are the least.
        let mut lows = (0..=top.saturating_sub(2)).rev();
        let low = lows.find(|low| counts.flips(*low) <= flips).unwrap_or(0);
        *window = Window { low, bits: top - low };
        fitted.push(Fitted {
            node: name.clone(),
            decisions: counts.all as usize / images.batch().max(1),
            window: *window,
            flips: counts.flips(low),
        });
    }
    Ok((plan, fitted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_know_what_flips() {
        let mut counts = Counts { scale: 4.0, negative: [0; BITS + 1], all: 0 };
        // In units of a quarter: 0, -0 (rounded), -1, -2, -3, -4, -400, and three positive ones.
        counts.add(&[0.0, -0.1, -0.25, -0.5, -0.75, -1.0, -100.0, 0.25, 1.0, 9.0]);
        let flips = |low| (counts.flips(low) * 10.0).round();
        assert_eq!([0, 1, 2, 3, 9].map(flips), [0.0, 1.0, 3.0, 4.0, 5.0]);
    }
}
