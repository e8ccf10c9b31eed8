//! The exchange algorithm for odd polynomials.
//!
//! An odd polynomial that approximates the sign on `[-b, -a]` and `[a, b]` with a symmetric weight
//! approximates 1 on `[a, b]`, where x, x^3, ... satisfy the Haar condition. So the two intervals
//! are one, and a best approximation is the one whose weighted error alternates.
//!
//! With t = x^2 and p(x) = x q(t), interpolation at a reference of n + 1 points with an alternating
//! error is a Lagrange interpolation of q, and the level of the error has a closed form: nothing is
//! solved, and everything stays accurate at the precision of the numbers.

use crate::Error;
use crate::real::{Real, largest};

/// Exchanges at most.
const PATIENCE: usize = 200;

/// By how much the largest error may exceed the level of the reference in the end, relatively.
const SLACK: f64 = 1e-9;

/// The same absolutely: what rounding of doubles leaves.
const ROUNDING: f64 = 1e-12;

/// A point of the domain with the weight that an error has there; both are positive.
#[derive(Clone, Debug)]
pub(crate) struct Point<R> {
    pub x: R,
    pub weight: R,
}

/// A best approximation of the sign.
#[derive(Clone, Debug)]
pub(crate) struct Fit<R> {
    /// q at `t`, with barycentric weights.
    nodes: Vec<Node<R>>,
    /// Largest weighted error.
    pub error: R,
}

#[derive(Clone, Debug)]
struct Node<R> {
    t: R,
    q: R,
    weight: R,
}

impl<R: Real> Fit<R> {
    /// The odd polynomial at `x`.
    pub fn eval(&self, x: &R) -> R {
        let t = x.squared();
        let (mut above, mut below) = (R::from_f64(0.0), R::from_f64(0.0));
        for node in &self.nodes {
            let distance = t.clone() - node.t.clone();
            if distance == R::from_f64(0.0) {
                return node.q.clone() * x.clone();
            }
            let part = node.weight.clone() / distance;
            above = above + part.clone() * node.q.clone();
            below = below + part;
        }
        above / below * x.clone()
    }

    /// Coefficients of x, x^3, ...
    pub fn powers(&self) -> Vec<R> {
        // Newton's form, one node less than there are, as q's degree is lower by one.
        let count = self.nodes.len() - 1;
        let mut newton: Vec<R> = self.nodes[..count].iter().map(|node| node.q.clone()).collect();
        for order in 1..count {
            for i in (order..count).rev() {
                let rise = newton[i].clone() - newton[i - 1].clone();
                newton[i] = rise / (self.nodes[i].t.clone() - self.nodes[i - order].t.clone());
            }
        }
        let mut powers = vec![R::from_f64(0.0); count];
        for i in (0..count).rev() {
            for j in (0..count).rev() {
                let below = if j > 0 { powers[j - 1].clone() } else { newton[i].clone() };
                powers[j] = below - self.nodes[i].t.clone() * powers[j].clone();
            }
        }
        powers
    }
}

/// The odd polynomial of `degree` whose largest weighted distance from 1 at the points is least.
/// Points ascend.
pub(crate) fn fit<R: Real>(points: &[Point<R>], degree: u32) -> Result<Fit<R>, Error> {
    let count = degree.div_ceil(2) as usize + 1;
    if points.len() < count {
        return Err(Error::Exchange { degree, level: f64::NAN, largest: f64::NAN });
    }
    let mut reference: Vec<usize> = (0..count)
        .map(|i| {
            let share = 0.5 - 0.5 * (std::f64::consts::PI * i as f64 / (count - 1) as f64).cos();
            (share * (points.len() - 1) as f64).round() as usize
        })
        .collect();
    // Distinct even if points are few.
    for i in 1..count {
        reference[i] = reference[i].max(reference[i - 1] + 1);
    }
    for i in (0..count).rev() {
        reference[i] = reference[i].min(points.len() - count + i);
    }
    let (mut level, mut most) = (f64::NAN, f64::NAN);
    for _ in 0..PATIENCE {
        let (nodes, reached) = interpolate(points, &reference);
        let mut fit = Fit { nodes, error: R::from_f64(0.0) };
        let errors: Vec<R> =
            points.iter().map(|p| (R::from_f64(1.0) - fit.eval(&p.x)) * p.weight.clone()).collect();
        let sizes: Vec<R> = errors.iter().map(Real::abs).collect();
        let worst = largest(&sizes);
        fit.error = sizes[worst].clone();
        (level, most) = (reached.abs().nearest(), fit.error.nearest());
        if !most.is_finite() {
            break;
        }
        if most <= level * (1.0 + SLACK) + ROUNDING {
            return Ok(fit);
        }
        reference = exchange(&errors, &sizes, &reference, worst);
    }
    Err(Error::Exchange { degree, level, largest: most })
}

/// q with a weighted error that alternates over the reference, and its level.
fn interpolate<R: Real>(points: &[Point<R>], reference: &[usize]) -> (Vec<Node<R>>, R) {
    let one = R::from_f64(1.0);
    let ts: Vec<R> = reference.iter().map(|&i| points[i].x.squared()).collect();
    let weights: Vec<R> = (0..ts.len())
        .map(|i| {
            let others = (0..ts.len()).filter(|j| *j != i);
            let product = others.fold(one.clone(), |p, j| p * (ts[i].clone() - ts[j].clone()));
            one.clone() / product
        })
        .collect();
    // q = (1 - sign level / weight) / x has a vanishing divided difference over all points.
    let (mut above, mut below) = (R::from_f64(0.0), R::from_f64(0.0));
    let mut sign = one.clone();
    for (&i, weight) in reference.iter().zip(&weights) {
        let share = weight.clone() / points[i].x.clone();
        above = above + share.clone();
        below = below + share * sign.clone() / points[i].weight.clone();
        sign = -sign;
    }
    let level = above / below;
    let mut signed = level.clone();
    let nodes = reference
        .iter()
        .zip(ts)
        .zip(weights)
        .map(|((&i, t), weight)| {
            let target = one.clone() - signed.clone() / points[i].weight.clone();
            signed = -signed.clone();
            Node { t, q: target / points[i].x.clone(), weight }
        })
        .collect();
    (nodes, level)
}

/// A reference with larger errors of alternating sign.
fn exchange<R: Real>(errors: &[R], sizes: &[R], old: &[usize], worst: usize) -> Vec<usize> {
    let zero = R::from_f64(0.0);
    // The largest error of each run of equal signs.
    let mut runs: Vec<usize> = Vec::new();
    for i in 0..errors.len() {
        match runs.last_mut() {
            Some(last) if (errors[*last] < zero) == (errors[i] < zero) => {
                if sizes[i] > sizes[*last] {
                    *last = i;
                }
            }
            _ => runs.push(i),
        }
    }
    if runs.len() < old.len() {
        return exchange_one(errors, old, worst);
    }
    while runs.len() > old.len() {
        let last = runs.len() - 1;
        let size = |run: usize| &sizes[runs[run]];
        if runs.len() == old.len() + 1 {
            runs.remove(if size(0) < size(last) { 0 } else { last });
            continue;
        }
        let negative: Vec<R> = runs.iter().map(|i| -sizes[*i].clone()).collect();
        let least = largest(&negative);
        if least == 0 || least == last {
            runs.remove(least);
        } else {
            // With it a neighbour, or signs would no longer alternate.
            let first = if size(least - 1) < size(least + 1) { least - 1 } else { least };
            runs.drain(first..first + 2);
        }
    }
    runs
}

/// Puts the largest error into the reference, in place of a neighbour of the same sign.
fn exchange_one<R: Real>(errors: &[R], old: &[usize], worst: usize) -> Vec<usize> {
    let zero = R::from_f64(0.0);
    let same = |i: usize| (errors[i] < zero) == (errors[worst] < zero);
    let mut reference = old.to_vec();
    let last = old.len() - 1;
    match old.partition_point(|i| *i < worst) {
        0 if !same(old[0]) => {
            reference.pop();
            reference.insert(0, worst);
        }
        above if above > last && !same(old[last]) => {
            reference.remove(0);
            reference.push(worst);
        }
        above if above <= last && same(old[above]) => reference[above] = worst,
        above => reference[above - 1] = worst,
    }
    reference
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::Big;

    fn interval<R: Real>(a: f64, b: f64, count: usize) -> Vec<Point<R>> {
        let at = |i: usize| a + (b - a) * i as f64 / (count - 1) as f64;
        let point = |x| Point { x: R::from_f64(x), weight: R::from_f64(1.0) };
        (0..count).map(at).map(point).collect()
    }

    #[test]
    fn degree_three_has_a_closed_form() {
        // p = c1 x + c3 x^3 with error -E, E, -E at a, the maximum and 1.
        let a = 0.25;
        let fit = fit(&interval::<f64>(a, 1.0, 200_001), 3).unwrap();
        let powers = fit.powers();
        let peak = (-powers[0] / (3.0 * powers[1])).sqrt();
        for (x, sign) in [(a, 1.0), (peak, -1.0), (1.0, 1.0)] {
            assert!((1.0 - fit.eval(&x) - sign * fit.error).abs() < 1e-9);
            let value = powers[0] * x + powers[1] * x * x * x;
            assert!((value - fit.eval(&x)).abs() < 1e-12);
        }
        // c1 = -c3 (1 + a + a^2) by equality at both ends.
        assert!((powers[0] / powers[1] + 1.0 + a + a * a).abs() < 1e-9);
    }

    #[test]
    fn precisions_agree() {
        let double = fit(&interval::<f64>(0.01, 1.0, 2000), 15).unwrap();
        let big = fit(&interval::<Big>(0.01, 1.0, 2000), 15).unwrap();
        assert!((double.error - big.error.nearest()).abs() < 1e-12);
        for x in [0.001, 0.3, 0.77] {
            assert!((double.eval(&x) - big.eval(&Big::from_f64(x)).nearest()).abs() < 1e-12);
        }
    }

    #[test]
    fn no_polynomial_nearby_is_better() {
        let points: Vec<Point<f64>> = interval(0.0, 1.0, 1001)
            .into_iter()
            .skip(1)
            .map(|p| Point { weight: p.x, ..p })
            .collect();
        let best = fit(&points, 7).unwrap();
        let powers = best.powers();
        for i in 0..16 {
            let changed: Vec<f64> = powers
                .iter()
                .enumerate()
                .map(|(j, c)| c * (1.0 + 1e-4 * ((i >> j & 1) as f64 * 2.0 - 1.0)))
                .collect();
            let error = points.iter().map(|p| {
                let value = changed.iter().rev().fold(0.0, |v, c| v * p.x * p.x + c) * p.x;
                (1.0 - value).abs() * p.weight
            });
            assert!(error.fold(0.0, f64::max) > best.error);
        }
    }

    #[test]
    fn too_few_points_are_refused() {
        assert!(fit(&interval::<f64>(0.1, 1.0, 4), 7).is_err());
    }
}
