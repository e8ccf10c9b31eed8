//! What is written is read again, and nothing else.

#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

use hushwire_ckks::{
    Ciphertext, CkksError, EvaluationKeys, Evaluator, ParameterSpec, Parameters, PublicKey, Ring,
    Rng, SecretKey, SwitchKey,
};
use proptest::prelude::*;

fn params(ring: Ring) -> Parameters {
    Parameters::danger_insecure(ParameterSpec {
        ring,
        log_degree: 5,
        data_bits: vec![45, 35, 35],
        special_bits: vec![45, 40],
        log_scale: 30,
    })
    .unwrap()
}

struct Bytes {
    params: Parameters,
    secret: SecretKey,
    ciphertexts: Vec<Vec<u8>>,
    public: Vec<u8>,
    switch: Vec<u8>,
    keys: Vec<u8>,
}

fn bytes(ring: Ring) -> Bytes {
    let params = params(ring);
    let mut rng = Rng::danger_from_seed(3);
    let secret = SecretKey::generate(&params, &mut rng);
    let plain = params.encode(&[1.0, -2.0, 3.0], 2, params.default_scale()).unwrap();
    let fresh = secret.encrypt(&plain, &mut rng).unwrap();
    let public = secret.public_key(&mut rng);
    let mut keys = EvaluationKeys::new(&params);
    for level in [2, 1] {
        keys.insert(secret.relinearisation_key(params.gadget(level), &mut rng).unwrap()).unwrap();
    }
    let switch = secret.rotation_key(3, params.gadget(2), &mut rng).unwrap();
    keys.insert(switch.clone()).unwrap();
    keys.insert(secret.rotation_key(-1, params.gadget(2), &mut rng).unwrap()).unwrap();
    let evaluator = Evaluator::new(keys.clone());
    let ciphertexts = [
        evaluator.rotate(&fresh, 3).unwrap(),
        evaluator.drop_to_level(&fresh, 1).unwrap(),
        evaluator.tensor(&fresh, &fresh).unwrap(),
        public.encrypt(&plain, &mut rng).unwrap(),
        fresh,
    ];
    Bytes {
        ciphertexts: ciphertexts.iter().map(Ciphertext::to_bytes).collect(),
        public: public.to_bytes(),
        switch: switch.to_bytes(),
        keys: keys.to_bytes(),
        params,
        secret,
    }
}

/// A reader, back to bytes.
type Again<'a> = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, CkksError> + 'a>;

fn readers(b: &Bytes) -> Vec<(Vec<u8>, Again<'_>)> {
    let p = &b.params;
    let mut out: Vec<(Vec<u8>, Again<'_>)> = b
        .ciphertexts
        .iter()
        .map(|c| {
            let read: Again<'_> = Box::new(|x| Ciphertext::from_bytes(p, x).map(|c| c.to_bytes()));
            (c.clone(), read)
        })
        .collect();
    out.push((b.public.clone(), Box::new(|x| PublicKey::from_bytes(p, x).map(|k| k.to_bytes()))));
    out.push((b.switch.clone(), Box::new(|x| SwitchKey::from_bytes(p, x).map(|k| k.to_bytes()))));
    out.push((
        b.keys.clone(),
        Box::new(|x| EvaluationKeys::from_bytes(p, x).map(|k| k.to_bytes())),
    ));
    out.push((
        b.secret.danger_to_bytes().to_vec(),
        Box::new(|x| SecretKey::from_bytes(p, x).map(|k| k.danger_to_bytes().to_vec())),
    ));
    out
}

#[test]
fn bytes_come_back() {
    for ring in [Ring::Complex, Ring::Real] {
        let b = bytes(ring);
        for (bytes, read) in readers(&b) {
            assert_eq!(read(&bytes).unwrap(), bytes);
        }
        let again = SecretKey::from_bytes(&b.params, &b.secret.danger_to_bytes()).unwrap();
        for bytes in &b.ciphertexts {
            let ciphertext = Ciphertext::from_bytes(&b.params, bytes).unwrap();
            assert_eq!(
                *again.decrypt(&ciphertext).unwrap(),
                *b.secret.decrypt(&ciphertext).unwrap()
            );
        }
        // A fresh ciphertext takes half the room: 38 bytes of header, 27 of description and seed.
        assert_eq!(b.ciphertexts[4].len(), 38 + 27 + 32 * (45 + 35 + 35) / 8);
        assert_eq!(b.ciphertexts[3].len(), 38 + 11 + 2 * 32 * (45 + 35 + 35) / 8);
    }
}

#[test]
fn keys_that_were_read_work() {
    let b = bytes(Ring::Real);
    let keys = EvaluationKeys::from_bytes(&b.params, &b.keys).unwrap();
    let public = PublicKey::from_bytes(&b.params, &b.public).unwrap();
    let plain = b.params.encode(&[5.0, 6.0, 7.0, 8.0], 2, b.params.default_scale()).unwrap();
    let x = public.encrypt(&plain, &mut Rng::danger_from_seed(8)).unwrap();
    let evaluator = Evaluator::new(keys);
    let y = evaluator.rotate(&evaluator.mul(&x, &x).unwrap(), 3).unwrap();
    assert!((b.secret.decrypt(&y).unwrap()[0] - 64.0).abs() < 1e-3);
}

#[test]
fn parameters_are_checked_when_read() {
    let secure = Parameters::new(ParameterSpec {
        ring: Ring::Real,
        log_degree: 12,
        data_bits: vec![40, 29],
        special_bits: vec![40],
        log_scale: 29,
    })
    .unwrap();
    let bytes = secure.to_bytes();
    assert_eq!(Parameters::from_bytes(&bytes).unwrap(), secure);
    for len in 0..bytes.len() {
        assert!(Parameters::from_bytes(&bytes[..len]).is_err());
    }
    let insecure = params(Ring::Real).to_bytes();
    assert!(ParameterSpec::from_bytes(&insecure).is_ok());
    assert!(matches!(Parameters::from_bytes(&insecure), Err(CkksError::Parameters(_))));
    let mut large = bytes.clone();
    large[10] = 41;
    assert!(matches!(Parameters::from_bytes(&large), Err(CkksError::Insecure { .. })));
}

#[test]
fn truncated_extended_and_foreign_bytes_are_refused() {
    let (b, other) = (bytes(Ring::Complex), bytes(Ring::Real));
    for ((bytes, read), (foreign, _)) in readers(&b).iter().zip(readers(&other)) {
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err(), "{len} of {}", bytes.len());
        }
        assert!(read(&[&bytes[..], &[0]].concat()).is_err());
        assert!(matches!(read(&foreign), Err(CkksError::ForeignParameters { .. })));
    }
}

#[test]
fn levels_scales_and_residues_are_checked() {
    let b = bytes(Ring::Complex);
    let fresh = &b.ciphertexts[3];
    let change = |f: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fresh.clone();
        f(&mut bytes);
        Ciphertext::from_bytes(&b.params, &bytes).unwrap_err()
    };
    let scale = |x: f64| change(&|b| b[41..49].copy_from_slice(&x.to_le_bytes()));
    assert!(matches!(change(&|b| b[38] = 3), CkksError::Level { level: 3, .. }));
    assert!(matches!(change(&|b| b[38] = 0), CkksError::Format { .. }));
    assert!(matches!(change(&|b| b[39] = 1), CkksError::Format { .. }));
    assert!(matches!(change(&|b| b[40] = 2), CkksError::Format { .. }));
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e40] {
        assert!(matches!(scale(bad), CkksError::Scale { .. }), "{bad}");
    }
    // All ones are no residue.
    assert!(matches!(change(&|b| b[49..60].fill(0xff)), CkksError::Format { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn changed_bytes_are_refused_or_canonical(at in any::<prop::sample::Index>(), bit in 0..8) {
        let b = bytes(Ring::Complex);
        for (mut bytes, read) in readers(&b) {
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            if let Ok(again) = read(&bytes) {
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
