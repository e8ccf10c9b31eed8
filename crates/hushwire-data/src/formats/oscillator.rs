//! Signals of a damped, driven oscillator, computed and not read: a data set that anyone can make
//! again from a number.
//!
//! A sensor follows x'' + 2 z w x' + w^2 x = w^2 a cos(v t) for eight of its time units and shows 128
//! readings of eight bits with noise. The class is the regime: how strongly it is damped (z), or that it
//! is driven.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

use crate::{DataError, Image, Label, Sample, Split};

/// Readings of a signal.
const READINGS: usize = 128;

/// Steps of the integration between two readings.
const STEPS: usize = 4;

/// Time between two readings.
const INTERVAL: f64 = 8.0 / READINGS as f64;

/// Deviation of the noise, of signals whose largest reading is 1.
const NOISE: f64 = 0.04;

/// Signals in the splits.
const TEST: usize = 4_000;
const TRAIN: usize = 20_000;

/// Least and greatest z of the regimes that are not driven.
const DAMPING: [[f64; 2]; 5] = [[0.0, 0.06], [0.09, 0.25], [0.32, 0.65], [0.8, 1.2], [1.6, 4.0]];

/// The signals of a split, made from a seed.
pub(crate) struct Signals {
    seed: u64,
    split: Split,
    next: usize,
}

impl Signals {
    pub(crate) fn new(seed: u64, split: Split) -> Self {
        Self { seed, split, next: 0 }
    }

    /// How many there are.
    pub(crate) fn total(&self) -> usize {
        match self.split {
            Split::Test => TEST,
            Split::Train => TRAIN,
        }
    }

    fn sample(&self, index: usize) -> Result<Sample, DataError> {
        // Every signal has a generator of its own; splits have different ones.
        let half = u64::from(self.split == Split::Train);
        let place = (half << 32 | index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(self.seed.rotate_left(17) ^ place);
        let class = random.random_range(0..=DAMPING.len());
        let pixels = signal(class, &mut random).map(|x| (128.0 + 110.0 * x).round() as u8);
        let image = Image::new(1, READINGS, 1, pixels.to_vec())?;
        Ok(Sample { image, label: Label::Class(class as u32), name: index.to_string() })
    }
}

impl Iterator for Signals {
    type Item = Result<Sample, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.next < self.total()).then(|| {
            self.next += 1;
            self.sample(self.next - 1)
        })
    }
}

/// A signal of a class between -1 and 1, noise apart.
fn signal(class: usize, random: &mut Xoshiro256PlusPlus) -> [f64; READINGS] {
    let driven = class == DAMPING.len();
    let [least, greatest] = if driven { [0.05, 0.6] } else { DAMPING[class] };
    let damping = random.random_range(least..greatest);
    let frequency = random.random_range(1.5..5.0);
    let (drive, rate) = if driven {
        // Not too near resonance, where the answer rings like a free oscillator for long.
        let ratio = if random.random() { 0.4..0.8 } else { 1.25..1.8 };
        (random.random_range(0.5..1.5), frequency * random.random_range(ratio))
    } else {
        (0.0, 0.0)
    };
    let start: f64 = if random.random() { 1.0 } else { -1.0 };
    let mut state =
        [start * random.random_range(0.4..1.0), frequency * random.random_range(-0.5..0.5)];
    let slope = |t: f64, [x, v]: [f64; 2]| {
        let force = drive * (rate * t).cos() - x;
        [v, frequency * frequency * force - 2.0 * damping * frequency * v]
    };
    let step = INTERVAL / STEPS as f64;
    let mut readings = [0.0; READINGS];
    for (i, reading) in readings.iter_mut().enumerate() {
        *reading = state[0];
        for part in 0..STEPS {
            state = runge_kutta((i * STEPS + part) as f64 * step, state, step, slope);
        }
    }
    let largest = readings.iter().fold(1e-6f64, |m, x| m.max(x.abs()));
    let noise = |random: &mut _| -> f64 { StandardNormal.sample(random) };
    readings.map(|x| (x / largest + NOISE * noise(random)).clamp(-1.15, 1.15))
}

/// One step of the classical method of order four.
fn runge_kutta(t: f64, y: [f64; 2], h: f64, slope: impl Fn(f64, [f64; 2]) -> [f64; 2]) -> [f64; 2] {
    let ahead = |k: [f64; 2], h: f64| [y[0] + h * k[0], y[1] + h * k[1]];
    let k1 = slope(t, y);
    let k2 = slope(t + h / 2.0, ahead(k1, h / 2.0));
    let k3 = slope(t + h / 2.0, ahead(k2, h / 2.0));
    let k4 = slope(t + h, ahead(k3, h));
    std::array::from_fn(|i| y[i] + h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integration against the solution in closed form.
    #[test]
    fn a_free_oscillator_swings_as_it_must() {
        let (w, z): (f64, f64) = (3.0, 0.2);
        let slope = |_: f64, [x, v]: [f64; 2]| [v, -w * w * x - 2.0 * z * w * v];
        let mut state = [1.0, 0.0];
        let h = INTERVAL / STEPS as f64;
        for i in 0..READINGS * STEPS {
            state = runge_kutta(i as f64 * h, state, h, slope);
        }
        let t = 8.0;
        let d = w * (1.0 - z * z).sqrt();
        let exact = (-z * w * t).exp() * ((d * t).cos() + z * w / d * (d * t).sin());
        assert!((state[0] - exact).abs() < 1e-5, "{} {exact}", state[0]);
    }

    #[test]
    fn signals_are_the_same_again_and_differ_from_each_other() {
        let some = |seed, split| -> Vec<Sample> {
            Signals::new(seed, split).take(200).map(|s| s.expect("a signal")).collect()
        };
        let signals = some(1, Split::Test);
        assert_eq!(signals, some(1, Split::Test));
        assert_ne!(signals, some(2, Split::Test));
        assert_ne!(signals[0].image, some(1, Split::Train)[0].image);
        let mut seen = [0; DAMPING.len() + 1];
        for signal in &signals {
            let Label::Class(class) = signal.label else { panic!("a class") };
            seen[class as usize] += 1;
            assert_eq!((signal.image.height(), signal.image.width()), (1, READINGS));
        }
        assert!(seen.iter().all(|&n| n > 10), "{seen:?}");
        assert_eq!(Signals::new(1, Split::Test).total(), 4_000);
    }
}
