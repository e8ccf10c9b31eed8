//! Sizes of a gate's messages: the one place that says what is sent. The executor receives exactly
//! these lengths and the cost prediction adds them up.

use crate::MpcError;
use crate::job::{Comparison, Job};
use hushwire_fixed::program::{Function, Gate, Members};
use hushwire_fss::{dcf, digits};
use hushwire_plan::Window;
use hushwire_ring::packed_len;

/// A gate of a job with everything that determines its messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateLayout<'a> {
    pub gate: &'a Gate,
    pub comparison: Comparison,
    /// Samples.
    pub batch: usize,
    /// Elements of one sample.
    pub len: usize,
    /// Ring width l of wires.
    pub ring: u32,
    /// Elements multiplied by a decision, over the batch.
    pub members: usize,
    /// Elements opened to both, over the batch: members and those that only decide.
    pub opened: usize,
    /// Decisions, over the batch.
    pub decisions: usize,
    /// Elements that pass, over the batch.
    pub identity: usize,
}

impl<'a> GateLayout<'a> {
    pub(crate) fn new(job: &Job, op: usize, gate: &'a Gate) -> Self {
        let len = job.program.values[op].len;
        let (members, opened, decisions, identity) = match &gate.members {
            Members::Each => (len, len, len, 0),
            Members::Mixed(g) => (g.members.len(), g.opened_len(), g.decisions(), g.identity.len()),
        };
        let batch = job.batch;
        GateLayout {
            gate,
            comparison: job.comparison,
            batch,
            len,
            ring: job.program.ring,
            members: members * batch,
            opened: opened * batch,
            decisions: decisions * batch,
            identity: identity * batch,
        }
    }

    /// Width w of the opened values.
    pub(crate) fn width(&self) -> u32 {
        self.gate.width
    }

    /// Bits of the ring above the opened ones, l - w.
    pub(crate) fn high(&self) -> u32 {
        self.ring - self.gate.width
    }

    pub(crate) fn window(&self) -> Window {
        self.gate.window
    }

    /// The thresholds that a deciding form is compared with.
    pub(crate) fn knots(&self) -> impl ExactSizeIterator<Item = i64> + use<> {
        let (knots, high) = match self.gate.function {
            Function::Relu => (1, 0),
            Function::Clip { high } => (2, high),
        };
        [0, high].into_iter().take(knots)
    }

    fn knot_count(&self) -> usize {
        self.gate.function.knots()
    }

    /// Bits that are compared below the sign.
    pub(crate) fn compared(&self) -> u32 {
        self.gate.window.bits - 1
    }

    /// The digits of a comparison. Plans are checked when they are loaded, so an error here means
    /// that a window is wider than this comparison supports.
    pub(crate) fn digits(&self) -> Result<digits::Shape, hushwire_fss::FssError> {
        digits::Shape::new(self.compared())
    }

    /// Whether nothing need be opened before decisions are known in shares: one round trip.
    pub(crate) fn at_once(&self) -> bool {
        match self.comparison {
            _ if self.decisions == 0 => true,
            Comparison::Dcf => true,
            Comparison::Digits => self.digits().map_or(true, |d| d.opened_planes() == 0),
        }
    }

    /// Bytes of the material of one knot's comparisons for the server alone.
    pub(crate) fn table_len(&self) -> usize {
        match self.comparison {
            Comparison::Dcf => 0,
            Comparison::Digits => self.digits().map_or(0, |d| d.message_len(self.decisions)),
        }
    }

    /// Offline, helper to server.
    pub(crate) fn dealt_len(&self) -> usize {
        let elements = |count| packed_len(count, self.ring);
        let high = |count| packed_len(count, self.high());
        self.knot_count() * (self.table_len() + elements(self.decisions))
            + packed_len(self.decisions, 1)
            + elements(self.members)
            + 3 * high(self.members)
            + high(self.identity)
    }

    /// Offline, helper to both client and server: keys of all knots; zero with digits.
    pub(crate) fn keys_len(&self) -> usize {
        self.knot_count() * self.key_len()
    }

    /// Bytes of one knot's keys.
    pub(crate) fn key_len(&self) -> usize {
        match self.comparison {
            Comparison::Digits => 0,
            Comparison::Dcf => dcf::message_len(self.compared(), self.decisions).unwrap_or(0),
        }
    }

    /// Offline, client to server: masked shares.
    pub(crate) fn masked_len(&self) -> usize {
        packed_len(self.opened + self.identity, self.width())
    }

    /// Bytes of one knot's opening.
    pub(crate) fn opening_len(&self) -> usize {
        match self.comparison {
            Comparison::Dcf => 0,
            Comparison::Digits => self.digits().map_or(0, |d| d.opening_len(self.decisions)),
        }
    }

    /// Bytes of one party's masked decisions.
    pub(crate) fn decided_len(&self) -> usize {
        self.knot_count() * packed_len(self.decisions, 1)
    }

    /// Elements that pass and whose carry is asked for: none if the opened value is the wire.
    pub(crate) fn carries(&self) -> usize {
        if self.high() > 0 { self.identity } else { 0 }
    }

    /// Online, server to client, first.
    pub(crate) fn first_len(&self) -> usize {
        let decided = if self.at_once() {
            self.decided_len()
        } else {
            self.knot_count() * self.opening_len()
        };
        packed_len(self.opened, self.width()) + decided + packed_len(self.carries(), 1)
    }

    /// Online, client to server: outputs.
    fn outputs_len(&self) -> usize {
        packed_len(self.members, self.ring) + packed_len(self.identity, self.high())
    }

    /// Online, client to server, first.
    pub(crate) fn second_len(&self) -> usize {
        let rest = if self.at_once() {
            self.outputs_len()
        } else {
            self.knot_count() * self.opening_len()
        };
        self.decided_len() + rest
    }

    /// Online, server to client, second; `None` if there is no such message.
    pub(crate) fn third_len(&self) -> Option<usize> {
        (!self.at_once()).then(|| self.decided_len())
    }

    /// Online, client to server, second.
    pub(crate) fn fourth_len(&self) -> Option<usize> {
        (!self.at_once()).then(|| self.outputs_len())
    }

    /// Whether the gate sends nothing at all.
    pub(crate) fn is_silent(&self) -> bool {
        self.opened == 0 && self.identity == 0
    }

    /// Positions of elements in a batch: `of_sample` gives those within a sample.
    fn positions<'i>(&self, of_sample: impl Iterator<Item = u32> + Clone + 'i) -> Vec<u32> {
        let len = self.len as u32;
        (0..self.batch as u32).flat_map(|n| of_sample.clone().map(move |i| n * len + i)).collect()
    }

    /// Batch positions of the opened elements; `None` if they are all elements in order.
    pub(crate) fn opened_positions(&self) -> Option<Vec<u32>> {
        match &self.gate.members {
            Members::Each => None,
            Members::Mixed(g) => Some(self.positions(g.members.iter().chain(&g.extra).copied())),
        }
    }

    /// Batch positions of the members.
    pub(crate) fn member_positions(&self) -> Option<Vec<u32>> {
        match &self.gate.members {
            Members::Each => None,
            Members::Mixed(g) => Some(self.positions(g.members.iter().copied())),
        }
    }

    /// Batch positions of the elements that pass.
    pub(crate) fn identity_positions(&self) -> Vec<u32> {
        match &self.gate.members {
            Members::Each => Vec::new(),
            Members::Mixed(g) => self.positions(g.identity.iter().copied()),
        }
    }

    /// For each member (batch-major) its index among the opened elements and its decision; `None`
    /// if both are the member's own index.
    pub(crate) fn member_indices(&self) -> Option<(Vec<u32>, Vec<u32>)> {
        let Members::Mixed(g) = &self.gate.members else { return None };
        let (opened, decisions) = (g.opened_len() as u32, g.decisions() as u32);
        let batch = 0..self.batch as u32;
        let members = g.members.len() as u32;
        let at = batch.clone().flat_map(|n| (0..members).map(move |k| n * opened + k)).collect();
        let group =
            batch.flat_map(|n| g.group_of.iter().map(move |&d| n * decisions + d)).collect();
        Some((at, group))
    }

    pub(crate) fn check(&self, layer: &str) -> Result<(), MpcError> {
        let width = self.compared();
        let checked = match (self.decisions, self.comparison) {
            (0, _) => Ok(()),
            (_, Comparison::Digits) => self.digits().map(drop),
            (n, Comparison::Dcf) => dcf::message_len(width, n).map(drop),
        };
        checked.map_err(|source| MpcError::Comparison { layer: layer.to_owned(), source })
    }
}
