//! Message statistics on whole networks: what is sent looks random, whatever the input and whatever
//! the weights; and the tests used for that do notice randomness that is used twice.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{images, plan, varied};
use hushwire_fixed::{Settings, Weights, lower};
use hushwire_graph::{Model, Params, Tensor};
use hushwire_mpc::world::{Keys, Links, offline, online};
use hushwire_mpc::{Comparison, Job};
use hushwire_net::{FRAME_HEADER_LEN, Interceptor, LinkOptions, Phase, Role, Verdict};
use hushwire_plan::{ChannelGate, Cluster, Clusters, Gate, Plan, Prototype};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// All messages of each phase and route: phase, sender, receiver.
type Streams = BTreeMap<(Phase, Role, Role), Vec<u8>>;

const BATCH: usize = 40;

/// Runs a network and gives all that is sent, joined per route.
fn record(
    model: &Model,
    gates: &[(usize, Gate)],
    params: &Params,
    comparison: Comparison,
    input: &Tensor,
    seed: u64,
) -> Streams {
    let plan = plan(model, gates, &Settings::default());
    let program = Arc::new(lower(&model.graph, &plan).unwrap());
    let weights = Weights::<u32>::quantise(&program, params);
    let job = Job::new(program, BATCH, comparison);
    let seen = Arc::new(Mutex::new(Streams::new()));
    let mut pairs =
        [(Role::Client, Role::Server), (Role::Client, Role::Helper), (Role::Server, Role::Helper)]
            .into_iter();
    let links = Links::tapped(&LinkOptions::default(), || -> Interceptor {
        let (seen, (a, b)) = (Arc::clone(&seen), pairs.next().unwrap());
        Box::new(move |frame| {
            let to = if frame.from == a { b } else { a };
            let key = (frame.header.label.phase, frame.from, to);
            let payload = &frame.bytes[FRAME_HEADER_LEN..];
            seen.lock().unwrap().entry(key).or_default().extend_from_slice(payload);
            Verdict::Forward
        })
    });
    let keys = Keys::for_test(seed);
    let bundles = offline(&job, &weights, &keys, &links).unwrap();
    online(&job, &weights, bundles, &input.data, &links).unwrap();
    let streams = std::mem::take(&mut *seen.lock().unwrap());
    assert!(streams.values().all(|s| s.len() > 4096), "enough to test");
    streams
}

/// Standard deviations by which `x` is off.
fn score(x: f64, mean: f64, variance: f64) -> f64 {
    (x - mean).abs() / variance.sqrt()
}

/// The worst score over tests for frequency of bits, frequency of bytes, and correlation of bytes
/// with those `lag` later.
fn worst_score(bytes: &[u8]) -> f64 {
    let n = bytes.len() as f64;
    let ones: u32 = bytes.iter().map(|b| b.count_ones()).sum();
    let monobit = score(f64::from(ones), 4.0 * n, 2.0 * n);
    let mut counts = [0f64; 256];
    bytes.iter().for_each(|b| counts[usize::from(*b)] += 1.0);
    let expected = n / 256.0;
    let chi: f64 = counts.iter().map(|c| (c - expected).powi(2) / expected).sum();
    let frequency = score(chi, 255.0, 510.0);
    let correlation = [1, 2, 4].map(|lag| {
        let equal: u32 = bytes.iter().zip(&bytes[lag..]).map(|(a, b)| (a ^ b).count_ones()).sum();
        let pairs = n - lag as f64;
        score(f64::from(equal), 4.0 * pairs, 2.0 * pairs)
    });
    correlation.into_iter().fold(monobit.max(frequency), f64::max)
}

/// Five standard deviations: with the few dozen tests below, a wrong alarm is one in 10,000; the
/// keys are fixed, so there is none.
const ALARM: f64 = 5.0;

/// The same bytes as a second stream would show if both were independent: nothing in their
/// difference.
fn difference(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

fn constant(model: &Model, value: f32) -> Tensor {
    let mut tensor = images(model, BATCH, 3);
    tensor.data.fill(value);
    tensor
}

fn zero_weights(model: &Model) -> Params {
    let zeros = model.params.iter().map(|(_, t)| Tensor::zeros(&t.shape)).collect();
    Params::new(zeros)
}

/// Patches at the first activation, and decisions of theirs beside others at the second.
fn copying(model: &Model) -> Vec<(usize, Gate)> {
    let cluster = |gate, form: &[(u32, i32)]| Cluster { gate, form: form.to_vec(), copies: None };
    let (small, large) = (ChannelGate::Patch(1, 2), ChannelGate::Patch(3, 3));
    let node = &Plan::exact(&model.graph).sites[0].node;
    let copy = |gate, channel| Cluster {
        copies: Some(Prototype { node: node.clone(), channel }),
        ..cluster(gate, &[])
    };
    let list = vec![copy(small, 0), copy(large, 1), cluster(small, &[(1, 1), (2, 1)])];
    vec![
        (0, Gate::Patches(vec![small, large, ChannelGate::Identity, large])),
        (1, Gate::Clusters(Clusters { of_channel: vec![0, 2, 2, 1], list })),
    ]
}

#[test]
fn messages_look_random_whatever_input_and_weights() {
    let model = varied();
    let all = [Comparison::Digits, Comparison::Dcf];
    for (gates, comparison) in all.into_iter().flat_map(|c| [(vec![], c), (copying(&model), c)]) {
        looks_random(&model, &gates, comparison);
    }
}

fn looks_random(model: &Model, gates: &[(usize, Gate)], comparison: Comparison) {
    let zeros = zero_weights(model);
    let cases = [
        ("an image", &model.params, images(model, BATCH, 5)),
        ("all black", &model.params, constant(model, 0.0)),
        ("all bright", &model.params, constant(model, 1.0)),
        ("no weights", &zeros, images(model, BATCH, 5)),
        ("nothing at all", &zeros, constant(model, 0.0)),
    ];
    let mut first: Option<Streams> = None;
    for (seed, (what, params, input)) in cases.into_iter().enumerate() {
        let streams = record(model, gates, params, comparison, &input, 40 + seed as u64);
        for (route, bytes) in &streams {
            let worst = worst_score(bytes);
            assert!(worst < ALARM, "{comparison}, {what}, {route:?}: {worst}");
            if let Some(first) = &first {
                assert_eq!(first[route].len(), bytes.len(), "sizes depend on the job alone");
                let worst = worst_score(&difference(&first[route], bytes));
                assert!(worst < ALARM, "{comparison}, {what} against the first, {route:?}");
            }
        }
        first.get_or_insert(streams);
    }
}

#[test]
fn a_bundle_used_twice_fails_the_same_tests() {
    let model = varied();
    let record = |input: &Tensor| record(&model, &[], &model.params, Comparison::Digits, input, 60);
    let (a, b) = (record(&constant(&model, 0.0)), record(&constant(&model, 1.0)));
    for route in a.keys().filter(|(phase, ..)| *phase == Phase::Online) {
        let worst = worst_score(&difference(&a[route], &b[route]));
        assert!(worst > 10.0 * ALARM, "the reuse went unnoticed on {route:?}: {worst}");
    }
}
