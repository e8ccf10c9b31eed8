//! Convolutions of many shapes, and the sum over what they touch that explains their times best.

use super::{MeasureError, fastest, on_one_core};
use crate::profile::{Convolution, Ns};
use crate::work::terms;
use hushwire_ring::{ConvShape, Ring, Word, conv2d_mod, gemm_mod};
use std::hint::black_box;

/// Channels in and out, side of the input, of the kernel, stride: layers of the networks that the
/// field reports on, with many and with few channels, positions and taps.
const SHAPES: [([usize; 2], usize, usize, usize); 14] = [
    ([3, 64], 64, 7, 2),
    ([3, 64], 64, 3, 2),
    ([16, 16], 32, 3, 1),
    ([64, 64], 28, 3, 1),
    ([128, 128], 28, 3, 1),
    ([256, 256], 14, 3, 1),
    ([256, 256], 4, 3, 1),
    ([512, 512], 7, 3, 1),
    ([16, 96], 56, 1, 1),
    ([96, 24], 56, 1, 1),
    ([64, 256], 28, 1, 1),
    ([512, 128], 28, 1, 1),
    ([1024, 256], 14, 1, 1),
    ([512, 2048], 7, 1, 1),
];

/// Measures convolutions in a ring.
pub(super) fn measure<W: Word>(ring: Ring) -> Result<Convolution, MeasureError> {
    let (cost, _) = on_one_core(|| {
        let mut samples = Vec::new();
        for (channels, side, kernel, stride) in SHAPES {
            let shape = square(channels, side, kernel, stride, 1);
            samples.push((terms(&shape, 1), time::<W>(ring, &shape)));
        }
        let [product, input, weight, output] = fit(&samples);
        let depthwise = |stride| {
            let shape = square([96, 96], 56, 3, stride, 96);
            Ns::from_seconds(time::<W>(ring, &shape) / shape.macs() as f64)
        };
        Convolution {
            product_ns: Ns::from_seconds(product),
            input_ns: Ns::from_seconds(input),
            weight_ns: Ns::from_seconds(weight),
            output_ns: Ns::from_seconds(output),
            depthwise_ns: depthwise(1),
            strided_depthwise_ns: depthwise(2),
            vector_ns: Ns::from_seconds(vector::<W>(ring)),
        }
    })?;
    Ok(cost)
}

fn square(
    [inputs, outputs]: [usize; 2],
    side: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
) -> ConvShape {
    ConvShape {
        in_channels: inputs,
        in_h: side,
        in_w: side,
        out_channels: outputs,
        kernel: [kernel; 2],
        stride: [stride; 2],
        pads: [kernel / 2; 4],
        dilation: [1; 2],
        groups,
    }
}

fn time<W: Word>(ring: Ring, shape: &ConvShape) -> f64 {
    let (weights, input) = (noise::<W>(shape.weight_len()), noise::<W>(shape.input_len()));
    fastest(|| {
        let mut out = vec![W::ZERO; shape.output_len()];
        conv2d_mod(ring, shape, 1, black_box(&weights), black_box(&input), &mut out);
        black_box(out);
    })
}

/// Seconds for each weight of a matrix too large for the caches.
fn vector<W: Word>(ring: Ring) -> f64 {
    const SIDE: usize = 2048;
    let (weights, input) = (noise::<W>(SIDE * SIDE), noise::<W>(SIDE));
    let mut out = vec![W::ZERO; SIDE];
    let time = fastest(|| gemm_mod(ring, 1, SIDE, SIDE, black_box(&weights), &input, &mut out));
    time / (SIDE * SIDE) as f64
}

/// Words that use all their bits.
fn noise<W: Word>(len: usize) -> Vec<W> {
    (0..len as u64).map(|i| W::from_u64((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
}

/// Factors, none of them negative, with which the terms sum up to the times, by least squares of
/// relative errors: one factor after the other is set to its best value until all are.
fn fit(samples: &[([f64; 4], f64)]) -> [f64; 4] {
    const ROUNDS: usize = 10_000;
    let rows: Vec<[f64; 4]> = samples.iter().map(|(terms, time)| terms.map(|t| t / time)).collect();
    let mut factors = [0.0; 4];
    for _ in 0..ROUNDS {
        for k in 0..factors.len() {
            let square: f64 = rows.iter().map(|row| row[k] * row[k]).sum();
            let rest = |row: &[f64; 4]| -> f64 {
                (0..row.len()).filter(|j| *j != k).map(|j| row[j] * factors[j]).sum()
            };
            let along: f64 = rows.iter().map(|row| row[k] * (1.0 - rest(row))).sum();
            factors[k] = (along / square).max(0.0);
        }
    }
    factors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_recognised() {
        let truth = [0.04e-9, 0.5e-9, 0.0, 3e-9];
        let samples: Vec<([f64; 4], f64)> = SHAPES
            .iter()
            .map(|&(channels, side, kernel, stride)| {
                let terms = terms(&square(channels, side, kernel, stride, 1), 1);
                (terms, terms.iter().zip(truth).map(|(t, f)| t * f).sum())
            })
            .collect();
        let found = fit(&samples);
        for (found, truth) in found.iter().zip(truth) {
            assert!((found - truth).abs() < 1e-3 * truth + 1e-12, "{found} instead of {truth}");
        }
    }
}
