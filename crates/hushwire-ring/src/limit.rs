//! How far run-time choice of instructions may go.

use std::sync::OnceLock;

/// The greatest instruction set that kernels may use, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SimdLimit {
    /// None: portable code.
    Portable,
    /// AVX2, with AES-NI.
    Avx2,
    /// AVX-512 and all extensions that the machine has.
    Avx512,
}

/// The limit that the environment variable `HUSHWIRE_SIMD` sets: `portable` or `avx2`; without it,
/// or with any other value, none. Results do not depend on it; it is there to measure with.
#[must_use]
pub fn simd_limit() -> SimdLimit {
    static LIMIT: OnceLock<SimdLimit> = OnceLock::new();
    *LIMIT.get_or_init(|| match std::env::var("HUSHWIRE_SIMD").as_deref() {
        Ok("portable") => SimdLimit::Portable,
        Ok("avx2") => SimdLimit::Avx2,
        _ => SimdLimit::Avx512,
    })
}
