//! The helper's part of a gate: correlated randomness for both sides, and the next wire's mask.

use super::schedule::Dealt;
use super::{Passing, Wire, copies, decide, decision_purposes, gather, lanes};
use crate::job::ring;
use crate::keys::Purpose;
use crate::layout::GateLayout;
use hushwire_fss::Prf;
use hushwire_ring::{Bits, Vectorised, Word, pack, vectorise};

/// Deals a part. `p0` and `p1` are the bundle's functions shared with client and server.
pub(crate) fn deal<W: Word>(layout: &GateLayout<'_>, p0: &Prf, p1: &Prf) -> Dealt<Wire<W>> {
    let (w, l, high) = (layout.width(), layout.ring, layout.high());
    let opened = ring(w);
    let mut m0: Vec<W> = layout.words(p0, Purpose::Opening, layout.opened);
    let mut m1: Vec<W> = layout.words(p1, Purpose::Opening, layout.opened);
    m0.iter_mut().chain(&mut m1).for_each(|m| *m = opened.reduce(*m));
    let masks: Vec<W> =
        m0.iter().zip(&m1).map(|(a, b)| opened.reduce(a.wrapping_add(*b))).collect();

    let mut material = Vec::with_capacity(layout.dealt_len());
    let mut keys = Vec::with_capacity(layout.thresholds.keys_len());
    let n = layout.forms(&masks);
    let (sign, below) = layout.thresholds.split(&n);
    let streams = [p0, p1].map(|prf| layout.stream(prf, Purpose::Comparison));
    let [mut s0, mut s1] = streams;
    decide::deal(&layout.thresholds, &mut s0, &mut s1, &below, &mut material, &mut keys);
    sign.xor(&layout.stream(p0, Purpose::MaskSign).bits(layout.decisions()))
        .to_bytes(&mut material);

    // What a section holds less P0's share of it.
    let mut section = |purpose, bits, mut values: Vec<W>| {
        if bits > 0 {
            let s0: Vec<W> = layout.words(p0, purpose, values.len());
            values.iter_mut().zip(&s0).for_each(|(v, s)| *v = v.wrapping_sub(*s));
            pack(&values, bits, &mut material);
        }
    };

    // Shares of each mask c of a decision.
    let mut selecting = None;
    for knot in 0..layout.knots() {
        let (bit, share) = decision_purposes(knot);
        let mut c = decision_mask(layout, bit, p0, p1);
        if !layout.copied.is_empty() {
            c = copies::masks(&c, &layout.copied, [p0, p1]);
        }
        let c = lanes::<W>(&c);
        section(share, l, c.iter().map(|c| c.and(W::ONE)).collect());
        selecting.get_or_insert(c);
    }
    let selecting = selecting.unwrap_or_default();

    // Per member: c m in the ring; the wrap of m0 + m1, t and c t above the opened bits.
    let indices = layout.member_indices();
    let (at, group) = indices.as_ref().map_or((None, None), |(a, g)| (Some(&a[..]), Some(&g[..])));
    let products = vectorise(Products {
        width: w,
        m0: &gather(&m0, at),
        masks: &gather(&masks, at),
        selecting: &gather(&selecting, group),
    });
    section(Purpose::DecisionMask, l, products.decision_mask);
    section(Purpose::Wrap, high, products.wrap);
    section(Purpose::Carry, high, products.carry);
    section(Purpose::DecisionCarry, high, products.decision_carry);

    // Elements that pass: t c, for the carry; and the next wire's mask, which continues m.
    let passing = Passing::<W>::new(layout, p0);
    if high > 0 {
        let c = lanes::<W>(&layout.stream(p1, Purpose::IdentityBit).bits(layout.identity));
        let carry = |(m, c): (&W, &W)| m.shr(w - 1).and(*c);
        section(Purpose::IdentityCarry, high, passing.masks.iter().zip(&c).map(carry).collect());
    }
    Dealt { material, keys, mask: Wire::mask(layout, p0, &passing) }
}

/// What is dealt of the members, from their masks and the lanes of their decisions' masks.
struct Products<'a, W> {
    width: u32,
    m0: &'a [W],
    masks: &'a [W],
    selecting: &'a [W],
}

struct Multiplied<W> {
    decision_mask: Vec<W>,
    wrap: Vec<W>,
    carry: Vec<W>,
    decision_carry: Vec<W>,
}

impl<W: Word> Vectorised for Products<'_, W> {
    type Output = Multiplied<W>;

    #[inline(always)]
    fn run(self) -> Multiplied<W> {
        let Products { width, m0, masks, selecting } = self;
        let top = |m: &W| m.shr(width - 1);
        // The sum of m0 and m1 is less than m0 just where it wrapped.
        let wrap = |(m, m0): (&W, &W)| W::from_u64(u64::from(m < m0));
        Multiplied {
            decision_mask: masks.iter().zip(selecting).map(|(m, c)| m.and(*c)).collect(),
            wrap: masks.iter().zip(m0).map(wrap).collect(),
            carry: masks.iter().map(top).collect(),
            decision_carry: masks.iter().zip(selecting).map(|(m, c)| top(m).and(*c)).collect(),
        }
    }
}

/// c = c0 ^ c1.
fn decision_mask(layout: &GateLayout<'_>, purpose: Purpose, p0: &Prf, p1: &Prf) -> Bits {
    let mut c = layout.stream(p0, purpose).bits(layout.decisions());
    c.xor_assign(&layout.stream(p1, purpose).bits(layout.decisions()));
    c
}
