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
pub(crate) fn tile<W: Word>(kernel: Kernel, tile: Tile<'_, '_, W>) {
    #[cfg(target_arch = "x86_64")]
    if kernel.level >= Level::Avx512 {
        assert!(kernel.level <= Level::detected(), "{:?} is not there", kernel.level);
        let least = match kernel {
            Kernel { scheme: Scheme::Limbs, .. } => Level::Vnni,
            Kernel { low: true, .. } => Level::Ifma,
            _ => Level::Avx512,
        };
        assert!(kernel.level >= least, "{kernel:?} needs {least:?}");
        #[expect(unsafe_code, reason = "calls of functions with target features")]
        // SAFETY: the assertions above say that the machine has the features.
        unsafe {
            match (kernel.scheme, kernel.low, W::BITS) {
                (Scheme::Paired, true, 64) => return x86::paired_52(tile),
                (Scheme::Paired, false, 64) => return x86::paired_64(tile),
                (Scheme::Paired, false, 32) => return x86::paired_32(tile),
                (Scheme::Plain, true, 64) => return x86::plain_52(tile),
                (Scheme::Limbs, false, 32) => return x86::limbs_32(tile),
                (Scheme::Limbs, false, 64) => return x86::limbs_64(tile),
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
    use core::ops::Range;

    use crate::Word;
    use crate::limbs;
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

    /// `vpmadd52huq`: the same, of the product's high 52 bits.
    macro_rules! mul_add_52_high {
        ($sum:expr, $w:expr, $x:expr) => {
            _mm512_madd52hi_epu64($sum, $w, $x)
        };
    }

    /// `vpdpwssd`, which adds two products of 16 bits to 32.
    macro_rules! dot {
        ($sum:expr, $w:expr, $x:expr) => {
            _mm512_dpwssd_epi32($sum, $w, $x)
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

    /// A tile: `steps!` adds its products to the sums.
    macro_rules! kernel {
        (
            $name:ident, $groups:ident, $inner:ident, $features:literal, $word:ty,
            $steps:ident($mul_add:ident, $add:ident, $broadcast:ident),
            $sub:ident, $merge:ident, $($vectors:literal)*
        ) => {
            #[target_feature(enable = $features)]
            pub(super) fn $name<W: Word>(tile: Tile<'_, '_, W>) {
                match tile.vectors {
                    $($vectors => $groups::<W, $vectors>(tile),)*
                    other => unreachable!("no kernel for {other} vectors"),
                }
            }

            /// Groups of rows that are as large as each other, or nearly.
            #[target_feature(enable = $features)]
            fn $groups<W: Word, const V: usize>(mut tile: Tile<'_, '_, W>) {
                tile.check();
                let all = tile.out.len();
                let count = all.div_ceil(ROWS);
                for i in 0..count {
                    let (first, end) = (i * all / count, (i + 1) * all / count);
                    // SAFETY: `check` was called, and first is less than the number of rows.
                    unsafe {
                        match end - first {
                            8 => $inner::<W, V, 8>(&mut tile, first),
                            7 => $inner::<W, V, 7>(&mut tile, first),
                            6 => $inner::<W, V, 6>(&mut tile, first),
                            5 => $inner::<W, V, 5>(&mut tile, first),
                            _ => $inner::<W, V, 4>(&mut tile, first),
                        }
                    }
                }
            }

            /// `R` rows from `first` on; those beyond the last repeat it, and are not written.
            ///
            /// # Safety
            /// [`Tile::check`] must have passed, and there must be a row `first` of the result.
            #[target_feature(enable = $features)]
            unsafe fn $inner<W: Word, const V: usize, const R: usize>(
                tile: &mut Tile<'_, '_, W>,
                first: usize,
            ) {
                const LANES: usize = 64 / size_of::<$word>();
                assert!(size_of::<W>() == size_of::<$word>(), "words");
                let Tile { depth, weights, panel, at, .. } = *tile;
                let last = tile.out.len() - 1;
                let out = &mut tile.out[first..];
                for out in out.iter().take(R).filter(|_| tile.width > 0) {
                    // SAFETY: `check` found `at` + `width` words in every row, and width is not 0.
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(out.as_ptr().add(at).cast()) };
                }
                let rows: [*const $word; R] = core::array::from_fn(|i| {
                    let row = tile.rows[last.min(first + i)];
                    // SAFETY: `check` found `start` + `depth` words from each row's start.
                    unsafe { weights.as_ptr().add(row + tile.start).cast() }
                });
                let panel: *const $word = panel.as_ptr().cast();
                let mut sums = [[_mm512_setzero_si512(); V]; R];
                // Row k of the panel.
                #[allow(unused_macros, reason = "limbs have passes of their own")]
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
                #[allow(unused_macros, reason = "limbs are not fetched ahead")]
                macro_rules! prefetch {
                    ($k:expr) => {
                        let row = tile.ahead[$k / 2 % (32 / size_of::<$word>())];
                        let at = weights.as_ptr().wrapping_add(row + tile.start + $k);
                        _mm_prefetch::<_MM_HINT_T0>(at.cast());
                    };
                }
                // SAFETY: `check` found depth * V * LANES words in the panel and `depth` words from
                // each of `rows`; every step is below depth.
                unsafe {
                    $steps!(depth, sums, rows, panel, vectors, prefetch, $mul_add, $add, $broadcast);
                }
                let lanes: [u16; V] = core::array::from_fn(|v| {
                    ((1_u32 << tile.width.saturating_sub(v * LANES).min(LANES)) - 1) as u16
                });
                let pairs = tile.column_pairs.as_ptr();
                let row_pairs = tile.row_pairs[first..].as_ptr();
                for (i, sums) in sums.iter().enumerate() {
                    let Some(out) = out.get_mut(i) else { break };
                    // SAFETY: `check` found V * LANES pairs of columns, as many pairs of rows as
                    // rows of `out`, and `at` + `width` words in each; lanes that are not below
                    // `width` are neither read nor written.
                    unsafe {
                        let row = $broadcast!(row_pairs.add(i).cast::<$word>());
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
            $depth:ident, $sums:ident, $rows:ident, $panel:ident, $vectors:ident, $prefetch:ident,
            $mul_add:ident, $add:ident, $broadcast:ident
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
                    let a = $broadcast!(row.add($depth - 1));
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
            $depth:ident, $sums:ident, $rows:ident, $panel:ident, $vectors:ident, $prefetch:ident,
            $mul_add:ident, $add:ident, $broadcast:ident
        ) => {
            for k in 0..$depth {
                $prefetch!(k);
                let x = $vectors!(k);
                for (sums, row) in $sums.iter_mut().zip(&$rows) {
                    let a = $broadcast!(row.add(k));
                    for (sum, x) in sums.iter_mut().zip(&x) {
                        *sum = $mul_add!(*sum, a, *x);
                    }
                }
            }
        };
    }

    /// A pass of a tile of limbs over some rows of the panel: a function of its own, in which the
    /// compiler keeps all sums in registers.
    macro_rules! sweep {
        ($name:ident, $features:literal, $word:ty, $mul_add:ident, $broadcast:ident) => {
            /// # Safety
            /// There must be `steps.end` words from each of `rows`, and as many rows of `V` vectors
            /// in the panel.
            #[inline(never)]
            #[target_feature(enable = $features)]
            unsafe fn $name<const V: usize, const R: usize>(
                sums: &mut [[__m512i; V]; R],
                rows: &[*const $word; R],
                panel: *const $word,
                steps: Range<usize>,
            ) {
                const LANES: usize = 64 / size_of::<$word>();
                let mut own = *sums;
                for k in steps {
                    let mut x = [_mm512_setzero_si512(); V];
                    for (v, x) in x.iter_mut().enumerate() {
                        // SAFETY: the caller's promise, k being below the end of the steps.
                        *x = unsafe { _mm512_loadu_si512(panel.add((k * V + v) * LANES).cast()) };
                    }
                    for (sums, row) in own.iter_mut().zip(rows) {
                        // SAFETY: as above.
                        let a = unsafe { $broadcast!(row.add(k)) };
                        for (sum, x) in sums.iter_mut().zip(&x) {
                            *sum = $mul_add!(*sum, a, *x);
                        }
                    }
                }
                *sums = own;
            }
        };
    }

    sweep!(dots_32, "avx512f,avx512vnni", u32, dot, broadcast_32);
    sweep!(dots_64, "avx512f,avx512vnni", u64, dot, broadcast_64);
    sweep!(low_52, "avx512f,avx512ifma", u64, mul_add_52, broadcast_64);
    sweep!(high_52, "avx512f,avx512ifma", u64, mul_add_52_high, broadcast_64);

    /// Limbs of 32-bit words: crossed products, then those of low halves.
    macro_rules! limbs_32 {
        (
            $depth:ident, $sums:ident, $rows:ident, $panel:ident, $vectors:ident, $prefetch:ident,
            $mul_add:ident, $add:ident, $broadcast:ident
        ) => {
            let main = limbs::depth($depth);
            dots_32(&mut $sums, &$rows, $panel, 0..main);
            for sum in $sums.iter_mut().flatten() {
                *sum = _mm512_slli_epi32::<16>(*sum);
            }
            dots_32(&mut $sums, &$rows, $panel, main..$depth);
        };
    }

    /// Limbs of 64-bit words: crossed products, high halves, low halves.
    macro_rules! limbs_64 {
        (
            $depth:ident, $sums:ident, $rows:ident, $panel:ident, $vectors:ident, $prefetch:ident,
            $mul_add:ident, $add:ident, $broadcast:ident
        ) => {
            let main = limbs::depth($depth);
            dots_64(&mut $sums, &$rows, $panel, main..$depth);
            for sum in $sums.iter_mut().flatten() {
                *sum = _mm512_add_epi64(*sum, _mm512_srli_epi64::<32>(*sum));
            }
            high_52(&mut $sums, &$rows, $panel, 0..main);
            for sum in $sums.iter_mut().flatten() {
                *sum = _mm512_slli_epi64::<52>(*sum);
            }
            low_52(&mut $sums, &$rows, $panel, 0..main);
        };
    }

    kernel!(
        paired_32,
        paired_32_groups,
        paired_32_inner,
        "avx512f,avx512dq,avx512bw,avx512vl",
        u32,
        paired(mul_add_32, _mm512_add_epi32, broadcast_32),
        _mm512_sub_epi32,
        merge_32,
        1 2
    );
    kernel!(
        paired_64,
        paired_64_groups,
        paired_64_inner,
        "avx512f,avx512dq,avx512bw,avx512vl",
        u64,
        paired(mul_add_64, _mm512_add_epi64, broadcast_64),
        _mm512_sub_epi64,
        merge_64,
        1 2
    );
    kernel!(
        paired_52,
        paired_52_groups,
        paired_52_inner,
        "avx512f,avx512dq,avx512bw,avx512vl,avx512ifma",
        u64,
        paired(mul_add_52, _mm512_add_epi64, broadcast_64),
        _mm512_sub_epi64,
        merge_64,
        1 2
    );
    kernel!(
        plain_52,
        plain_52_groups,
        plain_52_inner,
        "avx512f,avx512dq,avx512bw,avx512vl,avx512ifma",
        u64,
        plain(mul_add_52, _mm512_add_epi64, broadcast_64),
        _mm512_sub_epi64,
        merge_64,
        1 2 3
    );
    kernel!(
        limbs_32,
        limbs_32_groups,
        limbs_32_inner,
        "avx512f,avx512dq,avx512bw,avx512vl,avx512vnni",
        u32,
        limbs_32(dot, _mm512_add_epi32, broadcast_32),
        _mm512_sub_epi32,
        merge_32,
        1 2 3
    );
    kernel!(
        limbs_64,
        limbs_64_groups,
        limbs_64_inner,
        "avx512f,avx512dq,avx512bw,avx512vl,avx512ifma,avx512vnni",
        u64,
        limbs_64(dot, _mm512_add_epi64, broadcast_64),
        _mm512_sub_epi64,
        merge_64,
        1 2 3
    );
}

#[cfg(test)]
mod tests {
    use super::super::{levels, noise};
    use super::*;
    use crate::limbs::{self, Cut};
    use crate::panel::{Columns, Gather};
    use crate::simd::gather;
    use crate::tile::{ROWS, lanes};

    fn pairs<W: Word>(values: &[W]) -> W {
        let pairs = values.as_chunks::<2>().0.iter();
        pairs.fold(W::ZERO, |sum, [a, b]| sum.wrapping_add(a.wrapping_mul(*b)))
    }

    fn agrees<W: Word>(kernel: Kernel, vectors: usize) {
        const START: usize = 3;
        const AT: usize = 2;
        let full = vectors * lanes::<W>();
        for (depth, width, height) in
            [(0, full, 8), (1, full, 8), (2, full - 3, 8), (7, full, 5), (40, 1, 1), (90, full, 8)]
        {
            // The last row ends with the weights.
            let weights = noise::<W>(START + (ROWS - 1) * 50 + depth, 1);
            let rows = core::array::from_fn(|i| i * 50);
            let row = |i: usize| &weights[START + rows[i]..][..depth];
            let panel = noise::<W>(depth * full, 2);
            let column = |j: usize| (0..depth).map(|k| panel[k * full + j]).collect::<Vec<W>>();
            let paired = kernel.scheme == Scheme::Paired;
            let row_pairs: Vec<W> = (0..ROWS).map(|i| pairs(row(i))).collect();
            let column_pairs: Vec<W> = (0..full).map(|j| pairs(&column(j))).collect();
            let (row_pairs, column_pairs) = if paired {
                (row_pairs, column_pairs)
            } else {
                (vec![W::ZERO; ROWS], vec![W::ZERO; full])
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
                    let sum =
                        products.fold(start, |sum, (a, x)| sum.wrapping_add(a.wrapping_mul(x)));
                    let wrong = (got.to_u64() ^ sum.to_u64()) & mask;
                    assert_eq!(wrong, 0, "{kernel:?}, depth {depth}, {width} columns");
                }
            }
        }
    }

    /// A tile of limbs, which gathering and cutting make, for all of `weights` and `data`.
    fn limbs_agree<W: Word>(vectors: usize, depth: usize) {
        let (level, width) = (Level::Vnni, vectors * lanes::<W>());
        let (weights, data) = (noise::<W>(ROWS * depth, 4), noise::<W>(depth * width, 5));
        let columns = Columns::new::<W>((0..width).collect());
        let rows: Vec<usize> = (0..depth).map(|k| k * width).collect();
        let len = limbs::len(depth);
        let (mut panel, mut pairs) = (noise(len * width, 6), vec![W::ZERO; width]);
        let gathered = Gather {
            data: &data,
            rows: &rows,
            columns: &columns,
            first: 0,
            vectors,
            limbs: true,
            panel: &mut panel,
            pairs: &mut pairs,
        };
        gather(level, gathered);
        let mut cut = noise::<W>(ROWS * len, 7);
        let rows = core::array::from_fn(|i| i * depth);
        dispatch(level, Cut { weights: &weights, rows, depth, out: &mut cut });
        let mut got = vec![W::ONE; ROWS * width];
        let done = Tile {
            weights: &cut,
            rows: &core::array::from_fn::<_, ROWS, _>(|i| i * len),
            start: 0,
            depth: len,
            ahead: &[0; ROWS],
            panel: &panel,
            vectors,
            row_pairs: &[W::ZERO; ROWS],
            column_pairs: &pairs,
            out: &mut got.chunks_mut(width).collect::<Vec<_>>(),
            at: 0,
            width,
            accumulate: true,
        };
        tile(Kernel { level, scheme: Scheme::Limbs, low: false }, done);
        for (at, got) in got.iter().enumerate() {
            let (i, j) = (at / width, at % width);
            let sum = (0..depth).fold(W::ONE, |sum, k| {
                sum.wrapping_add(weights[i * depth + k].wrapping_mul(data[k * width + j]))
            });
            assert_eq!(*got, sum, "{vectors} vectors, depth {depth}, row {i}, column {j}");
        }
    }

    #[test]
    fn limbs_agree_with_the_plain_sum() {
        if Level::detected() < Level::Vnni {
            return;
        }
        for depth in [1, 2, 3, 8, 41, 100] {
            for vectors in 1..=3 {
                limbs_agree::<u32>(vectors, depth);
                limbs_agree::<u64>(vectors, depth);
            }
        }
    }

    #[test]
    fn tiles_agree_with_the_plain_sum_at_every_level() {
        for level in levels() {
            let kernel = Kernel { level, scheme: Scheme::Paired, low: false };
            for vectors in 1..=2 {
                agrees::<u32>(kernel, vectors);
                agrees::<u64>(kernel, vectors);
            }
            if level >= Level::Ifma {
                agrees::<u64>(Kernel { low: true, ..kernel }, 1);
                agrees::<u64>(Kernel { low: true, ..kernel }, 2);
                let kernel = Kernel { level, scheme: Scheme::Plain, low: true };
                for vectors in 1..=3 {
                    agrees::<u64>(kernel, vectors);
                }
            }
        }
    }
}
