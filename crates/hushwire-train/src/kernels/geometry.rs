//! How a convolution's values are laid out so that every tap of the kernel is a shift.
//!
//! A map is copied row by row into a *plane* whose rows are `pitch` elements apart, with zeros
//! between. The output is computed on the same grid: element `q = y * pitch + x` of the output is a
//! sum over taps of the plane's element `q + offset(tap)`, whatever `q`, so that whole vectors of
//! it are computed at once. Columns beyond the output's width are garbage and dropped. The zeros
//! after one row are those before the next, so `pitch` is little more than the width.
//!
//! A stride of `s` splits the padded input into `s x s` *phases*, one plane each: those elements
//! whose coordinates leave the same remainders. Within a phase the taps are shifts again.
//!
//! The gradient of the input is the same kind of sum over shifts of the output's gradient, for each
//! phase over the taps that read it.

use std::ops::Range;

use hushwire_graph::Conv;

use super::tile::LANES;

/// Extents and layouts of one convolution.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub groups: usize,
    /// Input channels of each group.
    pub channels: usize,
    /// Output channels of each group.
    pub outputs: usize,
    pub input: [usize; 2],
    pub output: [usize; 2],
    pub kernel: [usize; 2],
    /// Distance of rows in planes of either layout.
    pub pitch: usize,
    /// Columns of the grid that are computed, a multiple of [`LANES`].
    pub width: usize,
    /// Phases of the input that some tap reads, in the order of their planes.
    pub phases: Vec<Phase>,
    stride: [usize; 2],
    /// Zeros above and left of the input.
    pads: [usize; 2],
    /// Elements of a plane of the input.
    input_plane: usize,
    /// For each `(channel, tap)` of a group where it reads, relative to the group's first plane.
    pub offsets: Vec<u32>,
    /// Elements of a plane of the output's gradient, and where its element (0, 0) is.
    output_plane: usize,
    pub origin: usize,
}

/// One phase of the input.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    /// Remainders of the padded coordinates, vertical and horizontal.
    index: [usize; 2],
    /// Rows and columns of the phase that are part of the input, not padding.
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// Taps of the kernel that read the phase.
    pub taps: Vec<usize>,
    /// For each `(output, tap)` of a group where the gradient of the phase's first element reads
    /// the output's gradient, relative to the group's first plane.
    pub offsets: Vec<u32>,
    /// Columns of the grid that are computed for the gradient, a multiple of [`LANES`].
    pub width: usize,
}

impl Geometry {
    /// The layouts for a convolution of maps of extents `input` to maps of extents `output`, with a
    /// weight of shape `weight`.
    pub(crate) fn new(
        conv: &Conv,
        weight: &[usize],
        input: [usize; 2],
        output: [usize; 2],
    ) -> Self {
        let (stride, dilation) = (conv.stride, conv.dilation);
        let pads = [conv.pads[0], conv.pads[1]];
        let kernel = [weight[2], weight[3]];
        // Coordinates of a tap within its phase, and the farthest.
        let place = |axis: usize, k: usize| k * dilation[axis] / stride[axis];
        let far = [0, 1].map(|axis| place(axis, kernel[axis] - 1));
        // The part of a phase that is no padding.
        let inside = |axis: usize, phase: usize| {
            let begin = |edge: usize| edge.saturating_sub(phase).div_ceil(stride[axis]);
            begin(pads[axis])..begin(pads[axis] + input[axis])
        };
        let mut phases: Vec<Phase> = Vec::new();
        for tap in 0..kernel[0] * kernel[1] {
            let at = [tap / kernel[1], tap % kernel[1]];
            let index = [0, 1].map(|axis| at[axis] * dilation[axis] % stride[axis]);
            match phases.iter_mut().find(|phase| phase.index == index) {
                Some(phase) => phase.taps.push(tap),
                None => phases.push(Phase {
                    index,
                    rows: inside(0, index[0]),
                    columns: inside(1, index[1]),
                    taps: vec![tap],
                    offsets: Vec::new(),
                    width: 0,
                }),
            }
        }
        let least = |axis: usize, end: fn(&Range<usize>) -> usize| {
            let ranges = phases.iter().map(|p| if axis == 0 { &p.rows } else { &p.columns });
            ranges.map(end).fold((usize::MAX, 0), |(low, high), x| (low.min(x), high.max(x)))
        };
        let (first, last) =
            ([0, 1].map(|a| least(a, |r| r.start).0), [0, 1].map(|a| least(a, |r| r.end).1));
        // Zeros before the gradient of the output.
        let lead = [0, 1].map(|axis| far[axis].saturating_sub(first[axis]));
        // A read beyond a row's end must land in the zeros before the next row's values.
        let pitch = [(output[1] + far[1]).saturating_sub(first[1]), last[1], lead[1] + output[1]];
        let pitch = pitch.into_iter().fold(output[1], usize::max);
        let width = ((output[0] - 1) * pitch + output[1]).next_multiple_of(LANES);
        let input_rows = (output[0] + far[0]).max(last[0]) + 1;
        let input_plane = (input_rows * pitch).next_multiple_of(LANES);
        let origin = lead[0] * pitch + lead[1];
        let output_rows = lead[0] + output[0].max(last[0]) + 1;
        let output_plane = (output_rows * pitch).max(origin + width).next_multiple_of(LANES);

        let (channels, outputs) = (weight[1], weight[0] / conv.groups);
        let taps = kernel[0] * kernel[1];
        let shift = |tap: usize| [place(0, tap / kernel[1]), place(1, tap % kernel[1])];
        let mut offsets = Vec::with_capacity(channels * taps);
        for channel in 0..channels {
            for tap in 0..taps {
                let phase = phases.iter().position(|phase| phase.taps.contains(&tap));
                let plane = channel * phases.len() + phase.unwrap_or(0);
                let [y, x] = shift(tap);
                offsets.push((plane * input_plane + y * pitch + x) as u32);
            }
        }
        for phase in &mut phases {
            let (rows, columns) = (phase.rows.clone(), phase.columns.clone());
            if rows.is_empty() || columns.is_empty() {
                continue;
            }
            phase.width = ((rows.len() - 1) * pitch + columns.len()).next_multiple_of(LANES);
            for output in 0..outputs {
                for &tap in &phase.taps {
                    let [y, x] = shift(tap);
                    let (row, column) = (rows.start + lead[0] - y, columns.start + lead[1] - x);
                    phase.offsets.push((output * output_plane + row * pitch + column) as u32);
                }
            }
        }
        Self {
            groups: conv.groups,
            channels,
            outputs,
            input,
            output,
            kernel,
            pitch,
            width,
            phases,
            stride,
            pads,
            input_plane,
            offsets,
            output_plane,
            origin,
        }
    }

    /// Elements of a sample's input.
    pub(crate) fn input_len(&self) -> usize {
        self.groups * self.channels * self.input[0] * self.input[1]
    }

    /// Elements of a sample's output.
    pub(crate) fn output_len(&self) -> usize {
        self.groups * self.outputs * self.output[0] * self.output[1]
    }

    /// Elements of the packed planes of one group of a sample's input.
    pub(crate) fn input_group(&self) -> usize {
        self.channels * self.phases.len() * self.input_plane
    }

    /// Elements of the packed planes of a sample's input.
    pub(crate) fn packed_input(&self) -> usize {
        self.groups * self.input_group()
    }

    /// Elements of the packed planes of one group of a sample's output gradient.
    pub(crate) fn output_group(&self) -> usize {
        self.outputs * self.output_plane
    }

    /// Elements of the packed planes of a sample's output gradient.
    pub(crate) fn packed_output(&self) -> usize {
        self.groups * self.output_group()
    }

    /// Where row `o` of a group's packed output gradient begins to be read on the output's grid.
    pub(crate) fn output_row(&self, o: usize) -> usize {
        o * self.output_plane + self.origin
    }

    /// Elements behind packed planes that whole vectors may touch.
    pub(crate) fn slack(&self) -> usize {
        let widest = self.phases.iter().map(|p| p.width).max().unwrap_or(0).max(self.width);
        widest + self.pitch
    }

    /// Copies a sample's input `[C, H, W]` into planes, whose padding must be zero already.
    pub(crate) fn pack_input(&self, input: &[f32], planes: &mut [f32]) {
        let map = self.input[0] * self.input[1];
        let [sy, sx] = self.stride;
        let targets = planes.chunks_exact_mut(self.input_plane * self.phases.len());
        for (map, planes) in input.chunks_exact(map).zip(targets) {
            for (phase, plane) in self.phases.iter().zip(planes.chunks_exact_mut(self.input_plane))
            {
                let Some((y, x)) = self.corner(phase) else { continue };
                for (i, row) in phase.rows.clone().enumerate() {
                    let from = &map[(y + i * sy) * self.input[1] + x..];
                    let to = &mut plane[row * self.pitch + phase.columns.start..];
                    let to = &mut to[..phase.columns.len()];
                    if sx == 1 {
                        to.copy_from_slice(&from[..to.len()]);
                    } else {
                        to.iter_mut().zip(from.iter().step_by(sx)).for_each(|(t, f)| *t = *f);
                    }
                }
            }
        }
    }

    /// The input's element that a phase's first one is.
    pub(crate) fn corner(&self, phase: &Phase) -> Option<(usize, usize)> {
        let place = |axis: usize, start: usize| {
            start * self.stride[axis] + phase.index[axis] - self.pads[axis]
        };
        let whole = !phase.rows.is_empty() && !phase.columns.is_empty();
        whole.then(|| (place(0, phase.rows.start), place(1, phase.columns.start)))
    }

    /// Distance in the input of neighbours in a phase.
    pub(crate) fn stride(&self) -> [usize; 2] {
        self.stride
    }

    /// Copies a sample's output gradient `[C, H, W]` into planes, whose padding must be zero
    /// already.
    pub(crate) fn pack_output(&self, gradient: &[f32], planes: &mut [f32]) {
        let [height, width] = self.output;
        let maps = gradient.chunks_exact(height * width);
        for (map, plane) in maps.zip(planes.chunks_exact_mut(self.output_plane)) {
            for (from, to) in
                map.chunks_exact(width).zip(plane[self.origin..].chunks_mut(self.pitch))
            {
                to[..width].copy_from_slice(from);
            }
        }
    }
}
