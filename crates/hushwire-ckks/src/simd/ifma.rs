//! Vectors of eight 52-bit words.
//!
//! The multiply-and-add instructions read the low 52 bits of their factors: sums of words may carry
//! into the bits above, which then are of no meaning, as long as nothing compares them.

use std::arch::x86_64::*;

use crate::modulus::{Factor, MASK, Modulus};

/// Words of a vector.
pub(crate) const LANES: usize = 8;
/// Eight words in memory.
pub(crate) type Chunk = [u64; LANES];
/// Eight words in a register.
pub(crate) type V = __m512i;

/// Constants of a prime in registers. Being made only by functions compiled for the instructions, it
/// is also the proof that they are there, so its methods are safe. They must be inlined into such
/// functions, which is why all that takes a `Prime` is `#[inline(always)]`.
#[derive(Clone, Copy)]
pub(crate) struct Prime {
    pub(crate) q: V,
    pub(crate) two_q: V,
    /// 2^52 - q: adding multiples of it subtracts multiples of q, modulo 2^52.
    pub(crate) neg: V,
    /// q^-1 mod 2^52
    inverse: V,
    /// floor(2^52 / q)
    barrett: V,
    /// floor(2^62 / q)
    wide: V,
    mask: V,
    pub(crate) zero: V,
}

/// A [`Factor`] in all lanes, or one in each.
#[derive(Clone, Copy)]
pub(crate) struct Factors {
    pub(crate) value: V,
    pub(crate) quotient: V,
}

/// Methods that are one instruction on registers.
macro_rules! instructions {
    ($($(#[$doc:meta])* $name:ident($($x:ident),*) => $instruction:expr;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name(&self, $($x: V),*) -> V {
            #[expect(unsafe_code, reason = "an instruction that must be there")]
            // SAFETY: a `Prime` only exists where the instructions do; memory is not touched.
            unsafe {
                $instruction
            }
        }
    )*};
}

impl Prime {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn new(m: &Modulus) -> Self {
        let splat = |x: u64| _mm512_set1_epi64(x.cast_signed());
        Self {
            q: splat(m.q),
            two_q: splat(2 * m.q),
            neg: splat((1 << 52) - m.q),
            inverse: splat(m.inverse),
            barrett: splat(m.barrett),
            wide: splat((1 << 62) / m.q),
            mask: splat(MASK),
            zero: _mm512_setzero_si512(),
        }
    }

    instructions! {
        /// x + y
        add(x, y) => _mm512_add_epi64(x, y);
        /// x - y
        sub(x, y) => _mm512_sub_epi64(x, y);
        /// sum + the low word of x y
        add_lo(sum, x, y) => _mm512_madd52lo_epu64(sum, x, y);
        /// sum + the high word of x y
        add_hi(sum, x, y) => _mm512_madd52hi_epu64(sum, x, y);
        and(x, y) => _mm512_and_si512(x, y);
        /// x / 2^52
        carry(x) => _mm512_srli_epi64::<52>(x);
        /// x / 2^10
        shift_10(x) => _mm512_srli_epi64::<10>(x);
        /// The lower words of each two: x_0, y_0, x_2, y_2, ...
        unpack_lo(x, y) => _mm512_unpacklo_epi64(x, y);
        /// The upper words of each two: x_1, y_1, x_3, y_3, ...
        unpack_hi(x, y) => _mm512_unpackhi_epi64(x, y);
        /// The lower halves of two vectors.
        lower_halves(x, y) => _mm512_shuffle_i64x2::<0b01_00_01_00>(x, y);
        /// The upper halves of two vectors.
        upper_halves(x, y) => _mm512_shuffle_i64x2::<0b11_10_11_10>(x, y);
        /// The first and third quarters of two vectors.
        even_quarters(x, y) => _mm512_shuffle_i64x2::<0b10_00_10_00>(x, y);
        /// The second and fourth quarters of two vectors.
        odd_quarters(x, y) => _mm512_shuffle_i64x2::<0b11_01_11_01>(x, y);
        /// Words of x and then y at the places that lanes name.
        pick(x, places, y) => _mm512_permutex2var_epi64(x, places, y);
        /// The lesser of two positive floating-point numbers, the second if one is none.
        lesser(x, y) => _mm512_castpd_si512(
            _mm512_min_pd(_mm512_castsi512_pd(x), _mm512_castsi512_pd(y))
        );
    }

    #[inline(always)]
    pub(crate) fn load(&self, x: &Chunk) -> V {
        #[expect(unsafe_code, reason = "a load through a pointer")]
        // SAFETY: the reference is to 64 bytes, and a `Prime` only exists where the instruction does.
        unsafe {
            _mm512_loadu_si512(x.as_ptr().cast())
        }
    }

    /// Asks for a place of memory, if there is one, before it is read.
    #[inline(always)]
    pub(crate) fn prefetch<T>(&self, x: &[T], at: usize) {
        if let Some(x) = x.get(at) {
            #[expect(unsafe_code, reason = "an instruction that must be there")]
            // SAFETY: the reference is to memory, which is not changed.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(x).cast());
            }
        }
    }

    #[inline(always)]
    pub(crate) fn store(&self, x: &mut Chunk, v: V) {
        #[expect(unsafe_code, reason = "a store through a pointer")]
        // SAFETY: the reference is to 64 bytes, and a `Prime` only exists where the instruction does.
        unsafe {
            _mm512_storeu_si512(x.as_mut_ptr().cast(), v);
        }
    }

    #[inline(always)]
    pub(crate) fn splat(&self, x: u64) -> V {
        #[expect(unsafe_code, reason = "an instruction that must be there")]
        // SAFETY: a `Prime` only exists where the instruction does.
        unsafe {
            _mm512_set1_epi64(x.cast_signed())
        }
    }

    #[inline(always)]
    pub(crate) fn factors(&self, w: Factor) -> Factors {
        Factors { value: self.splat(w.value), quotient: self.splat(w.quotient) }
    }

    /// x - y where that is not negative, else x; for words x and y without bits above.
    ///
    /// The minimum is one of floating-point numbers, which leaves the multiplier's pipes alone: a
    /// negative difference is none, and others are in the same order.
    #[inline(always)]
    pub(crate) fn sub_once(&self, x: V, y: V) -> V {
        self.lesser(self.sub(x, y), x)
    }

    /// The word below bits of no meaning.
    #[inline(always)]
    pub(crate) fn word(&self, x: V) -> V {
        self.and(x, self.mask)
    }

    /// x mod q in 0..2q.
    #[inline(always)]
    pub(crate) fn reduce_lazy(&self, x: V) -> V {
        let quotient = self.add_hi(self.zero, x, self.barrett);
        self.word(self.add_lo(x, quotient, self.neg))
    }

    /// x mod q
    #[inline(always)]
    pub(crate) fn reduce(&self, x: V) -> V {
        self.sub_once(self.reduce_lazy(x), self.q)
    }

    /// sum + (x w mod q, in 0..2q), below bits of no meaning.
    #[inline(always)]
    pub(crate) fn add_product(&self, sum: V, x: V, w: Factors) -> V {
        let quotient = self.add_hi(self.zero, x, w.quotient);
        self.add_lo(self.add_lo(sum, x, w.value), quotient, self.neg)
    }

    /// x w mod q in 0..2q.
    #[inline(always)]
    pub(crate) fn mul_lazy(&self, x: V, w: Factors) -> V {
        self.word(self.add_product(self.zero, x, w))
    }

    /// x w mod q
    #[inline(always)]
    pub(crate) fn mul(&self, x: V, w: Factors) -> V {
        self.sub_once(self.mul_lazy(x, w), self.q)
    }

    /// The words in reverse.
    #[inline(always)]
    pub(crate) fn reverse(&self, x: V) -> V {
        self.pick(x, self.load(&[7, 6, 5, 4, 3, 2, 1, 0]), x)
    }

    /// (x_0 y_0 + x_1 y_1) / 2^52 mod q, for y below q.
    #[inline(always)]
    pub(crate) fn montgomery_two(&self, x: [V; 2], y: [V; 2]) -> V {
        let hi = self.add_hi(self.add_hi(self.zero, x[0], y[0]), x[1], y[1]);
        let lo = self.add_lo(self.add_lo(self.zero, x[0], y[0]), x[1], y[1]);
        self.montgomery_few(hi, lo)
    }

    /// The sum of two words times factors mod q, in 0..2q.
    #[inline(always)]
    pub(crate) fn sum_of_two(&self, [x, y]: [V; 2], [w, v]: [Factors; 2]) -> V {
        // Each product is below 2q, and 4q is a word.
        let sum = self.word(self.add_product(self.add_product(self.zero, x, w), y, v));
        self.sub_once(sum, self.two_q)
    }

    /// (hi 2^52 + lo) / 2^52 mod q for hi below 2^62.
    #[inline(always)]
    pub(crate) fn montgomery_sum(&self, hi: V, lo: V) -> V {
        let hi = self.add(hi, self.carry(lo));
        let quotient = self.add_hi(self.zero, self.shift_10(hi), self.wide);
        self.montgomery_reduce(self.word(self.add_lo(hi, quotient, self.neg)), lo)
    }

    /// (hi 2^52 + lo) / 2^52 mod q for a sum of at most three products by numbers below q.
    #[inline(always)]
    pub(crate) fn montgomery_few(&self, hi: V, lo: V) -> V {
        self.montgomery_reduce(self.add(hi, self.carry(lo)), lo)
    }

    /// (hi 2^52 + lo) / 2^52 mod q for hi up to 3q, to which what lo carries has been added.
    #[inline(always)]
    fn montgomery_reduce(&self, hi: V, lo: V) -> V {
        // The low words are equal and leave nothing.
        let r = self.sub(self.add(hi, self.q), self.multiple(lo));
        self.sub_once(self.sub_once(r, self.two_q), self.q)
    }

    /// The high word of the multiple of q that has the low word lo.
    #[inline(always)]
    fn multiple(&self, lo: V) -> V {
        self.add_hi(self.zero, self.add_lo(self.zero, lo, self.inverse), self.q)
    }

    /// x y / 2^52 mod q, for y below q.
    #[inline(always)]
    pub(crate) fn montgomery(&self, x: V, y: V) -> V {
        let (hi, lo) = (self.add_hi(self.zero, x, y), self.add_lo(self.zero, x, y));
        self.sub_once(self.sub(self.add(hi, self.q), self.multiple(lo)), self.q)
    }
}
