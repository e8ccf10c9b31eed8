//! Typed errors.

use std::fmt;
use std::path::PathBuf;

use crate::NodeId;

/// Why a file is not a model this crate can represent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file or one it refers to could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The bytes are not an ONNX protobuf message.
    #[error("not an ONNX file: {0}")]
    Decode(String),
    /// A metadata property has an unexpected form.
    #[error("metadata property '{key}': {reason}")]
    Metadata {
        /// Name of the property.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Everything in the file that is malformed or not supported.
    #[error("{}", join_lines(.0))]
    Unsupported(Vec<Problem>),
    /// The graph that came out breaks an invariant.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// One reason for which a file is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Name of the node, or of the value where no node is concerned.
    pub node: String,
    /// The ONNX operator, or what else it is.
    pub operator: String,
    /// What is wrong and what would be accepted.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.node, self.operator, self.reason)
    }
}

fn join_lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// An invariant that a graph breaks.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The number of nodes is 0 or above the limit.
    #[error("a graph of {got} nodes; between 1 and {limit} are accepted")]
    NodeCount {
        /// Nodes in the graph.
        got: usize,
        /// The most accepted.
        limit: usize,
    },
    /// The values are too large together.
    #[error("all values together take {got} elements; at most {limit} are accepted")]
    TotalSize {
        /// What the values take.
        got: usize,
        /// The most accepted.
        limit: usize,
    },
    /// An id refers to nothing, or to a node that does not come earlier.
    #[error("{what} refers to {index}, but only ids below {limit} may stand there")]
    Reference {
        /// The referring thing.
        what: String,
        /// What it refers to.
        index: usize,
        /// The first id that may not stand there.
        limit: usize,
    },
    /// Two nodes have the same name.
    #[error("two nodes are called '{name}'")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// There is not exactly one input, which is node 0.
    #[error("node {index} ('{name}'): the one input must be node 0")]
    Input {
        /// Index of the offending node.
        index: usize,
        /// Its name.
        name: String,
    },
    /// A node's inputs, attributes or shape do not fit together.
    #[error("node '{name}': {source}")]
    Node {
        /// The node.
        name: String,
        /// The reason.
        source: ShapeError,
    },
    /// A parameter is empty, too large or differs from its description.
    #[error("parameter '{name}': {reason}")]
    Param {
        /// The parameter.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// Why no output shape belongs to an operator and its inputs.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// Wrong number of inputs.
    #[error("{got} inputs where {expected} are needed")]
    Arity {
        /// Inputs needed.
        expected: usize,
        /// Inputs found.
        got: usize,
    },
    /// Wrong number of axes.
    #[error("{got} axes per sample where {expected} are needed")]
    Rank {
        /// Axes needed.
        expected: usize,
        /// Axes found.
        got: usize,
    },
    /// An extent differs from what another one demands.
    #[error("{what} is {got} where {expected} is needed")]
    Mismatch {
        /// The thing that differs.
        what: &'static str,
        /// As it should be.
        expected: String,
        /// As it is.
        got: String,
    },
    /// A size is zero or beyond the limits of this crate.
    #[error("{what} is zero or too large")]
    Size {
        /// The size.
        what: &'static str,
    },
    /// A window larger than the padded input, or one that holds padding only.
    #[error("a window does not fit the input or lies in the padding")]
    Window,
    /// An attribute outside its range.
    #[error("attribute {what} is out of range")]
    Attribute {
        /// The attribute.
        what: &'static str,
    },
    /// A parameter id that refers to nothing.
    #[error("parameter {0} does not exist")]
    NoParam(usize),
}

/// Why a graph could not be run on an input.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The input's shape after the batch differs from the graph's.
    #[error("input of shape {got:?}; [N, then {expected:?}] is needed")]
    InputShape {
        /// Per-sample shape of the graph's input.
        expected: Vec<usize>,
        /// Shape of the tensor given, with the batch.
        got: Vec<usize>,
    },
    /// A hook replaced a node's value by one of another shape.
    #[error("node {}: a hook gave shape {got:?} where {expected:?} is needed", .node.0)]
    HookShape {
        /// The node.
        node: NodeId,
        /// Shape needed, with the batch.
        expected: Vec<usize>,
        /// Shape given.
        got: Vec<usize>,
    },
}
