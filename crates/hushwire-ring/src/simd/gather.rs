//! Panels by AVX-512: a masked load per piece, and limbs of what was loaded.

use super::{Level, dispatch};
use crate::Word;
use crate::panel::{Gather, Portable};

/// Gathers a panel; see [`Gather`].
///
/// # What bounds it
/// The store port: a vector of 64 bytes takes two cycles of it on Zen 4, and about five where it
/// has three pieces.
///
/// # Panics
/// If this machine does not have `level`, or an offset leads out of the data.
pub(crate) fn gather<W: Word>(level: Level, gather: Gather<'_, W>) {
    #[cfg(target_arch = "x86_64")]
    if level >= Level::Avx512 {
        assert!(level <= Level::detected(), "{level:?} is not there");
        #[expect(unsafe_code, reason = "calls of functions with target features")]
        // SAFETY: the assertion above says that the machine has the features.
        unsafe {
            match W::BITS {
                32 => return x86::gather_32(gather),
                64 => return x86::gather_64(gather),
                _ => {}
            }
        }
    }
    dispatch(level, Portable(gather));
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads and stores through pointers, bounds checked beforehand")]
mod x86 {
    use core::arch::x86_64::*;

    use crate::Word;
    use crate::panel::{Gather, Piece};

    /// Pieces of a vector, at most.
    const MOST: usize = 16;

    /// Loads lanes of 32 bits; the others are zero and not read.
    macro_rules! load_32 {
        ($lanes:expr, $at:expr) => {
            _mm512_maskz_loadu_epi32($lanes, $at.cast())
        };
    }

    macro_rules! load_64 {
        ($lanes:expr, $at:expr) => {
            _mm512_maskz_loadu_epi64($lanes as u8, $at.cast())
        };
    }

    /// Main rows of two rows and their extra row; see [`crate::limbs`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
    fn limbs_32(x: __m512i, y: __m512i) -> [__m512i; 3] {
        let carry = |x| {
            let negative = _mm512_and_si512(x, _mm512_set1_epi32(0x8000));
            _mm512_add_epi32(x, _mm512_slli_epi32::<1>(negative))
        };
        let low = _mm512_and_si512(x, _mm512_set1_epi32(0xffff));
        [carry(x), carry(y), _mm512_or_si512(low, _mm512_slli_epi32::<16>(y))]
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
    fn limbs_64(x: __m512i, y: __m512i) -> [__m512i; 3] {
        let cross = |x| {
            let low = _mm512_and_si512(x, _mm512_set1_epi64(0xffff));
            _mm512_or_si512(low, _mm512_slli_epi64::<16>(_mm512_srli_epi64::<52>(x)))
        };
        [x, y, _mm512_or_si512(cross(x), _mm512_slli_epi64::<32>(cross(y)))]
    }

    macro_rules! gather {
        (
            $name:ident, $all:ident, $vector:ident, $word:ty,
            $load:ident, $add:ident, $mul:ident, $limbs:ident
        ) => {
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
            pub(super) fn $name<W: Word>(gather: Gather<'_, W>) {
                if gather.limbs { $all::<W, true>(gather) } else { $all::<W, false>(gather) }
            }

            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
            fn $all<W: Word, const LIMBS: bool>(mut gather: Gather<'_, W>) {
                gather.check();
                for v in 0..gather.vectors {
                    match gather.columns.pieces(gather.first + v).len() {
                        0 => $vector::<W, LIMBS, 0>(&mut gather, v),
                        1 => $vector::<W, LIMBS, 1>(&mut gather, v),
                        2 => $vector::<W, LIMBS, 2>(&mut gather, v),
                        3 => $vector::<W, LIMBS, 3>(&mut gather, v),
                        4 => $vector::<W, LIMBS, 4>(&mut gather, v),
                        _ => $vector::<W, LIMBS, MOST>(&mut gather, v),
                    }
                }
            }

            /// Vector `v`, which has `PIECES` pieces, or any number if that is [`MOST`].
            #[inline(never)]
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
            fn $vector<W: Word, const LIMBS: bool, const PIECES: usize>(
                gather: &mut Gather<'_, W>,
                v: usize,
            ) {
                const LANES: usize = 64 / size_of::<$word>();
                assert!(size_of::<W>() == size_of::<$word>(), "words");
                assert!(LIMBS == gather.limbs, "limbs");
                gather.check();
                assert!(v < gather.vectors, "vector");
                let Gather { data, rows, columns, first, vectors, panel, pairs, .. } = gather;
                let reach = columns.reach(*first + v);
                assert!(reach < data.len(), "columns beyond the data");
                let rows_end = data.len() - reach;
                // Copies, whose number is a constant, stay in registers.
                let pieces = columns.pieces(*first + v);
                let count = if PIECES == MOST { pieces.len() } else { PIECES };
                let mut local = [Piece { offset: 0, lanes: 0 }; MOST];
                local.iter_mut().zip(&pieces[..count]).for_each(|(local, piece)| *local = *piece);
                let pieces = &local[..count];
                let load = |row: usize| {
                    let mut x = _mm512_setzero_si512();
                    let start = data.as_ptr().wrapping_add(row);
                    for piece in pieces {
                        // SAFETY: lane i of the piece is at row + columns[i], at most row + reach,
                        // which the assertions found below the length; others are not read.
                        let lanes =
                            unsafe { $load!(piece.lanes, start.wrapping_add(piece.offset)) };
                        x = _mm512_or_si512(x, lanes);
                    }
                    // What the next vector will read, most likely.
                    let ahead = start.wrapping_add(reach + LANES);
                    _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                    x
                };
                let stride = *vectors * LANES;
                let mut out = panel.as_mut_ptr().wrapping_add(v * LANES);
                let mut sum = _mm512_setzero_si512();
                let mut extra = out.wrapping_add(rows.len() * stride);
                let (twos, last) = rows.as_chunks::<2>();
                for &[a, b] in twos {
                    assert!(a.max(b) < rows_end, "rows beyond the data");
                    let (mut x, mut y) = (load(a), load(b));
                    if LIMBS {
                        let z;
                        [x, y, z] = $limbs(x, y);
                        // SAFETY: `check` found room for `vectors` vectors for every two rows, one
                        // more if they are odd, after those below; `extra` is at one of them.
                        unsafe { _mm512_storeu_si512(extra.cast(), z) };
                        extra = extra.wrapping_add(stride);
                    } else {
                        sum = $add(sum, $mul(x, y));
                    }
                    // SAFETY: `check` found room for `vectors` vectors for every row, v is less
                    // than vectors, and `out` is at vector v of the row of x.
                    unsafe {
                        _mm512_storeu_si512(out.cast(), x);
                        _mm512_storeu_si512(out.wrapping_add(stride).cast(), y);
                    }
                    out = out.wrapping_add(2 * stride);
                }
                if let [row] = *last {
                    assert!(row < rows_end, "rows beyond the data");
                    let mut x = load(row);
                    if LIMBS {
                        let z;
                        [x, _, z] = $limbs(x, _mm512_setzero_si512());
                        // SAFETY: as above.
                        unsafe { _mm512_storeu_si512(extra.cast(), z) };
                    }
                    // SAFETY: as above.
                    unsafe { _mm512_storeu_si512(out.cast(), x) };
                }
                if !LIMBS {
                    // SAFETY: `check` found `vectors` vectors, and v is less.
                    unsafe {
                        _mm512_storeu_si512(pairs.as_mut_ptr().add(v * LANES).cast(), sum);
                    }
                }
            }
        };
    }

    gather!(
        gather_32,
        all_32,
        vector_32,
        u32,
        load_32,
        _mm512_add_epi32,
        _mm512_mullo_epi32,
        limbs_32
    );
    gather!(
        gather_64,
        all_64,
        vector_64,
        u64,
        load_64,
        _mm512_add_epi64,
        _mm512_mullo_epi64,
        limbs_64
    );
}

#[cfg(test)]
mod tests {
    use super::super::{levels, noise};
    use super::*;
    use crate::panel::{Columns, HOLE};
    use crate::tile::lanes;

    fn agrees<W: Word>(columns: &[usize], rows: &[usize]) {
        let end = columns.iter().filter(|c| **c != HOLE).max().unwrap_or(&0)
            + rows.iter().max().unwrap_or(&0)
            + 1;
        let data = noise::<W>(end, 1);
        let by_vector = Columns::new::<W>(columns.to_vec());
        let lanes = lanes::<W>();
        let vectors = columns.len().div_ceil(lanes);
        for level in levels() {
            for first in 0..vectors {
                let vectors = vectors - first;
                let width = vectors * lanes;
                let mut panel = noise::<W>(rows.len() * width, 2);
                let mut pairs = noise::<W>(width, 3);
                gather(
                    level,
                    Gather {
                        data: &data,
                        rows,
                        columns: &by_vector,
                        first,
                        vectors,
                        limbs: false,
                        panel: &mut panel,
                        pairs: &mut pairs,
                    },
                );
                for j in 0..width {
                    let column = columns.get(first * lanes + j).filter(|c| **c != HOLE);
                    let expected = |k: usize| column.map_or(W::ZERO, |c| data[rows[k] + c]);
                    let mut sum = W::ZERO;
                    for k in 0..rows.len() {
                        assert_eq!(panel[k * width + j], expected(k), "{level:?}, row {k}");
                        if k % 2 == 1 {
                            sum = sum.wrapping_add(expected(k - 1).wrapping_mul(expected(k)));
                        }
                    }
                    assert_eq!(pairs[j], sum, "{level:?}, pairs of column {j}");
                }
            }
        }
    }

    #[test]
    fn panels_agree_at_every_level() {
        let lines = |count: usize, len: usize, stride: usize| -> Vec<usize> {
            (0..count).map(|i| 40 + i / len * stride + i % len).collect()
        };
        let scattered: Vec<usize> = (0..40).map(|i| i * i % 97).collect();
        let with_holes: Vec<usize> = (0..70)
            .map(|i| if i % 9 < 2 || i / 20 == 1 { HOLE } else { i / 9 * 7 + i % 9 })
            .collect();
        for columns in [lines(40, 40, 0), lines(56, 14, 16), lines(49, 7, 9), scattered, with_holes]
        {
            for rows in [&[3][..], &[0, 40, 7, 7], &[9, 1, 0, 5, 2]] {
                agrees::<u32>(&columns, rows);
                agrees::<u64>(&columns, rows);
            }
        }
    }

    #[test]
    #[should_panic]
    fn offsets_beyond_the_data_panic() {
        let data = noise::<u32>(20, 1);
        let columns = Columns::new::<u32>(vec![0, 1, 18]);
        let (mut panel, mut pairs) = ([0_u32; 16], [0_u32; 16]);
        let (panel, pairs) = (&mut panel[..], &mut pairs[..]);
        let level = Level::detected();
        let gathered = Gather {
            data: &data,
            rows: &[2],
            columns: &columns,
            first: 0,
            vectors: 1,
            limbs: false,
            panel,
            pairs,
        };
        gather(level, gathered);
    }
}
