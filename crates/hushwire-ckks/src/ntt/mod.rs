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
mod avx2;
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
    #[cfg(target_arch = "x86_64")]
    avx2: Option<[avx2::Tables; 2]>,
}

/// Where a forward transform finds its coefficients.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    /// Where it writes.
    Own,
    /// Elsewhere.
    One(&'a [u64]),
    /// They are sums of two words times factors.
    Two([&'a [u64]; 2], [Factor; 2]),
}

impl Input<'_> {
    /// A coefficient: of sums below 2q.
    fn at(self, m: &Modulus, own: &[u64], i: usize) -> u64 {
        match self {
            Self::Own => own[i],
            Self::One(x) => x[i],
            Self::Two([x, y], [w, v]) => m.mul_factor(x[i], w) + m.mul_factor(y[i], v),
        }
    }

    fn check(self, out: &[u64]) {
        let check = |x: &[u64]| assert_eq!(x.len(), out.len(), "length of a transform");
        match self {
            Self::Own => {}
            Self::One(x) => check(x),
            Self::Two(x, _) => x.into_iter().for_each(check),
        }
    }
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
            #[cfg(target_arch = "x86_64")]
            avx2: (isa == Isa::Avx2 && n >= avx2::MIN_N)
                .then(|| [&twiddles, &inverses].map(|tree| avx2::Tables::new(modulus, tree))),
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

    /// N
    pub(crate) fn len(&self) -> usize {
        self.n
    }

    /// Bound (exclusive) of what [`Self::forward_lazy`] takes from one polynomial, offset included.
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
        self.forward_from(x, Input::Own, 0, true);
    }

    /// Values at the roots, unreduced, of coefficients to which `offset`, below q, is added: those of one
    /// polynomial are then below [`Self::input_bound`]. Of the result only the low 52 bits count.
    pub(crate) fn forward_lazy(&self, out: &mut [u64], input: Input<'_>, offset: u64) {
        self.forward_from(out, input, offset, false);
    }

    fn forward_from(&self, out: &mut [u64], mut input: Input<'_>, mut offset: u64, reduced: bool) {
        assert_eq!(out.len(), self.n, "length of a transform");
        input.check(out);
        if self.fold.is_some() {
            self.fold(out, std::mem::replace(&mut input, Input::Own), std::mem::take(&mut offset));
        }
        #[cfg(target_arch = "x86_64")]
        if let Some([forward, _]) = &self.ifma {
            return ifma::forward(forward, out, input, offset, reduced);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some([forward, _]) = &self.avx2 {
            return avx2::forward(forward, out, input, offset);
        }
        for i in 0..self.n {
            out[i] = input.at(&self.modulus, out, i);
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
        #[cfg(target_arch = "x86_64")]
        if let Some([_, inverse]) = &self.avx2 {
            avx2::inverse(inverse, out, &tree);
            return self.unfold(out, exit.half);
        }
        portable::inverse(self, out, &tree);
        self.unfold(out, exit.half);
    }

    /// b_j = a_j - I a_{N-j}, b_0 = a_0, of a with an offset.
    fn fold(&self, x: &mut [u64], input: Input<'_>, offset: u64) {
        let (Some(i), m) = (self.fold, &self.modulus) else { return };
        let read = |x: &[u64], j: usize| m.reduce(input.at(m, x, j) + offset);
        x[0] = read(x, 0);
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut start = 1;
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "calls of functions with target features")]
        // SAFETY: the tables are only made where the instructions were detected.
        unsafe {
            if self.ifma.is_some() {
                start = fold::ifma::fold(m, x, input, i, offset);
            } else if self.avx2.is_some() {
                start = fold::avx2::fold(m, x, input, i, offset);
            }
        }
        for j in start..=self.n / 2 {
            let (a, b) = (read(x, j), read(x, self.n - j));
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
        #[expect(unsafe_code, reason = "calls of functions with target features")]
        // SAFETY: the tables are only made where the instructions were detected.
        unsafe {
            if self.ifma.is_some() {
                start = fold::ifma::unfold(m, x, i, half);
            } else if self.avx2.is_some() {
                start = fold::avx2::unfold(m, x, i, half);
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
                let agree = |lazy: &mut [u64], mut expected: Vec<u64>, kind: &str| {
                    portable.forward(&mut expected);
                    lazy.iter_mut().for_each(|x| *x = (*x & crate::modulus::MASK) % q);
                    assert!(*lazy == expected, "{kind} {what}");
                };
                table.forward_lazy(&mut lazy, Input::One(&large), offset);
                agree(&mut lazy, large.iter().map(|x| (x + offset) % q).collect(), "lazy");
                lazy.copy_from_slice(&large);
                table.forward_lazy(&mut lazy, Input::Own, offset);
                agree(&mut lazy, large.iter().map(|x| (x + offset) % q).collect(), "own");
                let other = noise(n, 1 << 50);
                let factors = [q - 1, q / 5].map(|w| modulus.factor(w));
                table.forward_lazy(&mut lazy, Input::Two([&large, &other], factors), offset);
                let expected = large.iter().zip(&other).map(|(x, y)| {
                    let [x, y] = [modulus.mul(*x, q - 1), modulus.mul(*y, q / 5)];
                    (x + y + offset) % q
                });
                agree(&mut lazy, expected.collect(), "two");
            }
        }
    }
}
