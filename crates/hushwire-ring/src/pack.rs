//! Bit-exact packing: ring elements travel at exactly their width.
//!
//! Value `i` occupies bits `i*bits .. (i+1)*bits` of the message, bit `j` of the message being bit
//! `j % 8` of byte `j / 8`. The unused bits of the last byte are zero, and a reader refuses
//! anything else, so that every sequence of values has exactly one encoding.
//!
//! # What bounds it
//! Both loops handle one value per few cycles and touch memory one unaligned 8-byte word at a
//! time: the packer is bound by its accumulator (or, shift: three cycles a value), the unpacker,
//! whose values are independent, by load and store ports. Widths equal to the word's are copies.

use crate::Word;

/// Why packed bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The number of bytes is not the one the width and count give.
    #[error("expected {expected} packed bytes, got {got}")]
    Length {
        /// Bytes that the values take.
        expected: usize,
        /// Bytes that were there.
        got: usize,
    },
    /// The bits after the last value were not zero.
    #[error("the padding bits of the last byte are not zero")]
    Padding,
    /// The width is zero or greater than the word's.
    #[error("{bits} bits per value do not fit a {word}-bit word")]
    Width {
        /// Width asked for.
        bits: u32,
        /// Width of the word.
        word: u32,
    },
}

/// Bytes that `count` values of `bits` bits take: ceil(count * bits / 8).
///
/// # Panics
/// If the number of bytes overflows `usize`.
#[must_use]
pub fn packed_len(count: usize, bits: u32) -> usize {
    let bytes = (count as u128 * u128::from(bits)).div_ceil(8);
    usize::try_from(bytes).expect("a message's length fits usize")
}

/// Appends the low `bits` bits of every value to `out`.
///
/// # Panics
/// If `bits` is zero or exceeds the word's width: the width is the caller's own, never a peer's.
pub fn pack<W: Word>(values: &[W], bits: u32, out: &mut Vec<u8>) {
    assert!((1..=W::BITS).contains(&bits), "{bits} bits per value of a {}-bit word", W::BITS);
    let start = out.len();
    // The loop stores eight bytes at a time, up to seven of them beyond the end.
    out.resize(start + packed_len(values.len(), bits) + 8, 0);
    let bytes = &mut out[start..];
    if bits == W::BITS {
        for (slot, value) in bytes.chunks_exact_mut(bits as usize / 8).zip(values) {
            slot.copy_from_slice(&value.to_u64().to_le_bytes()[..bits as usize / 8]);
        }
    } else if bits <= 57 {
        pack_narrow(values, bits, bytes);
    } else {
        pack_wide(values, bits, bytes);
    }
    out.truncate(start + packed_len(values.len(), bits));
}

/// At most 7 pending bits and 57 new ones fit an accumulator of 64.
fn pack_narrow<W: Word>(values: &[W], bits: u32, out: &mut [u8]) {
    let mask = u64::MAX >> (64 - bits);
    let (mut acc, mut fill, mut at) = (0_u64, 0_u32, 0_usize);
    for value in values {
        acc |= (value.to_u64() & mask) << fill;
        out[at..at + 8].copy_from_slice(&acc.to_le_bytes());
        fill += bits;
        at += (fill / 8) as usize;
        // fill / 8 is 8 only when all 64 bits are complete: a shift by 64 must then clear.
        acc = acc.checked_shr(fill & !7).unwrap_or(0);
        fill &= 7;
    }
}

fn pack_wide<W: Word>(values: &[W], bits: u32, out: &mut [u8]) {
    let mask = u64::MAX >> (64 - bits);
    let (mut acc, mut fill, mut at) = (0_u128, 0_u32, 0_usize);
    for value in values {
        acc |= u128::from(value.to_u64() & mask) << fill;
        out[at..at + 8].copy_from_slice(&(acc as u64).to_le_bytes());
        fill += bits;
        at += 7;
        acc >>= 56;
        fill -= 56;
        // 2..=8 bits more than seven bytes: a whole byte may be complete.
        let extra = fill / 8;
        out[at..at + 8].copy_from_slice(&(acc as u64).to_le_bytes());
        at += extra as usize;
        acc >>= extra * 8;
        fill &= 7;
    }
}

/// Reads `out.len()` values of `bits` bits.
///
/// # Errors
/// If `bytes` is not exactly as long as the values take, the padding is not zero, or the width
/// does not fit the word.
pub fn unpack<W: Word>(bytes: &[u8], bits: u32, out: &mut [W]) -> Result<(), PackError> {
    if !(1..=W::BITS).contains(&bits) {
        return Err(PackError::Width { bits, word: W::BITS });
    }
    let expected = packed_len(out.len(), bits);
    if bytes.len() != expected {
        return Err(PackError::Length { expected, got: bytes.len() });
    }
    let used = (out.len() as u128 * u128::from(bits) % 8) as u32;
    if used != 0 && bytes.last().is_some_and(|last| last >> used != 0) {
        return Err(PackError::Padding);
    }
    if bits == W::BITS {
        for (slot, chunk) in out.iter_mut().zip(bytes.chunks_exact(bits as usize / 8)) {
            *slot = W::from_u64(load(chunk));
        }
        return Ok(());
    }
    let mask = u64::MAX >> (64 - bits);
    let narrow = bits <= 57;
    let mut position = 0_usize;
    // Values whose nine bytes lie inside the message need no care at the end.
    let reach = bytes.len().saturating_sub(8) * 8;
    let easy = reach.div_ceil(bits as usize).min(out.len());
    let (body, tail) = out.split_at_mut(easy);
    if narrow {
        for slot in body {
            let at = position / 8;
            let word = load(&bytes[at..at + 8]) >> (position % 8);
            *slot = W::from_u64(word & mask);
            position += bits as usize;
        }
    } else {
        for slot in body {
            *slot = W::from_u64(load_wide(&bytes[position / 8..], position % 8) & mask);
            position += bits as usize;
        }
    }
    for slot in tail {
        *slot = W::from_u64(load_wide(&bytes[position / 8..], position % 8) & mask);
        position += bits as usize;
    }
    Ok(())
}

/// Up to eight bytes, little-endian.
#[inline(always)]
fn load(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// 64 bits from bit `shift` (< 8) of up to nine bytes.
#[inline(always)]
fn load_wide(bytes: &[u8], shift: usize) -> u64 {
    let mut word = [0; 16];
    let len = bytes.len().min(9);
    word[..len].copy_from_slice(&bytes[..len]);
    (u128::from_le_bytes(word) >> shift) as u64
}
