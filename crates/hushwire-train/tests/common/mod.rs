//! Networks for tests.

use hushwire_graph::testing::{Attribute, OnnxBuilder};
use hushwire_graph::{Model, Tensor};

/// Whole numbers between -limit and limit that look random.
pub fn numbers(len: usize, seed: u64, limit: i64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| random.i64(-limit..=limit) as f32).collect()
}

/// A network with every operator, and whole weights scaled by `scale`.
pub fn everything(activation: &str, scale: f32) -> Model {
    let weights =
        |len, seed| -> Vec<f32> { numbers(len, seed, 2).into_iter().map(|w| w * scale).collect() };
    let ints = |values: &'static [i64]| Attribute::Ints(values);
    let window = [("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2]))];
    let act = |builder: OnnxBuilder, input: &str, name: &str| match activation {
        "Silu" => {
            let gate = format!("{name}/gate");
            builder.node("Sigmoid", &[input], &gate).node("Mul", &[input, &gate], name)
        }
        other => builder.node(other, &[input], name),
    };
    let net = OnnxBuilder::new(&[2, 8, 8])
        .floats("w1", &[4, 2, 3, 3], &weights(72, 1))
        .floats("b1", &[4], &weights(4, 2))
        .node_with("Conv", &["input", "w1", "b1"], "conv1", &[("pads", ints(&[1, 1, 1, 1]))]);
    let net = act(net, "conv1", "act1")
        .node_with("MaxPool", &["act1"], "max", &window)
        .floats("w2", &[6, 2, 3, 3], &weights(108, 3))
        .floats("b2", &[6], &weights(6, 4))
        .node_with(
            "Conv",
            &["max", "w2", "b2"],
            "conv2",
            &[("pads", ints(&[1, 1, 1, 1])), ("group", Attribute::Int(2))],
        );
    let net = act(net, "conv2", "act2")
        .node_with("Concat", &["act2", "max"], "joined", &[("axis", Attribute::Int(1))])
        .ints("starts", &[1])
        .ints("ends", &[9])
        .ints("axes", &[1])
        .node("Slice", &["joined", "starts", "ends", "axes"], "slice")
        .ints("pads", &[0, 0, 1, 1, 0, 0, 1, 1])
        .floats("one", &[], &[1.0])
        .node("Pad", &["slice", "pads", "one"], "padded")
        .node_with("AveragePool", &["padded"], "mean", &window)
        .floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node_with(
            "Resize",
            &["mean", "", "scales"],
            "larger",
            &[
                ("mode", Attribute::Text("nearest")),
                ("coordinate_transformation_mode", Attribute::Text("asymmetric")),
                ("nearest_mode", Attribute::Text("floor")),
            ],
        )
        .floats("scale", &[8, 1, 1], &weights(8, 5))
        .floats("shift", &[8, 1, 1], &weights(8, 6))
        .node("Mul", &["larger", "scale"], "scaled")
        .node("Add", &["scaled", "shift"], "shifted")
        .node("Add", &["shifted", "padded"], "sum")
        .node("Sub", &["sum", "larger"], "difference")
        .node_with("Transpose", &["difference"], "turned", &[("perm", ints(&[0, 2, 3, 1]))])
        .node_with("Flatten", &["turned"], "flat", &[("axis", Attribute::Int(1))])
        .floats("w3", &[7, 288], &weights(7 * 288, 7))
        .floats("b3", &[7], &weights(7, 8))
        .node_with("Gemm", &["flat", "w3", "b3"], "fc", &[("transB", Attribute::Int(1))]);
    let bytes = act(net, "fc", "act3")
        .floats("w4", &[5, 7], &weights(35, 9))
        .floats("b4", &[5], &weights(5, 10))
        .node_with("Gemm", &["act3", "w4", "b4"], "logits", &[("transB", Attribute::Int(1))])
        .build("logits");
    Model::from_onnx_bytes(&bytes, None).expect("the file is sound")
}

/// A batch of inputs for [`everything`].
pub fn inputs(samples: usize, limit: i64) -> Tensor {
    Tensor::new([samples, 2, 8, 8], numbers(samples * 128, 11, limit))
}
