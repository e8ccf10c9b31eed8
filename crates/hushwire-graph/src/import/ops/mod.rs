//! Translation of single ONNX nodes.

mod elementwise;
mod layout;
mod linear;
mod output;
mod spatial;

use std::rc::Rc;

use super::constant::{Constant, Ints};
use super::draft::DraftOp;
use super::protobuf::{Attributes, NodeProto};
use super::{Importer, Value, arithmetic};
use crate::{Op, Shape, Tensor};

/// All operators with a translation, for the message when another one occurs.
const SUPPORTED: [&str; 53] = [
    "Add",
    "ArgMax",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "Div",
    "Dropout",
    "Erf",
    "Exp",
    "Flatten",
    "Floor",
    "Gather",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mish",
    "Mul",
    "Neg",
    "Pad",
    "Pow",
    "Reciprocal",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Resize",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
];

/// Operators that may read the result of a Softmax or ArgMax.
const AFTER_OUTPUT: [&str; 8] =
    ["ArgMax", "Cast", "Flatten", "Identity", "LogSoftmax", "Reshape", "Softmax", "Squeeze"];

pub(super) fn is_supported(node: &NodeProto) -> bool {
    let standard = node.domain.is_empty() || node.domain == "ai.onnx";
    standard && SUPPORTED.contains(&node.op_type.as_str())
}

/// Why a node that is not supported is refused.
pub(super) fn unsupported(node: &NodeProto) -> String {
    match node.op_type.as_str() {
        "PRelu" => "a slope per channel is not supported; Relu and LeakyRelu are".to_owned(),
        _ => format!("the operator is not supported; accepted are {}", SUPPORTED.join(", ")),
    }
}

/// Translates a supported node; the values of its outputs, or a reason against it.
pub(super) fn translate(
    importer: &mut Importer,
    node: &NodeProto,
    name: &str,
    inputs: Vec<Option<Value>>,
) -> Result<Vec<Value>, String> {
    let mut call = Call { importer, attributes: Attributes::new(node), node, name, inputs };
    if let Some(constant) = arithmetic::evaluate(&call)? {
        if let Constant::Float(tensor) = &constant
            && Rc::strong_count(tensor) == 1
        {
            call.importer.draft.reserve(tensor.len())?;
        }
        return Ok(vec![Value::Constant(constant)]);
    }
    let result = match node.op_type.as_str() {
        "Conv" => linear::conv(&mut call)?,
        "Gemm" => linear::gemm(&mut call)?,
        "MatMul" => linear::matmul(&mut call)?,
        "BatchNormalization" => linear::batch_normalization(&mut call)?,
        "Add" | "Sub" | "Mul" | "Div" => linear::arithmetic(&mut call)?,
        "Neg" => linear::negate(&mut call)?,
        "MaxPool" | "AveragePool" => spatial::pool(&mut call)?,
        "GlobalAveragePool" | "GlobalMaxPool" => spatial::global_pool(&mut call)?,
        "ReduceMean" => spatial::reduce_mean(&mut call)?,
        "Resize" => spatial::resize(&mut call)?,
        "Pad" => spatial::pad(&mut call)?,
        "Slice" => layout::slice(&mut call)?,
        "Concat" => layout::concat(&mut call)?,
        "Reshape" => layout::reshape(&mut call)?,
        "Flatten" => layout::flatten(&mut call)?,
        "Squeeze" => layout::squeeze(&mut call)?,
        "Unsqueeze" => layout::unsqueeze(&mut call)?,
        "Transpose" => layout::transpose(&mut call)?,
        "Identity" => call.computed(0)?,
        "Cast" => output::cast(&call)?,
        "Dropout" => output::dropout(&call)?,
        "Softmax" | "LogSoftmax" | "ArgMax" => output::last(&mut call)?,
        _ => elementwise::translate(&mut call)?,
    };
    Ok(vec![Value::Computed(result)])
}

/// A node with its inputs looked up.
pub(super) struct Call<'a> {
    pub importer: &'a mut Importer,
    pub attributes: Attributes<'a>,
    pub node: &'a NodeProto,
    pub name: &'a str,
    pub inputs: Vec<Option<Value>>,
}

impl Call<'_> {
    pub(super) fn operator(&self) -> &str {
        &self.node.op_type
    }

    pub(super) fn opset(&self) -> i64 {
        self.importer.opset
    }

    /// Input `i` as a node of the draft.
    pub(super) fn computed(&self, i: usize) -> Result<usize, String> {
        match self.inputs.get(i) {
            Some(Some(Value::Computed(node))) => {
                let follows_output =
                    matches!(self.importer.draft.nodes[*node].op, DraftOp::Final(_));
                if follows_output && !AFTER_OUTPUT.contains(&self.operator()) {
                    return Err("reads what is only accepted at the end of the network".to_owned());
                }
                Ok(*node)
            }
            Some(Some(_)) => Err(format!("input {i} must be computed from the network's input")),
            _ => Err(format!("input {i} is missing")),
        }
    }

    /// Input `i`, if it is given, as a constant.
    pub(super) fn constant(&self, i: usize) -> Result<Option<&Constant>, String> {
        match self.inputs.get(i) {
            Some(Some(Value::Constant(constant))) => Ok(Some(constant)),
            Some(Some(_)) => Err(format!("input {i} must be a constant")),
            _ => Ok(None),
        }
    }

    /// Input `i`, if it is given, as a floating-point constant.
    pub(super) fn floats(&self, i: usize) -> Result<Option<Rc<Tensor>>, String> {
        match self.constant(i)? {
            Some(Constant::Float(tensor)) => Ok(Some(Rc::clone(tensor))),
            Some(Constant::Ints(_)) => Err(format!("input {i} must be of a float type")),
            None => Ok(None),
        }
    }

    /// Input `i`, which must be given, as a floating-point constant.
    pub(super) fn weight(&self, i: usize) -> Result<Rc<Tensor>, String> {
        self.floats(i)?.ok_or(format!("input {i} is missing"))
    }

    /// Input `i`, if it is given, as a single number.
    pub(super) fn number(&self, i: usize) -> Result<Option<f32>, String> {
        match self.floats(i)?.as_deref().map(|t| t.data.as_slice()) {
            None => Ok(None),
            Some([number]) => Ok(Some(*number)),
            Some(_) => Err(format!("input {i} must be a single number")),
        }
    }

    /// Input `i`, if it is given, as integers; an element is absent where it is the batch.
    pub(super) fn ints(&self, i: usize) -> Result<Option<&Ints>, String> {
        match self.constant(i)? {
            Some(Constant::Ints(ints)) => Ok(Some(ints)),
            Some(Constant::Float(_)) => Err(format!("input {i} must be of an integer type")),
            None => Ok(None),
        }
    }

    /// Input `i`, if it is given, as integers that do not depend on the batch.
    pub(super) fn known_ints(&self, i: usize) -> Result<Option<Vec<i64>>, String> {
        let Some(ints) = self.ints(i)? else { return Ok(None) };
        ints.known().map(Some).ok_or(format!("input {i} must not depend on the batch"))
    }

    /// A list of integers that older operator sets have as an attribute and newer as input `i`.
    pub(super) fn attribute_or_input(
        &self,
        name: &str,
        i: usize,
    ) -> Result<Option<Vec<i64>>, String> {
        match self.attributes.ints(name) {
            Some(ints) => Ok(Some(ints.to_vec())),
            None => self.known_ints(i),
        }
    }

    pub(super) fn shape(&self, node: usize) -> &Shape {
        &self.importer.draft.nodes[node].shape
    }

    /// A per-sample axis from an ONNX axis, which counts the batch and may be negative.
    pub(super) fn axis(&self, axis: i64, shape: &Shape) -> Result<usize, String> {
        match normalize(axis, shape.rank() + 1) {
            Some(0) => Err(format!("axis {axis} is the batch; other axes are accepted")),
            Some(axis) => Ok(axis - 1),
            None => Err(format!("axis {axis} does not exist")),
        }
    }

    /// Appends the node under its own name.
    pub(super) fn push(&mut self, op: Op, inputs: Vec<usize>) -> Result<usize, String> {
        self.importer.draft.push_op(self.name, &self.node.op_type, op, inputs, None)
    }

    /// Appends the node with a shape that the operator leaves open.
    pub(super) fn push_shaped(
        &mut self,
        op: Op,
        input: usize,
        shape: Shape,
    ) -> Result<usize, String> {
        let draft = &mut self.importer.draft;
        draft.push_op(self.name, &self.node.op_type, op, vec![input], Some(shape))
    }

    /// Appends an operator that finished graphs do not have.
    pub(super) fn push_draft(&mut self, op: DraftOp, inputs: Vec<usize>, shape: Shape) -> usize {
        self.importer.draft.push(self.name, &self.node.op_type, op, inputs, shape)
    }

    /// Appends an affine node; coefficients as in the draft.
    pub(super) fn push_affine(
        &mut self,
        input: usize,
        scale: Option<Tensor>,
        shift: Option<Tensor>,
    ) -> Result<usize, String> {
        let mut param =
            |tensor: Option<Tensor>| tensor.map(|t| self.importer.draft.push_param(t)).transpose();
        let (scale, shift) = (param(scale)?, param(shift)?);
        self.push(Op::Affine { scale, shift }, vec![input])
    }

    /// Appends a change of shape, or nothing if there is none.
    pub(super) fn push_reshape(&mut self, input: usize, shape: Shape) -> Result<usize, String> {
        if *self.shape(input) == shape {
            return Ok(input);
        }
        self.push_shaped(Op::Reshape, input, shape)
    }
}

/// An axis counted from the end if negative.
pub(super) fn normalize(axis: i64, rank: usize) -> Option<usize> {
    let from_start = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(from_start).ok().filter(|axis| *axis < rank)
}

/// A pair of attributes that are not negative.
pub(super) fn pair(what: &str, values: &[i64]) -> Result<[usize; 2], String> {
    let numbers: Option<Vec<usize>> = values.iter().map(|v| usize::try_from(*v).ok()).collect();
    let pair = numbers.and_then(|numbers| numbers.try_into().ok());
    pair.ok_or(format!("{what} {values:?}; two numbers, vertical and horizontal, are accepted"))
}
