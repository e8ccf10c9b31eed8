//! Gates and layers, party by party: each runs on one core and what counts is its processor time.

use super::networks::{ELEMENTS, Kind, Network};
use super::{MeasureError, fastest, on_one_core};
use crate::profile::{Convolution, Gate, Gates, Layer, Ns, Words};
use crate::work::levels;
use hushwire_fixed::local;
use hushwire_fixed::program::Local;
use hushwire_mpc::{
    ClientBundle, Comparison, Job, Key, MaskedWeights, MpcError, Records, ServerBundle, Sink,
    WeightMasks, client, helper, server,
};
use hushwire_net::{Link, LinkOptions, Role, memory_pair};
use hushwire_ring::Word;
use std::hint::black_box;
use std::thread;

/// Compared bits of a short and of a long comparison, the sign included: the work of those between
/// lies between.
const SHORT: u32 = 9;
const LONG: u32 = 13;

/// Repetitions of a measurement; the fastest counts.
const REPETITIONS: usize = 9;

/// Work by who does it when: the helper and the client offline, the client and the server online.
type Times = [f64; 4];

/// Measures layers and gates in words of one size.
pub(super) fn measure<W: Word>(convolution: Convolution) -> Result<Words, MeasureError> {
    let layer = times::<W>(Kind::Layer, Comparison::Digits)?;
    let local = on_one_core(sum::<W>)?.0;
    // The input's mask is drawn and packed as a layer's share is.
    let product = convolution.depthwise_ns.times(ELEMENTS as f64);
    let per_output = |time: f64| Ns::from_seconds(time / ELEMENTS as f64);
    let layer_ns = Layer {
        deal_ns: per_output((layer[0] - product) / 2.0),
        prepare_ns: per_output((layer[1] - product) / 2.0),
        serve_ns: per_output(layer[3] - product),
    };
    Ok(Words {
        convolution,
        layer: layer_ns,
        local_ns: per_output(local),
        digits: gates::<W>(&layer, Comparison::Digits)?,
        dcf: gates::<W>(&layer, Comparison::Dcf)?,
    })
}

/// What gates cost beyond the layer in front of them.
fn gates<W: Word>(layer: &Times, comparison: Comparison) -> Result<Gates, MeasureError> {
    let measure = |kind| -> Result<Times, MeasureError> {
        let times = times::<W>(kind, comparison)?;
        Ok(std::array::from_fn(|k| (times[k] - layer[k]) / ELEMENTS as f64))
    };
    let [long, short] = [measure(Kind::Relu(LONG))?, measure(Kind::Relu(SHORT))?];
    let [small, large] = [measure(Kind::Patches(2))?, measure(Kind::Patches(8))?];
    let half = measure(Kind::Half)?;
    let [without, with] = [Kind::Tiny, Kind::TinyRelu].map(|kind| times::<W>(kind, comparison));
    let (without, with) = (without?, with?);
    let gate = |k: usize| {
        let [more, fewer] = [LONG, SHORT].map(|bits| levels(comparison, bits - 1));
        let level = ((long[k] - short[k]) / (more - fewer)).max(0.0);
        let all = level * more;
        // Every element is a member, every fourth or every 64th has a decision.
        let decision = ((small[k] - large[k]) / (1.0 / 4.0 - 1.0 / 64.0)).max(0.0);
        let member = large[k] - decision / 64.0;
        Gate {
            part_ns: Ns::from_seconds(with[k] - without[k]),
            element_ns: Ns::from_seconds(long[k] - all),
            member_ns: Ns::from_seconds(member),
            passing_ns: Ns::from_seconds(2.0 * half[k] - member - decision),
            decision_ns: Ns::from_seconds(decision - all),
            level_ns: Ns::from_seconds(level),
        }
    };
    Ok(Gates { deal: gate(0), prepare: gate(1), ask: gate(2), serve: gate(3) })
}

/// Seconds for a sum of two values of [`ELEMENTS`] elements, for each operand.
fn sum<W: Word>() -> f64 {
    let values = [vec![W::ONE; ELEMENTS], vec![W::ONE; ELEMENTS]];
    let op = Local::Combine { terms: vec![(0, 1), (1, 1)], constant: 0 };
    let time = fastest(|| {
        black_box(local::apply(&op, 1, ELEMENTS, false, |v| &values[v], |_| ELEMENTS));
    });
    time / 2.0
}

/// Seconds for an operation on next to nothing: the network of a layer has four, and both phases
/// together give each party work for all of them.
pub(super) fn operation() -> Result<f64, MeasureError> {
    let [deal, _, _, serve] = times::<u32>(Kind::Tiny, Comparison::Digits)?;
    Ok((deal + serve) / 2.0 / 4.0)
}

/// Seconds for a byte of preprocessing that is kept in memory.
pub(super) fn keep() -> f64 {
    const RECORD: usize = 1 << 16;
    const COUNT: usize = 1 << 8;
    let record = vec![1; RECORD];
    let time = fastest(|| {
        let mut records = Records::default();
        for _ in 0..COUNT {
            // Memory takes whatever it is given.
            let _ = records.put(&record);
        }
        black_box(records);
    });
    time / (RECORD * COUNT) as f64
}

/// Work of one inference, the least of several repetitions.
fn times<W: Word>(kind: Kind, comparison: Comparison) -> Result<Times, MeasureError> {
    let network = Network::<W>::new(kind)?;
    let mut best = [f64::INFINITY; 4];
    for _ in 0..REPETITIONS {
        let times = infer(&network, comparison)?;
        best = std::array::from_fn(|k| best[k].min(times[k]));
    }
    Ok(best)
}

/// One inference over links that hold a whole phase, so that offline each party runs alone.
fn infer<W: Word>(network: &Network<W>, comparison: Comparison) -> Result<Times, MeasureError> {
    let job = &Job::new(network.program.clone(), 1, comparison);
    // There are no secrets here.
    let [model, k02, k12] = &[1, 2, 3].map(|k| Key::new([k; 16]));
    let masks = WeightMasks::<W>::new(job, model);
    let masked = MaskedWeights::mask(job, &network.weights, &masks);
    let queue = 1 << 30;
    let options = LinkOptions { send_queue: queue, recv_queue: queue, ..LinkOptions::default() };
    let pair = |a, b| memory_pair(a, b, &options);
    let (client_server, server_client) = pair(Role::Client, Role::Server);
    let (client_helper, helper_client) = pair(Role::Client, Role::Helper);
    let (server_helper, helper_server) = pair(Role::Server, Role::Helper);

    let deal = || helper::deal(job, &masked, k02, k12, &helper_client, &helper_server);
    let dealing = timed(deal)?.1;
    let mut mine = Records::default();
    let prepare = || client::prepare(job, &masks, k02, &client_helper, &client_server, &mut mine);
    let preparing = timed(prepare)?.1;
    let mut theirs = Records::default();
    let receive = || server::prepare(job, k12, &server_helper, &server_client, &mut theirs);
    timed(receive)?;
    let (asking, serving) = online(
        || {
            client::infer::<W>(job, ClientBundle::new(mine), &network.image, &client_server)
                .map(drop)
        },
        || server::infer(job, &network.weights, ServerBundle::new(theirs), &server_client),
    )?;
    // Links take a moment to close; nothing is left to be said.
    let links = [client_server, server_client, client_helper, helper_client];
    links.into_iter().chain([server_helper, helper_server]).for_each(Link::abort);
    Ok([dealing, preparing, asking, serving])
}

fn timed<T: Send>(
    run: impl FnOnce() -> Result<T, MpcError> + Send,
) -> Result<(T, f64), MeasureError> {
    let (result, time) = on_one_core(run)?;
    Ok((result?, time))
}

/// Both parties at once.
fn online(
    client: impl FnOnce() -> Result<(), MpcError> + Send,
    server: impl FnOnce() -> Result<(), MpcError> + Send,
) -> Result<(f64, f64), MeasureError> {
    thread::scope(|scope| {
        let serving = scope.spawn(|| timed(server));
        let asking = timed(client);
        let serving = serving.join().map_err(|_| MeasureError::Panic)?;
        Ok((asking?.1, serving?.1))
    })
}
