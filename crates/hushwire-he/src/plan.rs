//! The encrypted plan: which layout each value of a network has, at which level and scale.
//!
//! Like the activation plan it is a TOML file that people can read. The counts in it are for them;
//! they follow from the rest.
//!
//! ```toml
//! version = 1
//! architecture = "5e1f…"              # SHA-256 of the public graph
//! objective = "latency"
//! flood = 0.02                        # noise that drowns traces of the weights in the result
//!
//! [parameters]
//! log_degree = 13                     # N = 8192
//! data_bits = [35, 35, 49, 49]        # primes of ciphertexts
//! special_bits = [50]                 # primes of key switching
//!
//! [[value]]
//! name = "input"
//! layout = "aligned"                  # as the first layer reads it
//! level = 3
//! log_scale = 25.0
//!
//! [[value]]
//! name = "square1"
//! layout = "copy:8@1 i:845@8"
//! level = 2
//! log_scale = 33.0
//! stage = { level = 3, split = { giant = 1 } }
//! ```
//!
//! Gates of an activation plan are kept in it as they stand there, so that whoever encodes the weights
//! needs no other file.

use std::fmt;
use std::str::FromStr;

use hushwire_graph::Graph;
use hushwire_plan::{CheckError, Plan, Site};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::layout::LayoutError;
use crate::{Counts, Layout, Split};

/// The version of the file format.
pub const VERSION: u32 = 1;

/// Longest plan file that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;

/// Most values of a network.
const MAX_VALUES: usize = 10_000;

/// What a plan is best at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// One image, soon.
    Latency,
    /// Many images at once.
    Throughput,
}

/// A plan for encrypted inference.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptedPlan {
    /// Version of the file format.
    pub version: u32,
    /// Hash of the public graph that the plan was made for.
    pub architecture: String,
    /// What it was made for.
    pub objective: Objective,
    /// Standard deviation of the noise that the server adds to results.
    pub flood: f64,
    /// Ring and primes.
    pub parameters: Parameters,
    /// Every value of the network in normal form.
    #[serde(rename = "value")]
    pub values: Vec<ValuePlan>,
    /// Gates of an activation plan that stand for activations.
    #[serde(rename = "site", default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<Site>,
}

/// Ring and primes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// log2 of the ring's degree, which is the number of slots.
    pub log_degree: u32,
    /// Bits of the primes of ciphertexts; rescaling divides by the last.
    pub data_bits: Vec<u32>,
    /// Bits of the primes of key switching.
    pub special_bits: Vec<u32>,
}

/// A value of the network.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValuePlan {
    /// Its name.
    pub name: String,
    /// Where its elements lie.
    pub layout: Placement,
    /// Its level.
    pub level: usize,
    /// log2 of its scale.
    pub log_scale: f64,
    /// How it is computed; nothing for the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<StagePlan>,
    /// The operations of that, for readers of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
}

/// How a value is computed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StagePlan {
    /// The level of the layer and of the product.
    pub level: usize,
    /// Rotations by which the layer's result is added to itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folds: Vec<usize>,
    /// Baby and giant steps.
    pub split: Split,
}

/// Where the elements of a value lie.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Placement {
    /// Where the first layer reads them, copied as often as it does: only the input, which its owner
    /// packs.
    Aligned,
    /// A layout.
    Layout(Layout),
    /// One element in each ciphertext, the slots being images.
    Batched,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aligned => f.write_str("aligned"),
            Self::Layout(layout) => layout.fmt(f),
            Self::Batched => f.write_str("batched"),
        }
    }
}

impl FromStr for Placement {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        match text {
            "aligned" => Ok(Self::Aligned),
            "batched" => Ok(Self::Batched),
            _ => text.parse().map(Self::Layout),
        }
    }
}

impl Serialize for Placement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Placement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Why a plan cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The file is longer than [`MAX_BYTES`].
    #[error("the encrypted plan has {0} bytes; at most {MAX_BYTES} are read")]
    TooLong(usize),
    /// The bytes are not UTF-8.
    #[error("the encrypted plan is not UTF-8 text (byte {0} is the first that is not)")]
    NotText(usize),
    /// The text is not a plan: TOML's own message says where.
    #[error("the encrypted plan does not parse: {0}")]
    Syntax(#[from] Box<toml::de::Error>),
    /// It is the other kind of plan.
    #[error(
        "it is an activation plan; `plan encrypted --gates` makes an encrypted plan with its gates"
    )]
    Activation,
    /// The file is of another version.
    #[error("the encrypted plan has version {0}; this program reads version {VERSION}")]
    Version(u32),
    /// It was made for another network.
    #[error("the encrypted plan was made for network {expected:.12}, this is {got:.12}")]
    OtherNetwork {
        /// The plan's network.
        expected: String,
        /// The network at hand.
        got: String,
    },
    /// Its gates are not those of an activation plan for the network.
    #[error("the encrypted plan's gates do not fit: {0}")]
    Gates(#[from] CheckError),
    /// A part of it does not fit.
    #[error("the encrypted plan does not fit at {place}: {reason}")]
    Unfit {
        /// The value concerned.
        place: String,
        /// What is wrong, and what would fit.
        reason: String,
    },
}

impl EncryptedPlan {
    /// Reads a plan from the bytes of a file.
    ///
    /// # Errors
    /// Bytes that are too many, not text, not a plan or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PlanError> {
        if bytes.len() > MAX_BYTES {
            return Err(PlanError::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|e| PlanError::NotText(e.valid_up_to()))?;
        /// Only the version, so that a later format is named as such.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = toml::from_str(text).map_err(Box::new)?;
        if version != VERSION {
            return Err(PlanError::Version(version));
        }
        if hushwire_plan::Plan::from_bytes(bytes).is_ok() {
            return Err(PlanError::Activation);
        }
        let plan: Self = toml::from_str(text).map_err(Box::new)?;
        plan.check()?;
        Ok(plan)
    }

    /// The plan as the text of a file.
    pub fn to_text(&self) -> String {
        toml::to_string(self).unwrap_or_else(|e| unreachable!("a plan is always valid TOML: {e}"))
    }

    /// Checks that the plan was made for this graph, and that its gates fit.
    ///
    /// # Errors
    /// [`PlanError::OtherNetwork`], [`PlanError::Gates`].
    pub fn check_graph(&self, graph: &Graph) -> Result<(), PlanError> {
        let got = hushwire_plan::architecture_hash(graph);
        if got != self.architecture {
            return Err(PlanError::OtherNetwork { expected: self.architecture.clone(), got });
        }
        let mut gates = Plan::exact(graph);
        let replaced =
            |site: &Site| self.sites.iter().any(|s| s.node == site.node && s.kind == site.kind);
        gates.sites.retain(|site| !replaced(site));
        gates.sites.extend_from_slice(&self.sites);
        Ok(gates.check(graph)?)
    }

    /// Checks what does not depend on the network: extents, levels, scales.
    fn check(&self) -> Result<(), PlanError> {
        let fail =
            |place: &str, reason: String| Err(PlanError::Unfit { place: place.to_owned(), reason });
        let Parameters { log_degree, data_bits, special_bits } = &self.parameters;
        if !(4..=16).contains(log_degree) {
            return fail("parameters", format!("log_degree = {log_degree}; 12 to 16 are possible"));
        }
        let primes = data_bits.len() + special_bits.len();
        if data_bits.is_empty() || special_bits.is_empty() || primes > 64 {
            return fail("parameters", format!("{primes} primes; 2 to 64 are possible"));
        }
        if let Some(bits) = data_bits.iter().chain(special_bits).find(|b| !(20..=60).contains(*b)) {
            return fail("parameters", format!("a prime of {bits} bits"));
        }
        if !(0.0..=1e9).contains(&self.flood) {
            return fail("flood", format!("{}; 0 to 1e9 are possible", self.flood));
        }
        if self.values.len() < 2 || self.values.len() > MAX_VALUES {
            return fail("values", format!("{} values", self.values.len()));
        }
        let slots = 1_usize << log_degree;
        for (i, value) in self.values.iter().enumerate() {
            let at = |reason: String| fail(&value.name, reason);
            if value.level >= data_bits.len() {
                return at(format!("level {} of {} primes", value.level, data_bits.len()));
            }
            if !(0.0..=1000.0).contains(&value.log_scale) {
                return at(format!("a scale of 2^{}", value.log_scale));
            }
            match &value.stage {
                None if i > 0 => return at("there is no stage".to_owned()),
                Some(_) if i == 0 => return at("the input has a stage".to_owned()),
                None => {}
                Some(StagePlan { level, folds, split }) => {
                    if *level < value.level || *level >= data_bits.len() {
                        return at(format!("from level {level} to level {}", value.level));
                    }
                    if folds.len() > 16 || folds.iter().any(|f| *f == 0 || *f >= slots) {
                        return at(format!("folds {folds:?} of {slots} slots"));
                    }
                    if !(1..=slots).contains(&split.giant) {
                        return at(format!("a giant step of {} of {slots} slots", split.giant));
                    }
                }
            }
        }
        Ok(())
    }
}
