//! Messages of bit planes: P bits for each of n gates, in exactly ceil(P * n / 8) bytes.
//!
//! Gates are taken 64 at a time; a full block is its P words in order, and the last, partial block
//! of m gates is its P words cut to m bits each and packed.

use hushwire_ring::{Bits, pack, packed_len, unpack};

use crate::FssError;

/// Gates in one word.
pub(crate) const LANES: usize = 64;

/// Which of the two parties that evaluate holds some material.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    Client,
    Server,
}

impl Party {
    /// The share of a public constant one: all ones at the client, zero at the server.
    pub(crate) fn one(self) -> u64 {
        match self {
            Self::Client => u64::MAX,
            Self::Server => 0,
        }
    }
}

/// Bytes that `planes` planes of `count` gates take.
pub(crate) fn message_len(planes: usize, count: usize) -> usize {
    let whole = count / LANES * planes * 8;
    whole + packed_len(planes, (count % LANES) as u32)
}

/// Appends blocks of `planes` words as a message.
pub(crate) fn write(blocks: &[u64], planes: usize, count: usize, out: &mut Vec<u8>) {
    let (whole, rest) = blocks.split_at(count / LANES * planes);
    out.reserve(message_len(planes, count));
    if cfg!(target_endian = "little") {
        out.extend_from_slice(bytemuck::cast_slice(whole));
    } else {
        out.extend(whole.iter().flat_map(|word| word.to_le_bytes()));
    }
    if !rest.is_empty() {
        pack(rest, (count % LANES) as u32, out);
    }
}

/// Reads the blocks of a message; lanes beyond the last gate are zero.
pub(crate) fn read(
    bytes: &[u8],
    planes: usize,
    count: usize,
    what: &'static str,
) -> Result<Vec<u64>, FssError> {
    let expected = message_len(planes, count);
    if bytes.len() != expected {
        return Err(FssError::Length { what, expected, got: bytes.len() });
    }
    let mut blocks = vec![0_u64; count.div_ceil(LANES) * planes];
    let (whole, rest) = blocks.split_at_mut(count / LANES * planes);
    let (head, tail) = bytes.split_at(whole.len() * 8);
    for (word, chunk) in whole.iter_mut().zip(head.as_chunks().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    if !rest.is_empty() {
        unpack(tail, (count % LANES) as u32, rest).map_err(|e| FssError::from_pack(what, &e))?;
    }
    Ok(blocks)
}

/// One plane as a bit vector.
pub(crate) fn to_bits(count: usize, words: Vec<u64>) -> Bits {
    Bits::from_words(count, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bit_exact_and_round_trip() {
        for planes in [0, 1, 3, 75] {
            for count in [0_usize, 1, 2, 63, 64, 65, 130] {
                let blocks: Vec<u64> = (0..count.div_ceil(LANES) * planes)
                    .map(|i| {
                        let word = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                        let lanes = count - i / planes * LANES;
                        if lanes >= 64 { word } else { word & ((1 << lanes) - 1) }
                    })
                    .collect();
                let mut bytes = vec![];
                write(&blocks, planes, count, &mut bytes);
                assert_eq!(bytes.len(), (planes * count).div_ceil(8));
                assert_eq!(bytes.len(), message_len(planes, count));
                assert_eq!(read(&bytes, planes, count, "test"), Ok(blocks));
                bytes.push(0);
                assert!(read(&bytes, planes, count, "test").is_err());
            }
        }
    }
}
