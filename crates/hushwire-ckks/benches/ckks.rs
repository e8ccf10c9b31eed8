//! Time of single operations, on one thread.
//!
//! `cargo bench -p hushwire-ckks`, or with a part of a name to measure only some.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hushwire_ckks::{
    CkksError, EvaluationKeys, Evaluator, LinearTransform, ParameterSpec, Parameters, Ring, Rng,
    SecretKey,
};

/// Parameters as networks use them, near the limit of security.
fn specs() -> [(&'static str, ParameterSpec); 3] {
    let spec = |log_degree, data_bits: &[u32], special_bits: &[u32]| ParameterSpec {
        ring: Ring::Complex,
        log_degree,
        data_bits: data_bits.to_vec(),
        special_bits: special_bits.to_vec(),
        log_scale: 40,
    };
    [
        ("n8192", spec(13, &[46, 40, 40], &[46, 46])),
        ("n8192_wide", spec(13, &[50, 40, 40], &[50])),
        ("n16384", spec(14, &[46, 40, 40, 40, 40, 40, 40, 40], &[46, 46])),
    ]
}

fn operations(c: &mut Criterion, name: &str, spec: ParameterSpec) -> Result<(), CkksError> {
    let params = Parameters::new(spec)?;
    let mut rng = Rng::from_system()?;
    let secret = SecretKey::generate(&params, &mut rng);
    let level = params.max_level();
    let gadget = params.gadget(level);
    let scale = params.default_scale();
    let values: Vec<_> = (0..params.slots()).map(|i| (i % 100) as f64 / 100.0).collect();
    let diagonals: BTreeMap<_, _> = (0..16).map(|d| (d, values.clone())).collect();
    let transform =
        LinearTransform::new(&params, &diagonals, gadget, level, params.prime(level) as f64)?;
    let mut keys = EvaluationKeys::new(&params);
    keys.insert(secret.relinearisation_key(gadget, &mut rng)?)?;
    let steps: Vec<i64> = (1..=8).collect();
    for steps in transform.rotations().into_iter().chain(steps.iter().copied()) {
        keys.insert(secret.rotation_key(steps, gadget, &mut rng)?)?;
    }
    let e = Evaluator::new(keys);
    let plain = params.encode(&values, level, scale)?;
    let x = secret.encrypt(&plain, &mut rng)?;
    let y = secret.encrypt(&plain, &mut rng)?;
    let product = e.mul(&x, &y)?;

    let mut group = c.benchmark_group(name);
    let mut ntt = params.ntt(1);
    group.bench_function("ntt_lazy", |b| b.iter(|| ntt.forward_lazy()));
    group.bench_function("ntt", |b| b.iter(|| ntt.forward()));
    group.bench_function("ntt_inverse", |b| b.iter(|| ntt.inverse()));
    let mut ntt = params.ntt(0);
    group.bench_function("ntt_lazy_0", |b| b.iter(|| ntt.forward_lazy()));
    group.bench_function("add", |b| b.iter(|| e.add(black_box(&x), &y)));
    group.bench_function("multiply_plain", |b| b.iter(|| e.mul_plain(black_box(&x), &plain)));
    group.bench_function("multiply_relin", |b| b.iter(|| e.mul(black_box(&x), &y)));
    group.bench_function("multiply_rescale", |b| b.iter(|| e.mul_rescale(black_box(&x), &y)));
    group.bench_function("rescale", |b| b.iter(|| e.rescale(black_box(&product))));
    group.bench_function("rotation", |b| b.iter(|| e.rotate(black_box(&x), 1)));
    group.bench_function("rotations_8", |b| b.iter(|| e.rotate_many(black_box(&x), &steps)));
    let terms = [&x; 16];
    let weights = [&plain; 16];
    group.bench_function("dot_plain_16", |b| b.iter(|| e.dot_plain(black_box(&terms), &weights)));
    let numbers = [0.125; 16];
    group.bench_function("dot_constants_16", |b| {
        b.iter(|| e.dot_constants(black_box(&terms), &numbers, scale));
    });
    group.bench_function("transform_16", |b| b.iter(|| e.transform(black_box(&x), &transform)));
    group.bench_function("encode", |b| b.iter(|| params.encode(black_box(&values), level, scale)));
    group.bench_function("encrypt", |b| {
        b.iter_batched(|| &plain, |plain| secret.encrypt(plain, &mut rng), BatchSize::SmallInput);
    });
    group.bench_function("decrypt", |b| b.iter(|| secret.decrypt(black_box(&x))));
    group.bench_function("to_bytes", |b| b.iter(|| black_box(&product).to_bytes()));
    let bytes = product.to_bytes();
    group.bench_function("from_bytes", |b| {
        b.iter(|| hushwire_ckks::Ciphertext::from_bytes(&params, black_box(&bytes)));
    });
    group.finish();
    Ok(())
}

fn all(c: &mut Criterion) {
    for (name, spec) in specs() {
        if let Err(error) = operations(c, name, spec) {
            panic!("{name}: {error}");
        }
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
