//! The operators of a graph.

use serde::{Deserialize, Serialize};

use crate::{Activation, ParamId};

/// What a node computes. Axes count from 0 per sample: the batch is not among them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Op {
    /// The network's input; exactly one, node 0.
    Input,
    /// Two-dimensional convolution of `[C, H, W]`.
    Conv(Conv),
    /// Fully connected layer on `[F]`.
    Gemm(Gemm),
    /// `x * scale + shift`; each parameter is per channel `[C]` or has the full per-sample shape.
    Affine {
        /// Factor, 1 if absent.
        scale: Option<ParamId>,
        /// Summand, 0 if absent.
        shift: Option<ParamId>,
    },
    /// A function of each element.
    Activation(Activation),
    /// Maximum over windows of `[C, H, W]`; padding never wins.
    MaxPool(Pool),
    /// Mean over windows of `[C, H, W]`.
    AveragePool(Pool),
    /// Sum of two values of equal shape.
    Add,
    /// The first value less the second, of equal shape.
    Sub,
    /// Values joined along an axis.
    Concat {
        /// The axis along which the inputs may differ in extent.
        axis: usize,
    },
    /// A constant border.
    Pad {
        /// Elements before each axis.
        before: Vec<usize>,
        /// Elements after each axis.
        after: Vec<usize>,
        /// The value they have.
        value: f32,
    },
    /// The elements `start + i * step` for `i < len` of each axis.
    Slice {
        /// First index of each axis.
        start: Vec<usize>,
        /// Distance of neighbours, at least 1.
        step: Vec<usize>,
        /// Extent of each axis of the result.
        len: Vec<usize>,
    },
    /// The same elements in order under the node's shape.
    Reshape,
    /// Axis `i` of the result is axis `perm[i]` of the input.
    Transpose {
        /// A permutation of the axes.
        perm: Vec<usize>,
    },
    /// Spatial resampling of `[C, H, W]` to the extents in the node's shape.
    Resize(Resize),
}

/// Attributes of a convolution; the kernel's extents are those of its weight.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Conv {
    /// Kernel `[out channels, in channels / groups, height, width]`.
    pub weight: ParamId,
    /// One summand per output channel.
    pub bias: Option<ParamId>,
    /// Step of the window, `[vertical, horizontal]`.
    pub stride: [usize; 2],
    /// Zeros around the input, `[top, left, bottom, right]`.
    pub pads: [usize; 4],
    /// Distance of neighbouring taps, `[vertical, horizontal]`.
    pub dilation: [usize; 2],
    /// Number of independent groups of channels.
    pub groups: usize,
}

/// A fully connected layer: `weight * x + bias`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gemm {
    /// Matrix `[outputs, inputs]`.
    pub weight: ParamId,
    /// One summand per output.
    pub bias: Option<ParamId>,
}

/// Windows of a pooling operator. Every window holds at least one element of the input.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pool {
    /// Extents of the window, `[vertical, horizontal]`.
    pub kernel: [usize; 2],
    /// Step of the window, `[vertical, horizontal]`.
    pub stride: [usize; 2],
    /// Border around the input, `[top, left, bottom, right]`.
    pub pads: [usize; 4],
    /// For averages: whether the border counts in the divisor. Always false for the maximum.
    pub count_include_pad: bool,
}

/// How to resample.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Resize {
    /// The interpolation.
    pub interpolation: Interpolation,
    /// How an output index is mapped into the input.
    pub coordinates: Coordinates,
    /// Output extent by input extent as the file gives it, `[vertical, horizontal]`; unlike the
    /// ratio of the extents it need not make the output's extent whole.
    pub scales: [f32; 2],
}

/// Interpolation of a [`Resize`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Interpolation {
    /// The nearest element.
    Nearest(NearestRounding),
    /// Bilinear between the four nearest elements; beyond the edge the edge is repeated.
    Linear,
}

/// Which element is nearest to a coordinate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NearestRounding {
    /// Round, halves down.
    RoundPreferFloor,
    /// Round, halves up.
    RoundPreferCeil,
    /// Round down.
    Floor,
    /// Round up.
    Ceil,
}

/// The coordinate in the input that belongs to index `i` of the output, with `scale` the ratio of
/// the extents.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Coordinates {
    /// `(i + 0.5) / scale - 0.5`
    HalfPixel,
    /// As [`HalfPixel`](Self::HalfPixel), but 0 where the output's extent is 1.
    PytorchHalfPixel,
    /// `i * (in - 1) / (out - 1)`
    AlignCorners,
    /// `i / scale`
    Asymmetric,
}

impl Op {
    /// The operator's name without its attributes, as ONNX calls it where it has the operator.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Input => "Input",
            Self::Conv(_) => "Conv",
            Self::Gemm(_) => "Gemm",
            Self::Affine { .. } => "Affine",
            Self::Activation(activation) => activation.name(),
            Self::MaxPool(_) => "MaxPool",
            Self::AveragePool(_) => "AveragePool",
            Self::Add => "Add",
            Self::Sub => "Sub",
            Self::Concat { .. } => "Concat",
            Self::Pad { .. } => "Pad",
            Self::Slice { .. } => "Slice",
            Self::Reshape => "Reshape",
            Self::Transpose { .. } => "Transpose",
            Self::Resize(_) => "Resize",
        }
    }

    /// The parameters it reads.
    pub fn params(&self) -> impl Iterator<Item = ParamId> {
        let (first, second) = match self {
            Self::Conv(Conv { weight, bias, .. }) | Self::Gemm(Gemm { weight, bias }) => {
                (Some(*weight), *bias)
            }
            Self::Affine { scale, shift } => (*scale, *shift),
            _ => (None, None),
        };
        first.into_iter().chain(second)
    }
}
