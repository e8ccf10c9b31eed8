//! Automorphisms X -> X^g of values at the roots: permutations.
//!
//! The 16 leaves of a group have exponents e + j M/16, j below 16, M the order of the roots: an
//! automorphism takes groups to groups, and inside a group j to g j + c modulo 16. So a permutation
//! is a list of pairs (group to read, c), and 16 small permutations, one for each c.

use crate::buffer::Buffer;

/// A permutation of the values of a polynomial.
pub(crate) struct Permutation {
    /// For each group, where to read (in groups) times 16 plus which of `inner`.
    groups: Vec<u32>,
    /// Places inside the group that is read.
    inner: [[u8; 16]; 16],
}

impl Permutation {
    /// Values of p(X^g) from those of p(X), where the values of p are at zeta^e, e in `leaves`.
    pub(crate) fn new(leaves: &[usize], order: usize, g: usize) -> Self {
        let mut place = vec![0; order];
        for (i, &e) in leaves.iter().enumerate() {
            place[e] = i;
        }
        let mut inner = [[0; 16]; 16];
        let groups = leaves
            .chunks_exact(16)
            .map(|exponents| {
                let places: [usize; 16] = std::array::from_fn(|i| place[exponents[i] * g % order]);
                let (group, first) = (places[0] / 16, places[0] % 16);
                debug_assert!(places.iter().all(|p| p / 16 == group));
                inner[first] = places.map(|p| (p % 16) as u8);
                (group * 16 + first) as u32
            })
            .collect();
        Self { groups, inner }
    }

    /// Permutes one limb.
    pub(crate) fn apply(&self, out: &mut [u64], input: &[u64]) {
        let input = input.as_chunks::<16>().0;
        for (out, group) in out.as_chunks_mut::<16>().0.iter_mut().zip(&self.groups) {
            let from = &input[(group / 16) as usize];
            *out = self.inner[(group % 16) as usize].map(|i| from[usize::from(i)]);
        }
    }

    /// Permutes all limbs of `words`.
    pub(crate) fn apply_all(&self, out: &mut Buffer, input: &Buffer) {
        let n = 16 * self.groups.len();
        for (out, input) in out.chunks_exact_mut(n).zip(input.chunks_exact(n)) {
            self.apply(out, input);
        }
    }
}
