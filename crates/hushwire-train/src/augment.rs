use fastrand::Rng;

use crate::demo_net::SIDE;

/// Largest turn, in radians.
const TURN: f32 = 0.22;
/// Largest change of size, as a share.
const STRETCH: f32 = 0.15;
/// Largest slant, columns per row.
const SHEAR: f32 = 0.25;
/// Largest shift, in pixels.
const SHIFT: f32 = 2.0;

/// Turns, stretches, slants and shifts an image of 28 x 28 pixels by random amounts, so that the
/// network also knows digits written otherwise than MNIST's. Values stay in 0..=255.
pub(crate) fn augment(image: &[u8], rng: &mut Rng, out: &mut Vec<f32>) {
    let mut within = |limit: f32| (2.0 * rng.f32() - 1.0) * limit;
    let (sin, cos) = within(TURN).sin_cos();
    let (stretch_x, stretch_y) = (1.0 + within(STRETCH), 1.0 + within(STRETCH));
    let (shear, shift_x, shift_y) = (within(SHEAR), within(SHIFT), within(SHIFT));
    let center = (SIDE - 1) as f32 / 2.0;
    for row in 0..SIDE {
        for column in 0..SIDE {
            let (x, y) = (column as f32 - center - shift_x, row as f32 - center - shift_y);
            let (x, y) = ((x + shear * y) * stretch_x, y * stretch_y);
            out.push(sample(image, cos * x - sin * y + center, sin * x + cos * y + center));
        }
    }
}

/// The image at a point between pixels; black outside.
fn sample(image: &[u8], x: f32, y: f32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let (right, low) = (x - left, y - top);
    let pixel = |dx: i32, dy: i32| {
        let (x, y) = (left as i32 + dx, top as i32 + dy);
        let inside = |v: i32| (0..SIDE as i32).contains(&v);
        if inside(x) && inside(y) { f32::from(image[y as usize * SIDE + x as usize]) } else { 0.0 }
    };
    let upper = pixel(0, 0) * (1.0 - right) + pixel(1, 0) * right;
    let lower = pixel(0, 1) * (1.0 - right) + pixel(1, 1) * right;
    upper * (1.0 - low) + lower * low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_interpolates() {
        let mut image = vec![0; SIDE * SIDE];
        image[3 * SIDE + 4] = 200;
        assert_eq!(sample(&image, 4.0, 3.0), 200.0);
        assert_eq!(sample(&image, 3.5, 3.0), 100.0);
        assert_eq!(sample(&image, 4.5, 2.5), 50.0);
        assert_eq!(sample(&image, -5.0, 40.0), 0.0);
    }

    #[test]
    fn seeded_and_in_range() {
        let image: Vec<u8> = (0..SIDE * SIDE).map(|i| (i * 7 % 256) as u8).collect();
        let run = |seed| {
            let mut out = Vec::new();
            augment(&image, &mut Rng::with_seed(seed), &mut out);
            out
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert!(run(1).iter().all(|v| (0.0..=255.0).contains(v)));
        assert_eq!(run(1).len(), SIDE * SIDE);
    }
}
