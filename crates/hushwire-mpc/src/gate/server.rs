//! The server's part of a gate.

use super::decide::{Deciding, Material, masked, opened};
use super::select::{Shares, select};
use super::{Sections, Wire, decision_purposes, knot_purpose, lanes};
use crate::MpcError;
use crate::job::{Comparison, ring};
use crate::keys::Purpose;
use crate::layout::GateLayout;
use hushwire_fixed::truncate_part;
use hushwire_fss::{Prf, dcf, digits};
use hushwire_ring::{Bits, PackError, Word, pack, packed_len, unpack};

/// What a server has received for a gate before the input exists.
pub(crate) struct Received<'a> {
    /// From the client: u0 + m0, and u0 + m of what passes.
    pub masked: &'a [u8],
    /// From the helper.
    pub material: &'a [u8],
    /// From the helper: comparison keys, empty with digits.
    pub keys: &'a [u8],
}

/// The helper's material, unpacked.
struct Dealt<W> {
    comparing: Vec<Material>,
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

/// What a client's answer leads to.
pub(crate) enum Next<W> {
    /// The part's output.
    Done(Wire<W>),
    /// Another message, after which the client's last one gives the output.
    Ask(Vec<u8>, Box<Decided<W>>),
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
    let mut out = Vec::with_capacity(layout.first_len());
    pack(&own, w, &mut out);

    let Dealt { comparing, signs, shares, carries } = unpack_dealt(layout, layer, p1, received, m1)
        .map_err(|e| match e {
            Malformed::Packing(source) => message("the helper's material")(source),
            Malformed::Comparing(e) => e,
        })?;
    let deciding = Deciding::start(layout, &layout.forms(&public), comparing);
    let masks: Vec<Bits> = (0..layout.knots().len())
        .map(|knot| layout.stream(p1, decision_purposes(knot).0).bits(layout.decisions))
        .collect();
    // What passes: g = 1 - msb(U), opened under c.
    let offset = W::ONE.shl(w - 2);
    let mut shifted = layout.identity_positions().pick(v1);
    shifted.iter_mut().for_each(truncate);
    for (u, p) in shifted.iter_mut().zip(&passing) {
        *u = width.reduce(p.wrapping_add(*u).wrapping_add(offset));
    }
    let mut opened_carries = Bits::from_fn(layout.carries(), |k| shifted[k].shr(w - 1) == W::ZERO);
    opened_carries.xor_assign(&layout.stream(p1, Purpose::IdentityBit).bits(layout.carries()));

    let mut opened =
        Opened { public, shares, carries, shifted, opened_carries, deciding, signs, masks };
    if layout.at_once() {
        // The masked decisions ride along.
        let ready = opened.deciding.finish(layout, layer, &[], &opened.signs, false)?;
        opened.deciding = Deciding::default();
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
    ) -> Result<Next<W>, MpcError> {
        let Opened { public, shares, carries, shifted, opened_carries, deciding, signs, masks } =
            self;
        let mut second = Sections(second);
        if layout.at_once() {
            let decided = second.take(layout.decided_len());
            let decisions = opened(masks, decided, layout, layer)?;
            let decided = Decided { public, shares, carries, shifted, opened_carries, decisions };
            return decided.finish(layout, layer, second.0).map(Next::Done);
        }
        let openings = second.take(layout.knots().len() * layout.opening_len());
        let ready = deciding.finish(layout, layer, openings, &signs, false)?;
        let mut third = Vec::with_capacity(layout.decided_len());
        let own = masked(&ready, &masks, &mut third);
        let decisions = opened(own, second.0, layout, layer)?;
        let decided = Decided { public, shares, carries, shifted, opened_carries, decisions };
        Ok(Next::Ask(third, Box::new(decided)))
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
        let w = layout.width();
        let offset = W::ONE.shl(w - 2);
        let mut passing = self.shifted;
        passing.iter_mut().for_each(|u| *u = u.wrapping_sub(offset));
        if layout.carries() > 0 {
            let mut high = vec![W::ZERO; layout.carries()];
            unpack(outputs.0, layout.high(), &mut high)
                .map_err(message("the masked outputs that pass"))?;
            let flips = lanes::<W>(&self.opened_carries);
            let shares = self.carries.iter().zip(&high);
            for (value, ((share, high), flip)) in passing.iter_mut().zip(shares.zip(&flips)) {
                let carry = share.xor(*flip).wrapping_sub(*flip).wrapping_add(*high);
                *value = value.wrapping_add(carry.shl(w));
            }
        }
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
    let error =
        |source| Malformed::Comparing(MpcError::Comparison { layer: layer.to_owned(), source });
    let mut material = Sections(received.material);
    let mut keys = Sections(received.keys);
    let knots = layout.knots().len();
    let mut comparing = Vec::with_capacity(knots);
    for knot in (0..knots).filter(|_| layout.decisions > 0) {
        let mut own = layout.stream(p1, knot_purpose(knot));
        comparing.push(match layout.comparison {
            Comparison::Digits => {
                let shape = layout.digits().map_err(error)?;
                let tables = material.take(layout.table_len());
                let tables = digits::Tables::server(shape, layout.decisions, &mut own, tables);
                Material::Tables(tables.map_err(error)?)
            }
            Comparison::Dcf => {
                let own_keys = keys.take(layout.key_len());
                let keys =
                    dcf::Keys::server(layout.compared(), layout.decisions, &mut own, own_keys);
                Material::Keys(keys.map_err(error)?)
            }
        });
    }
    let signs = Bits::from_bytes(layout.decisions, material.take(packed_len(layout.decisions, 1)))?;
    let mut section = |count: usize, bits: u32| -> Result<Vec<W>, PackError> {
        let mut values = vec![W::ZERO; count];
        if bits > 0 {
            unpack(material.take(packed_len(count, bits)), bits, &mut values)?;
        }
        Ok(values)
    };
    let (l, high) = (layout.ring, layout.high());
    let width = ring(layout.width());
    let decision = (0..knots).map(|_| section(layout.decisions, l)).collect::<Result<_, _>>()?;
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
