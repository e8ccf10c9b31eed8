//! The client's part of a gate.

use super::deal::{Passing, bit_word, decision_purposes, knot_purpose, wire_mask};
use super::decide::{Deciding, Material, masked, opened};
use super::select::{Shares, select};
use super::{Sections, forms, pick};
use crate::MpcError;
use crate::job::{Comparison, Kind, ring, step};
use crate::keys::{Purpose, stream, words};
use crate::layout::GateLayout;
use hushwire_fixed::truncate_part;
use hushwire_fss::{Prf, dcf, digits};
use hushwire_net::{Link, Phase};
use hushwire_ring::{Bits, Word, pack, packed_len, unpack};

/// What a client prepares for a gate before the input exists.
pub(crate) struct Prepared<W> {
    /// u0 + m0 of the opened elements, w bits each: the client's summand of what will be public.
    pub public: Vec<W>,
    /// The message to the server: the same, and u0 + m of the elements that pass.
    pub message: Vec<u8>,
    /// The client's part of the output wire, -r'.
    pub part: Vec<W>,
}

/// Prepares gate `op` from the client's part `v0` of its input.
pub(crate) fn prepare<W: Word>(
    layout: &GateLayout<'_>,
    op: usize,
    p0: &Prf,
    v0: &[W],
) -> Prepared<W> {
    let (whole, width) = (ring(layout.ring), ring(layout.width()));
    let truncate = |v: &W| truncate_part(whole.reduce(*v), layout.gate.truncate, false);
    let u0: Vec<W> = v0.iter().map(truncate).collect();
    let m0: Vec<W> = words(p0, op, Purpose::Opening, layout.opened);
    let mut public = pick(&u0, layout.opened_positions().as_deref());
    public.iter_mut().zip(&m0).for_each(|(u, m)| *u = width.reduce(u.wrapping_add(*m)));
    let passing = Passing::new(layout, op, p0);
    let passed = pick(&u0, Some(&layout.identity_positions()));
    let mut sent = public.clone();
    sent.extend(passed.iter().zip(&passing.masks).map(|(u, m)| u.wrapping_add(*m)));
    let mut message = Vec::with_capacity(layout.masked_len());
    pack(&sent, layout.width(), &mut message);
    let mut part = wire_mask(layout, op, p0, &passing);
    part.iter_mut().for_each(|r| *r = r.wrapping_neg());
    Prepared { public, message, part }
}

/// Runs gate `op` online: one round trip, or two where digits must be opened.
pub(crate) fn run<W: Word>(
    layout: &GateLayout<'_>,
    op: usize,
    layer: &str,
    p0: &Prf,
    mut public: Vec<W>,
    keys: &[u8],
    server: &Link,
) -> Result<(), MpcError> {
    if layout.is_silent() {
        return Ok(());
    }
    let message = |what| move |source| MpcError::Message { what, layer: layer.to_owned(), source };
    let first = server.recv(Phase::Online, step(op, Kind::First), layout.first_len())?;
    let mut first = Sections(&first);
    let mut theirs = vec![W::ZERO; layout.opened];
    unpack(first.take(packed_len(layout.opened, layout.width())), layout.width(), &mut theirs)
        .map_err(message("the masked values"))?;
    public.iter_mut().zip(&theirs).for_each(|(u, v)| *u = u.wrapping_add(*v));

    let deciding =
        Deciding::start(layout, &forms(layout, &public), material(layout, op, layer, p0, keys)?);
    let signs = stream(p0, op, Purpose::MaskSign).bits(layout.decisions);
    let masks: Vec<Bits> = (0..layout.knots().len())
        .map(|knot| stream(p0, op, decision_purposes(knot).0).bits(layout.decisions))
        .collect();
    let mut out = Vec::with_capacity(layout.second_len());
    let decisions = if layout.at_once() {
        let decided = first.take(layout.decided_len());
        let shares = deciding.finish(layout, layer, &[], &signs, true)?;
        opened(masked(&shares, &masks, &mut out), decided, layout, layer)?
    } else {
        let openings = first.take(layout.knots().len() * layout.opening_len());
        deciding.write_openings(&mut out);
        let shares = deciding.finish(layout, layer, openings, &signs, true)?;
        let own = masked(&shares, &masks, &mut out);
        server.send(Phase::Online, step(op, Kind::Second), std::mem::take(&mut out))?;
        let decided = server.recv(Phase::Online, step(op, Kind::Third), layout.decided_len())?;
        opened(own, &decided, layout, layer)?
    };
    let carries =
        Bits::from_bytes(layout.carries(), first.0).map_err(message("the masked carries"))?;
    outputs(layout, op, p0, &public, &decisions, &carries, &mut out);
    let kind = if layout.at_once() { Kind::Second } else { Kind::Fourth };
    server.send(Phase::Online, step(op, kind), out)?;
    Ok(())
}

/// Appends z0 + r' of the members and the high part of what passes.
fn outputs<W: Word>(
    layout: &GateLayout<'_>,
    op: usize,
    p0: &Prf,
    public: &[W],
    decisions: &[Bits],
    carries: &Bits,
    out: &mut Vec<u8>,
) {
    if layout.members > 0 {
        let width = ring(layout.width());
        let draw = |purpose, count| words::<W>(p0, op, purpose, count);
        let shares = Shares {
            decision: (0..layout.knots().len())
                .map(|knot| draw(decision_purposes(knot).1, layout.decisions))
                .collect(),
            mask: draw(Purpose::Opening, layout.opened)
                .into_iter()
                .map(|m| width.reduce(m))
                .collect(),
            decision_mask: draw(Purpose::DecisionMask, layout.members),
            wrap: draw(Purpose::Wrap, layout.members),
            carry: draw(Purpose::Carry, layout.members),
            decision_carry: draw(Purpose::DecisionCarry, layout.members),
        };
        let mut z = select(layout, public, decisions, &shares, false);
        let wire: Vec<W> = draw(Purpose::Wire, layout.members);
        z.iter_mut().zip(&wire).for_each(|(z, r)| *z = z.wrapping_add(*r));
        pack(&z, layout.ring, out);
    }
    if layout.carries() > 0 {
        let passing = Passing::<W>::new(layout, op, p0);
        let shares: Vec<W> = words(p0, op, Purpose::IdentityCarry, layout.identity);
        let high: Vec<W> = passing
            .masks
            .iter()
            .zip(&passing.high)
            .zip(&shares)
            .enumerate()
            .map(|(k, ((m, rho), s))| {
                // e t + (1 - 2e) [t c]
                let flip = bit_word::<W>(carries, k).wrapping_neg();
                let carry = m.shr(layout.width() - 1).and(flip);
                rho.wrapping_add(carry).wrapping_add(s.xor(flip).wrapping_sub(flip))
            })
            .collect();
        pack(&high, layout.high(), out);
    }
}

fn material(
    layout: &GateLayout<'_>,
    op: usize,
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
            let mut own = stream(p0, op, knot_purpose(knot));
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
