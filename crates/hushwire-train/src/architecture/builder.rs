//! Graphs under construction, with random weights.

use hushwire_graph::{
    Activation, Conv, Gemm, Graph, Metadata, Model, Node, NodeId, Op, OutputKind, ParamId,
    ParamInfo, Params, Pool, Shape, Tensor,
};
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, StandardNormal};

use crate::random::{Use, stream};

/// A graph whose last node is read by the next one, unless another is named.
pub(super) struct Builder {
    nodes: Vec<Node>,
    infos: Vec<ParamInfo>,
    tensors: Vec<Tensor>,
    activation: Activation,
    random: Xoshiro256PlusPlus,
}

/// Side, stride and padding of square windows, the padding before and after.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub side: usize,
    pub stride: usize,
    pub pads: [usize; 2],
}

impl Window {
    pub(super) const fn new(side: usize, stride: usize, pad: usize) -> Self {
        Self { side, stride, pads: [pad; 2] }
    }

    fn output(self, extent: usize) -> usize {
        (extent + self.pads[0] + self.pads[1] - self.side) / self.stride + 1
    }
}

impl Builder {
    /// Begins with the input.
    pub(super) fn new(shape: [usize; 3], activation: Activation, seed: u64) -> Self {
        let random = stream(seed, Use::Weights, [0, 0]);
        let (nodes, infos, tensors) = (Vec::new(), Vec::new(), Vec::new());
        let mut builder = Self { nodes, infos, tensors, activation, random };
        builder.push("input", Op::Input, Vec::new(), shape.to_vec());
        builder
    }

    /// The last node.
    pub(super) fn last(&self) -> NodeId {
        NodeId(self.nodes.len() - 1)
    }

    fn push(&mut self, name: &str, op: Op, inputs: Vec<NodeId>, shape: Vec<usize>) -> NodeId {
        self.nodes.push(Node { name: name.to_owned(), op, inputs, shape: Shape(shape) });
        self.last()
    }

    fn chain(&mut self, name: &str, op: Op, shape: Vec<usize>) -> NodeId {
        let last = self.last();
        self.push(name, op, vec![last], shape)
    }

    fn map(&self, node: NodeId) -> [usize; 3] {
        // Architectures put spatial layers behind spatial layers only.
        self.nodes[node.0].shape.as_chw().unwrap_or([1; 3])
    }

    /// Weights with mean 0 and variance `2 / fan-in` (He and others, arXiv 1502.01852), and biases 0.
    fn layer(&mut self, name: &str, dims: Vec<usize>) -> (ParamId, Option<ParamId>) {
        let (outputs, len) = (dims[0], dims.iter().product::<usize>());
        let deviation = (2.0 / (len / outputs) as f32).sqrt();
        let normal = |_| deviation * Distribution::<f32>::sample(&StandardNormal, &mut self.random);
        let weight: Vec<f32> = (0..len).map(normal).collect();
        let mut push = |role: &str, dims: Vec<usize>, data: Vec<f32>| {
            self.infos.push(ParamInfo { name: format!("{name}.{role}"), dims: dims.clone() });
            self.tensors.push(Tensor::new(dims, data));
            ParamId(self.infos.len() - 1)
        };
        let weight = push("weight", dims, weight);
        (weight, Some(push("bias", vec![outputs], vec![0.0; outputs])))
    }

    /// A convolution.
    pub(super) fn conv(&mut self, name: &str, outputs: usize, window: Window) -> NodeId {
        let [channels, height, width] = self.map(self.last());
        let (weight, bias) = self.layer(name, vec![outputs, channels, window.side, window.side]);
        let [before, after] = window.pads;
        let (stride, pads) = ([window.stride; 2], [before, before, after, after]);
        let op = Op::Conv(Conv { weight, bias, stride, pads, dilation: [1; 2], groups: 1 });
        self.chain(name, op, vec![outputs, window.output(height), window.output(width)])
    }

    /// A fully connected layer.
    pub(super) fn dense(&mut self, name: &str, outputs: usize) -> NodeId {
        let features = self.nodes[self.last().0].shape.len();
        if self.nodes[self.last().0].shape.rank() > 1 {
            self.chain(&format!("{name}.input"), Op::Reshape, vec![features]);
        }
        let (weight, bias) = self.layer(name, vec![outputs, features]);
        self.chain(name, Op::Gemm(Gemm { weight, bias }), vec![outputs])
    }

    /// The architecture's activation.
    pub(super) fn activation(&mut self, name: &str) -> NodeId {
        let shape = self.nodes[self.last().0].shape.0.clone();
        self.chain(name, Op::Activation(self.activation), shape)
    }

    /// Means over windows.
    pub(super) fn average_pool(&mut self, name: &str, window: Window) -> NodeId {
        let [channels, height, width] = self.map(self.last());
        let (kernel, stride) = ([window.side; 2], [window.stride; 2]);
        let [before, after] = window.pads;
        let pads = [before, before, after, after];
        // Without padding both ways to count are the same, and files are read as not counting it.
        let count_include_pad = pads != [0; 4];
        let op = Op::AveragePool(Pool { kernel, stride, pads, count_include_pad });
        self.chain(name, op, vec![channels, window.output(height), window.output(width)])
    }

    /// The last node added to another, which first loses every second row and column and gains
    /// channels of zeros on both sides if its shape is another.
    pub(super) fn add_shortcut(&mut self, name: &str, from: NodeId) -> NodeId {
        let (last, mut from) = (self.last(), from);
        if self.nodes[last.0].shape == self.nodes[from.0].shape {
            let shape = self.nodes[last.0].shape.0.clone();
            return self.push(name, Op::Add, vec![last, from], shape);
        }
        let ([channels, height, width], [old, ..]) = (self.map(last), self.map(from));
        if old != channels {
            let (start, step, len) = (vec![0; 3], vec![1, 2, 2], vec![old, height, width]);
            let op = Op::Slice { start, step, len: len.clone() };
            from = self.push(&format!("{name}.thinned"), op, vec![from], len);
            let more = channels - old;
            let (before, after) = (vec![more / 2, 0, 0], vec![more - more / 2, 0, 0]);
            let op = Op::Pad { before, after, value: 0.0 };
            from = self.push(
                &format!("{name}.widened"),
                op,
                vec![from],
                vec![channels, height, width],
            );
        }
        self.push(name, Op::Add, vec![last, from], vec![channels, height, width])
    }

    /// The model; its output is the last node.
    pub(super) fn finish(self, metadata: Metadata) -> Model {
        let graph = Graph {
            input: NodeId(0),
            output: self.last(),
            nodes: self.nodes,
            params: self.infos,
            metadata,
            output_kind: OutputKind::Logits,
        };
        Model { graph, params: Params::new(self.tensors) }
    }
}
