use fastrand::Rng;
use hushwire_data::Image;

use crate::pen::Stroke::{self, Curve, Lines};
use crate::pen::{SIDE, draw};

/// The movements of the pen for each digit, in a space about 10 wide and 14 high.
const DIGITS: [&[Stroke]; 10] = [
    &[Curve(&[
        [5.4, 0.0],
        [2.2, 2.6],
        [1.0, 7.0],
        [2.0, 11.6],
        [5.0, 14.0],
        [8.2, 11.4],
        [9.2, 7.0],
        [8.2, 2.4],
        [5.4, 0.0],
    ])],
    &[Lines(&[[3.4, 2.6], [5.4, 0.0], [5.2, 14.0]])],
    &[
        Curve(&[
            [1.0, 3.4],
            [2.6, 0.8],
            [5.4, 0.0],
            [8.2, 1.8],
            [8.0, 5.0],
            [5.4, 9.2],
            [1.0, 13.6],
        ]),
        Lines(&[[1.0, 13.6], [9.4, 13.4]]),
    ],
    &[
        Curve(&[[1.2, 1.6], [4.6, 0.0], [8.0, 1.8], [7.4, 5.0], [4.0, 6.6]]),
        Curve(&[[4.0, 6.6], [8.0, 7.8], [8.8, 11.0], [5.6, 13.8], [1.0, 12.6]]),
    ],
    &[Lines(&[[2.6, 0.4], [1.2, 8.0], [9.4, 7.6]]), Lines(&[[7.6, 0.0], [7.0, 14.0]])],
    &[
        Lines(&[[8.8, 0.2], [2.8, 0.4], [2.0, 6.0]]),
        Curve(&[[2.0, 6.0], [5.6, 5.2], [8.6, 7.6], [8.2, 11.6], [5.0, 14.0], [1.0, 12.8]]),
    ],
    &[Curve(&[
        [7.2, 0.0],
        [3.4, 3.6],
        [1.2, 8.6],
        [2.0, 12.6],
        [5.0, 14.0],
        [8.2, 12.2],
        [8.2, 8.8],
        [5.2, 7.6],
        [1.8, 10.0],
    ])],
    &[Lines(&[[0.8, 0.6], [9.0, 0.4], [4.2, 14.0]])],
    &[Curve(&[
        [5.0, 6.6],
        [1.8, 4.0],
        [2.8, 0.9],
        [5.4, 0.0],
        [8.2, 1.4],
        [7.8, 4.2],
        [5.0, 6.6],
        [1.6, 9.6],
        [2.0, 12.8],
        [5.0, 14.0],
        [8.4, 12.6],
        [8.4, 9.6],
        [5.0, 6.6],
    ])],
    &[
        Curve(&[
            [8.4, 3.0],
            [5.6, 0.2],
            [2.0, 1.8],
            [1.6, 5.2],
            [4.4, 7.2],
            [7.6, 5.6],
            [8.4, 3.0],
        ]),
        Curve(&[[8.4, 3.0], [8.2, 8.0], [7.0, 14.0]]),
    ],
];

/// Draws a digit in MNIST's framing: 28 x 28 grey pixels, white on black, in a box of 20 x 20
/// with the centre of mass in the middle. The seed determines slant, turn and waviness.
///
/// # Panics
/// When `digit` is above 9.
pub fn draw_digit(digit: usize, seed: u64) -> Image {
    // The digits of one seed shall not all lean alike.
    let mut rng = Rng::with_seed(seed.wrapping_mul(10).wrapping_add(digit as u64));
    let pixels = draw(DIGITS[digit], &mut rng);
    Image::new(SIDE, SIDE, 1, pixels).expect("the pen draws 28 x 28 pixels")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framed_as_in_mnist() {
        for digit in 0..10 {
            for seed in 0..20 {
                let image = draw_digit(digit, seed);
                assert_eq!(image, draw_digit(digit, seed));
                let inked = |i: usize| image.pixels()[i] > 0;
                let ink = |keep: &dyn Fn(usize, usize) -> bool| {
                    (0..SIDE * SIDE).any(|i| inked(i) && keep(i / SIDE, i % SIDE))
                };
                let border = |v: usize| v == 0 || v == SIDE - 1;
                assert!(!ink(&|y, x| border(y) || border(x)), "digit {digit}, seed {seed}");
                let rows = (0..SIDE).filter(|&row| ink(&|y, _| y == row)).count();
                assert!((19..=22).contains(&rows), "digit {digit}, seed {seed}: {rows} rows");
            }
        }
    }
}
