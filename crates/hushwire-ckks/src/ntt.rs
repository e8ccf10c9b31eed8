//! The number-theoretic transform: evaluation of a polynomial at the roots of X^N - rho.
//!
//! A tree of divisions: modulo X^{2m} - w^2, a polynomial is known modulo X^m - w and X^m + w. Node 1
//! is X^N - rho, node k has the children 2k and 2k + 1, the leaves are X - zeta^e. A layer of the
//! tree is N/2 butterflies (Cooley and Tukey forward, Gentleman and Sande back), each with one
//! product by a constant of the node (Shoup), which stays unreduced (Harvey, arXiv 1205.2926).
//!
//! For the ring Z[X]/(X^N + 1), rho = -1. The subring of Z[X]/(X^{2N} + 1) that is fixed by
//! X -> 1/X has the basis 1, X^i + X^-i, i below N; modulo X^N - I, I^2 = -1, such an element is
//! sum b_j X^j with b_j = a_j - I a_{N-j}, so a fold comes before the tree with rho = I.

use crate::modulus::{Factor, Modulus, primitive_root};

/// Inside each group of 16 leaves, the one that is stored at a place. The order comes from the
/// vector code, whose last three layers pair two vectors; groups stay groups under automorphisms.
pub(crate) const GROUP: [usize; 16] = [0, 2, 8, 10, 4, 6, 12, 14, 1, 3, 9, 11, 5, 7, 13, 15];

/// Constants of the transform modulo one prime.
pub(crate) struct NttTable {
    pub(crate) modulus: Modulus,
    n: usize,
    /// w of node k, for k = 1 to N - 1.
    twiddles: Vec<Factor>,
    /// 1/w of node k; that of node 1 is divided by N (2N with a fold).
    inverses: Vec<Factor>,
    /// 1/N, or 1/(2N) with a fold.
    scale: Factor,
    /// I, where there is a fold.
    fold: Option<Factor>,
    /// Values grow by less than 2q in each layer: whether they stay words without reduction.
    lazy: bool,
}

impl NttTable {
    /// For a prime q that is 1 modulo 2N, or 4N with `real`.
    pub(crate) fn new(modulus: Modulus, n: usize, real: bool) -> Self {
        let order = if real { 4 * n } else { 2 * n } as u64;
        let root = primitive_root(&modulus, order);
        let mut powers = vec![1; order as usize];
        for i in 1..powers.len() {
            powers[i] = modulus.mul(powers[i - 1], root);
        }
        let halves = halved_exponents(n, real);
        let count = if real { 2 * n } else { n } as u64;
        let scale = modulus.invert(count);
        let factor = |e: usize| modulus.factor(powers[e % powers.len()]);
        let mut inverses: Vec<_> = halves.iter().map(|&e| factor(powers.len() - e)).collect();
        inverses[1] = modulus.factor(modulus.mul(inverses[1].value, scale));
        let layers = u64::from(n.ilog2());
        Self {
            n,
            twiddles: halves.iter().map(|&e| factor(e)).collect(),
            inverses,
            scale: modulus.factor(scale),
            fold: real.then(|| factor(n)),
            lazy: u128::from(modulus.q) * u128::from(2 * layers + 1) < 1 << 52,
            modulus,
        }
    }

    /// Bound (exclusive) of what [`Self::forward_lazy`] takes, offset included.
    pub(crate) fn input_bound(&self) -> u64 {
        let q = self.modulus.q;
        match (self.fold, self.lazy) {
            (Some(_), _) => 1 << 52,
            (None, true) => (1 << 52) - 2 * u64::from(self.n.ilog2()) * q,
            (None, false) => 4 * q,
        }
    }

    /// Values at the roots from coefficients, both reduced.
    pub(crate) fn forward(&self, x: &mut [u64]) {
        self.forward_lazy(x, 0);
        x.iter_mut().for_each(|x| *x = self.modulus.reduce(*x));
    }

    /// Values at the roots, unreduced words, from coefficients to which `offset` is added and that are
    /// then below [`Self::input_bound`].
    pub(crate) fn forward_lazy(&self, x: &mut [u64], offset: u64) {
        assert_eq!(x.len(), self.n, "length of a transform");
        let m = &self.modulus;
        x.iter_mut().for_each(|x| *x += offset);
        self.fold(x);
        let mut half = self.n / 2;
        let mut node = 1;
        while half > 0 {
            for block in x.chunks_exact_mut(2 * half) {
                let (left, right) = block.split_at_mut(half);
                let w = self.twiddles[node];
                node += 1;
                for (x, y) in left.iter_mut().zip(right) {
                    let t = m.mul_lazy(*y, w);
                    let u = if self.lazy { *x } else { (*x).min(x.wrapping_sub(2 * m.q)) };
                    *x = u + t;
                    *y = u + 2 * m.q - t;
                }
            }
            half /= 2;
        }
        for group in x.as_chunks_mut::<16>().0 {
            *group = GROUP.map(|from| group[from]);
        }
    }

    /// Coefficients from values at the roots, both reduced.
    pub(crate) fn inverse(&self, x: &mut [u64]) {
        assert_eq!(x.len(), self.n, "length of a transform");
        let m = &self.modulus;
        for group in x.as_chunks_mut::<16>().0 {
            let stored = *group;
            for (value, place) in stored.into_iter().zip(GROUP) {
                group[place] = value;
            }
        }
        let mut half = 1;
        while half < self.n / 2 {
            for (i, block) in x.chunks_exact_mut(2 * half).enumerate() {
                let (left, right) = block.split_at_mut(half);
                let w = self.inverses[self.n / (2 * half) + i];
                for (x, y) in left.iter_mut().zip(right) {
                    let (sum, difference) = (*x + *y, *x + 2 * m.q - *y);
                    *x = sum.min(sum.wrapping_sub(2 * m.q));
                    *y = m.mul_lazy(difference, w);
                }
            }
            half *= 2;
        }
        let (left, right) = x.split_at_mut(half);
        for (x, y) in left.iter_mut().zip(right) {
            let (sum, difference) = (*x + *y, *x + 2 * m.q - *y);
            *x = m.mul_factor(sum, self.scale);
            *y = m.mul_factor(difference, self.inverses[1]);
        }
        self.unfold(x);
    }

    /// b_j = a_j - I a_{N-j}, b_0 = a_0.
    fn fold(&self, x: &mut [u64]) {
        let (Some(i), m) = (self.fold, &self.modulus) else { return };
        x[0] = m.reduce(x[0]);
        for j in 1..=self.n / 2 {
            let (a, b) = (m.reduce(x[j]), m.reduce(x[self.n - j]));
            x[j] = m.sub(a, m.mul_factor(b, i));
            x[self.n - j] = m.sub(b, m.mul_factor(a, i));
        }
    }

    /// a_j = b_j + I b_{N-j}, a_0 = 2 b_0, for b that are half of those of `fold`.
    fn unfold(&self, x: &mut [u64]) {
        let (Some(i), m) = (self.fold, &self.modulus) else { return };
        x[0] = m.add(x[0], x[0]);
        for j in 1..=self.n / 2 {
            let (a, b) = (x[j], x[self.n - j]);
            x[j] = m.add(a, m.mul_factor(b, i));
            x[self.n - j] = m.add(b, m.mul_factor(a, i));
        }
    }
}

/// For each node X^{2m} - zeta^{2e} of the tree, e; node 0 is not there.
fn halved_exponents(n: usize, real: bool) -> Vec<usize> {
    let order = if real { 4 * n } else { 2 * n };
    let mut halves = vec![0; n];
    halves[1] = n / 2;
    for node in 2..n {
        let parent = halves[node / 2] + (node % 2) * order / 2;
        halves[node] = parent / 2;
    }
    halves
}

/// The exponents e of the roots zeta^e, in the order in which values are stored. zeta is a
/// primitive root of unity of order 2N, or 4N with `real`.
pub(crate) fn leaf_exponents(n: usize, real: bool) -> Vec<usize> {
    let order = if real { 4 * n } else { 2 * n };
    let halves = halved_exponents(n, real);
    (0..n)
        .map(|place| {
            let leaf = n + place / 16 * 16 + GROUP[place % 16];
            halves[leaf / 2] + (leaf % 2) * order / 2
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modulus::primes;

    fn noise(n: usize, q: u64) -> Vec<u64> {
        (1..=n as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % q).collect()
    }

    #[test]
    fn values_are_those_of_the_polynomial() {
        for (bits, real) in [(50, false), (40, false), (50, true), (40, true)] {
            let n = 64;
            let modulus = Modulus::new(primes(bits, 4 * n as u64, 1, &[])[0]);
            let table = NttTable::new(modulus, n, real);
            let order = if real { 4 * n } else { 2 * n };
            let root = primitive_root(&modulus, order as u64);
            let a = noise(n, modulus.q);
            let mut x = a.clone();
            table.forward(&mut x);
            for (value, e) in x.iter().zip(leaf_exponents(n, real)) {
                let power = |i: usize| modulus.pow(root, (e * i % order) as u64);
                let expected = (0..n).fold(0, |sum, i| {
                    let mut basis = power(i);
                    if real && i > 0 {
                        basis = modulus.add(basis, power(order - i));
                    }
                    modulus.add(sum, modulus.mul(a[i], basis))
                });
                assert_eq!(*value, expected);
            }
            table.inverse(&mut x);
            assert_eq!(x, a);
        }
    }
}
