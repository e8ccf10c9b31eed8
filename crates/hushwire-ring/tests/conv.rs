//! Convolutions and products against the plain sums.

use hushwire_ring::{ConvShape, Ring, Word, conv2d, conv2d_mod, gemm, gemm_mod};
use proptest::prelude::*;

fn noise<W: Word>(len: usize, seed: u64) -> Vec<W> {
    (0..len as u64)
        .map(|i| W::from_u64((i ^ seed << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)))
        .map(|v: W| v.wrapping_mul(v).xor(v.shr(7)))
        .collect()
}

/// One output at a time, bounds checked tap by tap.
fn naive<W: Word>(shape: &ConvShape, batch: usize, weights: &[W], input: &[W]) -> Vec<W> {
    let (group_in, group_out) =
        (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
    let [kh, kw] = shape.kernel;
    let mut out = vec![];
    for n in 0..batch {
        for oc in 0..shape.out_channels {
            for oy in 0..shape.out_h() {
                for ox in 0..shape.out_w() {
                    let mut sum = W::ZERO;
                    for (i, (ky, kx)) in (0..group_in)
                        .flat_map(|i| (0..kh).flat_map(move |y| (0..kw).map(move |x| (i, (y, x)))))
                    {
                        let y = oy * shape.stride[0] + ky * shape.dilation[0];
                        let x = ox * shape.stride[1] + kx * shape.dilation[1];
                        let (Some(y), Some(x)) =
                            (y.checked_sub(shape.pads[0]), x.checked_sub(shape.pads[1]))
                        else {
                            continue;
                        };
                        if y < shape.in_h && x < shape.in_w {
                            let ic = oc / group_out * group_in + i;
                            let w = weights[((oc * group_in + i) * kh + ky) * kw + kx];
                            let at =
                                ((n * shape.in_channels + ic) * shape.in_h + y) * shape.in_w + x;
                            sum = sum.wrapping_add(w.wrapping_mul(input[at]));
                        }
                    }
                    out.push(sum);
                }
            }
        }
    }
    out
}

fn check<W: Word>(shape: &ConvShape, batch: usize) {
    let weights = noise::<W>(shape.weight_len(), 1);
    let input = noise::<W>(batch * shape.input_len(), 2);
    let expected = naive(shape, batch, &weights, &input);
    let mut out = noise::<W>(batch * shape.output_len(), 3);
    conv2d(shape, batch, &weights, &input, &mut out);
    assert!(out == expected, "{}-bit words, batch {batch}, {shape:?}", W::BITS);

    let ring = Ring::new(52).expect("width in range");
    conv2d_mod(ring, shape, batch, &weights, &input, &mut out);
    assert!(
        out.iter().zip(&expected).all(|(&a, &b)| ring.reduce(a) == ring.reduce(b)),
        "{}-bit words modulo 2^52, batch {batch}, {shape:?}",
        W::BITS
    );
}

prop_compose! {
    fn shapes()(
        groups in 1..4_usize,
        group_in in 1..6_usize,
        group_out in 1..20_usize,
        in_h in 1..12_usize,
        in_w in 1..30_usize,
        kernel in [1..4_usize, 1..4_usize],
        stride in [1..3_usize, 1..3_usize],
        pads in [0..3_usize, 0..3_usize, 0..3_usize, 0..3_usize],
        dilation in [1..3_usize, 1..3_usize],
    ) -> ConvShape {
        ConvShape {
            in_channels: groups * group_in,
            in_h,
            in_w,
            out_channels: groups * group_out,
            kernel,
            stride,
            pads,
            dilation,
            groups,
        }
    }
}

proptest! {
    #[test]
    fn convolutions_are_the_plain_sums(shape in shapes(), batch in 0..4_usize) {
        check::<u32>(&shape, batch);
        check::<u64>(&shape, batch);
    }

    #[test]
    fn depthwise_convolutions_are_the_plain_sums(
        mut shape in shapes(),
        channels in 1..9_usize,
        multiplier in 1..3_usize,
        batch in 1..3_usize,
    ) {
        shape.in_channels = channels;
        shape.groups = channels;
        shape.out_channels = channels * multiplier;
        check::<u32>(&shape, batch);
        check::<u64>(&shape, batch);
    }

    #[test]
    fn products_are_the_plain_sums(
        batch in 0..60_usize,
        in_features in 0..300_usize,
        out_features in 0..70_usize,
    ) {
        product::<u32>(batch, in_features, out_features);
        product::<u64>(batch, in_features, out_features);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn convolutions_of_many_channels_are_the_plain_sums(
        (groups, batch) in prop_oneof![Just((1, 1)), Just((2, 1)), Just((1, 2))],
        group_in in 32..60_usize,
        group_out in 32..60_usize,
        in_h in 5..14_usize,
        in_w in 5..20_usize,
        pads in [0..3_usize, 0..3_usize, 0..3_usize, 0..3_usize],
    ) {
        let shape = ConvShape {
            in_channels: groups * group_in,
            in_h,
            in_w,
            out_channels: groups * group_out,
            kernel: [3; 2],
            stride: [1; 2],
            pads,
            dilation: [1; 2],
            groups,
        };
        check::<u32>(&shape, batch);
        check::<u64>(&shape, batch);
    }
}

fn product<W: Word>(batch: usize, in_features: usize, out_features: usize) {
    let weights = noise::<W>(out_features * in_features, 4);
    let input = noise::<W>(batch * in_features, 5);
    let mut out = noise::<W>(batch * out_features, 6);
    gemm(batch, in_features, out_features, &weights, &input, &mut out);
    for b in 0..batch {
        for o in 0..out_features {
            let sum = (0..in_features).fold(W::ZERO, |sum, i| {
                sum.wrapping_add(
                    weights[o * in_features + i].wrapping_mul(input[b * in_features + i]),
                )
            });
            assert_eq!(out[b * out_features + o], sum);
        }
    }
    let ring = Ring::new(40).expect("width in range");
    let expected = out.clone();
    gemm_mod(ring, batch, in_features, out_features, &weights, &input, &mut out);
    assert!(out.iter().zip(&expected).all(|(&a, &b)| ring.reduce(a) == ring.reduce(b)));
}

fn square(channels: [usize; 2], side: usize, kernel: usize) -> ConvShape {
    ConvShape {
        in_channels: channels[0],
        in_h: side,
        in_w: side,
        out_channels: channels[1],
        kernel: [kernel; 2],
        stride: [1; 2],
        pads: [kernel / 2; 4],
        dilation: [1; 2],
        groups: 1,
    }
}

#[test]
fn blocks_in_every_direction() {
    // Deeper than a step, wider than a block of columns, more rows than a block.
    for shape in [square([70, 20], 16, 3), square([5, 530], 7, 1), square([30, 9], 23, 5)] {
        for batch in [1, 3] {
            check::<u32>(&shape, batch);
            check::<u64>(&shape, batch);
        }
    }
}

#[test]
fn one_thread_and_many_agree() {
    let shape = square([16, 64], 14, 3);
    for threads in [1, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            check::<u32>(&shape, 2);
            check::<u64>(&shape, 2);
            product::<u64>(50, 40, 30);
        });
    }
}
