//! The server's part of a gate.

use super::deal::{bit_word, decision_purposes, knot_purpose};
use super::decide::{Deciding, Material, masked, opened};
use super::select::{Shares, select};
use super::{Sections, forms, pick, place};
use crate::MpcError;
use crate::job::{Comparison, Kind, ring, step};
use crate::keys::{Purpose, stream, words};
use crate::layout::GateLayout;
use hushwire_fixed::truncate_part;
use hushwire_fss::{Prf, dcf, digits};
use hushwire_net::{Link, Phase};
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

/// Runs gate `op` online on the server's part `v1` of its input; gives the server's part of the
/// output wire, z + r'.
pub(crate) fn run<W: Word>(
    layout: &GateLayout<'_>,
    op: usize,
    layer: &str,
    p1: &Prf,
    received: &Received<'_>,
    v1: &[W],
    client: &Link,
) -> Result<Vec<W>, MpcError> {
    if layout.is_silent() {
        return Ok(vec![W::ZERO; layout.len * layout.batch]);
    }
    let message = |what| move |source| MpcError::Message { what, layer: layer.to_owned(), source };
    let (whole, width, w) = (ring(layout.ring), ring(layout.width()), layout.width());
    let truncate = |v: &W| truncate_part(whole.reduce(*v), layout.gate.truncate, true);
    let u1: Vec<W> = v1.iter().map(truncate).collect();
    let mut theirs = vec![W::ZERO; layout.opened + layout.identity];
    unpack(received.masked, w, &mut theirs).map_err(message("the client's masked shares"))?;
    let (theirs, passing) = theirs.split_at(layout.opened);

    let m1: Vec<W> = words(p1, op, Purpose::Opening, layout.opened);
    let mut own = pick(&u1, layout.opened_positions().as_deref());
    own.iter_mut().zip(&m1).for_each(|(u, m)| *u = u.wrapping_add(*m));
    let public: Vec<W> = own.iter().zip(theirs).map(|(a, b)| a.wrapping_add(*b)).collect();
    let mut out = Vec::with_capacity(layout.first_len());
    pack(&own, w, &mut out);

    let Dealt { comparing, signs, shares, carries } =
        unpack_dealt(layout, op, layer, p1, received, m1).map_err(|e| match e {
            Malformed::Packing(source) => message("the helper's material")(source),
            Malformed::Comparing(e) => e,
        })?;
    let deciding = Deciding::start(layout, &forms(layout, &public), comparing);
    let masks: Vec<Bits> = (0..layout.knots().len())
        .map(|knot| stream(p1, op, decision_purposes(knot).0).bits(layout.decisions))
        .collect();
    // What passes: g = 1 - msb(U), opened under c.
    let offset = W::ONE.shl(w - 2);
    let positions = layout.identity_positions();
    let shifted: Vec<W> = passing
        .iter()
        .zip(&positions)
        .map(|(p, &i)| width.reduce(p.wrapping_add(u1[i as usize]).wrapping_add(offset)))
        .collect();
    let mut opened_carries = Bits::from_fn(layout.carries(), |k| shifted[k].shr(w - 1) == W::ZERO);
    opened_carries.xor_assign(&stream(p1, op, Purpose::IdentityBit).bits(layout.carries()));

    let rest;
    let (decisions, mut outputs) = if layout.at_once() {
        let ready = deciding.finish(layout, layer, &[], &signs, false)?;
        let own = masked(&ready, &masks, &mut out);
        opened_carries.to_bytes(&mut out);
        client.send(Phase::Online, step(op, Kind::First), out)?;
        rest = client.recv(Phase::Online, step(op, Kind::Second), layout.second_len())?;
        let mut second = Sections(&rest);
        let decided = second.take(layout.decided_len());
        (opened(own, decided, layout, layer)?, second)
    } else {
        deciding.write_openings(&mut out);
        opened_carries.to_bytes(&mut out);
        client.send(Phase::Online, step(op, Kind::First), out)?;
        let second = client.recv(Phase::Online, step(op, Kind::Second), layout.second_len())?;
        let mut second = Sections(&second);
        let openings = second.take(layout.knots().len() * layout.opening_len());
        let ready = deciding.finish(layout, layer, openings, &signs, false)?;
        let mut third = Vec::with_capacity(layout.decided_len());
        let own = masked(&ready, &masks, &mut third);
        client.send(Phase::Online, step(op, Kind::Third), third)?;
        let decisions = opened(own, second.0, layout, layer)?;
        let len = layout.fourth_len().unwrap_or(0);
        rest = client.recv(Phase::Online, step(op, Kind::Fourth), len)?;
        (decisions, Sections(&rest))
    };

    let mut wire = vec![W::ZERO; layout.len * layout.batch];
    if layout.members > 0 {
        let mut z = select(layout, &public, &decisions, &shares, true);
        let mut theirs = vec![W::ZERO; layout.members];
        unpack(outputs.take(packed_len(layout.members, layout.ring)), layout.ring, &mut theirs)
            .map_err(message("the masked outputs"))?;
        z.iter_mut().zip(&theirs).for_each(|(z, t)| *z = z.wrapping_add(*t));
        place(z, layout.member_positions().as_deref(), &mut wire);
    }
    if layout.identity > 0 {
        let mut high = vec![W::ZERO; layout.carries()];
        if layout.carries() > 0 {
            unpack(outputs.0, layout.high(), &mut high)
                .map_err(message("the masked outputs that pass"))?;
        }
        let mut values: Vec<W> = shifted.iter().map(|u| u.wrapping_sub(offset)).collect();
        for (k, (value, (share, high))) in
            values.iter_mut().zip(carries.iter().zip(&high)).enumerate()
        {
            let flip = bit_word::<W>(&opened_carries, k).wrapping_neg();
            let carry = share.xor(flip).wrapping_sub(flip).wrapping_add(*high);
            *value = value.wrapping_add(carry.shl(w));
        }
        place(values, Some(&positions), &mut wire);
    }
    Ok(wire)
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
    op: usize,
    layer: &str,
    p1: &Prf,
    received: &Received<'_>,
    m1: Vec<W>,
) -> Result<Dealt<W>, Malformed> {
    let error =
        |source| Malformed::Comparing(MpcError::Comparison { layer: layer.to_owned(), source });
    let mut material = Sections(received.material);
    let mut keys = Sections(received.keys);
    let knots = layout.knots().len();
    let mut comparing = Vec::with_capacity(knots);
    for knot in (0..knots).filter(|_| layout.decisions > 0) {
        let mut own = stream(p1, op, knot_purpose(knot));
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
    let shares = Shares {
        decision,
        mask: m1.into_iter().map(|m| width.reduce(m)).collect(),
        decision_mask: section(layout.members, l)?,
        wrap: section(layout.members, high)?,
        carry: section(layout.members, high)?,
        decision_carry: section(layout.members, high)?,
    };
    let carries = section(layout.carries(), high)?;
    Ok(Dealt { comparing, signs, shares, carries })
}
