//! Vectors of four 52-bit words, multiplied as floating-point numbers.
//!
//! AVX2 has no products of more than 32 bits, but a fused multiply-add gives both halves of a product of
//! two 53-bit numbers exactly: h = x y rounded, and x y - h. Quotients are rounded by adding and taking
//! away 1.5 * 2^52, and are off by a little more than a half, so remainders come out signed and are
//! brought to 0..q in the end. With factors below 2^52 and q below 2^50, all sums below are exact: they
//! are multiples of some power of two, and less than 2^53 times it.

use std::arch::x86_64::*;

use crate::modulus::{Factor, MASK, Modulus};

/// Words of a vector.
pub(crate) const LANES: usize = 4;
/// Four words in memory.
pub(crate) type Chunk = [u64; LANES];
/// Four words in a register.
pub(crate) type V = __m256i;
/// Four floating-point numbers in a register.
pub(crate) type D = __m256d;

/// 2^52, whose bits are those of the exponent: with a word in the bits below, it is 2^52 + the word.
const TWO_52: f64 = (1u64 << 52) as f64;
/// Adding it rounds to multiples of 2^52.
const SPLIT: f64 = 1.5 * TWO_52 * TWO_52;

/// Constants of a prime in registers; what was said of the one of the module `ifma` holds.
#[derive(Clone, Copy)]
pub(crate) struct Prime {
    pub(crate) q: V,
    pub(crate) two_q: V,
    mask: V,
    pub(crate) zero: V,
    /// q
    float: D,
    two_float: D,
    /// 1 / q
    reciprocal: D,
    /// q^-1 mod 2^52, of the least magnitude.
    inverse: D,
    /// 2^52
    base: D,
    /// 1.5 * 2^52: adding it rounds to integers.
    whole: D,
    split: D,
    /// 2^-52
    scale: D,
}

/// A [`Factor`] w in all lanes, or one in each: w, and w / q.
#[derive(Clone, Copy)]
pub(crate) struct Factors {
    pub(crate) value: D,
    pub(crate) quotient: D,
}

/// A sum of products: multiples of 2^52, and what is left.
#[derive(Clone, Copy)]
pub(crate) struct Products {
    high: D,
    low: D,
}

/// Products that [`Products`] hold exactly.
pub(crate) const PRODUCTS: usize = 4;

/// Methods that are a few instructions on registers.
macro_rules! instructions {
    ($($(#[$doc:meta])* $name:ident($self:ident, $($x:ident: $X:ty),*) -> $Out:ty $instructions:block)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name(&$self, $($x: $X),*) -> $Out {
            #[expect(unsafe_code, reason = "an instruction that must be there")]
            // SAFETY: a `Prime` only exists where the instructions do; memory is not touched.
            unsafe {
                $instructions
            }
        }
    )*};
}

impl Prime {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn new(m: &Modulus) -> Self {
        let splat = |x: u64| _mm256_set1_epi64x(x.cast_signed());
        let float = |x: f64| _mm256_set1_pd(x);
        let inverse = m.inverse.cast_signed();
        let least = if inverse >= 1 << 51 { inverse - (1 << 52) } else { inverse };
        Self {
            q: splat(m.q),
            two_q: splat(2 * m.q),
            mask: splat(MASK),
            zero: _mm256_setzero_si256(),
            float: float(m.q as f64),
            two_float: float((2 * m.q) as f64),
            reciprocal: float(1.0 / m.q as f64),
            inverse: float(least as f64),
            base: float(TWO_52),
            whole: float(1.5 * TWO_52),
            split: float(SPLIT),
            scale: float(1.0 / TWO_52),
        }
    }

    instructions! {
        /// x + y
        add(self, x: V, y: V) -> V { _mm256_add_epi64(x, y) }
        /// x - y
        sub(self, x: V, y: V) -> V { _mm256_sub_epi64(x, y) }
        /// The word below bits of no meaning.
        word(self, x: V) -> V { _mm256_and_si256(x, self.mask) }
        /// The lesser of two positive floating-point numbers, the second if one is none.
        lesser(self, x: V, y: V) -> V {
            _mm256_castpd_si256(_mm256_min_pd(_mm256_castsi256_pd(x), _mm256_castsi256_pd(y)))
        }
        /// The words in reverse.
        reverse(self, x: V) -> V { _mm256_permute4x64_epi64::<0b00_01_10_11>(x) }
        /// A word as a number.
        number(self, x: V) -> D {
            let bits = _mm256_or_si256(x, _mm256_castpd_si256(self.base));
            _mm256_sub_pd(_mm256_castsi256_pd(bits), self.base)
        }
        /// A number from 0 to 2^52 as a word.
        integer(self, x: D) -> V {
            _mm256_and_si256(_mm256_castpd_si256(_mm256_add_pd(x, self.base)), self.mask)
        }
        /// The bits of numbers.
        bits(self, x: D) -> V { _mm256_castpd_si256(x) }
        /// The numbers with some bits.
        of_bits(self, x: V) -> D { _mm256_castsi256_pd(x) }
        /// x + y
        plus(self, x: D, y: D) -> D { _mm256_add_pd(x, y) }
        /// x - y
        minus(self, x: D, y: D) -> D { _mm256_sub_pd(x, y) }
        /// x mod q, of a magnitude of q/2 and a little.
        remainder(self, x: D) -> D {
            let quotient = _mm256_fmadd_pd(x, self.reciprocal, self.whole);
            _mm256_fnmadd_pd(_mm256_sub_pd(quotient, self.whole), self.float, x)
        }
        /// x w mod q, of a magnitude of q/2 and 2^-52 |x| q; |x| at most 2^52.
        product(self, x: D, w: Factors) -> D {
            let quotient = _mm256_fmadd_pd(x, w.quotient, self.whole);
            let high = _mm256_mul_pd(x, w.value);
            let low = _mm256_fmsub_pd(x, w.value, high);
            let rest = _mm256_fnmadd_pd(_mm256_sub_pd(quotient, self.whole), self.float, high);
            _mm256_add_pd(rest, low)
        }
        /// sum + x y, for words below 2^52, y below q.
        add_product(self, sum: Products, x: V, y: V) -> Products {
            let (x, y) = (self.number(self.word(x)), self.number(y));
            let high = _mm256_sub_pd(_mm256_fmadd_pd(x, y, self.split), self.split);
            let low = _mm256_fmsub_pd(x, y, high);
            Products { high: _mm256_add_pd(sum.high, high), low: _mm256_add_pd(sum.low, low) }
        }
        /// sum / 2^52 mod q of at most four products.
        montgomery_sum(self, sum: Products) -> V {
            let Products { high, low } = sum;
            let carry = _mm256_sub_pd(_mm256_add_pd(low, self.split), self.split);
            let (high, low) = (_mm256_add_pd(high, carry), _mm256_sub_pd(low, carry));
            // The multiple m q of q that is low modulo 2^52.
            let over = _mm256_fmadd_pd(low, self.inverse, self.split);
            let m = _mm256_fmsub_pd(low, self.inverse, _mm256_sub_pd(over, self.split));
            let rest = _mm256_sub_pd(high, _mm256_fmsub_pd(m, self.float, low));
            // From -q/2 to at most 4.5 q.
            self.near_residue(self.remainder(_mm256_mul_pd(rest, self.scale)))
        }
        /// A number of a magnitude below q as a residue.
        near_residue(self, x: D) -> V {
            self.sub_once(self.integer(_mm256_add_pd(x, self.float)), self.q)
        }
        /// A number of a magnitude of at most 2q as a residue.
        residue(self, x: D) -> V {
            let x = self.integer(_mm256_add_pd(x, self.two_float));
            self.sub_once(self.sub_once(x, self.two_q), self.q)
        }
        /// Two factors, each in two lanes.
        twice(self, x: D) -> D { _mm256_permute4x64_pd::<0b01_01_00_00>(x) }
        /// The lower halves of two vectors.
        lower_halves(self, x: D, y: D) -> D { _mm256_permute2f128_pd::<0x20>(x, y) }
        /// The upper halves of two vectors.
        upper_halves(self, x: D, y: D) -> D { _mm256_permute2f128_pd::<0x31>(x, y) }
        /// x_0, y_0, x_2, y_2
        unpack_lo(self, x: D, y: D) -> D { _mm256_unpacklo_pd(x, y) }
        /// x_1, y_1, x_3, y_3
        unpack_hi(self, x: D, y: D) -> D { _mm256_unpackhi_pd(x, y) }
        /// The same word in all lanes.
        splat(self, x: u64) -> V { _mm256_set1_epi64x(x.cast_signed()) }
        /// The same number in all lanes.
        splat_number(self, x: f64) -> D { _mm256_set1_pd(x) }
    }

    #[inline(always)]
    pub(crate) fn load(&self, x: &Chunk) -> V {
        #[expect(unsafe_code, reason = "a load through a pointer")]
        // SAFETY: the reference is to 32 bytes, and a `Prime` only exists where the instruction does.
        unsafe {
            _mm256_loadu_si256(x.as_ptr().cast())
        }
    }

    #[inline(always)]
    pub(crate) fn store(&self, x: &mut Chunk, v: V) {
        #[expect(unsafe_code, reason = "a store through a pointer")]
        // SAFETY: the reference is to 32 bytes, and a `Prime` only exists where the instruction does.
        unsafe {
            _mm256_storeu_si256(x.as_mut_ptr().cast(), v);
        }
    }

    #[inline(always)]
    pub(crate) fn load_numbers(&self, x: &[f64; LANES]) -> D {
        #[expect(unsafe_code, reason = "a load through a pointer")]
        // SAFETY: the reference is to 32 bytes, and a `Prime` only exists where the instruction does.
        unsafe {
            _mm256_loadu_pd(x.as_ptr())
        }
    }

    #[inline(always)]
    pub(crate) fn factors(&self, w: Factor) -> Factors {
        let value = self.splat_number(w.value as f64);
        #[expect(unsafe_code, reason = "an instruction that must be there")]
        // SAFETY: a `Prime` only exists where the instruction does.
        let quotient = unsafe { _mm256_div_pd(value, self.float) };
        Factors { value, quotient }
    }

    #[inline(always)]
    pub(crate) fn no_products(&self) -> Products {
        Products { high: self.of_bits(self.zero), low: self.of_bits(self.zero) }
    }

    /// x - y where that is not negative, else x; for words x and y without bits above.
    #[inline(always)]
    pub(crate) fn sub_once(&self, x: V, y: V) -> V {
        self.lesser(self.sub(x, y), x)
    }

    /// x mod q
    #[inline(always)]
    pub(crate) fn reduce(&self, x: V) -> V {
        self.near_residue(self.remainder(self.number(self.word(x))))
    }

    /// x mod q in 0..2q.
    #[inline(always)]
    pub(crate) fn reduce_lazy(&self, x: V) -> V {
        self.reduce(x)
    }

    /// x w mod q
    #[inline(always)]
    pub(crate) fn mul(&self, x: V, w: Factors) -> V {
        self.residue(self.product(self.number(self.word(x)), w))
    }

    /// The sum of two words times factors mod q.
    #[inline(always)]
    pub(crate) fn sum_of_two(&self, [x, y]: [V; 2], [w, v]: [Factors; 2]) -> V {
        let sum = self.plus(self.product(self.number(x), w), self.product(self.number(y), v));
        self.near_residue(self.remainder(sum))
    }

    /// x y / 2^52 mod q, for y below q.
    #[inline(always)]
    pub(crate) fn montgomery(&self, x: V, y: V) -> V {
        self.montgomery_sum(self.add_product(self.no_products(), x, y))
    }

    /// (x_0 y_0 + x_1 y_1) / 2^52 mod q, for y below q.
    #[inline(always)]
    pub(crate) fn montgomery_two(&self, x: [V; 2], y: [V; 2]) -> V {
        let first = self.add_product(self.no_products(), x[0], y[0]);
        self.montgomery_sum(self.add_product(first, x[1], y[1]))
    }
}
