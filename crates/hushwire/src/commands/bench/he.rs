//! Suite `he`: operations on encrypted vectors and networks on encrypted images, on one thread; the
//! networks on all cores as well.

use anyhow::{Context, Result};
use hushwire_ckks::{
    Ciphertext, CkksError, EvaluationKeys, Evaluator, ParameterSpec, Parameters, Plaintext, Ring,
    Rng, SecretKey,
};

use hushwire_graph::Activation;
use hushwire_train::Architecture;

use super::Bench;
use super::timing::{fastest, on_one_core};
use crate::encrypted::{Encrypted, Usage};
use crate::images;
use crate::network::Network;

/// Runs the suite.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let spec = |log_degree, data_bits: &[u32], special_bits: &[u32]| ParameterSpec {
        ring: Ring::Complex,
        log_degree,
        data_bits: data_bits.to_vec(),
        special_bits: special_bits.to_vec(),
        log_scale: 40,
    };
    operations(bench, "he.n8192", spec(13, &[46, 40, 40], &[46]))?;
    operations(bench, "he.n16384", spec(14, &[46, 40, 40, 40, 40, 40, 40, 40], &[46, 46]))?;
    network(bench, "he.lola_mnist", Architecture::LolaMnist, ("milliseconds", 1e3))?;
    network(bench, "he.cifar10", Architecture::SquaresCifar10, ("seconds", 1.0))
}

/// Repetitions of a network, of which the fastest counts.
const RUNS: usize = 5;

/// A network of random weights, which take as long as trained ones: one image from pixels to logits,
/// keys being there.
fn network(
    bench: &mut Bench,
    prefix: &str,
    architecture: Architecture,
    (unit, per_second): (&str, f64),
) -> Result<()> {
    if !bench.wants(prefix) {
        return Ok(());
    }
    let model = architecture.model(Activation::Square, 1);
    let network = Network { path: architecture.name().into(), model };
    let graph = &network.model.graph;
    let encrypted = Encrypted::new(&network, None, || images::synthetic(graph))?;
    let image = images::random(graph, 1)?.pop().context("there is an image")?;
    let names = [unit.to_owned(), format!("{unit}_all_cores"), "rotations".to_owned()];
    let sizes = ["operations", "key_megabytes", "input_megabytes"].map(str::to_owned);
    let names: Vec<String> =
        names.iter().chain(&sizes).map(|name| format!("{prefix}.{name}")).collect();
    bench.measure_all(&names, || {
        let run = || -> Result<([f64; 2], Usage)> {
            encrypted.with_session(|session, usage| {
                session.infer(&[&image], usage)?;
                let timed = || -> Result<f64> {
                    let mut best = f64::INFINITY;
                    for _ in 0..RUNS {
                        let mut usage = Usage::default();
                        session.infer(&[&image], &mut usage)?;
                        best = best.min(usage.seconds());
                    }
                    Ok(best)
                };
                Ok([on_one_core(timed)??, timed()?])
            })
        };
        let ([one, all], usage) = run()?;
        let operations = usage.operations;
        Ok(vec![
            one * per_second,
            all * per_second,
            operations.rotations as f64,
            operations.total() as f64,
            usage.key_bytes as f64 * 1e-6,
            usage.sent_bytes as f64 * 1e-6,
        ])
    })
}

/// What operations work on.
struct Subject {
    params: Parameters,
    secret: SecretKey,
    rng: Rng,
    evaluator: Evaluator,
    plain: Plaintext,
    x: Ciphertext,
    y: Ciphertext,
    values: Vec<f64>,
}

impl Subject {
    fn new(spec: ParameterSpec) -> Result<Self> {
        let params = Parameters::new(spec)?;
        let mut rng = Rng::from_system()?;
        let secret = SecretKey::generate(&params, &mut rng);
        let level = params.max_level();
        let gadget = params.gadget(level);
        let mut keys = EvaluationKeys::new(&params);
        keys.insert(secret.relinearisation_key(gadget, &mut rng)?)?;
        keys.insert(secret.rotation_key(1, gadget, &mut rng)?)?;
        let values: Vec<_> = (0..params.slots()).map(|i| (i % 100) as f64 / 100.0).collect();
        let plain = params.encode(&values, level, params.default_scale())?;
        let [x, y] = [secret.encrypt(&plain, &mut rng)?, secret.encrypt(&plain, &mut rng)?];
        Ok(Self { evaluator: Evaluator::new(keys), params, secret, rng, plain, x, y, values })
    }
}

fn operations(bench: &mut Bench, prefix: &str, spec: ParameterSpec) -> Result<()> {
    if !bench.wants(prefix) {
        return Ok(());
    }
    let mut subject = Subject::new(spec)?;
    let Subject { params, secret, rng, evaluator, plain, x, y, values } = &mut subject;
    let level = params.max_level();
    let mut measure =
        |what: &str, per_second: f64, run: &mut dyn FnMut() -> Result<(), CkksError>| {
            bench.measure([format!("{prefix}.{what}")], || {
                // Once where errors are seen.
                run()?;
                Ok([fastest(run) * per_second])
            })
        };
    let mut ntt = params.ntt(1);
    measure("ntt_us", 1e6, &mut || {
        ntt.forward_lazy();
        Ok(())
    })?;
    measure("ntt_reduced_us", 1e6, &mut || {
        ntt.forward();
        Ok(())
    })?;
    measure("ntt_inverse_us", 1e6, &mut || {
        ntt.inverse();
        Ok(())
    })?;
    measure("add_ms", 1e3, &mut || evaluator.add(x, y).map(drop))?;
    measure("multiply_plain_ms", 1e3, &mut || evaluator.mul_plain(x, plain).map(drop))?;
    measure("multiply_relin_ms", 1e3, &mut || evaluator.mul(x, y).map(drop))?;
    measure("multiply_rescale_ms", 1e3, &mut || evaluator.mul_rescale(x, y).map(drop))?;
    measure("rotation_ms", 1e3, &mut || evaluator.rotate(x, 1).map(drop))?;
    let scale = params.default_scale();
    measure("encode_ms", 1e3, &mut || params.encode(values, level, scale).map(drop))?;
    measure("encrypt_ms", 1e3, &mut || secret.encrypt(plain, rng).map(drop))?;
    measure("decrypt_ms", 1e3, &mut || secret.decrypt(x).map(drop))
}
