//! Packing by AVX-512 VBMI: eight lanes of 64 bits at a time.
//!
//! A lane holds one 64-bit word or two 32-bit ones, `width` bits in all. Eight lanes are `width` bytes
//! of the message, and lane j starts in byte `j * width / 8` at bit `j * width % 8`. Since width + that
//! bit is at most 64, a lane shifted by it covers whole bytes of the message; neighbours share at most
//! one byte if they are not too narrow.

use super::Level;
use crate::Word;

/// Packs as many values as come in whole vectors, and says how many: none if the machine does not have
/// the instructions or the width does not suit them. `out` is what all values take.
///
/// # What bounds it
/// Of the twelve instructions for eight or sixteen values, eight go to two pipes, and the store of a
/// part of a line takes longer than one of a whole line: eight to ten cycles are measured of the four
/// that these pipes need. On a Sapphire Rapids core, whose other hardware thread was busy, a value of
/// 27 bits takes 0.21 ns in 32-bit words (0.74 without these instructions), one of 43 bits 0.39 ns in
/// 64-bit words (1.12).
pub(crate) fn pack<W: Word>(level: Level, values: &[W], bits: u32, out: &mut [u8]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = x86::Lanes::new::<W>(level, bits) {
        #[expect(unsafe_code, reason = "call of a function with target features")]
        // SAFETY: `Lanes::new` found the features.
        return unsafe { x86::pack(&lanes, values, out) };
    }
    let _ = (level, values, bits, out);
    0
}

/// Unpacks as [`pack`] packs: as many values as come in whole vectors, and says how many.
///
/// # What bounds it
/// Loads and stores: one shuffle, one choice of bits and one mask lie between them. Measured as
/// above, 0.13 ns (0.79 without) and 0.24 ns (0.73); storing moved values takes 0.10 and 0.20 ns.
pub(crate) fn unpack<W: Word>(level: Level, bytes: &[u8], bits: u32, out: &mut [W]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = x86::Lanes::new::<W>(level, bits) {
        #[expect(unsafe_code, reason = "call of a function with target features")]
        // SAFETY: `Lanes::new` found the features.
        return unsafe { x86::unpack(&lanes, bytes, out) };
    }
    let _ = (level, bytes, bits, out);
    0
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads and stores through pointers, bounds checked beforehand")]
mod x86 {
    use core::arch::x86_64::*;

    use super::Level;
    use crate::Word;

    /// How values of a width lie in lanes.
    pub(super) struct Lanes {
        /// Bits of a value.
        bits: u32,
        /// Values in a lane, one or two.
        values: usize,
        /// Bits of a lane, and bytes of eight lanes.
        width: usize,
    }

    impl Lanes {
        /// For words `W`, if this machine has the instructions and they can do it.
        pub(super) fn new<W: Word>(level: Level, bits: u32) -> Option<Self> {
            let values = 64 / W::BITS as usize;
            let width = bits as usize * values;
            // With 7 bits and more, a byte has parts of two lanes at most.
            let fits = (0..8).all(|lane| width >= 7 && lane * width % 8 + width <= 64);
            let there = level >= Level::Avx512
                && level <= Level::detected()
                && is_x86_feature_detected!("avx512vbmi");
            (fits && there).then_some(Self { bits, values, width })
        }

        /// The first byte of a lane, and its first bit there.
        fn start(&self, lane: usize) -> (usize, usize) {
            (lane * self.width / 8, lane * self.width % 8)
        }

        /// The low bits of every word.
        fn mask(&self) -> u64 {
            let word = u64::MAX >> (64 - self.bits);
            if self.values == 2 { word | word << 32 } else { word }
        }

        /// The bytes of eight lanes, a bit each.
        fn bytes(&self) -> u64 {
            u64::MAX >> (64 - self.width)
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub(super) fn pack<W: Word>(lanes: &Lanes, values: &[W], out: &mut [u8]) -> usize {
        let (mut shifts, mut firsts, mut seconds) = ([0_u64; 8], [0_u8; 64], [0_u8; 64]);
        let mut shared = 0_u64;
        for (lane, shift) in shifts.iter_mut().enumerate() {
            let (start, bit) = lanes.start(lane);
            *shift = bit as u64;
            for (i, at) in (start..start + (bit + lanes.width).div_ceil(8)).enumerate() {
                let from = (lane * 8 + i) as u8;
                if i == 0 && bit > 0 {
                    seconds[at] = from;
                    shared |= 1 << at;
                } else {
                    firsts[at] = from;
                }
            }
        }
        // The second of two values, moved down to the first.
        let low = u64::MAX >> (64 - lanes.bits);
        let high = if lanes.values == 2 { low << lanes.bits } else { 0 };
        let move_down = _mm_cvtsi32_si128(32_i32.wrapping_sub(lanes.bits as i32).max(0));
        let (low, high) = (_mm512_set1_epi64(low as i64), _mm512_set1_epi64(high as i64));
        let count = 8 * lanes.values;
        let blocks = values.chunks_exact(count);
        let done = values.len() - blocks.remainder().len();
        // SAFETY: arrays of 64 bytes.
        let [shifts, firsts, seconds] = unsafe {
            [shifts.as_ptr().cast::<u8>(), firsts.as_ptr(), seconds.as_ptr()]
                .map(|at| _mm512_loadu_si512(at.cast()))
        };
        for (block, out) in blocks.zip(out.chunks_exact_mut(lanes.width)) {
            // SAFETY: a block is eight lanes of 64 bits.
            let x = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
            let second = _mm512_and_si512(_mm512_srl_epi64(x, move_down), high);
            let x = _mm512_or_si512(_mm512_and_si512(x, low), second);
            let x = _mm512_sllv_epi64(x, shifts);
            let bytes = _mm512_or_si512(
                _mm512_permutexvar_epi8(firsts, x),
                _mm512_maskz_permutexvar_epi8(shared, seconds, x),
            );
            // SAFETY: `out` has `width` bytes, and no others are written.
            unsafe { _mm512_mask_storeu_epi8(out.as_mut_ptr().cast(), lanes.bytes(), bytes) };
        }
        done
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub(super) fn unpack<W: Word>(lanes: &Lanes, bytes: &[u8], out: &mut [W]) -> usize {
        let (mut from, mut bits) = ([0_u8; 64], [0_u8; 64]);
        for (at, (from, first)) in from.iter_mut().zip(&mut bits).enumerate() {
            let (lane, i) = (at / 8, at % 8);
            let (start, bit) = lanes.start(lane);
            // Beyond the message's 64 bytes lies nothing that is kept.
            *from = (start + i).min(63) as u8;
            let value = i * lanes.values / 8;
            let byte = i % (8 / lanes.values);
            *first = ((bit + value * lanes.bits as usize + 8 * byte) % 64) as u8;
        }
        let mask = _mm512_set1_epi64(lanes.mask() as i64);
        let mut blocks = out.chunks_exact_mut(8 * lanes.values);
        // SAFETY: arrays of 64 bytes.
        let [from, first] =
            unsafe { [&from, &bits].map(|array| _mm512_loadu_si512(array.as_ptr().cast())) };
        for (block, bytes) in blocks.by_ref().zip(bytes.chunks_exact(lanes.width)) {
            // SAFETY: `bytes` has `width` bytes, and no others are read.
            let x = unsafe { _mm512_maskz_loadu_epi8(lanes.bytes(), bytes.as_ptr().cast()) };
            let x = _mm512_permutexvar_epi8(from, x);
            let x = _mm512_and_si512(_mm512_multishift_epi64_epi8(first, x), mask);
            // SAFETY: a block is eight lanes of 64 bits.
            unsafe { _mm512_storeu_si512(block.as_mut_ptr().cast(), x) };
        }
        let rest = blocks.into_remainder().len();
        out.len() - rest
    }
}

#[cfg(test)]
mod tests {
    use super::super::noise;
    use super::*;
    use crate::packed_len;

    fn agrees<W: Word>(bits: u32, count: usize) {
        let level = Level::detected();
        let values = noise::<W>(count, u64::from(bits));
        // Beyond the message is nothing that may be touched.
        let mut bytes = vec![0xa5; packed_len(count, bits)];
        let done = pack(level, &values, bits, &mut bytes);
        let bit = |at: usize| u64::from(bytes[at / 8] >> (at % 8) & 1);
        let width = bits as usize;
        for (i, value) in values[..done].iter().enumerate() {
            let got = (0..width).fold(0, |got, j| got | bit(i * width + j) << j);
            assert_eq!(got, value.to_u64() & (u64::MAX >> (64 - bits)), "{bits} bits, value {i}");
        }
        assert!(bytes[done * width / 8..].iter().all(|byte| *byte == 0xa5), "{bits} bits");
        let mut read = vec![W::ONE; count];
        assert_eq!(unpack(level, &bytes, bits, &mut read), done);
        for (i, (got, value)) in read.iter().zip(&values).enumerate() {
            let mask = W::from_u64(u64::MAX >> (64 - bits));
            let expected = if i < done { value.and(mask) } else { W::ONE };
            assert_eq!(*got, expected, "{bits} bits, value {i}");
        }
    }

    #[test]
    fn vectors_have_the_bits_of_their_values() {
        for count in [0, 7, 8, 16, 40, 47] {
            (1..=32).for_each(|bits| agrees::<u32>(bits, count));
            (1..=64).for_each(|bits| agrees::<u64>(bits, count));
        }
    }
}
