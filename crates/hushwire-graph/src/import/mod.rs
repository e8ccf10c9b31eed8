//! ONNX files to models.
//!
//! The nodes of the file are translated one by one into a [`Draft`] (`ops`), with constants
//! computed on the way (`constant`, `arithmetic`); then activations spelled out in several nodes
//! are recognised (`patterns`), constant factors and summands are folded into weights (`fold`) and
//! what is left becomes the graph (`finish`). Problems are collected over all of it.

mod arithmetic;
mod constant;
mod draft;
mod finish;
mod fold;
mod ops;
mod patterns;
pub(crate) mod protobuf;

use std::collections::HashMap;
use std::path::Path;

use prost::Message;

use self::constant::Constant;
use self::draft::{Draft, DraftOp};
use self::protobuf::{Extent, GraphProto, ModelProto, NodeProto, ValueInfo, data_type};
use crate::infer::checked_len;
use crate::{Graph, ImportError, Model, Op, Problem, Shape};

/// ONNX operator sets whose semantics are known.
const OPSETS: std::ops::RangeInclusive<i64> = 11..=21;

impl Model {
    /// Reads an ONNX file, and the files with its data if it has them beside it.
    ///
    /// # Errors
    /// If the file cannot be read or holds anything that is not supported.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ImportError> {
        let path = path.as_ref();
        let read = std::fs::read(path);
        let bytes = read.map_err(|source| ImportError::Io { path: path.to_owned(), source })?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        Self::from_onnx_bytes(&bytes, Some(folder))
    }

    /// Reads an ONNX file from memory. Data in other files are read from the folder `external`
    /// (never from outside it) and refused without one.
    ///
    /// # Errors
    /// If the bytes are not an ONNX file, or hold anything that is not supported.
    pub fn from_onnx_bytes(bytes: &[u8], external: Option<&Path>) -> Result<Self, ImportError> {
        let proto = ModelProto::decode(bytes).map_err(|e| ImportError::Decode(e.to_string()))?;
        let Some(graph) = &proto.graph else {
            return Err(ImportError::Decode("there is no graph".to_owned()));
        };
        let opset = opset(&proto)?;
        let mut importer = Importer::new(opset);
        importer.read_constants(graph, external);
        importer.read_input(graph);
        importer.read_nodes(graph);
        importer.finish(&proto, graph)
    }
}

/// The version of the standard operators.
fn opset(proto: &ModelProto) -> Result<i64, ImportError> {
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let version = proto.opset_import.iter().find(|id| standard(&id.domain)).map(|id| id.version);
    match version {
        Some(version) if OPSETS.contains(&version) => Ok(version),
        version => {
            let found = version.map_or("no version".to_owned(), |v| format!("version {v}"));
            Err(ImportError::Unsupported(vec![Problem {
                node: "model".to_owned(),
                operator: "opset".to_owned(),
                reason: format!(
                    "{found} of the standard operators; {} to {} are accepted",
                    OPSETS.start(),
                    OPSETS.end()
                ),
            }]))
        }
    }
}

/// What is known about a named value of the file.
#[derive(Clone, Debug)]
enum Value {
    /// The result of a node of the draft.
    Computed(usize),
    Constant(Constant),
    /// The result of a node with a problem that is reported already.
    Failed,
}

struct Importer {
    opset: i64,
    draft: Draft,
    values: HashMap<String, Value>,
    problems: Vec<Problem>,
    /// The size of the batch, if the file fixes it.
    batch: Option<i64>,
    /// Nodes read by nodes with problems, so that these keep them alive.
    read_by_failed: Vec<usize>,
}

impl Importer {
    fn new(opset: i64) -> Self {
        Self {
            opset,
            draft: Draft::default(),
            values: HashMap::new(),
            problems: Vec::new(),
            batch: None,
            read_by_failed: Vec::new(),
        }
    }

    fn problem(&mut self, node: &str, operator: &str, reason: impl Into<String>) {
        let (node, operator) = (node.to_owned(), operator.to_owned());
        self.problems.push(Problem { node, operator, reason: reason.into() });
    }

    fn read_constants(&mut self, graph: &GraphProto, external: Option<&Path>) {
        for tensor in &graph.initializer {
            let value = match constant::read(tensor, external) {
                Ok(constant) => Value::Constant(constant),
                Err(reason) => {
                    self.problem(&tensor.name, "initializer", reason);
                    Value::Failed
                }
            };
            self.values.insert(tensor.name.clone(), value);
        }
    }

    /// The one input that is not an initializer becomes node 0.
    fn read_input(&mut self, graph: &GraphProto) {
        let is_constant = |input: &&ValueInfo| !self.values.contains_key(&input.name);
        let inputs: Vec<&ValueInfo> = graph.input.iter().filter(is_constant).collect();
        let [input] = inputs[..] else {
            let reason = format!("{} inputs without data; exactly one is accepted", inputs.len());
            self.problem("graph", "input", reason);
            inputs.iter().for_each(|i| drop(self.values.insert(i.name.clone(), Value::Failed)));
            return;
        };
        let value = match input_shape(input) {
            Ok((batch, shape)) => {
                self.batch = batch;
                let op = DraftOp::Op(Op::Input);
                Value::Computed(self.draft.push(&input.name, "Input", op, Vec::new(), shape))
            }
            Err(reason) => {
                self.problem(&input.name, "input", reason);
                Value::Failed
            }
        };
        self.values.insert(input.name.clone(), value);
    }

    fn read_nodes(&mut self, graph: &GraphProto) {
        if graph.node.len() > Graph::MAX_NODES {
            let reason =
                format!("{} nodes; at most {} are accepted", graph.node.len(), Graph::MAX_NODES);
            return self.problem("graph", "nodes", reason);
        }
        for (index, node) in graph.node.iter().enumerate() {
            let name = if node.name.is_empty() {
                format!("{}_{index}", node.op_type)
            } else {
                node.name.clone()
            };
            let results = self.translate(node, &name).unwrap_or_else(|reason| {
                if let Some(reason) = reason {
                    self.problem(&name, &node.op_type, reason);
                }
                vec![Value::Failed; node.output.len()]
            });
            for (output, value) in node.output.iter().zip(results) {
                self.values.insert(output.clone(), value);
            }
        }
    }

    /// The results of a node. An error without a reason stems from a problem reported earlier.
    fn translate(&mut self, node: &NodeProto, name: &str) -> Result<Vec<Value>, Option<String>> {
        if !ops::is_supported(node) {
            self.keep_alive(node);
            return Err(Some(ops::unsupported(node)));
        }
        let mut inputs = Vec::with_capacity(node.input.len());
        for input in &node.input {
            inputs.push(match self.values.get(input) {
                _ if input.is_empty() => None,
                Some(Value::Failed) => {
                    self.keep_alive(node);
                    return Err(None);
                }
                Some(value) => Some(value.clone()),
                None => return Err(Some(format!("input '{input}' is not defined before it"))),
            });
        }
        let results = ops::translate(self, node, name, inputs);
        if results.is_err() {
            self.keep_alive(node);
        }
        results.map_err(Some)
    }

    fn keep_alive(&mut self, node: &NodeProto) {
        for input in &node.input {
            if let Some(Value::Computed(read)) = self.values.get(input) {
                self.read_by_failed.push(*read);
            }
        }
    }
}

/// The batch, if fixed, and the per-sample shape of the network's input.
fn input_shape(input: &ValueInfo) -> Result<(Option<i64>, Shape), String> {
    let tensor = input.value_type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let tensor = tensor.ok_or("the input must be a tensor")?;
    if tensor.elem_type != data_type::FLOAT {
        return Err("the input must have elements of type float".to_owned());
    }
    let dims = tensor.shape.as_ref().map(|shape| shape.dim.as_slice()).unwrap_or_default();
    let [batch, rest @ ..] = dims else {
        return Err("the input must have a shape whose first axis is the batch".to_owned());
    };
    let extent = |(axis, dim): (usize, &protobuf::Dimension)| {
        match dim.extent {
            Some(Extent::Value(extent)) if extent > 0 => usize::try_from(extent).ok(),
            _ => None,
        }
        .ok_or(format!(
            "axis {} of the input has no fixed extent; only the batch may vary",
            axis + 1
        ))
    };
    let shape: Vec<usize> = rest.iter().enumerate().map(extent).collect::<Result<_, _>>()?;
    checked_len(&shape).ok_or("the input has no axes after the batch, or is too large")?;
    let batch = match batch.extent {
        Some(Extent::Value(batch)) if batch > 0 => Some(batch),
        _ => None,
    };
    Ok((batch, Shape(shape)))
}
