//! Convolutions forward and backward, sample by sample.

use super::geometry::Geometry;
use super::tile::{self, OUTER};

/// Weights in the order in which the register tiles read them: panels of up to
/// [`tile::panel_rows`] rows, in each the rows' weights for one term of the sum side by side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panels {
    data: Vec<f32>,
    /// For each panel its first row and how many it has; the rows of all groups count through.
    rows: Vec<(usize, usize)>,
    terms: usize,
}

impl Panels {
    /// Packs `rows` rows of `terms` weights; `weight(row, term)` tells them.
    fn pack(
        &mut self,
        groups: usize,
        rows: usize,
        terms: usize,
        weight: impl Fn(usize, usize) -> f32,
    ) {
        self.data.clear();
        self.rows.clear();
        self.terms = terms;
        let most = tile::panel_rows();
        for group in 0..groups {
            let mut row = 0;
            while row < rows {
                let count = [8, 4, 2, 1].into_iter().find(|c| *c <= most.min(rows - row));
                let count = count.unwrap_or(1);
                let first = group * rows + row;
                self.rows.push((first, count));
                for term in 0..terms {
                    self.data.extend((first..first + count).map(|row| weight(row, term)));
                }
                row += count;
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = (usize, usize, &[f32])> {
        self.rows.iter().map(|&(first, count)| {
            (first, count, &self.data[first * self.terms..(first + count) * self.terms])
        })
    }
}

/// A convolution's weights, packed for both directions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    forward: Panels,
    /// One for each phase of the input.
    backward: Vec<Panels>,
}

impl Packed {
    /// Packs the weights `[outputs, channels / groups, height, width]`; the backward direction only
    /// where it is needed.
    pub(crate) fn pack(&mut self, g: &Geometry, weight: &[f32], backward: bool) {
        let taps = g.kernel[0] * g.kernel[1];
        let terms = g.channels * taps;
        self.forward.pack(g.groups, g.outputs, terms, |row, term| weight[row * terms + term]);
        if !backward {
            return;
        }
        self.backward.resize_with(g.phases.len(), Panels::default);
        for (phase, panels) in g.phases.iter().zip(&mut self.backward) {
            let count = phase.taps.len();
            panels.pack(g.groups, g.channels, g.outputs * count, |row, term| {
                let (group, channel) = (row / g.channels, row % g.channels);
                let (output, tap) = (group * g.outputs + term / count, phase.taps[term % count]);
                weight[output * terms + channel * taps + tap]
            });
        }
    }
}

/// Buffers that a thread uses for one sample after the other.
#[derive(Default)]
pub(crate) struct Scratch {
    input: Vec<f32>,
    output: Vec<f32>,
    staging: Vec<f32>,
}

/// Makes room for packed planes: `len` elements and the slack behind them, all zero.
fn zeroed(buffer: &mut Vec<f32>, len: usize) {
    buffer.clear();
    buffer.resize(len, 0.0);
}

/// `out = conv(input) + bias` for samples `[C, H, W]` one after the other.
pub(crate) fn forward(
    g: &Geometry,
    weights: &Packed,
    bias: Option<&[f32]>,
    input: &[f32],
    out: &mut [f32],
    scratch: &mut Scratch,
) {
    let (in_len, out_len) = (g.input_len(), g.output_len());
    zeroed(&mut scratch.input, g.packed_input() + g.slack());
    scratch.staging.resize(tile::panel_rows() * g.width, 0.0);
    let map = g.output[0] * g.output[1];
    for (input, out) in input.chunks_exact(in_len).zip(out.chunks_exact_mut(out_len)) {
        g.pack_input(input, &mut scratch.input);
        for (first, count, panel) in weights.forward.iter() {
            let planes = &scratch.input[first / g.outputs * g.input_group()..];
            tile::correlate(count, panel, &g.offsets, planes, g.width, &mut scratch.staging);
            let rows = scratch.staging.chunks_exact(g.width).take(count).enumerate();
            for ((r, row), map) in rows.zip(out[first * map..].chunks_exact_mut(map)) {
                let bias = bias.map_or(0.0, |bias| bias[first + r]);
                for (from, to) in row.chunks(g.pitch).zip(map.chunks_exact_mut(g.output[1])) {
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = from + bias);
                }
            }
        }
    }
}

/// Where a sample's gradients go.
pub(crate) struct Gradients<'a> {
    /// Gradient of the input, written or added to.
    pub input: Option<(&'a mut [f32], bool)>,
    /// Gradient of the weights, added to.
    pub weight: &'a mut [f32],
}

/// Samples whose planes are packed at a time, so that the sums of [`tile::outer`] run over many
/// elements without leaving the cache.
fn group_samples(g: &Geometry) -> usize {
    const ELEMENTS: usize = 1 << 17;
    const LONG: usize = 1 << 12;
    let fits = ELEMENTS / (g.packed_input() + g.packed_output());
    LONG.div_ceil(g.width).min(fits).max(1)
}

/// Adds the gradient of the weights and writes that of the input, from the output's `gradient`, for
/// samples one after the other.
pub(crate) fn backward(
    g: &Geometry,
    weights: &Packed,
    input: &[f32],
    gradient: &[f32],
    mut to: Gradients<'_>,
    scratch: &mut Scratch,
) {
    let (in_len, out_len) = (g.input_len(), g.output_len());
    let group = group_samples(g);
    let (x_len, g_len) = (g.packed_input(), g.packed_output());
    zeroed(&mut scratch.input, group * x_len + g.slack());
    zeroed(&mut scratch.output, group * g_len + g.slack());
    let widest = g.phases.iter().map(|p| p.width).max().unwrap_or(0);
    scratch.staging.resize(tile::panel_rows() * widest, 0.0);
    let samples = input.len() / in_len;
    for first in (0..samples).step_by(group) {
        let count = group.min(samples - first);
        for i in 0..count {
            let sample = first + i;
            g.pack_input(
                &input[sample * in_len..][..in_len],
                &mut scratch.input[i * x_len..][..x_len],
            );
            g.pack_output(
                &gradient[sample * out_len..][..out_len],
                &mut scratch.output[i * g_len..][..g_len],
            );
            if let Some((input, add)) = &mut to.input {
                let input = &mut input[sample * in_len..][..in_len];
                input_gradient(
                    g,
                    weights,
                    &scratch.output[i * g_len..],
                    &mut scratch.staging,
                    input,
                    *add,
                );
            }
        }
        weight_gradient(g, count, &scratch.input, &scratch.output, to.weight);
    }
}

/// The gradient of the input alone, written or added to, from the output's `gradient`.
pub(crate) fn backward_input(
    g: &Geometry,
    weights: &Packed,
    gradient: &[f32],
    (input, add): (&mut [f32], bool),
    scratch: &mut Scratch,
) {
    zeroed(&mut scratch.output, g.packed_output() + g.slack());
    let widest = g.phases.iter().map(|p| p.width).max().unwrap_or(0);
    scratch.staging.resize(tile::panel_rows() * widest, 0.0);
    let samples = gradient.chunks_exact(g.output_len()).zip(input.chunks_exact_mut(g.input_len()));
    for (gradient, input) in samples {
        g.pack_output(gradient, &mut scratch.output);
        input_gradient(g, weights, &scratch.output, &mut scratch.staging, input, add);
    }
}

/// The gradient of one sample's input.
fn input_gradient(
    g: &Geometry,
    weights: &Packed,
    gradient: &[f32],
    staging: &mut [f32],
    input: &mut [f32],
    add: bool,
) {
    let map = g.input[0] * g.input[1];
    let [sy, sx] = g.stride();
    if !add && g.phases.len() < sy * sx {
        // Some elements are read by no tap.
        input.fill(0.0);
    }
    for (phase, panels) in g.phases.iter().zip(&weights.backward) {
        let Some((y, x)) = g.corner(phase) else { continue };
        for (first, count, panel) in panels.iter() {
            let planes = &gradient[first / g.channels * g.output_group()..];
            tile::correlate(count, panel, &phase.offsets, planes, phase.width, staging);
            let maps = input[first * map..].chunks_exact_mut(map);
            for (row, map) in staging.chunks_exact(phase.width).take(count).zip(maps) {
                for (i, from) in row.chunks(g.pitch).take(phase.rows.len()).enumerate() {
                    let to = &mut map[(y + i * sy) * g.input[1] + x..];
                    let from = &from[..phase.columns.len()];
                    match (sx, add) {
                        (1, false) => to[..from.len()].copy_from_slice(from),
                        (1, true) => to.iter_mut().zip(from).for_each(|(t, f)| *t += f),
                        (_, false) => {
                            to.iter_mut().step_by(sx).zip(from).for_each(|(t, f)| *t = *f)
                        }
                        (_, true) => to.iter_mut().step_by(sx).zip(from).for_each(|(t, f)| *t += f),
                    }
                }
            }
        }
    }
}

/// Adds the gradient of the weights from some samples' packed planes.
fn weight_gradient(g: &Geometry, samples: usize, input: &[f32], gradient: &[f32], to: &mut [f32]) {
    let terms = g.offsets.len();
    for group in 0..g.groups {
        let input = (&input[group * g.input_group()..], g.packed_input());
        let gradient = (&gradient[group * g.output_group()..], g.packed_output());
        for o in (0..g.outputs).step_by(OUTER[0]) {
            let rows: [usize; OUTER[0]] = std::array::from_fn(|i| g.output_row(o + i));
            let rows = &rows[..OUTER[0].min(g.outputs - o)];
            for (t, offsets) in g.offsets.chunks(OUTER[1]).enumerate() {
                let mut sums = [[0.0; OUTER[0]]; OUTER[1]];
                tile::outer(samples, rows, offsets, gradient, input, g.width, &mut sums);
                for i in 0..rows.len() {
                    let at = (group * g.outputs + o + i) * terms + t * OUTER[1];
                    let to = &mut to[at..at + offsets.len()];
                    to.iter_mut().zip(&sums).for_each(|(to, sums)| *to += sums[i]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hushwire_graph::{Conv, ParamId};
    use proptest::prelude::*;

    /// A convolution whose every element is a small whole number, so that sums are exact in any
    /// order.
    #[derive(Debug)]
    struct Case {
        conv: Conv,
        weight: [usize; 4],
        input: [usize; 2],
        output: [usize; 2],
        samples: usize,
    }

    fn noise(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7 + seed * 13 + i / 5) % 9) as f32 - 4.0).collect()
    }

    impl Case {
        /// Calls `f(output element, input element or none, weight element)` for every product of
        /// the convolution.
        fn each(&self, mut f: impl FnMut(usize, Option<usize>, usize)) {
            let [outputs, channels, kh, kw] = self.weight;
            let Conv { stride, pads, dilation, groups, .. } = self.conv;
            let ([ih, iw], [oh, ow]) = (self.input, self.output);
            for n in 0..self.samples {
                for o in 0..outputs {
                    let group = o / (outputs / groups);
                    for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
                        let out = ((n * outputs + o) * oh + y) * ow + x;
                        for term in 0..channels * kh * kw {
                            let (c, tap) = (term / (kh * kw), term % (kh * kw));
                            let at = |i: usize, k: usize, axis: usize, extent: usize| {
                                let at = i * stride[axis] + k * dilation[axis];
                                at.checked_sub(pads[axis]).filter(|at| *at < extent)
                            };
                            let (row, column) = (at(y, tap / kw, 0, ih), at(x, tap % kw, 1, iw));
                            let plane = n * groups * channels + group * channels + c;
                            let from = row.zip(column).map(|(r, c)| (plane * ih + r) * iw + c);
                            f(out, from, o * channels * kh * kw + term);
                        }
                    }
                }
            }
        }

        fn check(&self) {
            let g = Geometry::new(&self.conv, &self.weight, self.input, self.output);
            let weight = noise(self.weight.iter().product(), 1);
            let (x, dy) =
                (noise(self.samples * g.input_len(), 2), noise(self.samples * g.output_len(), 3));
            let bias = noise(self.weight[0], 4);
            let mut packed = Packed::default();
            packed.pack(&g, &weight, true);

            let mut y = vec![f32::NAN; dy.len()];
            // Dirty buffers must do no harm.
            let mut scratch = Scratch {
                input: vec![f32::NAN; 50],
                output: vec![f32::NAN; 50],
                staging: vec![f32::NAN; 50],
            };
            forward(&g, &packed, Some(&bias), &x, &mut y, &mut scratch);
            let mut dx = noise(x.len(), 5);
            let mut dw = noise(weight.len(), 6);
            let mut expected = (y.clone(), dx.clone(), dw.clone());
            let positions = self.output[0] * self.output[1];
            for (i, y) in expected.0.iter_mut().enumerate() {
                *y = bias[i / positions % self.weight[0]];
            }
            self.each(|out, from, term| {
                if let Some(from) = from {
                    expected.0[out] += weight[term] * x[from];
                    expected.1[from] += weight[term] * dy[out];
                    expected.2[term] += dy[out] * x[from];
                }
            });
            assert_eq!(y, expected.0, "forward");
            let to = Gradients { input: Some((&mut dx, true)), weight: &mut dw };
            backward(&g, &packed, &x, &dy, to, &mut scratch);
            assert_eq!(dw, expected.2, "gradient of the weights");
            assert_eq!(dx, expected.1, "gradient of the input, added");
            let before = noise(x.len(), 5);
            expected.1.iter_mut().zip(&before).for_each(|(e, b)| *e -= b);
            let to = Gradients { input: Some((&mut dx, false)), weight: &mut dw };
            backward(&g, &packed, &x, &dy, to, &mut scratch);
            assert_eq!(dx, expected.1, "gradient of the input, written");
        }
    }

    fn cases() -> impl Strategy<Value = Case> {
        let axis = || (1..5_usize, 1..4_usize, 1..3_usize, 0..3_usize, 0..3_usize, 1..20_usize);
        let channels = (1..4_usize, 1..5_usize, 1..10_usize, 1..6_usize);
        (axis(), axis(), channels).prop_map(|(v, h, (groups, channels, outputs, samples))| {
            // Wide enough for one window at least.
            let fit = |a: (usize, usize, usize, usize, usize, usize)| {
                let (kernel, stride, dilation, before, after, more) = a;
                let span = (kernel - 1) * dilation + 1;
                let input = span.saturating_sub(before + after).max(1) + more;
                (input, (input + before + after - span) / stride + 1)
            };
            let ((ih, oh), (iw, ow)) = (fit(v), fit(h));
            Case {
                conv: Conv {
                    weight: ParamId(0),
                    bias: None,
                    stride: [v.1, h.1],
                    pads: [v.3, h.3, v.4, h.4],
                    dilation: [v.2, h.2],
                    groups,
                },
                weight: [outputs * groups, channels, v.0, h.0],
                input: [ih, iw],
                output: [oh, ow],
                samples,
            }
        })
    }

    proptest! {
        #[test]
        fn convolutions_and_gradients_are_their_definitions(case in cases()) {
            case.check();
        }
    }

    #[test]
    fn many_channels_on_large_maps() {
        for (channels, outputs, side, stride) in [(3, 16, 32, 1), (16, 33, 17, 2), (40, 9, 12, 1)] {
            Case {
                conv: Conv {
                    weight: ParamId(0),
                    bias: None,
                    stride: [stride; 2],
                    pads: [1; 4],
                    dilation: [1; 2],
                    groups: 1,
                },
                weight: [outputs, channels, 3, 3],
                input: [side; 2],
                output: [(side - 1) / stride + 1; 2],
                samples: 3,
            }
            .check();
        }
    }
}
