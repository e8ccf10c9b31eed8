//! The instruction sets that the kernels are compiled for, chosen at run time.
//!
//! The only `unsafe` code of the crate is here: calls of functions compiled for instructions that
//! were just detected, and loads and stores through pointers. Every kernel has a portable twin with
//! the same results.

use core::sync::atomic::{AtomicU8, Ordering};
use std::sync::OnceLock;

use crate::{SimdLimit, simd_limit};

mod bits;
mod gather;
mod tile;
mod transpose;

pub(crate) use bits::{pack, unpack};
pub(crate) use gather::gather;
pub(crate) use tile::{Kernel, LOW_BITS, tile};
pub(crate) use transpose::{Transpose, transpose};

/// An instruction set, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    Portable = 1,
    Avx2 = 2,
    Avx512 = 3,
    /// AVX-512 with 52-bit multiply and add.
    Ifma = 4,
    /// The same with dot products of pairs of 16-bit words.
    Vnni = 5,
}

impl Level {
    /// The best that this machine has, within [`simd_limit`].
    pub(crate) fn detected() -> Self {
        static FOUND: AtomicU8 = AtomicU8::new(0);
        match FOUND.load(Ordering::Relaxed) {
            1 => Self::Portable,
            2 => Self::Avx2,
            3 => Self::Avx512,
            4 => Self::Ifma,
            5 => Self::Vnni,
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
        match simd_limit() {
            SimdLimit::Avx512 if avx512 && is_x86_feature_detected!("avx512ifma") => {
                if is_x86_feature_detected!("avx512vnni") { Self::Vnni } else { Self::Ifma }
            }
            SimdLimit::Avx512 if avx512 => Self::Avx512,
            SimdLimit::Avx512 | SimdLimit::Avx2 if avx2 => Self::Avx2,
            _ => Self::Portable,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detect() -> Self {
        Self::Portable
    }
}

/// Whether products in pairs are slower than plain ones of 52 bits or limbs of 16: on Intel's
/// processors, where additions compete with products for the same two pipes.
pub(crate) fn pairs_lose() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // The instruction is slow in virtual machines.
        static INTEL: OnceLock<bool> = OnceLock::new();
        *INTEL.get_or_init(|| {
            let vendor = core::arch::x86_64::__cpuid(0);
            let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
            name.as_flattened() == b"GenuineIntel"
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
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
        Level::Avx512 | Level::Ifma | Level::Vnni => {
            #[expect(unsafe_code, reason = "call of a function with target features")]
            // SAFETY: the assertion above says that the machine has the features.
            unsafe {
                run_avx512(kernel)
            }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            #[expect(unsafe_code, reason = "call of a function with target features")]
            // SAFETY: the assertion above says that the machine has the features.
            unsafe {
                run_avx2(kernel)
            }
        }
        _ => kernel.run(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,bmi1,bmi2")]
fn run_avx512<V: Vectorised>(kernel: V) -> V::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn run_avx2<V: Vectorised>(kernel: V) -> V::Output {
    kernel.run()
}

/// The levels that this machine has, the portable one last.
#[cfg(test)]
pub(crate) fn levels() -> impl Iterator<Item = Level> {
    let all = [Level::Vnni, Level::Ifma, Level::Avx512, Level::Avx2, Level::Portable];
    all.into_iter().filter(|&level| level <= Level::detected())
}

/// Words that look random.
#[cfg(test)]
pub(crate) fn noise<W: crate::Word>(len: usize, seed: u64) -> Vec<W> {
    (0..len as u64)
        .map(|i| W::from_u64((i + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)))
        .collect()
}
