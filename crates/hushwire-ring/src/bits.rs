//! Vectors of bits, 64 to a word.

use core::fmt;

use zeroize::Zeroize;

use crate::{PackError, packed_len};

/// A vector of bits over 64-bit words; the bits of the last word beyond the length are zero.
///
/// Bits are usually shares, so `Debug` prints the length alone.
#[derive(Clone, Default, PartialEq, Eq, Zeroize)]
pub struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    /// `len` zero bits.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// Bit `i` is `bit(i)`.
    #[must_use]
    pub fn from_fn(len: usize, mut bit: impl FnMut(usize) -> bool) -> Self {
        let mut bits = Self::zeros(len);
        for (w, word) in bits.words.iter_mut().enumerate() {
            let start = w * 64;
            for i in start..len.min(start + 64) {
                *word |= u64::from(bit(i)) << (i - start);
            }
        }
        bits
    }

    /// Takes the words of a vector of `len` bits; bits beyond the length are cleared.
    ///
    /// # Panics
    /// If there are not exactly `len.div_ceil(64)` words.
    #[must_use]
    pub fn from_words(len: usize, words: Vec<u64>) -> Self {
        assert_eq!(words.len(), len.div_ceil(64), "words of a vector of {len} bits");
        let mut bits = Self { words, len };
        bits.clear_tail();
        bits
    }

    /// Number of bits.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bit `i`.
    ///
    /// # Panics
    /// If `i` is out of range.
    #[inline]
    #[must_use]
    pub fn get(&self, i: usize) -> bool {
        assert!(i < self.len, "bit {i} of {}", self.len);
        self.words[i / 64] >> (i % 64) & 1 == 1
    }

    /// Sets bit `i`.
    ///
    /// # Panics
    /// If `i` is out of range.
    #[inline]
    pub fn set(&mut self, i: usize, bit: bool) {
        assert!(i < self.len, "bit {i} of {}", self.len);
        let word = &mut self.words[i / 64];
        *word = *word & !(1 << (i % 64)) | u64::from(bit) << (i % 64);
    }

    /// The words, bit `i` being bit `i % 64` of word `i / 64`.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Rewrites the words; bits beyond the length are cleared when the guard is dropped.
    #[must_use]
    pub fn words_mut(&mut self) -> WordsMut<'_> {
        WordsMut(self)
    }

    /// The bits in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = bool> + '_ {
        (0..self.len).map(|i| self.get(i))
    }

    /// `self ^= other`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn xor_assign(&mut self, other: &Self) {
        assert_eq!(self.len, other.len, "lengths of the two operands");
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a ^= b;
        }
    }

    /// `self ^ other`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[must_use]
    pub fn xor(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.xor_assign(other);
        out
    }

    /// `self & other`.
    ///
    /// # Panics
    /// If the lengths differ.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        assert_eq!(self.len, other.len, "lengths of the two operands");
        let words = self.words.iter().zip(&other.words).map(|(a, b)| a & b).collect();
        Self { words, len: self.len }
    }

    /// Every bit flipped.
    #[must_use]
    pub fn not(&self) -> Self {
        Self::from_words(self.len, self.words.iter().map(|w| !w).collect())
    }

    /// Number of ones.
    #[must_use]
    pub fn count_ones(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Appends the bits packed into ceil(len / 8) bytes, padded with zeros.
    pub fn to_bytes(&self, out: &mut Vec<u8>) {
        let bytes = packed_len(self.len, 1);
        out.reserve(bytes);
        let whole = bytes / 8;
        for word in &self.words[..whole] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        if let Some(word) = self.words.get(whole) {
            out.extend_from_slice(&word.to_le_bytes()[..bytes - whole * 8]);
        }
    }

    /// Reads `len` bits.
    ///
    /// # Errors
    /// If there are not exactly ceil(len / 8) bytes, or the padding is not zero.
    pub fn from_bytes(len: usize, bytes: &[u8]) -> Result<Self, PackError> {
        let expected = packed_len(len, 1);
        if bytes.len() != expected {
            return Err(PackError::Length { expected, got: bytes.len() });
        }
        let mut bits = Self::zeros(len);
        for (word, chunk) in bits.words.iter_mut().zip(bytes.chunks(8)) {
            let mut buffer = [0; 8];
            buffer[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_le_bytes(buffer);
        }
        let last = bits.words.last().copied();
        bits.clear_tail();
        if bits.words.last().copied() == last { Ok(bits) } else { Err(PackError::Padding) }
    }

    fn clear_tail(&mut self) {
        let used = self.len % 64;
        if used != 0
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << used) - 1;
        }
    }
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bits").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Write access to the words of a [`Bits`] that clears the bits beyond the length at the end.
pub struct WordsMut<'a>(&'a mut Bits);

impl core::ops::Deref for WordsMut<'_> {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        &self.0.words
    }
}

impl core::ops::DerefMut for WordsMut<'_> {
    fn deref_mut(&mut self) -> &mut [u64] {
        &mut self.0.words
    }
}

impl Drop for WordsMut<'_> {
    fn drop(&mut self) {
        self.0.clear_tail();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_bits_stay_zero() {
        for len in [0, 1, 7, 8, 63, 64, 65, 128, 130] {
            let ones = Bits::zeros(len).not();
            assert_eq!(ones.count_ones(), len);
            let mut written = Bits::zeros(len);
            written.words_mut().fill(u64::MAX);
            assert_eq!(written, ones);
            assert!(ones.xor(&written).words().iter().all(|&w| w == 0));
        }
    }

    #[test]
    fn bytes_round_trip_and_padding_is_checked() {
        for len in [0, 1, 7, 8, 9, 63, 64, 65, 200] {
            let bits = Bits::from_fn(len, |i| i * i % 7 < 3);
            let mut bytes = vec![];
            bits.to_bytes(&mut bytes);
            assert_eq!(bytes.len(), len.div_ceil(8));
            assert_eq!(Bits::from_bytes(len, &bytes).as_ref(), Ok(&bits));
            assert!(bits.iter().enumerate().all(|(i, b)| b == (i * i % 7 < 3)));
            if len % 8 != 0 {
                *bytes.last_mut().expect("not empty") |= 0x80;
                assert_eq!(Bits::from_bytes(len, &bytes), Err(PackError::Padding));
            }
            bytes.push(0);
            assert!(matches!(Bits::from_bytes(len, &bytes), Err(PackError::Length { .. })));
        }
    }

    #[test]
    fn set_get_and() {
        let mut a = Bits::zeros(70);
        a.set(69, true);
        a.set(3, true);
        a.set(3, false);
        assert!(a.get(69) && !a.get(3));
        let b = Bits::from_fn(70, |i| i >= 69);
        assert_eq!(a.and(&b), a);
        assert_eq!(format!("{a:?}"), "Bits { len: 70, .. }");
    }
}
