//! Transposition of matrices of words.

use super::{Level, Vectorised, dispatch};
use crate::Word;

/// A matrix to transpose: `to[c * to_stride + r] = from[r * from_stride + c]` for `rows` rows and
/// `columns` columns.
pub(crate) struct Transpose<'a, W> {
    pub(crate) from: &'a [W],
    pub(crate) from_stride: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) to: &'a mut [W],
    pub(crate) to_stride: usize,
}

impl<W: Word> Transpose<'_, W> {
    /// Panics unless every access is in bounds; says whether there is any.
    #[inline(always)]
    fn check(&self) -> bool {
        let reach = |count: usize, stride: usize, len: usize| {
            (count - 1).checked_mul(stride).and_then(|last| last.checked_add(len))
        };
        if self.rows == 0 || self.columns == 0 {
            return false;
        }
        let end = reach(self.rows, self.from_stride, self.columns);
        assert!(end.is_some_and(|end| end <= self.from.len()), "source");
        let end = reach(self.columns, self.to_stride, self.rows);
        assert!(end.is_some_and(|end| end <= self.to.len()), "destination");
        true
    }
}

/// Transposes a matrix; see [`Transpose`].
///
/// # What bounds it
/// With AVX-512 the one pipe that shuffles: four or three shuffles for each vector of 64 bytes, a
/// quarter of a cycle for a word of 32 bits. Else a load and a store for each word.
///
/// # Panics
/// If this machine does not have `level`, or an access is out of bounds.
pub(crate) fn transpose<W: Word>(level: Level, matrix: Transpose<'_, W>) {
    if !matrix.check() {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if level >= Level::Avx512 {
        assert!(level <= Level::detected(), "{level:?} is not there");
        #[expect(unsafe_code, reason = "calls of functions with target features")]
        // SAFETY: the assertion above says that the machine has the features, and `check` passed.
        unsafe {
            match W::BITS {
                32 => return x86::transpose_32(matrix),
                64 => return x86::transpose_64(matrix),
                _ => {}
            }
        }
    }
    dispatch(level, Portable(matrix));
}

/// Transposition without intrinsics, word by word.
struct Portable<'a, W>(Transpose<'a, W>);

impl<W: Word> Vectorised for Portable<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Transpose { from, from_stride, rows, columns, to, to_stride } = self.0;
        for (r, row) in from.chunks(from_stride).take(rows).enumerate() {
            for (to, x) in to[r..].iter_mut().step_by(to_stride).zip(&row[..columns]) {
                *to = *x;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads and stores through pointers, bounds checked beforehand")]
mod x86 {
    use core::arch::x86_64::*;

    use super::Transpose;
    use crate::Word;

    /// Lanes of a pair of vectors i and i + `step` that become the new vector i, and those that
    /// become vector i + `step`: blocks of `step` lanes are exchanged. Lanes of the second vector
    /// count from the number of lanes on.
    macro_rules! exchange {
        ($name:ident, $lane:ty) => {
            const fn $name<const LANES: usize>(step: usize) -> [[$lane; LANES]; 2] {
                let mut lanes = [[0; LANES]; 2];
                let mut i = 0;
                while i < LANES {
                    let second = i & step != 0;
                    lanes[0][i] = (if second { LANES + i - step } else { i }) as $lane;
                    lanes[1][i] = (if second { LANES + i } else { i + step }) as $lane;
                    i += 1;
                }
                lanes
            }
        };
    }

    exchange!(exchange_32, u32);
    exchange!(exchange_64, u64);

    macro_rules! transpose {
        (
            $name:ident, $block:ident, $word:ty, $lanes:literal, $count:literal, $steps:expr,
            $load:ident, $store:ident, $permute:ident, $mask:ty
        ) => {
            /// # Safety
            /// The matrix's check must have passed.
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
            pub(super) unsafe fn $name<W: Word>(matrix: Transpose<'_, W>) {
                assert!(size_of::<W>() == size_of::<$word>(), "words");
                let Transpose { from, from_stride, rows, columns, to, to_stride } = matrix;
                for r in (0..rows).step_by($lanes) {
                    for c in (0..columns).step_by($lanes) {
                        // SAFETY: the block lies within the matrix.
                        unsafe {
                            $block(
                                from.as_ptr().add(r * from_stride + c).cast(),
                                from_stride,
                                (rows - r).min($lanes),
                                (columns - c).min($lanes),
                                to.as_mut_ptr().add(c * to_stride + r).cast(),
                                to_stride,
                            );
                        }
                    }
                }
            }

            /// # Safety
            /// Of the block, `rows` rows of `columns` words must lie at `from`, `columns` rows of
            /// `rows` words at `to`, none of them more than the number of lanes.
            #[inline]
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
            unsafe fn $block(
                from: *const $word,
                from_stride: usize,
                rows: usize,
                columns: usize,
                to: *mut $word,
                to_stride: usize,
            ) {
                const STEPS: [[[$word; $lanes]; 2]; $count] = $steps;
                // Blocks to fetch ahead, to the right.
                const AHEAD: usize = 6 * $lanes;
                let mask = |count: usize| ((1_u32 << count) - 1) as $mask;
                let mut x = [_mm512_setzero_si512(); $lanes];
                // Loops of constant length, so that all vectors stay in registers.
                for (i, x) in x.iter_mut().enumerate() {
                    if i < rows {
                        // SAFETY: row i is below `rows`; lanes from `columns` on are not read.
                        *x = unsafe { $load(mask(columns), from.add(i * from_stride).cast()) };
                        let ahead = from.wrapping_add(i * from_stride + AHEAD);
                        _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                    }
                }
                for (s, lanes) in STEPS.iter().enumerate() {
                    // SAFETY: arrays of 64 bytes.
                    let [first, second] = lanes
                        .each_ref()
                        .map(|lanes| unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) });
                    for i in (0..$lanes).filter(|i| i & (1 << s) == 0) {
                        let (a, b) = (x[i], x[i + (1 << s)]);
                        x[i] = $permute(a, first, b);
                        x[i + (1 << s)] = $permute(a, second, b);
                    }
                }
                for (i, x) in x.iter().enumerate() {
                    if i < columns {
                        // SAFETY: row i is below `columns`; lanes from `rows` on are not written.
                        unsafe { $store(to.add(i * to_stride).cast(), mask(rows), *x) };
                    }
                }
            }
        };
    }

    transpose!(
        transpose_32,
        block_32,
        u32,
        16,
        4,
        [exchange_32(1), exchange_32(2), exchange_32(4), exchange_32(8)],
        _mm512_maskz_loadu_epi32,
        _mm512_mask_storeu_epi32,
        _mm512_permutex2var_epi32,
        u16
    );
    transpose!(
        transpose_64,
        block_64,
        u64,
        8,
        3,
        [exchange_64(1), exchange_64(2), exchange_64(4)],
        _mm512_maskz_loadu_epi64,
        _mm512_mask_storeu_epi64,
        _mm512_permutex2var_epi64,
        u8
    );
}

#[cfg(test)]
mod tests {
    use super::super::{levels, noise};
    use super::*;

    fn agrees<W: Word>(rows: usize, columns: usize) {
        let (from_stride, to_stride) = (columns + 3, rows + 2);
        let from = noise::<W>(rows * from_stride, 1);
        let before = noise::<W>(columns * to_stride, 2);
        for level in levels() {
            let mut to = before.clone();
            let matrix =
                Transpose { from: &from, from_stride, rows, columns, to: &mut to, to_stride };
            transpose(level, matrix);
            for (at, (got, old)) in to.iter().zip(&before).enumerate() {
                let (c, r) = (at / to_stride, at % to_stride);
                let expected = if r < rows { from[r * from_stride + c] } else { *old };
                assert_eq!(*got, expected, "{level:?}, {rows} rows, {columns} columns");
            }
        }
    }

    #[test]
    fn matrices_are_transposed_at_every_level() {
        for rows in [0, 1, 7, 8, 16, 35] {
            for columns in [0, 1, 5, 16, 33] {
                agrees::<u32>(rows, columns);
                agrees::<u64>(rows, columns);
            }
        }
    }

    #[test]
    #[should_panic(expected = "destination")]
    fn short_destinations_panic() {
        let from = noise::<u32>(16, 1);
        let mut to = [0; 15];
        let matrix = Transpose {
            from: &from,
            from_stride: 4,
            rows: 4,
            columns: 4,
            to: &mut to,
            to_stride: 4,
        };
        transpose(Level::detected(), matrix);
    }
}
