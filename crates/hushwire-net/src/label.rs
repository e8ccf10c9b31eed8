//! Who speaks and when: parties and phases.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the three parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// P0, the owner of the input.
    Client,
    /// P1, the owner of the weights.
    Server,
    /// P2, the dealer of correlated randomness.
    Helper,
}

impl Role {
    /// All parties, in the order of their indices.
    pub const ALL: [Role; 3] = [Role::Client, Role::Server, Role::Helper];

    /// The party's number in the protocol: 0, 1 or 2.
    pub fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Role> {
        Role::ALL.get(usize::from(byte)).copied()
    }

    pub(crate) fn to_byte(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Client => "client (P0)",
            Role::Server => "server (P1)",
            Role::Helper => "helper (P2)",
        })
    }
}

/// When a message is sent: traffic is accounted for by phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Once per session: keys, comparing programs, masked weights.
    Setup,
    /// Before the input exists: correlated randomness.
    Offline,
    /// From the input to the result.
    Online,
}

impl Phase {
    /// All phases, in the order they happen.
    pub const ALL: [Phase; 3] = [Phase::Setup, Phase::Offline, Phase::Online];

    pub(crate) fn from_byte(byte: u8) -> Option<Phase> {
        Phase::ALL.get(usize::from(byte)).copied()
    }

    pub(crate) fn to_byte(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Setup => "setup",
            Phase::Offline => "offline",
            Phase::Online => "online",
        })
    }
}

/// What a message is. Both ends name the label they expect, so a lost, repeated or swapped message
/// is an error and never silently taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Label {
    /// The phase the message belongs to.
    pub phase: Phase,
    /// The step within the phase; its meaning is the caller's.
    pub step: u32,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} step {}", self.phase, self.step)
    }
}
