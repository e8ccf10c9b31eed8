//! Convolution over Z_2^`BITS`.

use rayon::prelude::*;

use crate::{ConvShape, Word};

/// Writes the convolution of `batch` samples to `out`.
///
/// # Panics
/// If a slice does not have the length the shape gives, or the shape is degenerate (no groups,
/// channels that are no multiple of them, an empty kernel, a zero stride or dilation).
pub fn conv2d<W: Word>(
    shape: &ConvShape,
    batch: usize,
    weights: &[W],
    input: &[W],
    out: &mut [W],
) {
    shape.check();
    assert_eq!(weights.len(), shape.weight_len(), "weights");
    assert_eq!(input.len(), batch * shape.input_len(), "input");
    assert_eq!(out.len(), batch * shape.output_len(), "output");
    let (out_h, out_w) = (shape.out_h(), shape.out_w());
    let plane = out_h * out_w;
    if plane == 0 {
        return;
    }
    let per_group = shape.in_channels / shape.groups;
    out.par_chunks_mut(plane).enumerate().for_each(|(i, out)| {
        let (sample, channel) = (i / shape.out_channels, i % shape.out_channels);
        let first = channel / (shape.out_channels / shape.groups) * per_group;
        out.fill(W::ZERO);
        for k in 0..shape.depth() {
            let [kh, kw] = shape.kernel;
            let (ic, ky, kx) = (first + k / (kh * kw), k / kw % kh, k % kw);
            let weight = weights[channel * shape.depth() + k];
            let base = sample * shape.input_len() + ic * shape.in_h * shape.in_w;
            for oy in 0..out_h {
                let iy = (oy * shape.stride[0] + ky * shape.dilation[0]).wrapping_sub(shape.pads[0]);
                if iy >= shape.in_h {
                    continue;
                }
                for ox in 0..out_w {
                    let ix =
                        (ox * shape.stride[1] + kx * shape.dilation[1]).wrapping_sub(shape.pads[1]);
                    if ix < shape.in_w {
                        let x = input[base + iy * shape.in_w + ix];
                        let y = &mut out[oy * out_w + ox];
                        *y = y.wrapping_add(weight.wrapping_mul(x));
                    }
                }
            }
        }
    });
}
