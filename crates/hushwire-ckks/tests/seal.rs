//! The same circuit in SEAL, through the package `tenseal`, decrypts to the same values.
//!
//! Needs `HUSHWIRE_PYTHON`, a Python with that package; says so when it skips.

#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

use std::io::Write;
use std::process::{Command, Stdio};

use hushwire_ckks::{EvaluationKeys, Evaluator, ParameterSpec, Parameters, Ring, Rng, SecretKey};
use serde_json::{Value, json};

/// What the script prints, unless it cannot run here.
fn reference(job: &Value) -> Option<Value> {
    let Ok(python) = std::env::var("HUSHWIRE_PYTHON") else {
        eprintln!("skipped: HUSHWIRE_PYTHON is not set");
        return None;
    };
    let there = Command::new(&python).args(["-c", "import tenseal"]).output().unwrap();
    if !there.status.success() {
        eprintln!("skipped: {python} has no package tenseal");
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/he/reference.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(job.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the reference failed");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn circuits_decrypt_to_the_same_values() {
    let spec = ParameterSpec {
        ring: Ring::Complex,
        log_degree: 13,
        data_bits: vec![50, 40, 40],
        special_bits: vec![50],
        log_scale: 40,
    };
    let inputs: Vec<Vec<f64>> = (0..2)
        .map(|k| (0..4096).map(|i| ((i * (k + 3) + k) % 17) as f64 / 8.5 - 1.0).collect())
        .collect();
    let circuit = json!([
        ["mul", 0, 1],
        ["rescale", 2],
        ["rotate", 3, 5],
        ["mul", 4, 3],
        ["rescale", 5],
        ["rotate", 6, 100],
        ["add", 0, 1],
        ["mul_plain", 8, 1],
        ["rescale", 9],
        ["sub", 0, 1],
        ["conjugate", 11]
    ]);
    let job = json!({
        "log_degree": spec.log_degree, "data_bits": spec.data_bits,
        "special_bits": spec.special_bits[0], "log_scale": spec.log_scale,
        "inputs": inputs, "circuit": circuit,
    });
    let Some(answer) = reference(&job) else { return };

    let params = Parameters::new(spec).unwrap();
    let mut rng = Rng::from_system().unwrap();
    let secret = SecretKey::generate(&params, &mut rng);
    let gadget = params.gadget(2);
    let mut keys = EvaluationKeys::new(&params);
    keys.insert(secret.relinearisation_key(gadget, &mut rng).unwrap()).unwrap();
    keys.insert(secret.conjugation_key(gadget, &mut rng).unwrap()).unwrap();
    for steps in [5, 100] {
        keys.insert(secret.rotation_key(steps, gadget, &mut rng).unwrap()).unwrap();
    }
    let e = Evaluator::new(keys);
    let public = secret.public_key(&mut rng);
    let mut values: Vec<_> = inputs
        .iter()
        .map(|input| {
            let plain = params.encode(input, 2, params.default_scale()).unwrap();
            public.encrypt(&plain, &mut rng).unwrap()
        })
        .collect();
    for step in circuit.as_array().unwrap() {
        let index = |i: usize| step[i].as_u64().unwrap() as usize;
        let x = &values[index(1)];
        let out = match step[0].as_str().unwrap() {
            "mul" => e.mul(x, &values[index(2)]),
            "add" => e.add(x, &values[index(2)]),
            "sub" => e.sub(x, &values[index(2)]),
            "rescale" => e.rescale(x),
            "rotate" => e.rotate(x, index(2) as i64),
            "conjugate" => e.conjugate(x),
            _ => {
                let plain = params.encode(&inputs[index(2)], x.level(), params.default_scale());
                e.mul_plain(x, &plain.unwrap())
            }
        };
        values.push(out.unwrap());
    }
    let theirs = answer["values"].as_array().unwrap();
    assert_eq!(theirs.len(), values.len());
    for (i, (own, theirs)) in values.iter().zip(theirs).enumerate() {
        let own = secret.decrypt(own).unwrap();
        let theirs = theirs.as_array().unwrap().iter().map(|x| x.as_f64().unwrap());
        let errors: Vec<f64> = own.iter().zip(theirs).map(|(own, x)| (own - x).abs()).collect();
        // SEAL's digits are not centred: when it switches keys, what rounding leaves gathers in a few
        // slots, fifty times as large there as elsewhere.
        let worst = errors.iter().copied().fold(0.0, f64::max);
        let rms = (errors.iter().map(|x| x * x).sum::<f64>() / errors.len() as f64).sqrt();
        assert!(rms < 2e-7 && worst < 1e-5, "value {i}: {rms}, at most {worst}");
    }
}
