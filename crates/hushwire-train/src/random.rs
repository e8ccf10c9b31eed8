//! Random numbers. Every use has a stream of its own, named by the run's seed and what it is for, so
//! that a run can go on from any step without keeping a generator's state.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

/// What a stream is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    /// The weights a network begins with.
    Weights,
    /// The order of the images in an epoch.
    Order,
    /// How the image at a place in an epoch's order is changed.
    Augmentation,
    /// What a batch is mixed with.
    Mixing,
    /// What is added to activations in a step.
    Perturbing,
}

/// The generator for a use, with up to two numbers to tell its streams apart.
pub(crate) fn stream(seed: u64, purpose: Use, [a, b]: [u64; 2]) -> Xoshiro256PlusPlus {
    let words = [seed, purpose as u64, a, b];
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    // The generator wants a seed without structure.
    let mut state = Xoshiro256PlusPlus::from_seed(scramble(bytes));
    for _ in 0..4 {
        rand::Rng::next_u64(&mut state);
    }
    state
}

/// Mixes every bit of the words into every word (the finalizer of SplitMix64, chained).
fn scramble(mut bytes: [u8; 32]) -> [u8; 32] {
    let mut carry = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..2 {
        for chunk in bytes.chunks_exact_mut(8) {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            let mut x = u64::from_le_bytes(word) ^ carry;
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^= x >> 31;
            carry = carry.wrapping_add(x).rotate_left(17);
            chunk.copy_from_slice(&x.to_le_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn streams_repeat_and_differ() {
        let first = |seed, purpose, place| stream(seed, purpose, place).next_u64();
        let base = first(1, Use::Order, [0, 0]);
        assert_eq!(base, first(1, Use::Order, [0, 0]));
        let others = [
            first(2, Use::Order, [0, 0]),
            first(1, Use::Weights, [0, 0]),
            first(1, Use::Order, [1, 0]),
            first(1, Use::Order, [0, 1]),
            first(0, Use::Order, [1, 0]),
        ];
        assert!(others.iter().all(|other| *other != base), "{others:?}");
    }
}
