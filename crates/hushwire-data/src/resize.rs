//! Resampling with Pillow's semantics, bit for bit.
//!
//! Networks were scored with images scaled by Pillow, whose bilinear filter is a triangle that
//! widens with the reduction (an anti-aliasing filter) and is evaluated in fixed point, rounding to
//! 8 bits between rows and columns. Other libraries' "bilinear" differs by several grey levels.

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
/// When `height` or `width` is zero, for an image has at least one pixel.
pub fn resize_bilinear(image: &Image, height: usize, width: usize) -> Image {
    // Pillow works along rows first, except where that would enlarge what is then reduced.
    if height < image.height() && width > image.width() {
        scale_rows(&scale_columns(image, height), width)
    } else {
        scale_columns(&scale_rows(image, width), height)
    }
}

/// Scales every row to `width` pixels.
fn scale_rows(image: &Image, width: usize) -> Image {
    if width == image.width() {
        return image.clone();
    }
    let channels = image.channels();
    let taps = triangle_taps(image.width(), width);
    let mut out = Vec::with_capacity(image.height() * width * channels);
    for row in image.pixels().chunks_exact(image.width() * channels) {
        for tap in &taps {
            let from = &row[tap.first * channels..];
            out.extend((0..channels).map(|c| weighted(tap, from, c, channels)));
        }
    }
    Image::new(image.height(), width, channels, out).expect("every row has the new width")
}

/// Scales every column to `height` pixels.
fn scale_columns(image: &Image, height: usize) -> Image {
    if height == image.height() {
        return image.clone();
    }
    let row = image.width() * image.channels();
    let mut out = Vec::with_capacity(height * row);
    for tap in triangle_taps(image.height(), height) {
        let from = &image.pixels()[tap.first * row..];
        out.extend((0..row).map(|x| weighted(&tap, from, x, row)));
    }
    Image::new(height, image.width(), image.channels(), out)
        .expect("there are as many rows as taps")
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels by a formula that numpy can repeat.
    fn pattern(height: usize, width: usize, channels: usize) -> Image {
        let pixels = (0..height * width * channels).map(|i| (37 * i + i * i / 7) as u8).collect();
        Image::new(height, width, channels, pixels).unwrap()
    }

    /// FNV-1a.
    fn digest(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    // Expected values: Pillow 13.0 on the same patterns.

    #[test]
    fn bilinear_gives_pillows_pixels() {
        let reduced = resize_bilinear(&pattern(5, 7, 1), 3, 4);
        assert_eq!(reduced.pixels(), [24, 83, 155, 216, 58, 123, 189, 137, 125, 153, 108, 97]);
        let enlarged = resize_bilinear(&pattern(2, 3, 1), 4, 5);
        let rows: [u8; 20] = [
            0, 15, 37, 59, 74, 28, 43, 65, 88, 103, 84, 99, 122, 145, 160, 112, 127, 150, 173, 188,
        ];
        assert_eq!(enlarged.pixels(), rows);
        let colours: [u8; 30] = [
            66, 105, 108, 98, 138, 112, 147, 187, 118, 154, 128, 104, 158, 89, 94, 132, 175, 109,
            140, 140, 103, 152, 87, 94, 144, 145, 109, 138, 183, 119,
        ];
        assert_eq!(resize_bilinear(&pattern(4, 3, 3), 2, 5).pixels(), colours);
    }

    #[test]
    fn bilinear_gives_pillows_photos() {
        let enlarged = resize_bilinear(&pattern(200, 311, 3), 330, 513);
        assert_eq!(digest(enlarged.pixels()), 0xc1b4_e833_1150_8a8b);
        let reduced = resize_bilinear(&pattern(333, 500, 3), 100, 77);
        assert_eq!(digest(reduced.pixels()), 0xe09b_9a75_51a8_d7cd);
    }

    #[test]
    fn nearest_gives_pillows_pixels() {
        let few = resize_nearest(pattern(5, 7, 1).pixels(), [5, 7], [8, 3]);
        let rows: [u8; 24] = [
            37, 112, 188, 37, 112, 188, 49, 128, 208, 75, 158, 242, 75, 158, 242, 115, 202, 34,
            169, 4, 96, 169, 4, 96,
        ];
        assert_eq!(few, rows);
        let mask = resize_nearest(pattern(342, 513, 1).pixels(), [342, 513], [333, 500]);
        assert_eq!(digest(&mask), 0xe24d_2619_623f_7413);
        let small = pattern(17, 29, 1);
        let sizes = (1..80).flat_map(|w| resize_nearest(small.pixels(), [17, 29], [w + 3, w]));
        assert_eq!(digest(&sizes.collect::<Vec<u8>>()), 0xa234_6981_6c87_0c91);
    }

    #[test]
    fn one_pixel() {
        let image = Image::new(1, 1, 3, vec![9, 8, 7]).unwrap();
        assert_eq!(resize_bilinear(&image, 2, 2).pixels(), [9, 8, 7].repeat(4));
        assert_eq!(resize_bilinear(&pattern(9, 9, 1), 1, 1).pixels().len(), 1);
        assert_eq!(resize_nearest(&[5u8], [1, 1], [2, 3]), [5; 6]);
    }
}
