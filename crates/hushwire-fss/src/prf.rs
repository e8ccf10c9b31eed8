//! Pseudorandom streams from keys that two parties share.
//!
//! A [`Prf`] is AES-128 used as a pseudorandom permutation in counter mode: block i of domain d is
//! AES_k(d || i). By the PRP/PRF switching lemma, q blocks of one key are distinguishable from
//! uniform with advantage at most q^2 / 2^129 beyond AES's own: 2^40 blocks (16 TiB) leave 2^-49.
//! Sub-keys come from HKDF-SHA256 (RFC 5869), which is one-way: a sub-key tells nothing of the key
//! or of its siblings.
//!
//! Bound by the AES units (see the module `cipher`).
//!
//! Each domain must be used once by each key; that is the caller's to arrange, by (layer, purpose).

use core::fmt;
use core::ops::Range;

use hkdf::Hkdf;
use hushwire_ring::{Bits, Word};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::cipher::Cipher;

/// A pseudorandom function with a 128-bit key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Prf {
    key: [u8; 16],
}

impl Prf {
    /// The function with this key.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// The function whose key is HKDF-SHA256(key, info = label).
    #[must_use]
    pub fn derive(&self, label: &[u8]) -> Self {
        let mut key = [0; 16];
        Hkdf::<Sha256>::new(Some(b"hushwire prf"), &self.key)
            .expand(label, &mut key)
            .expect("16 bytes are within the limit of HKDF's output");
        Self { key }
    }

    /// The stream of a domain, from its start.
    #[must_use]
    pub fn stream(&self, domain: u64) -> Stream {
        Stream {
            cipher: Cipher::new(self.key),
            domain,
            next: 0,
            left: Left::default(),
            #[cfg(feature = "test-support")]
            tape: tape::find(&self.key, domain),
        }
    }

    /// The stream of a domain, from byte `at` on: what [`Prf::stream`] gives after `at` bytes.
    #[must_use]
    pub fn stream_at(&self, domain: u64, at: u64) -> Stream {
        let mut stream = self.stream(domain);
        stream.seek(at);
        stream
    }

    /// Words `range` of a domain's stream: `range` of what [`Stream::words`] gives from its start.
    #[must_use]
    pub fn words<W: Word>(&self, domain: u64, range: Range<usize>) -> Vec<W> {
        self.stream_at(domain, range.start as u64 * size_of::<W>() as u64).words(range.len())
    }

    /// Bits `range` of a domain's stream: `range` of what [`Stream::bits`] gives from its start.
    ///
    /// # Panics
    /// Unless the range starts at a multiple of 64: ranges are the caller's own.
    #[must_use]
    pub fn bits(&self, domain: u64, range: Range<usize>) -> Bits {
        assert!(range.start.is_multiple_of(64), "bits from {}, not a multiple of 64", range.start);
        self.stream_at(domain, range.start as u64 / 8).bits(range.len())
    }
}

impl fmt::Debug for Prf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prf").finish_non_exhaustive()
    }
}

/// The pseudorandom bytes of one domain of a [`Prf`], in order.
///
/// The bytes do not depend on how they are asked for: two calls for n and m bytes give what one
/// call for n + m gives.
pub struct Stream {
    cipher: Cipher,
    domain: u64,
    next: u64,
    left: Left,
    #[cfg(feature = "test-support")]
    tape: Option<tape::Reader>,
}

/// The unread end of the last block.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
struct Left {
    block: [u8; 16],
    len: usize,
}

impl Stream {
    /// Moves to byte `at` of the stream, counted from its start.
    pub fn seek(&mut self, at: u64) {
        #[cfg(feature = "test-support")]
        if let Some(tape) = &mut self.tape {
            return tape.seek(at);
        }
        self.next = at / 16;
        self.left.len = 0;
        self.fill(&mut [0; 16][..(at % 16) as usize]);
    }

    /// Fills `out` with the next bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        #[cfg(feature = "test-support")]
        if let Some(tape) = &mut self.tape {
            return tape.read(out);
        }
        let take = self.left.len.min(out.len());
        let (head, out) = out.split_at_mut(take);
        let start = 16 - self.left.len;
        head.copy_from_slice(&self.left.block[start..start + take]);
        self.left.len -= take;

        let whole = out.len() / 16 * 16;
        let (body, tail) = out.split_at_mut(whole);
        self.encrypt(body);
        if !tail.is_empty() {
            let mut block = [0; 16];
            self.encrypt(&mut block);
            tail.copy_from_slice(&block[..tail.len()]);
            self.left.len = 16 - tail.len();
            self.left.block = block;
            block.zeroize();
        }
    }

    /// Overwrites whole blocks with the next ones of the stream.
    fn encrypt(&mut self, bytes: &mut [u8]) {
        let (blocks, _) = bytes.as_chunks_mut();
        self.cipher.count(self.domain, self.next, blocks);
        self.next += blocks.len() as u64;
    }

    /// Fills `out` with words, little-endian from the stream's bytes.
    pub fn fill_words<W: Word>(&mut self, out: &mut [W]) {
        self.fill(bytemuck::cast_slice_mut(out));
        if cfg!(target_endian = "big") {
            out.iter_mut().for_each(|word| *word = word.to_le());
        }
    }

    /// The next `count` words.
    #[must_use]
    pub fn words<W: Word>(&mut self, count: usize) -> Vec<W> {
        let mut out = vec![W::ZERO; count];
        self.fill_words(&mut out);
        out
    }

    /// The next `len` bits; the stream moves on by whole 64-bit words.
    #[must_use]
    pub fn bits(&mut self, len: usize) -> Bits {
        Bits::from_words(len, self.words(len.div_ceil(64)))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("domain", &self.domain).finish_non_exhaustive()
    }
}

/// Streams with given bytes, for tests that enumerate all randomness of a protocol.
#[cfg(feature = "test-support")]
pub mod tape {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex, PoisonError};

    type Tapes = HashMap<([u8; 16], u64), Arc<Vec<u8>>>;

    static TAPES: Mutex<Option<Tapes>> = Mutex::new(None);

    /// From now on every stream of `domain` under `key` gives these bytes and then panics.
    pub fn install(key: [u8; 16], domain: u64, bytes: Vec<u8>) {
        let mut tapes = TAPES.lock().unwrap_or_else(PoisonError::into_inner);
        tapes.get_or_insert_default().insert((key, domain), Arc::new(bytes));
    }

    pub(super) fn find(key: &[u8; 16], domain: u64) -> Option<Reader> {
        let tapes = TAPES.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = Arc::clone(tapes.as_ref()?.get(&(*key, domain))?);
        Some(Reader { bytes, at: 0 })
    }

    /// A place on a tape.
    pub(super) struct Reader {
        bytes: Arc<Vec<u8>>,
        at: usize,
    }

    impl Reader {
        pub(super) fn seek(&mut self, at: u64) {
            self.at = at as usize;
        }

        pub(super) fn read(&mut self, out: &mut [u8]) {
            out.copy_from_slice(&self.bytes[self.at..self.at + out.len()]);
            self.at += out.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_do_not_depend_on_the_calls() {
        let prf = Prf::new([7; 16]);
        let mut whole = vec![0; 5000];
        prf.stream(3).fill(&mut whole);
        let mut parts = vec![0; 5000];
        let mut stream = prf.stream(3);
        let (mut at, mut step) = (0, 1);
        while at < parts.len() {
            let end = parts.len().min(at + step);
            stream.fill(&mut parts[at..end]);
            (at, step) = (end, step * 2 % 1213 + 1);
        }
        assert_eq!(parts, whole);
    }

    #[test]
    fn any_range_is_that_of_the_whole() {
        let prf = Prf::new([8; 16]);
        let mut whole = vec![0; 9000];
        prf.stream(5).fill(&mut whole);
        let mut stream = prf.stream(5);
        for (at, len) in [(0, 9), (4097, 4500), (16, 0), (15, 2), (31, 40), (8999, 1), (48, 16)] {
            let mut part = vec![0; len];
            stream.seek(at as u64);
            stream.fill(&mut part);
            assert_eq!(part, whole[at..at + len], "{len} bytes from {at}");
            prf.stream_at(5, at as u64).fill(&mut part);
            assert_eq!(part, whole[at..at + len], "{len} bytes from {at}");
        }
        let words: Vec<u32> = prf.stream(5).words(1000);
        let long: Vec<u64> = prf.stream(5).words(500);
        let bits = prf.stream(5).bits(1000);
        for range in [0..0, 0..1000, 64..65, 192..700, 512..1000] {
            assert_eq!(prf.words::<u32>(5, range.clone()), words[range.clone()]);
            assert_eq!(prf.words::<u64>(5, range.start / 2..range.end / 2), {
                &long[range.start / 2..range.end / 2]
            });
            let part = Bits::from_fn(range.len(), |i| bits.get(range.start + i));
            assert_eq!(prf.bits(5, range), part);
        }
    }

    #[test]
    fn a_block_is_aes_of_domain_and_counter() {
        // FIPS 197, appendix C.1, with the plaintext split into domain and counter.
        let key = core::array::from_fn(|i| i as u8);
        let mut stream = Prf::new(key)
            .stream(u64::from_le_bytes([0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77]));
        stream.next = u64::from_le_bytes([0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]);
        let mut block = [0; 16];
        stream.fill(&mut block);
        assert_eq!(
            block,
            [
                0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30, 0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4,
                0xc5, 0x5a
            ]
        );
    }

    #[test]
    fn keys_domains_and_labels_separate() {
        let prf = Prf::new([1; 16]);
        let first = |prf: &Prf, domain| prf.stream(domain).words::<u64>(2);
        let all = [
            first(&prf, 0),
            first(&prf, 1),
            first(&prf.derive(b"a"), 0),
            first(&prf.derive(b"b"), 0),
            first(&Prf::new([2; 16]), 0),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b));
        }
        assert_eq!(first(&prf.derive(b"a"), 0), all[2]);
    }

    #[test]
    fn debug_shows_no_secret() {
        let prf = Prf::new([0xab; 16]);
        assert_eq!(format!("{prf:?}"), "Prf { .. }");
        assert_eq!(format!("{:?}", prf.stream(4)), "Stream { domain: 4, .. }");
    }
}
