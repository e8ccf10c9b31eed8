//! How values are represented between the gates.

use crate::Gate;
use serde::{Deserialize, Serialize};

/// Ring and input of a calibrated plan.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// Width l of the ring Z_2^l of wires and shares, in bits.
    pub ring: u32,
    /// Representation of the network's input.
    pub input: InputFormat,
}

/// Representation of the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFormat {
    /// A real number x is the integer round(x * 2^fractional_bits).
    pub fractional_bits: i32,
    /// Largest magnitude seen in calibration, for readers of the file; nothing computes with it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub range: f64,
}

/// Representation of the accumulator of a weighted layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerFormat {
    /// Name of the node.
    pub node: String,
    /// Fractional bits of the layer's output before truncation: those of its input plus those of
    /// its weights.
    pub fractional_bits: i32,
}

/// One place where shares are opened under a mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Name of the node in the graph.
    pub node: String,
    /// What the site is there for.
    pub kind: SiteKind,
    /// The gate; only activations may have other than the exact one.
    #[serde(default = "exact", skip_serializing_if = "is_exact")]
    pub gate: Gate,
    /// Representation; absent until the plan is calibrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
}

fn is_zero(range: &f64) -> bool {
    *range == 0.0
}

fn exact() -> Gate {
    Gate::Exact
}

fn is_exact(gate: &Gate) -> bool {
    *gate == Gate::Exact
}

impl Site {
    /// A site without a number format.
    pub fn uncalibrated(node: &str, kind: SiteKind, gate: Gate) -> Site {
        Site { node: node.to_owned(), kind, gate, format: None }
    }
}

/// What a site is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteKind {
    /// An activation node.
    Activation,
    /// The maxima of a max-pooling node.
    MaxPool,
    /// A node whose output is a share and feeds a weighted layer, which needs a wire.
    Wire,
    /// The network's output, opened to the client.
    Output,
}

/// Representation of the value that a gate opens under a mask, and of its output.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Format {
    /// Fractional bits of the gate's input after truncation, and of its output. The input of a
    /// piecewise polynomial has those that the polynomial says.
    pub fractional_bits: i32,
    /// Width w of the opened values in bits: the gate's input u must satisfy |u| < 2^(w-2), and so must
    /// the output of a piecewise polynomial, instead of its input.
    pub width: u32,
    /// Largest magnitude of the gate's input in calibration, as a real number, for readers of the
    /// file; nothing computes with it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub range: f64,
    /// Bits of the deciding form that are compared; absent where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// The compared bits [low, low + bits) of a deciding form v. The decision is right wherever
/// -2^(low + bits - 1) <= v <= 2^(low + bits - 1) - 2^low, except that values in (-2^low, 0) may
/// count as positive: the bits below `low` are not looked at, and their carry is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Lowest compared bit.
    pub low: u32,
    /// Number of compared bits, the sign included.
    pub bits: u32,
}
