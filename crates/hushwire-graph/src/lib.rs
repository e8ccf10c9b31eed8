//! ONNX networks as small typed graphs.
//!
//! [`Model::load`] reads an ONNX file (opset 11 to 21) and splits it into a public [`Graph`]
//! (structure, static per-sample shapes, metadata) and secret [`Params`] (weights). The graph is
//! small on purpose: batch normalisation is folded, activations spelled out in several nodes are
//! recognised as one, and whatever cannot be expressed is refused with the names of the nodes
//! concerned. [`Executor`] runs the graph in floating point on batches of any size.
//!
//! ```no_run
//! use hushwire_graph::{Executor, Model, Tensor};
//!
//! let model = Model::load("network.onnx")?;
//! let input = Tensor::zeros(&model.graph.input_shape().with_batch(8));
//! let logits = Executor::new(&model).run(&input)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod activation;
mod error;
mod exec;
mod export;
mod graph;
mod import;
mod infer;
mod metadata;
mod op;
mod params;
mod polynomial;
mod tensor;
#[cfg(any(test, feature = "test-support"))]
pub mod testing;

pub use activation::{Activation, softplus};
pub use error::{ExecError, GraphError, ImportError, Problem, ShapeError};
pub use exec::{Executor, Hooks};
pub use graph::{Graph, Model, Node, NodeId, OutputKind, Shape};
pub use metadata::{Color, Filter, ImageResize, Labels, Layout, Metadata, Preprocess, Task};
pub use op::{Conv, Coordinates, Gemm, Interpolation, NearestRounding, Op, Pool, Resize};
pub use params::{ParamId, ParamInfo, Params};
pub use polynomial::Polynomial;
pub use tensor::Tensor;

/// Products of matrices in slices.
pub mod gemm {
    pub use crate::exec::gemm::{Destination, Matrix, multiply};
}
