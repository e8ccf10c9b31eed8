//! The instruction sets that the kernels are compiled for, chosen at run time.
//!
//! The only `unsafe` code of the crate is here: calls of functions compiled for instructions that
//! were just detected, and the loads and stores of the AVX-512 tiles. Every tile has a portable
//! twin with the same results, [`tile::Portable`].

use core::sync::atomic::{AtomicU8, Ordering};

use bytemuck::{cast_slice, cast_slice_mut};

use crate::Word;
use crate::tile::{self, ROWS, Tile};

/// An instruction set, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    Portable = 1,
    Avx2 = 2,
    Avx512 = 3,
    /// AVX-512 with 52-bit multiply and add.
    Ifma = 4,
}

impl Level {
    /// The best that this machine has.
    pub(crate) fn detected() -> Self {
        static FOUND: AtomicU8 = AtomicU8::new(0);
        match FOUND.load(Ordering::Relaxed) {
            1 => Self::Portable,
            2 => Self::Avx2,
            3 => Self::Avx512,
            4 => Self::Ifma,
            _ => {
                let level = Self::detect();
                FOUND.store(level as u8, Ordering::Relaxed);
                level
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn detect() -> Self {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        match (avx2, avx512, is_x86_feature_detected!("avx512ifma")) {
            (true, true, true) => Self::Ifma,
            (true, true, false) => Self::Avx512,
            (true, false, _) => Self::Avx2,
            _ => Self::Portable,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detect() -> Self {
        Self::Portable
    }
}

/// A loop that the compiler vectorises for whichever instruction set runs it.
///
/// `run` and all that it calls must be `#[inline(always)]`, to be compiled for the set.
pub trait Vectorised {
    /// What the loop makes.
    type Output;
    /// The loop.
    fn run(self) -> Self::Output;
}

/// Runs a loop compiled for the best instruction set that this machine has.
pub fn vectorise<V: Vectorised>(kernel: V) -> V::Output {
    dispatch(Level::detected(), kernel)
}

/// Runs a loop compiled for `level`.
///
/// # Panics
/// If this machine does not have `level`.
pub(crate) fn dispatch<V: Vectorised>(level: Level, kernel: V) -> V::Output {
    assert!(level <= Level::detected(), "{level:?} is not there");
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Ifma => {
            #[expect(unsafe_code, reason = "call of a function with target features")]
            // SAFETY: the assertion above says that the machine has the features.
            unsafe {
                x86::run_avx512(kernel)
            }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            #[expect(unsafe_code, reason = "call of a function with target features")]
            // SAFETY: the assertion above says that the machine has the features.
            unsafe {
                x86::run_avx2(kernel)
            }
        }
        _ => kernel.run(),
    }
}

/// Width of the products of [`Level::Ifma`].
pub(crate) const IFMA_BITS: u32 = 52;

/// Computes one tile with the instructions of `level`; see [`Tile`].
///
/// With [`Level::Ifma`], panels of 64-bit words are multiplied modulo 2^52: of each sum, only the
/// low 52 bits are right.
///
/// # Panics
/// If this machine does not have `level`.
pub(crate) fn tile<W: Word, P: Word>(level: Level, tile: Tile<'_, W, P>) {
    #[cfg(target_arch = "x86_64")]
    if level >= Level::Avx512 {
        assert!(level <= Level::detected(), "{level:?} is not there");
        #[expect(unsafe_code, reason = "calls of functions with target features")]
        // SAFETY: the assertion above says that the machine has the features.
        unsafe {
            match (level, W::BITS, P::BITS) {
                (Level::Ifma, 64, 64) => return x86::tile_52_u64(cast_tile(tile)),
                (Level::Ifma, 32, 64) => return x86::tile_52_u32(cast_tile(tile)),
                (_, 64, 64) => return x86::tile_u64(cast_tile(tile)),
                (_, 32, 32) => return x86::tile_u32(cast_tile(tile)),
                _ => {}
            }
        }
    }
    dispatch(level, tile::Portable(tile));
}

/// The same tile under the names of its words.
#[cfg(target_arch = "x86_64")]
fn cast_tile<W: Word, P: Word, V: Word, Q: Word>(tile: Tile<'_, W, P>) -> Tile<'_, V, Q> {
    assert!(W::BITS == V::BITS && P::BITS == Q::BITS, "words of the same size");
    Tile {
        depth: tile.depth,
        rows: tile.rows,
        weights: cast_slice(tile.weights),
        panel: cast_slice(tile.panel),
        vectors: tile.vectors,
        out: cast_slice_mut(tile.out),
        stride: tile.stride,
        accumulate: tile.accumulate,
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads and stores through pointers, bounds checked beforehand")]
mod x86 {
    use core::arch::x86_64::*;

    use super::{ROWS, Tile, Vectorised};

    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,bmi1,bmi2")]
    pub(super) fn run_avx512<V: Vectorised>(kernel: V) -> V::Output {
        kernel.run()
    }

    #[target_feature(enable = "avx2,bmi1,bmi2")]
    pub(super) fn run_avx2<V: Vectorised>(kernel: V) -> V::Output {
        kernel.run()
    }

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

    macro_rules! tile {
        (
            $name:ident, $inner:ident, $feature:literal, $word:ty, $panel:ty,
            $mul_add:ident, $add:ident, $broadcast:ident, $broadcast_last:ident
        ) => {
            /// 8 rows by 1 to 3 vectors, the sums in registers.
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
            #[target_feature(enable = $feature)]
            pub(super) fn $name(tile: Tile<'_, $word, $panel>) {
                match tile.vectors {
                    1 => $inner::<1>(tile),
                    2 => $inner::<2>(tile),
                    3 => $inner::<3>(tile),
                    other => unreachable!("panels have 1 to 3 vectors, not {other}"),
                }
            }

            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
            #[target_feature(enable = $feature)]
            fn $inner<const V: usize>(tile: Tile<'_, $word, $panel>) {
                const LANES: usize = 64 / size_of::<$panel>();
                tile.check();
                let Tile { depth, rows, weights, panel, out, stride, accumulate, .. } = tile;
                let rows: [*const $word; ROWS] = rows.map(|row| weights[row..].as_ptr());
                let mut sums = [[_mm512_setzero_si512(); V]; ROWS];
                macro_rules! step {
                    ($k:expr, $load:ident) => {
                        let mut x = [_mm512_setzero_si512(); V];
                        for (v, x) in x.iter_mut().enumerate() {
                            let at = panel.as_ptr().add(($k * V + v) * LANES);
                            *x = _mm512_loadu_si512(at.cast());
                        }
                        for (sums, row) in sums.iter_mut().zip(&rows) {
                            let w = $load!(row.add($k));
                            for (sum, x) in sums.iter_mut().zip(&x) {
                                *sum = $mul_add!(*sum, w, *x);
                            }
                        }
                    };
                }
                let last = depth.saturating_sub(1);
                // SAFETY: `check` found depth * V * LANES words in the panel and `depth` words from
                // each row's start in the weights. Every step is below depth, and those of the
                // loop, which may read the next weight too, below depth - 1.
                unsafe {
                    for k in 0..last {
                        step!(k, $broadcast);
                    }
                    if depth > 0 {
                        step!(last, $broadcast_last);
                    }
                }
                for (row, sums) in sums.iter().enumerate() {
                    for (v, sum) in sums.iter().enumerate() {
                        // SAFETY: `check` found (ROWS - 1) * stride + V * LANES words in `out`.
                        unsafe {
                            let at = out.as_mut_ptr().add(row * stride + v * LANES);
                            let old = if accumulate {
                                _mm512_loadu_si512(at.cast())
                            } else {
                                _mm512_setzero_si512()
                            };
                            _mm512_storeu_si512(at.cast(), $add(old, *sum));
                        }
                    }
                }
            }
        };
    }

    tile!(
        tile_u64,
        inner_u64,
        "avx512f",
        u64,
        u64,
        mul_add_64,
        _mm512_add_epi64,
        broadcast_64,
        broadcast_64
    );
    tile!(
        tile_u32,
        inner_u32,
        "avx512f",
        u32,
        u32,
        mul_add_32,
        _mm512_add_epi32,
        broadcast_32,
        broadcast_32
    );
    tile!(
        tile_52_u64,
        inner_52_u64,
        "avx512ifma",
        u64,
        u64,
        mul_add_52,
        _mm512_add_epi64,
        broadcast_64,
        broadcast_64
    );
    tile!(
        tile_52_u32,
        inner_52_u32,
        "avx512ifma",
        u32,
        u64,
        mul_add_52,
        _mm512_add_epi64,
        broadcast_pair,
        broadcast_wide
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tile::lanes;

    fn noise<W: Word>(len: usize, seed: u64) -> Vec<W> {
        (0..len as u64)
            .map(|i| W::from_u64((i + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)))
            .collect()
    }

    fn every_level_agrees<W: Word, P: Word>() {
        let levels = [Level::Ifma, Level::Avx512, Level::Avx2, Level::Portable];
        for depth in [0, 1, 2, 7, 40] {
            for vectors in 1..=3 {
                let width = vectors * lanes::<P>();
                // The last row ends with the weights.
                let weights = noise::<W>((ROWS - 1) * 50 + depth, 1);
                let panel = noise::<P>(depth * width, 2);
                let stride = width + 5;
                let rows = core::array::from_fn(|i| i * 50);
                for accumulate in [false, true] {
                    let start = noise::<P>(ROWS * stride, 3);
                    let mut expected = start.clone();
                    for i in 0..ROWS {
                        for j in 0..width {
                            let cell = &mut expected[i * stride + j];
                            *cell = if accumulate { *cell } else { P::ZERO };
                            for k in 0..depth {
                                let weight = P::from_u64(weights[i * 50 + k].to_u64());
                                let product = weight.wrapping_mul(panel[k * width + j]);
                                *cell = cell.wrapping_add(product);
                            }
                        }
                    }
                    for level in levels.into_iter().filter(|&l| l <= Level::detected()) {
                        let mut out = start.clone();
                        tile(
                            level,
                            Tile {
                                depth,
                                rows,
                                weights: &weights,
                                panel: &panel,
                                vectors,
                                out: &mut out,
                                stride,
                                accumulate,
                            },
                        );
                        let checked = match (level, P::BITS) {
                            (Level::Ifma, 64) => (1 << W::BITS.min(IFMA_BITS)) - 1,
                            _ => u64::MAX,
                        };
                        let same = |(a, b): (&P, &P)| (a.to_u64() ^ b.to_u64()) & checked == 0;
                        assert!(
                            out.iter().zip(&expected).all(same),
                            "{level:?}, depth {depth}, {vectors} vectors"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn tiles_agree_with_the_plain_sum() {
        every_level_agrees::<u32, u32>();
        every_level_agrees::<u64, u64>();
        every_level_agrees::<u32, u64>();
    }
}
