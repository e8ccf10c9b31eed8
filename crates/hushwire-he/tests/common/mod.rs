//! Networks and helpers for tests.

#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests, each test uses some")]

use hushwire_graph::testing::{Attribute, OnnxBuilder};
use hushwire_graph::{Executor, Model, Tensor};
use hushwire_plan::float::{GateHooks, Observed};
use hushwire_plan::{Gate, Plan, PolynomialGate};

/// Weights of about unit variance over `fan_in`.
pub fn weights(rng: &mut fastrand::Rng, len: usize, fan_in: usize) -> Vec<f32> {
    let bound = (3.0 / fan_in as f32).sqrt();
    (0..len).map(|_| (2.0 * rng.f32() - 1.0) * bound).collect()
}

/// LoLa's network for MNIST: convolution 5 x 5 of stride 2 to 5 x 13 x 13, square, 845 to 100,
/// square, 100 to 10.
pub fn lola(seed: u64) -> Model {
    let mut rng = fastrand::Rng::with_seed(seed);
    let bytes = OnnxBuilder::new(&[1, 28, 28])
        .floats("w1", &[5, 1, 5, 5], &weights(&mut rng, 125, 25))
        .floats("b1", &[5], &weights(&mut rng, 5, 25))
        .floats("w2", &[100, 845], &weights(&mut rng, 84_500, 845))
        .floats("b2", &[100], &weights(&mut rng, 100, 845))
        .floats("w3", &[10, 100], &weights(&mut rng, 1000, 100))
        .floats("b3", &[10], &weights(&mut rng, 10, 100))
        .node_with(
            "Conv",
            &["input", "w1", "b1"],
            "conv",
            &[("strides", Attribute::Ints(&[2, 2])), ("pads", Attribute::Ints(&[1, 1, 0, 0]))],
        )
        .node("Mul", &["conv", "conv"], "square1")
        .node("Flatten", &["square1"], "flat")
        .node_with("Gemm", &["flat", "w2", "b2"], "dense1", &[("transB", Attribute::Int(1))])
        .node("Mul", &["dense1", "dense1"], "square2")
        .node_with("Gemm", &["square2", "w3", "b3"], "logits", &[("transB", Attribute::Int(1))])
        .build("logits");
    Model::from_onnx_bytes(&bytes, None).unwrap()
}

/// A convolution to 2 x 14 x 14, ReLU, and a dense layer.
pub fn rectified() -> Model {
    let mut rng = fastrand::Rng::with_seed(7);
    let bytes = OnnxBuilder::new(&[1, 16, 16])
        .floats("w", &[2, 1, 3, 3], &weights(&mut rng, 18, 9))
        .node("Conv", &["input", "w"], "conv")
        .node("Relu", &["conv"], "relu")
        .node("Flatten", &["relu"], "flat")
        .floats("fc", &[392, 3], &weights(&mut rng, 1176, 392))
        .node("MatMul", &["flat", "fc"], "logits")
        .build("logits");
    Model::from_onnx_bytes(&bytes, None).unwrap()
}

/// A plan with a composite polynomial in the place of its ReLU.
pub fn with_polynomial(model: &Model, gate: PolynomialGate) -> Plan {
    let mut plan = Plan::exact(&model.graph);
    plan.sites[0].gate = Gate::Polynomial(gate);
    plan
}

/// The float executor's result under a plan.
pub fn float_under(model: &Model, plan: &Plan, input: &[f32]) -> Vec<f64> {
    let mut ignore = |_: Observed<'_>| {};
    let mut hooks = GateHooks::new(&model.graph, plan, &mut ignore);
    let batch = Tensor::new(model.graph.input_shape().with_batch(1), input.to_vec());
    let result = Executor::new(model).run_with(&batch, &mut hooks).unwrap();
    result.data.into_iter().map(f64::from).collect()
}

/// An input of numbers between -1 and 1.
pub fn input(model: &Model, seed: u64) -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..model.graph.input_shape().len()).map(|_| 2.0 * rng.f32() - 1.0).collect()
}

/// The float executor's result.
pub fn float(model: &Model, input: &[f32]) -> Vec<f64> {
    let shape = model.graph.input_shape().with_batch(1);
    let result = Executor::new(model).run(&Tensor::new(shape, input.to_vec())).unwrap();
    result.data.into_iter().map(f64::from).collect()
}

/// The largest difference.
pub fn difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |worst, (a, b)| worst.max((a - b).abs()))
}
