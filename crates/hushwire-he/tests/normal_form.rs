//! The normal form computes what the graph does, and what it cannot hold is refused by name.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{difference, float, float_under, input, rectified, weights, with_polynomial};
use hushwire_graph::Model;
use hushwire_graph::testing::{Attribute, OnnxBuilder};
use hushwire_he::Network;
use hushwire_plan::{Gate, Plan, PolynomialGate};

/// Two paths of convolutions with borders, pooling, a shift per channel, a quadratic and a cubic
/// polynomial, a sum and a join.
fn branching() -> Model {
    let mut rng = fastrand::Rng::with_seed(5);
    let same = [("pads", Attribute::Ints(&[1, 1, 1, 1]))];
    let pool = [("kernel_shape", Attribute::Ints(&[2, 2])), ("strides", Attribute::Ints(&[2, 2]))];
    let bytes = OnnxBuilder::new(&[2, 6, 6])
        .floats("w1", &[4, 2, 3, 3], &weights(&mut rng, 72, 18))
        .floats("b1", &[4], &weights(&mut rng, 4, 18))
        .floats("w2", &[4, 4, 3, 3], &weights(&mut rng, 144, 36))
        .floats("half", &[], &[0.5])
        .floats("fc", &[72, 3], &weights(&mut rng, 216, 72))
        .ints("rest", &[1, -1])
        .node_with("Conv", &["input", "w1", "b1"], "conv1", &same)
        .node("Mul", &["conv1", "conv1"], "square")
        .node("Mul", &["square", "half"], "scaled")
        .node("Add", &["scaled", "conv1"], "quadratic")
        .node_with("Conv", &["quadratic", "w2"], "conv2", &same)
        .node("Add", &["conv2", "quadratic"], "sum")
        .node("Mul", &["sum", "sum"], "sum_squared")
        .node("Mul", &["sum_squared", "sum"], "cubed")
        .node("Sub", &["cubed", "sum"], "cubic")
        .node_with("AveragePool", &["cubic"], "pool1", &pool)
        .node_with("AveragePool", &["quadratic"], "pool2", &pool)
        .node_with("Concat", &["pool1", "pool2"], "join", &[("axis", Attribute::Int(1))])
        .node("Flatten", &["join"], "flat")
        .node("MatMul", &["flat", "fc"], "logits")
        .build("logits");
    Model::from_onnx_bytes(&bytes, None).unwrap()
}

#[test]
fn the_normal_form_computes_the_same() {
    let model = branching();
    let network = Network::new(&model, &[]).unwrap();
    for seed in 0..4 {
        let x = input(&model, seed);
        let values: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        let trace = network.trace(&values);
        assert!(difference(trace.values.last().unwrap(), &float(&model, &x)) < 1e-4);
    }
}

fn with_relu() -> Model {
    let mut rng = fastrand::Rng::with_seed(6);
    let bytes = OnnxBuilder::new(&[1, 4, 4])
        .floats("w", &[2, 1, 3, 3], &weights(&mut rng, 18, 9))
        .node("Conv", &["input", "w"], "conv")
        .node("Relu", &["conv"], "relu")
        .node_with("MaxPool", &["relu"], "max", &[("kernel_shape", Attribute::Ints(&[2, 2]))])
        .build("max");
    Model::from_onnx_bytes(&bytes, None).unwrap()
}

#[test]
fn comparisons_are_refused_all_at_once_and_by_name() {
    let refusal = Network::new(&with_relu(), &[]).unwrap_err();
    let names: Vec<&str> = refusal.nodes.iter().map(|node| node.node.as_str()).collect();
    assert_eq!(names, ["relu", "max"]);
    let text = refusal.to_string();
    assert!(text.contains("Relu needs comparisons") && text.contains("degree 2 to 7"), "{text}");
    assert!(text.contains("an average over the same windows"), "{text}");
}

/// Products of the stages' circuits, in the places where the plan has polynomials.
#[test]
fn composite_polynomials_are_products() {
    let model = rectified();
    for alpha in [4, 7, 10] {
        let gate = PolynomialGate::new(alpha, 8.0);
        let plan = with_polynomial(&model, gate);
        let network = Network::new(&model, &plan.sites).unwrap();
        let products = network.values.iter().filter_map(|v| v.stage.as_ref());
        let products = products.filter(|s| s.product != hushwire_he::Product::None).count();
        let degrees = gate.sign().unwrap().degrees();
        assert_eq!(products as u32, degrees.multiplications(), "alpha {alpha}");
        for seed in 0..4 {
            let x = input(&model, seed);
            let values: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
            let trace = network.trace(&values);
            let float = float_under(&model, &plan, &x);
            assert!(difference(trace.values.last().unwrap(), &float) < 1e-3, "alpha {alpha}");
        }
    }
}

#[test]
fn gates_that_compare_nothing_are_linear() {
    let model = with_relu();
    let mut plan = Plan::exact(&model.graph);
    plan.sites[0].gate = Gate::Identity;
    let refusal = Network::new(&model, &plan.sites).unwrap_err();
    let names: Vec<&str> = refusal.nodes.iter().map(|node| node.node.as_str()).collect();
    assert_eq!(names, ["max"]);
}
