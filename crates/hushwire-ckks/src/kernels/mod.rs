//! Loops over the residues of one limb.
//!
//! Inputs and outputs are reduced unless said otherwise. A *word* may have bits above the 52nd that
//! are of no meaning. All instruction sets give the same results.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod ifma;
mod portable;
#[cfg(target_arch = "x86_64")]
mod vector;

use crate::automorphism::Permutation;
use crate::modulus::{Factor, Modulus};
use crate::simd::Isa;

#[cfg(target_arch = "x86_64")]
use vector::vector_kernels;

/// Calls a kernel for the instruction set of a modulus.
macro_rules! dispatch {
    ($m:expr, $kernel:ident($($argument:expr),*)) => {
        match $m.isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Ifma => {
                #[expect(unsafe_code, reason = "call of a function with target features")]
                // SAFETY: `Isa::Ifma` is only where the instructions were detected.
                unsafe {
                    ifma::$kernel($m, $($argument),*)
                }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                #[expect(unsafe_code, reason = "call of a function with target features")]
                // SAFETY: `Isa::Avx2` is only where the instructions were detected.
                unsafe {
                    avx2::$kernel($m, $($argument),*)
                }
            }
            _ => portable::$kernel($m, $($argument),*),
        }
    };
}

fn check(x: &[u64], y: &[u64]) {
    assert_eq!(x.len(), y.len(), "lengths of limbs");
}

/// x += y
pub(crate) fn add(m: &Modulus, x: &mut [u64], y: &[u64]) {
    check(x, y);
    dispatch!(m, add(x, y));
}

/// x -= y
pub(crate) fn sub(m: &Modulus, x: &mut [u64], y: &[u64]) {
    check(x, y);
    dispatch!(m, sub(x, y));
}

/// x = -x
pub(crate) fn neg(m: &Modulus, x: &mut [u64]) {
    dispatch!(m, neg(x));
}

/// x += w y / 2^52, for words y
pub(crate) fn add_scaled(m: &Modulus, x: &mut [u64], y: &[u64], w: u64) {
    check(x, y);
    dispatch!(m, add_scaled(x, y, w));
}

/// x += y / 2^52
pub(crate) fn add_montgomery(m: &Modulus, x: &mut [u64], y: &[u64]) {
    add_scaled(m, x, y, 1);
}

/// x -= y / 2^52
pub(crate) fn sub_montgomery(m: &Modulus, x: &mut [u64], y: &[u64]) {
    add_scaled(m, x, y, m.q - 1);
}

/// x = x y / 2^52, for words x
pub(crate) fn mul(m: &Modulus, x: &mut [u64], y: &[u64]) {
    check(x, y);
    dispatch!(m, mul(x, y));
}

/// out = x y / 2^52, for words x
pub(crate) fn mul_to(m: &Modulus, out: &mut [u64], x: &[u64], y: &[u64]) {
    check(out, x);
    check(out, y);
    dispatch!(m, mul_to(out, x, y));
}

/// x = 2^52 x
pub(crate) fn to_montgomery(m: &Modulus, x: &mut [u64]) {
    scale(m, x, m.r2);
}

/// x = x / 2^52
pub(crate) fn from_montgomery(m: &Modulus, x: &mut [u64]) {
    scale(m, x, 1);
}

/// x = w x / 2^52, for words x
pub(crate) fn scale(m: &Modulus, x: &mut [u64], w: u64) {
    dispatch!(m, scale(x, w));
}

/// x += w
pub(crate) fn add_scalar(m: &Modulus, x: &mut [u64], w: u64) {
    dispatch!(m, add_scalar(x, w));
}

/// out = x mod q, for words x
pub(crate) fn reduce(m: &Modulus, out: &mut [u64], x: &[u64]) {
    check(out, x);
    dispatch!(m, reduce(out, x));
}

/// (x - y) w, for words y.
#[derive(Clone, Copy)]
pub(crate) struct Difference<'a> {
    pub(crate) x: &'a [u64],
    pub(crate) y: &'a [u64],
    pub(crate) factor: Factor,
}

impl Difference<'_> {
    fn check(&self, out: &[u64]) {
        check(out, self.x);
        check(out, self.y);
    }
}

/// out = the difference
pub(crate) fn scale_difference(m: &Modulus, out: &mut [u64], difference: &Difference<'_>) {
    difference.check(out);
    dispatch!(m, scale_difference(out, difference));
}

/// x += the difference
pub(crate) fn add_difference(m: &Modulus, x: &mut [u64], difference: &Difference<'_>) {
    difference.check(x);
    dispatch!(m, add_difference(x, difference));
}

/// out = the difference, plus an addend if there is one, permuted
pub(crate) fn permute_difference(
    m: &Modulus,
    permutation: &Permutation,
    out: &mut [u64],
    difference: &Difference<'_>,
    addend: Option<&[u64]>,
) {
    difference.check(out);
    assert_eq!(out.len(), permutation.len(), "length of a permutation");
    if let Some(addend) = addend {
        check(out, addend);
    }
    dispatch!(m, permute_difference(permutation, out, difference, addend));
}

/// Permutes every limb.
pub(crate) fn permute(m: &Modulus, permutation: &Permutation, out: &mut [u64], input: &[u64]) {
    check(out, input);
    let len = permutation.len();
    for (out, input) in out.chunks_exact_mut(len).zip(input.chunks_exact(len)) {
        #[cfg(target_arch = "x86_64")]
        if m.isa == Isa::Ifma {
            #[expect(unsafe_code, reason = "call of a function with target features")]
            // SAFETY: `Isa::Ifma` is only where the instructions were detected.
            unsafe {
                ifma::permute(m, permutation, out, input);
            }
            continue;
        }
        portable::permute(permutation, out, input);
    }
}

/// Most terms of an inner product: its upper words must not overflow.
const MAX_TERMS: usize = 1 << 12;

/// out = sum x y / 2^52, for words x and at most 4096 terms.
pub(crate) fn dot(m: &Modulus, out: &mut [u64], terms: &[(&[u64], &[u64])]) {
    assert!(terms.len() <= MAX_TERMS, "{} terms of an inner product", terms.len());
    for (x, y) in terms {
        check(out, x);
        check(out, y);
    }
    dispatch!(m, dot(out, terms));
}

/// out = sum x b / 2^52, sum x a / 2^52, for words x and at most 4096 terms. b and a of each term follow
/// each other in `keys`, which may have more.
pub(crate) fn dot_pair(m: &Modulus, mut out: [&mut [u64]; 2], x: &[&[u64]], keys: &[u64]) {
    let n = out[0].len();
    check(out[0], out[1]);
    x.iter().for_each(|x| check(out[0], x));
    let keys: Vec<_> = keys.chunks_exact(n).take(2 * x.len()).collect();
    assert!(keys.len() == 2 * x.len() && x.len() <= MAX_TERMS, "terms of an inner product");
    #[cfg(target_arch = "x86_64")]
    if m.isa == Isa::Ifma {
        #[expect(unsafe_code, reason = "call of a function with target features")]
        // SAFETY: `Isa::Ifma` is only where the instructions were detected.
        if unsafe { ifma::dot_pair(m, &mut out, x, &keys) } {
            return;
        }
    }
    for (part, out) in out.into_iter().enumerate() {
        let keys = keys[part..].iter().copied().step_by(2);
        let terms: Vec<_> = x.iter().copied().zip(keys).collect();
        dispatch!(m, dot(out, &terms));
    }
}

/// out = x_0 y_0, x_0 y_1 + x_1 y_0, x_1 y_1
pub(crate) fn tensor(m: &Modulus, out: [&mut [u64]; 3], [x, y]: [[&[u64]; 2]; 2]) {
    x.iter().chain(&y).for_each(|x| out.iter().for_each(|out| check(out, x)));
    dispatch!(m, tensor(out, x, y));
}

/// out = sum x w / 2^52, for words x and at most 4096 terms.
pub(crate) fn dot_scalars(m: &Modulus, out: &mut [u64], terms: &[(&[u64], u64)]) {
    assert!(terms.len() <= MAX_TERMS, "{} terms of an inner product", terms.len());
    terms.iter().for_each(|(x, _)| check(out, x));
    dispatch!(m, dot_scalars(out, terms));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modulus::{MASK, primes};

    fn noise(seed: u64, bound: u64) -> Vec<u64> {
        let word = |i: u64| (seed * 1000 + i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut x: Vec<_> = (0..256).map(|i| (word(i) >> 8) % bound).collect();
        x[..8].fill(0);
        x[8..16].fill(bound - 1);
        x
    }

    /// A kernel's result for operands that it may overwrite.
    type Kernel = fn(&Modulus, &mut [u64], &[u64], &[u64]);

    fn difference<'a>(m: &Modulus, x: &'a [u64], y: &'a [u64]) -> Difference<'a> {
        Difference { x, y, factor: m.factor(987_654_321 % m.q) }
    }

    #[test]
    fn kernels_compute_what_they_say() {
        let half = |m: &Modulus| m.invert((1 << 52) % m.q);
        type Formula = fn(&Modulus, [u64; 3], u64) -> u64;
        let kernels: [(Kernel, Formula, bool); 13] = [
            (|m, x, y, _| add(m, x, y), |m, [x, y, _], _| m.add(x, y), false),
            (|m, x, y, _| sub(m, x, y), |m, [x, y, _], _| m.sub(x, y), false),
            (|m, x, _, _| neg(m, x), |m, [x, ..], _| m.neg(x), false),
            (
                |m, x, y, _| add_scaled(m, x, y, 987_654_321 % m.q),
                |m, [x, y, _], r| m.add(x, m.mul(m.mul(y, 987_654_321 % m.q), r)),
                false,
            ),
            (|m, x, y, _| sub_montgomery(m, x, y), |m, [x, y, _], r| m.sub(x, m.mul(y, r)), false),
            (|m, x, y, _| mul(m, x, y), |m, [x, y, _], r| m.mul(m.mul(x, y), r), true),
            (|m, x, y, z| mul_to(m, x, z, y), |m, [_, y, z], r| m.mul(m.mul(z, y), r), true),
            (|m, x, _, _| to_montgomery(m, x), |m, [x, ..], _| m.mul(x, (1 << 52) % m.q), true),
            (|m, x, _, _| from_montgomery(m, x), |m, [x, ..], r| m.mul(x, r), true),
            (|m, x, _, _| add_scalar(m, x, m.q / 3), |m, [x, ..], _| m.add(x, m.q / 3), false),
            (|m, x, _, z| reduce(m, x, z), |m, [_, _, z], _| z % m.q, true),
            (
                |m, out, x, y| scale_difference(m, out, &difference(m, x, y)),
                |m, [_, y, z], _| m.mul(m.sub(y, z % m.q), 987_654_321 % m.q),
                true,
            ),
            (
                |m, out, x, y| add_difference(m, out, &difference(m, x, y)),
                |m, [x, y, z], _| m.add(x, m.mul(m.sub(y, z % m.q), 987_654_321 % m.q)),
                false,
            ),
        ];
        for isa in Isa::available() {
            for bits in [25, 36, 46, 50] {
                let m = Modulus::new(primes(bits, 64, 1, &[])[0]).with(isa);
                for (i, (kernel, formula, words)) in kernels.iter().enumerate() {
                    let x = noise(1, if *words { MASK } else { m.q });
                    let (y, z) = (noise(2, m.q), noise(3, MASK));
                    let mut out = x.clone();
                    kernel(&m, &mut out, &y, &z);
                    for (j, out) in out.iter().enumerate() {
                        let expected = formula(&m, [x[j], y[j], z[j]], half(&m));
                        assert_eq!(*out, expected, "kernel {i} {isa:?} {bits} bits");
                    }
                }
            }
        }
    }

    #[test]
    fn inner_products() {
        for isa in Isa::available() {
            for bits in [25, 46, 50] {
                let m = Modulus::new(primes(bits, 64, 1, &[])[0]).with(isa);
                let inverse = m.invert((1 << 52) % m.q);
                for count in [1, 2, 3, 4, 5, 64, 4096] {
                    let x: Vec<_> = (0..count).map(|i| noise(i, MASK)).collect();
                    let y: Vec<_> = (0..count).map(|i| noise(i + 7, m.q)).collect();
                    let terms: Vec<_> = x.iter().zip(&y).map(|(x, y)| (&x[..], &y[..])).collect();
                    let mut out = vec![0; 256];
                    dot(&m, &mut out, &terms);
                    let expected = |j: usize, y: &dyn Fn(usize) -> u64| {
                        (0..count as usize)
                            .fold(0, |sum, i| m.add(sum, m.mul(m.mul(x[i][j], y(i)), inverse)))
                    };
                    for (j, out) in out.iter().enumerate() {
                        assert_eq!(*out, expected(j, &|i| y[i][j]), "{isa:?} {bits} {count}");
                    }
                    let terms: Vec<_> = x.iter().zip(&y).map(|(x, y)| (&x[..], y[20])).collect();
                    dot_scalars(&m, &mut out, &terms);
                    for (j, out) in out.iter().enumerate() {
                        assert_eq!(*out, expected(j, &|i| y[i][20]), "{isa:?} {bits} {count}");
                    }
                }
            }
        }
    }

    #[test]
    fn pairs_are_inner_products() {
        for isa in Isa::available() {
            for bits in [25, 46, 50] {
                let m = Modulus::new(primes(bits, 64, 1, &[])[0]).with(isa);
                for count in 1..=6 {
                    let x: Vec<_> = (0..count).map(|i| noise(i, MASK)).collect();
                    let keys: Vec<_> = (0..2 * count + 2).map(|i| noise(i + 9, m.q)).collect();
                    let mut out = [vec![0; 256], vec![0; 256]];
                    let terms: Vec<_> = x.iter().map(|x| &x[..]).collect();
                    dot_pair(&m, out.each_mut().map(|out| &mut out[..]), &terms, &keys.concat());
                    for (part, out) in out.iter().enumerate() {
                        let keys = keys[part..].iter().step_by(2);
                        let terms: Vec<_> =
                            x.iter().zip(keys).map(|(x, y)| (&x[..], &y[..])).collect();
                        let mut expected = vec![0; 256];
                        dot(&m, &mut expected, &terms);
                        assert!(*out == expected, "{isa:?} {bits} {count}");
                    }
                }
                let [x, y] = [[1, 2], [3, 4]].map(|seeds| seeds.map(|seed| noise(seed, m.q)));
                let mut out = [0; 3].map(|_| vec![0; 256]);
                let slices = [&x, &y].map(|x| x.each_ref().map(|x| &x[..]));
                tensor(&m, out.each_mut().map(|out| &mut out[..]), slices);
                for j in 0..256 {
                    let product = |a: usize, b: usize| m.mul(x[a][j], y[b][j]);
                    assert_eq!(out[0][j], product(0, 0), "{isa:?} {bits}");
                    assert_eq!(out[1][j], m.add(product(0, 1), product(1, 0)), "{isa:?} {bits}");
                    assert_eq!(out[2][j], product(1, 1), "{isa:?} {bits}");
                }
            }
        }
    }

    #[test]
    fn permutations_follow_the_exponents() {
        let leaves = crate::ntt::leaf_exponents(256, false);
        for isa in Isa::available() {
            let m = Modulus::new(40961).with(isa);
            for g in [5, 25, 511, 3] {
                let input: Vec<_> = leaves.iter().map(|&e| e as u64).collect();
                let mut out = vec![0; 256];
                permute(&m, &Permutation::new(&leaves, 512, g), &mut out, &input);
                let expected: Vec<_> = leaves.iter().map(|&e| (e * g % 512) as u64).collect();
                assert_eq!(out, expected, "{g}");

                let (x, y, z) = (noise(1, m.q), noise(2, MASK), noise(3, m.q));
                let permutation = Permutation::new(&leaves, 512, g);
                let difference = difference(&m, &x, &y);
                for addend in [None, Some(&z[..])] {
                    let mut sum = addend.map_or(vec![0; 256], <[u64]>::to_vec);
                    add_difference(&m, &mut sum, &difference);
                    let mut expected = vec![0; 256];
                    permute(&m, &permutation, &mut expected, &sum);
                    permute_difference(&m, &permutation, &mut out, &difference, addend);
                    assert!(out == expected, "{isa:?} {g}");
                }
            }
        }
    }
}
