//! Networks that are measured for their shape: their weights come from a fixed seed.

use hushwire_graph::{
    Activation, Conv, Coordinates, Gemm, Graph, Interpolation, Metadata, Model, NearestRounding,
    Node, NodeId, Op, OutputKind, ParamId, ParamInfo, Params, Pool, Resize, Shape, Tensor,
};

/// Seed of all weights. They are nobody's secret.
const SEED: u64 = 18;

/// ResNet-18 for images of 32x32 pixels: a first convolution of stride 1 and no pool behind it.
pub(super) fn resnet18(classes: usize) -> Model {
    const STAGES: [usize; 4] = [64, 128, 256, 512];
    let mut draft = Draft::new([3, 32, 32]);
    let stem = draft.conv("stem", draft.input(), STAGES[0], 3, 1);
    let mut x = draft.relu(stem);
    for (stage, channels) in STAGES.into_iter().enumerate() {
        for block in 0..2 {
            let name = |part: &str| format!("stage{stage}.{block}.{part}");
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let first = draft.conv(&name("conv1"), x, channels, 3, stride);
            let first = draft.relu(first);
            let second = draft.conv(&name("conv2"), first, channels, 3, 1);
            let shortcut = match stride {
                1 => x,
                _ => draft.conv(&name("shortcut"), x, channels, 1, stride),
            };
            let sum = draft.add(&name("sum"), second, shortcut);
            x = draft.relu(sum);
        }
    }
    let mean = draft.mean(x);
    draft.dense("classes", mean, classes);
    draft.finish()
}

/// Channels, rows and columns of a layer of 2^20 elements.
const MILLION: [usize; 3] = [64, 128, 128];

/// 2^20 ReLUs behind a 3x3 convolution of 64 channels, from which they have their number formats.
/// The convolution works on a small image that is then enlarged, and one element is read at the
/// end, so that next to nothing but the ReLUs costs anything.
pub(super) fn relus() -> Model {
    activations(Activation::Relu)
}

/// 2^20 activations, made as [`relus`] are.
pub(super) fn activations(activation: Activation) -> Model {
    let mut draft = Draft::new([MILLION[0], 16, 16]);
    // Weights for activations whose inputs have the variance one, not two as a ReLU's.
    draft.gain = if activation == Activation::Relu { 1.0 } else { 0.5 };
    let large = draft.large_share();
    let active = draft.activation("large.active", large, activation);
    draft.first_element(active);
    draft.finish()
}

/// 2^18 maxima over windows of four, made as [`relus`] are.
pub(super) fn maxima() -> Model {
    let mut draft = Draft::new([MILLION[0], 16, 16]);
    let large = draft.large_share();
    let [channels, rows, columns] = MILLION;
    let pool = Pool { kernel: [2; 2], stride: [2; 2], pads: [0; 4], count_include_pad: false };
    let pooled = [channels, rows / 2, columns / 2];
    let pool = draft.push("pool", Op::MaxPool(pool), &[large], &pooled);
    draft.first_element(pool);
    draft.finish()
}

/// A network under construction.
struct Draft {
    nodes: Vec<Node>,
    infos: Vec<ParamInfo>,
    tensors: Vec<Tensor>,
    random: fastrand::Rng,
    /// Factor of all weights.
    gain: f32,
}

impl Draft {
    fn new(input: [usize; 3]) -> Draft {
        let mut draft = Draft {
            nodes: Vec::new(),
            infos: Vec::new(),
            tensors: Vec::new(),
            random: fastrand::Rng::with_seed(SEED),
            gain: 1.0,
        };
        draft.push("input", Op::Input, &[], &input);
        draft
    }

    fn input(&self) -> NodeId {
        NodeId(0)
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId], shape: &[usize]) -> NodeId {
        let shape = Shape(shape.to_vec());
        self.nodes.push(Node { name: name.to_owned(), op, inputs: inputs.to_vec(), shape });
        NodeId(self.nodes.len() - 1)
    }

    fn dims(&self, node: NodeId) -> [usize; 3] {
        self.nodes[node.0].shape.as_chw().unwrap_or([1; 3])
    }

    /// Weights that keep the variance of what follows a ReLU.
    fn weight(&mut self, node: &str, dims: &[usize]) -> ParamId {
        let inputs: usize = dims[1..].iter().product();
        let bound = self.gain * (6.0 / inputs as f32).sqrt();
        let count = dims.iter().product();
        let data = (0..count).map(|_| (2.0 * self.random.f32() - 1.0) * bound).collect();
        self.tensors.push(Tensor::new(dims, data));
        self.infos.push(ParamInfo { name: format!("{node}.weight"), dims: dims.to_vec() });
        ParamId(self.infos.len() - 1)
    }

    fn conv(&mut self, name: &str, x: NodeId, out: usize, side: usize, stride: usize) -> NodeId {
        let [channels, rows, columns] = self.dims(x);
        let weight = self.weight(name, &[out, channels, side, side]);
        let op = Op::Conv(Conv {
            weight,
            bias: None,
            stride: [stride; 2],
            pads: [side / 2; 4],
            dilation: [1; 2],
            groups: 1,
        });
        self.push(name, op, &[x], &[out, rows.div_ceil(stride), columns.div_ceil(stride)])
    }

    fn relu(&mut self, x: NodeId) -> NodeId {
        let name = format!("{}.relu", self.nodes[x.0].name);
        self.activation(&name, x, Activation::Relu)
    }

    fn activation(&mut self, name: &str, x: NodeId, activation: Activation) -> NodeId {
        let shape = self.nodes[x.0].shape.0.clone();
        self.push(name, Op::Activation(activation), &[x], &shape)
    }

    fn add(&mut self, name: &str, a: NodeId, b: NodeId) -> NodeId {
        let shape = self.nodes[a.0].shape.0.clone();
        self.push(name, Op::Add, &[a, b], &shape)
    }

    /// The mean of every channel, as a vector.
    fn mean(&mut self, x: NodeId) -> NodeId {
        let [channels, rows, columns] = self.dims(x);
        let (kernel, pads) = ([rows, columns], [0; 4]);
        let pool = Pool { kernel, stride: [1; 2], pads, count_include_pad: false };
        let mean = self.push("mean", Op::AveragePool(pool), &[x], &[channels, 1, 1]);
        self.push("flat", Op::Reshape, &[mean], &[channels])
    }

    fn dense(&mut self, name: &str, x: NodeId, out: usize) -> NodeId {
        let inputs = self.nodes[x.0].shape.len();
        let weight = self.weight(name, &[out, inputs]);
        self.push(name, Op::Gemm(Gemm { weight, bias: None }), &[x], &[out])
    }

    /// 2^20 elements behind a 3x3 convolution.
    fn large_share(&mut self) -> NodeId {
        let conv = self.conv("conv", self.input(), MILLION[0], 3, 1);
        let [_, rows, columns] = self.dims(conv);
        let op = Op::Resize(Resize {
            interpolation: Interpolation::Nearest(NearestRounding::Floor),
            coordinates: Coordinates::Asymmetric,
            scales: [MILLION[1] as f32 / rows as f32, MILLION[2] as f32 / columns as f32],
        });
        self.push("large", op, &[conv], &MILLION)
    }

    fn first_element(&mut self, x: NodeId) -> NodeId {
        let (start, step, len) = (vec![0; 3], vec![1; 3], vec![1; 3]);
        self.push("first", Op::Slice { start, step, len }, &[x], &[1; 3])
    }

    /// The network whose output is the last node.
    fn finish(self) -> Model {
        let output = NodeId(self.nodes.len() - 1);
        let graph = Graph {
            nodes: self.nodes,
            input: NodeId(0),
            output,
            params: self.infos,
            metadata: Metadata::default(),
            output_kind: OutputKind::Logits,
        };
        Model { graph, params: Params::new(self.tensors) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_valid_networks_and_survive_their_file() {
        for model in [resnet18(100), relus(), maxima(), activations(Activation::Mish)] {
            model.validate().unwrap();
            let read = Model::from_onnx_bytes(&model.to_onnx(), None).unwrap();
            assert_eq!(read, model);
        }
    }

    #[test]
    fn resnet18_has_the_size_it_is_known_for() {
        let graph = resnet18(100).graph;
        assert_eq!(graph.macs(), 555_468_800);
        let sites = graph.activation_sites();
        let relus: usize = sites.iter().map(|site| graph.node(*site).shape.len()).sum();
        assert_eq!(relus, 557_056);
    }
}
