//! Bit-exact packing: ring elements travel at exactly their width.
//!
//! Value `i` occupies bits `i*bits .. (i+1)*bits` of the message, bit `j` of the message being bit
//! `j % 8` of byte `j / 8`. The unused bits of the last byte are zero, and a reader refuses
//! anything else, so that every sequence of values has exactly one encoding.
//!
//! # What bounds it
//! With AVX-512 VBMI shuffles of bytes (in the module `simd::bits`), for all widths from 4 to 30 bits
//! of 32-bit words and 7 to 57 of 64-bit ones. Else the packer's accumulator, a chain of three
//! operations per group of values that fit 56 bits together; the unpacker's loads and stores, its
//! values being independent. Widths of 8, 16 and 32 bits, and the word's own, are moves and bound by
//! memory.

use crate::Word;
use crate::simd::{self, Level, Vectorised};

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
    let start = out.len();
    out.resize(start + packed_len(values.len(), bits), 0);
    pack_into(values, bits, &mut out[start..]);
}

/// Writes the low `bits` bits of every value over `out`, [`packed_len`] bytes.
///
/// Eight values take `bits` whole bytes: from a multiple of eight on, values can be packed and
/// unpacked by themselves.
///
/// # Panics
/// If `bits` is zero or exceeds the word's width, or `out` does not have the length.
pub fn pack_into<W: Word>(values: &[W], bits: u32, out: &mut [u8]) {
    assert!((1..=W::BITS).contains(&bits), "{bits} bits per value of a {}-bit word", W::BITS);
    assert_eq!(out.len(), packed_len(values.len(), bits), "packed bytes");
    let level = Level::detected();
    let done = if is_move(bits) { 0 } else { simd::pack(level, values, bits, out) };
    let (values, out) = (&values[done..], &mut out[done / 8 * bits as usize..]);
    // The loop stores eight bytes at a time, up to seven of them beyond the end: the last values,
    // at least eight bytes of them, take a detour.
    let (head, tail) = values.split_at(values.len().saturating_sub(64) / 8 * 8);
    let mut detour = [0; (64 + 7) * 8 + 8];
    simd::dispatch(level, Pack { values: head, bits, out });
    simd::dispatch(level, Pack { values: tail, bits, out: &mut detour });
    let out = &mut out[head.len() / 8 * bits as usize..];
    out.copy_from_slice(&detour[..out.len()]);
}

/// Whether values are whole bytes, which are only copied.
fn is_move(bits: u32) -> bool {
    matches!(bits, 8 | 16 | 32 | 64)
}

struct Pack<'a, W> {
    values: &'a [W],
    bits: u32,
    /// Eight bytes more than the values take.
    out: &'a mut [u8],
}

impl<W: Word> Vectorised for Pack<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { values, bits, out } = self;
        match bits {
            8 => pack_bytes::<W, 1>(values, out),
            16 => pack_bytes::<W, 2>(values, out),
            32 => pack_bytes::<W, 4>(values, out),
            64 => pack_bytes::<W, 8>(values, out),
            1..=7 => pack_groups::<W, 8>(values, bits, out),
            9..=14 => pack_groups::<W, 4>(values, bits, out),
            15..=28 => pack_groups::<W, 2>(values, bits, out),
            29..=56 => pack_groups::<W, 1>(values, bits, out),
            _ => pack_wide(values, bits, out),
        }
    }
}

#[inline(always)]
fn pack_bytes<W: Word, const BYTES: usize>(values: &[W], out: &mut [u8]) {
    for (slot, value) in out.as_chunks_mut::<BYTES>().0.iter_mut().zip(values) {
        slot.copy_from_slice(&value.to_u64().to_le_bytes()[..BYTES]);
    }
}

/// Values by groups of at most 56 bits, which with 7 pending bits fit an accumulator of 64.
#[inline(always)]
fn pack_groups<W: Word, const GROUP: usize>(values: &[W], bits: u32, out: &mut [u8]) {
    let mask = u64::MAX >> (64 - bits);
    let (mut acc, mut fill, mut at) = (0_u64, 0_u32, 0_usize);
    let mut push = |lump: u64, width: u32| {
        acc |= lump << fill;
        out[at..at + 8].copy_from_slice(&acc.to_le_bytes());
        fill += width;
        at += (fill / 8) as usize;
        acc >>= fill & !7;
        fill &= 7;
    };
    let (groups, rest) = values.as_chunks::<GROUP>();
    for group in groups {
        let mut lump = 0;
        for (j, value) in group.iter().enumerate() {
            lump |= (value.to_u64() & mask) << (j as u32 * bits);
        }
        push(lump, bits * GROUP as u32);
    }
    for value in rest {
        push(value.to_u64() & mask, bits);
    }
}

#[inline(always)]
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
        // 1 to 14 bits more than seven bytes: a whole byte may be complete.
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
    let level = Level::detected();
    let done = if is_move(bits) { 0 } else { simd::unpack(level, bytes, bits, out) };
    let (bytes, out) = (&bytes[done / 8 * bits as usize..], &mut out[done..]);
    simd::dispatch(level, Unpack { bytes, bits, out });
    Ok(())
}

struct Unpack<'a, W> {
    /// Exactly the bytes of the values.
    bytes: &'a [u8],
    bits: u32,
    out: &'a mut [W],
}

impl<W: Word> Vectorised for Unpack<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { bytes, bits, out } = self;
        match bits {
            8 => unpack_bytes::<W, 1>(bytes, out),
            16 => unpack_bytes::<W, 2>(bytes, out),
            32 => unpack_bytes::<W, 4>(bytes, out),
            64 => unpack_bytes::<W, 8>(bytes, out),
            _ => unpack_bits(bytes, bits, out),
        }
    }
}

#[inline(always)]
fn unpack_bytes<W: Word, const BYTES: usize>(bytes: &[u8], out: &mut [W]) {
    for (slot, chunk) in out.iter_mut().zip(bytes.as_chunks::<BYTES>().0) {
        *slot = W::from_u64(load(chunk));
    }
}

#[inline(always)]
fn unpack_bits<W: Word>(bytes: &[u8], bits: u32, out: &mut [W]) {
    let mask = u64::MAX >> (64 - bits);
    let mut position = 0_usize;
    // Values whose nine bytes lie inside the message need no care at the end.
    let reach = bytes.len().saturating_sub(8) * 8;
    let easy = reach.div_ceil(bits as usize).min(out.len());
    let (body, tail) = out.split_at_mut(easy);
    if bits <= 57 {
        for slot in body {
            let at = position / 8;
            let word = load(&bytes[at..at + 8]) >> (position % 8);
            *slot = W::from_u64(word & mask);
            position += bits as usize;
        }
    } else {
        for slot in body {
            let at = position / 8;
            let word = u128::from(load(&bytes[at..at + 8])) | u128::from(bytes[at + 8]) << 64;
            *slot = W::from_u64((word >> (position % 8)) as u64 & mask);
            position += bits as usize;
        }
    }
    for slot in tail {
        *slot = W::from_u64(load_wide(&bytes[position / 8..], position % 8) & mask);
        position += bits as usize;
    }
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
