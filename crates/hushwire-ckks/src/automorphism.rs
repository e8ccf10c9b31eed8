//! Automorphisms X -> X^g of values at the roots: permutations.
//!
//! The 16 leaves of a group have exponents e + j M/16, j below 16, M the order of the roots: an
//! automorphism takes groups to groups, and inside a group j to g j + c modulo 16. So a permutation
//! is a list of pairs (group to read, c), and 16 small permutations, one for each c.

/// A permutation of the values of a polynomial.
pub(crate) struct Permutation {
    /// For each group, where to read (in groups) times 16 plus which of `inner`.
    groups: Vec<u32>,
    /// Places inside the group that is read.
    inner: [[u64; 16]; 16],
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
                inner[first] = places.map(|p| (p % 16) as u64);
                (group * 16 + first) as u32
            })
            .collect();
        Self { groups, inner }
    }

    /// For each group, which to read and in what order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (usize, &[u64; 16])> {
        self.groups.iter().map(|&group| {
            let group = group as usize;
            (group / 16, &self.inner[group % 16])
        })
    }

    /// Values of a limb.
    pub(crate) fn len(&self) -> usize {
        16 * self.groups.len()
    }
}
