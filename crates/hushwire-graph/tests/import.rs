//! What import makes of files: structure, folding, metadata, refusals, hostile bytes.

use hushwire_graph::testing::{Attribute, OnnxBuilder};
use hushwire_graph::{
    Activation, Executor, Graph, ImageResize, ImportError, Labels, Model, NodeId, Op, OutputKind,
    Problem, Task, Tensor,
};
use proptest::prelude::*;

fn load(bytes: &[u8]) -> Model {
    Model::from_onnx_bytes(bytes, None).unwrap_or_else(|e| panic!("{e}"))
}

fn problems(bytes: &[u8]) -> Vec<Problem> {
    match Model::from_onnx_bytes(bytes, None) {
        Err(ImportError::Unsupported(problems)) => problems,
        other => panic!("{other:?}"),
    }
}

fn kinds(model: &Model) -> Vec<&'static str> {
    model.graph.nodes.iter().map(|node| node.op.kind()).collect()
}

/// A network with most kinds of nodes: two convolutions with batch normalisation, a residual sum,
/// Silu spelled out, pooling, a reshape by a computed shape, and Softmax.
fn sample_network() -> Vec<u8> {
    let ones = [1.0; 2];
    OnnxBuilder::new(&[2, 4, 4])
        .property("dataset", "cifar10")
        .floats("w", &[2, 2, 3, 3], &[0.1; 36])
        .floats("gamma", &[2], &[2.0, 3.0])
        .floats("beta", &[2], &ones)
        .floats("mean", &[2], &[0.5, 0.25])
        .floats("variance", &[2], &[4.0, 9.0])
        .floats("fc", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        .floats("fc_bias", &[3], &[0.5, 0.5, 0.5])
        .ints("zero", &[0])
        .ints("rest", &[-1])
        .node_with("Conv", &["input", "w"], "conv", &[("pads", Attribute::Ints(&[1, 1, 1, 1]))])
        .node_with(
            "BatchNormalization",
            &["conv", "gamma", "beta", "mean", "variance"],
            "bn",
            &[("epsilon", Attribute::Float(0.0))],
        )
        .node("Sigmoid", &["bn"], "gate")
        .node("Mul", &["bn", "gate"], "silu")
        .node("Add", &["silu", "input"], "sum")
        .node("GlobalAveragePool", &["sum"], "pool")
        .node("Shape", &["input"], "shape")
        .node_with("Gather", &["shape", "zero"], "batch", &[("axis", Attribute::Int(0))])
        .node_with("Concat", &["batch", "rest"], "target", &[("axis", Attribute::Int(0))])
        .node("Reshape", &["pool", "target"], "flat")
        .node("MatMul", &["flat", "fc"], "fc_product")
        .node("Add", &["fc_bias", "fc_product"], "logits")
        .node_with("Softmax", &["logits"], "probabilities", &[("axis", Attribute::Int(-1))])
        .build("probabilities")
}

#[test]
fn a_network_becomes_small() {
    let model = load(&sample_network());
    let names: Vec<&str> = model.graph.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["input", "conv", "silu", "sum", "pool", "flat", "fc_product"]);
    assert_eq!(kinds(&model), ["Input", "Conv", "Silu", "Add", "AveragePool", "Reshape", "Gemm"]);
    assert_eq!(model.graph.output_kind, OutputKind::Softmax);
    assert_eq!(model.graph.output, NodeId(6));
    assert_eq!(model.graph.activation_sites(), [NodeId(2)]);
    let params: Vec<&str> = model.graph.params.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(params, ["conv.weight", "conv.bias", "fc_product.weight", "fc_product.bias"]);
    assert_eq!(model.graph.macs(), 36 * 16 + 6);
    assert_eq!(model.graph.metadata.task, Task::Classification);
    assert_eq!(model.graph.metadata.dataset.as_deref(), Some("cifar10"));
    assert!(model.graph.metadata.preprocess.is_none());
}

#[test]
fn batch_normalisation_is_folded_exactly() {
    let model = load(&sample_network());
    let Op::Conv(conv) = &model.graph.node(NodeId(1)).op else { panic!("a convolution") };
    // gamma / sqrt(variance) is 1 in both channels; beta - mean remains.
    assert_eq!(model.params[conv.weight].data, [0.1; 36]);
    assert_eq!(conv.bias.map(|b| model.params[b].data.clone()), Some(vec![0.5, 0.75]));
    let Op::Gemm(gemm) = &model.graph.node(NodeId(6)).op else { panic!("a Gemm") };
    assert_eq!(model.params[gemm.weight].data, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
}

#[test]
fn graphs_survive_serialisation_and_validation() {
    let model = load(&sample_network());
    let bytes = postcard::to_allocvec(&model.graph).unwrap();
    let graph: Graph = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(graph, model.graph);
    graph.validate().unwrap();
}

#[test]
fn weights_are_not_printed() {
    let model = load(&sample_network());
    let printed = format!("{:?}", model.params);
    assert_eq!(printed, "Params(4 tensors, contents withheld)");
    assert!(!format!("{model:?}").contains("0.1,"));
}

#[test]
fn metadata_of_the_model_zoo() {
    let preprocess = r#"{"scale": 0.5, "mean": [1, 2], "std": [3, 4], "layout": "NCHW",
        "color": "RGB", "resize": {"mode": "fit", "size": [5, 6], "filter": "bilinear", "fill": 127}}"#;
    let file = |labels: &str| {
        OnnxBuilder::new(&[2, 4, 4])
            .property("task", "segmentation")
            .property("preprocess", preprocess)
            .property("labels", labels)
            .node("Relu", &["input"], "relu")
            .build("relu")
    };
    let metadata = load(&file(r#"{"names": ["a", "b"]}"#)).graph.metadata;
    assert_eq!(metadata.task, Task::Segmentation);
    assert_eq!(metadata.labels, Some(Labels::Names(vec!["a".to_owned(), "b".to_owned()])));
    let preprocess = metadata.preprocess.unwrap();
    assert_eq!((preprocess.scale, &preprocess.std[..]), (0.5, &[3.0, 4.0][..]));
    assert!(matches!(preprocess.resize, ImageResize::Fit { size: [5, 6], fill: 127.0, .. }));
    let metadata = load(&file(r#"{"file": "words.txt", "offset": 1}"#)).graph.metadata;
    assert_eq!(metadata.labels, Some(Labels::File { path: "words.txt".to_owned(), offset: 1 }));
    let error = Model::from_onnx_bytes(&file("{}"), None).unwrap_err();
    assert!(matches!(error, ImportError::Metadata { key: "labels", .. }), "{error}");
}

#[test]
fn all_problems_are_reported_at_once() {
    let bytes = OnnxBuilder::new(&[2, 4, 4])
        .floats("w", &[2, 2, 3], &[0.0; 12])
        .node("Conv", &["input", "w"], "conv1d")
        .node("LSTM", &["conv1d"], "lstm")
        .node("Erf", &["input"], "erf")
        .node("Mul", &["erf", "input"], "product")
        .node_with("MaxPool", &["product"], "pool", &[("kernel_shape", Attribute::Ints(&[9, 9]))])
        .node("Softmax", &["input"], "early")
        .node("Relu", &["early"], "after")
        .node("PRelu", &["input", "w"], "prelu")
        .build("prelu");
    let found = problems(&bytes);
    let about = |node: &str| {
        let mut matching = found.iter().filter(|p| p.node == node);
        let problem = matching.next().unwrap_or_else(|| panic!("nothing about {node}: {found:#?}"));
        assert!(matching.next().is_none(), "twice {node}");
        problem.reason.as_str()
    };
    assert!(about("conv1d").contains("two-dimensional convolutions are accepted"));
    assert!(about("lstm").contains("not supported; accepted are Add, ArgMax"));
    assert!(about("product").contains("part of Gelu, HardSwish"));
    assert!(about("pool").contains("does not fit"));
    assert!(about("early").contains("the axis after the batch is accepted"));
    assert!(about("prelu").contains("Relu and LeakyRelu are"));
    let text = ImportError::Unsupported(found.clone()).to_string();
    assert_eq!(text.lines().count(), found.len());
    assert!(text.contains("lstm (LSTM): the operator is not supported"));
}

#[test]
fn refusals_say_what_is_wrong() {
    let refused = |builder: OnnxBuilder, output: &str, expected: &str| {
        let found = problems(&builder.build(output));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].reason.contains(expected), "{:?} lacks '{expected}'", found[0]);
    };
    let image = || OnnxBuilder::new(&[2, 4, 4]);
    refused(image().opset(10).node("Relu", &["input"], "y"), "y", "11 to 21 are accepted");
    refused(image().node("Relu", &["x"], "y"), "y", "input 'x' is not defined");
    refused(image(), "y", "no node computes it");
    refused(image().ints("c", &[1]), "c", "does not depend on the input");
    refused(OnnxBuilder::new(&[2, -1]).node("Relu", &["input"], "y"), "y", "no fixed extent");
    refused(
        image().floats("w", &[1, 2, 1, 1], &[f32::NAN, 1.0]).node("Conv", &["input", "w"], "y"),
        "y",
        "not finite",
    );
    refused(
        image().floats("w", &[1, 3, 1, 1], &[0.0; 3]).node("Conv", &["input", "w"], "y"),
        "y",
        "the number of input channels per group is 2 where 3 is needed",
    );
    refused(
        image().floats("c", &[5], &[0.0; 5]).node("Add", &["input", "c"], "y"),
        "y",
        "broadcast",
    );
    refused(
        image().floats("c", &[3, 1], &[0.0; 2]).node("Relu", &["input"], "y"),
        "y",
        "2 elements",
    );
    refused(
        image().ints("s", &[3, -1]).node("Reshape", &["input", "s"], "y"),
        "y",
        "stays the batch",
    );
    refused(
        image().node("GlobalAveragePool", &["input"], "pool").node("Mul", &["input", "pool"], "y"),
        "y",
        "equal shapes are accepted",
    );
    refused(
        image().node_with("Softmax", &["input"], "s", &[("axis", Attribute::Int(1))]).node(
            "Relu",
            &["s"],
            "y",
        ),
        "y",
        "only accepted at the end",
    );
}

#[test]
fn outputs_beyond_logits_are_recorded() {
    let argmax = OnnxBuilder::new(&[3, 2, 2])
        .node_with("Softmax", &["input"], "s", &[("axis", Attribute::Int(1))])
        .node_with(
            "ArgMax",
            &["s"],
            "a",
            &[("axis", Attribute::Int(1)), ("keepdims", Attribute::Int(0))],
        )
        .node_with("Cast", &["a"], "y", &[("to", Attribute::Int(6))])
        .build("y");
    let model = load(&argmax);
    assert_eq!((kinds(&model), model.graph.output_kind), (vec!["Input"], OutputKind::ArgMax));
    let log = OnnxBuilder::new(&[3]).node("LogSoftmax", &["input"], "y").build("y");
    assert_eq!(load(&log).graph.output_kind, OutputKind::Logits);
}

#[test]
fn shared_activations_keep_their_other_readers() {
    // The gate of a Silu is an output of its own, and its input has a third reader.
    let bytes = OnnxBuilder::new(&[4])
        .node("Sigmoid", &["input"], "gate")
        .node("Mul", &["input", "gate"], "silu")
        .node("Add", &["silu", "gate"], "y")
        .build("y");
    assert_eq!(kinds(&load(&bytes)), ["Input", "Sigmoid", "Silu", "Add"]);
}

#[test]
fn squares_are_written_as_products_and_read_in_either_spelling() {
    let product = OnnxBuilder::new(&[3]).node("Mul", &["input", "input"], "y").build("y");
    let power = OnnxBuilder::new(&[3])
        .floats("two", &[], &[2.0])
        .node("Pow", &["input", "two"], "y")
        .build("y");
    for bytes in [product, power] {
        let model = load(&bytes);
        assert_eq!(kinds(&model), ["Input", "Square"]);
        assert_eq!(load(&model.to_onnx()), model);
        let input = Tensor::new([1, 3], vec![-3.0, 0.5, 2.0]);
        assert_eq!(Executor::new(&model).run(&input).unwrap().data, [9.0, 0.25, 4.0]);
    }
}

#[test]
fn a_single_number_scales_every_channel() {
    let bytes = OnnxBuilder::new(&[2, 1, 2])
        .floats("c", &[], &[3.0])
        .node("Relu", &["input"], "relu")
        .node("Mul", &["relu", "c"], "y")
        .build("y");
    let model = load(&bytes);
    let Op::Affine { scale: Some(scale), shift: None } = model.graph.node(NodeId(2)).op else {
        panic!("{}", model.graph)
    };
    assert_eq!(model.params[scale].data, [3.0, 3.0]);
    let input = Tensor::new([1, 2, 1, 2], vec![-1.0, 1.0, 2.0, 0.5]);
    assert_eq!(Executor::new(&model).run(&input).unwrap().data, [0.0, 3.0, 6.0, 1.5]);
}

#[test]
fn bounds_of_clip() {
    let clip = |bounds: &[&str]| {
        let bytes = OnnxBuilder::new(&[2])
            .floats("zero", &[], &[0.0])
            .floats("six", &[], &[6.0])
            .node("Clip", &[&["input"], bounds].concat(), "y")
            .build("y");
        load(&bytes).graph.nodes.pop().unwrap().op
    };
    let between = |min, max| Op::Activation(Activation::Clip { min, max });
    assert_eq!(clip(&["zero", "six"]), between(0.0, 6.0));
    assert_eq!(clip(&["", "six"]), between(f32::MIN, 6.0));
    assert_eq!(clip(&["six"]), between(6.0, f32::MAX));
    assert_eq!(clip(&["zero"]), Op::Activation(Activation::Relu));
    assert_eq!(clip(&[]), Op::Input);
}

#[test]
fn polynomials_in_any_spelling() {
    let polynomial = |build: fn(OnnxBuilder) -> OnnxBuilder| {
        let numbers = [("half", 0.5), ("two", 2.0), ("three", 3.0)];
        let builder = numbers
            .into_iter()
            .fold(OnnxBuilder::new(&[2]), |b, (name, value)| b.floats(name, &[], &[value]));
        let model = load(&build(builder).build("y"));
        assert_eq!(load(&model.to_onnx()), model);
        match (&model.graph.nodes[..], model.graph.nodes[1].op.clone()) {
            ([_, _], Op::Activation(Activation::Polynomial(p))) => p.coefficients().to_vec(),
            _ => panic!("{}", model.graph),
        }
    };
    // x^2 / 2 + x + 3, in the order of an ordinary exporter.
    let quadratic = polynomial(|b| {
        b.node("Pow", &["input", "two"], "square")
            .node("Mul", &["square", "half"], "scaled")
            .node("Add", &["scaled", "input"], "sum")
            .node("Add", &["sum", "three"], "y")
    });
    assert_eq!(quadratic, [3.0, 1.0, 0.5]);
    let cubic =
        polynomial(|b| {
            b.node("Mul", &["input", "input"], "square")
                .node("Sub", &["square", "three"], "d")
                .node("Mul", &["d", "input"], "y")
        });
    assert_eq!(cubic, [0.0, -3.0, 0.0, 1.0]);
    let horner = polynomial(|b| {
        b.node("Mul", &["input", "two"], "a")
            .node("Add", &["a", "three"], "b")
            .node("Mul", &["b", "input"], "c")
            .node("Mul", &["c", "input"], "y")
    });
    assert_eq!(horner, [0.0, 0.0, 3.0, 2.0]);
}

#[test]
fn exponentials_stand_alone_or_in_what_is_made_of_them() {
    let read = |build: fn(OnnxBuilder) -> OnnxBuilder| {
        let model = load(&build(OnnxBuilder::new(&[2]).floats("one", &[], &[1.0])).build("y"));
        assert_eq!(load(&model.to_onnx()), model);
        match &model.graph.nodes[..] {
            [_, node] => node.op.clone(),
            _ => panic!("{}", model.graph),
        }
    };
    assert_eq!(read(|b| b.node("Exp", &["input"], "y")), Op::Activation(Activation::Exp));
    let softplus = Op::Activation(Activation::Softplus);
    assert_eq!(read(|b| b.node("Softplus", &["input"], "y")), softplus);
    let spelled = read(|b| {
        b.node("Exp", &["input"], "e").node("Add", &["e", "one"], "sum").node("Log", &["sum"], "y")
    });
    assert_eq!(spelled, softplus);
    let sigmoid = read(|b| {
        b.node("Neg", &["input"], "n")
            .node("Exp", &["n"], "e")
            .node("Add", &["e", "one"], "sum")
            .node("Reciprocal", &["sum"], "y")
    });
    assert_eq!(sigmoid, Op::Activation(Activation::Sigmoid));
}

#[test]
fn squares_in_a_row_stay_apart_and_sums_of_others_stay_sums() {
    let bytes = OnnxBuilder::new(&[2])
        .node("Mul", &["input", "input"], "a")
        .node("Mul", &["a", "a"], "b")
        .node("Relu", &["b"], "c")
        .node("Add", &["b", "c"], "y")
        .build("y");
    assert_eq!(kinds(&load(&bytes)), ["Input", "Square", "Square", "Relu", "Add"]);
    let high = OnnxBuilder::new(&[2]).floats("nine", &[], &[9.0]);
    let high = high.node("Pow", &["input", "nine"], "y").build("y");
    assert!(problems(&high)[0].reason.contains("in a polynomial of degree 2 to 7"));
}

#[test]
fn truncated_files_are_errors_or_models() {
    let bytes = sample_network();
    for end in 0..bytes.len() {
        // A cut between two fields leaves a file that is well-formed, so some may even load.
        let _ = Model::from_onnx_bytes(&bytes[..end], None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_files_do_not_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..6),
        run in any::<bool>(),
    ) {
        let mut bytes = sample_network();
        for (index, bit) in flips {
            let index = index.index(bytes.len());
            bytes[index] ^= 1 << bit;
        }
        if let Ok(model) = Model::from_onnx_bytes(&bytes, None) {
            // What was accepted can be run, if it is not too large for a test.
            let elements: usize = model.graph.nodes.iter().map(|n| n.shape.len()).sum();
            if run && elements < 1 << 16 && model.graph.macs() < 1 << 24 {
                let input = Tensor::zeros(&model.graph.input_shape().with_batch(1));
                Executor::new(&model).run(&input).unwrap();
            }
        }
    }

    #[test]
    fn damaged_graphs_are_found_or_run(
        index in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let model = load(&sample_network());
        let mut bytes = postcard::to_allocvec(&model.graph).unwrap();
        let index = index.index(bytes.len());
        bytes[index] ^= 1 << bit;
        if let Ok(graph) = postcard::from_bytes::<Graph>(&bytes) {
            let damaged = Model { graph, params: model.params.clone() };
            let elements: usize = damaged.graph.nodes.iter().map(|n| n.shape.len()).sum();
            if damaged.validate().is_ok() && elements < 1 << 16 {
                let input = Tensor::zeros(&damaged.graph.input_shape().with_batch(1));
                Executor::new(&damaged).run(&input).unwrap();
            }
        }
    }
}
