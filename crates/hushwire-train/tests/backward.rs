//! Gradients against finite differences of the forward direction.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{everything, inputs, numbers};
use hushwire_graph::Model;
use hushwire_plan::{ChannelGate, Gate, Plan, PolynomialGate, SiteKind};
use hushwire_train::{Mode, Net, Pass};

const SAMPLES: usize = 19;

/// A network with its parameters open to change, and a loss: a fixed linear form of the output.
struct Probe {
    net: Net,
    pass: Pass,
    form: Vec<f32>,
}

impl Probe {
    fn new(net: Net) -> Probe {
        Probe { net, pass: Pass::default(), form: numbers(SAMPLES * 5, 12, 3) }
    }

    fn loss(&mut self) -> f64 {
        // No two alike, so that no sum is zero.
        let input = inputs(SAMPLES, 9).data.into_iter().enumerate();
        let input: Vec<f32> = input.map(|(i, x)| x / 8.0 + (i as f32).sin() / 64.0).collect();
        self.pass.input(&self.net, SAMPLES).copy_from_slice(&input);
        let logits = self.pass.forward(&self.net, Mode::Train);
        logits.iter().zip(&self.form).map(|(y, c)| f64::from(*y) * f64::from(*c)).sum()
    }

    fn gradients(&mut self) -> Vec<Vec<f32>> {
        self.loss();
        let mut to: Vec<_> = self.net.params().iter().map(|p| vec![0.0; p.values.len()]).collect();
        self.pass.backward(&self.net, &self.form, &mut to);
        to
    }

    /// The loss with parameter `i` moved along `direction`.
    fn moved(&mut self, i: usize, direction: &[f32], by: f32) -> f64 {
        let old = self.net.params()[i].values.clone();
        let new = old.iter().zip(direction).map(|(w, d)| w + by * d).collect();
        self.net.set(i, new);
        let loss = self.loss();
        self.net.set(i, old);
        loss
    }

    /// Compares every parameter's gradient along some directions.
    fn check(&mut self) {
        let gradients = self.gradients();
        for (i, gradient) in gradients.iter().enumerate() {
            for seed in 0..3 {
                let direction = numbers(gradient.len(), 100 + seed, 1);
                let (g, d) = (gradient.iter(), direction.iter());
                let slope: f64 = g.zip(d).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
                let scale: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
                let steps = (direction.iter().map(|d| d * d).sum::<f32>()).sqrt().max(1.0);
                // Richardson's extrapolation of two central differences.
                let by = 1e-2 / steps;
                let mut difference = |by: f32| {
                    let ends = self.moved(i, &direction, by) - self.moved(i, &direction, -by);
                    ends / (2.0 * f64::from(by))
                };
                let (near, far) = (difference(by), difference(2.0 * by));
                let found = (4.0 * near - far) / 3.0;
                let name = &self.net.params()[i].name;
                // What single precision adds to differences of losses of some hundreds.
                let noise = 1e-4 / f64::from(by);
                let allowed = 1e-2 * (slope.abs() + scale) + noise;
                let error = (found - slope).abs();
                assert!(error < allowed, "{name}: {slope} by the gradient, {found} by differences");
            }
        }
    }
}

#[test]
fn every_operator() {
    Probe::new(Net::new(&everything("Silu", 0.1), None).unwrap()).check();
}

#[test]
fn normalisations() {
    let mut net = Net::new(&everything("Silu", 0.25), None).unwrap();
    net.normalise();
    assert!(net.params().iter().any(|p| p.name == "conv1.scale"));
    Probe::new(net).check();
}

/// Composite polynomials are smooth: differences say the same as derivatives.
#[test]
fn composite_polynomials() {
    let model: Model = everything("Relu", 0.1);
    let mut plan = Plan::exact(&model.graph);
    for site in plan.sites.iter_mut().filter(|s| s.kind == SiteKind::Activation) {
        site.gate = Gate::Polynomial(PolynomialGate::new(4, 16.0));
    }
    plan.check(&model.graph).unwrap();
    Probe::new(Net::new(&model, Some(&plan)).unwrap()).check();
}

/// The gradient passes where gates are open and does not reach their decisions: where all values
/// of a group move together, differences say the same.
#[test]
fn gates_pass_gradients_where_they_are_open() {
    let model: Model = everything("Relu", 0.25);
    let mut plan = Plan::exact(&model.graph);
    for site in plan.sites.iter_mut().filter(|s| s.kind == SiteKind::Activation) {
        let channels = match site.node.as_str() {
            "act1" => vec![ChannelGate::Patch(4, 3); 4],
            "act2" => vec![ChannelGate::Patch(2, 2); 6],
            _ => continue,
        };
        site.gate = Gate::Patches(channels);
    }
    let mut probe = Probe::new(Net::new(&model, Some(&plan)).unwrap());
    let gradients = probe.gradients();
    // The last layers' parameters decide about nothing behind them: exact differences.
    for (i, gradient) in gradients.iter().enumerate() {
        if !["logits.weight", "logits.bias"].contains(&probe.net.params()[i].name.as_str()) {
            continue;
        }
        let direction = numbers(gradient.len(), 100, 1);
        let slope: f32 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        let found = probe.moved(i, &direction, 0.5) - probe.moved(i, &direction, -0.5);
        assert!(
            (found - f64::from(slope)).abs() < 1e-3 * f64::from(slope.abs()),
            "{slope} {found}"
        );
    }
    // A step of any other parameter that is small enough flips no decision.
    for (i, gradient) in gradients.iter().enumerate() {
        let direction = numbers(gradient.len(), 200, 1);
        let slope: f64 =
            gradient.iter().zip(&direction).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
        let slopes = [1e-3, 2.5e-4, 6e-5, 1.5e-5].map(|by| {
            let ends = probe.moved(i, &direction, by) - probe.moved(i, &direction, -by);
            ends / (2.0 * f64::from(by))
        });
        let scale = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let best = slopes.iter().map(|s| (s - slope).abs()).fold(f64::INFINITY, f64::min);
        let name = &probe.net.params()[i].name;
        assert!(best < 2e-2 * (slope.abs() + scale + 1e-3), "{name}: {slope}, not {slopes:?}");
    }
}
