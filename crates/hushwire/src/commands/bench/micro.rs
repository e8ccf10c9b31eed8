//! Suite `micro`: the parts of the engine one by one.

use std::hint::black_box;

use anyhow::Result;
use hushwire_ring::{ConvShape, Word, conv2d};

use super::Bench;
use super::timing::{fastest, on_one_core};

/// Runs the suite.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    bench.measure(["conv.u32_gmacs"], || Ok([convolutions::<u32>()?]))?;
    bench.measure(["conv.u64_gmacs"], || Ok([convolutions::<u64>()?]))
}

/// Channels and side of ResNet-50's 3x3 convolutions, and how often each occurs with stride 1.
const RESNET50: [(usize, usize, usize); 4] = [(64, 56, 3), (128, 28, 3), (256, 14, 5), (512, 7, 2)];

/// 10^9 multiplications per second and core over ResNet-50's 3x3 layers.
fn convolutions<W: Word>() -> Result<f64> {
    on_one_core(|| {
        let (mut macs, mut seconds) = (0.0, 0.0);
        for (channels, side, times) in RESNET50 {
            let shape = square(channels, side);
            let weights = noise::<W>(shape.weight_len());
            let input = noise::<W>(shape.input_len());
            let mut out = vec![W::ZERO; shape.output_len()];
            let time = fastest(|| {
                conv2d(&shape, 1, black_box(&weights), black_box(&input), &mut out);
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
