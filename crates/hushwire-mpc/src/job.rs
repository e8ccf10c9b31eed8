//! What the three parties agree on before they start.

use hushwire_fixed::Program;
use hushwire_fixed::program::ValueId;
use hushwire_ring::Ring;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// How signs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Comparison {
    /// Distributed comparison functions: one round trip, large keys.
    Dcf,
    /// Digit tables: two round trips, small tables.
    Digits,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Comparison::Dcf => "dcf",
            Comparison::Digits => "digits",
        })
    }
}

/// Elements of a part of a gate or of a linear layer's share, unless one is connected with more. A
/// part's arrays lie in the L2 cache together.
const PART: usize = 1 << 14;

/// One inference: a program, a batch and a way to compare. Public, and equal at all parties.
#[derive(Clone, Debug)]
pub struct Job {
    /// The network.
    pub program: Arc<Program>,
    /// Samples that are processed together.
    pub batch: usize,
    /// How signs are compared.
    pub comparison: Comparison,
    /// Elements of a part: a constant of the protocol.
    part: usize,
}

impl Job {
    /// A job of `batch` samples.
    pub fn new(program: Arc<Program>, batch: usize, comparison: Comparison) -> Job {
        Job { program, batch, comparison, part: PART }
    }

    /// The same job in parts of `elements`, at least one. For tests: parties must agree on it, and
    /// nothing tells them.
    #[cfg(any(test, feature = "test-support"))]
    pub fn in_parts_of(self, elements: usize) -> Job {
        Job { part: elements, ..self }
    }

    /// Elements of a part.
    pub(crate) fn part(&self) -> usize {
        self.part
    }

    /// Lengths of the parts in which `count` elements travel.
    pub(crate) fn pieces(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let part = self.part;
        (0..count.div_ceil(part)).map(move |i| part.min(count - i * part))
    }

    /// The ring of wires and shares.
    pub fn ring(&self) -> Ring {
        ring(self.program.ring)
    }

    /// Elements of a value over the whole batch.
    pub fn len(&self, value: ValueId) -> usize {
        self.program.values[value].len * self.batch
    }

    /// Whether the job has no samples.
    pub fn is_empty(&self) -> bool {
        self.batch == 0
    }
}

/// The ring of a width that lowering has checked.
pub(crate) fn ring(bits: u32) -> Ring {
    Ring::new(bits).unwrap_or_else(|| unreachable!("lowering admits rings of 1 to 64 bits only"))
}

/// Which message of an operation: both ends name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Offline: the helper's material for the server.
    Material,
    /// Offline: the client's masked share.
    Masked,
    /// Offline: comparison keys.
    Keys,
    /// Online: the message with this number of the conversation about a gate; the first of an
    /// operation that has only one.
    Said(u32),
}

impl Kind {
    /// The online message with this number.
    pub(crate) fn said(number: usize) -> Kind {
        Kind::Said(number as u32)
    }

    fn number(self) -> u32 {
        match self {
            Kind::Material => 0,
            Kind::Masked => 1,
            Kind::Keys => 2,
            Kind::Said(number) => number,
        }
    }
}

/// Messages per operation and phase that a step number distinguishes.
const KINDS: u32 = 6;

/// The step number of a message within its phase.
pub(crate) fn step(op: usize, kind: Kind) -> u32 {
    op as u32 * KINDS + kind.number()
}

/// The operation that a step number belongs to.
pub fn op_of_step(step: u32) -> usize {
    (step / KINDS) as usize
}
