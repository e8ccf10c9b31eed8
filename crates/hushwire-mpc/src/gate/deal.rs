//! The helper's part of a gate: correlated randomness for both sides, and the next wire's mask.

use super::{forms, place, split_window};
use crate::job::{Comparison, ring};
use crate::keys::{Purpose, stream, words};
use crate::layout::GateLayout;
use hushwire_fss::{Prf, dcf, digits};
use hushwire_ring::{Bits, Word, pack};

/// What the helper makes for one gate.
pub(crate) struct Dealt<W> {
    /// For the server.
    pub material: Vec<u8>,
    /// For client and server alike; empty with digit tables.
    pub keys: Vec<u8>,
    /// The mask of the gate's output wire.
    pub mask: Vec<W>,
}

/// Deals gate `op`. `p0` and `p1` are the bundle's functions shared with client and server.
pub(crate) fn deal<W: Word>(layout: &GateLayout<'_>, op: usize, p0: &Prf, p1: &Prf) -> Dealt<W> {
    let (w, l, high) = (layout.width(), layout.ring, layout.high());
    let opened = ring(w);
    let draw0 = |purpose, count| words::<W>(p0, op, purpose, count);
    let m0: Vec<W> = draw0(Purpose::Opening, layout.opened);
    let m1: Vec<W> = words(p1, op, Purpose::Opening, layout.opened);
    let masks: Vec<W> = m0
        .iter()
        .zip(&m1)
        .map(|(a, b)| opened.reduce(opened.reduce(*a).wrapping_add(opened.reduce(*b))))
        .collect();

    let mut material = Vec::with_capacity(layout.dealt_len());
    let mut keys = Vec::with_capacity(layout.keys_len());
    let n = forms(layout, &masks);
    let (sign, below) = split_window(layout, &n);
    for (knot, _) in layout.knots().enumerate() {
        let purpose = knot_purpose(knot);
        let (mut s0, mut s1) = (stream(p0, op, purpose), stream(p1, op, purpose));
        if layout.decisions == 0 {
            continue;
        }
        match layout.comparison {
            // Both widths were checked when the job's gates were.
            Comparison::Digits => {
                if let Ok(shape) = layout.digits() {
                    material.extend(digits::deal(shape, &mut s0, &mut s1, &below));
                }
            }
            Comparison::Dcf => {
                if let Ok(message) = dcf::deal(layout.compared(), &mut s0, &mut s1, &below) {
                    keys.extend(message);
                }
            }
        }
    }
    sign.xor(&stream(p0, op, Purpose::MaskSign).bits(layout.decisions)).to_bytes(&mut material);

    // Shares of each mask c of a decision.
    let mut first_bits = None;
    for (knot, _) in layout.knots().enumerate() {
        let (bit, share) = decision_purposes(knot);
        let c = decision_mask(op, bit, layout.decisions, p0, p1);
        let s0: Vec<W> = draw0(share, layout.decisions);
        let own: Vec<W> =
            s0.iter().enumerate().map(|(i, s)| bit_word::<W>(&c, i).wrapping_sub(*s)).collect();
        pack(&own, l, &mut material);
        first_bits.get_or_insert(c);
    }
    let c = first_bits.unwrap_or_default();

    // Per member: c m in the ring; the wrap of m0 + m1, t and c t above the opened bits.
    let indices = layout.member_indices();
    let count = layout.members;
    let at = |k: usize| indices.as_ref().map_or(k, |(at, _)| at[k] as usize);
    let group = |k: usize| indices.as_ref().map_or(k, |(_, g)| g[k] as usize);
    let mut section = |purpose, bits, value: &dyn Fn(usize) -> W| {
        let s0: Vec<W> = draw0(purpose, count);
        let own: Vec<W> = s0.iter().enumerate().map(|(k, s)| value(k).wrapping_sub(*s)).collect();
        if bits > 0 {
            pack(&own, bits, &mut material);
        }
    };
    let select = |k: usize| bit_word::<W>(&c, group(k));
    let top = |m: W| m.shr(w - 1);
    section(Purpose::DecisionMask, l, &|k| masks[at(k)].wrapping_mul(select(k)));
    section(Purpose::Wrap, high, &|k| {
        let (a, b) = (opened.reduce(m0[at(k)]), opened.reduce(m1[at(k)]));
        W::from_u64(u64::from(opened.reduce(a.wrapping_add(b)) < a))
    });
    section(Purpose::Carry, high, &|k| top(masks[at(k)]));
    section(Purpose::DecisionCarry, high, &|k| top(masks[at(k)]).wrapping_mul(select(k)));

    // Elements that pass: t c, for the carry; and the next wire's mask, which continues m.
    let passing = Passing::<W>::new(layout, op, p0);
    if high > 0 {
        let c = stream(p1, op, Purpose::IdentityBit).bits(layout.identity);
        let s0: Vec<W> = draw0(Purpose::IdentityCarry, layout.identity);
        let own: Vec<W> = passing
            .masks
            .iter()
            .zip(&s0)
            .enumerate()
            .map(|(k, (m, s))| top(*m).wrapping_mul(bit_word(&c, k)).wrapping_sub(*s))
            .collect();
        pack(&own, high, &mut material);
    }
    Dealt { material, keys, mask: wire_mask(layout, op, p0, &passing) }
}

/// Masks of the elements that pass, known to client and helper.
pub(crate) struct Passing<W> {
    /// m, reduced to w bits.
    pub masks: Vec<W>,
    /// The high part of the next wire's mask.
    pub high: Vec<W>,
}

impl<W: Word> Passing<W> {
    pub(crate) fn new(layout: &GateLayout<'_>, op: usize, p0: &Prf) -> Self {
        let opened = ring(layout.width());
        let reduce = |m: W| opened.reduce(m);
        let masks = words(p0, op, Purpose::IdentityMask, layout.identity);
        Passing {
            masks: masks.into_iter().map(reduce).collect(),
            high: words(p0, op, Purpose::IdentityWire, layout.identity),
        }
    }
}

/// r', the mask of the gate's output wire: fresh for members, continuing m for elements that pass,
/// zero for zeros.
pub(crate) fn wire_mask<W: Word>(
    layout: &GateLayout<'_>,
    op: usize,
    p0: &Prf,
    passing: &Passing<W>,
) -> Vec<W> {
    let members: Vec<W> = words(p0, op, Purpose::Wire, layout.members);
    let mut mask = match layout.member_positions() {
        None => return members,
        Some(positions) => {
            let mut mask = vec![W::ZERO; layout.len * layout.batch];
            place(members, Some(&positions), &mut mask);
            mask
        }
    };
    let w = layout.width();
    let values = passing.masks.iter().zip(&passing.high).map(|(m, h)| m.wrapping_add(h.shl(w)));
    place(values.collect(), Some(&layout.identity_positions()), &mut mask);
    mask
}

/// Where a knot's comparison material comes from.
pub(crate) fn knot_purpose(knot: usize) -> Purpose {
    if knot == 0 { Purpose::FirstKnot } else { Purpose::SecondKnot }
}

/// Where the mask of a knot's decision and its share come from.
pub(crate) fn decision_purposes(knot: usize) -> (Purpose, Purpose) {
    if knot == 0 {
        (Purpose::DecisionBit, Purpose::DecisionShare)
    } else {
        (Purpose::SecondBit, Purpose::SecondShare)
    }
}

/// c = c0 ^ c1.
fn decision_mask(op: usize, purpose: Purpose, count: usize, p0: &Prf, p1: &Prf) -> Bits {
    let mut c = stream(p0, op, purpose).bits(count);
    c.xor_assign(&stream(p1, op, purpose).bits(count));
    c
}

/// Bit `i` as a ring element.
pub(crate) fn bit_word<W: Word>(bits: &Bits, i: usize) -> W {
    W::from_u64(bits.words()[i / 64] >> (i % 64) & 1)
}
