//! The instruction sets that the kernels are compiled for, chosen at run time.
//!
//! The only `unsafe` code of the crate is here: calls of functions compiled for instructions that
//! were just detected, and the loads and stores of the two AVX-512 tiles. Every tile has a portable
//! twin with the same results, [`crate::tile::portable`].

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
}

impl Level {
    /// The best that this machine has.
    pub(crate) fn detected() -> Self {
        static FOUND: AtomicU8 = AtomicU8::new(0);
        match FOUND.load(Ordering::Relaxed) {
            1 => Self::Portable,
            2 => Self::Avx2,
            3 => Self::Avx512,
            _ => {
                let level = Self::detect();
                FOUND.store(level as u8, Ordering::Relaxed);
                level
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn detect() -> Self {
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        if avx512 {
            Self::Avx512
        } else if is_x86_feature_detected!("avx2") {
            Self::Avx2
        } else {
            Self::Portable
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
pub(crate) trait Vectorised {
    type Output;
    fn run(self) -> Self::Output;
}

/// Runs a loop compiled for `level`.
///
/// # Panics
/// If this machine does not have `level`.
pub(crate) fn dispatch<V: Vectorised>(level: Level, kernel: V) -> V::Output {
    assert!(level <= Level::detected(), "{level:?} is not there");
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => {
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

/// Computes one tile with the instructions of `level`; see [`Tile`].
pub(crate) fn tile<W: Word>(level: Level, tile: Tile<'_, W>) {
    #[cfg(target_arch = "x86_64")]
    if level == Level::Avx512 {
        assert!(level <= Level::detected(), "{level:?} is not there");
        let Tile { depth, rows, weights, panel, vectors, out, stride, accumulate } = tile;
        if W::BITS == 64 {
            let (weights, panel) = (cast_slice(weights), cast_slice(panel));
            let out = cast_slice_mut(out);
            let tile = Tile { depth, rows, weights, panel, vectors, out, stride, accumulate };
            #[expect(unsafe_code, reason = "call of a function with target features")]
            // SAFETY: the assertion above says that the machine has the features.
            unsafe {
                x86::tile_u64(tile);
            }
        } else {
            let (weights, panel) = (cast_slice(weights), cast_slice(panel));
            let out = cast_slice_mut(out);
            let tile = Tile { depth, rows, weights, panel, vectors, out, stride, accumulate };
            #[expect(unsafe_code, reason = "call of a function with target features")]
            // SAFETY: the assertion above says that the machine has the features.
            unsafe {
                x86::tile_u32(tile);
            }
        }
        return;
    }
    dispatch(level, tile::Portable(tile));
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads and stores through pointers, bounds checked beforehand")]
mod x86 {
    use core::arch::x86_64::*;

    use super::{ROWS, Tile, Vectorised};

    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
    pub(super) fn run_avx512<V: Vectorised>(kernel: V) -> V::Output {
        kernel.run()
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn run_avx2<V: Vectorised>(kernel: V) -> V::Output {
        kernel.run()
    }

    macro_rules! tile {
        ($name:ident, $inner:ident, $word:ty, $signed:ty, $set1:ident, $mul:ident, $add:ident) => {
            /// 8 rows by 1 to 3 vectors in registers.
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
            pub(super) fn $name(tile: Tile<'_, $word>) {
                match tile.vectors {
                    1 => $inner::<1>(tile),
                    2 => $inner::<2>(tile),
                    3 => $inner::<3>(tile),
                    other => unreachable!("panels have 1 to 3 vectors, not {other}"),
                }
            }

            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
            fn $inner<const V: usize>(tile: Tile<'_, $word>) {
                const LANES: usize = 64 / size_of::<$word>();
                tile.check();
                let Tile { depth, rows, weights, panel, out, stride, accumulate, .. } = tile;
                let rows: [*const $word; ROWS] = rows.map(|row| weights[row..].as_ptr());
                let mut sums = [[_mm512_setzero_si512(); V]; ROWS];
                let mut column = panel.as_ptr();
                for k in 0..depth {
                    // SAFETY: `check` found depth * V * LANES words in the panel and `depth` words
                    // from each row's start in the weights, and k < depth.
                    unsafe {
                        let mut x = [_mm512_setzero_si512(); V];
                        for (v, x) in x.iter_mut().enumerate() {
                            *x = _mm512_loadu_si512(column.add(v * LANES).cast());
                        }
                        for (sums, row) in sums.iter_mut().zip(&rows) {
                            let w = $set1(*row.add(k) as $signed);
                            for (sum, x) in sums.iter_mut().zip(&x) {
                                *sum = $add(*sum, $mul(w, *x));
                            }
                        }
                        column = column.add(V * LANES);
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

    tile!(tile_u64, inner_u64, u64, i64, _mm512_set1_epi64, _mm512_mullo_epi64, _mm512_add_epi64);
    tile!(tile_u32, inner_u32, u32, i32, _mm512_set1_epi32, _mm512_mullo_epi32, _mm512_add_epi32);
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

    fn every_level_agrees<W: Word>() {
        let levels = [Level::Avx512, Level::Avx2, Level::Portable];
        for depth in [0, 1, 2, 7, 40] {
            for vectors in 1..=3 {
                let width = vectors * lanes::<W>();
                let weights = noise::<W>(ROWS * 50, 1);
                let panel = noise::<W>(depth * width, 2);
                let stride = width + 5;
                let rows = core::array::from_fn(|i| i * 50);
                for accumulate in [false, true] {
                    let start = noise::<W>(ROWS * stride, 3);
                    let mut expected = start.clone();
                    for i in 0..ROWS {
                        for j in 0..width {
                            let cell = &mut expected[i * stride + j];
                            *cell = if accumulate { *cell } else { W::ZERO };
                            for k in 0..depth {
                                let product = weights[i * 50 + k].wrapping_mul(panel[k * width + j]);
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
                        assert!(out == expected, "{level:?}, depth {depth}, {vectors} vectors");
                    }
                }
            }
        }
    }

    #[test]
    fn tiles_agree_with_the_plain_sum() {
        every_level_agrees::<u32>();
        every_level_agrees::<u64>();
    }
}
