//! Stored preprocessing, of the client and of the server.

#![no_main]

use hushwire_fixed::Weights;
use hushwire_fuzz::{network, program};
use hushwire_mpc::world::{Keys, Links, offline};
use hushwire_mpc::{ClientBundle, Comparison, Job, ServerBundle};
use hushwire_net::LinkOptions;
use libfuzzer_sys::fuzz_target;

fn seeds() -> Vec<Vec<u8>> {
    let model = network();
    let program = program(&model);
    let weights = Weights::<u64>::quantise(&program, &model.params);
    let mut seeds = Vec::new();
    for comparison in [Comparison::Dcf, Comparison::Digits] {
        let job = Job::new(program.clone(), 1, comparison);
        let links = Links::in_memory(&LinkOptions::default());
        let (client, server) = offline(&job, &weights, &Keys::for_test(1), &links)
            .expect("the offline phase succeeds");
        seeds.extend([client.to_bytes().to_vec(), server.to_bytes().to_vec()]);
    }
    seeds
}

fuzz_target!(init: hushwire_fuzz::seed(seeds()), |data: &[u8]| {
    if let Ok(bundle) = ClientBundle::from_bytes(data) {
        let bytes = bundle.to_bytes();
        let again = ClientBundle::from_bytes(&bytes).expect("a written bundle reads");
        assert_eq!(*again.to_bytes(), *bytes);
        let _ = format!("{bundle:?}");
    }
    if let Ok(bundle) = ServerBundle::from_bytes(data) {
        let bytes = bundle.to_bytes();
        let again = ServerBundle::from_bytes(&bytes).expect("a written bundle reads");
        assert_eq!(*again.to_bytes(), *bytes);
    }
});
