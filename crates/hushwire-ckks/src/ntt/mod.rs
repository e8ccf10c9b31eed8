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

#[cfg(target_arch = "x86_64")]
mod fold;
#[cfg(target_arch = "x86_64")]
mod ifma;
mod portable;

use crate::modulus::{Factor, Modulus, primitive_root};
use crate::simd::Isa;

/// Inside each group of 16 leaves, the one that is stored at a place. The order comes from the
/// vector code, whose last three layers pair two vectors; groups stay groups under automorphisms.
pub(crate) const GROUP: [usize; 16] = [0, 2, 8, 10, 4, 6, 12, 14, 1, 3, 9, 11, 5, 7, 13, 15];

/// Constants of the transform modulo one prime.
pub(crate) struct NttTable {
    pub(crate) modulus: Modulus,
    n: usize,
    /// w of node k, for k = 1 to N - 1.
    twiddles: Vec<Factor>,
    /// 1/w of node k.
    inverses: Vec<Factor>,
    /// What the inverse transform does to its result when nothing else is wanted.
    exit: Exit,
    /// 1/N, or 1/(2N) with a fold.
    scale: u64,
    /// I, where there is a fold.
    fold: Option<Factor>,
    /// Values grow by less than 2q in each layer, in either direction: whether they stay words without
    /// reduction.
    lazy: bool,
    #[cfg(target_arch = "x86_64")]
    ifma: Option<[ifma::Tables; 2]>,
}

/// What an inverse transform multiplies its result by, and adds to it.
#[derive(Clone, Copy)]
pub(crate) struct Exit {
    /// For the sums of the last layer.
    sum: Factor,
    /// For its differences: with the last twiddle.
    difference: Factor,
    /// Added at the end.
    half: u64,
}

impl NttTable {
    /// For a prime q that is 1 modulo 2N, or 4N with `real`.
    pub(crate) fn new(modulus: Modulus, n: usize, real: bool, isa: Isa) -> Self {
        let order = if real { 4 * n } else { 2 * n } as u64;
        let root = modulus.factor(primitive_root(&modulus, order));
        let mut powers = vec![1; order as usize];
        for i in 1..powers.len() {
            powers[i] = modulus.mul_factor(powers[i - 1], root);
        }
        let halves = halved_exponents(n, real);
        let factor = |e: usize| modulus.factor(powers[e % powers.len()]);
        let twiddles: Vec<_> = halves.iter().map(|&e| factor(e)).collect();
        let inverses: Vec<_> = halves.iter().map(|&e| factor(powers.len() - e)).collect();
        let growth = 4 * u128::from(n.ilog2()) * u128::from(modulus.q);
        let lazy = growth + 4 * u128::from(modulus.q) < 1 << 52;
        let scale = modulus.invert(if real { 2 * n } else { n } as u64);
        let mut table = Self {
            n,
            exit: Exit { sum: Factor::default(), difference: Factor::default(), half: 0 },
            scale,
            fold: real.then(|| factor(n)),
            lazy,
            #[cfg(target_arch = "x86_64")]
            ifma: (isa == Isa::Ifma && n >= ifma::MIN_N).then(|| {
                [
                    ifma::Tables::forward(modulus, &twiddles, lazy),
                    ifma::Tables::inverse(modulus, &inverses),
                ]
            }),
            twiddles,
            inverses,
            modulus,
        };
        table.exit = table.exit(1, 0);
        table
    }

    /// Multiplies by a factor and adds `half`.
    pub(crate) fn exit(&self, factor: u64, half: u64) -> Exit {
        let m = &self.modulus;
        let scale = m.mul(self.scale, factor);
        let difference = m.mul(scale, self.inverses[1].value);
        Exit { sum: m.factor(scale), difference: m.factor(difference), half }
    }

    /// Bound (exclusive) of what [`Self::forward_lazy`] takes, offset included.
    pub(crate) fn input_bound(&self) -> u64 {
        let q = self.modulus.q;
        match (self.fold, self.lazy) {
            (Some(_), _) => 1 << 52,
            (None, true) => (1 << 52) - 4 * u64::from(self.n.ilog2()) * q,
            (None, false) => 4 * q,
        }
    }

    /// Values at the roots from coefficients, both reduced.
    pub(crate) fn forward(&self, x: &mut [u64]) {
        self.forward_from(x, None, 0, true);
    }

    /// Values at the roots, unreduced, of coefficients of `input` to which `offset` is added and that
    /// are then below [`Self::input_bound`]. Of the result only the low 52 bits count.
    pub(crate) fn forward_lazy(&self, out: &mut [u64], input: &[u64], offset: u64) {
        self.forward_from(out, Some(input), offset, false);
    }

    /// [`Self::forward_lazy`] in place.
    pub(crate) fn forward_lazy_in_place(&self, x: &mut [u64], offset: u64) {
        self.forward_from(x, None, offset, false);
    }

    fn forward_from(
        &self,
        out: &mut [u64],
        mut input: Option<&[u64]>,
        mut offset: u64,
        reduced: bool,
    ) {
        if self.fold.is_some() {
            if let Some(input) = input.take() {
                out.copy_from_slice(input);
            }
            self.fold(out, std::mem::take(&mut offset));
        }
        #[cfg(target_arch = "x86_64")]
        if let Some([forward, _]) = &self.ifma {
            return ifma::forward(forward, out, input, offset, reduced);
        }
        if let Some(input) = input {
            out.copy_from_slice(input);
        }
        portable::forward(self, out, offset);
        if reduced {
            out.iter_mut().for_each(|x| *x = self.modulus.reduce(*x));
        }
    }

    /// Coefficients from values at the roots, both reduced.
    pub(crate) fn inverse(&self, x: &mut [u64]) {
        self.inverse_with(x, None, &self.exit);
    }

    /// Coefficients of `input`, with a factor and an addend.
    pub(crate) fn inverse_from(&self, out: &mut [u64], input: &[u64], exit: &Exit) {
        self.inverse_with(out, Some(input), exit);
    }

    /// [`Self::inverse_from`] in place.
    pub(crate) fn inverse_in_place(&self, x: &mut [u64], exit: &Exit) {
        self.inverse_with(x, None, exit);
    }

    fn inverse_with(&self, out: &mut [u64], input: Option<&[u64]>, exit: &Exit) {
        let half = if self.fold.is_some() { 0 } else { exit.half };
        let tree = Exit { half, ..*exit };
        #[cfg(target_arch = "x86_64")]
        if let Some([_, inverse]) = &self.ifma {
            ifma::inverse(inverse, out, input, &tree);
            return self.unfold(out, exit.half);
        }
        if let Some(input) = input {
            out.copy_from_slice(input);
        }
        portable::inverse(self, out, &tree);
        self.unfold(out, exit.half);
    }

    /// b_j = a_j - I a_{N-j}, b_0 = a_0, of a with an offset.
    fn fold(&self, x: &mut [u64], offset: u64) {
        let (Some(i), m) = (self.fold, &self.modulus) else { return };
        assert_eq!(x.len(), self.n, "length of a transform");
        x[0] = m.reduce(x[0] + offset);
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut start = 1;
        #[cfg(target_arch = "x86_64")]
        if self.ifma.is_some() {
            #[expect(unsafe_code, reason = "a call of a function with target features")]
            // SAFETY: the tables are only made where the instructions were detected.
            unsafe {
                start = fold::fold(m, x, i, offset);
            }
        }
        for j in start..=self.n / 2 {
            let (a, b) = (m.reduce(x[j] + offset), m.reduce(x[self.n - j] + offset));
            x[j] = m.sub(a, m.mul_factor(b, i));
            x[self.n - j] = m.sub(b, m.mul_factor(a, i));
        }
    }

    /// a_j = b_j + I b_{N-j}, a_0 = 2 b_0, for b that are half of those of `fold`; plus an addend.
    fn unfold(&self, x: &mut [u64], half: u64) {
        let (Some(i), m) = (self.fold, &self.modulus) else { return };
        x[0] = m.add(m.add(x[0], x[0]), half);
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut start = 1;
        #[cfg(target_arch = "x86_64")]
        if self.ifma.is_some() {
            #[expect(unsafe_code, reason = "a call of a function with target features")]
            // SAFETY: the tables are only made where the instructions were detected.
            unsafe {
                start = fold::unfold(m, x, i, half);
            }
        }
        for j in start..=self.n / 2 {
            let (a, b) = (x[j], x[self.n - j]);
            x[j] = m.add(m.add(a, m.mul_factor(b, i)), half);
            x[self.n - j] = m.add(m.add(b, m.mul_factor(a, i)), half);
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
            let table = NttTable::new(modulus, n, real, Isa::Portable);
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

    #[test]
    fn instruction_sets_agree() {
        for isa in Isa::available() {
            for (log_n, bits, real) in
                [8, 9, 10, 11, 12, 13, 14, 15, 16].into_iter().flat_map(|log_n| {
                    [25, 40, 45, 46, 47, 50].map(|bits| (log_n, bits, log_n % 2 == 1))
                })
            {
                let n = 1 << log_n;
                let Some(&q) = primes(bits, 4 * n as u64, 1, &[]).first() else { continue };
                let modulus = Modulus::new(q);
                let table = NttTable::new(modulus, n, real, isa);
                let portable = NttTable::new(modulus, n, real, Isa::Portable);
                let what = format!("{isa:?} 2^{log_n} {bits} {real}");
                let mut expected = noise(n, q);
                // The extremes are where bounds show.
                expected[..n / 2].fill(q - 1);
                let mut x = expected.clone();
                table.forward(&mut x);
                portable.forward(&mut expected);
                assert!(x == expected, "forward {what}");

                let exit = table.exit(12345, q / 2);
                let mut y = vec![0; n];
                table.inverse_from(&mut y, &x, &exit);
                portable.inverse_in_place(&mut expected, &exit);
                assert!(y == expected, "inverse {what}");

                let bound = table.input_bound().min(1 << 51);
                let offset = q / 3;
                let large: Vec<_> = noise(n, bound - offset);
                let mut lazy = vec![0; n];
                table.forward_lazy(&mut lazy, &large, offset);
                let mut expected: Vec<_> = large.iter().map(|x| (x + offset) % q).collect();
                portable.forward(&mut expected);
                lazy.iter_mut().for_each(|x| *x = (*x & crate::modulus::MASK) % q);
                assert!(lazy == expected, "lazy {what}");
            }
        }
    }
}
