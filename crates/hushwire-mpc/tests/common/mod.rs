//! Small networks for the tests of the protocol, built by hand with fixed pseudorandom weights.

#![allow(dead_code, reason = "each test file uses its own part")]

use hushwire_fixed::{Settings, calibrate};
use hushwire_graph::{
    Activation, Conv, Coordinates, Gemm, Graph, Interpolation, Metadata, Model, Node, NodeId, Op,
    OutputKind, ParamId, ParamInfo, Params, Pool, Resize, Shape, Tensor,
};
use hushwire_plan::{Gate, Plan, SiteKind};

/// Appends nodes to a graph; parameters are uniform in [-1, 1] / sqrt(fan in).
pub struct Net {
    nodes: Vec<Node>,
    infos: Vec<ParamInfo>,
    tensors: Vec<Tensor>,
    state: u64,
}

impl Net {
    pub fn new(input: &[usize]) -> Net {
        let mut net = Net { nodes: vec![], infos: vec![], tensors: vec![], state: 0x9E37_79B9 };
        net.push("input", Op::Input, &[], input);
        net
    }

    /// Uniform in [-1, 1].
    pub fn uniform(&mut self) -> f32 {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.state >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId], shape: &[usize]) -> NodeId {
        let node =
            Node { name: name.into(), op, inputs: inputs.to_vec(), shape: Shape(shape.to_vec()) };
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    fn param(&mut self, name: &str, dims: &[usize]) -> ParamId {
        let fan: usize = dims.iter().skip(1).product();
        let scale = 1.0 / (fan.max(1) as f32).sqrt();
        let data = (0..dims.iter().product()).map(|_| self.uniform() * scale).collect();
        self.infos.push(ParamInfo { name: name.into(), dims: dims.to_vec() });
        self.tensors.push(Tensor::new(dims, data));
        ParamId(self.infos.len() - 1)
    }

    pub fn shape(&self, id: NodeId) -> Vec<usize> {
        self.nodes[id.0].shape.0.clone()
    }

    pub fn input(&self) -> NodeId {
        NodeId(0)
    }

    pub fn conv(
        &mut self,
        x: NodeId,
        out: usize,
        kernel: usize,
        stride: usize,
        groups: usize,
    ) -> NodeId {
        let dims = self.shape(x);
        let name = format!("conv{}", self.nodes.len());
        let weight = self.param(&format!("{name}.w"), &[out, dims[0] / groups, kernel, kernel]);
        let bias = self.param(&format!("{name}.b"), &[out]);
        let pad = kernel / 2;
        let size = |n: usize| (n + 2 * pad - kernel) / stride + 1;
        let shape = [out, size(dims[1]), size(dims[2])];
        let conv = Conv {
            weight,
            bias: Some(bias),
            stride: [stride; 2],
            pads: [pad; 4],
            dilation: [1, 1],
            groups,
        };
        self.push(&name, Op::Conv(conv), &[x], &shape)
    }

    pub fn gemm(&mut self, x: NodeId, out: usize) -> NodeId {
        let features = self.shape(x).iter().product();
        let flat = self.push(&format!("flat{}", self.nodes.len()), Op::Reshape, &[x], &[features]);
        let name = format!("gemm{}", self.nodes.len());
        let weight = self.param(&format!("{name}.w"), &[out, features]);
        let bias = self.param(&format!("{name}.b"), &[out]);
        self.push(&name, Op::Gemm(Gemm { weight, bias: Some(bias) }), &[flat], &[out])
    }

    pub fn activation(&mut self, x: NodeId, a: Activation) -> NodeId {
        let shape = self.shape(x);
        self.push(&format!("act{}", self.nodes.len()), Op::Activation(a), &[x], &shape)
    }

    pub fn relu(&mut self, x: NodeId) -> NodeId {
        self.activation(x, Activation::Relu)
    }

    pub fn add(&mut self, a: NodeId, b: NodeId) -> NodeId {
        let shape = self.shape(a);
        self.push(&format!("add{}", self.nodes.len()), Op::Add, &[a, b], &shape)
    }

    pub fn concat(&mut self, a: NodeId, b: NodeId) -> NodeId {
        let mut shape = self.shape(a);
        shape[0] += self.shape(b)[0];
        self.push(&format!("cat{}", self.nodes.len()), Op::Concat { axis: 0 }, &[a, b], &shape)
    }

    pub fn pool(
        &mut self,
        x: NodeId,
        kernel: usize,
        stride: usize,
        pad: usize,
        max: bool,
    ) -> NodeId {
        let dims = self.shape(x);
        let size = |n: usize| (n + 2 * pad - kernel) / stride + 1;
        let shape = [dims[0], size(dims[1]), size(dims[2])];
        let pool = Pool {
            kernel: [kernel; 2],
            stride: [stride; 2],
            pads: [pad; 4],
            count_include_pad: false,
        };
        let op = if max { Op::MaxPool(pool) } else { Op::AveragePool(pool) };
        self.push(&format!("pool{}", self.nodes.len()), op, &[x], &shape)
    }

    /// Bilinear, corners onto corners.
    pub fn enlarge(&mut self, x: NodeId, side: usize) -> NodeId {
        let dims = self.shape(x);
        let resize = Resize {
            interpolation: Interpolation::Linear,
            coordinates: Coordinates::AlignCorners,
            scales: [side as f32 / dims[1] as f32, side as f32 / dims[2] as f32],
        };
        let name = format!("resize{}", self.nodes.len());
        self.push(&name, Op::Resize(resize), &[x], &[dims[0], side, side])
    }

    pub fn finish(self) -> Model {
        let graph = Graph {
            input: NodeId(0),
            output: NodeId(self.nodes.len() - 1),
            nodes: self.nodes,
            params: self.infos,
            metadata: Metadata::default(),
            output_kind: OutputKind::Logits,
        };
        let model = Model { graph, params: Params::new(self.tensors) };
        model.validate().expect("the test's network is valid");
        model
    }
}

/// A batch of inputs, uniform in [-1, 1].
pub fn images(model: &Model, count: usize, seed: u64) -> Tensor {
    let mut net = Net::new(&[1]);
    net.state ^= seed.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    let shape = model.graph.input_shape().with_batch(count);
    let data = (0..shape.iter().product()).map(|_| net.uniform()).collect();
    Tensor::new(shape, data)
}

/// A calibrated plan with `gate` at activation `site` (by order), exact elsewhere.
pub fn plan(model: &Model, gates: &[(usize, Gate)], settings: &Settings) -> Plan {
    let mut plan = Plan::exact(&model.graph);
    for (site, gate) in gates {
        assert_eq!(plan.sites[*site].kind, SiteKind::Activation);
        plan.sites[*site].gate = gate.clone();
    }
    calibrate(model, &plan, &images(model, 24, 1), settings).expect("calibration works")
}

/// Convolutions, residual sum, concatenation, both poolings, a clip, two fully connected layers.
pub fn varied() -> Model {
    let mut net = Net::new(&[2, 9, 9]);
    let input = net.input();
    let a = net.conv(input, 4, 3, 1, 1);
    let a = net.relu(a);
    let b = net.conv(a, 4, 3, 1, 2);
    let b = net.add(b, a);
    let b = net.activation(b, Activation::Clip { min: 0.0, max: 0.75 });
    let c = net.conv(b, 4, 1, 1, 1);
    let cat = net.concat(b, c);
    let d = net.conv(cat, 6, 3, 2, 1);
    let d = net.relu(d);
    let d = net.pool(d, 3, 2, 1, true);
    let d = net.pool(d, 3, 1, 1, false);
    let e = net.gemm(d, 12);
    let e = net.relu(e);
    net.gemm(e, 5);
    net.finish()
}
