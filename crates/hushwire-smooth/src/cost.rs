//! What a gate costs: the bits that the three parties send for one element, as docs/protocol.md counts
//! them for comparison by digits.

use hushwire_plan::Piecewise;

use crate::Format;

/// What surrounds a gate, as far as its cost depends on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surroundings {
    /// Largest magnitude of the input that was seen.
    pub input: f64,
    /// Largest magnitude of the output.
    pub output: f64,
    /// Bits of magnitude that the largest output is given.
    pub activation_bits: i32,
    /// Extra bits for values larger than any seen.
    pub headroom: i32,
    /// Bits that are compared with knots, the sign among them.
    pub window_bits: i32,
    /// Bits of the ring.
    pub ring: i32,
}

impl Surroundings {
    /// Those of a network as calibration treats it unless told otherwise.
    pub fn usual(input: f64, output: f64) -> Self {
        Self { input, output, activation_bits: 12, headroom: 2, window_bits: 13, ring: 32 }
    }

    /// Bits that are sent for one element, offline and online together; nothing if the gate's numbers
    /// do not fit the ring.
    pub fn bits(&self, function: &Piecewise) -> Option<u64> {
        let (input_bits, computed) = (function.input_bits, function.accumulator_bits);
        let fractional = self.output_bits(computed);
        let magnitude = (fractional + exponent(self.output) + self.headroom).max(1);
        let farthest = function.knots.iter().fold(0.0f64, |m, knot| m.max(knot.abs()));
        let form_bits = self.form_bits(input_bits, farthest);
        let dropped = computed - fractional;
        let kept = (magnitude + 2).max(form_bits - dropped);
        let width = kept + dropped;
        if width > self.ring {
            return None;
        }
        let knots = function.knots.len() as i32;
        let compared = form_bits.min(self.window_bits) - 1;
        let encoding = function.quantise(2f64.powi(-input_bits)).encode();
        let selectors = encoding.selectors.len() as i32;
        let products = encoding.dealt_bits(width as u32) as i32;
        let high = self.ring - kept;
        let dealt = if knots == 0 { 0 } else { tables(compared) + knots * of_knot(compared) + 1 };
        let offline = dealt + products + high + width;
        let opened = 2 * knots * 2 * ((compared + 3) / 4 - 1).max(0);
        let online = width + opened + 2 * selectors + kept + 1 + high;
        u64::try_from(offline + online).ok()
    }

    /// Bound on what the rounding of the output adds to the error.
    pub(crate) fn output_rounding(&self, format: &Format) -> f64 {
        let bits = self.output_bits(format.accumulator_bits);
        if bits < format.accumulator_bits { 2f64.powi(-bits) } else { 0.0 }
    }

    /// How far before a knot an input may count as behind it: the bits that are not looked at.
    pub(crate) fn undecided(&self, format: &Format) -> f64 {
        let low = (self.form_bits(format.input_bits, FARTHEST) - self.window_bits).max(0);
        2f64.powi(low - format.input_bits)
    }

    /// Fractional bits of the output.
    fn output_bits(&self, computed: i32) -> i32 {
        (self.activation_bits - exponent(self.output)).min(computed)
    }

    /// Bits of an input less a knot, where none is farther from zero than `farthest`.
    fn form_bits(&self, input_bits: i32, farthest: f64) -> i32 {
        let form = self.input * 2f64.powi(self.headroom) + farthest;
        (input_bits + exponent(form) + 1).max(2)
    }
}

/// A knot that no fit has beyond.
const FARTHEST: f64 = 16.0;

/// The least e with x < 2^e; 0 for 0.
fn exponent(x: f64) -> i32 {
    if x <= 0.0 { 0 } else { x.log2().floor() as i32 + 1 }
}

/// Bits of the digit tables that all knots share.
fn tables(compared: i32) -> i32 {
    let digits = (compared + 3) / 4;
    16 * (digits - 1) + (1 << (compared - 4 * (digits - 1))) - digits
}

/// Bits for each knot.
fn of_knot(compared: i32) -> i32 {
    let digits = (compared + 3) / 4;
    if digits <= 1 { 0 } else { 3 * (1 << (digits - 1)) - 2 * digits - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_by_hand() {
        // max(x, 0): one knot, one selector of degree 1.
        let relu = Piecewise {
            input_bits: 8,
            accumulator_bits: 8,
            knots: vec![0.0],
            pieces: vec![vec![], vec![0.0, 1.0]],
        };
        let around = Surroundings::usual(7.0, 7.0);
        // 8 fractional bits, 3 of magnitude, 2 of headroom, 2 more: 15 are kept, nothing is dropped.
        // The form has 8 + 5 + 1 = 14 bits, 13 are compared, 12 below the sign: three digits.
        let offline = (48 - 3) + 5 + 1 + 15 * 2 + 17 + 15;
        let online = 15 + 8 + 2 + 15 + 1 + 17;
        assert_eq!(around.bits(&relu), Some(offline + online));
        let fine = Piecewise { accumulator_bits: 40, ..relu };
        assert_eq!(around.bits(&fine), None, "it does not fit 32 bits");
    }
}
