//! What a client of encrypted inference reads from a server, and a server from a client: interfaces
//! and key sets.

#![no_main]

use std::sync::LazyLock;

use hushwire_ckks::Parameters;
use hushwire_he::{
    CkksOwner, Interface, KeyNeeds, KeySet, Place, Port, danger_insecure_parameters,
};
use libfuzzer_sys::fuzz_target;

static SMALL: LazyLock<Parameters> = LazyLock::new(|| {
    let spec =
        hushwire_he::Parameters { log_degree: 5, data_bits: vec![45, 35], special_bits: vec![45] };
    danger_insecure_parameters(&spec).expect("the parameters are well formed")
});

fn needs() -> KeyNeeds {
    KeyNeeds { product: Some(1), rotations: [(1, 1)].into() }
}

fn seeds() -> Vec<Vec<u8>> {
    let port = |elements, log_scale| Port { elements, place: Place::Batched, level: 1, log_scale };
    let interface = Interface {
        parameters: hushwire_he::Parameters {
            log_degree: 12,
            data_bits: vec![30, 30],
            special_bits: vec![40],
        },
        needs: needs(),
        input: port(3, 20.0),
        output: port(2, 30.0),
    };
    let owner = CkksOwner::generate(&SMALL).expect("the system has randomness");
    let keys = owner.keys(&needs(), || ()).expect("the levels are there");
    vec![postcard::to_stdvec(&interface).expect("plain data serialises"), keys.to_bytes()]
}

fuzz_target!(init: hushwire_fuzz::seed(seeds()), |data: &[u8]| {
    if let Ok(interface) = postcard::from_bytes::<Interface>(data) {
        // Building the tables of every parameter set would leave no time for anything else.
        let primes = interface.parameters.data_bits.len() + interface.parameters.special_bits.len();
        if primes <= 4 && interface.parameters.log_degree <= 12 {
            let _ = interface.check();
        }
    }
    if let Ok(keys) = KeySet::from_bytes(&SMALL, &needs(), data) {
        assert_eq!(keys.to_bytes(), data);
    }
});
