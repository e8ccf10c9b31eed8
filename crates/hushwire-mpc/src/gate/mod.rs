//! Grouped ReLU gates: a share becomes a wire.
//!
//! With u the truncated input (w bits), m = m0 + m1 mod 2^w its mask and U = u + 2^(w-2) + m mod 2^w
//! public to P0 and P1: t = msb(m), g = 1 - msb(U), and
//!
//! ```text
//! u = A - m + 2^w t g,   A = U - 2^(w-2),            provided -2^(w-2) <= u < 2^(w-2).
//! ```
//!
//! The decision d of a group is shared by bits, d = 1 ^ msb(V) ^ msb(n) ^ \[V_low < n_low\] on the
//! compared bits of the form V of the opened values and the same form n of the masks, and opened
//! under a mask c: e = d ^ c. Then d u = (e + (1 - 2e) c) u is linear in what the helper deals:
//!
//! ```text
//! q    = \[c\] A - \[c m\] + 2^w g \[c t\]
//! base = A - \[m\] + 2^w g \[t\]
//! d u  = q                 where e = 0
//!      = base - q          where e = 1.
//! ```
//!
//! \[m\] has m0 and m1 as its parts, less 2^w times a share of their wrap.
//!
//! A member that copies a decision of an earlier gate uses that gate's e and c ([`copies`]).
//!
//! A clip's decision is d = d_0 ^ d_high (both knots compare the same opened value), and its output
//! d u + high d_high.

pub(crate) mod client;
pub(crate) mod copies;
pub(crate) mod deal;
pub(crate) mod decide;
pub(crate) mod lift;
mod part;
pub(crate) mod schedule;
mod select;
pub(crate) mod server;

use crate::keys::Purpose;
use crate::layout::GateLayout;
use hushwire_fss::Prf;
use hushwire_ring::{Bits, Word};
use std::borrow::Cow;

/// Sections of a message, taken in order. Lengths come from the layout the whole message was
/// received by.
pub(crate) struct Sections<'a>(pub(crate) &'a [u8]);

impl<'a> Sections<'a> {
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (own, rest) = self.0.split_at(len);
        self.0 = rest;
        own
    }
}

/// The values at `at`, or all of them.
fn gather<'v, W: Word>(values: &'v [W], at: Option<&[u32]>) -> Cow<'v, [W]> {
    match at {
        None => Cow::Borrowed(values),
        Some(at) => at.iter().map(|&i| values[i as usize]).collect::<Vec<W>>().into(),
    }
}

/// A word for every bit: all ones where it is set.
pub(crate) fn lanes<W: Word>(bits: &Bits) -> Vec<W> {
    let mut lanes = vec![W::ZERO; bits.len()];
    for (lanes, word) in lanes.chunks_mut(64).zip(bits.words()) {
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane = W::from_u64(word >> i & 1).wrapping_neg();
        }
    }
    lanes
}

/// Masks of a part's outputs, or values to put in their places.
pub(crate) struct Wire<W> {
    /// Of the members.
    pub members: Vec<W>,
    /// Of the elements that pass.
    pub passing: Vec<W>,
}

impl<W: Word> Wire<W> {
    /// r', the mask of the output wire: fresh for members, continuing m for elements that pass.
    /// Zeros have none.
    fn mask(layout: &GateLayout<'_>, p0: &Prf, passing: &Passing<W>) -> Self {
        let w = layout.width();
        let values = passing.masks.iter().zip(&passing.high).map(|(m, h)| m.wrapping_add(h.shl(w)));
        Wire { members: layout.words(p0, Purpose::Wire, layout.members), passing: values.collect() }
    }

    fn negated(mut self) -> Self {
        let negate = |v: &mut W| *v = v.wrapping_neg();
        self.members.iter_mut().for_each(negate);
        self.passing.iter_mut().for_each(negate);
        self
    }

    /// Puts the values in their places.
    pub(crate) fn place(&self, layout: &GateLayout<'_>, out: &mut [W]) {
        layout.member_positions().place(&self.members, out);
        layout.identity_positions().place(&self.passing, out);
    }
}

/// Masks of the elements that pass, known to client and helper.
struct Passing<W> {
    /// m, reduced to w bits.
    masks: Vec<W>,
    /// The high part of the next wire's mask.
    high: Vec<W>,
}

impl<W: Word> Passing<W> {
    fn new(layout: &GateLayout<'_>, p0: &Prf) -> Self {
        let opened = crate::job::ring(layout.width());
        let mut masks: Vec<W> = layout.words(p0, Purpose::IdentityMask, layout.identity);
        masks.iter_mut().for_each(|m| *m = opened.reduce(*m));
        Passing { masks, high: layout.words(p0, Purpose::IdentityWire, layout.identity) }
    }
}

/// From decisions at the knots to the bits that are opened: a clip selects where exactly the lower knot
/// is passed, and adds its upper bound where the upper one is.
fn opened_bits(mut decisions: Vec<Bits>) -> Vec<Bits> {
    if let [select, upper] = decisions.as_mut_slice() {
        select.xor_assign(upper);
    }
    decisions
}

/// Where the mask of a knot's decision and its share come from.
fn decision_purposes(knot: usize) -> (Purpose, Purpose) {
    if knot == 0 {
        (Purpose::DecisionBit, Purpose::DecisionShare)
    } else {
        (Purpose::SecondBit, Purpose::SecondShare)
    }
}
