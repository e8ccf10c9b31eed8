//! What a party sees when its peers die or send something else: an error that says so, soon.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{images, plan, varied};
use hushwire_fixed::{Settings, Weights, lower};
use hushwire_mpc::cost::Prediction;
use hushwire_mpc::world::{Keys, Links, offline, offline_records, online};
use hushwire_mpc::{ClientBundle, Comparison, Job, MpcError, ServerBundle, Stored};
use hushwire_net::{
    FRAME_HEADER_LEN, Header, Interceptor, LinkOptions, Phase, Role, Tapped, Verdict,
};
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

struct Bench {
    job: Job,
    weights: Weights<u32>,
    input: Vec<f32>,
}

impl Bench {
    fn new(comparison: Comparison) -> Bench {
        let model = varied();
        let plan = plan(&model, &[], &Settings::default());
        let program = Arc::new(lower(&model.graph, &plan).unwrap());
        let weights = Weights::quantise(&program, &model.params);
        let input = images(&model, 1, 2).data;
        Bench { job: Job::new(program, 1, comparison), weights, input }
    }

    /// An inference on links where `fault` decides about every frame of one phase.
    fn run(
        &self,
        phase: Phase,
        fault: impl Fn(Tapped, usize) -> Verdict + Send + Clone + 'static,
    ) -> Result<Vec<f32>, MpcError> {
        let options = LinkOptions { timeout: Duration::from_millis(400), ..LinkOptions::default() };
        let links = Links::tapped(&options, || -> Interceptor {
            let (fault, mut count) = (fault.clone(), 0);
            Box::new(move |frame| {
                if frame.header.label.phase != phase {
                    return Verdict::Forward;
                }
                count += 1;
                fault(frame, count)
            })
        });
        let keys = Keys::for_test(9);
        let bundles = offline(&self.job, &self.weights, &keys, &links)?;
        online(&self.job, &self.weights, bundles, &self.input, &links)
    }

    fn messages(&self, phase: Phase, from: Role) -> usize {
        let prediction = Prediction::new(&self.job);
        prediction.phase(phase).iter().filter(|m| m.from == from).count()
    }
}

/// Runs with the fault and expects an error within two seconds, and none without it.
fn refused(
    bench: &Bench,
    what: &str,
    phase: Phase,
    fault: impl Fn(Tapped, usize) -> Verdict + Send + Clone + 'static,
) {
    let start = Instant::now();
    let error = match bench.run(phase, fault) {
        Ok(_) => panic!("{what} in the {phase} phase went unnoticed"),
        Err(error) => error.to_string(),
    };
    assert!(start.elapsed() < Duration::from_secs(2), "{what}: {:?}", start.elapsed());
    assert!(error.len() > 20, "{error}");
}

fn with_len(frame: &Tapped, len: usize) -> Vec<u8> {
    let header = Header { len: len as u32, ..frame.header };
    let mut payload = frame.bytes[FRAME_HEADER_LEN..].to_vec();
    payload.resize(len, 0);
    [header.encode().as_slice(), &payload].concat()
}

#[test]
fn every_party_may_die_at_every_message() {
    for comparison in [Comparison::Digits, Comparison::Dcf] {
        let bench = Bench::new(comparison);
        bench.run(Phase::Online, |_, _| Verdict::Forward).expect("it works without faults");
        for phase in [Phase::Offline, Phase::Online] {
            for from in Role::ALL {
                let last = bench.messages(phase, from);
                for at in [1, last / 2, last].into_iter().filter(|at| *at > 0 && *at <= last) {
                    let sent = Arc::new(AtomicUsize::new(0));
                    refused(&bench, &format!("the death of {from}"), phase, move |frame, _| {
                        let dead =
                            frame.from == from && sent.fetch_add(1, Ordering::SeqCst) + 1 >= at;
                        if dead { Verdict::Cut(Vec::new()) } else { Verdict::Forward }
                    });
                }
            }
        }
    }
}

#[test]
fn wrong_frames_are_refused_with_a_reason() {
    let bench = Bench::new(Comparison::Digits);
    for phase in [Phase::Offline, Phase::Online] {
        refused(&bench, "a lost frame", phase, |_, n| {
            if n == 2 { Verdict::Swallow } else { Verdict::Forward }
        });
        refused(&bench, "a replayed frame", phase, |frame, n| {
            if n == 2 {
                Verdict::Replace([frame.bytes.clone(), frame.bytes].concat())
            } else {
                Verdict::Forward
            }
        });
        refused(&bench, "a shortened message", phase, |frame, n| {
            if n == 2 { Verdict::Replace(with_len(&frame, 3)) } else { Verdict::Forward }
        });
        refused(&bench, "a lengthened message", phase, |frame, n| {
            let len = frame.bytes.len() + 100;
            if n == 2 { Verdict::Replace(with_len(&frame, len)) } else { Verdict::Forward }
        });
        refused(&bench, "an enormous length", phase, |frame, n| {
            let mut bytes = frame.bytes.clone();
            let header = Header { len: u32::MAX, ..frame.header };
            bytes[..FRAME_HEADER_LEN].copy_from_slice(&header.encode());
            if n == 2 { Verdict::Replace(bytes) } else { Verdict::Forward }
        });
        refused(&bench, "another step's message", phase, |frame, n| {
            let label =
                hushwire_net::Label { step: frame.header.label.step + 4, ..frame.header.label };
            let header = Header { label, ..frame.header };
            let mut bytes = frame.bytes.clone();
            bytes[..FRAME_HEADER_LEN].copy_from_slice(&header.encode());
            if n == 2 { Verdict::Replace(bytes) } else { Verdict::Forward }
        });
        refused(&bench, "half a frame and then silence", phase, |frame, n| {
            let half = frame.bytes[..frame.bytes.len() / 2].to_vec();
            if n == 2 { Verdict::Replace(half) } else { Verdict::Forward }
        });
        refused(&bench, "a flipped bit in a header", phase, |mut frame, n| {
            frame.bytes[0] ^= 0x40;
            if n == 2 { Verdict::Replace(frame.bytes) } else { Verdict::Forward }
        });
    }
}

/// A bundle read from bytes.
fn stored(bytes: &[u8]) -> Stored<Cursor<Vec<u8>>> {
    Stored(Cursor::new(bytes.to_vec()))
}

#[test]
fn a_bundle_of_another_job_is_refused() {
    let bench = Bench::new(Comparison::Digits);
    let options = LinkOptions { timeout: Duration::from_millis(400), ..LinkOptions::default() };
    let links = Links::in_memory(&options);
    let keys = Keys::for_test(1);
    let (client, server) = offline_records(&bench.job, &bench.weights, &keys, &links).unwrap();
    let (client, server) = (client.to_bytes(), server.to_bytes());
    let bundles = || (ClientBundle::new(stored(&client)), ServerBundle::new(stored(&server)));
    let other = Job::new(Arc::clone(&bench.job.program), 2, Comparison::Digits);
    let input = [bench.input.clone(), bench.input.clone()].concat();
    let refused = online(&other, &bench.weights, bundles(), &input, &links);
    assert!(matches!(refused, Err(MpcError::Bundle(_))), "{refused:?}");
    let swapped = (ClientBundle::new(stored(&server)), ServerBundle::new(stored(&client)));
    let refused = online(&bench.job, &bench.weights, swapped, &bench.input, &links);
    assert!(matches!(refused, Err(MpcError::Bundle(_))), "the other party's: {refused:?}");
    // Stored and read again, it works for its own job.
    online(&bench.job, &bench.weights, bundles(), &bench.input, &links).unwrap();
}

#[test]
fn damaged_bundles_are_errors() {
    for comparison in [Comparison::Digits, Comparison::Dcf] {
        let bench = Bench::new(comparison);
        let options = LinkOptions { timeout: Duration::from_millis(50), ..LinkOptions::default() };
        let links = Links::in_memory(&options);
        let keys = Keys::for_test(1);
        let (client, server) = offline_records(&bench.job, &bench.weights, &keys, &links).unwrap();
        let (client, server) = (client.to_bytes(), server.to_bytes());
        for of_client in [true, false] {
            let whole = if of_client { client.len() } else { server.len() };
            for cut in [0, 30, 40, whole / 2, whole - 1] {
                let (mut own, mut other) = (client.to_vec(), server.to_vec());
                if of_client {
                    own.truncate(cut)
                } else {
                    other.truncate(cut)
                }
                let bundles = (ClientBundle::new(stored(&own)), ServerBundle::new(stored(&other)));
                let links = Links::in_memory(&options);
                let outcome = online(&bench.job, &bench.weights, bundles, &bench.input, &links);
                assert!(outcome.is_err(), "{cut} of {whole} bytes, {comparison}");
            }
        }
    }
}
