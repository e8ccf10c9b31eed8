//! Kernels on one core.

use std::hint::black_box;

use anyhow::{Context, Result};
use hushwire_fss::digits::{self, Tables};
use hushwire_fss::{Prf, dcf};
use hushwire_ring::{ConvShape, Ring, Word, conv2d_mod, pack, packed_len, unpack};

use super::super::Bench;
use super::super::timing::{fastest, on_one_core};

/// Measures convolutions, then what gates are made of.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    bench.measure(["conv.u32_gmacs"], || Ok([convolutions::<u32>(32)?]))?;
    bench.measure(["conv.u52_gmacs"], || Ok([convolutions::<u64>(52)?]))?;
    bench.measure(["conv.u64_gmacs"], || Ok([convolutions::<u64>(64)?]))?;
    bench.measure(["prf.gigabytes_per_second"], || Ok([on_one_core(prf)?]))?;
    bench.measure(["pack.u32_ns", "unpack.u32_ns"], || packing::<u32>(27))?;
    bench.measure(["pack.u64_ns", "unpack.u64_ns"], || packing::<u64>(43))?;
    let parts = ["digits.deal_ns", "digits.evaluate_ns", "dcf.deal_ns", "dcf.evaluate_ns"];
    bench.measure(parts, || on_one_core(comparisons)?)
}

/// Channels and side of ResNet-50's 3x3 convolutions of stride 1, and how many there are of each.
const RESNET50: [(usize, usize, usize); 4] = [(64, 56, 3), (128, 28, 3), (256, 14, 5), (512, 7, 2)];

/// 10^9 multiplications per second over ResNet-50's 3x3 layers in a ring of `bits`.
fn convolutions<W: Word>(bits: u32) -> Result<f64> {
    let ring = Ring::new(bits).context("no such ring")?;
    on_one_core(|| {
        let (mut macs, mut seconds) = (0.0, 0.0);
        for (channels, side, times) in RESNET50 {
            let shape = square(channels, side);
            let weights = noise::<W>(shape.weight_len());
            let input = noise::<W>(shape.input_len());
            let mut out = vec![W::ZERO; shape.output_len()];
            let time = fastest(|| {
                conv2d_mod(ring, &shape, 1, black_box(&weights), black_box(&input), &mut out);
            });
            macs += shape.macs() as f64 * times as f64;
            seconds += time * times as f64;
        }
        macs / seconds / 1e9
    })
}

fn square(channels: usize, side: usize) -> ConvShape {
    ConvShape {
        in_channels: channels,
        in_h: side,
        in_w: side,
        out_channels: channels,
        kernel: [3; 2],
        stride: [1; 2],
        pads: [1; 4],
        dilation: [1; 2],
        groups: 1,
    }
}

/// Words that use all their bits.
fn noise<W: Word>(len: usize) -> Vec<W> {
    (0..len as u64).map(|i| W::from_u64((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
}

/// 10^9 bytes of a pseudorandom stream per second.
fn prf() -> f64 {
    let mut bytes = vec![0; 1 << 20];
    let mut stream = Prf::new([1; 16]).stream(0);
    bytes.len() as f64 / fastest(|| stream.fill(black_box(&mut bytes))) / 1e9
}

/// Nanoseconds per element of packing and unpacking elements of `bits`.
fn packing<W: Word>(bits: u32) -> Result<[f64; 2]> {
    const COUNT: usize = 1 << 16;
    on_one_core(|| {
        let values = noise::<W>(COUNT);
        let mut bytes = Vec::with_capacity(packed_len(COUNT, bits));
        let packing = fastest(|| {
            bytes.clear();
            pack(black_box(&values), bits, &mut bytes);
        });
        let mut read = vec![W::ZERO; COUNT];
        let unpacking = fastest(|| unpack(black_box(&bytes), bits, &mut read));
        [packing, unpacking].map(|seconds| seconds / COUNT as f64 * 1e9)
    })
}

/// Nanoseconds per comparison of 16 bits: dealing it, and one party's part of evaluating it; by
/// digit tables, then by distributed comparison functions.
fn comparisons() -> Result<[f64; 4]> {
    const COUNT: usize = 1 << 14;
    const WIDTH: u32 = 16;
    let prf = Prf::new([2; 16]);
    let (public, secret): (Vec<u64>, Vec<u64>) =
        (prf.stream(0).words(COUNT), prf.stream(1).words(COUNT));
    let (k0, k1) = (Prf::new([3; 16]), Prf::new([4; 16]));

    let shape = digits::Shape::new(WIDTH)?;
    let deal = || digits::deal(shape, &mut k0.stream(0), &mut k1.stream(0), &secret);
    let dealing_digits = fastest(deal);
    let message = deal();
    let server = Tables::server(shape, COUNT, &mut k1.stream(0), &message)?;
    let peer = server.look_up(&public).message();
    let digits = fastest(|| {
        let opening = Tables::client(shape, COUNT, &mut k0.stream(0)).look_up(black_box(&public));
        (opening.message(), opening.combine(&peer))
    });

    let deal = || dcf::deal(WIDTH, &mut k0.stream(0), &mut k1.stream(0), &secret);
    let dealing_dcf = fastest(deal);
    let message = deal()?;
    let dcf = fastest(|| {
        let keys = dcf::Keys::client(WIDTH, COUNT, &mut k0.stream(0), &message);
        keys.map(|keys| keys.eval(black_box(&public)))
    });
    let all = [dealing_digits, digits, dealing_dcf, dcf];
    Ok(all.map(|seconds| seconds / COUNT as f64 * 1e9))
}
