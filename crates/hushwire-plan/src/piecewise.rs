//! Piecewise polynomials in the place of smooth activations.
//!
//! A secure gate evaluates `f(u) = base(u) + sum of bit_s * delta_s(u)` where the bits are decided by
//! comparing u with the knots. Each bit times a polynomial of degree g costs g + 1 dealt ring elements,
//! so what a function costs is how few such [`Selector`]s express it. Any Boolean function of the piece
//! is the exclusive or of comparisons, free of communication, so the coefficients may be *coded*: eleven
//! slopes that are multiples of one step take four selectors instead of ten.

use serde::{Deserialize, Serialize};

/// Most pieces of a function.
pub const MAX_PIECES: usize = 64;

/// Highest degree of a piece.
pub const MAX_DEGREE: usize = 7;

/// A piecewise polynomial of one real variable with the precision that it is computed to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piecewise {
    /// Fractional bits f that the input is rounded to; knots are rounded to them as well.
    pub input_bits: i32,
    /// Fractional bits F that are computed with: the coefficient of x^j is rounded to a multiple of
    /// 2^(j f - F).
    pub accumulator_bits: i32,
    /// Where pieces meet, ascending. Piece i is for `knots[i - 1] <= x < knots[i]`.
    pub knots: Vec<f64>,
    /// One more piece than there are knots; each lists its coefficients, the constant first. The
    /// outer ones are the tails: `[]` is zero, `[0.0, 1.0]` the identity.
    pub pieces: Vec<Vec<f64>>,
}

impl Piecewise {
    /// The value at `x`.
    pub fn eval(&self, x: f64) -> f64 {
        let piece = self.knots.partition_point(|&knot| knot <= x);
        self.pieces[piece].iter().rev().fold(0.0, |sum, c| sum * x + c)
    }

    /// The derivative at `x`; at a knot that of the piece behind it.
    pub fn derivative(&self, x: f64) -> f64 {
        let piece = self.knots.partition_point(|&knot| knot <= x);
        let terms = self.pieces[piece].iter().enumerate().skip(1).rev();
        terms.fold(0.0, |sum, (j, c)| sum * x + j as f64 * c)
    }

    /// What makes this no piecewise polynomial, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let ascending = self.knots.windows(2).all(|pair| pair[0] < pair[1]);
        let mut numbers = self.knots.iter().chain(self.pieces.iter().flatten());
        if self.pieces.len() != self.knots.len() + 1 {
            let (pieces, knots) = (self.pieces.len(), self.knots.len());
            Some(format!("{knots} knots part {} pieces, not {pieces}", knots + 1))
        } else if self.pieces.len() > MAX_PIECES {
            Some(format!("{} pieces; at most {MAX_PIECES} are possible", self.pieces.len()))
        } else if self.pieces.iter().any(|p| p.len() > MAX_DEGREE + 1) {
            Some(format!("a piece has a degree above {MAX_DEGREE}"))
        } else if numbers.any(|x| !x.is_finite() || x.abs() > 2f64.powi(30)) {
            Some("a knot or a coefficient is not a number below 2^30".into())
        } else if !ascending {
            Some("the knots do not ascend".into())
        } else if !(0..=24).contains(&self.input_bits) {
            Some(format!("{} fractional bits of the input; 0 to 24 are possible", self.input_bits))
        } else if !(self.input_bits..=50).contains(&self.accumulator_bits) {
            let bits = self.accumulator_bits;
            Some(format!(
                "{bits} fractional bits to compute with; those of the input to 50 are possible"
            ))
        } else {
            None
        }
    }

    /// The function on integers: of the input in units of `step`, giving units of
    /// 2^-`accumulator_bits`. Exact where the step is a power of two and the numbers are multiples of
    /// what they are rounded to.
    pub fn quantise(&self, step: f64) -> Curve {
        let unit = 2f64.powi(self.accumulator_bits);
        let coefficient = |(j, c): (usize, &f64)| (c * unit * step.powi(j as i32)).round() as i64;
        let trim = |mut piece: Vec<i64>| {
            while piece.last() == Some(&0) {
                piece.pop();
            }
            piece
        };
        let pieces = self.pieces.iter();
        Curve {
            knots: self.knots.iter().map(|k| (k / step).round() as i64).collect(),
            pieces: pieces.map(|p| trim(p.iter().enumerate().map(coefficient).collect())).collect(),
        }
    }

    /// The function with its numbers rounded to what is computed with.
    pub fn rounded(&self) -> Piecewise {
        let step = 2f64.powi(-self.input_bits);
        let curve = self.quantise(step);
        let unit = 2f64.powi(-self.accumulator_bits);
        let coefficient = |(j, c): (usize, &i64)| *c as f64 * unit / step.powi(j as i32);
        Piecewise {
            knots: curve.knots.iter().map(|k| *k as f64 * step).collect(),
            pieces: curve
                .pieces
                .iter()
                .map(|p| p.iter().enumerate().map(coefficient).collect())
                .collect(),
            ..*self
        }
    }
}

/// A piecewise polynomial on integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curve {
    /// Where pieces meet, ascending (two may have been rounded to the same).
    pub knots: Vec<i64>,
    /// One more piece than there are knots, the constant coefficient first, without trailing zeros.
    pub pieces: Vec<Vec<i64>>,
}

impl Curve {
    /// The index of the piece for `u`.
    pub fn piece(&self, u: i64) -> usize {
        self.knots.partition_point(|&knot| knot <= u)
    }

    /// The value of a piece at `u`, modulo 2^64.
    pub fn eval_piece(&self, piece: usize, u: i64) -> i64 {
        let terms = self.pieces[piece].iter().rev();
        terms.fold(0, |sum: i64, c| sum.wrapping_mul(u).wrapping_add(*c))
    }

    /// Highest degree of a piece.
    pub fn degree(&self) -> usize {
        self.pieces.iter().map(|p| p.len().saturating_sub(1)).max().unwrap_or(0)
    }

    fn coefficient(&self, piece: usize, j: usize) -> i64 {
        self.pieces[piece].get(j).copied().unwrap_or(0)
    }

    /// The cheapest [`Encoding`] of those it tries: every monomial's coefficients are either coded in
    /// binary, or changed knot by knot together with those of other monomials.
    pub fn encode(&self) -> Encoding {
        // A usual width, and the bit of each selector that both parties send.
        let cost = |e: &Encoding| e.dealt_bits(20) + 2 * e.selectors.len();
        let monomials = self.degree() + 1;
        let choices = (0..1u32 << monomials).map(|coded| self.encode_as(coded));
        choices.min_by_key(cost).unwrap_or_else(|| self.encode_as(0))
    }

    /// The encoding that codes the coefficients of x^j where bit j of `coded` is set.
    fn encode_as(&self, coded: u32) -> Encoding {
        let pieces = self.pieces.len();
        let monomials = self.degree() + 1;
        let mut base = vec![0; monomials];
        let mut selectors: Vec<Selector> = Vec::new();
        let mut add = |pieces: u64, j: usize, weight: i64| {
            let at = selectors.iter().position(|s| s.pieces == pieces).unwrap_or_else(|| {
                selectors.push(Selector { pieces, delta: Vec::new() });
                selectors.len() - 1
            });
            let delta = &mut selectors[at].delta;
            delta.resize(delta.len().max(j + 1), 0);
            delta[j] += weight;
        };
        for (j, base) in base.iter_mut().enumerate() {
            let values: Vec<i64> = (0..pieces).map(|p| self.coefficient(p, j)).collect();
            if coded >> j & 1 == 0 {
                *base = values[0];
                for p in 1..pieces {
                    let change = values[p] - values[p - 1];
                    if change != 0 {
                        // All pieces from p on.
                        add(u64::MAX << p & u64::MAX >> (64 - pieces), j, change);
                    }
                }
                continue;
            }
            let least = values.iter().copied().min().unwrap_or(0);
            let unit = values.iter().fold(0, |g, v| gcd(g, v - least)).max(1);
            *base = least;
            let codes: Vec<i64> = values.iter().map(|v| (v - least) / unit).collect();
            let most = codes.iter().copied().max().unwrap_or(0);
            for bit in 0..i64::BITS - most.leading_zeros() {
                let set = codes.iter().enumerate();
                let mask = set.fold(0, |mask, (p, code)| mask | ((code >> bit & 1) as u64) << p);
                add(mask, j, unit << bit);
            }
        }
        Encoding { base, selectors }
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A piecewise polynomial as one polynomial for all pieces and others for some:
/// f(u) = base(u) + sum over the selectors whose set has u's piece of delta(u).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Coefficients of the common polynomial, the constant first.
    pub base: Vec<i64>,
    /// What is added on some pieces.
    pub selectors: Vec<Selector>,
}

/// A polynomial that is added on some pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Bit p is set if the polynomial is added on piece p.
    pub pieces: u64,
    /// Its coefficients, the constant first; at least one.
    pub delta: Vec<i64>,
}

impl Selector {
    /// Which of `knots` knots, as a set of bits, decide: the selecting bit is the sum modulo 2 of their
    /// decisions 1{u >= knot} and of [`Selector::first`].
    pub fn deciding(&self, knots: usize) -> u64 {
        (self.pieces ^ self.pieces >> 1) & ((1 << knots) - 1)
    }

    /// Low bits that are zero in all coefficients: what they are multiplied by modulo 2^w matters
    /// modulo 2^(w - zeros) alone.
    pub fn zeros(&self) -> u32 {
        self.delta.iter().fold(0, |bits, c| bits | c).trailing_zeros()
    }

    /// Bits of each number that is dealt for it in a ring of `width` bits.
    pub fn dealt_bits(&self, width: u32) -> u32 {
        width.saturating_sub(self.zeros()).max(1)
    }

    /// Whether the polynomial is added on the first piece.
    pub fn first(&self) -> bool {
        self.pieces & 1 == 1
    }
}

impl Encoding {
    /// Ring elements that have to be dealt: for each selector one more than its degree.
    pub fn elements(&self) -> usize {
        self.selectors.iter().map(|s| s.delta.len()).sum()
    }

    /// Bits that have to be dealt for an element in a ring of `width` bits, powers of the mask included.
    pub fn dealt_bits(&self, width: u32) -> usize {
        let of_selector = |s: &Selector| s.delta.len() * s.dealt_bits(width) as usize;
        let powers = self.degree().saturating_sub(1) * width as usize;
        self.selectors.iter().map(of_selector).sum::<usize>() + powers
    }

    /// Highest degree of any of the polynomials.
    pub fn degree(&self) -> usize {
        let selectors = self.selectors.iter().map(|s| s.delta.len());
        selectors.chain([self.base.len()]).max().unwrap_or(1).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn curve() -> impl Strategy<Value = Curve> {
        let coefficient = prop_oneof![3 => -20i64..20, 1 => -1_000_000i64..1_000_000];
        let piece = prop::collection::vec(coefficient, 0..=4);
        (1usize..12).prop_flat_map(move |pieces| {
            let knots = prop::collection::vec(-100i64..100, pieces - 1);
            (knots, prop::collection::vec(piece.clone(), pieces)).prop_map(|(mut knots, pieces)| {
                knots.sort_unstable();
                Curve { knots, pieces }
            })
        })
    }

    fn value(polynomial: &[i64], u: i64) -> i64 {
        polynomial.iter().rev().fold(0, |sum: i64, c| sum.wrapping_mul(u).wrapping_add(*c))
    }

    proptest! {
        /// Bits put together from decisions as the protocol does give the function itself, and no
        /// encoding is dearer than changing everything at every knot.
        #[test]
        fn encodings_are_the_function(curve in curve(), coded in 0u32..32, u in -150i64..150) {
            for encoding in [curve.encode(), curve.encode_as(coded & ((1 << (curve.degree() + 1)) - 1))] {
                let mut sum = value(&encoding.base, u);
                for selector in &encoding.selectors {
                    let deciding = selector.deciding(curve.knots.len());
                    let decisions = curve.knots.iter().enumerate();
                    let bit = decisions.fold(selector.first(), |bit, (i, knot)| {
                        bit ^ (deciding >> i & 1 == 1 && u >= *knot)
                    });
                    prop_assert!(!selector.delta.is_empty());
                    sum = sum.wrapping_add(if bit { value(&selector.delta, u) } else { 0 });
                }
                prop_assert_eq!(sum, curve.eval_piece(curve.piece(u), u));
            }
            prop_assert!(curve.encode().dealt_bits(20) <= curve.encode_as(0).dealt_bits(20) + 2 * 11 * 5);
        }
    }

    /// Slopes from -1/8 to 9/8 in eighths, continuous: a function of the kind that fits a GELU.
    fn bent() -> Piecewise {
        let knots: Vec<f64> = (0..10).map(|i| f64::from(i) / 4.0 - 1.25).collect();
        let slopes = [0.0, -0.125, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.125, 1.0];
        let mut pieces = vec![vec![]];
        let mut constant = 0.0;
        for (i, knot) in knots.iter().enumerate() {
            constant += (slopes[i] - slopes[i + 1]) * knot;
            pieces.push(vec![constant, slopes[i + 1]]);
        }
        Piecewise { input_bits: 8, accumulator_bits: 11, knots, pieces }
    }

    #[test]
    fn slopes_on_a_coarse_grid_are_coded() {
        let bent = bent();
        assert_eq!(bent.problem(), None);
        assert_eq!(bent.rounded(), bent);
        let encoding = bent.quantise(1.0 / 256.0).encode();
        let linear = encoding.selectors.iter().filter(|s| s.delta.len() == 2).count();
        assert_eq!((linear, encoding.degree()), (4, 1), "eleven slopes are four bits");
        assert!(encoding.elements() <= 14, "{encoding:?}");
    }

    #[test]
    fn the_value_is_that_of_the_piece() {
        let bent = bent();
        assert_eq!(bent.eval(-5.0), 0.0);
        assert_eq!(bent.eval(-1.25), 0.0);
        assert!((bent.eval(-1.125) + 0.125 / 8.0).abs() < 1e-12);
        for piece in bent.knots.iter().zip(bent.pieces.windows(2)) {
            let at = |p: &[f64]| p.iter().rev().fold(0.0, |sum, c| sum * piece.0 + c);
            assert!((at(&piece.1[0]) - at(&piece.1[1])).abs() < 1e-12, "continuous at {}", piece.0);
        }
        assert_eq!([-2.0, -1.25, -0.1, 3.0].map(|x| bent.derivative(x)), [0.0, -0.125, 0.5, 1.0]);
        let curve = bent.quantise(1.0 / 256.0);
        for u in -1000i64..1000 {
            let integer = curve.eval_piece(curve.piece(u), u) as f64 / 2048.0;
            assert!((integer - bent.eval(u as f64 / 256.0)).abs() < 1e-9, "{u}");
        }
    }

    #[test]
    fn what_is_no_function_is_named() {
        let broken = |change: fn(&mut Piecewise)| {
            let mut function = bent();
            change(&mut function);
            function.problem().expect("broken")
        };
        assert!(broken(|f| f.knots.truncate(3)).contains("3 knots part 4 pieces, not 11"));
        assert!(broken(|f| f.knots.swap(1, 2)).contains("ascend"));
        assert!(broken(|f| f.pieces[1][0] = f64::NAN).contains("not a number"));
        assert!(broken(|f| f.pieces[1] = vec![1.0; 9]).contains("degree above 7"));
        assert!(broken(|f| f.input_bits = -1).contains("0 to 24"));
        assert!(broken(|f| f.accumulator_bits = 4).contains("to compute with"));
        assert!(
            broken(|f| {
                f.knots = (0..64).map(f64::from).collect();
                f.pieces = vec![vec![]; 65];
            })
            .contains("at most 64")
        );
    }
}
