//! Suite `he`: operations on encrypted vectors and networks on encrypted images, on one thread and on
//! all cores; operations of real slots, which the networks use, of complex ones, and of SEAL.

use anyhow::{Context, Result};
use hushwire_ckks::{
    Ciphertext, CkksError, EvaluationKeys, Evaluator, ParameterSpec, Parameters, Plaintext, Ring,
    Rng, SecretKey,
};

use hushwire_graph::Activation;
use hushwire_train::Architecture;

use super::timing::{fastest, on_one_core};
use super::{Bench, seal};
use crate::encrypted::{Encrypted, Usage};
use crate::images;
use crate::network::Network;

/// Runs the suite.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let spec = |ring, log_degree, data_bits: &[u32], special_bits: &[u32]| ParameterSpec {
        ring,
        log_degree,
        data_bits: data_bits.to_vec(),
        special_bits: special_bits.to_vec(),
        log_scale: 40,
    };
    let small = |ring| spec(ring, 13, &[46, 40, 40], &[46]);
    let large = |ring| spec(ring, 14, &[46, 40, 40, 40, 40, 40, 40, 40], &[46, 46]);
    operations(bench, "he.n8192", small(Ring::Real))?;
    operations(bench, "he.n8192_complex", small(Ring::Complex))?;
    operations(bench, "he.n16384", large(Ring::Real))?;
    operations(bench, "he.n16384_complex", large(Ring::Complex))?;
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
    let encrypted = Encrypted::new(&network, None, true, || images::synthetic(graph))?;
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
    let ring = spec.ring;
    let mut subject = Subject::new(spec.clone())?;
    transforms(bench, prefix, &subject.params)?;
    let Subject { params, secret, rng, evaluator, plain, x, y, values } = &mut subject;
    let (x, y, plain) = (&*x, &*y, &*plain);
    let on_all: [(&str, &str, Operation<'_>); 4] = [
        ("add", "add", &|| evaluator.add(x, y).map(drop)),
        ("multiply_plain", "mul_plain", &|| evaluator.mul_plain(x, plain).map(drop)),
        ("multiply_relin", "mul", &|| evaluator.mul(x, y).map(drop)),
        ("rotation", "rotate", &|| evaluator.rotate(x, 1).map(drop)),
    ];
    for (what, _, run) in &on_all {
        bench.measure([format!("{prefix}.{what}_ms")], || Ok([milliseconds(run)?]))?;
        bench.measure([format!("{prefix}.{what}_ms_all_cores")], || Ok([each_of_all(run)?]))?;
    }
    // SEAL has complex slots only.
    if ring == Ring::Complex {
        let names = on_all.map(|(what, ..)| format!("{prefix}.{what}_seal_ratio"));
        bench.measure_all(&names, || {
            let Some(theirs) = seal::milliseconds(&spec)? else {
                return Ok(Vec::new());
            };
            let ratio = |(_, name, run): &(&str, &str, Operation<'_>)| -> Result<f64> {
                let theirs = theirs.get(*name).context("SEAL's script knows all operations")?;
                Ok(theirs / milliseconds(run)?)
            };
            on_all.iter().map(ratio).collect()
        })?;
    }
    let (level, scale) = (params.max_level(), params.default_scale());
    let mut measure = |what: &str, run: &mut dyn FnMut() -> Result<(), CkksError>| {
        bench.measure([format!("{prefix}.{what}_ms")], || Ok([milliseconds(run)?]))
    };
    measure("multiply_rescale", &mut || evaluator.mul_rescale(x, y).map(drop))?;
    measure("encode", &mut || params.encode(values, level, scale).map(drop))?;
    measure("encrypt", &mut || secret.encrypt(plain, rng).map(drop))?;
    measure("decrypt", &mut || secret.decrypt(x).map(drop))
}

/// What many threads may do at once.
type Operation<'a> = &'a (dyn Fn() -> Result<(), CkksError> + Sync);

fn milliseconds(mut run: impl FnMut() -> Result<(), CkksError>) -> Result<f64> {
    // Once where errors are seen.
    run()?;
    Ok(fastest(run) * 1e3)
}

/// Operations of each core between two looks at the clock.
const ROUND: usize = 16;

/// Milliseconds per operation while all cores do it.
fn each_of_all(run: Operation<'_>) -> Result<f64> {
    run()?;
    let round = || rayon::broadcast(|_| (0..ROUND).try_for_each(|_| run()));
    Ok(fastest(round) * 1e3 / (ROUND * rayon::current_num_threads()) as f64)
}

fn transforms(bench: &mut Bench, prefix: &str, params: &Parameters) -> Result<()> {
    let mut ntt = params.ntt(1);
    let mut measure = |what: &str, run: &mut dyn FnMut()| {
        bench.measure([format!("{prefix}.{what}_us")], || Ok([fastest(run) * 1e6]))
    };
    measure("ntt", &mut || ntt.forward_lazy())?;
    measure("ntt_reduced", &mut || ntt.forward())?;
    measure("ntt_inverse", &mut || ntt.inverse())
}
