//! The machine words that hold ring elements.

use core::fmt::Debug;

use bytemuck::Pod;
use zeroize::Zeroize;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
}

/// An unsigned machine word holding an element of Z_2^l, l at most [`Word::BITS`].
///
/// Every operation wraps modulo 2^`BITS`; the element of a smaller ring is the low bits, and the
/// bits above it are garbage that no operation here lets flow downward, [`Word::shr`] excepted.
pub trait Word:
    sealed::Sealed + Copy + Default + Eq + Ord + Debug + Send + Sync + Pod + Zeroize + 'static
{
    /// Width of the word.
    const BITS: u32;
    /// The additive identity.
    const ZERO: Self;
    /// The multiplicative identity.
    const ONE: Self;

    /// `self + other` modulo 2^`BITS`.
    #[must_use]
    fn wrapping_add(self, other: Self) -> Self;
    /// `self - other` modulo 2^`BITS`.
    #[must_use]
    fn wrapping_sub(self, other: Self) -> Self;
    /// `self * other` modulo 2^`BITS`.
    #[must_use]
    fn wrapping_mul(self, other: Self) -> Self;
    /// `-self` modulo 2^`BITS`.
    #[must_use]
    fn wrapping_neg(self) -> Self;
    /// Shift towards the top; a shift by `BITS` or more gives zero.
    #[must_use]
    fn shl(self, by: u32) -> Self;
    /// Logical shift towards the bottom; a shift by `BITS` or more gives zero.
    #[must_use]
    fn shr(self, by: u32) -> Self;
    /// Bitwise and.
    #[must_use]
    fn and(self, other: Self) -> Self;
    /// Bitwise or.
    #[must_use]
    fn or(self, other: Self) -> Self;
    /// Bitwise exclusive or.
    #[must_use]
    fn xor(self, other: Self) -> Self;
    /// The low `BITS` bits of `value`.
    #[must_use]
    fn from_u64(value: u64) -> Self;
    /// Zero-extends to 64 bits.
    #[must_use]
    fn to_u64(self) -> u64;
    /// The two's complement of `value`, truncated to `BITS` bits.
    #[must_use]
    fn from_i64(value: i64) -> Self;
    /// Converts between the machine's byte order and little-endian.
    #[must_use]
    fn to_le(self) -> Self;
}

macro_rules! impl_word {
    ($word:ty) => {
        impl Word for $word {
            const BITS: u32 = <$word>::BITS;
            const ZERO: Self = 0;
            const ONE: Self = 1;

            #[inline(always)]
            fn wrapping_add(self, other: Self) -> Self {
                <$word>::wrapping_add(self, other)
            }
            #[inline(always)]
            fn wrapping_sub(self, other: Self) -> Self {
                <$word>::wrapping_sub(self, other)
            }
            #[inline(always)]
            fn wrapping_mul(self, other: Self) -> Self {
                <$word>::wrapping_mul(self, other)
            }
            #[inline(always)]
            fn wrapping_neg(self) -> Self {
                <$word>::wrapping_neg(self)
            }
            #[inline(always)]
            fn shl(self, by: u32) -> Self {
                self.checked_shl(by).unwrap_or(0)
            }
            #[inline(always)]
            fn shr(self, by: u32) -> Self {
                self.checked_shr(by).unwrap_or(0)
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                self & other
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                self | other
            }
            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                self ^ other
            }
            #[inline(always)]
            fn from_u64(value: u64) -> Self {
                value as $word
            }
            #[inline(always)]
            fn to_u64(self) -> u64 {
                u64::from(self)
            }
            #[inline(always)]
            fn from_i64(value: i64) -> Self {
                value as $word
            }
            #[inline(always)]
            fn to_le(self) -> Self {
                <$word>::to_le(self)
            }
        }
    };
}

impl_word!(u32);
impl_word!(u64);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<W: Word>() {
        assert_eq!(W::ONE.shl(W::BITS), W::ZERO);
        assert_eq!(W::ONE.shl(W::BITS - 1).shr(W::BITS - 1), W::ONE);
        assert_eq!(W::from_i64(-1).shr(W::BITS), W::ZERO);
        assert_eq!(W::from_i64(-1), W::ONE.wrapping_neg());
        assert_eq!(W::from_i64(-3).wrapping_mul(W::from_i64(-5)), W::from_u64(15));
        assert_eq!(W::from_i64(-3).wrapping_add(W::from_u64(3)), W::ZERO);
    }

    #[test]
    fn words_wrap_and_saturate_shifts() {
        check::<u32>();
        check::<u64>();
    }
}
