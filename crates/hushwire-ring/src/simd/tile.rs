//! Tiles by AVX-512.

use super::{Level, dispatch};
use crate::Word;
use crate::tile::{Portable, Scheme, Tile};

/// Width of the products of [`Kernel::low`].
pub(crate) const LOW_BITS: u32 = 52;

/// Which instructions compute a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    pub(crate) level: Level,
    pub(crate) scheme: Scheme,
    /// 64-bit words are multiplied modulo 2^52: of each sum, only the low 52 bits are right.
    pub(crate) low: bool,
}

/// Computes one tile; see [`Tile`].
///
/// # Panics
/// If this machine does not have the kernel's level, or there is no such kernel.
#[inline]
pub(crate) fn tile<W: Word, P: Word>(kernel: Kernel, tile: Tile<'_, '_, W, P>) {
    #[cfg(target_arch = "x86_64")]
    if kernel.level >= Level::Avx512 {
        assert!(kernel.level <= Level::detected(), "{:?} is not there", kernel.level);
        assert!(!kernel.low || kernel.level == Level::Ifma, "products of 52 bits are IFMA's");
        #[expect(unsafe_code, reason = "calls of functions with target features")]
        // SAFETY: the assertions above say that the machine has the features.
        unsafe {
            match (kernel.scheme, kernel.low, W::BITS, P::BITS) {
                (Scheme::Paired, true, 64, 64) => return x86::paired_52(tile),
                (Scheme::Paired, false, 64, 64) => return x86::paired_64(tile),
                (Scheme::Paired, false, 32, 32) => return x86::paired_32(tile),
                (Scheme::Plain, true, 64, 64) => return x86::plain_52(tile),
                (Scheme::Plain, true, 32, 64) => return x86::plain_52_wide(tile),
                _ => {}
            }
        }
    }
    assert!(kernel.scheme == Scheme::Paired, "there is no such kernel: {kernel:?}");
    dispatch(kernel.level, Portable(tile));
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads and stores through pointers, bounds checked beforehand")]
mod x86 {
    use core::arch::x86_64::*;

    use crate::Word;
    use crate::tile::{ROWS, Tile};

    /// `vpmullq` and `vpaddq`.
    macro_rules! mul_add_64 {
        ($sum:expr, $w:expr, $x:expr) => {
            _mm512_add_epi64($sum, _mm512_mullo_epi64($w, $x))
        };
    }

    /// `vpmulld` and `vpaddd`.
    macro_rules! mul_add_32 {
        ($sum:expr, $w:expr, $x:expr) => {
            _mm512_add_epi32($sum, _mm512_mullo_epi32($w, $x))
        };
    }

    /// `vpmadd52luq`, which reads the low 52 bits of its factors.
    macro_rules! mul_add_52 {
        ($sum:expr, $w:expr, $x:expr) => {
            _mm512_madd52lo_epu64($sum, $w, $x)
        };
    }

    /// A word in every lane.
    macro_rules! broadcast_64 {
        ($at:expr) => {
            _mm512_set1_epi64(*$at as i64)
        };
    }

    macro_rules! broadcast_32 {
        ($at:expr) => {
            _mm512_set1_epi32(*$at as i32)
        };
    }

    /// A 32-bit word in the low half of every 64-bit lane.
    macro_rules! broadcast_wide {
        ($at:expr) => {
            _mm512_set1_epi64(i64::from(*$at))
        };
    }

    /// Like `broadcast_wide`, with the next word of the row as garbage above: one load.
    macro_rules! broadcast_pair {
        ($at:expr) => {
            _mm512_set1_epi64($at.cast::<i64>().read_unaligned())
        };
    }

    /// Writes the first lanes of a sum, having added what was there if asked to.
    macro_rules! merge_32 {
        ($at:expr, $lanes:expr, $accumulate:expr, $sum:expr) => {{
            let old = if $accumulate { $lanes } else { 0 };
            let old = _mm512_maskz_loadu_epi32(old, $at.cast());
            _mm512_mask_storeu_epi32($at.cast(), $lanes, _mm512_add_epi32(old, $sum));
        }};
    }

    macro_rules! merge_64 {
        ($at:expr, $lanes:expr, $accumulate:expr, $sum:expr) => {{
            let old = if $accumulate { $lanes as u8 } else { 0 };
            let old = _mm512_maskz_loadu_epi64(old, $at.cast());
            _mm512_mask_storeu_epi64($at.cast(), $lanes as u8, _mm512_add_epi64(old, $sum));
        }};
    }

    /// The low halves of 64-bit lanes.
    macro_rules! merge_wide {
        ($at:expr, $lanes:expr, $accumulate:expr, $sum:expr) => {{
            let old = if $accumulate { $lanes as u8 } else { 0 };
            let old = _mm256_maskz_loadu_epi32(old, $at.cast());
            let sum = _mm256_add_epi32(old, _mm512_cvtepi64_epi32($sum));
            _mm256_mask_storeu_epi32($at.cast(), $lanes as u8, sum);
        }};
    }

    /// A tile: `steps!` adds its products to the sums.
    macro_rules! kernel {
        (
            $name:ident, $inner:ident, $features:literal, $word:ty, $panel:ty,
            $steps:ident($mul_add:ident, $add:ident, $broadcast:ident, $broadcast_last:ident),
            $sub:ident, $merge:ident, $($vectors:literal)*
        ) => {
            #[target_feature(enable = $features)]
            pub(super) fn $name<W: Word, P: Word>(tile: Tile<'_, '_, W, P>) {
                match tile.vectors {
                    $($vectors => $inner::<W, P, $vectors>(tile),)*
                    other => unreachable!("no kernel for {other} vectors"),
                }
            }

            #[target_feature(enable = $features)]
            fn $inner<W: Word, P: Word, const V: usize>(tile: Tile<'_, '_, W, P>) {
                const LANES: usize = 64 / size_of::<$panel>();
                const AHEAD: usize = 32 / size_of::<$word>();
                assert!(size_of::<W>() == size_of::<$word>(), "words");
                assert!(size_of::<P>() == size_of::<$panel>(), "words of panels");
                tile.check();
                let Tile { depth, weights, panel, out, at, .. } = tile;
                for out in out.iter().filter(|_| tile.width > 0) {
                    // SAFETY: `check` found `at` + `width` words in every row, and width is not 0.
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(out.as_ptr().add(at).cast()) };
                }
                // SAFETY: `check` found `start` + `depth` words from each row's start.
                let rows: [*const $word; ROWS] =
                    tile.rows.map(|row| unsafe { weights.as_ptr().add(row + tile.start).cast() });
                let panel: *const $panel = panel.as_ptr().cast();
                let mut sums = [[_mm512_setzero_si512(); V]; ROWS];
                // Row k of the panel.
                macro_rules! vectors {
                    ($k:expr) => {{
                        let mut x = [_mm512_setzero_si512(); V];
                        for (v, x) in x.iter_mut().enumerate() {
                            *x = _mm512_loadu_si512(panel.add(($k * V + v) * LANES).cast());
                        }
                        x
                    }};
                }
                // A line of weights that a later tile will read: one for each pair of products, and
                // so each line of as many rows as a line has pairs.
                macro_rules! prefetch {
                    ($k:expr) => {
                        let row = tile.ahead[$k / 2 % AHEAD];
                        let at = weights.as_ptr().wrapping_add(row + tile.start + $k);
                        _mm_prefetch::<_MM_HINT_T0>(at.cast());
                    };
                }
                // SAFETY: `check` found depth * V * LANES words in the panel and `depth` words from
                // each of `rows`; every step is below depth. A broadcast that reads the next weight
                // too is used for steps below depth - 1 only.
                unsafe {
                    $steps!(
                        depth, sums, rows, vectors, prefetch,
                        $mul_add, $add, $broadcast, $broadcast_last
                    );
                }
                let lanes: [u16; V] = core::array::from_fn(|v| {
                    ((1_u32 << tile.width.saturating_sub(v * LANES).min(LANES)) - 1) as u16
                });
                let (pairs, row_pairs) = (tile.column_pairs.as_ptr(), tile.row_pairs.as_ptr());
                for (i, sums) in sums.iter().enumerate() {
                    let Some(out) = out.get_mut(i) else { break };
                    // SAFETY: `check` found V * LANES pairs of columns, as many pairs of rows as
                    // rows of `out`, and `at` + `width` words in each; lanes that are not below
                    // `width` are neither read nor written.
                    unsafe {
                        let row = $broadcast_last!(row_pairs.add(i).cast::<$word>());
                        for (v, (sum, &lanes)) in sums.iter().zip(&lanes).enumerate() {
                            let columns = _mm512_loadu_si512(pairs.add(v * LANES).cast());
                            let sum = $sub($sub(*sum, columns), row);
                            let at = out.as_mut_ptr().wrapping_add(at + v * LANES);
                            $merge!(at, lanes, tile.accumulate, sum);
                        }
                    }
                }
            }
        };
    }

    /// Two products at a time by one multiplication.
    macro_rules! paired {
        (
            $depth:ident, $sums:ident, $rows:ident, $vectors:ident, $prefetch:ident,
            $mul_add:ident, $add:ident, $broadcast:ident, $broadcast_last:ident
        ) => {
            for k in (0..$depth & !1).step_by(2) {
                $prefetch!(k);
                let (x, y) = ($vectors!(k), $vectors!(k + 1));
                for (sums, row) in $sums.iter_mut().zip(&$rows) {
                    let (a, b) = ($broadcast!(row.add(k)), $broadcast!(row.add(k + 1)));
                    for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(&y)) {
                        *sum = $mul_add!(*sum, $add(a, *y), $add(b, *x));
                    }
                }
            }
            if $depth % 2 == 1 {
                let x = $vectors!($depth - 1);
                for (sums, row) in $sums.iter_mut().zip(&$rows) {
                    let a = $broadcast_last!(row.add($depth - 1));
                    for (sum, x) in sums.iter_mut().zip(&x) {
                        *sum = $mul_add!(*sum, a, *x);
                    }
                }
            }
        };
    }

    /// One product at a time.
    macro_rules! plain {
        (
            $depth:ident, $sums:ident, $rows:ident, $vectors:ident, $prefetch:ident,
            $mul_add:ident, $add:ident, $broadcast:ident, $broadcast_last:ident
        ) => {
            macro_rules! step {
                ($k:expr, $load:ident) => {
                    let x = $vectors!($k);
                    for (sums, row) in $sums.iter_mut().zip(&$rows) {
                        let a = $load!(row.add($k));
                        for (sum, x) in sums.iter_mut().zip(&x) {
                            *sum = $mul_add!(*sum, a, *x);
                        }
                    }
                };
            }
            let last = $depth.saturating_sub(1);
            for k in 0..last {
                $prefetch!(k);
                step!(k, $broadcast);
            }
            if $depth > 0 {
                step!(last, $broadcast_last);
            }
        };
    }

    kernel!(
        paired_32,
        paired_32_inner,
        "avx512f,avx512dq,avx512bw,avx512vl",
        u32,
        u32,
        paired(mul_add_32, _mm512_add_epi32, broadcast_32, broadcast_32),
        _mm512_sub_epi32,
        merge_32,
        1 2
    );
    kernel!(
        paired_64,
        paired_64_inner,
        "avx512f,avx512dq,avx512bw,avx512vl",
        u64,
        u64,
        paired(mul_add_64, _mm512_add_epi64, broadcast_64, broadcast_64),
        _mm512_sub_epi64,
        merge_64,
        1 2
    );
    kernel!(
        paired_52,
        paired_52_inner,
        "avx512f,avx512dq,avx512bw,avx512vl,avx512ifma",
        u64,
        u64,
        paired(mul_add_52, _mm512_add_epi64, broadcast_64, broadcast_64),
        _mm512_sub_epi64,
        merge_64,
        1 2
    );
    kernel!(
        plain_52,
        plain_52_inner,
        "avx512f,avx512dq,avx512bw,avx512vl,avx512ifma",
        u64,
        u64,
        plain(mul_add_52, _mm512_add_epi64, broadcast_64, broadcast_64),
        _mm512_sub_epi64,
        merge_64,
        1 2 3
    );
    kernel!(
        plain_52_wide,
        plain_52_wide_inner,
        "avx512f,avx512dq,avx512bw,avx512vl,avx512ifma",
        u32,
        u64,
        plain(mul_add_52, _mm512_add_epi64, broadcast_pair, broadcast_wide),
        _mm512_sub_epi64,
        merge_wide,
        1 2 3
    );
}

#[cfg(test)]
mod tests {
    use super::super::{levels, noise};
    use super::*;
    use crate::tile::{ROWS, lanes};

    fn pairs<W: Word>(values: &[W]) -> W {
        let pairs = values.as_chunks::<2>().0.iter();
        pairs.fold(W::ZERO, |sum, [a, b]| sum.wrapping_add(a.wrapping_mul(*b)))
    }

    fn agrees<W: Word, P: Word>(kernel: Kernel, vectors: usize) {
        const START: usize = 3;
        const AT: usize = 2;
        let full = vectors * lanes::<P>();
        for (depth, width, height) in
            [(0, full, 8), (1, full, 8), (2, full - 3, 8), (7, full, 5), (40, 1, 1), (90, full, 8)]
        {
            // The last row ends with the weights.
            let weights = noise::<W>(START + (ROWS - 1) * 50 + depth, 1);
            let rows = core::array::from_fn(|i| i * 50);
            let row = |i: usize| &weights[START + rows[i]..][..depth];
            let panel = noise::<P>(depth * full, 2);
            let column = |j: usize| (0..depth).map(|k| panel[k * full + j]).collect::<Vec<P>>();
            let paired = kernel.scheme == Scheme::Paired;
            let row_pairs: Vec<W> = (0..ROWS).map(|i| pairs(row(i))).collect();
            let column_pairs: Vec<P> = (0..full).map(|j| pairs(&column(j))).collect();
            let (row_pairs, column_pairs) = if paired {
                (row_pairs, column_pairs)
            } else {
                (vec![W::ZERO; ROWS], vec![P::ZERO; full])
            };
            let before = noise::<W>(height * (full + 5), 3);
            for accumulate in [false, true] {
                let mut after = before.clone();
                let mut out: Vec<&mut [W]> = after.chunks_mut(full + 5).collect();
                let done = Tile {
                    weights: &weights,
                    rows: &rows,
                    start: START,
                    depth,
                    ahead: &rows,
                    panel: &panel,
                    vectors,
                    row_pairs: &row_pairs,
                    column_pairs: &column_pairs,
                    out: &mut out,
                    at: AT,
                    width,
                    accumulate,
                };
                tile(kernel, done);
                let mask = if kernel.low { (1 << W::BITS.min(LOW_BITS)) - 1 } else { u64::MAX };
                for (at, (got, old)) in after.iter().zip(&before).enumerate() {
                    let (i, j) = (at / (full + 5), at % (full + 5));
                    if j < AT || j >= AT + width {
                        assert_eq!(got, old, "{kernel:?}, outside of the tile");
                        continue;
                    }
                    let products = row(i).iter().zip(column(j - AT));
                    let start = if accumulate { *old } else { W::ZERO };
                    let sum = products.fold(start, |sum, (a, x)| {
                        sum.wrapping_add(a.wrapping_mul(W::from_u64(x.to_u64())))
                    });
                    let wrong = (got.to_u64() ^ sum.to_u64()) & mask;
                    assert_eq!(wrong, 0, "{kernel:?}, depth {depth}, {width} columns");
                }
            }
        }
    }

    #[test]
    fn tiles_agree_with_the_plain_sum_at_every_level() {
        for level in levels() {
            let kernel = Kernel { level, scheme: Scheme::Paired, low: false };
            for vectors in 1..=2 {
                agrees::<u32, u32>(kernel, vectors);
                agrees::<u64, u64>(kernel, vectors);
            }
            if level == Level::Ifma {
                agrees::<u64, u64>(Kernel { low: true, ..kernel }, 1);
                agrees::<u64, u64>(Kernel { low: true, ..kernel }, 2);
                let kernel = Kernel { level, scheme: Scheme::Plain, low: true };
                for vectors in 1..=3 {
                    agrees::<u64, u64>(kernel, vectors);
                    agrees::<u32, u64>(kernel, vectors);
                }
            }
        }
    }
}
