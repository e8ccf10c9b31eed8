//! Spatial resampling.

use super::for_each_plane;
use crate::{Coordinates, Interpolation, NearestRounding, Resize, Tensor};

/// Where an output index reads along one axis: two input indices and the weight of the second.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tap {
    /// The input index whose weight is `1 - weight`.
    pub first: usize,
    /// The other input index.
    pub second: usize,
    /// Weight of `second`; 0 for the nearest element.
    pub weight: f32,
}

pub(super) fn run(resize: &Resize, input: &Tensor, out: &mut Tensor) {
    let (height, width) = (input.shape[2], input.shape[3]);
    let rows = resize.taps(0, height, out.shape[2]);
    let columns = resize.taps(1, width, out.shape[3]);
    for_each_plane(out, |plane, out| {
        let input = &input.data[plane * height * width..][..height * width];
        for (row, line) in rows.iter().zip(out.chunks_exact_mut(columns.len())) {
            let (upper, lower) = (&input[row.first * width..], &input[row.second * width..]);
            for (column, value) in columns.iter().zip(line) {
                let mix = |line: &[f32]| {
                    line[column.first] * (1.0 - column.weight) + line[column.second] * column.weight
                };
                *value = mix(upper) * (1.0 - row.weight) + mix(lower) * row.weight;
            }
        }
    });
}

impl Resize {
    /// Where each of `out_extent` outputs reads along `axis` (0 vertical, 1 horizontal) of an
    /// input with `extent` elements.
    pub fn taps(&self, axis: usize, extent: usize, out_extent: usize) -> Vec<Tap> {
        let last = (extent - 1) as f32;
        let tap = |i: usize| {
            let x = coordinate(self.coordinates, i as f32, self.scales[axis], extent, out_extent);
            match self.interpolation {
                Interpolation::Nearest(rounding) => {
                    let index = round(rounding, x).clamp(0.0, last) as usize;
                    Tap { first: index, second: index, weight: 0.0 }
                }
                Interpolation::Linear => {
                    let x = x.clamp(0.0, last);
                    let first = x as usize;
                    Tap { first, second: (first + 1).min(extent - 1), weight: x - x.floor() }
                }
            }
        };
        (0..out_extent).map(tap).collect()
    }
}

/// The place in the input that belongs to index `i` of the output.
fn coordinate(mode: Coordinates, i: f32, scale: f32, extent: usize, out_extent: usize) -> f32 {
    match mode {
        Coordinates::PytorchHalfPixel if out_extent <= 1 => 0.0,
        Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (i + 0.5) / scale - 0.5,
        Coordinates::AlignCorners if out_extent <= 1 => 0.0,
        Coordinates::AlignCorners => i * (extent - 1) as f32 / (out_extent - 1) as f32,
        Coordinates::Asymmetric => i / scale,
    }
}

fn round(rounding: NearestRounding, x: f32) -> f32 {
    match rounding {
        NearestRounding::RoundPreferFloor => (x - 0.5).ceil(),
        NearestRounding::RoundPreferCeil => (x + 0.5).floor(),
        NearestRounding::Floor => x.floor(),
        NearestRounding::Ceil => x.ceil(),
    }
}
