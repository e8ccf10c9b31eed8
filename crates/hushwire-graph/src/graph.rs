//! The public half of a model: nodes, shapes and what the outputs mean.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{GraphError, Metadata, Op, ParamId, ParamInfo, Params, ShapeError, infer};

/// A network: its structure, which every party knows, and its weights, which one party owns.
#[derive(Clone, PartialEq, Debug)]
pub struct Model {
    /// Structure, shapes and metadata.
    pub graph: Graph,
    /// Weights.
    pub params: Params,
}

/// Index of a node in [`Graph::nodes`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct NodeId(pub usize);

/// Extents per sample, without the batch: `[C, H, W]` or `[F]`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Shape(pub Vec<usize>);

/// One operation and the shape of what it computes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// The ONNX node's name, unique in the graph.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// What it reads: nodes with smaller ids.
    pub inputs: Vec<NodeId>,
    /// Shape of its value, per sample.
    pub shape: Shape,
}

/// A network without its weights. Graphs that come from others must pass
/// [`validate`](Self::validate) before anything else is done with them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Graph {
    /// Operations, each after those it reads.
    pub nodes: Vec<Node>,
    /// The node with [`Op::Input`], always node 0.
    pub input: NodeId,
    /// The node whose value is the result.
    pub output: NodeId,
    /// What is public about each parameter.
    pub params: Vec<ParamInfo>,
    /// Task, preprocessing and labels.
    pub metadata: Metadata,
    /// What followed the output in the file and is left to the reader of the result.
    pub output_kind: OutputKind,
}

/// What the file computed from the graph's output. The graph itself always ends in logits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum OutputKind {
    /// Nothing (or logarithms of probabilities, which are logits too).
    #[default]
    Logits,
    /// Probabilities along the axis after the batch.
    Softmax,
    /// The index of the greatest element along the axis after the batch.
    ArgMax,
}

impl Shape {
    /// Number of elements per sample.
    pub fn len(&self) -> usize {
        self.0.iter().product()
    }

    /// True if some extent is 0, which no valid graph contains.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of axes per sample.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The extents with a batch in front.
    pub fn with_batch(&self, batch: usize) -> Vec<usize> {
        std::iter::once(batch).chain(self.0.iter().copied()).collect()
    }

    /// The three extents of an image-like value.
    pub fn as_chw(&self) -> Option<[usize; 3]> {
        self.0.as_slice().try_into().ok()
    }
}

/// As `3x32x32`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extents: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&extents.join("x"))
    }
}

impl Node {
    /// Multiplications by weights per sample; 0 for operators without weights.
    pub fn macs(&self, graph: &Graph) -> u64 {
        let len = |id: ParamId| graph.params.get(id.0).map_or(0, |p| p.dims.iter().product());
        let product = |a: usize, b: usize| (a as u64).saturating_mul(b as u64);
        match &self.op {
            Op::Conv(conv) => {
                let positions: usize = self.shape.0.iter().skip(1).product();
                product(len(conv.weight), positions)
            }
            Op::Gemm(gemm) => len(gemm.weight) as u64,
            Op::Affine { scale: Some(_), .. } => self.shape.len() as u64,
            _ => 0,
        }
    }
}

impl Graph {
    /// Largest number of nodes of a valid graph.
    pub const MAX_NODES: usize = 20_000;

    /// The node with this id.
    ///
    /// # Panics
    /// If the id belongs to another graph.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// All nodes with their ids, in an order in which they can be computed.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(i, node)| (NodeId(i), node))
    }

    /// Per-sample shape of the input.
    pub fn input_shape(&self) -> &Shape {
        &self.node(self.input).shape
    }

    /// Per-sample shape of the output.
    pub fn output_shape(&self) -> &Shape {
        &self.node(self.output).shape
    }

    /// The node of this name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name).map(NodeId)
    }

    /// The nodes that apply an activation, in order.
    pub fn activation_sites(&self) -> Vec<NodeId> {
        let activations = self.iter().filter(|(_, n)| matches!(n.op, Op::Activation(_)));
        activations.map(|(id, _)| id).collect()
    }

    /// For each node the nodes that read it, in order; one that reads it twice counts twice.
    pub fn consumers(&self) -> Vec<Vec<NodeId>> {
        let mut consumers = vec![Vec::new(); self.nodes.len()];
        for (id, node) in self.iter() {
            for input in &node.inputs {
                consumers[input.0].push(id);
            }
        }
        consumers
    }

    /// Multiplications by weights per sample in the whole graph.
    pub fn macs(&self) -> u64 {
        self.nodes.iter().fold(0, |sum, node| sum.saturating_add(node.macs(self)))
    }

    /// Checks every invariant: references, names, sizes, and each node's shape, inferred again.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn validate(&self) -> Result<(), GraphError> {
        let count = self.nodes.len();
        if count == 0 || count > Self::MAX_NODES {
            return Err(GraphError::NodeCount { got: count, limit: Self::MAX_NODES });
        }
        let reference = |what: &str, index, limit| {
            let error = || GraphError::Reference { what: what.to_owned(), index, limit };
            if index < limit { Ok(()) } else { Err(error()) }
        };
        reference("the input", self.input.0, 1)?;
        reference("the output", self.output.0, count)?;
        infer::check_params(&self.params)?;
        let mut names = HashSet::new();
        for (id, node) in self.iter() {
            if !names.insert(node.name.as_str()) {
                return Err(GraphError::DuplicateName { name: node.name.clone() });
            }
            if (id == self.input) != (node.op == Op::Input) {
                return Err(GraphError::Input { index: id.0, name: node.name.clone() });
            }
            for input in &node.inputs {
                reference(&format!("node '{}'", node.name), input.0, id.0)?;
            }
            self.check_shape(node)
                .map_err(|source| GraphError::Node { name: node.name.clone(), source })?;
        }
        infer::check_total(&self.nodes)
    }

    /// Infers the node's shape from its inputs and compares; references are known to be valid.
    fn check_shape(&self, node: &Node) -> Result<(), ShapeError> {
        let inputs: Vec<&Shape> = node.inputs.iter().map(|i| &self.node(*i).shape).collect();
        let shape = infer::output_shape(&node.op, &inputs, &node.shape, &self.params)?;
        if shape == node.shape {
            Ok(())
        } else {
            let (expected, got) = (shape.to_string(), node.shape.to_string());
            Err(ShapeError::Mismatch { what: "the output's shape", expected, got })
        }
    }
}

/// A table of the nodes: index, name, operator, shape, multiplications.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.nodes.iter().map(|n| n.name.chars().count()).max().unwrap_or(0).min(48);
        for (id, node) in self.iter() {
            let inputs: Vec<String> = node.inputs.iter().map(|i| i.0.to_string()).collect();
            let (kind, shape, macs) = (node.op.kind(), node.shape.to_string(), node.macs(self));
            let (index, name, inputs) = (id.0, &node.name, inputs.join(","));
            writeln!(f, "{index:>4} {name:width$} {kind:12} {shape:>13} {macs:>12}  <- {inputs}")?;
        }
        write!(f, "{} nodes, {} multiplications per sample", self.nodes.len(), self.macs())
    }
}

impl Model {
    /// Checks the graph, and that the weights are those it describes.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn validate(&self) -> Result<(), GraphError> {
        self.graph.validate()?;
        let (expected, got) = (self.graph.params.len(), self.params.len());
        if expected != got {
            let reason = format!("{got} tensors for {expected} descriptions");
            return Err(GraphError::Param { name: "all".to_owned(), reason });
        }
        for ((_, tensor), info) in self.params.iter().zip(&self.graph.params) {
            let whole = tensor.shape.iter().product::<usize>() == tensor.data.len();
            if tensor.shape != info.dims || !whole {
                let reason = format!("shape {:?} where {:?} is needed", tensor.shape, info.dims);
                return Err(GraphError::Param { name: info.name.clone(), reason });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pool;

    fn graph(input: &[usize], ops: &[(Op, &[usize])]) -> Graph {
        let first = (Op::Input, input);
        let node = |(i, (op, shape)): (usize, &(Op, &[usize]))| Node {
            name: i.to_string(),
            op: op.clone(),
            inputs: i.checked_sub(1).map(NodeId).into_iter().collect(),
            shape: Shape(shape.to_vec()),
        };
        Graph {
            nodes: std::iter::once(&first).chain(ops).enumerate().map(node).collect(),
            input: NodeId(0),
            output: NodeId(ops.len()),
            params: Vec::new(),
            metadata: Metadata::default(),
            output_kind: OutputKind::Logits,
        }
    }

    #[test]
    fn small_descriptions_of_large_networks_are_refused() {
        let large: &[usize] = &[1 << 27];
        let reshapes = |count| graph(large, &vec![(Op::Reshape, large); count]);
        assert_eq!(reshapes(2).validate(), Ok(()));
        assert!(matches!(reshapes(20).validate(), Err(GraphError::TotalSize { .. })));

        let (side, map): (usize, &[usize]) = (1 << 20, &[1, 1, 1]);
        let pads = [side / 2, side / 2, side / 2 - 1, side / 2 - 1];
        let pool = Pool { kernel: [side; 2], stride: [1; 2], pads, count_include_pad: false };
        assert_eq!(graph(map, &[(Op::AveragePool(pool.clone()), map)]).validate(), Ok(()));
        let maximum = graph(map, &[(Op::MaxPool(pool), map)]);
        assert!(matches!(maximum.validate(), Err(GraphError::TotalSize { .. })));
    }
}
