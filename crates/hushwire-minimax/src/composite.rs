//! Composites of minimax polynomials for a left end of the interval that suits ReLU best.

use crate::real::{Big, Real, largest};
use crate::remez::{self, Fit, Point};
use crate::{Construction, DegreeSet, Error, OddPolynomial, SignPolynomial};

/// How finely domains are sampled.
#[derive(Clone, Copy)]
pub(crate) struct Sampling {
    /// Points of a stage's interval.
    pub interval: usize,
    /// Points at which ReLU is compared.
    pub relu: usize,
}

/// For searches.
pub(crate) const COARSE: Sampling = Sampling { interval: 300, relu: 700 };

/// For the choice of the left end.
const MEDIUM: Sampling = Sampling { interval: 1000, relu: 4000 };

/// For results.
const FINE: Sampling = Sampling { interval: 1000, relu: 8000 };

/// How often extrema are refined; each time doubles the correct digits of their places.
const REFINEMENTS: usize = 2;

/// Smallest left end that is tried.
const LEAST_LEFT: f64 = 1e-6;

/// Largest left end that is tried.
const LARGEST_LEFT: f64 = 0.6;

impl SignPolynomial {
    /// The composite of these degrees whose ReLU is most accurate.
    ///
    /// The left end of the first interval is chosen in double precision; the polynomials are
    /// computed with 256 bits and rounded once.
    ///
    /// # Errors
    /// The exchange algorithm does not settle: for the degrees of a [`DegreeSet`] this does not
    /// happen in practice.
    pub fn new(degrees: &DegreeSet, construction: Construction) -> Result<SignPolynomial, Error> {
        let (left, _) = best_left(degrees.degrees(), construction, MEDIUM, 40)?;
        SignPolynomial::with_left_end(degrees, construction, left)
    }

    /// The composite whose first polynomial is minimax on `[left, 1]`, and the negative of it.
    ///
    /// # Errors
    /// `left` is not between 0 and 1, or the exchange algorithm does not settle.
    pub fn with_left_end(
        degrees: &DegreeSet,
        construction: Construction,
        left: f64,
    ) -> Result<SignPolynomial, Error> {
        if !(left > 0.0 && left < 1.0) {
            return Err(Error::LeftEnd(left));
        }
        let composite = Composite::<Big>::new(degrees.degrees(), construction, left, FINE)?;
        let mut bound = 1.0;
        let mut stages = Vec::new();
        for (fit, next) in composite.fits.iter().zip(&composite.bounds) {
            stages.push(OddPolynomial::from_powers(&fit.powers(), bound));
            bound = *next;
        }
        SignPolynomial::from_stages(stages)
    }
}

/// Stages in some precision.
pub(crate) struct Composite<R> {
    fits: Vec<Fit<R>>,
    /// Largest values of the stages over [0, 1].
    bounds: Vec<f64>,
    /// The left end and the right end of the last stage's values, if all stages are uniform.
    pub range: (R, R),
    /// Largest error of ReLU.
    pub relu_error: f64,
}

impl<R: Real> Composite<R> {
    pub fn new(
        degrees: &[u32],
        construction: Construction,
        left: f64,
        sampling: Sampling,
    ) -> Result<Composite<R>, Error> {
        let one = R::from_f64(1.0);
        let samples = relu_samples(left, sampling.relu);
        let mut values: Vec<R> = samples.iter().map(|x| R::from_f64(*x)).collect();
        let mut composite = Composite {
            fits: Vec::new(),
            bounds: Vec::new(),
            range: (R::from_f64(left), one.clone()),
            relu_error: 0.0,
        };
        let mut level = R::from_f64(0.0);
        for (stage, &degree) in degrees.iter().enumerate() {
            let last = stage + 1 == degrees.len();
            let fit = match construction {
                Construction::Weighted if last => remez::fit(&weighted(&samples, &values), degree)?,
                _ => uniform(&composite.range, sampling.interval, degree)?,
            };
            level = fit.error.clone();
            composite.range = (one.clone() - level.clone(), one.clone() + level.clone());
            values = values.iter().map(|x| fit.eval(x)).collect();
            let most = values[largest(&values)].nearest();
            composite.bounds.push(most.max(composite.range.1.nearest()));
            composite.fits.push(fit);
        }
        // Right of `left` the stages themselves say what is largest: a composite oscillates too
        // often there to be sampled.
        let below = samples.iter().zip(&values).filter(|(x, _)| **x < left);
        let error =
            below.map(|(x, s)| x * (1.0 - s.nearest()).abs()).fold(level.nearest(), f64::max);
        composite.relu_error = error / 2.0;
        Ok(composite)
    }
}

/// The minimax polynomial of an interval.
///
/// The next stage takes over where this one's error ends, and magnifies what lies outside; so the
/// error is not merely that of some points: the extrema found on a grid are refined.
pub(crate) fn uniform<R: Real>(range: &(R, R), count: usize, degree: u32) -> Result<Fit<R>, Error> {
    let (a, b) = range;
    let width = b.clone() - a.clone();
    // Denser at the ends, as extrema are.
    let mut points: Vec<Point<R>> = (0..count)
        .map(|i| {
            let share = 0.5 - 0.5 * (std::f64::consts::PI * i as f64 / (count - 1) as f64).cos();
            Point { x: a.clone() + width.clone() * R::from_f64(share), weight: R::from_f64(1.0) }
        })
        .collect();
    for _ in 0..REFINEMENTS {
        let fit = remez::fit(&points, degree)?;
        let peaks: Vec<R> = points
            .windows(3)
            .filter_map(|near| peak(&fit, [&near[0].x, &near[1].x, &near[2].x]))
            .collect();
        points.extend(peaks.into_iter().map(|x| Point { x, weight: R::from_f64(1.0) }));
        sort(&mut points);
    }
    remez::fit(&points, degree)
}

/// Where the parabola through the errors at three points has its vertex, if the middle one has the
/// largest error.
fn peak<R: Real>(fit: &Fit<R>, [a, b, c]: [&R; 3]) -> Option<R> {
    let [at_a, at_b, at_c] = [a, b, c].map(|x| fit.eval(x));
    let (left, right) = (at_b.clone() - at_a, at_b - at_c);
    let zero = R::from_f64(0.0);
    if (left > zero) != (right > zero) || left == zero || right == zero {
        return None;
    }
    let (before, after) = (b.clone() - a.clone(), c.clone() - b.clone());
    let above = before.squared() * right.clone() - after.squared() * left.clone();
    let below = before * right + after * left;
    Some(b.clone() - above / (below * R::from_f64(2.0)))
}

/// Brings points into order; of equal ones the heaviest stays.
fn sort<R: Real>(points: &mut Vec<Point<R>>) {
    let order = |a: &R, b: &R| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal);
    points.sort_by(|a, b| order(&a.x, &b.x).then_with(|| order(&b.weight, &a.weight)));
    points.dedup_by(|b, a| a.x == b.x);
}

/// Values of a stage, each with the largest argument that has it: an error there is multiplied by
/// the argument in ReLU.
fn weighted<R: Real>(samples: &[f64], values: &[R]) -> Vec<Point<R>> {
    let mut points: Vec<Point<R>> = samples
        .iter()
        .zip(values)
        .filter(|(x, value)| **x > 0.0 && **value > R::from_f64(0.0))
        .map(|(x, value)| Point { x: value.clone(), weight: R::from_f64(*x) })
        .collect();
    sort(&mut points);
    points
}

/// Points of [0, 1] for comparing ReLU: as many below as above the left end.
fn relu_samples(left: f64, count: usize) -> Vec<f64> {
    let half = count / 2;
    let below = (0..half).map(|i| left * i as f64 / half as f64);
    let above = (0..=half).map(|i| {
        let share = 0.5 - 0.5 * (std::f64::consts::PI * i as f64 / half as f64).cos();
        left + (1.0 - left) * share
    });
    below.chain(above).collect()
}

/// The left end for which ReLU is most accurate, and its error.
pub(crate) fn best_left(
    degrees: &[u32],
    construction: Construction,
    sampling: Sampling,
    refinements: usize,
) -> Result<(f64, f64), Error> {
    let mut failure = None;
    let mut error = |t: f64| {
        Composite::<f64>::new(degrees, construction, t.exp(), sampling)
            .map(|composite| composite.relu_error)
            .unwrap_or_else(|e| {
                failure = Some(e);
                f64::INFINITY
            })
    };
    const TRIALS: usize = 25;
    let (first, last) = (LEAST_LEFT.ln(), LARGEST_LEFT.ln());
    let step = (last - first) / (TRIALS - 1) as f64;
    let trials: Vec<f64> = (0..TRIALS).map(|i| -error(first + step * i as f64)).collect();
    let best = first + step * largest(&trials) as f64;
    // Golden sections around the best trial.
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut a, mut b) = ((best - step).max(first), (best + step).min(last));
    let (mut c, mut d) = (b - ratio * (b - a), a + ratio * (b - a));
    let (mut at_c, mut at_d) = (error(c), error(d));
    for _ in 0..refinements {
        if at_c < at_d {
            (b, d, at_d) = (d, c, at_c);
            c = b - ratio * (b - a);
            at_c = error(c);
        } else {
            (a, c, at_c) = (c, d, at_d);
            d = a + ratio * (b - a);
            at_d = error(d);
        }
    }
    let (t, least) = if at_c < at_d { (c, at_c) } else { (d, at_d) };
    match failure {
        Some(failure) if !least.is_finite() => Err(failure),
        _ => Ok((t.exp(), least)),
    }
}
