//! Arithmetic modulo a prime below 2^50, in words of 52 bits.
//!
//! The words are those of AVX-512 IFMA: an instruction gives the low or the high 52 bits of a
//! product. Portable code uses the same words, so all paths compute the same numbers.

use crate::simd::Isa;

/// Bits of a word.
pub(crate) const WORD: u32 = 52;
/// All bits of a word.
pub(crate) const MASK: u64 = (1 << WORD) - 1;
/// Largest number of bits of a prime.
pub const MAX_PRIME_BITS: u32 = 50;

/// Low word of x y + the whole of `add`.
#[inline(always)]
pub(crate) fn mul_lo(x: u64, y: u64) -> u64 {
    x.wrapping_mul(y) & MASK
}

/// High word of x y, for x and y below 2^52.
#[inline(always)]
pub(crate) fn mul_hi(x: u64, y: u64) -> u64 {
    ((u128::from(x) * u128::from(y)) >> WORD) as u64
}

/// A factor with its quotient by the prime, for Shoup's product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Factor {
    /// w < q
    pub(crate) value: u64,
    /// floor(w 2^52 / q)
    pub(crate) quotient: u64,
}

/// An odd prime below 2^50 and what reduction by it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Modulus {
    /// The prime q.
    pub(crate) q: u64,
    /// q^-1 mod 2^52
    pub(crate) inverse: u64,
    /// floor(2^52 / q)
    pub(crate) barrett: u64,
    /// 2^104 mod q: the Montgomery product with it multiplies by 2^52.
    pub(crate) r2: u64,
    /// For which instructions kernels modulo this prime are.
    pub(crate) isa: Isa,
}

impl Modulus {
    pub(crate) fn new(q: u64) -> Self {
        debug_assert!(q % 2 == 1 && q < 1 << MAX_PRIME_BITS);
        // Newton's iteration doubles the right bits; q is its own inverse modulo 8.
        let mut inverse = q;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(q.wrapping_mul(inverse)));
        }
        let r = (1u128 << WORD) % u128::from(q);
        Self {
            q,
            inverse: inverse & MASK,
            barrett: (1u64 << WORD) / q,
            r2: (r * r % u128::from(q)) as u64,
            isa: Isa::Portable,
        }
    }

    pub(crate) fn with(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    pub(crate) fn add(&self, x: u64, y: u64) -> u64 {
        let sum = x + y;
        if sum >= self.q { sum - self.q } else { sum }
    }

    pub(crate) fn sub(&self, x: u64, y: u64) -> u64 {
        if x >= y { x - y } else { x + self.q - y }
    }

    pub(crate) fn neg(&self, x: u64) -> u64 {
        if x == 0 { 0 } else { self.q - x }
    }

    /// x y mod q for any words; slow.
    pub(crate) fn mul(&self, x: u64, y: u64) -> u64 {
        (u128::from(x) * u128::from(y) % u128::from(self.q)) as u64
    }

    pub(crate) fn pow(&self, base: u64, mut exponent: u64) -> u64 {
        let (mut base, mut out) = (base % self.q, 1);
        while exponent > 0 {
            if exponent & 1 == 1 {
                out = self.mul(out, base);
            }
            base = self.mul(base, base);
            exponent >>= 1;
        }
        out
    }

    /// x^-1 mod q, by Fermat.
    pub(crate) fn invert(&self, x: u64) -> u64 {
        self.pow(x, self.q - 2)
    }

    /// x mod q of a signed integer.
    pub(crate) fn reduce_signed(&self, x: i128) -> u64 {
        x.rem_euclid(i128::from(self.q)) as u64
    }

    pub(crate) fn factor(&self, value: u64) -> Factor {
        debug_assert!(value < self.q);
        let quotient = ((u128::from(value) << WORD) / u128::from(self.q)) as u64;
        Factor { value, quotient }
    }

    /// x w mod q in 0..2q, for any word x.
    #[inline(always)]
    pub(crate) fn mul_lazy(&self, x: u64, w: Factor) -> u64 {
        let quotient = mul_hi(x, w.quotient);
        x.wrapping_mul(w.value).wrapping_sub(quotient.wrapping_mul(self.q)) & MASK
    }

    /// x w mod q, for any word x.
    #[inline(always)]
    pub(crate) fn mul_factor(&self, x: u64, w: Factor) -> u64 {
        self.once(self.mul_lazy(x, w))
    }

    /// x mod q for x below 2q.
    #[inline(always)]
    pub(crate) fn once(&self, x: u64) -> u64 {
        x.min(x.wrapping_sub(self.q))
    }

    /// x mod q for any word x.
    #[inline(always)]
    pub(crate) fn reduce(&self, x: u64) -> u64 {
        let quotient = mul_hi(x, self.barrett);
        self.once(x.wrapping_sub(quotient.wrapping_mul(self.q)))
    }

    /// (hi 2^52 + lo) / 2^52 mod q, in 0..q for hi below q and any word lo.
    #[inline(always)]
    pub(crate) fn montgomery_reduce(&self, hi: u64, lo: u64) -> u64 {
        let m = mul_lo(lo, self.inverse);
        let t = mul_hi(m, self.q);
        let r = hi.wrapping_sub(t);
        r.min(r.wrapping_add(self.q))
    }

    /// x y / 2^52 mod q for a word x and y below q.
    #[inline(always)]
    pub(crate) fn montgomery(&self, x: u64, y: u64) -> u64 {
        self.montgomery_reduce(mul_hi(x, y), mul_lo(x, y))
    }

    /// x 2^52 mod q: multiplying by it as a Montgomery product multiplies by x.
    #[inline(always)]
    pub(crate) fn to_montgomery(self, x: u64) -> u64 {
        self.montgomery(x, self.r2)
    }
}

/// The `count` largest primes below 2^`bits` that are 1 modulo `step`, greatest first, leaving out
/// those in `taken`; fewer if there are no more.
pub(crate) fn primes(bits: u32, step: u64, count: usize, taken: &[u64]) -> Vec<u64> {
    let (top, bottom) = (1u64 << bits, 1u64 << (bits - 1));
    let first = (top - 1) / step * step + 1;
    (0..)
        .map_while(|i| first.checked_sub(i * step).filter(|&q| q > bottom))
        .filter(|q| *q < top && !taken.contains(q) && is_prime(*q))
        .take(count)
        .collect()
}

/// Miller-Rabin with bases that are known to suffice below 2^64.
pub(crate) fn is_prime(n: u64) -> bool {
    const BASES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    if n < 2 {
        return false;
    }
    if let Some(p) = BASES.into_iter().find(|p| n.is_multiple_of(*p)) {
        return n == p;
    }
    let mul = |x: u64, y: u64| (u128::from(x) * u128::from(y) % u128::from(n)) as u64;
    let twos = (n - 1).trailing_zeros();
    BASES.into_iter().all(|base| {
        let (mut x, mut square, mut exponent) = (1, base, (n - 1) >> twos);
        while exponent > 0 {
            if exponent & 1 == 1 {
                x = mul(x, square);
            }
            square = mul(square, square);
            exponent >>= 1;
        }
        x == 1
            || (0..twos).any(|_| {
                let minus_one = x == n - 1;
                x = mul(x, x);
                minus_one
            })
    })
}

/// A primitive root of unity of order `order`, a power of two that divides q - 1: the least of the
/// form g^((q - 1) / order), so that both ends of a line find the same.
pub(crate) fn primitive_root(modulus: &Modulus, order: u64) -> u64 {
    debug_assert!((modulus.q - 1).is_multiple_of(order));
    let exponent = (modulus.q - 1) / order;
    (2..)
        .map(|g| modulus.pow(g, exponent))
        .find(|&root| modulus.pow(root, order / 2) == modulus.q - 1)
        .unwrap_or_else(|| unreachable!("half of all residues are no squares"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn modulus() -> impl Strategy<Value = Modulus> {
        (18u32..=50, 0usize..3).prop_map(|(bits, i)| Modulus::new(primes(bits, 1 << 11, 3, &[])[i]))
    }

    proptest! {
        #[test]
        fn products_agree(m in modulus(), x in 0..=MASK, y in 0..=MASK) {
            let y = y % m.q;
            let product = m.mul(x, y);
            prop_assert_eq!(m.mul_factor(x, m.factor(y)), product);
            prop_assert_eq!(m.montgomery(x, m.to_montgomery(y)), product);
            prop_assert_eq!(m.reduce(x), x % m.q);
            prop_assert_eq!(m.mul(m.montgomery(x, y), (1 << 52) % m.q), product);
        }

        #[test]
        fn inverses_and_signs(m in modulus(), x in 1..=MASK, s in any::<i64>()) {
            prop_assume!(x % m.q != 0);
            prop_assert_eq!(m.mul(x, m.invert(x)), 1);
            let r = m.reduce_signed(s.into());
            prop_assert_eq!((i128::from(s) - i128::from(r)) % i128::from(m.q), 0);
        }
    }

    #[test]
    fn primes_are_found_downwards() {
        assert_eq!(primes(14, 1 << 10, 5, &[]), [15361, 13313, 12289]);
        assert_eq!(primes(14, 1 << 10, 1, &[15361]), [13313]);
        assert!(is_prime((1 << 61) - 1) && !is_prime((1 << 59) - 1) && !is_prime(3_215_031_751));
        for n in 0..2000u64 {
            assert_eq!(is_prime(n), n > 1 && (2..n).all(|d| !n.is_multiple_of(d)), "{n}");
        }
    }

    #[test]
    fn roots_have_their_order() {
        let m = Modulus::new(primes(45, 1 << 15, 1, &[])[0]);
        let root = primitive_root(&m, 1 << 15);
        assert_eq!(m.pow(root, 1 << 14), m.q - 1);
    }
}
