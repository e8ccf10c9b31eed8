//! The activation plan: which secure gate replaces each non-linearity of a network, and how every
//! value between the gates is represented in fixed point.
//!
//! A plan is a TOML file that people can read and edit. Every executor (float, clear fixed point,
//! three-party) reads the same plan; planners write it; nothing here searches.
//!
//! ```toml
//! version = 1
//! architecture = "5e1f…"            # SHA-256 of the public graph this plan was made for
//!
//! [numbers]
//! ring = 30                          # wires live in Z_2^30
//! input = { fractional_bits = 8, range = 2.8 }
//!
//! [[layer]]                          # one for each weighted layer
//! node = "Conv_0"
//! fractional_bits = 21               # of its accumulator
//!
//! [[site]]                           # one for each gate
//! node = "Relu_1"
//! kind = "activation"
//! gate = "exact"                     # or "identity", "zero", { patches = ["2x2", …] }, { groups = … },
//!                                    # { clusters = { of_channel = […], list = […] } },
//!                                    # { piecewise = { knots = […], pieces = [[…], …], … } },
//!                                    # { polynomial = { alpha = 9, range = 7.5 } }
//! format = { fractional_bits = 9, width = 15, range = 3.7, window = { low = 1, bits = 13 } }
//! ```

mod check;
mod clusters;
pub mod float;
mod gate;
mod groups;
mod numbers;
mod piecewise;
mod polynomial;

pub use check::{CheckError, Problem};
pub use clusters::{Cluster, Clusters, Prototype};
pub use gate::{ChannelGate, Gate, Group, Others};
pub use groups::{Copied, Decision, Form, Grouping};
pub use numbers::{Format, InputFormat, LayerFormat, Numbers, Site, SiteKind, Window};
pub use piecewise::{Curve, Encoding, MAX_DEGREE, MAX_PIECES, Piecewise, Selector};
pub use polynomial::{MAX_RANGE, PolynomialGate};

use hushwire_graph::Graph;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The version of the file format that this crate reads and writes.
pub const VERSION: u32 = 1;

/// Longest plan file that is read, in bytes: far above any real plan, far below harm.
pub const MAX_BYTES: usize = 64 << 20;

/// An activation plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of the file format.
    pub version: u32,
    /// Hash of the public graph that the plan was made for, see [`architecture_hash`].
    pub architecture: String,
    /// Ring and input representation; absent until the plan is calibrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    /// Representation of the accumulator of every weighted layer.
    #[serde(default, rename = "layer", skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerFormat>,
    /// Every gate: activations, maxima, conversions of shares to wires, the output.
    #[serde(default, rename = "site")]
    pub sites: Vec<Site>,
}

/// Why a plan could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file is longer than [`MAX_BYTES`].
    #[error("the plan has {0} bytes; at most {MAX_BYTES} are read")]
    TooLong(usize),
    /// The bytes are not UTF-8.
    #[error("the plan is not UTF-8 text (byte {0} is the first that is not)")]
    NotText(usize),
    /// The text is not a plan: TOML's own message says where.
    #[error("the plan does not parse: {0}")]
    Syntax(#[from] Box<toml::de::Error>),
    /// The file is of another version.
    #[error("the plan has version {0}; this program reads version {VERSION}")]
    Version(u32),
}

impl Plan {
    /// The default plan for `graph`: the exact gate at every activation site, not yet calibrated.
    pub fn exact(graph: &Graph) -> Plan {
        let sites = graph
            .activation_sites()
            .into_iter()
            .map(|id| {
                Site::uncalibrated(&graph.nodes[id.0].name, SiteKind::Activation, Gate::Exact)
            })
            .collect();
        Plan {
            version: VERSION,
            architecture: architecture_hash(graph),
            numbers: None,
            layers: Vec::new(),
            sites,
        }
    }

    /// Reads a plan from the bytes of a file.
    ///
    /// # Errors
    /// Bytes that are too many, not text, not a plan or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Plan, ReadError> {
        if bytes.len() > MAX_BYTES {
            return Err(ReadError::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|e| ReadError::NotText(e.valid_up_to()))?;
        /// Only the version, so that a later format is named as such and not as a syntax error.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = toml::from_str(text).map_err(Box::new)?;
        if version != VERSION {
            return Err(ReadError::Version(version));
        }
        Ok(toml::from_str(text).map_err(Box::new)?)
    }

    /// The plan as the text of a file.
    pub fn to_text(&self) -> String {
        toml::to_string(self).unwrap_or_else(|e| unreachable!("a plan is always valid TOML: {e}"))
    }

    /// The site of `kind` at the node called `node`.
    pub fn site(&self, node: &str, kind: SiteKind) -> Option<&Site> {
        self.sites.iter().find(|s| s.kind == kind && s.node == node)
    }

    /// The accumulator format of the weighted layer called `node`.
    pub fn layer(&self, node: &str) -> Option<&LayerFormat> {
        self.layers.iter().find(|l| l.node == node)
    }

    /// The plan as other parties need it: without the ranges that calibration measured, which say
    /// more about weights and images than the formats that follow from them.
    pub fn published(&self) -> Plan {
        let mut plan = self.clone();
        if let Some(numbers) = &mut plan.numbers {
            numbers.input.range = 0.0;
        }
        for format in plan.sites.iter_mut().filter_map(|s| s.format.as_mut()) {
            format.range = 0.0;
        }
        plan
    }

    /// Whether every value has a representation, so that the plan can be executed in fixed point.
    pub fn is_calibrated(&self) -> bool {
        self.numbers.is_some() && self.sites.iter().all(|s| s.format.is_some())
    }
}

/// SHA-256 over the public description of a network, in hexadecimal: structure, shapes and
/// metadata, no weights.
pub fn architecture_hash(graph: &Graph) -> String {
    let bytes = postcard::to_stdvec(graph)
        .unwrap_or_else(|e| unreachable!("a graph is plain data and always serialises: {e}"));
    hex::encode(Sha256::digest(&bytes))
}
