//! Parameters, keys and ciphertexts of encrypted vectors.

#![no_main]

use std::sync::LazyLock;

use hushwire_ckks::{
    Ciphertext, EvaluationKeys, Evaluator, ParameterSpec, Parameters, PublicKey, Ring, Rng,
    SecretKey, SwitchKey,
};
use libfuzzer_sys::fuzz_target;

static PARAMETERS: LazyLock<Parameters> = LazyLock::new(|| {
    Parameters::danger_insecure(ParameterSpec {
        ring: Ring::Complex,
        log_degree: 5,
        data_bits: vec![45, 35],
        special_bits: vec![45],
        log_scale: 30,
    })
    .expect("the parameters are well formed")
});

fn seeds() -> Vec<Vec<u8>> {
    let params = &*PARAMETERS;
    let mut rng = Rng::danger_from_seed(1);
    let secret = SecretKey::generate(params, &mut rng);
    let gadget = params.gadget(1);
    let switch = secret.rotation_key(1, gadget, &mut rng).expect("the gadget is possible");
    let mut keys = EvaluationKeys::new(params);
    keys.insert(switch.clone()).expect("the key has these parameters");
    let plain = params.encode(&[1.0, 2.0], 1, 1e9).expect("the values fit");
    let fresh = secret.encrypt(&plain, &mut rng).expect("the plaintext has these parameters");
    let sum = Evaluator::new(keys.clone()).add(&fresh, &fresh).expect("the operands agree");
    vec![
        params.to_bytes(),
        secret.danger_to_bytes().to_vec(),
        secret.public_key(&mut rng).to_bytes(),
        switch.to_bytes(),
        keys.to_bytes(),
        fresh.to_bytes(),
        sum.to_bytes(),
    ]
}

/// What is read has one encoding.
fn same(data: &[u8], again: Vec<u8>) {
    assert_eq!(again, data);
}

fuzz_target!(init: hushwire_fuzz::seed(seeds()), |data: &[u8]| {
    let params = &*PARAMETERS;
    let _ = ParameterSpec::from_bytes(data);
    if let Ok(key) = SecretKey::from_bytes(params, data) {
        same(data, key.danger_to_bytes().to_vec());
    }
    if let Ok(key) = PublicKey::from_bytes(params, data) {
        same(data, key.to_bytes());
    }
    if let Ok(key) = SwitchKey::from_bytes(params, data) {
        same(data, key.to_bytes());
    }
    if let Ok(keys) = EvaluationKeys::from_bytes(params, data) {
        same(data, keys.to_bytes());
    }
    if let Ok(ciphertext) = Ciphertext::from_bytes(params, data) {
        same(data, ciphertext.to_bytes());
        let evaluator = Evaluator::new(EvaluationKeys::new(params));
        evaluator.neg(&ciphertext).expect("what was read can be computed with");
    }
});
