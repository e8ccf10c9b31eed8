//! Throughput of the PRF and of both comparisons, one core.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hushwire_fss::digits::{Shape, Tables};
use hushwire_fss::{Prf, dcf, digits};

fn prf(c: &mut Criterion) {
    let mut bytes = vec![0; 1 << 20];
    let mut stream = Prf::new([1; 16]).stream(0);
    let mut group = c.benchmark_group("prf");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("fill", |b| b.iter(|| stream.fill(black_box(&mut bytes))));
}

/// Public and secret values.
fn values(count: usize) -> (Vec<u64>, Vec<u64>) {
    let prf = Prf::new([2; 16]);
    (prf.stream(0).words(count), prf.stream(1).words(count))
}

fn digit_tables(c: &mut Criterion) {
    let count = 1 << 16;
    let (public, secret) = values(count);
    let (k0, k1) = (Prf::new([3; 16]), Prf::new([4; 16]));
    for width in [16, 27] {
        let shape = Shape::new(width).expect("width in range");
        let mut group = c.benchmark_group(format!("digits/{width}"));
        group.throughput(Throughput::Elements(count as u64));
        let deal = || digits::deal(shape, &mut k0.stream(0), &mut k1.stream(0), &secret);
        group.bench_function("deal", |b| b.iter(deal));
        let message = deal();
        let client = || Tables::client(shape, count, &mut k0.stream(0));
        let server = || Tables::server(shape, count, &mut k1.stream(0), &message);
        group.bench_function("client", |b| b.iter(client));
        group.bench_function("server", |b| b.iter(server));
        group.bench_function("look_up", |b| {
            b.iter_batched(client, |tables| tables.look_up(&public), BatchSize::LargeInput);
        });
        let peer = server().expect("the helper's message").look_up(&public).message();
        group.bench_function("combine", |b| {
            b.iter_batched(
                || client().look_up(&public),
                |opening| opening.combine(&peer),
                BatchSize::LargeInput,
            );
        });
    }
}

fn comparison_functions(c: &mut Criterion) {
    let count = 1 << 14;
    let (public, secret) = values(count);
    let (k0, k1) = (Prf::new([3; 16]), Prf::new([4; 16]));
    for width in [16, 27] {
        let mut group = c.benchmark_group(format!("dcf/{width}"));
        group.throughput(Throughput::Elements(count as u64));
        let deal = || dcf::deal(width, &mut k0.stream(0), &mut k1.stream(0), &secret);
        group.bench_function("deal", |b| b.iter(deal));
        let message = deal().expect("width in range");
        group.bench_function("eval", |b| {
            b.iter_batched(
                || dcf::Keys::client(width, count, &mut k0.stream(0), &message),
                |keys| keys.map(|keys| keys.eval(&public)),
                BatchSize::LargeInput,
            );
        });
    }
}

criterion_group! {
    name = fss;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .without_plots();
    targets = prf, digit_tables, comparison_functions
}
criterion_main!(fss);
