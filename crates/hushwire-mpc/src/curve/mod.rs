//! Piecewise polynomials: a share becomes a wire.
//!
//! With u the truncated input and m its mask, both of W bits, A = u + m is public to P0 and P1, and
//! u = A - m mod 2^W holds without a carry. A polynomial p of u is linear in powers of m, by Taylor:
//!
//! ```text
//! p(u) = sum over i of (-1)^i p_i(A) m^i,   p_i = the i-th derivative over i!.
//! ```
//!
//! All knots are compared with the one secret m. A selector's bit b is the exclusive or of some
//! decisions, shared without communication; it is opened under a mask c as e = b ^ c, and
//!
//! ```text
//! b p(u) = q               where e = 0,   q = sum over i of (-1)^i p_i(A) \[c m^i\]
//!        = [p(u)] - q      where e = 1.
//! ```
//!
//! The sum z of the common polynomial and of all selected ones has more fractional bits than are
//! needed: its shares are truncated, opened to the server under another mask, and lifted.

mod client;
mod deal;
mod evaluate;
mod server;

#[cfg(feature = "test-support")]
pub(crate) use client::share;

use crate::MpcError;
use crate::gate::schedule::{Dealt, Messages, Next, Part, Prepared, Received};
use crate::job::{Job, ring};
use crate::keys::{Purpose, stream};
use crate::thresholds::Thresholds;
use hushwire_fixed::CurveGate;
use hushwire_fss::{Prf, Stream};
use hushwire_plan::Selector;
use hushwire_ring::{Bits, Word, packed_len};
use std::ops::Range;
use zeroize::Zeroizing;

/// A part of a gate with everything that determines its messages.
#[derive(Clone, Debug)]
pub(crate) struct CurveLayout<'a> {
    pub curve: &'a CurveGate,
    pub thresholds: Thresholds,
    /// Ring width l of wires.
    ring: u32,
    op: usize,
    part: usize,
    /// The elements, over the batch.
    pub elements: Range<usize>,
}

impl<'a> CurveLayout<'a> {
    /// The parts of operation `op`, in the order in which they are worked on.
    pub(crate) fn parts(job: &Job, op: usize, curve: &'a CurveGate) -> Vec<Self> {
        let mut first = 0;
        let pieces = job.pieces(job.len(op)).enumerate();
        pieces
            .map(|(part, count)| {
                let elements = first..first + count;
                first += count;
                let thresholds = Thresholds {
                    comparison: job.comparison,
                    width: curve.width,
                    window: curve.window,
                    knots: curve.knots.clone(),
                    count,
                };
                CurveLayout { curve, thresholds, ring: job.program.ring, op, part, elements }
            })
            .collect()
    }

    /// As [`parts`](Self::parts), checked for what the comparison supports.
    ///
    /// # Errors
    /// [`MpcError::Comparison`] for a window or a number of knots that it does not support.
    pub(crate) fn checked_parts(
        job: &Job,
        op: usize,
        curve: &'a CurveGate,
    ) -> Result<Vec<Self>, MpcError> {
        let parts = Self::parts(job, op, curve);
        parts.iter().try_for_each(|part| part.thresholds.check(&job.program.values[op].name))?;
        Ok(parts)
    }

    /// Elements of the part.
    fn count(&self) -> usize {
        self.thresholds.count
    }

    /// Bits of the ring above the kept ones.
    fn high(&self) -> u32 {
        self.ring - self.curve.kept
    }

    fn stream(&self, prf: &Prf, purpose: Purpose) -> Stream {
        stream(prf, self.op, self.part, purpose)
    }

    /// Words of the stream of `purpose`, one per element.
    fn words<W: Word>(&self, prf: &Prf, purpose: Purpose) -> Vec<W> {
        self.stream(prf, purpose).words(self.count())
    }

    /// A party's half of the mask m.
    pub(crate) fn mask_half<W: Word>(&self, prf: &Prf) -> Vec<W> {
        let mut half = self.words(prf, Purpose::Opening);
        let width = ring(self.curve.width);
        half.iter_mut().for_each(|m: &mut W| *m = width.reduce(*m));
        half
    }

    /// A party's half of the masks c, for each selector.
    pub(crate) fn decision_masks(&self, prf: &Prf) -> Vec<Bits> {
        let mut stream = self.stream(prf, Purpose::DecisionBit);
        self.curve.encoding.selectors.iter().map(|_| stream.bits(self.count())).collect()
    }

    /// How many powers of m are dealt: all from the second to the degree.
    fn powers(&self) -> usize {
        self.curve.encoding.degree().saturating_sub(1)
    }

    /// Bytes of what is dealt of the powers and selectors.
    fn products_len(&self) -> usize {
        let (count, width) = (self.count(), self.curve.width);
        let of_selector = |s: &Selector| s.delta.len() * packed_len(count, s.dealt_bits(width));
        let selectors = self.curve.encoding.selectors.iter().map(of_selector);
        selectors.sum::<usize>() + self.powers() * packed_len(count, width)
    }

    /// Bytes of the shares of msb(m).
    fn signs_len(&self) -> usize {
        if self.thresholds.is_empty() { 0 } else { packed_len(self.count(), 1) }
    }

    /// Bytes of one party's masked selecting bits.
    fn selecting_len(&self) -> usize {
        self.curve.encoding.selectors.len() * packed_len(self.count(), 1)
    }

    /// Elements whose carry is asked for: none if the kept bits are all.
    fn carries(&self) -> usize {
        if self.high() > 0 { self.count() } else { 0 }
    }

    /// From shares of the decisions at the knots to shares of the selecting bits; the client adds what
    /// is public.
    fn selecting(&self, decisions: &[Bits], client: bool) -> Vec<Bits> {
        let of_selector = |selector: &Selector| {
            let mut bits = Bits::zeros(self.count());
            let deciding = selector.deciding(decisions.len());
            let chosen = decisions.iter().enumerate().filter(|(i, _)| deciding >> i & 1 == 1);
            chosen.for_each(|(_, decision)| bits.xor_assign(decision));
            if client && selector.first() { bits.not() } else { bits }
        };
        self.curve.encoding.selectors.iter().map(of_selector).collect()
    }

    /// The mask of the output wire, m + 2^kept rho, from m.
    fn wire_mask<W: Word>(&self, p0: &Prf, masks: &[W]) -> Vec<W> {
        let rho: Vec<W> = self.words(p0, Purpose::IdentityWire);
        let kept = self.curve.kept;
        let above = |rho: W| if self.high() > 0 { rho.shl(kept) } else { W::ZERO };
        masks.iter().zip(&rho).map(|(m, rho)| m.wrapping_add(above(*rho))).collect()
    }

    /// The mask m of the result, reduced to the kept bits. Known to client and helper.
    fn result_mask<W: Word>(&self, p0: &Prf) -> Vec<W> {
        let mut masks: Vec<W> = self.words(p0, Purpose::IdentityMask);
        let kept = ring(self.curve.kept);
        masks.iter_mut().for_each(|m| *m = kept.reduce(*m));
        masks
    }
}

impl Messages for CurveLayout<'_> {
    fn op(&self) -> usize {
        self.op
    }

    fn dealt_len(&self) -> usize {
        self.thresholds.table_len()
            + self.signs_len()
            + self.products_len()
            + packed_len(self.count(), self.high())
    }

    fn keys_len(&self) -> usize {
        self.thresholds.keys_len()
    }

    fn masked_len(&self) -> usize {
        packed_len(self.count(), self.curve.width)
    }

    fn online_len(&self, number: usize) -> Option<usize> {
        let opened = packed_len(self.count(), self.curve.width);
        let result = packed_len(self.count(), self.curve.kept);
        let (opening, selecting) = (self.thresholds.opening_len(), self.selecting_len());
        // Without digits to open, the selecting bits are there at once, and two messages fewer.
        let step = if self.thresholds.at_once() && number > 1 { number + 2 } else { number };
        match step {
            0 if self.thresholds.at_once() => Some(opened + selecting),
            1 if self.thresholds.at_once() => Some(selecting + result),
            0 => Some(opened + opening),
            1 => Some(opening + selecting),
            2 => Some(selecting),
            3 => Some(result),
            4 if self.carries() > 0 => Some(packed_len(self.count(), 1)),
            5 if self.carries() > 0 => Some(packed_len(self.count(), self.high())),
            _ => None,
        }
    }
}

impl<W: Word> Part<W> for CurveLayout<'_> {
    type Asking = client::Asking<W>;
    type Serving = server::Serving<W>;
    type Wire = Vec<W>;

    fn deal(&self, p0: &Prf, p1: &Prf) -> Dealt<Vec<W>> {
        deal::deal(self, p0, p1)
    }

    fn prepare(&self, p0: &Prf, v0: &[W]) -> Prepared<Vec<W>> {
        client::prepare(self, p0, v0)
    }

    fn place(&self, wire: &Vec<W>, out: &mut [W]) {
        out[self.elements.clone()].copy_from_slice(wire);
    }

    fn begin(&self, prepared: Zeroizing<Vec<u8>>, keys: Zeroizing<Vec<u8>>) -> client::Asking<W> {
        client::Asking::Fresh(prepared, keys)
    }

    fn answer(
        &self,
        layer: &str,
        p0: &Prf,
        state: client::Asking<W>,
        message: &[u8],
    ) -> Result<(Vec<u8>, Option<client::Asking<W>>), MpcError> {
        state.answer(self, layer, p0, message)
    }

    fn open(
        &self,
        layer: &str,
        p1: &Prf,
        received: &Received<'_>,
        v1: &[W],
    ) -> Result<(Vec<u8>, server::Serving<W>), MpcError> {
        server::open(self, layer, p1, received, v1)
    }

    fn hear(
        &self,
        layer: &str,
        state: server::Serving<W>,
        message: &[u8],
    ) -> Result<Next<server::Serving<W>, Vec<W>>, MpcError> {
        state.hear(self, layer, message)
    }
}
