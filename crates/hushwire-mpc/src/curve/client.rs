//! The client's part of a piecewise polynomial.

use super::CurveLayout;
use super::evaluate::{Shares, evaluate};
use crate::MpcError;
use crate::gate::decide::{Deciding, Material, masked, opened};
use crate::gate::schedule::{Messages, Prepared};
use crate::gate::{Sections, lift};
use crate::job::ring;
use crate::keys::Purpose;
use hushwire_fixed::truncate_part;
use hushwire_fss::Prf;
use hushwire_ring::{Bits, Word, pack, packed_len, unpack};
use zeroize::Zeroizing;

/// Prepares a part from the client's part `v0` of the gate's input: u0 + m0, W bits each.
pub(super) fn prepare<W: Word>(layout: &CurveLayout<'_>, p0: &Prf, v0: &[W]) -> Prepared<Vec<W>> {
    let whole = ring(layout.ring);
    let mut sent = v0[layout.elements.clone()].to_vec();
    for (u, m) in sent.iter_mut().zip(&layout.mask_half::<W>(p0)) {
        *u = truncate_part(whole.reduce(*u), layout.curve.truncate, false).wrapping_add(*m);
    }
    let mut message = Vec::with_capacity(layout.masked_len());
    pack(&sent, layout.curve.width, &mut message);
    let mut wire = layout.wire_mask(p0, &layout.result_mask(p0));
    wire.iter_mut().for_each(|r: &mut W| *r = r.wrapping_neg());
    Prepared { message, wire }
}

/// The client's state between two messages.
pub(crate) enum Asking<W> {
    /// What it prepared, and its keys.
    Fresh(Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>),
    /// The opened inputs and its masked selecting bits, which the server has yet to answer.
    Selecting(Vec<W>, Vec<Bits>),
    /// The result is at the server, which will ask for its carries.
    Lifting,
}

impl<W: Word> Asking<W> {
    /// The answer to a message, and the next state if there is one.
    pub(super) fn answer(
        self,
        layout: &CurveLayout<'_>,
        layer: &str,
        p0: &Prf,
        heard: &[u8],
    ) -> Result<(Vec<u8>, Option<Asking<W>>), MpcError> {
        let message =
            |what| move |source| MpcError::Message { what, layer: layer.to_owned(), source };
        let next = (layout.carries() > 0).then_some(Asking::Lifting);
        match self {
            Asking::Fresh(prepared, keys) => {
                let width = layout.curve.width;
                let mut own = vec![W::ZERO; layout.count()];
                unpack(&prepared, width, &mut own).map_err(|e| MpcError::Bundle(e.to_string()))?;
                let mut heard = Sections(heard);
                let mut public = vec![W::ZERO; layout.count()];
                unpack(heard.take(packed_len(layout.count(), width)), width, &mut public)
                    .map_err(message("the masked values"))?;
                let ring = ring(width);
                for (u, own) in public.iter_mut().zip(&own) {
                    *u = ring.reduce(u.wrapping_add(*own));
                }

                let thresholds = &layout.thresholds;
                let mut stream = layout.stream(p0, Purpose::Comparison);
                let material = Material::client(thresholds, &mut stream, &keys)
                    .map_err(|source| MpcError::Comparison { layer: layer.to_owned(), source })?;
                let forms: Vec<u64> = public.iter().map(|u| u.to_u64()).collect();
                let deciding = Deciding::start(thresholds, &forms, material);
                let mut out = Vec::with_capacity(layout.online_len(1).unwrap_or(0));
                deciding.write_openings(&mut out);
                let signs = layout.stream(p0, Purpose::MaskSign).bits(layout.count());
                let openings = heard.take(thresholds.opening_len());
                let decisions = deciding.finish(layer, openings, &signs, true)?;
                let selecting = layout.selecting(&decisions, true);
                let own = masked(&selecting, &layout.decision_masks(p0), &mut out);
                if thresholds.at_once() {
                    let e = opened(own, heard.0, layer)?;
                    result(layout, p0, &public, &e, &mut out);
                    return Ok((out, next));
                }
                Ok((out, Some(Asking::Selecting(public, own))))
            }
            Asking::Selecting(public, own) => {
                let e = opened(own, heard, layer)?;
                let mut out = Vec::with_capacity(layout.online_len(3).unwrap_or(0));
                result(layout, p0, &public, &e, &mut out);
                Ok((out, next))
            }
            Asking::Lifting => {
                let asked = Bits::from_bytes(layout.carries(), heard)
                    .map_err(message("the masked carries"))?;
                let masks = layout.result_mask(p0);
                let rho: Vec<W> = layout.words(p0, Purpose::IdentityWire);
                let shares = layout.words(p0, Purpose::IdentityCarry);
                let high = lift::answer(&masks, &rho, &shares, layout.curve.kept, &asked);
                let mut out = Vec::with_capacity(heard.len());
                pack(&high, layout.high(), &mut out);
                Ok((out, None))
            }
        }
    }
}

/// The client's shares of the results z of a part, of W bits. `public` are the opened inputs,
/// `selecting` each selector's opened bit.
pub(crate) fn share<W: Word>(
    layout: &CurveLayout<'_>,
    p0: &Prf,
    public: &[W],
    selecting: &[Bits],
) -> Vec<W> {
    let mut powers = vec![layout.mask_half(p0)];
    let mut stream = layout.stream(p0, Purpose::MaskPower);
    powers.extend((0..layout.powers()).map(|_| stream.words(layout.count())));
    let mut stream = layout.stream(p0, Purpose::Selected);
    let selectors = layout.curve.encoding.selectors.iter();
    let selected =
        selectors.map(|s| s.delta.iter().map(|_| stream.words(layout.count())).collect()).collect();
    let shares = Shares { powers, selected };
    let mut z = evaluate(&layout.curve.encoding, public, selecting, &shares, false);
    let ring = ring(layout.curve.width);
    z.iter_mut().for_each(|z| *z = ring.reduce(*z));
    z
}

/// Appends the truncated shares of the results under their masks.
fn result<W: Word>(
    layout: &CurveLayout<'_>,
    p0: &Prf,
    public: &[W],
    selecting: &[Bits],
    out: &mut Vec<u8>,
) {
    let mut z = share(layout, p0, public, selecting);
    for (z, m) in z.iter_mut().zip(&layout.result_mask::<W>(p0)) {
        *z = truncate_part(*z, layout.curve.drop, false).wrapping_add(*m);
    }
    pack(&z, layout.curve.kept, out);
}
