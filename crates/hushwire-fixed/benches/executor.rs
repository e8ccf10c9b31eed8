//! Public linear operations, and a small network in the clear.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hushwire_fixed::program::{Local, PoolShape, Tap};
use hushwire_fixed::{Executor, Settings, Weights, calibrate, local, lower};
use hushwire_graph::testing::{Attribute, OnnxBuilder};
use hushwire_graph::{Model, Tensor};
use hushwire_plan::Plan;

const CHANNELS: usize = 64;
const SIDE: usize = 32;
const ELEMENTS: usize = CHANNELS * SIDE * SIDE;

fn public_operations(c: &mut Criterion) {
    let value: Vec<u32> = (0..ELEMENTS as u32).map(|i| i.wrapping_mul(0x9E37_79B9)).collect();
    let pool = PoolShape {
        channels: CHANNELS,
        input: [SIDE; 2],
        kernel: [3; 2],
        stride: [2; 2],
        before: [1; 2],
        output: [SIDE / 2; 2],
    };
    // Twice the extent, halves between neighbours.
    let taps = || {
        let tap = |i: u32| {
            let at = i / 2;
            let next = (at + i % 2).min(SIDE as u32 - 1);
            Tap { at, next, weight: 1, next_weight: 1 }
        };
        (0..2 * SIDE as u32).map(tap).collect()
    };
    let reversed = (0..ELEMENTS as u32).rev().collect();
    let operations = [
        ("combine", ELEMENTS, Local::Combine { terms: vec![(0, 3), (0, -1)], constant: 7 }),
        ("gather", ELEMENTS, Local::Gather { sources: vec![0], map: reversed, fill: 0 }),
        ("sum pool", ELEMENTS / 4, Local::SumPool { source: 0, shape: pool }),
        (
            "interpolate",
            ELEMENTS * 4,
            Local::Interpolate {
                source: 0,
                channels: CHANNELS,
                input: [SIDE; 2],
                rows: taps(),
                columns: taps(),
            },
        ),
    ];
    let mut group = c.benchmark_group("local");
    for (name, len, operation) in &operations {
        group.throughput(Throughput::Elements(*len as u64));
        group.bench_function(*name, |b| {
            b.iter(|| {
                local::apply(black_box(operation), 1, *len, true, |_| &value[..], |_| ELEMENTS)
            });
        });
    }
}

/// Two 3x3 convolutions with ReLUs, a max pooling, a fully connected layer.
fn network() -> Model {
    let uniform = |len: usize, scale: f32| -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 % 2003) as f32 / 1001.0 - 1.0) * scale).collect()
    };
    let ints = Attribute::Ints;
    let same = [("pads", ints(&[1, 1, 1, 1]))];
    let pool = [("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2]))];
    let file = OnnxBuilder::new(&[3, 32, 32])
        .floats("w1", &[16, 3, 3, 3], &uniform(16 * 27, 0.3))
        .node_with("Conv", &["input", "w1"], "conv1", &same)
        .node("Relu", &["conv1"], "relu1")
        .node_with("MaxPool", &["relu1"], "pool", &pool)
        .floats("w2", &[32, 16, 3, 3], &uniform(32 * 144, 0.15))
        .node_with("Conv", &["pool", "w2"], "conv2", &same)
        .node("Relu", &["conv2"], "relu2")
        .node("Flatten", &["relu2"], "flat")
        .floats("w3", &[10, 32 * 256], &uniform(10 * 32 * 256, 0.02))
        .node_with("Gemm", &["flat", "w3"], "gemm", &[("transB", Attribute::Int(1))])
        .build("gemm");
    Model::from_onnx_bytes(&file, None).expect("the network imports")
}

fn small_network(c: &mut Criterion) {
    const BATCH: usize = 8;
    let model = network();
    let shape = model.graph.input_shape().with_batch(BATCH);
    let data = (0..shape.iter().product()).map(|i| (i % 251) as f32 / 125.0 - 1.0).collect();
    let images = Tensor::new(shape, data);
    let plan = Plan::exact(&model.graph);
    let plan = calibrate(&model, &plan, &images, &Settings::default()).expect("it calibrates");
    let program = lower(&model.graph, &plan).expect("it lowers");

    let mut group = c.benchmark_group("network");
    group.throughput(Throughput::Elements(BATCH as u64));
    let weights = Weights::<u32>::quantise(&program, &model.params);
    let executor = Executor::new(&program, &weights);
    group.bench_function("u32", |b| b.iter(|| executor.run(BATCH, black_box(&images.data))));
    let weights = Weights::<u64>::quantise(&program, &model.params);
    let executor = Executor::new(&program, &weights);
    group.bench_function("u64", |b| b.iter(|| executor.run(BATCH, black_box(&images.data))));
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = config(); targets = public_operations, small_network }
criterion_main!(benches);
