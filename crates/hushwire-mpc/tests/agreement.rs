//! The three-party executor and the clear one compute the same numbers.

mod common;

use common::{images, plan, varied};
use hushwire_fixed::{Executor, Settings, Weights, lower};
use hushwire_graph::{Executor as FloatExecutor, Model};
use hushwire_mpc::cost::Prediction;
use hushwire_mpc::world::{Keys, Links, Replay, offline, online};
use hushwire_mpc::{Comparison, Job};
use hushwire_net::{LinkOptions, Phase, Role};
use hushwire_plan::float::{GateHooks, Observed};
use hushwire_plan::{
    ChannelGate, Cluster, Clusters, Gate, Group, Others, Piecewise, Plan, Prototype,
};
use hushwire_ring::Word;
use std::sync::Arc;

const BOTH: [Comparison; 2] = [Comparison::Dcf, Comparison::Digits];

/// As [`agree_in`], in the word that the plan's ring takes.
fn agree(model: &Model, plan: &Plan, batch: usize, comparison: Comparison) -> (Vec<f32>, Vec<f32>) {
    if plan.numbers.is_some_and(|n| n.ring <= 32) {
        agree_in::<u32>(model, plan, batch, comparison)
    } else {
        agree_in::<u64>(model, plan, batch, comparison)
    }
}

/// Runs `batch` inputs through three parties and through the clear executor with the same masks;
/// both must give the same logits to the bit. Gives them and the float executor's.
fn agree_in<W: Word>(
    model: &Model,
    plan: &Plan,
    batch: usize,
    comparison: Comparison,
) -> (Vec<f32>, Vec<f32>) {
    let program = Arc::new(lower(&model.graph, plan).expect("the plan lowers"));
    assert!(program.ring <= W::BITS);
    let weights = Weights::<W>::quantise(&program, &model.params);
    let input = images(model, batch, 7);
    let job = Job::new(Arc::clone(&program), batch, comparison);
    let logits = agree_on(&job, model, &weights, &input.data);
    // In parts, of which more than one stripe is under way.
    agree_on(&job.clone().in_parts_of(24), model, &weights, &input.data);
    let float = FloatExecutor::new(model).run(&input).expect("float").data;
    (logits, float)
}

fn agree_on<W: Word>(job: &Job, model: &Model, weights: &Weights<W>, input: &[f32]) -> Vec<f32> {
    let keys = Keys::for_test(3);
    let links = Links::in_memory(&LinkOptions::default());
    let bundles = offline(job, weights, &keys, &links).expect("offline phase");
    let logits = online(job, weights, bundles, input, &links).expect("online phase");
    let replay = Replay::new(job, &keys).expect("replay");
    let (clear, report) =
        Executor::new(&job.program, weights).run_with(job.batch, input, Some(&replay));
    assert_eq!(report.overflow_count(), 0);
    assert_eq!(logits, clear, "{} of {}", job.comparison, model.graph.nodes.len());
    assert_traffic(job, &links);
    logits
}

/// Every link carried exactly what the cost prediction says, per phase.
fn assert_traffic(job: &Job, links: &Links) {
    let prediction = Prediction::new(job);
    for (link, peer) in [
        (&links.client_server.0, Role::Server),
        (&links.client_helper.0, Role::Helper),
        (&links.server_helper.0, Role::Helper),
    ] {
        let own = link.own();
        let traffic = link.meter().snapshot();
        for phase in [Phase::Offline, Phase::Online] {
            let (sent, received) = (traffic.phase(phase).sent, traffic.phase(phase).received);
            assert_eq!(sent.framed_bytes, prediction.bytes(phase, own, peer), "{phase} {own}");
            assert_eq!(received.framed_bytes, prediction.bytes(phase, peer, own), "{phase} {own}");
        }
        if peer == Role::Server {
            assert_eq!(traffic.phase(Phase::Online).rounds, prediction.rounds as u64);
        }
    }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn exact_gates_agree_bit_for_bit_and_are_near_float() {
    let model = varied();
    let plan = plan(&model, &[], &Settings::default());
    for comparison in BOTH {
        let (logits, float) = agree_in::<u32>(&model, &plan, 3, comparison);
        assert!(largest_difference(&logits, &float) < 0.02, "{logits:?} {float:?}");
        agree_in::<u64>(&model, &plan, 1, comparison);
    }
}

#[test]
fn wide_rings_work() {
    let model = varied();
    let settings = Settings {
        activation_bits: 20,
        weight_bits: 20,
        preferred_ring: 64,
        window_bits: 24,
        ..Settings::default()
    };
    let plan = plan(&model, &[], &settings);
    assert!(plan.numbers.is_some_and(|n| n.ring > 40));
    for comparison in BOTH {
        let (logits, float) = agree(&model, &plan, 2, comparison);
        assert!(largest_difference(&logits, &float) < 1e-4);
    }
}

#[test]
fn narrow_windows_agree() {
    let model = varied();
    for window_bits in [2, 5, 6, 9, 11] {
        let settings = Settings { window_bits, ..Settings::default() };
        let plan = plan(&model, &[], &settings);
        for comparison in BOTH {
            agree(&model, &plan, 2, comparison);
        }
    }
}

#[test]
fn shared_decisions_identity_and_zero_agree() {
    let model = varied();
    let patches = Gate::Patches(vec![
        ChannelGate::Patch(2, 2),
        ChannelGate::Identity,
        ChannelGate::Zero,
        ChannelGate::Patch(3, 1),
    ]);
    let len = 4 * 9 * 9;
    let groups = Gate::Groups {
        list: vec![
            Group { members: (0..40).collect(), form: vec![(0, 3), (50, -2), (323, 1)] },
            Group { members: (100..len).step_by(3).collect(), form: vec![(5, 1)] },
        ],
        others: Others::Identity,
    };
    let zero_or = |others| Gate::Groups { list: vec![], others };
    for gates in [
        vec![(0, patches)],
        vec![(0, groups)],
        vec![(0, Gate::Identity), (2, Gate::Identity)],
        vec![(0, Gate::Zero)],
        vec![(1, zero_or(Others::Exact)), (3, zero_or(Others::Zero))],
        vec![(0, zero_or(Others::Identity))],
    ] {
        let plan = plan(&model, &gates, &Settings::default());
        for comparison in BOTH {
            agree(&model, &plan, 2, comparison);
        }
    }
}

#[test]
fn copied_decisions_agree_and_cost_one_round_trip() {
    let model = varied();
    let names: Vec<String> =
        Plan::exact(&model.graph).sites.iter().map(|site| site.node.clone()).collect();
    let cluster = |gate, form: &[(u32, i32)]| Cluster { gate, form: form.to_vec(), copies: None };
    let (small, large) = (ChannelGate::Patch(1, 2), ChannelGate::Patch(4, 9));
    let copy = |gate, channel| Cluster {
        copies: Some(Prototype { node: names[0].clone(), channel }),
        ..cluster(gate, &[])
    };
    let patches = Gate::Patches(vec![small, large, ChannelGate::Identity, large]);
    let clusters = |of_channel: &[u32], list: Vec<Cluster>| {
        Gate::Clusters(Clusters { of_channel: of_channel.to_vec(), list })
    };
    let shared = clusters(
        &[0, 0, 1, 0],
        vec![cluster(small, &[(0, 2), (3, -1)]), cluster(large, &[(1, 1)])],
    );
    let all = clusters(&[0, 1, 1, 2], vec![copy(small, 0), copy(large, 1), copy(large, 3)]);
    let some = clusters(
        &[3, 0, 1, 2],
        vec![
            copy(small, 0),
            cluster(small, &[(1, 1), (2, 1)]),
            copy(large, 3),
            cluster(ChannelGate::Identity, &[]),
        ],
    );
    let of_clusters = clusters(&[0, 0, 1, 0], vec![copy(small, 3), copy(large, 2)]);
    let mut rounds = Vec::new();
    for (earlier, later) in [(&patches, all), (&patches, some), (&shared, of_clusters)] {
        let plan = plan(&model, &[(0, earlier.clone()), (1, later)], &Settings::default());
        for comparison in BOTH {
            agree(&model, &plan, 3, comparison);
        }
        let program = Arc::new(lower(&model.graph, &plan).expect("the plan lowers"));
        rounds.push(Prediction::new(&Job::new(program, 1, Comparison::Digits)).rounds);
    }
    assert_eq!([rounds[1] - rounds[0], rounds[2]], [1, rounds[0]], "a gate that only copies");
}

/// A continuous function with slopes in eighths, as fits of smooth activations have.
fn bent() -> Piecewise {
    let knots: Vec<f64> = (0..10).map(|i| f64::from(i) / 4.0 - 1.25).collect();
    let slopes = [0.0, -0.125, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.125, 1.0];
    let mut pieces = vec![vec![]];
    let mut constant = 0.0;
    for (i, knot) in knots.iter().enumerate() {
        constant += (slopes[i] - slopes[i + 1]) * knot;
        pieces.push(vec![constant, slopes[i + 1]]);
    }
    Piecewise { input_bits: 8, accumulator_bits: 11, knots, pieces }
}

#[test]
fn piecewise_polynomials_agree_bit_for_bit_and_are_near_float() {
    let model = varied();
    let function = |input_bits, accumulator_bits, knots: &[f64], pieces: &[&[f64]]| Piecewise {
        input_bits,
        accumulator_bits,
        knots: knots.to_vec(),
        pieces: pieces.iter().map(|p| p.to_vec()).collect(),
    };
    // A smooth step of a parabola, jumps between cubics, a polynomial without knots, a constant.
    let parabola = function(9, 22, &[-1.0, 1.0], &[&[], &[0.25, 0.5, 0.25], &[0.0, 1.0]]);
    let cubics =
        function(6, 24, &[-0.5, 0.25], &[&[-0.25], &[0.5, 1.0, -0.5, 0.75], &[1.0, -1.0, 0.25]]);
    let polynomial = function(8, 18, &[], &[&[0.125, 0.5, 0.25]]);
    let constant = function(8, 8, &[], &[&[0.5]]);
    for (gates, window_bits) in [
        (vec![(0, bent()), (1, parabola.clone())], 13),
        (vec![(0, parabola), (1, polynomial), (2, bent())], 9),
        (vec![(0, bent()), (3, constant)], 4),
        (vec![(2, cubics)], 13),
    ] {
        let gates: Vec<(usize, Gate)> =
            gates.into_iter().map(|(site, f)| (site, Gate::Piecewise(f))).collect();
        let settings = Settings { window_bits, ..Settings::default() };
        let plan = plan(&model, &gates, &settings);
        let mut ignore = |_: Observed<'_>| {};
        let mut hooks = GateHooks::new(&model.graph, &plan, &mut ignore);
        let input = images(&model, 2, 7);
        let float = FloatExecutor::new(&model).run_with(&input, &mut hooks).expect("float").data;
        for comparison in BOTH {
            let (logits, _) = agree(&model, &plan, 2, comparison);
            // The values between a knot and the next bit that is looked at may be on either side: where
            // pieces meet that is harmless, and the cubics jump.
            if window_bits == 13 && gates.len() > 1 {
                assert!(largest_difference(&logits, &float) < 0.02, "{logits:?} {float:?}");
            }
        }
    }
}

/// Gates of several blocks in several parts each.
#[test]
fn large_maps_agree() {
    let mut net = common::Net::new(&[1, 64, 64]);
    let input = net.input();
    let a = net.conv(input, 12, 3, 1, 1);
    let a = net.relu(a);
    let b = net.conv(a, 12, 1, 1, 1);
    let b = net.relu(b);
    let c = net.pool(b, 4, 4, 0, false);
    net.gemm(c, 3);
    let model = net.finish();
    let mut channels = vec![ChannelGate::Patch(2, 2); 12];
    channels[3] = ChannelGate::Identity;
    channels[7] = ChannelGate::Zero;
    channels[8] = ChannelGate::Patch(64, 64);
    for gates in [vec![], vec![(0, Gate::Patches(channels)), (1, Gate::Identity)]] {
        let plan = plan(&model, &gates, &Settings::default());
        for comparison in BOTH {
            let program = Arc::new(lower(&model.graph, &plan).expect("the plan lowers"));
            let weights = Weights::<u64>::quantise(&program, &model.params);
            let job = Job::new(program, 2, comparison);
            agree_on(&job, &model, &weights, &images(&model, 2, 5).data);
        }
    }
}

/// What enlarges the result is the client's to do: it costs nothing.
#[test]
fn enlarging_the_result_sends_nothing() {
    let network = |side: usize| {
        let mut net = common::Net::new(&[2, 9, 9]);
        let input = net.input();
        let a = net.conv(input, 3, 3, 1, 1);
        let a = net.relu(a);
        let b = net.conv(a, 3, 1, 1, 1);
        if side > 9 {
            let c = net.enlarge(b, side - 4);
            net.enlarge(c, side);
        }
        net.finish()
    };
    let bytes = |model: &Model| {
        let plan = plan(model, &[], &Settings::default());
        let (logits, float) = agree(model, &plan, 2, Comparison::Digits);
        assert_eq!(logits.len(), float.len());
        assert!(largest_difference(&logits, &float) < 0.02);
        let program = Arc::new(lower(&model.graph, &plan).expect("it lowers"));
        Prediction::new(&Job::new(program, 1, Comparison::Digits)).total(Phase::Online)
    };
    assert_eq!(bytes(&network(9)), bytes(&network(33)));
}
