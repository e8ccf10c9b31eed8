//! The parts of a gate and the sizes of their messages: the one place that says what is sent. The
//! executor receives exactly these lengths and the cost prediction adds them up.

use crate::MpcError;
use crate::job::{Comparison, Job};
use crate::keys::{Purpose, stream};
use hushwire_fixed::program::{Function, Gate, Groups, Members};
use hushwire_fss::{Prf, Stream, dcf, digits};
use hushwire_plan::Window;
use hushwire_ring::{Word, packed_len};
use std::ops::Range;

/// A part of a gate with everything that determines its messages. Parts are gates of their own, on
/// different elements: they have their own randomness and their own messages.
#[derive(Clone, Debug)]
pub(crate) struct GateLayout<'a> {
    pub gate: &'a Gate,
    pub comparison: Comparison,
    /// Ring width l of wires.
    pub ring: u32,
    /// The operation.
    pub op: usize,
    /// Which part of it this is.
    pub part: usize,
    elements: Elements<'a>,
    /// Elements multiplied by a decision.
    pub members: usize,
    /// Elements opened to both: members and those that only decide.
    pub opened: usize,
    /// Decisions.
    pub decisions: usize,
    /// Elements that pass.
    pub identity: usize,
}

/// The elements of a part.
#[derive(Clone, Debug)]
enum Elements<'a> {
    /// A run over the batch, each element deciding for itself.
    Run(Range<usize>),
    /// One block of groups of some samples.
    Block {
        groups: &'a Groups,
        /// The samples.
        samples: Range<usize>,
        /// Elements of one sample.
        len: usize,
    },
}

/// Where elements are in a batch.
#[derive(Clone, Debug)]
pub(crate) enum Positions {
    Run(Range<usize>),
    At(Vec<u32>),
}

impl Positions {
    /// The elements there.
    pub(crate) fn pick<W: Word>(&self, values: &[W]) -> Vec<W> {
        match self {
            Positions::Run(range) => values[range.clone()].to_vec(),
            Positions::At(at) => at.iter().map(|&i| values[i as usize]).collect(),
        }
    }

    /// Puts `values` there.
    pub(crate) fn place<W: Word>(&self, values: &[W], out: &mut [W]) {
        match self {
            Positions::Run(range) => out[range.clone()].copy_from_slice(values),
            Positions::At(at) => at.iter().zip(values).for_each(|(&i, v)| out[i as usize] = *v),
        }
    }
}

impl<'a> GateLayout<'a> {
    /// The parts of gate `op`, in the order in which they are worked on. Parts that send nothing are
    /// left out.
    pub(crate) fn parts(job: &Job, op: usize, gate: &'a Gate) -> Vec<GateLayout<'a>> {
        let len = job.program.values[op].len;
        let mut parts: Vec<GateLayout<'a>> = Vec::new();
        let mut push = |elements, counts| {
            let [members, opened, decisions, identity] = counts;
            if opened + identity > 0 {
                parts.push(GateLayout {
                    gate,
                    comparison: job.comparison,
                    ring: job.program.ring,
                    op,
                    part: parts.len(),
                    elements,
                    members,
                    opened,
                    decisions,
                    identity,
                });
            }
        };
        match &gate.members {
            Members::Each => {
                let mut first = 0;
                for count in job.pieces(len * job.batch) {
                    push(Elements::Run(first..first + count), [count, count, count, 0]);
                    first += count;
                }
            }
            Members::Mixed(blocks) => {
                let size = |g: &Groups| g.opened_len() + g.identity.len();
                let whole: usize = blocks.iter().map(size).sum();
                // Small gates take several samples at once, all blocks of a large one take turns.
                let at_once = (job.part() / whole.max(1)).max(1);
                for first in (0..job.batch).step_by(at_once) {
                    let samples = first..job.batch.min(first + at_once);
                    for groups in blocks {
                        let counts = [
                            groups.members.len(),
                            groups.opened_len(),
                            groups.decisions(),
                            groups.identity.len(),
                        ];
                        let elements = Elements::Block { groups, samples: samples.clone(), len };
                        push(elements, counts.map(|count| count * samples.len()));
                    }
                }
            }
        }
        parts
    }

    /// As [`parts`](Self::parts), checked for what the comparison supports.
    ///
    /// # Errors
    /// [`MpcError::Comparison`] for a window that it does not support. Plans are checked when they
    /// are loaded, so this is the last line of defence.
    pub(crate) fn checked_parts(
        job: &Job,
        op: usize,
        gate: &'a Gate,
    ) -> Result<Vec<GateLayout<'a>>, MpcError> {
        let parts = Self::parts(job, op, gate);
        parts.iter().try_for_each(|part| part.check(&job.program.values[op].name))?;
        Ok(parts)
    }

    /// The stream of `purpose` of this part.
    pub(crate) fn stream(&self, prf: &Prf, purpose: Purpose) -> Stream {
        stream(prf, self.op, self.part, purpose)
    }

    /// Words of the stream of `purpose` of this part.
    pub(crate) fn words<W: Word>(&self, prf: &Prf, purpose: Purpose, count: usize) -> Vec<W> {
        self.stream(prf, purpose).words(count)
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

    /// The digits of a comparison.
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

    /// Batch positions of elements: `of_sample` gives those within a sample.
    fn positions(&self, of_sample: impl Iterator<Item = u32> + Clone) -> Positions {
        match &self.elements {
            Elements::Run(range) => Positions::Run(range.clone()),
            Elements::Block { samples, len, .. } => {
                let at = |n: usize, i: u32| (n * len) as u32 + i;
                let all = samples.clone().flat_map(|n| of_sample.clone().map(move |i| at(n, i)));
                Positions::At(all.collect())
            }
        }
    }

    fn groups(&self) -> Option<&'a Groups> {
        match &self.elements {
            Elements::Run(_) => None,
            Elements::Block { groups, .. } => Some(groups),
        }
    }

    /// Batch positions of the opened elements.
    pub(crate) fn opened_positions(&self) -> Positions {
        self.positions(self.groups().into_iter().flat_map(Groups::opened))
    }

    /// Batch positions of the members.
    pub(crate) fn member_positions(&self) -> Positions {
        self.positions(self.groups().into_iter().flat_map(|g| g.members.iter().copied()))
    }

    /// Batch positions of the elements that pass.
    pub(crate) fn identity_positions(&self) -> Positions {
        match self.groups() {
            Some(g) => self.positions(g.identity.iter().copied()),
            None => Positions::At(Vec::new()),
        }
    }

    /// For each member (sample by sample) its index among the opened elements and its decision;
    /// `None` if both are the member's own index.
    pub(crate) fn member_indices(&self) -> Option<(Vec<u32>, Vec<u32>)> {
        let Elements::Block { groups: g, samples, .. } = &self.elements else { return None };
        let (opened, decisions) = (g.opened_len() as u32, g.decisions() as u32);
        let batch = 0..samples.len() as u32;
        let members = g.members.len() as u32;
        let at = batch.clone().flat_map(|n| (0..members).map(move |k| n * opened + k)).collect();
        let group =
            batch.flat_map(|n| g.group_of.iter().map(move |&d| n * decisions + d)).collect();
        Some((at, group))
    }

    /// Deciding forms of opened values or of masks, modulo 2^w: one number per decision.
    pub(crate) fn forms<W: Word>(&self, opened: &[W]) -> Vec<u64> {
        let mask = crate::job::ring(self.width()).mask();
        let Some(g) = self.groups() else {
            return opened.iter().map(|v| v.to_u64() & mask).collect();
        };
        let sum = |sample: &[W], group: usize| {
            let terms = &g.terms[g.starts[group] as usize..g.starts[group + 1] as usize];
            terms.iter().fold(0u64, |sum, &(at, k)| {
                sum.wrapping_add(sample[at as usize].to_u64().wrapping_mul(k as u64))
            })
        };
        opened
            .chunks_exact(g.opened_len().max(1))
            .flat_map(|sample| (0..g.decisions()).map(move |group| sum(sample, group) & mask))
            .collect()
    }

    fn check(&self, layer: &str) -> Result<(), MpcError> {
        let width = self.compared();
        let checked = match (self.decisions, self.comparison) {
            (0, _) => Ok(()),
            (_, Comparison::Digits) => self.digits().map(drop),
            (n, Comparison::Dcf) => dcf::message_len(width, n).map(drop),
        };
        checked.map_err(|source| MpcError::Comparison { layer: layer.to_owned(), source })
    }
}
