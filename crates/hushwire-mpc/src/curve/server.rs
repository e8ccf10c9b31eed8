//! The server's part of a piecewise polynomial.

use super::CurveLayout;
use super::evaluate::{Shares, evaluate};
use crate::MpcError;
use crate::gate::decide::{Deciding, Material, masked, opened};
use crate::gate::schedule::{Messages, Next, Received};
use crate::gate::{Sections, lift};
use crate::job::ring;
use crate::keys::Purpose;
use hushwire_fixed::truncate_part;
use hushwire_fss::Prf;
use hushwire_ring::{Bits, PackError, Word, pack, packed_len, unpack};
use zeroize::Zeroizing;

/// The server's state between two messages.
pub(crate) enum Serving<W> {
    /// The inputs are opened.
    Opened(Box<Opened<W>>),
    /// Its truncated shares of the results are known, the client's are not.
    Decided { own: Vec<W>, rest: Rest },
    /// The results are opened and wait for their carries.
    Lifting { shifted: Vec<W>, carries: Vec<W>, asked: Bits },
}

/// A part whose inputs are opened.
pub(crate) struct Opened<W> {
    /// u + m.
    public: Vec<W>,
    /// The server's half of m.
    mask: Vec<W>,
    deciding: Deciding,
    /// Shares of msb(m).
    signs: Bits,
    /// Halves of the masks c, or where decisions were made at once the masked selecting bits.
    masks: Vec<Bits>,
    rest: Rest,
}

/// The helper's material that is needed later, and the masks of the carries.
pub(crate) struct Rest {
    material: Zeroizing<Vec<u8>>,
    carry_masks: Bits,
}

/// Opens the server's part `v1` of the input; gives the first message.
pub(super) fn open<W: Word>(
    layout: &CurveLayout<'_>,
    layer: &str,
    p1: &Prf,
    received: &Received<'_>,
    v1: &[W],
) -> Result<(Vec<u8>, Serving<W>), MpcError> {
    let message = |what| move |source| MpcError::Message { what, layer: layer.to_owned(), source };
    let (whole, width) = (ring(layout.ring), layout.curve.width);
    let mut public = vec![W::ZERO; layout.count()];
    unpack(received.masked, width, &mut public).map_err(message("the client's masked shares"))?;
    let mask = layout.mask_half(p1);
    let mut own = v1[layout.elements.clone()].to_vec();
    for (u, m) in own.iter_mut().zip(&mask) {
        *u = truncate_part(whole.reduce(*u), layout.curve.truncate, true).wrapping_add(*m);
    }
    let opened = ring(width);
    for (u, own) in public.iter_mut().zip(&own) {
        *u = opened.reduce(u.wrapping_add(*own));
    }
    let mut out = Vec::with_capacity(layout.online_len(0).unwrap_or(0));
    pack(&own, width, &mut out);

    let thresholds = &layout.thresholds;
    let mut material = Sections(received.material);
    let tables = material.take(thresholds.table_len());
    let mut stream = layout.stream(p1, Purpose::Comparison);
    let comparing = Material::server(thresholds, &mut stream, tables, received.keys)
        .map_err(|source| MpcError::Comparison { layer: layer.to_owned(), source })?;
    let signs = match layout.signs_len() {
        0 => Bits::zeros(layout.count()),
        len => Bits::from_bytes(layout.count(), material.take(len))
            .map_err(message("the helper's material"))?,
    };
    let forms: Vec<u64> = public.iter().map(|u| u.to_u64()).collect();
    let mut deciding = Deciding::start(thresholds, &forms, comparing);
    let mut masks = layout.decision_masks(p1);
    if thresholds.at_once() {
        // The masked selecting bits ride along.
        let decisions = std::mem::take(&mut deciding).finish(layer, &[], &signs, false)?;
        masks = masked(&layout.selecting(&decisions, false), &masks, &mut out);
    } else {
        deciding.write_openings(&mut out);
    }
    let rest = Rest {
        material: Zeroizing::new(material.0.to_vec()),
        carry_masks: layout.stream(p1, Purpose::IdentityBit).bits(layout.carries()),
    };
    let opened = Opened { public, mask, deciding, signs, masks, rest };
    Ok((out, Serving::Opened(Box::new(opened))))
}

impl<W: Word> Serving<W> {
    /// Takes the client's answer.
    pub(super) fn hear(
        self,
        layout: &CurveLayout<'_>,
        layer: &str,
        heard: &[u8],
    ) -> Result<Next<Serving<W>, Vec<W>>, MpcError> {
        let message =
            |what| move |source| MpcError::Message { what, layer: layer.to_owned(), source };
        match self {
            Serving::Opened(part) => {
                let part = *part;
                let mut heard = Sections(heard);
                if layout.thresholds.at_once() {
                    let theirs = heard.take(layout.selecting_len());
                    let e = opened(part.masks, theirs, layer)?;
                    let (own, rest) = results(layout, &part.public, part.mask, part.rest, &e)
                        .map_err(message("the helper's material"))?;
                    return lifting(layout, layer, own, rest, heard.0);
                }
                let openings = heard.take(layout.thresholds.opening_len());
                let decisions = part.deciding.finish(layer, openings, &part.signs, false)?;
                let selecting = layout.selecting(&decisions, false);
                let mut third = Vec::with_capacity(layout.selecting_len());
                let own = masked(&selecting, &part.masks, &mut third);
                let e = opened(own, heard.0, layer)?;
                let (own, rest) = results(layout, &part.public, part.mask, part.rest, &e)
                    .map_err(message("the helper's material"))?;
                Ok(Next::Say(third, Serving::Decided { own, rest }))
            }
            Serving::Decided { own, rest } => lifting(layout, layer, own, rest, heard),
            Serving::Lifting { mut shifted, carries, asked } => {
                let mut high = vec![W::ZERO; layout.count()];
                unpack(heard, layout.high(), &mut high).map_err(message("the carries"))?;
                lift::finish(&mut shifted, layout.curve.kept, &carries, &high, &asked);
                Ok(Next::Done(shifted))
            }
        }
    }
}

/// The server's truncated shares of the results.
fn results<W: Word>(
    layout: &CurveLayout<'_>,
    public: &[W],
    mask: Vec<W>,
    rest: Rest,
    selecting: &[Bits],
) -> Result<(Vec<W>, Rest), PackError> {
    let Rest { material, carry_masks } = rest;
    let (width, count) = (layout.curve.width, layout.count());
    let mut sections = Sections(&material);
    let mut section = |bits| {
        let mut values = vec![W::ZERO; count];
        unpack(sections.take(packed_len(count, bits)), bits, &mut values).map(|()| values)
    };
    let mut powers = vec![mask];
    for _ in 0..layout.powers() {
        powers.push(section(width)?);
    }
    let mut selected = Vec::with_capacity(layout.curve.encoding.selectors.len());
    for selector in &layout.curve.encoding.selectors {
        let bits = selector.dealt_bits(width);
        selected.push(selector.delta.iter().map(|_| section(bits)).collect::<Result<_, _>>()?);
    }
    let shares = Shares { powers, selected };
    let mut own = evaluate(&layout.curve.encoding, public, selecting, &shares, true);
    let ring = ring(width);
    own.iter_mut().for_each(|z| *z = truncate_part(ring.reduce(*z), layout.curve.drop, true));
    let material = Zeroizing::new(sections.0.to_vec());
    Ok((own, Rest { material, carry_masks }))
}

/// Opens the results from the client's shares of them, and asks for their carries if there are any.
fn lifting<W: Word>(
    layout: &CurveLayout<'_>,
    layer: &str,
    own: Vec<W>,
    rest: Rest,
    theirs: &[u8],
) -> Result<Next<Serving<W>, Vec<W>>, MpcError> {
    let message = |what| move |source| MpcError::Message { what, layer: layer.to_owned(), source };
    let kept = layout.curve.kept;
    let mut shifted = vec![W::ZERO; layout.count()];
    unpack(theirs, kept, &mut shifted).map_err(message("the masked results"))?;
    let (ring, offset) = (ring(kept), W::ONE.shl(kept - 2));
    for (z, own) in shifted.iter_mut().zip(&own) {
        *z = ring.reduce(z.wrapping_add(*own).wrapping_add(offset));
    }
    let asked = lift::ask(&shifted, kept, &rest.carry_masks);
    if layout.carries() == 0 {
        lift::finish(&mut shifted, kept, &[], &[], &asked);
        return Ok(Next::Done(shifted));
    }
    let mut carries = vec![W::ZERO; layout.count()];
    unpack(&rest.material, layout.high(), &mut carries)
        .map_err(message("the helper's material"))?;
    let mut out = Vec::with_capacity(packed_len(layout.count(), 1));
    asked.to_bytes(&mut out);
    Ok(Next::Say(out, Serving::Lifting { shifted, carries, asked }))
}
