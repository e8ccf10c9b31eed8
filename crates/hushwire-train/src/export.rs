//! The demo network as a model of `hushwire-graph`, which writes it as ONNX.

use burn::module::Param;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use hushwire_graph::{
    Activation, Color, Conv, Gemm, Graph, ImageResize, Labels, Layout, Metadata, Model, Node,
    NodeId, Op, OutputKind, ParamId, ParamInfo, Params, Preprocess, Shape, Task,
};

use crate::DemoNet;
use crate::demo_net::{CLASSES, CONV, SIDE};

/// Mean and deviation of MNIST's training pixels, of which 1 is white.
pub(crate) const MEAN: f32 = 0.1307;
pub(crate) const STD: f32 = 0.3081;

impl DemoNet {
    /// The network with its present weights, and with task, data set, preprocessing and labels as
    /// metadata: input `input` `[1, 28, 28]`, output `logits` `[10]`.
    pub fn to_model(&self) -> Model {
        let mut chain = Chain::default();
        chain.push("input", Op::Input, &[1, SIDE, SIDE]);
        chain.conv("conv1", &self.conv1);
        chain.relu("relu1");
        chain.conv("conv2", &self.conv2);
        chain.relu("relu2");
        let features = chain.shape().iter().product();
        chain.push("flatten", Op::Reshape, &[features]);
        chain.linear("fc1", &self.fc1);
        chain.relu("relu3");
        chain.linear("logits", &self.fc2);
        chain.finish(metadata())
    }
}

/// The elements of a tensor in row-major order.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("the CPU device computes in f32")
}

fn metadata() -> Metadata {
    Metadata {
        task: Task::Classification,
        dataset: Some("mnist".to_owned()),
        preprocess: Some(Preprocess {
            scale: 1.0 / 255.0,
            mean: vec![MEAN],
            std: vec![STD],
            layout: Layout::Nchw,
            color: Color::Gray,
            resize: ImageResize::None,
        }),
        labels: Some(Labels::Names((0..CLASSES).map(|digit| digit.to_string()).collect())),
    }
}

/// A graph under construction in which every node reads the one before.
#[derive(Default)]
struct Chain {
    nodes: Vec<Node>,
    infos: Vec<ParamInfo>,
    tensors: Vec<hushwire_graph::Tensor>,
}

impl Chain {
    fn push(&mut self, name: &str, op: Op, shape: &[usize]) {
        let inputs = self.nodes.len().checked_sub(1).map(NodeId).into_iter().collect();
        let shape = Shape(shape.to_vec());
        self.nodes.push(Node { name: name.to_owned(), op, inputs, shape });
    }

    /// Shape of the last node.
    fn shape(&self) -> &[usize] {
        self.nodes.last().map_or(&[], |node| &node.shape.0)
    }

    fn param<const D: usize>(&mut self, name: String, tensor: Tensor<D>) -> ParamId {
        let dims = tensor.dims().to_vec();
        self.tensors.push(hushwire_graph::Tensor::new(dims.clone(), values(tensor)));
        self.infos.push(ParamInfo { name, dims });
        ParamId(self.infos.len() - 1)
    }

    fn bias(&mut self, name: &str, bias: Option<&Param<Tensor<1>>>) -> Option<ParamId> {
        bias.map(|bias| self.param(format!("{name}.bias"), bias.val()))
    }

    fn conv(&mut self, name: &str, layer: &Conv2d) {
        let [_, stride, pad] = CONV;
        let weight = self.param(format!("{name}.weight"), layer.weight.val());
        let bias = self.bias(name, layer.bias.as_ref());
        let (stride, pads) = ([stride; 2], [pad; 4]);
        let op = Op::Conv(Conv { weight, bias, stride, pads, dilation: [1; 2], groups: 1 });
        // Kernel 5, padding 2 and stride 2 halve an even side.
        let [_, height, width] = *self.shape() else { unreachable!("convolutions come first") };
        let [channels, ..] = layer.weight.dims();
        self.push(name, op, &[channels, height / 2, width / 2]);
    }

    fn relu(&mut self, name: &str) {
        let shape = self.shape().to_vec();
        self.push(name, Op::Activation(Activation::Relu), &shape);
    }

    fn linear(&mut self, name: &str, layer: &Linear) {
        // burn keeps [in, out].
        let matrix = layer.weight.val().transpose();
        let [outputs, _] = matrix.dims();
        let weight = self.param(format!("{name}.weight"), matrix);
        let bias = self.bias(name, layer.bias.as_ref());
        self.push(name, Op::Gemm(Gemm { weight, bias }), &[outputs]);
    }

    fn finish(self, metadata: Metadata) -> Model {
        let graph = Graph {
            input: NodeId(0),
            output: NodeId(self.nodes.len() - 1),
            nodes: self.nodes,
            params: self.infos,
            metadata,
            output_kind: OutputKind::Logits,
        };
        Model { graph, params: Params::new(self.tensors) }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use hushwire_graph::Executor;

    use super::*;

    #[test]
    fn the_exported_model_computes_the_same() {
        let device = Device::flex();
        device.seed(3);
        let net = DemoNet::new(&device);
        let model = net.to_model();
        model.validate().unwrap();
        let input: Vec<f32> = (0..2 * SIDE * SIDE).map(|i| (i as f32 * 0.37).sin()).collect();
        let shape = [2, 1, SIDE, SIDE];
        let ours =
            values(net.forward(Tensor::from_data(TensorData::new(input.clone(), shape), &device)));
        let written = Model::from_onnx_bytes(&model.to_onnx(), None).unwrap();
        assert_eq!(written, model);
        let tensor = hushwire_graph::Tensor::new(shape.to_vec(), input);
        let theirs = Executor::new(&written).run(&tensor).unwrap();
        assert!(ours.iter().zip(&theirs.data).all(|(a, b)| (a - b).abs() < 1e-5));
        let relus = model.graph.activation_sites();
        let count: usize = relus.iter().map(|&id| model.graph.node(id).shape.len()).sum();
        assert_eq!(count, 2416);
    }
}
