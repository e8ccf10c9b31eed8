//! The order in which the parts of a gate are worked on.
//!
//! Parts are independent, so a party does not wait for the answer to one before it turns to the
//! next: while one message is under way or at the peer, the next is computed. Parts go in stripes,
//! whose parts are computed on all threads and sent in order; the answer to a stripe is waited for
//! once [`AHEAD`] more are on their way, so that what is in flight is bounded. Both parties follow
//! the same order, whatever their number of threads.

use super::client::{self, Asked};
use super::server::{self, Next, Received};
use super::{Wire, deal};
use crate::MpcError;
use crate::bundle::{ClientBundle, ServerBundle, Sink, put};
use crate::job::{Kind, step};
use crate::layout::GateLayout;
use hushwire_fss::Prf;
use hushwire_net::{Link, Phase};
use hushwire_ring::Word;
use rayon::prelude::*;

/// Parts of a stripe.
const STRIPE: usize = 4;

/// Stripes under way before the answer to the first is waited for: with their messages of some ten
/// kilobytes a part, more than what a fast line holds in a round trip, less than what links queue.
const AHEAD: usize = 16;

/// Applies `work` to all items, on all threads if there are several items.
fn map<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> Result<R, MpcError> + Sync + Send,
) -> Result<Vec<R>, MpcError> {
    if items.len() == 1 {
        return items.into_iter().map(work).collect();
    }
    items.into_par_iter().map(work).collect()
}

/// Deals all parts; puts the masks of the output wire in `mask`.
pub(crate) fn deal<W: Word>(
    parts: &[GateLayout<'_>],
    [p0, p1]: [&Prf; 2],
    [client, server]: [&Link; 2],
    mask: &mut [W],
) -> Result<(), MpcError> {
    for stripe in parts.chunks(STRIPE) {
        let dealt = map(stripe.iter().collect(), |part| Ok(deal::deal::<W>(part, p0, p1)))?;
        for (part, dealt) in stripe.iter().zip(dealt) {
            let at = |kind| step(part.op, kind);
            server.send(Phase::Offline, at(Kind::First), dealt.material)?;
            if part.keys_len() > 0 {
                client.send(Phase::Offline, at(Kind::Third), dealt.keys.clone())?;
                server.send(Phase::Offline, at(Kind::Third), dealt.keys)?;
            }
            dealt.mask.place(part, mask);
        }
    }
    Ok(())
}

/// Prepares all parts at the client from its part `v0` of the gate's input; puts its part of the
/// output in `out`.
pub(crate) fn prepare<W: Word>(
    parts: &[GateLayout<'_>],
    p0: &Prf,
    v0: &[W],
    out: &mut [W],
    [helper, server]: [&Link; 2],
    sink: &mut dyn Sink,
) -> Result<(), MpcError> {
    for stripe in parts.chunks(STRIPE) {
        let prepared = map(stripe.iter().collect(), |part| Ok(client::prepare(part, p0, v0)))?;
        for (part, prepared) in stripe.iter().zip(prepared) {
            put(sink, &prepared.message)?;
            server.send(Phase::Offline, step(part.op, Kind::Second), prepared.message)?;
            if part.keys_len() > 0 {
                let at = step(part.op, Kind::Third);
                put(sink, &helper.recv(Phase::Offline, at, part.keys_len())?)?;
            }
            prepared.wire.place(part, out);
        }
    }
    Ok(())
}

/// Receives the server's preprocessing of all parts.
pub(crate) fn receive(
    parts: &[GateLayout<'_>],
    [helper, client]: [&Link; 2],
    sink: &mut dyn Sink,
) -> Result<(), MpcError> {
    for part in parts {
        let from = |link: &Link, kind, len| link.recv(Phase::Offline, step(part.op, kind), len);
        put(sink, &from(helper, Kind::First, part.dealt_len())?)?;
        if part.keys_len() > 0 {
            put(sink, &from(helper, Kind::Third, part.keys_len())?)?;
        }
        put(sink, &from(client, Kind::Second, part.masked_len())?)?;
    }
    Ok(())
}

/// Runs all parts online at the client.
pub(crate) fn ask<W: Word>(
    parts: &[GateLayout<'_>],
    layer: &str,
    p0: &Prf,
    bundle: &mut ClientBundle,
    server: &Link,
) -> Result<(), MpcError> {
    let stripes: Vec<_> = parts.chunks(STRIPE).collect();
    let mut asked: Vec<Vec<Option<Asked<W>>>> = Vec::new();
    for stage in 0..stripes.len() + AHEAD {
        if let Some(stripe) = stripes.get(stage) {
            let mut heard = Vec::with_capacity(stripe.len());
            for part in *stripe {
                let prepared = bundle.take(part.masked_len())?;
                let keys = bundle.take_some(part.keys_len())?;
                let at = step(part.op, Kind::First);
                heard.push((
                    part,
                    prepared,
                    keys,
                    server.recv(Phase::Online, at, part.first_len())?,
                ));
            }
            let answers = map(heard, |(part, prepared, keys, first)| {
                client::answer(part, layer, p0, &prepared, &keys, &first)
            })?;
            let mut waiting = Vec::with_capacity(answers.len());
            for (part, (message, asked)) in stripe.iter().zip(answers) {
                server.send(Phase::Online, step(part.op, Kind::Second), message)?;
                waiting.push(asked);
            }
            asked.push(waiting);
        }
        let Some(answered) = stage.checked_sub(AHEAD) else { continue };
        let mut heard = Vec::new();
        for (part, asked) in stripes[answered].iter().zip(std::mem::take(&mut asked[answered])) {
            if let Some(asked) = asked {
                let at = step(part.op, Kind::Third);
                heard.push((part, asked, server.recv(Phase::Online, at, part.decided_len())?));
            }
        }
        let op = parts[0].op;
        for message in map(heard, |(part, asked, third)| asked.finish(part, layer, p0, &third))? {
            server.send(Phase::Online, step(op, Kind::Fourth), message)?;
        }
    }
    Ok(())
}

/// Runs all parts online at the server on its part `v1` of the input; puts its part of the output
/// in `out`.
pub(crate) fn serve<W: Word>(
    parts: &[GateLayout<'_>],
    layer: &str,
    p1: &Prf,
    bundle: &mut ServerBundle,
    v1: &[W],
    out: &mut [W],
    client: &Link,
) -> Result<(), MpcError> {
    let stripes: Vec<_> = parts.chunks(STRIPE).collect();
    let mut opened = Vec::new();
    let mut decided = Vec::new();
    let mut place = |part: &GateLayout<'_>, wire: Wire<W>| wire.place(part, out);
    for stage in 0..stripes.len() + 2 * AHEAD {
        if let Some(stripe) = stripes.get(stage) {
            let mut stored = Vec::with_capacity(stripe.len());
            for part in *stripe {
                let material = bundle.take(part.dealt_len())?;
                let keys = bundle.take_some(part.keys_len())?;
                stored.push((part, material, keys, bundle.take(part.masked_len())?));
            }
            let firsts = map(stored, |(part, material, keys, masked)| {
                let received = Received { masked: &masked, material: &material, keys: &keys };
                server::open(part, layer, p1, &received, v1)
            })?;
            let mut waiting = Vec::with_capacity(firsts.len());
            for (part, (message, opened)) in stripe.iter().zip(firsts) {
                client.send(Phase::Online, step(part.op, Kind::First), message)?;
                waiting.push(opened);
            }
            opened.push(waiting);
        }
        if let Some((stripe, asked)) = stage
            .checked_sub(AHEAD)
            .and_then(|asked| Some((*stripes.get(asked)?, std::mem::take(&mut opened[asked]))))
        {
            let mut heard = Vec::with_capacity(stripe.len());
            for (part, opened) in stripe.iter().zip(asked) {
                let at = step(part.op, Kind::Second);
                heard.push((part, opened, client.recv(Phase::Online, at, part.second_len())?));
            }
            let next = map(heard, |(part, opened, second)| opened.decide(part, layer, &second))?;
            let mut waiting = Vec::with_capacity(next.len());
            for (part, next) in stripe.iter().zip(next) {
                waiting.push(match next {
                    Next::Done(wire) => {
                        place(part, wire);
                        None
                    }
                    Next::Ask(message, decided) => {
                        client.send(Phase::Online, step(part.op, Kind::Third), message)?;
                        Some(decided)
                    }
                });
            }
            decided.push(waiting);
        }
        if let Some(asked) = stage.checked_sub(2 * AHEAD) {
            let mut heard = Vec::new();
            for (part, decided) in stripes[asked].iter().zip(std::mem::take(&mut decided[asked])) {
                if let (Some(decided), Some(len)) = (decided, part.fourth_len()) {
                    let fourth = client.recv(Phase::Online, step(part.op, Kind::Fourth), len)?;
                    heard.push((part, decided, fourth));
                }
            }
            let finished = map(heard, |(part, decided, fourth)| {
                Ok((part, decided.finish(part, layer, &fourth)?))
            })?;
            finished.into_iter().for_each(|(part, wire)| place(part, wire));
        }
    }
    Ok(())
}
