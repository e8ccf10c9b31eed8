//! Values to bit planes: 64 gates become one word per bit.

/// The low planes of 64 values: bit `g` of word `b` is bit `b` of `values[g]`.
///
/// `planes.len()` (at most 64) planes are written; missing values count as zero. Square blocks of
/// the smallest power of two that holds the width are transposed by recursive exchange (Hacker's
/// Delight, 7-3), several blocks side by side in each word.
pub(crate) fn to_planes(values: &[u64], planes: &mut [u64]) {
    match planes.len() {
        0..=8 => transpose::<8>(values, planes),
        9..=16 => transpose::<16>(values, planes),
        17..=32 => transpose::<32>(values, planes),
        _ => transpose::<64>(values, planes),
    }
}

fn transpose<const SIDE: usize>(values: &[u64], planes: &mut [u64]) {
    let mut rows = [0_u64; SIDE];
    let low = u64::MAX >> (64 - SIDE);
    for (lane, chunk) in values.chunks(SIDE).enumerate() {
        for (row, value) in rows.iter_mut().zip(chunk) {
            *row |= (value & low) << (lane * SIDE);
        }
    }
    let mut step = SIDE / 2;
    while step > 0 {
        // Columns whose bit `step` is zero.
        let keep = u64::MAX / ((1 << step) + 1);
        for i in (0..SIDE).filter(|i| i & step == 0) {
            let swap = (rows[i] >> step ^ rows[i + step]) & keep;
            rows[i + step] ^= swap;
            rows[i] ^= swap << step;
        }
        step /= 2;
    }
    planes.copy_from_slice(&rows[..planes.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_the_bits() {
        let values: Vec<u64> =
            (0..64).map(|i: u64| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        for count in [1, 5, 63, 64] {
            for width in 1..=64 {
                let mut planes = vec![0; width];
                to_planes(&values[..count], &mut planes);
                for (b, plane) in planes.iter().enumerate() {
                    for (g, value) in values.iter().enumerate() {
                        let bit = if g < count { value >> b & 1 } else { 0 };
                        assert_eq!(plane >> g & 1, bit);
                    }
                }
            }
        }
    }
}
