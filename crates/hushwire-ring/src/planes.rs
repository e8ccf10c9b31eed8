//! The input of a convolution, with its zeros around it and without its strides.
//!
//! With stride s, an output reads positions `s * o + d * t` for taps t: the positions of one residue
//! modulo s make a *phase*, in which outputs side by side read positions side by side. A plane
//! becomes one smaller plane per phase that some tap reads. All that follows has stride one and
//! needs no bounds.

use crate::simd::Vectorised;
use crate::{ConvShape, Word};

/// How the phases of one channel lie in memory.
pub(crate) struct Geometry {
    axes: [Axis; 2],
}

/// Rows or columns.
struct Axis {
    /// Length without padding.
    len: usize,
    before: usize,
    stride: usize,
    /// The residues that some tap reads.
    phases: Vec<usize>,
    /// For each tap, the index of its phase and its place therein.
    taps: Vec<(usize, usize)>,
    /// Length of a phase.
    phase_len: usize,
}

impl Axis {
    fn new(shape: &ConvShape, axis: usize) -> Self {
        let (len, stride) = ([shape.in_h, shape.in_w][axis], shape.stride[axis]);
        let (before, after) = (shape.pads[axis], shape.pads[axis + 2]);
        let positions = (0..shape.kernel[axis]).map(|t| t * shape.dilation[axis]);
        let mut phases = Vec::new();
        let taps = positions
            .map(|at| {
                let residue = at % stride;
                let known = phases.iter().position(|&p| p == residue);
                let phase = known.unwrap_or_else(|| {
                    phases.push(residue);
                    phases.len() - 1
                });
                (phase, at / stride)
            })
            .collect();
        let phase_len = (before + len + after).div_ceil(stride);
        Self { len, before, stride, phases, taps, phase_len }
    }

    /// Whether the axis is the input's own.
    fn is_plain(&self) -> bool {
        self.phases == [0] && self.stride == 1 && self.phase_len == self.len
    }
}

impl Geometry {
    pub(crate) fn new(shape: &ConvShape) -> Self {
        Self { axes: [Axis::new(shape, 0), Axis::new(shape, 1)] }
    }

    /// Whether channels need no change.
    pub(crate) fn is_plain(&self) -> bool {
        self.axes.iter().all(Axis::is_plain)
    }

    /// Words of a row of a phase.
    pub(crate) fn width(&self) -> usize {
        self.axes[1].phase_len
    }

    /// Words of all phases of a channel.
    pub(crate) fn channel_len(&self) -> usize {
        self.axes.iter().map(|axis| axis.phases.len() * axis.phase_len).product()
    }

    /// Where the word that output (0, 0) multiplies with tap `t` = (row, column) is in its channel.
    pub(crate) fn tap(&self, t: [usize; 2]) -> usize {
        let [(py, y), (px, x)] = [self.axes[0].taps[t[0]], self.axes[1].taps[t[1]]];
        let [rows, columns] = &self.axes;
        let phase = py * columns.phases.len() + px;
        (phase * rows.phase_len + y) * columns.phase_len + x
    }
}

/// Rewrites a channel's plane by phases.
pub(crate) struct Split<'a, W> {
    pub(crate) geometry: &'a Geometry,
    /// `in_h * in_w` words.
    pub(crate) plane: &'a [W],
    /// [`Geometry::channel_len`] zeros, or what an earlier split of the same geometry left.
    pub(crate) out: &'a mut [W],
}

impl<W: Word> Vectorised for Split<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [rows, columns] = &self.geometry.axes;
        let mut phases = self.out.chunks_exact_mut(rows.phase_len * columns.phase_len);
        for &py in &rows.phases {
            for (&px, out) in columns.phases.iter().zip(phases.by_ref()) {
                // The first places of the phase that are not padding, and their input positions.
                let [(top, mut y), (left, x)] =
                    [(rows, py), (columns, px)].map(|(axis, residue)| {
                        let first = axis.before.saturating_sub(residue).div_ceil(axis.stride);
                        (first, first * axis.stride + residue - axis.before)
                    });
                for out in out.chunks_exact_mut(columns.phase_len).skip(top) {
                    if y >= rows.len {
                        break;
                    }
                    let row = &self.plane[y * columns.len..][..columns.len];
                    copy_strided(&row[x.min(row.len())..], columns.stride, &mut out[left..]);
                    y += rows.stride;
                }
            }
        }
    }
}

/// Copies every `stride`-th word.
#[inline(always)]
fn copy_strided<W: Word>(from: &[W], stride: usize, to: &mut [W]) {
    match stride {
        1 => {
            let len = from.len().min(to.len());
            to[..len].copy_from_slice(&from[..len]);
        }
        2 => {
            let (pairs, last) = from.as_chunks::<2>();
            for (to, [even, _]) in to.iter_mut().zip(pairs) {
                *to = *even;
            }
            for (to, even) in to.iter_mut().skip(pairs.len()).zip(last) {
                *to = *even;
            }
        }
        _ => {
            for (to, from) in to.iter_mut().zip(from.iter().step_by(stride)) {
                *to = *from;
            }
        }
    }
}
