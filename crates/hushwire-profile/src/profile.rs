//! What a machine can do, as a file that people can read.

use hushwire_mpc::Comparison;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A machine profile: work in nanoseconds of one core, for every kind of thing that a party does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Work of every party for each operation, however small.
    pub operation_ns: Ns,
    /// Work of the server for each byte of preprocessing that it keeps.
    pub keep_ns: Ns,
    /// Where it was measured.
    pub machine: Machine,
    /// Links over TLS.
    pub links: Links,
    /// Work in rings of up to 32 bits, in words of 32 bits.
    pub u32: Words,
    /// Work in larger rings, in words of 64 bits.
    pub u64: Words,
    /// Convolutions in 64-bit words modulo 2^53 and above; below, [`Words::convolution`] counts.
    pub wide_convolution: Convolution,
}

/// Nanoseconds of one core, between 0 and a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Ns(f64);

impl Ns {
    const MAX: f64 = 1e9;

    /// Seconds, to four digits; what measuring noise has made negative is zero.
    pub(crate) fn from_seconds(seconds: f64) -> Ns {
        let ns = (seconds * 1e9).clamp(0.0, Ns::MAX);
        let short = format!("{ns:.3e}").parse();
        Ns(short.unwrap_or_else(|e| unreachable!("a printed number is one: {e}")))
    }

    /// Seconds of `count` times this.
    pub(crate) fn times(self, count: f64) -> f64 {
        self.0 * 1e-9 * count
    }
}

impl TryFrom<f64> for Ns {
    type Error = String;

    fn try_from(ns: f64) -> Result<Ns, String> {
        let fits = (0.0..=Ns::MAX).contains(&ns);
        fits.then_some(Ns(ns)).ok_or_else(|| format!("{ns} ns; 0 to 1e9 are possible"))
    }
}

impl From<Ns> for f64 {
    fn from(ns: Ns) -> f64 {
        ns.0
    }
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The processor, as the system names it.
    pub processor: String,
    /// Cores that a party may use.
    pub cores: usize,
}

/// Links over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// Work of handing a message to a link, and of taking one, each.
    pub message_ns: Ns,
    /// Until a party that has waited for a message for long goes on.
    pub wake_ns: Ns,
    /// What a message on a line that is not the loopback interface arrives later than the line's
    /// delay says: timers and devices take a moment.
    pub timer_ns: Ns,
    /// Work of encrypting and sending a byte, and of receiving and decrypting one, each.
    pub byte_ns: Ns,
}

/// Work with words of one size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// Convolutions and products.
    pub convolution: Convolution,
    /// What weighted layers cost beside their product, for each output.
    pub layer: Layer,
    /// Public linear operations, for each operand of each element made.
    pub local_ns: Ns,
    /// Gates that compare by digit tables.
    pub digits: Gates,
    /// Gates that compare by distributed comparison functions.
    pub dcf: Gates,
}

/// The time of a convolution is a sum over what it touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolution {
    /// For each multiplication.
    pub product_ns: Ns,
    /// For each element of the matrix of inputs: taps times positions.
    pub input_ns: Ns,
    /// For each weight.
    pub weight_ns: Ns,
    /// For each output.
    pub output_ns: Ns,
    /// For each multiplication of a depthwise convolution of stride 1.
    pub depthwise_ns: Ns,
    /// For each multiplication of one of larger stride.
    pub strided_depthwise_ns: Ns,
    /// For each multiplication of a product with one or two vectors.
    pub vector_ns: Ns,
}

/// Work of a weighted layer for each output, beside its product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The helper's share: drawn, subtracted, packed.
    pub deal_ns: Ns,
    /// The client's share.
    pub prepare_ns: Ns,
    /// The server's, online.
    pub serve_ns: Ns,
}

/// Work of gates, by who does it when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gates {
    /// The helper, offline.
    pub deal: Gate,
    /// The client, offline.
    pub prepare: Gate,
    /// The client, online.
    pub ask: Gate,
    /// The server, online.
    pub serve: Gate,
}

/// Work of one party for a gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// For each part of up to 2^14 elements, however small.
    pub part_ns: Ns,
    /// For each element that decides for itself.
    pub element_ns: Ns,
    /// For each element that follows a group's decision.
    pub member_ns: Ns,
    /// For each element that passes.
    pub passing_ns: Ns,
    /// For each decision of a group, and for the second one of each element of a clip.
    pub decision_ns: Ns,
    /// For each level of each decision: a digit of four bits, or a level of the tree above the leaf
    /// of a distributed comparison function.
    pub level_ns: Ns,
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Its path.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no profile.
    #[error("{path} is no machine profile, as `hushwire profile` writes it: {reason}")]
    Format {
        /// Its path.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

/// Longest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// A file that cannot be read or is none.
    pub fn load(path: &Path) -> Result<Profile, ProfileError> {
        use std::io::Read;
        let shown = || path.display().to_string();
        let read = || {
            let mut text = String::new();
            std::fs::File::open(path)?.take(MAX_BYTES).read_to_string(&mut text)?;
            Ok(text)
        };
        let text = read().map_err(|source| ProfileError::File { path: shown(), source })?;
        Profile::from_text(&text).map_err(|reason| ProfileError::Format { path: shown(), reason })
    }

    /// The profile of the machine named in it, for those who have not measured theirs: two cores of
    /// an Intel Xeon (Sapphire Rapids) with AVX-512 and VAES.
    pub fn built_in() -> Profile {
        // Part of the program, and tested.
        Profile::from_text(include_str!("../built_in.toml"))
            .unwrap_or_else(|e| unreachable!("the built-in profile is one: {e}"))
    }

    /// The profile that a text describes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_text(text: &str) -> Result<Profile, String> {
        let profile: Profile = toml::from_str(text).map_err(|e| e.to_string())?;
        match profile.machine.cores {
            1..=1024 => Ok(profile),
            cores => Err(format!("machine.cores is {cores}; 1 to 1024 are possible")),
        }
    }

    /// The profile as the text of a TOML file.
    pub fn to_text(&self) -> String {
        // Numbers and text in nested structures are what TOML is made for.
        let body = toml::to_string(self).unwrap_or_else(|e| unreachable!("a profile is TOML: {e}"));
        format!(
            "# A machine as Hushwire sees it, written by `hushwire profile`. Numbers that end in ns\n\
             # are nanoseconds of one core; `hushwire inspect --profile` predicts times from them.\n\n\
             {body}"
        )
    }

    /// Work with the words of a ring of `bits`.
    pub(crate) fn words(&self, bits: u32) -> &Words {
        if bits <= 32 { &self.u32 } else { &self.u64 }
    }

    /// Convolutions in a ring of `bits`.
    pub(crate) fn convolution(&self, bits: u32) -> &Convolution {
        if bits <= 52 { &self.words(bits).convolution } else { &self.wide_convolution }
    }
}

impl Words {
    /// Gates of one comparison.
    pub(crate) fn gates(&self, comparison: Comparison) -> &Gates {
        match comparison {
            Comparison::Digits => &self.digits,
            Comparison::Dcf => &self.dcf,
        }
    }
}
