//! The input of a convolution, with its zeros around it and without its strides.
//!
//! With stride s, an output reads positions `s * o + d * t` for taps t: the positions of one residue
//! modulo s make a *phase*, in which outputs side by side read positions side by side. A plane
//! becomes one smaller plane per phase that some tap reads. All that follows has stride one and
//! needs no bounds.

use crate::panel::{Columns, Gather, HOLE};
use crate::scratch::Scratch;
use crate::simd::{self, Level, Vectorised};
use crate::tile::lanes;
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

    /// The first place of the phase of a residue that is not padding, and its input position.
    fn first(&self, residue: usize) -> (usize, usize) {
        let first = self.before.saturating_sub(residue).div_ceil(self.stride);
        (first, first * self.stride + residue - self.before)
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

    /// Words of all phases of a channel: the input's own, or else whole vectors.
    pub(crate) fn channel_len(&self) -> usize {
        let len = self.phases_len();
        if self.is_plain() { len } else { len.next_multiple_of(lanes::<u32>()) }
    }

    fn phases_len(&self) -> usize {
        self.axes.iter().map(|axis| axis.phases.len() * axis.phase_len).product()
    }

    /// For each word of a channel without strides, where it is in the input.
    fn offsets(&self) -> Vec<usize> {
        let [rows, columns] = &self.axes;
        let place = |axis: &Axis, i: usize| i.checked_sub(axis.before).filter(|&i| i < axis.len);
        let mut offsets = Vec::with_capacity(self.channel_len());
        for y in 0..rows.phase_len {
            let y = place(rows, y);
            offsets.extend((0..columns.phase_len).map(|x| match (y, place(columns, x)) {
                (Some(y), Some(x)) => y * columns.len + x,
                _ => HOLE,
            }));
        }
        offsets.resize(self.channel_len(), HOLE);
        offsets
    }

    /// Where the word that output (0, 0) multiplies with tap `t` = (row, column) is in its channel.
    pub(crate) fn tap(&self, t: [usize; 2]) -> usize {
        let [(py, y), (px, x)] = [self.axes[0].taps[t[0]], self.axes[1].taps[t[1]]];
        let [rows, columns] = &self.axes;
        let phase = py * columns.phases.len() + px;
        (phase * rows.phase_len + y) * columns.phase_len + x
    }
}

/// Rewrites planes of the input as channels.
pub(crate) struct Splitter<'a> {
    geometry: &'a Geometry,
    /// For each word of a channel, where it is in the plane; `None` if that is the same place, or if
    /// there are strides.
    columns: Option<Columns>,
}

impl<'a> Splitter<'a> {
    /// For planes of words `W`.
    pub(crate) fn new<W: Word>(geometry: &'a Geometry) -> Self {
        let padded = geometry.axes.iter().all(|axis| axis.stride == 1) && !geometry.is_plain();
        Self { geometry, columns: padded.then(|| Columns::new::<W>(geometry.offsets())) }
    }

    /// Writes the channels of `planes` over `out`.
    pub(crate) fn run<W: Word>(&self, level: Level, planes: &[W], out: &mut [W]) {
        let [rows, columns] = &self.geometry.axes;
        let (plane, channel) = (rows.len * columns.len, self.geometry.channel_len());
        if let Some(columns) = &self.columns {
            let starts: Vec<usize> = (0..planes.len()).step_by(plane).collect();
            let (data, rows, panel) = (planes, &starts[..], out);
            let (first, vectors) = (0, columns.vectors());
            let pairs = &mut Scratch::new(channel)[..];
            let limbs = false;
            let gather = Gather { data, rows, columns, first, vectors, limbs, panel, pairs };
            simd::gather(level, gather);
        } else {
            out.fill(W::ZERO);
            for (plane, out) in planes.chunks_exact(plane).zip(out.chunks_exact_mut(channel)) {
                simd::dispatch(level, Split { geometry: self.geometry, plane, out });
            }
        }
    }
}

/// Rewrites a channel's plane by phases.
pub(crate) struct Split<'a, W> {
    pub(crate) geometry: &'a Geometry,
    /// `in_h * in_w` words.
    pub(crate) plane: &'a [W],
    /// [`Geometry::channel_len`] words, zeros or what an earlier split of the same geometry left.
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
                let ((top, y), (left, x)) = (rows.first(py), columns.first(px));
                let out = out.chunks_exact_mut(columns.phase_len).skip(top);
                for (out, y) in out.zip((y..rows.len).step_by(rows.stride)) {
                    let row = &self.plane[y * columns.len..][..columns.len];
                    copy_strided(&row[x.min(row.len())..], columns.stride, &mut out[left..]);
                }
            }
        }
    }
}

/// Copies every `stride`-th word.
#[inline(always)]
fn copy_strided<W: Word>(from: &[W], stride: usize, to: &mut [W]) {
    let len = from.len().div_ceil(stride).min(to.len());
    let to = &mut to[..len];
    match stride {
        1 => to.copy_from_slice(&from[..len]),
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
