//! Resampling with Pillow's semantics, bit for bit.
//!
//! Networks were scored with images scaled by Pillow, whose bilinear filter is a triangle that
//! widens with the reduction (an anti-aliasing filter), is evaluated in 8-bit fixed point, first
//! along rows and then along columns. Other libraries' "bilinear" differs by several grey levels.

use crate::Image;

/// Fraction bits of a filter's weights: 8-bit pixels and a sum of about 4 leave 22 of 32.
const PRECISION: u32 = 22;

/// Weights of the input pixels from `first` on that make up one output pixel.
struct Tap {
    first: usize,
    weights: Vec<i32>,
}

/// Scales an image to `height` x `width` as Pillow's `resize(.., BILINEAR)`.
///
/// # Panics
/// When `height` or `width` is zero.
pub fn resize_bilinear(image: &Image, height: usize, width: usize) -> Image {
    assert!(height > 0 && width > 0, "an image has at least one pixel");
    let channels = image.channels();
    let mut pixels = image.pixels().to_vec();
    if width != image.width() {
        let taps = triangle_taps(image.width(), width);
        let mut out = Vec::with_capacity(image.height() * width * channels);
        for row in pixels.chunks_exact(image.width() * channels) {
            for tap in &taps {
                let from = &row[tap.first * channels..];
                out.extend((0..channels).map(|c| weighted(tap, from, c, channels)));
            }
        }
        pixels = out;
    }
    if height != image.height() {
        let row = width * channels;
        let mut out = Vec::with_capacity(height * row);
        for tap in triangle_taps(image.height(), height) {
            let from = &pixels[tap.first * row..];
            out.extend((0..row).map(|x| weighted(&tap, from, x, row)));
        }
        pixels = out;
    }
    Image::new(height, width, channels, pixels).expect("the loops fill the new size")
}

/// The weighted sum of every `stride`-th value, from `start` on.
fn weighted(tap: &Tap, values: &[u8], start: usize, stride: usize) -> u8 {
    let values = values[start..].iter().step_by(stride);
    let half = 1i32 << (PRECISION - 1);
    let sum = tap.weights.iter().zip(values).fold(half, |sum, (w, &v)| sum + w * i32::from(v));
    (sum >> PRECISION).clamp(0, 255) as u8
}

fn triangle_taps(input: usize, output: usize) -> Vec<Tap> {
    let scale = input as f64 / output as f64;
    let support = scale.max(1.0);
    let tap = |x: usize| {
        let center = (x as f64 + 0.5) * scale;
        // Casts truncate and saturate at zero.
        let first = (center - support + 0.5) as usize;
        let end = ((center + support + 0.5) as usize).min(input);
        let weight =
            |i: usize| (1.0 - ((i as f64 - center + 0.5) * (1.0 / support)).abs()).max(0.0);
        let raw: Vec<f64> = (first..end).map(weight).collect();
        let total: f64 = raw.iter().sum();
        let fixed = |w: &f64| (0.5 + w / total * f64::from(1u32 << PRECISION)) as i32;
        Tap { first, weights: raw.iter().map(fixed).collect() }
    };
    (0..output).map(tap).collect()
}

/// Scales a map of `old` = (height, width) values to `new` as Pillow's `resize(.., NEAREST)`.
///
/// # Panics
/// When `values` does not hold `old[0] * old[1]` values or a side is zero.
pub fn resize_nearest<T: Copy>(values: &[T], old: [usize; 2], new: [usize; 2]) -> Vec<T> {
    assert!(values.len() == old[0] * old[1] && !values.is_empty() && new[0] * new[1] > 0);
    let (rows, columns) = (nearest_index(old[0], new[0]), nearest_index(old[1], new[1]));
    let row = |&y: &usize| &values[y * old[1]..(y + 1) * old[1]];
    rows.iter().map(row).flat_map(|row| columns.iter().map(|&x| row[x])).collect()
}

/// Pillow adds the step up in floating point instead of multiplying, and so rounds like this.
fn nearest_index(old: usize, new: usize) -> Vec<usize> {
    let step = old as f64 / new as f64;
    let positions = std::iter::successors(Some(step * 0.5), |x| Some(x + step));
    positions.take(new).map(|x| (x as usize).min(old - 1)).collect()
}
