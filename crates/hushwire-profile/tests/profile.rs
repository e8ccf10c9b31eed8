//! Profiles as files, and what is predicted from them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use hushwire_fixed::{Program, Settings, calibrate, lower};
use hushwire_graph::testing::{Attribute, OnnxBuilder};
use hushwire_graph::{Model, Tensor};
use hushwire_mpc::cost::Prediction;
use hushwire_mpc::{Comparison, Job};
use hushwire_net::{Phase, Role};
use hushwire_plan::Plan;
use hushwire_profile::{Hosts, Line, Profile};

#[test]
fn profiles_survive_their_file() {
    let profile = Profile::built_in();
    assert_eq!(Profile::from_text(&profile.to_text()), Ok(profile.clone()));
    let changed = |from: &str, to: &str| Profile::from_text(&profile.to_text().replace(from, to));
    assert!(changed("[machine]", "colour = 1\n[machine]").unwrap_err().contains("colour"));
    assert!(changed("cores = 2", "cores = 0").unwrap_err().contains("cores"));
    assert!(changed("byte_ns = ", "byte_ns = -").unwrap_err().contains("-"));
    assert!(changed("byte_ns = ", "byte_ns = nan #").is_err());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.toml");
    assert!(Profile::load(&path).unwrap_err().to_string().contains("p.toml"));
    std::fs::write(&path, profile.to_text()).unwrap();
    assert_eq!(Profile::load(&path).unwrap(), profile);
}

/// Two layers of 32x32 maps, each with a ReLU.
fn program() -> Arc<Program> {
    let weights = |count: usize| (0..count).map(|i| (i % 7) as f32 / 70.0 - 0.04).collect();
    let (first, second): (Vec<f32>, Vec<f32>) = (weights(16 * 3 * 9), weights(16 * 16 * 9));
    let pads = [("pads", Attribute::Ints(&[1, 1, 1, 1]))];
    let file = OnnxBuilder::new(&[3, 32, 32])
        .floats("w1", &[16, 3, 3, 3], &first)
        .floats("w2", &[16, 16, 3, 3], &second)
        .node_with("Conv", &["input", "w1"], "conv1", &pads)
        .node("Relu", &["conv1"], "relu1")
        .node_with("Conv", &["relu1", "w2"], "conv2", &pads)
        .node("Relu", &["conv2"], "relu2")
        .build("relu2");
    let model = Model::from_onnx_bytes(&file, None).unwrap();
    let image = (0..3 * 32 * 32).map(|i| (i * 31 % 257) as f32 / 128.5 - 1.0).collect();
    let image = Tensor::new(vec![1, 3, 32, 32], image);
    let plan = Plan::exact(&model.graph);
    let plan = calibrate(&model, &plan, &image, &Settings::default()).unwrap();
    Arc::new(lower(&model.graph, &plan).unwrap())
}

const LAN: Line = Line { rtt: 1e-3, bytes_per_second: 125e6 };
const WAN: Line = Line { rtt: 40e-3, bytes_per_second: 12.5e6 };

#[test]
fn slow_lines_take_what_bytes_and_round_trips_take() {
    let profile = Profile::built_in();
    for comparison in [Comparison::Digits, Comparison::Dcf] {
        for batch in [1, 8] {
            let job = Job::new(program(), batch, comparison);
            let prediction = Prediction::new(&job);
            let times = profile.predict(&job, &WAN, Hosts::One);
            let bytes = |phase, from, to| prediction.bytes(phase, from, to) as f64;
            let busiest = [(Role::Client, Role::Server), (Role::Server, Role::Client)]
                .map(|(from, to)| bytes(Phase::Online, from, to) / WAN.bytes_per_second);
            let trips = prediction.rounds as f64 * WAN.rtt;
            assert!(times.online >= trips + busiest[0].max(busiest[1]), "{times:?}");
            assert!(times.online <= 1.3 * (trips + busiest[0] + busiest[1]), "{times:?}");
            let keys = bytes(Phase::Offline, Role::Helper, Role::Server) / WAN.bytes_per_second;
            assert!(times.offline >= keys + 2.0 * WAN.rtt, "{times:?}");
            assert!(times.offline <= 1.3 * (keys + 2.0 * WAN.rtt), "{times:?}");
        }
    }
}

#[test]
fn better_lines_and_more_machines_are_no_slower() {
    let profile = Profile::built_in();
    let job = Job::new(program(), 4, Comparison::Digits);
    let lines = [Line::LOOPBACK, LAN, WAN];
    let times = lines.map(|line| profile.predict(&job, &line, Hosts::One));
    for pair in times.windows(2) {
        assert!(pair[0].offline < pair[1].offline && pair[0].online < pair[1].online, "{times:?}");
    }
    for (line, shared) in lines.iter().zip(&times) {
        let apart = profile.predict(&job, line, Hosts::Three);
        assert!(apart.total() <= shared.total(), "{apart:?} {shared:?}");
    }
    let one = Job::new(program(), 1, Comparison::Digits);
    assert!(profile.predict(&one, &LAN, Hosts::One).total() < times[1].total());
}

#[test]
fn the_comparison_follows_the_line() {
    let profile = Profile::built_in();
    let total = |comparison, rtt, bytes_per_second| {
        let job = Job::new(program(), 1, comparison);
        profile.predict(&job, &Line { rtt, bytes_per_second }, Hosts::Three).total()
    };
    let faster = |rtt, rate| {
        let [digits, dcf] = [Comparison::Digits, Comparison::Dcf].map(|c| total(c, rtt, rate));
        if dcf < digits { Comparison::Dcf } else { Comparison::Digits }
    };
    // Far apart on a fast line round trips count, close together on a slow one bytes do.
    assert_eq!(faster(0.2, 1.25e9), Comparison::Dcf);
    assert_eq!(faster(0.001, 1.25e6), Comparison::Digits);
}
