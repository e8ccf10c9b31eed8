//! Gates that evaluate piecewise polynomials.

use crate::program::ValueId;
use hushwire_plan::{Encoding, Window};
use hushwire_ring::Ring;

/// A gate that evaluates a piecewise polynomial of each element: share to wire.
///
/// u is the truncated input in `width` bits, z = base(u) + sum of the selected deltas, modulo
/// 2^`width`; z less its low `drop` bits is the output, of which `kept` bits are opened under a mask.
#[derive(Clone, Debug)]
pub struct CurveGate {
    /// The share it reads.
    pub source: ValueId,
    /// Low bits dropped from each party's part of the input.
    pub truncate: u32,
    /// Width W in which the function is computed, in bits: `drop + kept`.
    pub width: u32,
    /// The compared bits of u less a knot.
    pub window: Window,
    /// Where pieces meet, ascending.
    pub knots: Vec<i64>,
    /// The function.
    pub encoding: Encoding,
    /// Low bits dropped from each party's part of the result.
    pub drop: u32,
    /// Bits of the result: it must be less than 2^(kept-2) in magnitude.
    pub kept: u32,
}

impl CurveGate {
    /// Which knots u has reached, as a set of bits: exactly, or as the compared bits show it under a
    /// mask.
    pub fn decide(&self, u: i64, mask: Option<u64>) -> u64 {
        let reached = |knot: &i64| decide(self.window, self.width, u.wrapping_sub(*knot), mask);
        let bits = self.knots.iter().map(reached).enumerate();
        bits.fold(0, |set, (i, reached)| set | u64::from(reached) << i)
    }

    /// Whether the selector with index `at` is on, given the knots that were reached.
    pub fn selected(&self, at: usize, reached: u64) -> bool {
        let selector = &self.encoding.selectors[at];
        let changes = (selector.deciding(self.knots.len()) & reached).count_ones();
        selector.first() ^ (changes % 2 == 1)
    }

    /// z, modulo 2^64.
    pub fn eval(&self, u: i64, reached: u64) -> i64 {
        let value = |coefficients: &[i64]| {
            let terms = coefficients.iter().rev();
            terms.fold(0i64, |sum, c| sum.wrapping_mul(u).wrapping_add(*c))
        };
        let selectors = self.encoding.selectors.iter().enumerate();
        selectors
            .filter(|(at, _)| self.selected(*at, reached))
            .fold(value(&self.encoding.base), |z, (_, s)| z.wrapping_add(value(&s.delta)))
    }

    /// Whether the compared bits tell on which side of every knot u is, and the result `z` (signed,
    /// of `width` bits) is within the bits that are kept.
    pub(crate) fn in_range(&self, u: i64, z: i64) -> bool {
        let bound = 1i64 << (self.kept - 2);
        let tells = |knot: &i64| in_window(self.window, i128::from(u) - i128::from(*knot));
        (-bound..bound).contains(&(z >> self.drop)) && self.knots.iter().all(tells)
    }
}

/// Whether the compared bits tell the sign of a form.
pub(crate) fn in_window(window: Window, form: i128) -> bool {
    // A window may reach to bit 63, and a form less its knot beyond 64 bits.
    let bound = 1i128 << (window.low + window.bits - 1);
    -bound <= form && form <= bound - (1 << window.low)
}

/// 1{form >= 0} as the compared bits show it: exactly, or with the carry of a session's mask. The form
/// is known modulo 2^`width`.
pub(crate) fn decide(window: Window, width: u32, form: i64, mask: Option<u64>) -> bool {
    let bits = match mask {
        None => (form as u64) >> window.low,
        Some(n) => {
            // Both are known modulo 2^width only, and the window lies within the width.
            let public = (form as u64).wrapping_add(n);
            let kept = |x: u64| (x & ring(width).mask()) >> window.low;
            kept(public).wrapping_sub(kept(n))
        }
    };
    (bits >> (window.bits - 1)) & 1 == 0
}

/// The ring of `bits` bits.
pub(crate) fn ring(bits: u32) -> Ring {
    Ring::new(bits).unwrap_or_else(|| unreachable!("lowering admits rings of 1 to 64 bits only"))
}
