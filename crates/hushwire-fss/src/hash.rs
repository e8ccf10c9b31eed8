//! The length-doubling hash of tree-based function secret sharing: fixed-key AES.
//!
//! H(s, w) = P(s || w) ^ (s || w) for a public permutation P (AES-128 under a constant key), the
//! Matyas-Meyer-Oseas construction with the 2-bit tweak w in the place of the seed's two lowest
//! bits. With P an ideal permutation, H(., w) for distinct w are independent pseudorandom functions
//! of the 126 seed bits; an attacker who makes q queries against n seeds at once succeeds with
//! probability about n * q / 2^126 (Guo, Katz, Wang, Yu, IEEE S&P 2020).

use crate::cipher::Cipher;

/// Bits of a block that are not seed.
pub(crate) const LOW: u128 = 3;

/// The permutation's key: the first 128 fractional bits of pi.
const PI: u128 = 0x243f_6a88_85a3_08d3_1319_8a2e_0370_7344;

/// The fixed-key hash.
pub(crate) struct Hash(Cipher);

impl Hash {
    pub(crate) fn new() -> Self {
        Self(Cipher::new(PI.to_be_bytes()))
    }

    /// Replaces every block x by P(x) ^ x.
    pub(crate) fn apply(&self, nodes: &mut [u128]) {
        self.0.hash(nodes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_hashed_alike_in_any_batch() {
        let hash = Hash::new();
        let mut all: Vec<u128> = (0..150).map(|i| i * 0x1234_5678_9abc_def0).collect();
        let single: Vec<u128> = all
            .iter()
            .map(|&x| {
                let mut one = [x];
                hash.apply(&mut one);
                one[0]
            })
            .collect();
        hash.apply(&mut all);
        assert_eq!(all, single);
    }
}
