//! The server's part of a gate.

use super::decide::{Deciding, Material, masked, opened};
use super::schedule::{Next, Received};
use super::select::{Shares, select};
use super::{Sections, Wire, decision_purposes, lift, opened_bits};
use crate::MpcError;
use crate::job::ring;
use crate::keys::Purpose;
use crate::layout::GateLayout;
use hushwire_fixed::truncate_part;
use hushwire_fss::Prf;
use hushwire_ring::{Bits, PackError, Word, pack, packed_len, unpack};

/// The helper's material, unpacked.
struct Dealt<W> {
    comparing: Material,
    /// Shares of msb(n).
    signs: Bits,
    shares: Shares<W>,
    /// Shares of t c for what passes.
    carries: Vec<W>,
}

/// A part whose values the server has opened.
pub(crate) struct Opened<W> {
    /// u + m of the opened elements.
    public: Vec<W>,
    shares: Shares<W>,
    /// Shares of t c for what passes.
    carries: Vec<W>,
    /// U of what passes.
    shifted: Vec<W>,
    opened_carries: Bits,
    deciding: Deciding,
    signs: Bits,
    masks: Vec<Bits>,
}

/// A part whose masked decisions are known.
pub(crate) struct Decided<W> {
    public: Vec<W>,
    shares: Shares<W>,
    carries: Vec<W>,
    shifted: Vec<W>,
    opened_carries: Bits,
    decisions: Vec<Bits>,
}

/// Opens the server's part `v1` of a gate's input; gives the first message.
pub(crate) fn open<W: Word>(
    layout: &GateLayout<'_>,
    layer: &str,
    p1: &Prf,
    received: &Received<'_>,
    v1: &[W],
) -> Result<(Vec<u8>, Opened<W>), MpcError> {
    let message = |what| move |source| MpcError::Message { what, layer: layer.to_owned(), source };
    let (whole, width, w) = (ring(layout.ring), ring(layout.width()), layout.width());
    let truncate = |v: &mut W| *v = truncate_part(whole.reduce(*v), layout.gate.truncate, true);
    let mut theirs = vec![W::ZERO; layout.opened + layout.identity];
    unpack(received.masked, w, &mut theirs).map_err(message("the client's masked shares"))?;
    let passing = theirs.split_off(layout.opened);

    let m1: Vec<W> = layout.words(p1, Purpose::Opening, layout.opened);
    let mut own = layout.opened_positions().pick(v1);
    own.iter_mut().for_each(truncate);
    own.iter_mut().zip(&m1).for_each(|(u, m)| *u = u.wrapping_add(*m));
    let mut public = theirs;
    public.iter_mut().zip(&own).for_each(|(u, own)| *u = u.wrapping_add(*own));
    let mut out = Vec::with_capacity(layout.online_len(0).unwrap_or(0));
    pack(&own, w, &mut out);

    let Dealt { comparing, signs, shares, carries } = unpack_dealt(layout, layer, p1, received, m1)
        .map_err(|e| match e {
            Malformed::Packing(source) => message("the helper's material")(source),
            Malformed::Comparing(e) => e,
        })?;
    let deciding = Deciding::start(&layout.thresholds, &layout.forms(&public), comparing);
    let masks: Vec<Bits> = (0..layout.knots())
        .map(|knot| layout.stream(p1, decision_purposes(knot).0).bits(layout.decisions()))
        .collect();
    // What passes: g = 1 - msb(U), opened under c.
    let offset = W::ONE.shl(w - 2);
    let mut shifted = layout.identity_positions().pick(v1);
    shifted.iter_mut().for_each(truncate);
    for (u, p) in shifted.iter_mut().zip(&passing) {
        *u = width.reduce(p.wrapping_add(*u).wrapping_add(offset));
    }
    let c = layout.stream(p1, Purpose::IdentityBit).bits(layout.carries());
    let opened_carries = lift::ask(&shifted, w, &c);

    let mut opened =
        Opened { public, shares, carries, shifted, opened_carries, deciding, signs, masks };
    if layout.at_once() {
        // The masked decisions ride along.
        let deciding = std::mem::take(&mut opened.deciding);
        let ready = opened_bits(deciding.finish(layer, &[], &opened.signs, false)?);
        opened.masks = masked(&ready, &opened.masks, &mut out);
    } else {
        opened.deciding.write_openings(&mut out);
    }
    opened.opened_carries.to_bytes(&mut out);
    Ok((out, opened))
}

impl<W: Word> Opened<W> {
    /// Takes the client's answer.
    pub(crate) fn decide(
        self,
        layout: &GateLayout<'_>,
        layer: &str,
        second: &[u8],
    ) -> Result<Next<Decided<W>, Wire<W>>, MpcError> {
        let Opened { public, shares, carries, shifted, opened_carries, deciding, signs, masks } =
            self;
        let mut second = Sections(second);
        if layout.at_once() {
            let decided = second.take(layout.decided_len());
            let decisions = layout.selecting(opened(masks, decided, layer)?);
            let decided = Decided { public, shares, carries, shifted, opened_carries, decisions };
            return decided.finish(layout, layer, second.0).map(Next::Done);
        }
        let openings = second.take(layout.thresholds.opening_len());
        let ready = opened_bits(deciding.finish(layer, openings, &signs, false)?);
        let mut third = Vec::with_capacity(layout.decided_len());
        let own = masked(&ready, &masks, &mut third);
        let decisions = layout.selecting(opened(own, second.0, layer)?);
        let decided = Decided { public, shares, carries, shifted, opened_carries, decisions };
        Ok(Next::Say(third, decided))
    }
}

impl<W: Word> Decided<W> {
    /// The server's part of the output wire, z + r', from the client's `outputs`.
    pub(crate) fn finish(
        self,
        layout: &GateLayout<'_>,
        layer: &str,
        outputs: &[u8],
    ) -> Result<Wire<W>, MpcError> {
        let message =
            |what| move |source| MpcError::Message { what, layer: layer.to_owned(), source };
        let mut outputs = Sections(outputs);
        let mut members = Vec::new();
        if layout.members > 0 {
            members = select(layout, &self.public, &self.decisions, &self.shares, true);
            let mut theirs = vec![W::ZERO; layout.members];
            unpack(outputs.take(packed_len(layout.members, layout.ring)), layout.ring, &mut theirs)
                .map_err(message("the masked outputs"))?;
            members.iter_mut().zip(&theirs).for_each(|(z, t)| *z = z.wrapping_add(*t));
        }
        let mut passing = self.shifted;
        let mut high = vec![W::ZERO; layout.carries()];
        if layout.carries() > 0 {
            unpack(outputs.0, layout.high(), &mut high)
                .map_err(message("the masked outputs that pass"))?;
        }
        lift::finish(&mut passing, layout.width(), &self.carries, &high, &self.opened_carries);
        Ok(Wire { members, passing })
    }
}

/// Why the helper's material could not be read.
enum Malformed {
    Packing(PackError),
    Comparing(MpcError),
}

impl From<PackError> for Malformed {
    fn from(e: PackError) -> Self {
        Malformed::Packing(e)
    }
}

fn unpack_dealt<W: Word>(
    layout: &GateLayout<'_>,
    layer: &str,
    p1: &Prf,
    received: &Received<'_>,
    mut m1: Vec<W>,
) -> Result<Dealt<W>, Malformed> {
    let mut material = Sections(received.material);
    let mut own = layout.stream(p1, Purpose::Comparison);
    let tables = material.take(layout.thresholds.table_len());
    let comparing = Material::server(&layout.thresholds, &mut own, tables, received.keys);
    let comparing = comparing.map_err(|source| {
        Malformed::Comparing(MpcError::Comparison { layer: layer.to_owned(), source })
    })?;
    let signs =
        Bits::from_bytes(layout.decisions(), material.take(packed_len(layout.decisions(), 1)))?;
    let mut section = |count: usize, bits: u32| -> Result<Vec<W>, PackError> {
        let mut values = vec![W::ZERO; count];
        if bits > 0 {
            unpack(material.take(packed_len(count, bits)), bits, &mut values)?;
        }
        Ok(values)
    };
    let (l, high) = (layout.ring, layout.high());
    let width = ring(layout.width());
    let decision =
        (0..layout.knots()).map(|_| section(layout.selectors(), l)).collect::<Result<_, _>>()?;
    m1.iter_mut().for_each(|m| *m = width.reduce(*m));
    let shares = Shares {
        decision,
        mask: m1,
        decision_mask: section(layout.members, l)?,
        wrap: section(layout.members, high)?,
        carry: section(layout.members, high)?,
        decision_carry: section(layout.members, high)?,
    };
    let carries = section(layout.carries(), high)?;
    Ok(Dealt { comparing, signs, shares, carries })
}
