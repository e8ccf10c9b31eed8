//! The float executor against direct definitions and values computed by hand.

#![expect(clippy::unwrap_used, reason = "a test")]

use hushwire_graph::testing::{Attribute, OnnxBuilder};
use hushwire_graph::{ExecError, Executor, Hooks, Model, Node, NodeId, Op, Tensor};
use proptest::prelude::*;

fn load(bytes: &[u8]) -> Model {
    Model::from_onnx_bytes(bytes, None).unwrap_or_else(|e| panic!("{e}"))
}

/// Distinct small numbers that are exact in sums and products.
fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7 + i / 5) % 11) as f32 - 5.0).collect()
}

fn run(model: &Model, data: &[f32]) -> Tensor {
    let shape = model.graph.input_shape().with_batch(data.len() / model.graph.input_shape().len());
    Executor::new(model).run(&Tensor::new(shape, data.to_vec())).unwrap()
}

/// A node with a 1x4x4 input that counts from 0.
fn on_counting_image(operator: &str, attributes: &[(&str, Attribute<'_>)]) -> Tensor {
    let builder = OnnxBuilder::new(&[1, 4, 4]).node_with(operator, &["input"], "y", attributes);
    let counting: Vec<f32> = (0..16).map(|i| i as f32).collect();
    run(&load(&builder.build("y")), &counting)
}

/// The definition of a convolution, for one sample.
fn direct(x: &[f32], w: &Tensor, bias: &[f32], in_shape: [usize; 3], model: &Model) -> Vec<f32> {
    let Op::Conv(conv) = &model.graph.node(NodeId(1)).op else { panic!("a convolution") };
    let [out_channels, rows, columns] = model.graph.output_shape().as_chw().unwrap();
    let [_, per_group, kernel_height, kernel_width] = w.shape[..] else { panic!("four axes") };
    let at = |c: usize, y: usize, x_: usize| {
        let y = y.checked_sub(conv.pads[0]).filter(|y| *y < in_shape[1]);
        let x_ = x_.checked_sub(conv.pads[1]).filter(|x| *x < in_shape[2]);
        y.zip(x_).map_or(0.0, |(y, x_)| x[(c * in_shape[1] + y) * in_shape[2] + x_])
    };
    let mut out = Vec::new();
    for (o, bias) in bias.iter().enumerate().take(out_channels) {
        for y in 0..rows {
            for x_ in 0..columns {
                let mut sum = *bias;
                for c in 0..per_group {
                    for ky in 0..kernel_height {
                        for kx in 0..kernel_width {
                            let weight = w.data
                                [((o * per_group + c) * kernel_height + ky) * kernel_width + kx];
                            let channel = o / (out_channels / conv.groups) * per_group + c;
                            let row = y * conv.stride[0] + ky * conv.dilation[0];
                            let column = x_ * conv.stride[1] + kx * conv.dilation[1];
                            sum += weight * at(channel, row, column);
                        }
                    }
                }
                out.push(sum);
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn convolution_by_definition(
        groups in 1_usize..4,
        [per_group, per_group_out] in [1_usize..4, 1_usize..4],
        extent in [1_usize..9, 1_usize..9],
        kernel in [1_usize..4, 1_usize..4],
        stride in [1_i64..4, 1_i64..4],
        dilation in [1_i64..3, 1_i64..3],
        pads in [0_i64..4, 0_i64..4, 0_i64..4, 0_i64..4],
        batch in 1_usize..4,
    ) {
        let (channels, outputs) = (groups * per_group, groups * per_group_out);
        let in_shape = [channels, extent[0], extent[1]];
        let w_shape = [outputs, per_group, kernel[0], kernel[1]];
        let weight = Tensor::new(w_shape, numbers(w_shape.iter().product()));
        let bias = numbers(outputs);
        let bytes = OnnxBuilder::new(&in_shape.map(|e| e as i64))
            .floats("w", &w_shape.map(|e| e as i64), &weight.data)
            .floats("b", &[outputs as i64], &bias)
            .node_with("Conv", &["input", "w", "b"], "y", &[
                ("group", Attribute::Int(groups as i64)),
                ("strides", Attribute::Ints(&stride)),
                ("dilations", Attribute::Ints(&dilation)),
                ("pads", Attribute::Ints(&pads)),
            ])
            .build("y");
        // Windows larger than the padded input are refused.
        let Ok(model) = Model::from_onnx_bytes(&bytes, None) else { return Ok(()) };
        let len: usize = in_shape.iter().product();
        let input = numbers(batch * len);
        let output = run(&model, &input);
        for (n, sample) in input.chunks(len).enumerate() {
            let expected = direct(sample, &weight, &bias, in_shape, &model);
            prop_assert_eq!(output.sample(n), expected);
        }
    }
}

#[test]
fn pools_by_hand() {
    let window = ("kernel_shape", Attribute::Ints(&[2, 2]));
    let stride = ("strides", Attribute::Ints(&[2, 2]));
    let pads = ("pads", Attribute::Ints(&[1, 1, 0, 0]));
    let ceil = ("ceil_mode", Attribute::Int(1));
    let count = ("count_include_pad", Attribute::Int(1));
    let max = on_counting_image("MaxPool", &[window.clone(), stride.clone()]);
    assert_eq!(max.data, [5., 7., 13., 15.]);
    let padded = [window, stride, pads, ceil];
    let max = on_counting_image("MaxPool", &padded);
    assert_eq!(max.data, [0., 2., 3., 8., 10., 11., 12., 14., 15.]);
    let mean = on_counting_image("AveragePool", &padded);
    assert_eq!(mean.data, [0., 1.5, 3., 6., 7.5, 9., 12., 13.5, 15.]);
    let mean = on_counting_image("AveragePool", &[&padded[..3], &[count]].concat());
    assert_eq!(mean.data, [0., 0.75, 3., 7.5]);
    assert_eq!(on_counting_image("GlobalMaxPool", &[]).data, [15.]);
    let axes = ("axes", Attribute::Ints(&[2, 3]));
    let mean = on_counting_image("ReduceMean", &[axes, ("keepdims", Attribute::Int(0))]);
    assert_eq!((mean.shape, mean.data), (vec![1, 1], vec![7.5]));
}

#[test]
fn resampling_by_hand() {
    let resize = |mode: &str, coordinates: &str, scale: f32| {
        let bytes = OnnxBuilder::new(&[1, 1, 2])
            .floats("scales", &[4], &[1.0, 1.0, 1.0, scale])
            .node_with(
                "Resize",
                &["input", "", "scales"],
                "y",
                &[
                    ("mode", Attribute::Text(mode)),
                    ("coordinate_transformation_mode", Attribute::Text(coordinates)),
                ],
            )
            .build("y");
        run(&load(&bytes), &[0.0, 6.0]).data
    };
    assert_eq!(resize("linear", "align_corners", 2.0), [0., 2., 4., 6.]);
    assert_eq!(resize("linear", "half_pixel", 2.0), [0., 1.5, 4.5, 6.]);
    assert_eq!(resize("linear", "asymmetric", 2.0), [0., 3., 6., 6.]);
    assert_eq!(resize("nearest", "half_pixel", 2.0), [0., 0., 6., 6.]);
    assert_eq!(resize("linear", "pytorch_half_pixel", 0.5), [0.]);
}

#[test]
fn movement_by_hand() {
    let image = || OnnxBuilder::new(&[2, 2]);
    let data = [1., 2., 3., 4.];
    let check = |builder: OnnxBuilder, shape: &[usize], expected: &[f32]| {
        let output = run(&load(&builder.build("y")), &data);
        assert_eq!((&output.shape[1..], &output.data[..]), (shape, expected));
    };
    let perm = ("perm", Attribute::Ints(&[0, 2, 1]));
    check(image().node_with("Transpose", &["input"], "y", &[perm]), &[2, 2], &[1., 3., 2., 4.]);
    let axis = ("axis", Attribute::Int(-1));
    check(
        image().node_with("Concat", &["input", "input"], "y", &[axis]),
        &[2, 4],
        &[1., 2., 1., 2., 3., 4., 3., 4.],
    );
    check(
        image().ints("pads", &[0, 1, 0, 0, 0, 1]).floats("value", &[], &[9.0]).node(
            "Pad",
            &["input", "pads", "value"],
            "y",
        ),
        &[3, 3],
        &[9., 9., 9., 1., 2., 9., 3., 4., 9.],
    );
    check(
        image().ints("start", &[-1]).ints("end", &[i64::MAX]).ints("axis", &[2]).node(
            "Slice",
            &["input", "start", "end", "axis"],
            "y",
        ),
        &[2, 1],
        &[2., 4.],
    );
    check(image().node("Flatten", &["input"], "y"), &[4], &data);
    check(image().node("Sub", &["input", "input"], "y"), &[2, 2], &[0.; 4]);
}

/// Replaces every activation by its input and counts the values it sees.
#[derive(Default)]
struct Linearise {
    seen: Vec<(NodeId, Vec<usize>)>,
}

impl Hooks for Linearise {
    fn replace(&mut self, _id: NodeId, node: &Node, inputs: &[&Tensor]) -> Option<Tensor> {
        matches!(node.op, Op::Activation(_)).then(|| inputs[0].clone())
    }

    fn observe(&mut self, id: NodeId, value: &Tensor) {
        self.seen.push((id, value.shape.clone()));
    }
}

#[test]
fn hooks_see_and_replace() {
    let bytes = OnnxBuilder::new(&[2])
        .node("Relu", &["input"], "relu")
        .node("Add", &["relu", "input"], "y")
        .build("y");
    let model = load(&bytes);
    let input = Tensor::new([1, 2], vec![-1.0, 2.0]);
    let executor = Executor::new(&model);
    let mut values = Vec::new();
    let output =
        executor.run_observed(&input, &mut |id, value| values.push((id.0, value.data.clone())));
    assert_eq!(output.unwrap().data, [-1.0, 4.0]);
    assert_eq!(values, [(0, vec![-1., 2.]), (1, vec![0., 2.]), (2, vec![-1., 4.])]);
    let mut hooks = Linearise::default();
    assert_eq!(executor.run_with(&input, &mut hooks).unwrap().data, [-2.0, 4.0]);
    assert_eq!(hooks.seen.len(), 3);
}

struct WrongShape;

impl Hooks for WrongShape {
    fn replace(&mut self, _: NodeId, _: &Node, _: &[&Tensor]) -> Option<Tensor> {
        Some(Tensor::zeros(&[1]))
    }
}

#[test]
fn wrong_shapes_are_errors() {
    let model = load(&OnnxBuilder::new(&[2]).node("Relu", &["input"], "y").build("y"));
    let executor = Executor::new(&model);
    let error = executor.run(&Tensor::zeros(&[1, 3])).unwrap_err();
    assert_eq!(error, ExecError::InputShape { expected: vec![2], got: vec![1, 3] });
    let error = executor.run_with(&Tensor::zeros(&[1, 2]), &mut WrongShape).unwrap_err();
    assert!(matches!(error, ExecError::HookShape { node: NodeId(0), .. }));
}

#[test]
fn a_batch_in_parts_is_the_same_batch() {
    // Values of 2^18 elements, so that parts are small.
    let bytes = OnnxBuilder::new(&[1, 512, 512])
        .floats("w", &[1, 1, 3, 3], &numbers(9))
        .node("Conv", &["input", "w"], "conv")
        .node("Relu", &["conv"], "relu")
        .node("GlobalAveragePool", &["relu"], "y")
        .build("y");
    let model = load(&bytes);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let batch = 2 * threads.max(2) + 1;
    let input = Tensor::new([batch, 1, 512, 512], numbers(batch << 18));
    let executor = Executor::new(&model);
    let whole = executor.run_observed(&input, &mut |_, _| {}).unwrap();
    assert_eq!(executor.run(&input).unwrap(), whole);
    assert_eq!(executor.run(&Tensor::zeros(&[0, 1, 512, 512])).unwrap().shape, [0, 1, 1, 1]);
}
