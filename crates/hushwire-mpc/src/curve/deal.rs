//! The helper's part of a piecewise polynomial.

use super::CurveLayout;
use crate::gate::schedule::{Dealt, Messages};
use crate::gate::{decide, lanes};
use crate::job::ring;
use crate::keys::Purpose;
use hushwire_fss::{Prf, Stream};
use hushwire_ring::{Word, pack};

/// Deals a part. `p0` and `p1` are the bundle's functions shared with client and server.
pub(super) fn deal<W: Word>(layout: &CurveLayout<'_>, p0: &Prf, p1: &Prf) -> Dealt<Vec<W>> {
    let (width, kept, high) = (layout.curve.width, layout.curve.kept, layout.high());
    let opened = ring(width);
    let (m0, m1) = (layout.mask_half::<W>(p0), layout.mask_half::<W>(p1));
    let masks: Vec<W> =
        m0.iter().zip(&m1).map(|(a, b)| opened.reduce(a.wrapping_add(*b))).collect();
    let mut material = Vec::with_capacity(layout.dealt_len());
    let mut keys = Vec::with_capacity(layout.keys_len());

    if !layout.thresholds.is_empty() {
        let n: Vec<u64> = masks.iter().map(|m| m.to_u64()).collect();
        let (sign, below) = layout.thresholds.split(&n);
        let [mut s0, mut s1] = [p0, p1].map(|prf| layout.stream(prf, Purpose::Comparison));
        decide::deal(&layout.thresholds, &mut s0, &mut s1, &below, &mut material, &mut keys);
        let own = layout.stream(p0, Purpose::MaskSign).bits(layout.count());
        sign.xor(&own).to_bytes(&mut material);
    }

    // m^i, i = 0, 1, ...
    let mut powers = vec![vec![W::ONE; masks.len()]];
    for i in 0..layout.curve.encoding.degree() {
        powers.push(powers[i].iter().zip(&masks).map(|(p, m)| p.wrapping_mul(*m)).collect());
    }
    // What a section holds less P0's share of it.
    let mut section = |own: &mut Stream, bits, values: &mut [W]| {
        let own: Vec<W> = own.words(values.len());
        values.iter_mut().zip(&own).for_each(|(v, s)| *v = v.wrapping_sub(*s));
        pack(values, bits, &mut material);
    };
    let mut own = layout.stream(p0, Purpose::MaskPower);
    for power in powers.iter().skip(2) {
        section(&mut own, width, &mut power.clone());
    }
    let mut own = layout.stream(p0, Purpose::Selected);
    let halves = layout.decision_masks(p0).into_iter().zip(layout.decision_masks(p1));
    for (selector, (c0, c1)) in layout.curve.encoding.selectors.iter().zip(halves) {
        let c = lanes::<W>(&c0.xor(&c1));
        for power in &powers[..selector.delta.len()] {
            let mut products: Vec<W> = power.iter().zip(&c).map(|(m, c)| m.and(*c)).collect();
            section(&mut own, selector.dealt_bits(width), &mut products);
        }
    }

    let masks = layout.result_mask::<W>(p0);
    if high > 0 {
        let c = lanes::<W>(&layout.stream(p1, Purpose::IdentityBit).bits(layout.count()));
        let carry = |(m, c): (&W, &W)| m.shr(kept - 1).and(*c);
        let mut carries: Vec<W> = masks.iter().zip(&c).map(carry).collect();
        section(&mut layout.stream(p0, Purpose::IdentityCarry), high, &mut carries);
    }
    let mask = layout.wire_mask(p0, &masks);
    Dealt { material, keys, mask }
}
