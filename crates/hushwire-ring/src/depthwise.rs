//! Convolutions with one input channel per group.

use rayon::prelude::*;

use crate::planes::{Geometry, Split};
use crate::scratch::Scratch;
use crate::simd::{self, Level, Vectorised};
use crate::{ConvShape, Word};

/// Outputs computed together.
const LANES: usize = 32;

/// Writes the convolution of all samples: every output plane is a sum of shifted input planes.
///
/// Planes are taken flat, rows with their padding one after the other, so that short rows fill
/// vectors too; what falls between rows is dropped.
///
/// # What bounds it
/// Loads: one for every product, of which most span two lines of the cache and count twice; and, as
/// there are few products, the memory that the planes come from and go to.
pub(crate) fn compute<W: Word>(shape: &ConvShape, weights: &[W], input: &[W], out: &mut [W]) {
    let level = Level::detected();
    let geometry = Geometry::new(shape);
    let taps: Vec<usize> = (0..shape.kernel[0])
        .flat_map(|y| (0..shape.kernel[1]).map(move |x| [y, x]))
        .map(|tap| geometry.tap(tap))
        .collect();
    let (out_h, out_w, width) = (shape.out_h(), shape.out_w(), geometry.width());
    let multiplier = shape.out_channels / shape.groups;
    let channel = geometry.channel_len();
    let flat = ((out_h - 1) * width + out_w).next_multiple_of(LANES);
    // Sums read on beyond the channel, for places that are dropped.
    let scratch = || {
        let mut split = Scratch::<W>::new(channel + flat);
        split.fill(W::ZERO);
        (split, Scratch::<W>::new(flat))
    };
    out.par_chunks_mut(multiplier * out_h * out_w)
        .zip(input.par_chunks(shape.in_h * shape.in_w))
        .enumerate()
        .for_each_init(scratch, |(split, sums), (i, (out, plane))| {
            let geometry = &geometry;
            simd::dispatch(level, Split { geometry, plane, out: &mut split[..channel] });
            let first = i % shape.in_channels * multiplier * taps.len();
            let weights = weights[first..].chunks_exact(taps.len());
            for (out, weights) in out.chunks_exact_mut(out_h * out_w).zip(weights) {
                simd::dispatch(level, Shifted { taps: &taps, weights, input: split, sums });
                for (out, sums) in out.chunks_exact_mut(out_w).zip(sums.chunks(width)) {
                    out.copy_from_slice(&sums[..out_w]);
                }
            }
        });
}

/// Sums of shifted copies of `input`: `sums[i]` = sum of `weights[t] * input[taps[t] + i]`.
struct Shifted<'a, W> {
    taps: &'a [usize],
    weights: &'a [W],
    input: &'a [W],
    sums: &'a mut [W],
}

impl<W: Word> Vectorised for Shifted<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { taps, weights, input, sums } = self;
        for (i, out) in sums.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let input = &input[i * LANES..];
            let mut sums = [W::ZERO; LANES];
            for (&tap, &weight) in taps.iter().zip(weights) {
                for (sum, x) in sums.iter_mut().zip(&input[tap..tap + LANES]) {
                    *sum = sum.wrapping_add(weight.wrapping_mul(*x));
                }
            }
            *out = sums;
        }
    }
}
