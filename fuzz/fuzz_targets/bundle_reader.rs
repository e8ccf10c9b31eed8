//! Stored preprocessing of the client, with a server whose own is in order.

#![no_main]

use std::io::Cursor;
use std::sync::LazyLock;
use std::time::Duration;

use hushwire_fixed::Weights;
use hushwire_fuzz::{network, program};
use hushwire_mpc::world::{Keys, Links, offline_records, online};
use hushwire_mpc::{ClientBundle, Comparison, Job, ServerBundle, Stored};
use hushwire_net::LinkOptions;
use libfuzzer_sys::fuzz_target;

struct Bench {
    job: Job,
    weights: Weights<u64>,
    client: Vec<u8>,
    server: Vec<u8>,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let model = network();
    let program = program(&model);
    let weights = Weights::<u64>::quantise(&program, &model.params);
    let job = Job::new(program, 1, Comparison::Dcf);
    let links = Links::in_memory(&LinkOptions::default());
    let (client, server) = offline_records(&job, &weights, &Keys::for_test(1), &links)
        .expect("the offline phase succeeds");
    let (client, server) = (client.to_bytes().to_vec(), server.to_bytes().to_vec());
    Bench { job, weights, client, server }
});

fuzz_target!(init: hushwire_fuzz::seed(vec![BENCH.client.clone()]), |data: &[u8]| {
    let Bench { job, weights, server, .. } = &*BENCH;
    let options = LinkOptions { timeout: Duration::from_millis(20), ..LinkOptions::default() };
    let client = ClientBundle::new(Stored(Cursor::new(data.to_vec())));
    let server = ServerBundle::new(Stored(Cursor::new(server.clone())));
    let input = vec![0.5; job.program.input_len()];
    let links = Links::in_memory(&options);
    if let Ok(logits) = online(job, weights, (client, server), &input, &links) {
        assert_eq!(logits.len(), job.program.output_len());
    }
});
