//! ReLU by a composite polynomial, and ReLU with something added: what polynomial networks compute,
//! and what networks go through in training so that they bear it.

use hushwire_minimax::Rectifier;
use pulp::Arch;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::elementwise::CHUNK;

/// Something that is added to the values of a ReLU.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Perturbation {
    /// What.
    pub kind: Kind,
    /// Where.
    pub region: Region,
    /// How much: see [`Kind`].
    pub size: f32,
}

/// What a perturbation adds at an input x. Random numbers are drawn anew for every element and step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `size` times the layer's range.
    Constant,
    /// The same or its negative, by chance.
    Sign,
    /// A number between the negative of that and that.
    Noise,
    /// x times a number between -`size` and `size`.
    Slope,
    /// `size` times what the layer's polynomial is off.
    Residual,
}

/// The inputs at which something is added.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// x < 0.
    Negative,
    /// x > 0.
    Positive,
    /// |x| below this share of the layer's range.
    Near(f32),
    /// All.
    Everywhere,
}

/// A layer's range: the largest magnitude of an input that its polynomial is made for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Range {
    /// As a plan says.
    Fixed(f32),
    /// In training, this many times the largest input of the batch.
    Batch(f32),
}

/// ReLU by a polynomial or with something added.
#[derive(Clone, Debug)]
pub(crate) struct Rectified {
    pub rectifier: Rectifier,
    /// Whether the polynomial is computed; otherwise ReLU itself is.
    pub polynomial: bool,
    pub range: Range,
    pub added: Option<Perturbation>,
    /// Whether things are also added outside training.
    pub always: bool,
    /// Whether gradients pass as through ReLU itself, instead of by derivatives.
    pub straight: bool,
    /// Weight of half the squared excess of inputs over [`TOLERATED`] ranges.
    pub penalty: f32,
}

/// Inputs above this share of the range are penalised.
pub(crate) const TOLERATED: f32 = 0.5;

/// What a batch is at a site.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setting {
    /// The range.
    pub range: f32,
    /// Names the random numbers.
    pub seed: u32,
    /// Whether the network is being trained.
    pub training: bool,
}

impl Rectified {
    /// The polynomial of a plan.
    pub(crate) fn new(rectifier: Rectifier, range: f64) -> Rectified {
        Rectified {
            rectifier,
            polynomial: true,
            range: Range::Fixed(range as f32),
            added: None,
            always: false,
            straight: false,
            penalty: 0.0,
        }
    }

    /// The range for a batch of inputs.
    pub(crate) fn range(&self, x: &[f32]) -> f32 {
        match self.range {
            Range::Fixed(range) => range,
            Range::Batch(margin) => {
                let largest = |x: &[f32]| x.iter().fold(0.0f32, |m, x| m.max(x.abs()));
                let all = x.par_chunks(CHUNK).map(largest).reduce(|| 0.0, f32::max);
                (all * margin).max(f32::MIN_POSITIVE)
            }
        }
    }

    fn added(&self, setting: Setting) -> Option<Perturbation> {
        self.added.filter(|_| setting.training || self.always)
    }

    /// The values; gives how many inputs are out of range. In training the polynomial's sign stays
    /// beyond the range what it is at its ends, so that one large value does not spoil a step;
    /// otherwise it is what it is.
    pub(crate) fn forward(&self, setting: Setting, x: &[f32], to: &mut [f32]) -> usize {
        let chunks = to.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate();
        let count = chunks.map(|(chunk, (to, x))| {
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    let outside = match (self.polynomial, setting.training) {
                        (true, true) => self.rectifier.bounded(setting.range, x, to),
                        (true, false) => self.rectifier.relu(setting.range, x, to),
                        (false, _) => {
                            to.iter_mut().zip(x).for_each(|(to, x)| *to = x.max(0.0));
                            0
                        }
                    };
                    if let Some(added) = self.added(setting) {
                        self.add(added, setting, chunk, x, to);
                    }
                    outside
                },
            )
        });
        count.sum()
    }

    #[inline(always)]
    fn add(&self, p: Perturbation, setting: Setting, chunk: usize, x: &[f32], to: &mut [f32]) {
        let Setting { range, seed, .. } = setting;
        let Perturbation { kind, region, size } = p;
        let amount = size * range;
        let first = (chunk * CHUNK) as u32;
        let random = |i: usize| uniform(seed, first.wrapping_add(i as u32));
        match kind {
            Kind::Constant => each(region, range, x, to, |_, _, to| to + amount),
            Kind::Sign => {
                each(region, range, x, to, |i, _, to| to + amount.copysign(random(i)));
            }
            Kind::Noise => each(region, range, x, to, |i, _, to| to + amount * random(i)),
            Kind::Slope => each(region, range, x, to, |i, x, to| to + size * random(i) * x),
            Kind::Residual => {
                let mut values = vec![0.0; x.len()];
                self.rectifier.bounded(range, x, &mut values);
                each(region, range, x, to, |i, x, to| to + size * (values[i] - x.max(0.0)));
            }
        }
    }

    /// Turns the gradient `g` of the values of `batch` samples into that of the inputs.
    pub(crate) fn backward(&self, setting: Setting, batch: usize, x: &[f32], g: &mut [f32]) {
        let push = self.penalty / batch.max(1) as f32;
        g.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate().for_each(|(chunk, (g, x))| {
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    self.turn(setting, chunk, x, g);
                    if push > 0.0 && setting.training {
                        penalise(push, setting.range, x, g);
                    }
                },
            );
        });
    }

    #[inline(always)]
    fn turn(&self, setting: Setting, chunk: usize, x: &[f32], g: &mut [f32]) {
        let Setting { range, seed, .. } = setting;
        let step = |x: f32| if x > 0.0 { 1.0 } else { 0.0 };
        let added = self.added(setting).filter(|_| !self.straight);
        let residual = added.is_some_and(|added| added.kind == Kind::Residual);
        let derivative = self.polynomial && !self.straight;
        let mut slopes = Vec::new();
        if derivative || residual {
            slopes.resize(x.len(), 0.0);
            self.rectifier.slope(range, x, &mut slopes);
        }
        let mut factors: Vec<f32> =
            if derivative { slopes.clone() } else { x.iter().map(|x| step(*x)).collect() };
        if let Some(Perturbation { kind, region, size }) = added {
            let first = (chunk * CHUNK) as u32;
            let random = |i: usize| uniform(seed, first.wrapping_add(i as u32));
            match kind {
                Kind::Slope => {
                    each(region, range, x, &mut factors, |i, _, f| f + size * random(i));
                }
                Kind::Residual => {
                    each(region, range, x, &mut factors, |i, x, f| f + size * (slopes[i] - step(x)))
                }
                Kind::Constant | Kind::Sign | Kind::Noise => {}
            }
        }
        g.iter_mut().zip(&factors).for_each(|(g, factor)| *g *= factor);
    }
}

/// Adds the gradient of `push` / 2 (|x| / range - `TOLERATED`)^2 where that is above zero.
#[inline(always)]
fn penalise(push: f32, range: f32, x: &[f32], g: &mut [f32]) {
    for (g, x) in g.iter_mut().zip(x) {
        let excess = (x.abs() / range - TOLERATED).max(0.0);
        *g += push / range * excess.copysign(*x);
    }
}

/// Replaces the elements of `to` at inputs in the region by `f(index, input, element)`.
#[inline(always)]
fn each(region: Region, range: f32, x: &[f32], to: &mut [f32], f: impl Fn(usize, f32, f32) -> f32) {
    macro_rules! change {
        ($within:expr) => {{
            let within = $within;
            for (i, (to, &x)) in to.iter_mut().zip(x).enumerate() {
                let changed = f(i, x, *to);
                *to = if within(x) { changed } else { *to };
            }
        }};
    }
    match region {
        Region::Negative => change!(|x: f32| x < 0.0),
        Region::Positive => change!(|x: f32| x > 0.0),
        Region::Near(share) => change!(|x: f32| x.abs() < share * range),
        Region::Everywhere => change!(|_: f32| true),
    }
}

/// A number between -1 and 1 for each element (the finalizer of MurmurHash3 on its index).
#[inline(always)]
fn uniform(seed: u32, index: u32) -> f32 {
    let mut h = index.wrapping_mul(0x9e37_79b9) ^ seed;
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^= h >> 16;
    (h >> 8) as f32 * (1.0 / (1u32 << 23) as f32) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use hushwire_minimax::{Construction, PolynomialFile};

    fn site(polynomial: bool, added: Option<Perturbation>) -> Rectified {
        let sign = PolynomialFile::known(5, Construction::Weighted).unwrap().polynomial;
        Rectified { polynomial, added, ..Rectified::new(Rectifier::new(&sign), 4.0) }
    }

    const SETTING: Setting = Setting { range: 4.0, seed: 7, training: true };

    fn inputs() -> Vec<f32> {
        (-20_000..20_000).map(|i| (i as f32 + 0.5) / 5_100.0).collect()
    }

    fn forward(site: &Rectified, setting: Setting, x: &[f32]) -> Vec<f32> {
        let mut to = vec![f32::NAN; x.len()];
        assert_eq!(site.forward(setting, x, &mut to), 0);
        to
    }

    #[test]
    fn perturbations_are_where_and_as_large_as_they_say() {
        let x = inputs();
        let exact = forward(&site(false, None), SETTING, &x);
        let polynomial = forward(&site(true, None), SETTING, &x);
        let regions = [
            (Region::Negative, x.iter().map(|x| *x < 0.0).collect::<Vec<_>>()),
            (Region::Positive, x.iter().map(|x| *x > 0.0).collect()),
            (Region::Near(0.25), x.iter().map(|x| x.abs() < 1.0).collect()),
            (Region::Everywhere, vec![true; x.len()]),
        ];
        for (region, within) in regions {
            for kind in [Kind::Constant, Kind::Sign, Kind::Noise, Kind::Slope, Kind::Residual] {
                let added = Perturbation { kind, region, size: 0.125 };
                let mut site = site(false, Some(added));
                let y = forward(&site, SETTING, &x);
                let (mut sum, mut count) = (0.0, 0);
                for (i, x) in x.iter().enumerate() {
                    let delta = y[i] - exact[i];
                    if !within[i] {
                        assert_eq!(delta, 0.0, "{kind:?} {region:?} at {x}");
                        continue;
                    }
                    sum += f64::from(delta);
                    count += 1;
                    match kind {
                        Kind::Constant => assert!((delta - 0.5).abs() < 1e-6),
                        Kind::Sign => assert!((delta.abs() - 0.5).abs() < 1e-6),
                        Kind::Noise => assert!(delta.abs() < 0.5 + 1e-6),
                        Kind::Slope => assert!(delta.abs() <= 0.125 * x.abs() + 1e-6),
                        Kind::Residual => {
                            let residual = polynomial[i] - exact[i];
                            assert!((delta - 0.125 * residual).abs() < 1e-6);
                        }
                    }
                }
                if matches!(kind, Kind::Sign | Kind::Noise) {
                    let mean = sum / f64::from(count);
                    assert!(mean.abs() < 0.02, "{kind:?} {region:?}: no bias, not {mean}");
                }
                let again = forward(&site, SETTING, &x);
                assert_eq!(y, again);
                let other = forward(&site, Setting { seed: 8, ..SETTING }, &x);
                let random = matches!(kind, Kind::Sign | Kind::Noise | Kind::Slope);
                assert_eq!(y != other, random, "{kind:?}");
                let test = Setting { training: false, ..SETTING };
                assert_eq!(forward(&site, test, &x), exact);
                site.always = true;
                assert_eq!(forward(&site, test, &x), y);
            }
        }
    }

    /// Away from jumps, gradients are differences of values.
    #[test]
    fn gradients_are_differences() {
        let x = [-3.3f32, -1.7, -0.2, 0.3, 1.1, 3.6];
        let residual = |region| Perturbation { kind: Kind::Residual, region, size: 0.5 };
        let slope = Perturbation { kind: Kind::Slope, region: Region::Negative, size: 0.2 };
        for (polynomial, added) in [
            (true, None),
            (false, None),
            (false, Some(residual(Region::Negative))),
            (true, Some(slope)),
            (false, Some(slope)),
            (false, Some(residual(Region::Everywhere))),
        ] {
            let site = site(polynomial, added);
            let mut g = vec![2.0; x.len()];
            site.backward(SETTING, 1, &x, &mut g);
            let h = 1.0 / 256.0;
            let moved = |by: f32| forward(&site, SETTING, &x.map(|x| x + by));
            let (above, below) = (moved(h), moved(-h));
            for i in 0..x.len() {
                let slope = 2.0 * (above[i] - below[i]) / (2.0 * h);
                assert!((slope - g[i]).abs() < 5e-3, "{polynomial} {added:?}: {slope} {}", g[i]);
            }
            let straight = Rectified { straight: true, ..site };
            let mut g = vec![2.0; x.len()];
            straight.backward(SETTING, 1, &x, &mut g);
            assert_eq!(g, [0.0, 0.0, 0.0, 2.0, 2.0, 2.0]);
        }
    }

    #[test]
    fn large_inputs_are_pushed_back() {
        let site = Rectified { penalty: 3.0, ..site(true, None) };
        let mut g = vec![0.0; 4];
        site.backward(SETTING, 2, &[-3.0, 1.9, 2.0, 4.0], &mut g);
        // 3 / 2 (|x| / 4 - 1 / 2) / 4
        assert_eq!(g, [-1.5 * 0.25 / 4.0, 0.0, 0.0, 1.5 * 0.5 / 4.0]);
        let free = Rectified { range: Range::Batch(1.25), ..site };
        assert_eq!(free.range(&[-2.0, 1.0]), 2.5);
    }
}
