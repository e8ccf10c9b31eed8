//! The instruction sets that kernels are written for, chosen at run time.
//!
//! The `unsafe` code of this crate is in the modules `ifma` and `avx2`: loads and stores of vectors,
//! and in the calls of functions compiled for instructions that were detected.

#[cfg(target_arch = "x86_64")]
pub(crate) mod ifma;

/// An instruction set. Values exist only for those that this machine has, see [`Isa::available`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Any machine.
    Portable,
    /// AVX-512 with 52-bit multiply and add.
    Ifma,
}

impl Isa {
    /// The best that this machine has.
    #[must_use]
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma") {
            return Self::Ifma;
        }
        Self::Portable
    }

    /// All that this machine has.
    pub fn available() -> impl Iterator<Item = Self> {
        [Self::Portable, Self::Ifma].into_iter().filter(|&isa| isa.is_available())
    }

    fn is_available(self) -> bool {
        self == Self::Portable || self == Self::best()
    }
}
