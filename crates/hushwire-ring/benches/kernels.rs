//! Throughput of the integer kernels.
//!
//! `RAYON_NUM_THREADS=1 cargo bench -p hushwire-ring` measures one core, with `HUSHWIRE_SIMD=avx2` or
//! `HUSHWIRE_SIMD=portable` the code for lesser processors.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hushwire_ring::{ConvShape, Ring, Word, conv2d_mod, gemm, pack, packed_len, unpack};

fn noise<W: Word>(len: usize) -> Vec<W> {
    (0..len as u64).map(|i| W::from_u64((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
}

/// Channels in and out, input side, kernel, stride, groups.
fn shape(
    channels: [usize; 2],
    side: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
) -> ConvShape {
    ConvShape {
        in_channels: channels[0],
        in_h: side,
        in_w: side,
        out_channels: channels[1],
        kernel: [kernel; 2],
        stride: [stride; 2],
        pads: [kernel / 2; 4],
        dilation: [1; 2],
        groups,
    }
}

fn convolutions<W: Word>(c: &mut Criterion, bits: u32) {
    let ring = Ring::new(bits).expect("width in range");
    let mut group = c.benchmark_group(format!("conv/u{} {bits} bits", W::BITS));
    for (name, shape) in [
        ("resnet50/stem 7x7", shape([3, 64], 224, 7, 2, 1)),
        ("resnet50/3x3 64x56", shape([64, 64], 56, 3, 1, 1)),
        ("resnet50/3x3 128x28", shape([128, 128], 28, 3, 1, 1)),
        ("resnet50/3x3 256x14", shape([256, 256], 14, 3, 1, 1)),
        ("resnet50/3x3 512x7", shape([512, 512], 7, 3, 1, 1)),
        ("resnet50/1x1 256-64x56", shape([256, 64], 56, 1, 1, 1)),
        ("resnet50/1x1 512-2048x7", shape([512, 2048], 7, 1, 1, 1)),
        ("resnet50/1x1 stride 2 256-512x56", shape([256, 512], 56, 1, 2, 1)),
        ("resnet50/3x3 stride 2 128x56", shape([128, 128], 56, 3, 2, 1)),
        ("resnet20/3x3 16x32", shape([16, 16], 32, 3, 1, 1)),
        ("resnet20/3x3 64x8", shape([64, 64], 8, 3, 1, 1)),
        ("mobilenet/3x3 depthwise stride 2 96x112", shape([96, 96], 112, 3, 2, 96)),
        ("mobilenet/3x3 depthwise 144x56", shape([144, 144], 56, 3, 1, 144)),
        ("mobilenet/3x3 depthwise 384x14", shape([384, 384], 14, 3, 1, 384)),
    ] {
        let weights = noise::<W>(shape.weight_len());
        let input = noise::<W>(shape.input_len());
        let mut out = vec![W::ZERO; shape.output_len()];
        group.throughput(Throughput::Elements(shape.macs()));
        group.bench_function(name, |b| {
            b.iter(|| {
                conv2d_mod(ring, &shape, 1, black_box(&weights), black_box(&input), &mut out)
            });
        });
    }
}

fn all_convolutions(c: &mut Criterion) {
    convolutions::<u32>(c, 32);
    convolutions::<u64>(c, 40);
    convolutions::<u64>(c, 64);
}

fn products<W: Word>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("gemm/u{}", W::BITS));
    for batch in [1, 8, 64] {
        let (inputs, outputs) = (2048, 1000);
        let weights = noise::<W>(inputs * outputs);
        let x = noise::<W>(batch * inputs);
        let mut out = vec![W::ZERO; batch * outputs];
        group.throughput(Throughput::Elements((batch * inputs * outputs) as u64));
        group.bench_function(format!("2048x1000 batch {batch}"), |b| {
            b.iter(|| gemm(batch, inputs, outputs, black_box(&weights), black_box(&x), &mut out));
        });
    }
}

fn packing<W: Word>(c: &mut Criterion) {
    let count = 1 << 16;
    let values = noise::<W>(count);
    let mut group = c.benchmark_group(format!("pack/u{}", W::BITS));
    for bits in [1, 12, 16, 24, 28, 32, 40, 52, 60, 64].into_iter().filter(|&b| b <= W::BITS) {
        group.throughput(Throughput::Bytes(packed_len(count, bits) as u64));
        let mut bytes = vec![];
        group.bench_function(format!("pack {bits}"), |b| {
            b.iter(|| {
                bytes.clear();
                pack(black_box(&values), bits, &mut bytes);
            });
        });
        let mut read = vec![W::ZERO; count];
        group.bench_function(format!("unpack {bits}"), |b| {
            b.iter(|| unpack(black_box(&bytes), bits, &mut read));
        });
    }
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(600))
        .without_plots();
    targets = all_convolutions, products::<u32>, products::<u64>,
        packing::<u32>, packing::<u64>
}
criterion_main!(kernels);
