//! The instruction sets that kernels are written for, chosen at run time.
//!
//! The `unsafe` code of this crate is in the modules `ifma` and `avx2`: loads and stores of vectors,
//! and in the calls of functions compiled for instructions that were detected.

use hushwire_ring::{SimdLimit, simd_limit};

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod ifma;

/// An instruction set. Values exist only for those that this machine has, see [`Isa::available`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Any machine.
    Portable,
    /// AVX2 with fused multiply-add.
    Avx2,
    /// AVX-512 with 52-bit multiply and add.
    Ifma,
}

impl Isa {
    /// The best that this machine has, within [`simd_limit`].
    #[must_use]
    pub fn best() -> Self {
        let limit = match simd_limit() {
            SimdLimit::Portable => 1,
            SimdLimit::Avx2 => 2,
            SimdLimit::Avx512 => 3,
        };
        Self::available().take(limit).last().unwrap_or(Self::Portable)
    }

    /// All that this machine has, in ascending order.
    pub fn available() -> impl Iterator<Item = Self> {
        [Self::Portable, Self::Avx2, Self::Ifma].into_iter().take_while(|isa| isa.is_available())
    }

    #[cfg(target_arch = "x86_64")]
    fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Self::Ifma => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_available(self) -> bool {
        self == Self::Portable
    }
}
