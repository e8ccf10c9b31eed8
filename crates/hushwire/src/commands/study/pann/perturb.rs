//! Which perturbations of activations hurt: everywhere or where inputs are negative, positive or near
//! zero; a constant, random signs or what a polynomial is off; in one layer or in all.

use anyhow::Result;
use hushwire_graph::{Model, NodeId};
use hushwire_plan::PolynomialGate;
use hushwire_planner::polynomial::Layer;
use hushwire_train::{Kind, Mode, Net, Pass, Perturbation, Region};

use super::lab::Lab;
use super::results::Row;

/// The part's name in the table.
pub const PART: &str = "perturbations";

/// Sizes: root mean squares, as shares of that of the layer's values.
pub const SIZES: [f32; 4] = [0.05, 0.1, 0.2, 0.4];

/// The size at which single layers are perturbed.
pub const ALONE: f32 = 0.4;

/// Inputs below this share of a layer's range are near zero.
const NEAR: f32 = 1.0 / 32.0;

/// Precision of the polynomial whose residual is added.
const ALPHA: u32 = 6;

pub const REGIONS: [(&str, Region); 4] = [
    ("negative", Region::Negative),
    ("positive", Region::Positive),
    ("near-zero", Region::Near(NEAR)),
    ("everywhere", Region::Everywhere),
];

pub const KINDS: [(&str, Kind); 3] =
    [("constant", Kind::Constant), ("sign", Kind::Sign), ("residual", Kind::Residual)];

/// How perturbations in different regions are made equal in size.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// The same root mean square over all elements of a layer.
    Energy,
    /// The same magnitude wherever there is one.
    Amplitude,
}

pub const MATCHES: [(&str, Match); 2] =
    [("energy", Match::Energy), ("amplitude", Match::Amplitude)];

/// What a case is called.
pub fn case(matched: &str, place: &str, region: &str, kind: &str, size: f32) -> String {
    format!("matched={matched} place={place} region={region} kind={kind} size={size}")
}

/// What is known of a layer's values.
struct Known {
    node: NodeId,
    gate: PolynomialGate,
    /// Root mean square of the values.
    size: f32,
    /// Share of the inputs in each region.
    shares: [f32; 4],
    /// Root mean square of the residual, over all elements, where only that in a region counts.
    residuals: [f32; 4],
}

/// All cases on one network.
pub fn study(lab: &Lab, model: &Model, seed: u64) -> Result<Vec<Row>> {
    let (layers, _) = lab.fitting.fit(model, &lab.ranges, &[])?;
    let known = layers.iter().map(|layer| know(lab, model, layer)).collect::<Result<Vec<_>>>()?;
    let mut net = Net::new(model, None)?;
    let clean = lab.measure(&net, seed).accuracy;
    let mut rows = Vec::new();
    let mut lost = |chosen: &[&Known], region: usize, kind: usize, matched: Match, size: f32| {
        for layer in &known {
            let added = chosen.iter().any(|c| c.node == layer.node);
            let added = added.then(|| layer.perturbation(region, KINDS[kind].1, matched, size));
            net.perturb(layer.node, &layer.gate, added.flatten())?;
        }
        anyhow::Ok(100.0 * (clean - lab.measure(&net, seed).accuracy))
    };
    let mut add = |case: String, value: f64| {
        let (part, measure) = (PART.to_owned(), "lost points".to_owned());
        rows.push(Row { part, case, seed, alpha: 0, measure, value });
    };
    for (r, (region, _)) in REGIONS.iter().enumerate() {
        for (k, (kind, of_kind)) in KINDS.iter().enumerate() {
            for (name, matched) in MATCHES {
                // A residual has no amplitude of its own.
                if *of_kind == Kind::Residual && matched == Match::Amplitude {
                    continue;
                }
                for size in SIZES {
                    let all: Vec<&Known> = known.iter().collect();
                    let value = lost(&all, r, k, matched, size)?;
                    add(case(name, "all", region, kind, size), value);
                }
            }
            let mut sum = 0.0;
            for layer in &known {
                sum += lost(&[layer], r, k, Match::Energy, ALONE)?;
            }
            let mean = sum / known.len() as f64;
            add(case("energy", "one", region, kind, ALONE), mean);
        }
    }
    Ok(rows)
}

/// Measures a layer on images.
fn know(lab: &Lab, model: &Model, layer: &Layer) -> Result<Known> {
    let gate = lab.fitting.gate(layer, ALPHA);
    let rectifier = gate.rectifier()?;
    let net = Net::new(model, None)?;
    let mut pass = Pass::default();
    let count = lab.ranges.batch().min(256);
    let inputs = &lab.ranges.data[..count * lab.ranges.sample_len()];
    pass.input(&net, count).copy_from_slice(inputs);
    pass.forward(&net, Mode::Test);
    let x = pass.value(net.graph().node(layer.node).inputs[0]);
    let mut values = vec![0.0; x.len()];
    rectifier.bounded(gate.range as f32, x, &mut values);
    let (mut size, mut shares, mut residuals) = (0.0, [0.0; 4], [0.0; 4]);
    for (x, value) in x.iter().zip(&values) {
        size += x.max(0.0).powi(2) as f64;
        let within = [*x < 0.0, *x > 0.0, x.abs() < NEAR * gate.range as f32, true];
        for (r, _) in within.iter().enumerate().filter(|(_, within)| **within) {
            shares[r] += 1.0;
            residuals[r] += f64::from(value - x.max(0.0)).powi(2);
        }
    }
    let n = x.len() as f64;
    Ok(Known {
        node: layer.node,
        gate,
        size: (size / n).sqrt() as f32,
        shares: shares.map(|s| (s / n) as f32),
        residuals: residuals.map(|r| (r / n).sqrt() as f32),
    })
}

impl Known {
    /// Something in a region whose size is this share of the values'; nothing where the region is
    /// empty.
    fn perturbation(
        &self,
        region: usize,
        kind: Kind,
        matched: Match,
        size: f32,
    ) -> Option<Perturbation> {
        let wanted = size * self.size;
        let share = if matched == Match::Energy { self.shares[region] } else { 1.0 };
        let size = match kind {
            Kind::Residual => wanted / self.residuals[region],
            _ => wanted / share.sqrt() / self.gate.range as f32,
        };
        size.is_finite().then_some(Perturbation { kind, region: REGIONS[region].1, size })
    }
}
