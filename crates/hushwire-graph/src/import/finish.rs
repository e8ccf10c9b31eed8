//! From the draft to the model.

use super::draft::{Draft, DraftNode, DraftOp};
use super::protobuf::{GraphProto, ModelProto};
use super::{Importer, Value, fold, patterns};
use crate::{
    Conv, Gemm, Graph, ImportError, Metadata, Model, Node, NodeId, Op, OutputKind, ParamId,
    ParamInfo, Params, Problem, Tensor,
};

impl Importer {
    /// Recognises, folds and checks what has been read.
    pub(super) fn finish(
        mut self,
        proto: &ModelProto,
        graph: &GraphProto,
    ) -> Result<Model, ImportError> {
        let output = self.output(graph);
        patterns::recognise(&mut self.draft);
        let (output, output_kind) = match output {
            Some(output) => {
                let (inner, kind) = without_final(&self.draft, output);
                (Some(inner), kind)
            }
            None => (None, OutputKind::Logits),
        };
        self.check_leftovers(output);
        let Some(output) = output.filter(|_| self.problems.is_empty()) else {
            return Err(ImportError::Unsupported(self.problems));
        };
        let built = fold::fold(&mut self.draft, output).and_then(|o| build(self.draft, o));
        let (nodes, params, tensors, output) = built.map_err(|reason| {
            let (node, operator) = ("model".to_owned(), "parameters".to_owned());
            ImportError::Unsupported(vec![Problem { node, operator, reason }])
        })?;
        let properties = proto.metadata_props.iter().map(|p| (p.key.as_str(), p.value.as_str()));
        let metadata = Metadata::from_properties(properties, &nodes[output].shape)?;
        let (input, output) = (NodeId(0), NodeId(output));
        let graph = Graph { nodes, input, output, params, metadata, output_kind };
        let model = Model { graph, params: Params::new(tensors) };
        model.validate()?;
        Ok(model)
    }

    /// The node the file's one output is computed by.
    fn output(&mut self, graph: &GraphProto) -> Option<usize> {
        let [output] = &graph.output[..] else {
            let reason = format!("{} outputs; exactly one is accepted", graph.output.len());
            self.problem("graph", "output", reason);
            return None;
        };
        match self.values.get(&output.name) {
            Some(Value::Computed(node)) => return Some(*node),
            Some(Value::Failed) => {}
            Some(Value::Constant(_)) => {
                self.problem(&output.name, "output", "it does not depend on the input");
            }
            None => self.problem(&output.name, "output", "no node computes it"),
        }
        None
    }

    /// Reports operators that were only accepted in the hope of a pattern.
    fn check_leftovers(&mut self, output: Option<usize>) {
        let roots: Vec<usize> = output.iter().chain(&self.read_by_failed).copied().collect();
        let live = self.draft.live(&roots);
        // What refuses to read a Softmax has said so itself.
        let live_from_output = self.draft.live(output.as_slice());
        let is_final = |node: &DraftNode| matches!(node.op, DraftOp::Final(_));
        let nodes = self.draft.nodes.iter().enumerate();
        let left: Vec<Problem> = nodes
            .filter(|(i, node)| live[*i] && (live_from_output[*i] || !is_final(node)))
            .filter_map(|(_, node)| leftover(node))
            .collect();
        self.problems.extend(left);
    }
}

fn leftover(node: &DraftNode) -> Option<Problem> {
    let reason = match node.op {
        DraftOp::Op(_) => return None,
        DraftOp::Final(_) => "only accepted at the end of the network",
        DraftOp::Scalar(_) | DraftOp::Product | DraftOp::Quotient => {
            "of computed values; only accepted in a polynomial of degree 2 to 7, or as part of Gelu, \
             HardSwish, Silu, Mish, Sigmoid or Tanh spelled out"
        }
    };
    let (name, operator) = (node.name.clone(), node.operator.clone());
    Some(Problem { node: name, operator, reason: reason.to_owned() })
}

/// The node before all that may follow the output, and what the last of these computes.
fn without_final(draft: &Draft, output: usize) -> (usize, OutputKind) {
    let mut node = output;
    let mut kind = OutputKind::Logits;
    loop {
        match &draft.nodes[node] {
            DraftNode { op: DraftOp::Final(this), inputs, .. } => {
                if kind == OutputKind::Logits {
                    kind = *this;
                }
                node = inputs[0];
            }
            // What follows an ArgMax without changing it, such as a dropped axis.
            DraftNode { op: DraftOp::Op(Op::Reshape), inputs, .. }
                if matches!(draft.nodes[inputs[0]].op, DraftOp::Final(OutputKind::ArgMax)) =>
            {
                node = inputs[0];
            }
            _ => return (node, kind),
        }
    }
}

type Built = (Vec<Node>, Vec<ParamInfo>, Vec<Tensor>, usize);

/// Keeps the nodes the output depends on and the parameters these read.
fn build(mut draft: Draft, output: usize) -> Result<Built, String> {
    let live = draft.live(&[output]);
    let mut ids = vec![NodeId(0); draft.nodes.len()];
    let (mut nodes, mut params, mut tensors) = (Vec::new(), Vec::new(), Vec::new());
    for index in (0..draft.nodes.len()).filter(|i| live[*i]) {
        let node = draft.nodes[index].clone();
        let DraftOp::Op(op) = node.op else { return Err(format!("{} is left", node.name)) };
        let channels = node.shape.0.first().copied().unwrap_or(1);
        let is_affine = matches!(op, Op::Affine { .. });
        let op = map_params(op, |id, role| {
            let mut tensor = std::mem::take(&mut draft.tensors[id.0]);
            if is_affine && tensor.len() == 1 && channels > 1 {
                draft.reserve(channels)?;
                tensor = Tensor::new([channels], vec![tensor.data[0]; channels]);
            }
            let name = format!("{}.{role}", node.name);
            if tensor.data.iter().any(|x| !x.is_finite()) {
                return Err(format!("{name} has elements that are not finite"));
            }
            params.push(ParamInfo { name, dims: tensor.shape.clone() });
            tensors.push(tensor);
            Ok(ParamId(tensors.len() - 1))
        })?;
        ids[index] = NodeId(nodes.len());
        let inputs = node.inputs.iter().map(|i| ids[*i]).collect();
        nodes.push(Node { name: node.name, op, inputs, shape: node.shape });
    }
    Ok((nodes, params, tensors, ids[output].0))
}

/// The operator with other parameter ids; `map` also gets the role of the parameter.
fn map_params(
    op: Op,
    mut map: impl FnMut(ParamId, &str) -> Result<ParamId, String>,
) -> Result<Op, String> {
    Ok(match op {
        Op::Conv(conv) => {
            let weight = map(conv.weight, "weight")?;
            Op::Conv(Conv {
                weight,
                bias: conv.bias.map(|id| map(id, "bias")).transpose()?,
                ..conv
            })
        }
        Op::Gemm(Gemm { weight, bias }) => {
            let weight = map(weight, "weight")?;
            Op::Gemm(Gemm { weight, bias: bias.map(|id| map(id, "bias")).transpose()? })
        }
        Op::Affine { scale, shift } => {
            let scale = scale.map(|id| map(id, "scale")).transpose()?;
            Op::Affine { scale, shift: shift.map(|id| map(id, "shift")).transpose()? }
        }
        other => other,
    })
}
