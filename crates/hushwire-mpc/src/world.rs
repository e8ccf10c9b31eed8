//! Three parties in memory: the test bench of the protocol.

use crate::curve::{self, CurveLayout};
use crate::gate::client as gate;
use crate::gate::schedule::Part;
use crate::job::ring;
use crate::keys::Purpose;
use crate::{
    ClientBundle, Job, Key, MaskedWeights, MpcError, Records, ServerBundle, WeightMasks, client,
    helper, server,
};
use hushwire_fixed::program::Op;
use hushwire_fixed::{Masks, Weights};
use hushwire_net::{Interceptor, Link, LinkOptions, Role, memory_pair, memory_pair_with};
use hushwire_ring::{Bits, Word};

/// The keys that sessions would agree on.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Of the model, between client and server.
    pub model: Key,
    /// Of the bundle, between client and helper.
    pub k02: Key,
    /// Of the bundle, between server and helper.
    pub k12: Key,
}

impl Keys {
    /// Keys that are different for every seed. Tests only: real keys come from key agreement.
    pub fn for_test(seed: u64) -> Keys {
        let key = |tag: u8| {
            let mut bytes = [tag; 16];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            Key::new(bytes)
        };
        Keys { model: key(1), k02: key(2), k12: key(3) }
    }
}

/// Both ends of the links between three parties.
pub struct Links {
    /// Client and server.
    pub client_server: (Link, Link),
    /// Client and helper.
    pub client_helper: (Link, Link),
    /// Server and helper.
    pub server_helper: (Link, Link),
}

impl Links {
    /// Links in memory on which `interceptor` makes someone listen in, one for each pair.
    pub fn tapped(options: &LinkOptions, mut interceptor: impl FnMut() -> Interceptor) -> Links {
        let mut pair = |a, b| memory_pair_with(a, b, options, interceptor());
        Links {
            client_server: pair(Role::Client, Role::Server),
            client_helper: pair(Role::Client, Role::Helper),
            server_helper: pair(Role::Server, Role::Helper),
        }
    }

    /// Links in memory.
    pub fn in_memory(options: &LinkOptions) -> Links {
        Links {
            client_server: memory_pair(Role::Client, Role::Server, options),
            client_helper: memory_pair(Role::Client, Role::Helper, options),
            server_helper: memory_pair(Role::Server, Role::Helper, options),
        }
    }
}

/// Runs the offline phase.
///
/// # Errors
/// The first party's error.
pub fn offline<W: Word>(
    job: &Job,
    weights: &Weights<W>,
    keys: &Keys,
    links: &Links,
) -> Result<(ClientBundle, ServerBundle), MpcError> {
    let (mine, theirs) = offline_records(job, weights, keys, links)?;
    Ok((ClientBundle::new(mine), ServerBundle::new(theirs)))
}

/// Runs the offline phase and gives the records of the bundles of client and server.
///
/// # Errors
/// The first party's error.
pub fn offline_records<W: Word>(
    job: &Job,
    weights: &Weights<W>,
    keys: &Keys,
    links: &Links,
) -> Result<(Records, Records), MpcError> {
    let masks = WeightMasks::<W>::new(job, &keys.model);
    let masked = MaskedWeights::mask(job, weights, &masks);
    std::thread::scope(|scope| {
        let (to_client, to_server) = (&links.client_helper.1, &links.server_helper.1);
        let dealing =
            scope.spawn(|| helper::deal(job, &masked, &keys.k02, &keys.k12, to_client, to_server));
        let serving = scope.spawn(|| {
            let mut records = Records::default();
            let (helper, client) = (&links.server_helper.0, &links.client_server.1);
            server::prepare(job, &keys.k12, helper, client, &mut records).map(|()| records)
        });
        let (helper, server) = (&links.client_helper.0, &links.client_server.0);
        let mut records = Records::default();
        let prepared = client::prepare(job, &masks, &keys.k02, helper, server, &mut records);
        joined(dealing.join())?;
        let theirs = joined(serving.join())?;
        prepared?;
        Ok((records, theirs))
    })
}

/// Runs the online phase and gives the logits.
///
/// # Errors
/// The first party's error.
pub fn online<W: Word>(
    job: &Job,
    weights: &Weights<W>,
    bundles: (ClientBundle, ServerBundle),
    input: &[f32],
    links: &Links,
) -> Result<Vec<f32>, MpcError> {
    let (mine, theirs) = bundles;
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| server::infer(job, weights, theirs, &links.client_server.1));
        let logits = client::infer::<W>(job, mine, input, &links.client_server.0);
        joined(serving.join())?;
        logits
    })
}

/// The result of a party's thread.
fn joined<T>(result: std::thread::Result<Result<T, MpcError>>) -> Result<T, MpcError> {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The randomness of a bundle, seen from outside: with it the clear executor repeats every rounding
/// of the protocol, so that both agree bit for bit.
pub struct Replay<W: Word> {
    job: Job,
    keys: Keys,
    parts: Vec<Vec<W>>,
    openings: Vec<Vec<W>>,
}

impl<W: Word> Replay<W> {
    /// The randomness that `keys` give for `job`.
    ///
    /// # Errors
    /// A window that the comparison does not support.
    pub fn new(job: &Job, keys: &Keys) -> Result<Self, MpcError> {
        let masks = WeightMasks::<W>::new(job, &keys.model);
        let mut parts = vec![Vec::new(); job.program.ops.len()];
        let mut openings = vec![Vec::new(); job.program.ops.len()];
        let p1 = keys.k12.prf();
        client::walk(job, &masks, &keys.k02.prf(), &mut |i, reading, part, out| {
            parts[i] = part.to_vec();
            let mut opens = |m0: Vec<W>, m1: Vec<W>| {
                openings[i].extend(m0.iter().zip(&m1).map(|(a, b)| a.wrapping_add(*b)));
            };
            match reading {
                client::Reading::Gate(layouts, p0) => {
                    for layout in layouts {
                        let half = |prf| layout.words(prf, Purpose::Opening, layout.opened);
                        opens(half(p0), half(&p1));
                        gate::prepare(layout, p0, part).wire.place(layout, out);
                    }
                }
                client::Reading::Curve(layouts, p0) => {
                    for layout in layouts {
                        opens(layout.mask_half(p0), layout.mask_half(&p1));
                        layout.place(&layout.prepare(p0, part).wire, out);
                    }
                }
                client::Reading::Open { .. } => {}
            }
            Ok(())
        })?;
        Ok(Replay { job: job.clone(), keys: keys.clone(), parts, openings })
    }
}

impl<W: Word> Masks<W> for Replay<W> {
    fn client_part(&self, op: usize) -> &[W] {
        &self.parts[op]
    }

    fn opening(&self, op: usize) -> &[W] {
        &self.openings[op]
    }

    fn curve_part(&self, op: usize, u: &[W], selected: &[Bits]) -> Vec<W> {
        let Op::Curve(curve) = &self.job.program.ops[op] else { return Vec::new() };
        let (p0, p1) = (self.keys.k02.prf(), self.keys.k12.prf());
        let ring = ring(curve.width);
        let of_part = |layout: &CurveLayout<'_>| {
            let at = layout.elements.clone();
            let masks = &self.openings[op][at.clone()];
            let pairs = u[at.clone()].iter().zip(masks);
            let public: Vec<W> = pairs.map(|(u, m)| ring.reduce(u.wrapping_add(*m))).collect();
            let halves = layout.decision_masks(&p0).into_iter().zip(layout.decision_masks(&p1));
            let open = |(bits, (c0, c1)): (&Bits, (Bits, Bits))| {
                let own = Bits::from_fn(at.len(), |i| bits.get(at.start + i));
                own.xor(&c0).xor(&c1)
            };
            let e: Vec<Bits> = selected.iter().zip(halves).map(open).collect();
            curve::share(layout, &p0, &public, &e)
        };
        CurveLayout::parts(&self.job, op, curve).iter().flat_map(of_part).collect()
    }
}
