//! The forward direction against the executor of `hushwire-graph` under the plan's hooks.
//!
//! Weights and inputs are whole numbers, so that both compute exactly and must agree to the bit.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{everything, inputs, numbers};
use hushwire_graph::testing::{Attribute, OnnxBuilder};
use hushwire_graph::{Executor, Model, Tensor};
use hushwire_plan::float::GateHooks;
use hushwire_plan::{
    ChannelGate, Cluster, Clusters, Gate, Group, Others, Piecewise, Plan, PolynomialGate,
    Prototype, SiteKind,
};
use hushwire_train::{Mode, Net, Pass};

fn plan(model: &Model, gates: &[(&str, Gate)]) -> Plan {
    let mut plan = Plan::exact(&model.graph);
    for (node, gate) in gates {
        let site =
            plan.sites.iter_mut().find(|s| s.node == *node && s.kind == SiteKind::Activation);
        site.unwrap().gate = gate.clone();
    }
    plan
}

fn agree(model: &Model, plan: &Plan) -> Tensor {
    let input = inputs(21, 3);
    let mut ignore = |_: hushwire_plan::float::Observed<'_>| {};
    let mut hooks = GateHooks::new(&model.graph, plan, &mut ignore);
    let expected = Executor::new(model).run_with(&input, &mut hooks).unwrap();
    let net = Net::new(model, Some(plan)).unwrap();
    let mut pass = Pass::default();
    // A second batch of another size in the same buffers.
    for samples in [21, 4] {
        let len = samples * input.sample_len();
        pass.input(&net, samples).copy_from_slice(&input.data[..len]);
        let logits = pass.forward(&net, Mode::Train);
        assert_eq!(logits, &expected.data[..samples * 5]);
    }
    expected
}

#[test]
fn exact_gates() {
    let model = everything("Relu", 1.0);
    agree(&model, &Plan::exact(&model.graph));
}

/// The same function to the bit, of values that both compute nearly alike.
#[test]
fn composite_polynomials() {
    let model = everything("Relu", 0.1);
    let of_range = |range| {
        let gate = Gate::Polynomial(PolynomialGate::new(6, range));
        plan(&model, &[("act1", gate.clone()), ("act2", gate)])
    };
    let (wide, narrow) = (of_range(64.0), of_range(0.25));
    let input = inputs(21, 3);
    let run = |plan: &Plan| {
        let net = Net::new(&model, Some(plan)).unwrap();
        let mut pass = Pass::default();
        pass.input(&net, 21).copy_from_slice(&input.data);
        let logits = pass.forward(&net, Mode::Test).to_vec();
        (logits, pass.outside().map(|(_, n)| n).sum::<usize>())
    };
    let mut outside = 0;
    let mut count = |seen: hushwire_plan::float::Observed<'_>| {
        if let hushwire_plan::float::Observed::Outside(_, n) = seen {
            outside += n;
        }
    };
    let mut hooks = GateHooks::new(&model.graph, &wide, &mut count);
    let expected = Executor::new(&model).run_with(&input, &mut hooks).unwrap();
    let (logits, counted) = run(&wide);
    let largest = expected.data.iter().fold(1.0f32, |m, x| m.max(x.abs()));
    for (a, b) in logits.iter().zip(&expected.data) {
        assert!((a - b).abs() <= 1e-4 * largest, "{a} {b}");
    }
    assert_eq!((outside, counted), (0, 0));
    assert!(run(&narrow).1 > 0, "the range is too small for some inputs");
}

#[test]
fn patches_identity_and_zero() {
    let model = everything("Relu", 1.0);
    let exact = agree(&model, &Plan::exact(&model.graph));
    let channels = vec![
        ChannelGate::Patch(2, 2),
        ChannelGate::Patch(3, 5),
        ChannelGate::Identity,
        ChannelGate::Patch(8, 8),
    ];
    let mut others = vec![ChannelGate::Patch(1, 1); 6];
    others[2] = ChannelGate::Zero;
    others[4] = ChannelGate::Patch(3, 1);
    let gates = [("act1", Gate::Patches(channels)), ("act2", Gate::Patches(others))];
    let shared = agree(&model, &plan(&model, &gates));
    assert_ne!(exact.data, shared.data);
    agree(&model, &plan(&model, &[("act1", Gate::Identity), ("act3", Gate::Zero)]));
}

#[test]
fn groups_with_forms_of_their_own() {
    let model = everything("Relu", 1.0);
    for others in [Others::Exact, Others::Identity, Others::Zero] {
        let list = vec![
            Group { members: (0..40).collect(), form: vec![(3, 2), (17, -1), (90, 1)] },
            Group { members: vec![50, 95, 41], form: vec![(50, 1)] },
        ];
        let vector = Group { members: vec![0, 1, 5], form: vec![(6, -3), (2, 1)] };
        let gates = [
            ("act2", Gate::Groups { list, others }),
            ("act3", Gate::Groups { list: vec![vector], others }),
        ];
        agree(&model, &plan(&model, &gates));
    }
}

#[test]
fn decisions_of_earlier_layers() {
    let weights = |len, seed| numbers(len, seed, 2);
    let conv = |net: OnnxBuilder, i: usize, from: &str, channels: [usize; 2]| {
        let [inputs, outputs] = channels;
        let (w, b, to) = (format!("w{i}"), format!("b{i}"), format!("conv{i}"));
        let len = outputs * inputs * 9;
        net.floats(&w, &[outputs as i64, inputs as i64, 3, 3], &weights(len, i as u64))
            .floats(&b, &[outputs as i64], &weights(outputs, 10 + i as u64))
            .node_with("Conv", &[from, &w, &b], &to, &[("pads", Attribute::Ints(&[1, 1, 1, 1]))])
            .node("Relu", &[&to], &format!("act{i}"))
    };
    let net = conv(OnnxBuilder::new(&[2, 8, 8]), 1, "input", [2, 3]);
    let net = conv(conv(net, 2, "act1", [3, 4]), 3, "act2", [4, 2]);
    let bytes = net
        .node("Flatten", &["act3"], "flat")
        .floats("w", &[128, 5], &weights(640, 7))
        .node("MatMul", &["flat", "w"], "logits")
        .build("logits");
    let model = Model::from_onnx_bytes(&bytes, None).unwrap();
    let exact = agree(&model, &Plan::exact(&model.graph));
    let (small, large) = (ChannelGate::Patch(2, 3), ChannelGate::Patch(8, 4));
    let own = |gate, channel| Cluster { gate, form: vec![(channel, 1)], copies: None };
    let copy = |gate, node: &str, channel| {
        let copies = Some(Prototype { node: node.into(), channel });
        Cluster { gate, form: vec![], copies }
    };
    let clusters = |of_channel: &[u32], list| {
        Gate::Clusters(Clusters { of_channel: of_channel.to_vec(), list })
    };
    let second = clusters(
        &[0, 1, 0, 2],
        vec![copy(small, "act1", 2), own(small, 3), copy(large, "act1", 0)],
    );
    let third = clusters(&[0, 1], vec![copy(small, "act2", 1), copy(small, "act1", 1)]);
    let first = Gate::Patches(vec![large, small, small]);
    let shared =
        agree(&model, &plan(&model, &[("act1", first), ("act2", second), ("act3", third)]));
    assert_ne!(exact.data, shared.data);
}

#[test]
fn piecewise_polynomials() {
    let model = everything("Relu", 1.0);
    let exact = agree(&model, &Plan::exact(&model.graph));
    let function =
        |pieces| Piecewise { input_bits: 4, accumulator_bits: 8, knots: vec![-2.0, 3.0], pieces };
    let bent = function(vec![vec![-1.0], vec![1.0, 2.0], vec![4.0, 1.0]]);
    let zero = function(vec![vec![], vec![2.0, 1.0], vec![5.0]]);
    let gates = [("act1", Gate::Piecewise(bent)), ("act3", Gate::Piecewise(zero))];
    assert_ne!(exact.data, agree(&model, &plan(&model, &gates)).data);
}

#[test]
fn plans_of_other_networks_are_refused() {
    let (model, other) = (everything("Relu", 1.0), everything("Tanh", 1.0));
    assert!(Net::new(&model, Some(&Plan::exact(&other.graph))).is_err());
}

#[test]
fn the_exported_model_is_the_one_that_was_read() {
    let model = everything("Relu", 1.0);
    assert_eq!(Net::new(&model, None).unwrap().to_model(), model);
}
