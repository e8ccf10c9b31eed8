//! Intervals with outward rounding.

use std::ops::{Add, Mul, Sub};

use dashu_float::round::Round;
use dashu_float::round::mode::{Down, Up};
use dashu_float::{Context, FBig, Repr};

/// Significant bits of the ends.
const PRECISION: usize = 128;

type End = Repr<2>;

/// The numbers from `low` to `high`.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    low: End,
    high: End,
}

fn down() -> Context<Down> {
    Context::new(PRECISION)
}

fn up() -> Context<Up> {
    Context::new(PRECISION)
}

type Rounded<R> = Result<dashu_float::round::Rounded<FBig<R, 2>>, dashu_float::FpError>;

/// The ends are always finite, so the operations on them that are used here do not fail.
fn end<R: Round>(result: Rounded<R>) -> End {
    match result {
        Ok(rounded) => rounded.value().into_repr(),
        Err(e) => unreachable!("finite numbers are added and multiplied, never divided by 0: {e}"),
    }
}

impl Interval {
    /// The number itself; it must be finite.
    pub fn point(x: f64) -> Interval {
        let end = End::try_from(x).unwrap_or_else(|_| unreachable!("the number is finite"));
        Interval { low: end.clone(), high: end }
    }

    /// Between finite numbers in order.
    pub fn between(low: f64, high: f64) -> Interval {
        Interval { low: Interval::point(low).low, high: Interval::point(high).high }
    }

    /// 1 / x for x > 0.
    pub fn reciprocal(x: f64) -> Interval {
        let (one, x) = (End::one(), Interval::point(x).low);
        Interval { low: end(down().div(&one, &x)), high: end(up().div(&one, &x)) }
    }

    /// An upper bound of all magnitudes.
    pub fn magnitude(&self) -> f64 {
        let negated = -self.low.clone();
        let largest = if negated > self.high { negated } else { self.high.clone() };
        // Whichever way it was rounded, the next double is above.
        largest.to_f64().value().next_up()
    }
}

impl Add for &Interval {
    type Output = Interval;

    fn add(self, other: &Interval) -> Interval {
        let low = end(down().add(&self.low, &other.low));
        Interval { low, high: end(up().add(&self.high, &other.high)) }
    }
}

impl Sub for &Interval {
    type Output = Interval;

    fn sub(self, other: &Interval) -> Interval {
        let low = end(down().sub(&self.low, &other.high));
        Interval { low, high: end(up().sub(&self.high, &other.low)) }
    }
}

impl Mul for &Interval {
    type Output = Interval;

    fn mul(self, other: &Interval) -> Interval {
        let zero = End::zero();
        let ends = |a: &End, b: &End, c: &End, d: &End| Interval {
            low: end(down().mul(a, b)),
            high: end(up().mul(c, d)),
        };
        let (a, b) = (self, other);
        match (a.low >= zero, a.high <= zero, b.low >= zero, b.high <= zero) {
            (true, _, true, _) => ends(&a.low, &b.low, &a.high, &b.high),
            (true, _, _, true) => ends(&a.high, &b.low, &a.low, &b.high),
            (true, _, _, _) => ends(&a.high, &b.low, &a.high, &b.high),
            (_, true, true, _) => ends(&a.low, &b.high, &a.high, &b.low),
            (_, true, _, true) => ends(&a.high, &b.high, &a.low, &b.low),
            (_, true, _, _) => ends(&a.low, &b.high, &a.low, &b.low),
            (_, _, true, _) => ends(&a.low, &b.high, &a.high, &b.high),
            (_, _, _, true) => ends(&a.high, &b.low, &a.low, &b.low),
            _ => {
                let one = ends(&a.low, &b.high, &a.low, &b.low);
                let other = ends(&a.high, &b.low, &a.high, &b.high);
                Interval { low: one.low.min(other.low), high: one.high.max(other.high) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn results_are_enclosed(a in -9i64..9, b in -9i64..9, c in -9i64..9, d in -9i64..9, s in 0.0..1.0, t in 0.0..1.0) {
            let (a, b, c, d) = (a.min(b) as f64, a.max(b) as f64, c.min(d) as f64, c.max(d) as f64);
            let (x, y) = (Interval::between(a, b), Interval::between(c, d));
            let (p, q) = (a + s * (b - a), c + t * (d - c));
            let within = |i: Interval, v: f64, tolerance: f64| {
                i.low.to_f64().value() <= v + tolerance && v - tolerance <= i.high.to_f64().value()
            };
            prop_assert!(within(&x + &y, p + q, 1e-12));
            prop_assert!(within(&x - &y, p - q, 1e-12));
            prop_assert!(within(&x * &y, p * q, 1e-12));
            // And no more than needed: some corner reaches each end.
            let product = &x * &y;
            let corners = [a * c, a * d, b * c, b * d];
            prop_assert!(corners.contains(&product.low.to_f64().value()));
            prop_assert!(corners.contains(&product.high.to_f64().value()));
            prop_assert!(product.magnitude() > corners.iter().fold(0.0, |m: f64, c| m.max(c.abs())));
        }
    }

    #[test]
    fn rounding_is_outward() {
        let third = Interval::reciprocal(3.0);
        assert!(third.low < third.high);
        let one = &third * &Interval::point(3.0);
        assert!(one.low < End::one() && one.high >= End::one());
    }
}
