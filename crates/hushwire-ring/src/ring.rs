//! The ring Z_2^l as a run-time width.

use crate::Word;

/// The ring of integers modulo 2^l, 1 <= l <= 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ring(u32);

impl Ring {
    /// The ring of `bits`-bit integers, or `None` unless `bits` is in `1..=64`.
    #[must_use]
    pub const fn new(bits: u32) -> Option<Self> {
        if bits >= 1 && bits <= 64 { Some(Self(bits)) } else { None }
    }

    /// The width l.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// 2^l - 1.
    #[must_use]
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.0)
    }

    /// The canonical representative in `0..2^l` of the element held in `value`.
    #[inline]
    #[must_use]
    pub fn reduce<W: Word>(self, value: W) -> W {
        value.and(W::from_u64(self.mask()))
    }

    /// The representative in `-2^(l-1)..2^(l-1)`.
    ///
    /// A ring wider than the word reads the word as it is, zero-extended.
    #[inline]
    #[must_use]
    pub fn signed<W: Word>(self, value: W) -> i64 {
        let unused = 64 - self.0;
        ((value.to_u64() << unused) as i64) >> unused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_to_sixty_four_bits() {
        assert_eq!(Ring::new(0), None);
        assert_eq!(Ring::new(65), None);
        assert_eq!(Ring::new(64).map(Ring::mask), Some(u64::MAX));
        assert_eq!(Ring::new(1).map(Ring::mask), Some(1));
    }

    #[test]
    fn signs_extend_from_the_ring() {
        for bits in 1..=64 {
            let ring = Ring::new(bits).expect("width in range");
            let low = i64::MIN >> (64 - bits);
            let garbage = if bits < 64 { 1 << bits } else { 0 };
            for v in [low, -1, 0, !low].into_iter().filter(|&v| v >= low && v <= !low) {
                assert_eq!(ring.signed(v as u64 ^ garbage), v, "{bits} bits");
                assert_eq!(ring.reduce(v as u64 ^ garbage), v as u64 & ring.mask());
                if bits <= 32 {
                    assert_eq!(ring.signed(v as u32), v);
                }
            }
        }
    }
}
