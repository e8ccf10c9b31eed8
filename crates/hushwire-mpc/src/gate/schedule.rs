//! The order in which the parts of a gate are worked on.
//!
//! Parts are independent, so a party does not wait for the answer to one before it turns to the
//! next: while one message is under way or at the peer, the next is computed. Parts go in stripes,
//! whose parts are computed on all threads and sent in order; the answer to a stripe is waited for
//! once [`AHEAD`] more are on their way, so that what is in flight is bounded. Both parties follow
//! the same order, whatever their number of threads.

use crate::MpcError;
use crate::bundle::{ClientBundle, ServerBundle, Sink, put};
use crate::job::{Kind, step};
use hushwire_fss::Prf;
use hushwire_net::{Link, Phase};
use hushwire_ring::Word;
use rayon::prelude::*;
use zeroize::Zeroizing;

/// The messages of a part of a gate. Online the server speaks first, then each answers the other until
/// nothing is left to say.
pub(crate) trait Messages: Sync {
    /// The operation.
    fn op(&self) -> usize;
    /// Bytes of the helper's material for the server.
    fn dealt_len(&self) -> usize;
    /// Bytes of the helper's keys for client and server; may be zero.
    fn keys_len(&self) -> usize;
    /// Bytes of the client's masked shares for the server.
    fn masked_len(&self) -> usize;
    /// Bytes of the online message with this number: the server's are even, the client's odd.
    fn online_len(&self, number: usize) -> Option<usize>;
}

/// A part of a gate: how it is dealt, prepared and carried out.
pub(crate) trait Part<W: Word>: Messages {
    /// The client's state between two messages.
    type Asking: Send;
    /// The server's.
    type Serving: Send;
    /// Values to put in the part's places.
    type Wire: Send;

    /// Deals the part. The functions are the bundle's, shared with client and server.
    fn deal(&self, p0: &Prf, p1: &Prf) -> Dealt<Self::Wire>;
    /// Prepares the part at the client, from its part of the gate's input.
    fn prepare(&self, p0: &Prf, v0: &[W]) -> Prepared<Self::Wire>;
    /// Puts values in the part's places.
    fn place(&self, wire: &Self::Wire, out: &mut [W]);

    /// The client's state before the first message, from what it prepared and its keys.
    fn begin(&self, prepared: Zeroizing<Vec<u8>>, keys: Zeroizing<Vec<u8>>) -> Self::Asking;
    /// The client's answer to a message, and its state if another will come.
    fn answer(
        &self,
        layer: &str,
        p0: &Prf,
        state: Self::Asking,
        message: &[u8],
    ) -> Result<(Vec<u8>, Option<Self::Asking>), MpcError>;
    /// The server's first message.
    fn open(
        &self,
        layer: &str,
        p1: &Prf,
        received: &Received<'_>,
        v1: &[W],
    ) -> Result<(Vec<u8>, Self::Serving), MpcError>;
    /// What the client's answer leads to at the server.
    fn hear(
        &self,
        layer: &str,
        state: Self::Serving,
        message: &[u8],
    ) -> Result<Next<Self::Serving, Self::Wire>, MpcError>;
}

/// What the helper makes for a part of a gate.
pub(crate) struct Dealt<M> {
    /// For the server.
    pub material: Vec<u8>,
    /// For client and server alike; empty with digit tables.
    pub keys: Vec<u8>,
    /// The mask of the gate's output wire.
    pub mask: M,
}

/// What a client prepares for a part of a gate before the input exists.
pub(crate) struct Prepared<M> {
    /// The message to the server: the client's summand of what will be public.
    pub message: Vec<u8>,
    /// The client's part of the output wire, -r'.
    pub wire: M,
}

/// What a server has received for a gate before the input exists.
pub(crate) struct Received<'a> {
    /// From the client.
    pub masked: &'a [u8],
    /// From the helper.
    pub material: &'a [u8],
    /// From the helper: comparison keys, empty with digits.
    pub keys: &'a [u8],
}

/// What a client's answer leads to.
pub(crate) enum Next<S, M> {
    /// The part's output.
    Done(M),
    /// Another message.
    Say(Vec<u8>, S),
}

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
pub(crate) fn deal<W: Word, P: Part<W>>(
    parts: &[P],
    [p0, p1]: [&Prf; 2],
    [client, server]: [&Link; 2],
    mask: &mut [W],
) -> Result<(), MpcError> {
    for stripe in parts.chunks(STRIPE) {
        let dealt = map(stripe.iter().collect(), |part| Ok(part.deal(p0, p1)))?;
        for (part, dealt) in stripe.iter().zip(dealt) {
            let at = |kind| step(part.op(), kind);
            server.send(Phase::Offline, at(Kind::Material), dealt.material)?;
            if part.keys_len() > 0 {
                client.send(Phase::Offline, at(Kind::Keys), dealt.keys.clone())?;
                server.send(Phase::Offline, at(Kind::Keys), dealt.keys)?;
            }
            part.place(&dealt.mask, mask);
        }
    }
    Ok(())
}

/// Prepares all parts at the client from its part `v0` of the gate's input; puts its part of the
/// output in `out`.
pub(crate) fn prepare<W: Word, P: Part<W>>(
    parts: &[P],
    p0: &Prf,
    v0: &[W],
    out: &mut [W],
    [helper, server]: [&Link; 2],
    sink: &mut dyn Sink,
) -> Result<(), MpcError> {
    for stripe in parts.chunks(STRIPE) {
        let prepared = map(stripe.iter().collect(), |part| Ok(part.prepare(p0, v0)))?;
        for (part, prepared) in stripe.iter().zip(prepared) {
            put(sink, &prepared.message)?;
            server.send(Phase::Offline, step(part.op(), Kind::Masked), prepared.message)?;
            if part.keys_len() > 0 {
                let at = step(part.op(), Kind::Keys);
                put(sink, &helper.recv(Phase::Offline, at, part.keys_len())?)?;
            }
            part.place(&prepared.wire, out);
        }
    }
    Ok(())
}

/// Receives the server's preprocessing of all parts.
pub(crate) fn receive(
    parts: &[impl Messages],
    [helper, client]: [&Link; 2],
    sink: &mut dyn Sink,
) -> Result<(), MpcError> {
    for part in parts {
        let from = |link: &Link, kind, len| link.recv(Phase::Offline, step(part.op(), kind), len);
        put(sink, &from(helper, Kind::Material, part.dealt_len())?)?;
        if part.keys_len() > 0 {
            put(sink, &from(helper, Kind::Keys, part.keys_len())?)?;
        }
        put(sink, &from(client, Kind::Masked, part.masked_len())?)?;
    }
    Ok(())
}

/// Round trips that the longest conversation about a part takes.
pub(crate) fn round_trips<P: Messages>(parts: &[P]) -> usize {
    let trips = |part: &P| (0..).take_while(|n| part.online_len(2 * n).is_some()).count();
    parts.iter().map(trips).max().unwrap_or(0)
}

/// Runs all parts online at the client.
pub(crate) fn ask<W: Word, P: Part<W>>(
    parts: &[P],
    layer: &str,
    p0: &Prf,
    bundle: &mut ClientBundle,
    server: &Link,
) -> Result<(), MpcError> {
    let stripes: Vec<_> = parts.chunks(STRIPE).collect();
    let trips = round_trips(parts);
    let mut states: Vec<Vec<Option<P::Asking>>> = stripes.iter().map(|_| Vec::new()).collect();
    for stage in 0..stripes.len() + trips.saturating_sub(1) * AHEAD {
        for trip in 0..trips {
            let Some(at) = stage.checked_sub(trip * AHEAD).filter(|at| *at < stripes.len()) else {
                continue;
            };
            let mut heard = Vec::new();
            if trip == 0 {
                for part in stripes[at] {
                    let prepared = bundle.take(part.masked_len())?;
                    let keys = bundle.take_some(part.keys_len())?;
                    states[at].push(Some(part.begin(prepared, keys)));
                }
            }
            for (k, (part, state)) in stripes[at].iter().zip(&mut states[at]).enumerate() {
                let (Some(len), Some(state)) = (part.online_len(2 * trip), state.take()) else {
                    continue;
                };
                let message =
                    server.recv(Phase::Online, step(part.op(), Kind::said(2 * trip)), len)?;
                heard.push((k, part, state, message));
            }
            let answers = map(heard, |(k, part, state, message)| {
                Ok((k, part, part.answer(layer, p0, state, &message)?))
            })?;
            for (k, part, (message, state)) in answers {
                let at_step = step(part.op(), Kind::said(2 * trip + 1));
                server.send(Phase::Online, at_step, message)?;
                states[at][k] = state;
            }
        }
    }
    Ok(())
}

/// Runs all parts online at the server on its part `v1` of the input; puts its part of the output
/// in `out`.
pub(crate) fn serve<W: Word, P: Part<W>>(
    parts: &[P],
    layer: &str,
    p1: &Prf,
    bundle: &mut ServerBundle,
    v1: &[W],
    out: &mut [W],
    client: &Link,
) -> Result<(), MpcError> {
    let stripes: Vec<_> = parts.chunks(STRIPE).collect();
    let trips = round_trips(parts);
    let mut states: Vec<Vec<Option<P::Serving>>> = stripes.iter().map(|_| Vec::new()).collect();
    for stage in 0..stripes.len() + trips * AHEAD {
        if let Some(stripe) = stripes.get(stage) {
            let mut stored = Vec::with_capacity(stripe.len());
            for part in *stripe {
                let material = bundle.take(part.dealt_len())?;
                let keys = bundle.take_some(part.keys_len())?;
                stored.push((part, material, keys, bundle.take(part.masked_len())?));
            }
            let firsts = map(stored, |(part, material, keys, masked)| {
                let received = Received { masked: &masked, material: &material, keys: &keys };
                part.open(layer, p1, &received, v1)
            })?;
            for (part, (message, state)) in stripe.iter().zip(firsts) {
                client.send(Phase::Online, step(part.op(), Kind::said(0)), message)?;
                states[stage].push(Some(state));
            }
        }
        for trip in 1..=trips {
            let Some(at) = stage.checked_sub(trip * AHEAD).filter(|at| *at < stripes.len()) else {
                continue;
            };
            let number = 2 * trip - 1;
            let mut heard = Vec::new();
            for (k, (part, state)) in stripes[at].iter().zip(&mut states[at]).enumerate() {
                let (Some(len), Some(state)) = (part.online_len(number), state.take()) else {
                    continue;
                };
                let message =
                    client.recv(Phase::Online, step(part.op(), Kind::said(number)), len)?;
                heard.push((k, part, state, message));
            }
            let next = map(heard, |(k, part, state, message)| {
                Ok((k, part, part.hear(layer, state, &message)?))
            })?;
            for (k, part, next) in next {
                match next {
                    Next::Done(wire) => part.place(&wire, out),
                    Next::Say(message, state) => {
                        let at_step = step(part.op(), Kind::said(number + 1));
                        client.send(Phase::Online, at_step, message)?;
                        states[at][k] = Some(state);
                    }
                }
            }
        }
    }
    Ok(())
}
