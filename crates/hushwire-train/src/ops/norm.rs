//! Batch normalisation of `[N, C, ...]`: each channel gets mean 0 and variance 1 over the batch,
//! then a scale and a shift of its own (Ioffe, Szegedy, arXiv 1502.03167).

use rayon::prelude::*;

/// What a batch gives each channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moments {
    pub mean: Vec<f32>,
    /// Biased, as it divides the batch.
    pub variance: Vec<f32>,
}

/// Extents of a normalised value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extents {
    pub channels: usize,
    /// Elements of a channel of a sample.
    pub positions: usize,
}

impl Extents {
    fn planes<'a>(&self, x: &'a [f32], channel: usize) -> impl Iterator<Item = &'a [f32]> {
        x.chunks_exact(self.positions).skip(channel).step_by(self.channels)
    }
}

/// Sums of `f` over a slice in several lanes, which the compiler makes a vector of.
fn lanes<const K: usize>(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> [f32; K]) -> [f64; K] {
    const LANES: usize = 16;
    let mut sums = [[0.0f32; LANES]; K];
    let mut add = |lane: usize, a: f32, b: f32| {
        for (sums, term) in sums.iter_mut().zip(f(a, b)) {
            sums[lane] += term;
        }
    };
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            add(lane, a[lane], b[lane]);
        }
    }
    for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        add(lane, *a, *b);
    }
    sums.map(|sums| sums.iter().map(|s| f64::from(*s)).sum())
}

/// Mean and variance of every channel.
pub(crate) fn moments(extents: Extents, x: &[f32], to: &mut Moments) {
    let count = (x.len() / extents.channels) as f64;
    let channel = |channel| {
        // Around the first element, so that a large mean costs no precision.
        let pivot = extents.planes(x, channel).next().map_or(0.0, |plane| plane[0]);
        let mut sums = [0.0; 2];
        for plane in extents.planes(x, channel) {
            let term = |x: f32, _| [x - pivot, (x - pivot) * (x - pivot)];
            let plane = lanes(plane, plane, term);
            sums = [sums[0] + plane[0], sums[1] + plane[1]];
        }
        let mean = sums[0] / count;
        let variance = (sums[1] / count - mean * mean).max(0.0);
        ((mean + f64::from(pivot)) as f32, variance as f32)
    };
    let (mean, variance) = (0..extents.channels).into_par_iter().map(channel).unzip();
    *to = Moments { mean, variance };
}

/// `1 / sqrt(variance + epsilon)`
fn inverse(variance: f32, epsilon: f32) -> f32 {
    (f64::from(variance) + f64::from(epsilon)).sqrt().recip() as f32
}

/// `to = (x - mean) / deviation * scale + shift`
pub(crate) fn forward(
    extents: Extents,
    moments: &Moments,
    epsilon: f32,
    [scale, shift]: [&[f32]; 2],
    x: &[f32],
    to: &mut [f32],
) {
    let lines: Vec<(f32, f32)> = (0..extents.channels)
        .map(|c| {
            let slope = scale[c] * inverse(moments.variance[c], epsilon);
            (slope, shift[c] - moments.mean[c] * slope)
        })
        .collect();
    let len = extents.channels * extents.positions;
    to.par_chunks_mut(len).zip(x.par_chunks(len)).for_each(|(to, x)| {
        let planes = to.chunks_exact_mut(extents.positions).zip(x.chunks_exact(extents.positions));
        for ((to, x), &(slope, start)) in planes.zip(&lines) {
            to.iter_mut().zip(x).for_each(|(to, x)| *to = x * slope + start);
        }
    });
}

/// `to = x + shift`
pub(crate) fn shift(extents: Extents, shift: &[f32], x: &[f32], to: &mut [f32]) {
    let len = extents.channels * extents.positions;
    to.par_chunks_mut(len).zip(x.par_chunks(len)).for_each(|(to, x)| {
        let planes = to.chunks_exact_mut(extents.positions).zip(x.chunks_exact(extents.positions));
        for ((to, x), shift) in planes.zip(shift) {
            to.iter_mut().zip(x).for_each(|(to, x)| *to = x + shift);
        }
    });
}

/// Turns the gradient `g` of the normalised value into that of `x`, and adds the gradients of the
/// scale and the shift.
pub(crate) fn backward(
    extents: Extents,
    moments: &Moments,
    epsilon: f32,
    scale: &[f32],
    x: &[f32],
    g: &mut [f32],
    [to_scale, to_shift]: [&mut [f32]; 2],
) {
    let count = (x.len() / extents.channels) as f64;
    let shared: &[f32] = g;
    let channel = |c: usize| {
        let (mean, inverse) = (moments.mean[c], inverse(moments.variance[c], epsilon));
        let mut sums = [0.0; 2];
        for (g, x) in extents.planes(shared, c).zip(extents.planes(x, c)) {
            let plane = lanes(g, x, |g, x| [g, g * (x - mean)]);
            sums = [sums[0] + plane[0], sums[1] + plane[1]];
        }
        let [shift, product] = sums;
        let (scale, inverse) = (f64::from(scale[c]), f64::from(inverse));
        // g' = scale * inverse * (g - shift / n - (x - mean) * inverse^2 * product / n)
        let slope = scale * inverse;
        let along = -slope * inverse * inverse * product / count;
        let start = -slope * shift / count - along * f64::from(mean);
        let line = [slope as f32, along as f32, start as f32];
        ((product * inverse) as f32, shift as f32, line)
    };
    let channels: Vec<(f32, f32, [f32; 3])> =
        (0..extents.channels).into_par_iter().map(channel).collect();
    for (c, (scale, shift, _)) in channels.iter().enumerate() {
        to_scale[c] += scale;
        to_shift[c] += shift;
    }
    let len = extents.channels * extents.positions;
    g.par_chunks_mut(len).zip(x.par_chunks(len)).for_each(|(g, x)| {
        let planes = g.chunks_exact_mut(extents.positions).zip(x.chunks_exact(extents.positions));
        for ((g, x), (_, _, [slope, along, start])) in planes.zip(&channels) {
            g.iter_mut().zip(x).for_each(|(g, x)| *g = *g * slope + x * along + start);
        }
    });
}
