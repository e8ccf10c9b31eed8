//! The parts of a gate and the sizes of their messages: the one place that says what is sent. The
//! executor receives exactly these lengths and the cost prediction adds them up.

use crate::MpcError;
use crate::gate::copies::{Ledger, Place};
use crate::job::Job;
use crate::keys::{Purpose, stream};
use crate::thresholds::Thresholds;
use hushwire_fixed::program::{Function, Gate, Groups, Members, Op};
use hushwire_fss::{Prf, Stream};
use hushwire_ring::{Bits, Word, packed_len};
use std::ops::Range;

/// A part of a gate with everything that determines its messages. Parts are gates of their own, on
/// different elements: they have their own randomness and their own messages.
#[derive(Clone, Debug)]
pub(crate) struct GateLayout<'a> {
    pub gate: &'a Gate,
    /// The decisions.
    pub thresholds: Thresholds,
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
    /// Elements that pass.
    pub identity: usize,
    /// Where the decisions are that the part copies, sample by sample.
    pub copied: Vec<Place>,
    /// Decisions opened so far, at a party that runs online.
    pub ledger: Option<&'a Ledger>,
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
        let copied = |elements: &Elements<'_>| match elements {
            Elements::Run(_) => Vec::new(),
            Elements::Block { groups, samples, .. } => samples
                .clone()
                .flat_map(|n| groups.copied.iter().map(move |&(op, decision)| (n, op, decision)))
                .filter_map(|(n, op, decision)| Self::place(job, op, decision as usize, n))
                .collect(),
        };
        let mut push = |elements: Elements<'a>, counts| {
            let [members, opened, decisions, identity] = counts;
            if opened + identity > 0 {
                let high = match gate.function {
                    Function::Relu => None,
                    Function::Clip { high } => Some(high),
                };
                parts.push(GateLayout {
                    gate,
                    thresholds: Thresholds {
                        comparison: job.comparison,
                        width: gate.width,
                        window: gate.window,
                        knots: [0].into_iter().chain(high).collect(),
                        count: decisions,
                    },
                    ring: job.program.ring,
                    op,
                    part: parts.len(),
                    members,
                    opened,
                    identity,
                    copied: copied(&elements),
                    elements,
                    ledger: None,
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
                let at_once = samples_at_once(job, blocks);
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

    /// Where gate `op` takes one of its decisions on a sample: `decision` counts those of a sample,
    /// block by block.
    fn place(job: &Job, op: usize, decision: usize, sample: usize) -> Option<Place> {
        let Op::Gate(gate) = job.program.ops.get(op)? else { return None };
        let Members::Mixed(blocks) = &gate.members else { return None };
        let at_once = samples_at_once(job, blocks);
        let (chunk, within) = (sample / at_once, sample % at_once);
        let samples = at_once.min(job.batch - chunk * at_once);
        let mut first = 0;
        for (block, groups) in blocks.iter().enumerate() {
            let count = groups.decisions();
            if decision < first + count {
                return Some(Place {
                    op,
                    part: chunk * blocks.len() + block,
                    count: samples * count,
                    decision: within * count + decision - first,
                });
            }
            first += count;
        }
        None
    }

    /// As [`parts`](Self::parts), with a ledger in which opened decisions are noted and found.
    ///
    /// # Errors
    /// As [`checked_parts`](Self::checked_parts).
    pub(crate) fn online_parts(
        job: &Job,
        op: usize,
        gate: &'a Gate,
        ledger: &'a Ledger,
    ) -> Result<Vec<GateLayout<'a>>, MpcError> {
        let mut parts = Self::checked_parts(job, op, gate)?;
        parts.iter_mut().for_each(|part| part.ledger = Some(ledger));
        Ok(parts)
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
        parts.iter().try_for_each(|part| part.thresholds.check(&job.program.values[op].name))?;
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

    /// Decisions.
    pub(crate) fn decisions(&self) -> usize {
        self.thresholds.count
    }

    /// Decisions that members are multiplied by: its own and those it copies.
    pub(crate) fn selectors(&self) -> usize {
        self.decisions() + self.copied.len()
    }

    /// From the part's own opened decisions to those of all selectors; they are noted for others.
    pub(crate) fn selecting(&self, mut opened: Vec<Bits>) -> Vec<Bits> {
        let Some(ledger) = self.ledger else { return opened };
        if let (Elements::Block { .. }, Some(own)) = (&self.elements, opened.first()) {
            ledger.note(self.op, self.part, own);
        }
        if !self.copied.is_empty() {
            let own = opened.first().cloned().unwrap_or_default();
            opened = vec![ledger.extended(&own, &self.copied)];
        }
        opened
    }

    /// Decisions of each form.
    pub(crate) fn knots(&self) -> usize {
        self.thresholds.knots.len()
    }

    /// Whether nothing need be opened before decisions are known in shares: one round trip.
    pub(crate) fn at_once(&self) -> bool {
        self.thresholds.at_once()
    }

    /// Offline, helper to server.
    pub(crate) fn dealt_len(&self) -> usize {
        let elements = |count| packed_len(count, self.ring);
        let high = |count| packed_len(count, self.high());
        self.thresholds.table_len()
            + self.knots() * elements(self.selectors())
            + packed_len(self.decisions(), 1)
            + elements(self.members)
            + 3 * high(self.members)
            + high(self.identity)
    }

    /// Offline, client to server: masked shares.
    pub(crate) fn masked_len(&self) -> usize {
        packed_len(self.opened + self.identity, self.width())
    }

    /// Bytes of one party's masked decisions.
    pub(crate) fn decided_len(&self) -> usize {
        self.knots() * packed_len(self.decisions(), 1)
    }

    /// Elements that pass and whose carry is asked for: none if the opened value is the wire.
    pub(crate) fn carries(&self) -> usize {
        if self.high() > 0 { self.identity } else { 0 }
    }

    /// Online: the message with this number. Where nothing need be opened before the decisions, the
    /// first two say it all.
    pub(crate) fn online_len(&self, number: usize) -> Option<usize> {
        let opening = self.thresholds.opening_len();
        let first = packed_len(self.opened, self.width()) + packed_len(self.carries(), 1);
        let outputs = packed_len(self.members, self.ring) + packed_len(self.identity, self.high());
        match (number, self.at_once()) {
            (0, true) => Some(first + self.decided_len()),
            (1, true) => Some(self.decided_len() + outputs),
            (0, false) => Some(first + opening),
            (1, false) => Some(opening + self.decided_len()),
            (2, false) => Some(self.decided_len()),
            (3, false) => Some(outputs),
            _ => None,
        }
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

    /// For each member (sample by sample) its index among the opened elements and its selector;
    /// `None` if both are the member's own index.
    pub(crate) fn member_indices(&self) -> Option<(Vec<u32>, Vec<u32>)> {
        let Elements::Block { groups: g, samples, .. } = &self.elements else { return None };
        let (opened, decisions) = (g.opened_len() as u32, g.decisions() as u32);
        let (all, copies) = (decisions * samples.len() as u32, g.copied.len() as u32);
        let batch = 0..samples.len() as u32;
        let selector = move |n: u32, d: u32| match d.checked_sub(decisions) {
            None => n * decisions + d,
            Some(copy) => all + n * copies + copy,
        };
        let members = g.members.len() as u32;
        let at = batch.clone().flat_map(|n| (0..members).map(move |k| n * opened + k)).collect();
        let group = batch.flat_map(|n| g.group_of.iter().map(move |&d| selector(n, d))).collect();
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
}

/// Samples whose groups make a part: small gates take several at once, all blocks of a large one
/// take turns.
fn samples_at_once(job: &Job, blocks: &[Groups]) -> usize {
    let size = |g: &Groups| g.opened_len() + g.identity.len();
    let whole: usize = blocks.iter().map(size).sum();
    (job.part() / whole.max(1)).max(1)
}
