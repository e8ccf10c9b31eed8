//! The client's part of a gate.

use super::decide::{Deciding, Material, masked, opened};
use super::schedule::Prepared;
use super::select::{Shares, select};
use super::{Passing, Sections, Wire, decision_purposes, lift, opened_bits};
use crate::MpcError;
use crate::job::ring;
use crate::keys::Purpose;
use crate::layout::GateLayout;
use hushwire_fixed::truncate_part;
use hushwire_fss::Prf;
use hushwire_ring::{Bits, Word, pack, packed_len, unpack};

/// Prepares a part from the client's part `v0` of the gate's input. The message has u0 + m0 of the
/// opened elements, w bits each, then u0 + m of the elements that pass.
pub(crate) fn prepare<W: Word>(layout: &GateLayout<'_>, p0: &Prf, v0: &[W]) -> Prepared<Wire<W>> {
    let whole = ring(layout.ring);
    let m0: Vec<W> = layout.words(p0, Purpose::Opening, layout.opened);
    let passing = Passing::new(layout, p0);
    let mut sent = layout.opened_positions().pick(v0);
    sent.extend(layout.identity_positions().pick(v0));
    for (u, m) in sent.iter_mut().zip(m0.iter().chain(&passing.masks)) {
        *u = truncate_part(whole.reduce(*u), layout.gate.truncate, false).wrapping_add(*m);
    }
    let mut message = Vec::with_capacity(layout.masked_len());
    pack(&sent, layout.width(), &mut message);
    Prepared { message, wire: Wire::mask(layout, p0, &passing).negated() }
}

/// A part whose decisions the server has yet to answer.
pub(crate) struct Asked<W> {
    public: Vec<W>,
    /// This party's masked decisions.
    own: Vec<Bits>,
    carries: Bits,
}

/// Answers the server's `first` message. `prepared` is what [`prepare`] had for the server; `keys`
/// what the helper had for both. The message is the last where the layout is
/// [at once](GateLayout::at_once).
pub(crate) fn answer<W: Word>(
    layout: &GateLayout<'_>,
    layer: &str,
    p0: &Prf,
    prepared: &[u8],
    keys: &[u8],
    first: &[u8],
) -> Result<(Vec<u8>, Option<Asked<W>>), MpcError> {
    let message = |what| move |source| MpcError::Message { what, layer: layer.to_owned(), source };
    let w = layout.width();
    let mut own = vec![W::ZERO; layout.opened + layout.identity];
    unpack(prepared, w, &mut own).map_err(|e| MpcError::Bundle(e.to_string()))?;
    own.truncate(layout.opened);
    let mut first = Sections(first);
    let mut public = vec![W::ZERO; layout.opened];
    unpack(first.take(packed_len(layout.opened, w)), w, &mut public)
        .map_err(message("the masked values"))?;
    public.iter_mut().zip(&own).for_each(|(u, v)| *u = u.wrapping_add(*v));

    let mut own_material = layout.stream(p0, Purpose::Comparison);
    let material = Material::client(&layout.thresholds, &mut own_material, keys)
        .map_err(|source| MpcError::Comparison { layer: layer.to_owned(), source })?;
    let deciding = Deciding::start(&layout.thresholds, &layout.forms(&public), material);
    let signs = layout.stream(p0, Purpose::MaskSign).bits(layout.decisions());
    let masks: Vec<Bits> = (0..layout.knots())
        .map(|knot| layout.stream(p0, decision_purposes(knot).0).bits(layout.decisions()))
        .collect();
    let mut out = Vec::with_capacity(layout.online_len(1).unwrap_or(0));
    if layout.at_once() {
        let decided = first.take(layout.decided_len());
        let shares = opened_bits(deciding.finish(layer, &[], &signs, true)?);
        let own = masked(&shares, &masks, &mut out);
        let carries =
            Bits::from_bytes(layout.carries(), first.0).map_err(message("the masked carries"))?;
        let asked = Asked { public, own, carries };
        asked.finish_into(layout, layer, p0, decided, &mut out)?;
        return Ok((out, None));
    }
    let openings = first.take(layout.thresholds.opening_len());
    deciding.write_openings(&mut out);
    let shares = opened_bits(deciding.finish(layer, openings, &signs, true)?);
    let own = masked(&shares, &masks, &mut out);
    let carries =
        Bits::from_bytes(layout.carries(), first.0).map_err(message("the masked carries"))?;
    Ok((out, Some(Asked { public, own, carries })))
}

impl<W: Word> Asked<W> {
    /// The last message, from the server's masked decisions.
    pub(crate) fn finish(
        self,
        layout: &GateLayout<'_>,
        layer: &str,
        p0: &Prf,
        decided: &[u8],
    ) -> Result<Vec<u8>, MpcError> {
        let mut out = Vec::with_capacity(layout.online_len(3).unwrap_or(0));
        self.finish_into(layout, layer, p0, decided, &mut out)?;
        Ok(out)
    }

    fn finish_into(
        self,
        layout: &GateLayout<'_>,
        layer: &str,
        p0: &Prf,
        decided: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), MpcError> {
        let decisions = layout.selecting(opened(self.own, decided, layer)?);
        outputs(layout, p0, &self.public, &decisions, &self.carries, out);
        Ok(())
    }
}

/// Appends z0 + r' of the members and the high part of what passes.
fn outputs<W: Word>(
    layout: &GateLayout<'_>,
    p0: &Prf,
    public: &[W],
    decisions: &[Bits],
    carries: &Bits,
    out: &mut Vec<u8>,
) {
    let draw = |purpose, count| layout.words::<W>(p0, purpose, count);
    if layout.members > 0 {
        let width = ring(layout.width());
        let mut mask = draw(Purpose::Opening, layout.opened);
        mask.iter_mut().for_each(|m| *m = width.reduce(*m));
        let above = if layout.high() > 0 { layout.members } else { 0 };
        let draw_above = |purpose| {
            let mut words = draw(purpose, above);
            words.resize(layout.members, W::ZERO);
            words
        };
        let shares = Shares {
            decision: (0..layout.knots())
                .map(|knot| draw(decision_purposes(knot).1, layout.selectors()))
                .collect(),
            mask,
            decision_mask: draw(Purpose::DecisionMask, layout.members),
            wrap: draw_above(Purpose::Wrap),
            carry: draw_above(Purpose::Carry),
            decision_carry: draw_above(Purpose::DecisionCarry),
        };
        let mut z = select(layout, public, decisions, &shares, false);
        let wire: Vec<W> = draw(Purpose::Wire, layout.members);
        z.iter_mut().zip(&wire).for_each(|(z, r)| *z = z.wrapping_add(*r));
        pack(&z, layout.ring, out);
    }
    if layout.carries() > 0 {
        let passing = Passing::<W>::new(layout, p0);
        let shares = draw(Purpose::IdentityCarry, layout.identity);
        let (masks, rho) = (&passing.masks, &passing.high);
        let high = lift::answer(masks, rho, &shares, layout.width(), carries);
        pack(&high, layout.high(), out);
    }
}
