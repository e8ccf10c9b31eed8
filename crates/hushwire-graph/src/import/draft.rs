//! The graph under construction: the operators of [`Op`] and a few more that only make sense as
//! parts of a pattern or after the output.

use std::collections::{HashMap, HashSet};

use crate::infer::{self, MAX_PARAM_ELEMENTS};
use crate::{Op, OutputKind, ParamId, ParamInfo, Shape, Tensor};

/// What a node computes while the graph is built. In contrast to finished graphs, a coefficient of
/// an affine node with a single element counts for all channels.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum DraftOp {
    Op(Op),
    /// A function of each element that is only accepted as part of an activation.
    Scalar(Scalar),
    /// The product of two computed values, accepted as part of an activation.
    Product,
    /// The quotient of two computed values, accepted as part of an activation.
    Quotient,
    /// Something that may only follow the output.
    Final(OutputKind),
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Scalar {
    Erf,
    Exp,
    Log,
    Power(f32),
    Reciprocal,
    Softplus,
}

#[derive(Clone, Debug)]
pub(super) struct DraftNode {
    pub name: String,
    /// The ONNX operator it comes from.
    pub operator: String,
    pub op: DraftOp,
    pub inputs: Vec<usize>,
    pub shape: Shape,
}

#[derive(Default)]
pub(super) struct Draft {
    pub nodes: Vec<DraftNode>,
    pub params: Vec<ParamInfo>,
    pub tensors: Vec<Tensor>,
    elements: usize,
    names: HashSet<String>,
    /// For each name that occurred more than once the number last appended to it.
    suffixes: HashMap<String, usize>,
}

impl Draft {
    /// Appends a node and infers its shape; `declared` is needed where the operator leaves it open.
    pub(super) fn push_op(
        &mut self,
        name: &str,
        operator: &str,
        op: Op,
        inputs: Vec<usize>,
        declared: Option<Shape>,
    ) -> Result<usize, String> {
        let shapes: Vec<&Shape> = inputs.iter().map(|i| &self.nodes[*i].shape).collect();
        let shape = match &op {
            // Coefficients for all channels at once are not known to the inference.
            Op::Affine { .. } => shapes.first().map(|s| (*s).clone()).ok_or("no input")?,
            op => infer::output_shape(op, &shapes, &declared.unwrap_or_default(), &self.params)
                .map_err(|e| e.to_string())?,
        };
        Ok(self.push(name, operator, DraftOp::Op(op), inputs, shape))
    }

    /// Appends a node whose shape is known.
    pub(super) fn push(
        &mut self,
        name: &str,
        operator: &str,
        op: DraftOp,
        inputs: Vec<usize>,
        shape: Shape,
    ) -> usize {
        let (name, operator) = (self.unique_name(name), operator.to_owned());
        self.nodes.push(DraftNode { name, operator, op, inputs, shape });
        self.nodes.len() - 1
    }

    /// Takes the elements of new tensors off the budget, which bounds what files with many
    /// references to one constant can make of it.
    pub(super) fn reserve(&mut self, elements: usize) -> Result<(), String> {
        self.elements = self.elements.saturating_add(elements);
        if self.elements < MAX_PARAM_ELEMENTS {
            Ok(())
        } else {
            Err(format!("the parameters have more than {MAX_PARAM_ELEMENTS} elements together"))
        }
    }

    /// Appends a parameter; it gets its name when it is known who reads it in the end.
    pub(super) fn push_param(&mut self, tensor: Tensor) -> Result<ParamId, String> {
        self.reserve(tensor.len())?;
        self.params.push(ParamInfo { name: String::new(), dims: tensor.shape.clone() });
        self.tensors.push(tensor);
        Ok(ParamId(self.tensors.len() - 1))
    }

    /// For each node how many times it is read, the output's reader included.
    pub(super) fn readers(&self, output: usize) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len()];
        readers[output] += 1;
        for (node, _) in self.nodes.iter().zip(self.live(&[output])).filter(|(_, live)| *live) {
            node.inputs.iter().for_each(|i| readers[*i] += 1);
        }
        readers
    }

    /// For each node whether one of `roots` depends on it.
    pub(super) fn live(&self, roots: &[usize]) -> Vec<bool> {
        let mut live = vec![false; self.nodes.len()];
        roots.iter().for_each(|root| live[*root] = true);
        for (i, node) in self.nodes.iter().enumerate().rev() {
            if live[i] {
                node.inputs.iter().for_each(|input| live[*input] = true);
            }
        }
        live
    }

    fn unique_name(&mut self, name: &str) -> String {
        if self.names.insert(name.to_owned()) {
            return name.to_owned();
        }
        let suffix = self.suffixes.entry(name.to_owned()).or_insert(1);
        loop {
            *suffix += 1;
            let candidate = format!("{name}_{suffix}");
            if self.names.insert(candidate.clone()) {
                return candidate;
            }
        }
    }
}
