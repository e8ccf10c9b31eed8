//! Small networks, each with one kind of gate.

use super::MeasureError;
use hushwire_fixed::{Program, Settings, Weights, calibrate, lower};
use hushwire_graph::{
    Activation, Conv, Graph, Metadata, Model, Node, NodeId, Op, OutputKind, ParamId, ParamInfo,
    Params, Shape, Tensor,
};
use hushwire_plan::{ChannelGate, Gate, Plan};
use hushwire_ring::Word;
use std::sync::Arc;

/// Channels, rows and columns: several stripes of parts.
const DIMS: [usize; 3] = [16, 128, 128];

/// The same of a network that has next to nothing to do.
const TINY: [usize; 3] = [16, 2, 2];

/// Elements of every layer.
pub(super) const ELEMENTS: usize = DIMS[0] * DIMS[1] * DIMS[2];

/// What stands behind a weighted layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Nothing.
    Layer,
    /// Nothing, and only a few elements.
    Tiny,
    /// A ReLU of each of a few elements.
    TinyRelu,
    /// A ReLU of every element, comparing this many bits, the sign included.
    Relu(u32),
    /// A ReLU of square patches with sides of this length, each with one decision.
    Patches(u16),
    /// A ReLU of every element as a patch of its own in half of the channels; the others pass.
    Half,
}

/// A network to measure.
pub(super) struct Network<W: Word> {
    pub program: Arc<Program>,
    pub weights: Weights<W>,
    pub image: Vec<f32>,
}

impl<W: Word> Network<W> {
    /// The network whose formats need words of this size.
    pub fn new(kind: Kind) -> Result<Network<W>, MeasureError> {
        let dims = if matches!(kind, Kind::Tiny | Kind::TinyRelu) { TINY } else { DIMS };
        let model = model(dims, !matches!(kind, Kind::Layer | Kind::Tiny));
        model.validate()?;
        let mut plan = Plan::exact(&model.graph);
        let patches = |gates: [ChannelGate; 2]| Gate::Patches(gates.repeat(DIMS[0] / 2));
        if let Some(site) = plan.sites.first_mut() {
            site.gate = match kind {
                Kind::Patches(side) => patches([ChannelGate::Patch(side, side); 2]),
                Kind::Half => patches([ChannelGate::Patch(1, 1), ChannelGate::Identity]),
                Kind::Layer | Kind::Tiny | Kind::TinyRelu | Kind::Relu(_) => Gate::Exact,
            };
        }
        let window_bits = match kind {
            Kind::Relu(bits) => bits,
            _ => Settings::default().window_bits,
        };
        let mut settings = Settings { window_bits, ..Settings::default() };
        if W::BITS > 32 {
            settings = Settings {
                activation_bits: 20,
                weight_bits: 20,
                least_weight_bits: 20,
                preferred_ring: 48,
                ..settings
            };
        }
        let image = image(dims);
        let plan = calibrate(&model, &plan, &image, &settings)?;
        let program = Arc::new(lower(&model.graph, &plan)?);
        let weights = Weights::quantise(&program, &model.params);
        Ok(Network { program, weights, image: image.data })
    }
}

/// One image; pixels from -1 to 1.
fn image(dims: [usize; 3]) -> Tensor {
    let [channels, rows, columns] = dims;
    let count = channels * rows * columns;
    let data = (0..count).map(|i| (i * 31 % 257) as f32 / 128.5 - 1.0).collect();
    Tensor::new(vec![1, channels, rows, columns], data)
}

/// A scale for every channel, what is measured, and one element of it as the result.
fn model(layer: [usize; 3], relu: bool) -> Model {
    let data = (0..layer[0]).map(|c| 0.5 + c as f32 / 32.0).collect();
    let dims = vec![layer[0], 1, 1, 1];
    let weights = Tensor::new(dims.clone(), data);
    let mut nodes = Vec::new();
    let mut push = |name: &str, op, shape: &[usize]| {
        let inputs = nodes.len().checked_sub(1).map(NodeId).into_iter().collect();
        nodes.push(Node { name: name.to_owned(), op, inputs, shape: Shape(shape.to_vec()) });
    };
    push("input", Op::Input, &layer);
    let conv = Conv {
        weight: ParamId(0),
        bias: None,
        stride: [1; 2],
        pads: [0; 4],
        dilation: [1; 2],
        groups: layer[0],
    };
    push("layer", Op::Conv(conv), &layer);
    if relu {
        push("gate", Op::Activation(Activation::Relu), &layer);
    }
    let (start, step, len) = (vec![0; 3], vec![1; 3], vec![1; 3]);
    push("first", Op::Slice { start, step, len }, &[1; 3]);
    let output = NodeId(nodes.len() - 1);
    let graph = Graph {
        nodes,
        input: NodeId(0),
        output,
        params: vec![ParamInfo { name: "layer.weight".to_owned(), dims }],
        metadata: Metadata::default(),
        output_kind: OutputKind::Logits,
    };
    Model { graph, params: Params::new(vec![weights]) }
}
