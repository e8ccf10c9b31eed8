//! The gates a plan can name.

use crate::{Clusters, Piecewise, PolynomialGate};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// What replaces one activation site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Gate {
    /// The activation itself: ReLU, or a clip with its two knots.
    Exact,
    /// The input passes unchanged; nothing is compared.
    Identity,
    /// The output is zero; nothing is compared or sent.
    Zero,
    /// Spatial patches, one choice per channel. The sign of a patch's sum decides for all its
    /// members (Gorski, Jevnisek, Avidan, arXiv 2304.10442).
    Patches(Vec<ChannelGate>),
    /// Arbitrary groups with their own deciding forms (Helbitz, Avidan, arXiv 2101.11835).
    Groups {
        /// The groups; members are disjoint.
        list: Vec<Group>,
        /// What happens to the elements in no group.
        others: Others,
    },
    /// Clusters of channels that share decisions, patch by patch.
    Clusters(Clusters),
    /// A piecewise polynomial, each element for itself, in the place of any activation.
    Piecewise(Piecewise),
    /// A composite polynomial in the place of ReLU, each element for itself.
    Polynomial(PolynomialGate),
}

impl Gate {
    /// The patches of a channel whose decisions the gate takes itself, channel by channel.
    pub fn of_channel(&self, channel: u32) -> Option<ChannelGate> {
        let gate = match self {
            Gate::Patches(channels) => *channels.get(channel as usize)?,
            Gate::Clusters(clusters) => {
                let cluster = *clusters.of_channel.get(channel as usize)?;
                let cluster = clusters.list.get(cluster as usize)?;
                cluster.copies.is_none().then_some(cluster.gate)?
            }
            _ => return None,
        };
        matches!(gate, ChannelGate::Patch(..)).then_some(gate)
    }
}

/// A group of activations that share one decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Elements that the decision is applied to: indices into the flattened per-sample tensor.
    pub members: Vec<u32>,
    /// The deciding integer linear form: (element, coefficient). Its sign is the decision.
    pub form: Vec<(u32, i32)>,
}

/// The gate of elements that no group names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Others {
    /// Each decides for itself.
    Exact,
    /// Passed unchanged.
    Identity,
    /// Replaced by zero.
    Zero,
}

/// The choice for one channel: written `"2x3"` (height x width), `"1x1"` (each element for
/// itself), `"identity"` or `"zero"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelGate {
    /// Patches of this height and width share a decision; the last ones may be cut by the border.
    Patch(u16, u16),
    /// Passed unchanged.
    Identity,
    /// Replaced by zero.
    Zero,
}

impl fmt::Display for ChannelGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChannelGate::Patch(h, w) => write!(f, "{h}x{w}"),
            ChannelGate::Identity => f.write_str("identity"),
            ChannelGate::Zero => f.write_str("zero"),
        }
    }
}

impl FromStr for ChannelGate {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "identity" => return Ok(ChannelGate::Identity),
            "zero" => return Ok(ChannelGate::Zero),
            _ => {}
        }
        let sides = s.split_once('x').and_then(|(h, w)| Some((h.parse().ok()?, w.parse().ok()?)));
        match sides {
            Some((h, w)) if h > 0 && w > 0 => Ok(ChannelGate::Patch(h, w)),
            _ => Err(format!(
                "`{s}` is not a channel's gate; write \"2x3\", \"identity\" or \"zero\""
            )),
        }
    }
}

impl Serialize for ChannelGate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChannelGate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_gates_are_written_as_people_write_them() {
        for (text, gate) in [
            ("2x3", ChannelGate::Patch(2, 3)),
            ("identity", ChannelGate::Identity),
            ("zero", ChannelGate::Zero),
        ] {
            assert_eq!(text.parse::<ChannelGate>().unwrap(), gate);
            assert_eq!(gate.to_string(), text);
        }
        for bad in ["", "x", "0x2", "2x", "2x-1", "2x99999", "Zero"] {
            assert!(bad.parse::<ChannelGate>().is_err(), "{bad}");
        }
    }
}
