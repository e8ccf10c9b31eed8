//! The client's part of a gate.

use super::decide::{Deciding, Material, masked, opened};
use super::select::{Shares, select};
use super::{Passing, Sections, Wire, decision_purposes, knot_purpose, lanes};
use crate::MpcError;
use crate::job::{Comparison, ring};
use crate::keys::Purpose;
use crate::layout::GateLayout;
use hushwire_fixed::truncate_part;
use hushwire_fss::{Prf, dcf, digits};
use hushwire_ring::{Bits, Word, pack, packed_len, unpack};

/// What a client prepares for a part of a gate before the input exists.
pub(crate) struct Prepared<W> {
    /// The message to the server: u0 + m0 of the opened elements, w bits each, the client's summand
    /// of what will be public; then u0 + m of the elements that pass.
    pub message: Vec<u8>,
    /// The client's part of the output wire, -r'.
    pub wire: Wire<W>,
}

/// Prepares a part from the client's part `v0` of the gate's input.
pub(crate) fn prepare<W: Word>(layout: &GateLayout<'_>, p0: &Prf, v0: &[W]) -> Prepared<W> {
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

    let deciding =
        Deciding::start(layout, &layout.forms(&public), material(layout, layer, p0, keys)?);
    let signs = layout.stream(p0, Purpose::MaskSign).bits(layout.decisions);
    let masks: Vec<Bits> = (0..layout.knots().len())
        .map(|knot| layout.stream(p0, decision_purposes(knot).0).bits(layout.decisions))
        .collect();
    let mut out = Vec::with_capacity(layout.second_len());
    if layout.at_once() {
        let decided = first.take(layout.decided_len());
        let shares = deciding.finish(layout, layer, &[], &signs, true)?;
        let own = masked(&shares, &masks, &mut out);
        let carries =
            Bits::from_bytes(layout.carries(), first.0).map_err(message("the masked carries"))?;
        let asked = Asked { public, own, carries };
        asked.finish_into(layout, layer, p0, decided, &mut out)?;
        return Ok((out, None));
    }
    let openings = first.take(layout.knots().len() * layout.opening_len());
    deciding.write_openings(&mut out);
    let shares = deciding.finish(layout, layer, openings, &signs, true)?;
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
        let mut out = Vec::with_capacity(layout.fourth_len().unwrap_or(0));
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
        let decisions = opened(self.own, decided, layout, layer)?;
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
            decision: (0..layout.knots().len())
                .map(|knot| draw(decision_purposes(knot).1, layout.decisions))
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
        let flips = lanes::<W>(carries);
        let masks = passing.masks.iter().zip(&passing.high);
        let high: Vec<W> = masks
            .zip(shares.iter().zip(&flips))
            .map(|((m, rho), (s, flip))| {
                // e t + (1 - 2e) [t c]
                let carry = m.shr(layout.width() - 1).and(*flip);
                rho.wrapping_add(carry).wrapping_add(s.xor(*flip).wrapping_sub(*flip))
            })
            .collect();
        pack(&high, layout.high(), out);
    }
}

fn material(
    layout: &GateLayout<'_>,
    layer: &str,
    p0: &Prf,
    keys: &[u8],
) -> Result<Vec<Material>, MpcError> {
    if layout.decisions == 0 {
        return Ok(Vec::new());
    }
    let error = |source| MpcError::Comparison { layer: layer.to_owned(), source };
    let mut keys = Sections(keys);
    (0..layout.knots().len())
        .map(|knot| {
            let mut own = layout.stream(p0, knot_purpose(knot));
            Ok(match layout.comparison {
                Comparison::Digits => Material::Tables(digits::Tables::client(
                    layout.digits().map_err(error)?,
                    layout.decisions,
                    &mut own,
                )),
                Comparison::Dcf => Material::Keys(
                    dcf::Keys::client(
                        layout.compared(),
                        layout.decisions,
                        &mut own,
                        keys.take(layout.key_len()),
                    )
                    .map_err(error)?,
                ),
            })
        })
        .collect()
}
