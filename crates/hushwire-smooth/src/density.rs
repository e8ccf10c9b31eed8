//! Where inputs are.

use serde::{Deserialize, Serialize};

use crate::SmoothError;

/// The density of a function's inputs.
#[derive(Clone, Debug, PartialEq)]
pub enum Density {
    /// N(0, 1): what stands behind a batch normalisation.
    Normal,
    /// What was seen.
    Histogram(Histogram),
}

impl Density {
    /// The mass between `a` and `b`.
    pub fn mass(&self, a: f64, b: f64) -> f64 {
        match self {
            // The midpoint rule: cells are far narrower than the density is curved.
            Self::Normal => {
                let middle = (a + b) / 2.0;
                (b - a) * (-middle * middle / 2.0).exp() / std::f64::consts::TAU.sqrt()
            }
            Self::Histogram(histogram) => histogram.mass(a, b),
        }
    }

    /// How many values were seen; for a density that is known, no bound.
    pub fn samples(&self) -> u64 {
        match self {
            Self::Normal => u64::MAX,
            Self::Histogram(histogram) => histogram.samples,
        }
    }
}

/// Shares of values in bins of equal width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    low: f64,
    width: f64,
    shares: Vec<f64>,
    samples: u64,
}

impl Histogram {
    /// A histogram of counts over `low..high`; a share `floor` of the mass is spread evenly, so that
    /// bins that nothing was seen in still matter.
    ///
    /// # Errors
    /// A range that is not one, no counts, or none above zero.
    pub fn from_counts(
        low: f64,
        high: f64,
        counts: &[u64],
        floor: f64,
    ) -> Result<Self, SmoothError> {
        let shares: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
        let samples = counts.iter().fold(0u64, |sum, count| sum.saturating_add(*count));
        Ok(Self { samples, ..Self::from_shares(low, high, &shares, floor)? })
    }

    /// A histogram of a density's values in bins over `low..high`, in any unit.
    ///
    /// # Errors
    /// A range that is not one, shares that are negative or no numbers, no shares, or none above zero.
    pub fn from_shares(
        low: f64,
        high: f64,
        shares: &[f64],
        floor: f64,
    ) -> Result<Self, SmoothError> {
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Err(SmoothError::Range(low, high));
        }
        let wrong = |share: &f64| !(share.is_finite() && *share >= 0.0);
        if let Some(index) = shares.iter().position(wrong) {
            return Err(SmoothError::Share { index, value: shares[index] });
        }
        let total: f64 = shares.iter().sum();
        if total <= 0.0 {
            return Err(SmoothError::NoMass);
        }
        let even = floor / shares.len() as f64;
        Ok(Self {
            low,
            width: (high - low) / shares.len() as f64,
            shares: shares.iter().map(|share| share / total * (1.0 - floor) + even).collect(),
            samples: u64::MAX,
        })
    }

    /// Ends of the range that has bins.
    pub fn range(&self) -> [f64; 2] {
        [self.low, self.low + self.width * self.shares.len() as f64]
    }

    fn mass(&self, a: f64, b: f64) -> f64 {
        let [a, b] =
            [a, b].map(|x| ((x - self.low) / self.width).clamp(0.0, self.shares.len() as f64));
        let (first, last) = (a as usize, (b.ceil() as usize).min(self.shares.len()));
        let part = |bin: usize| (b.min(bin as f64 + 1.0) - a.max(bin as f64)).max(0.0);
        (first..last).map(|bin| self.shares[bin] * part(bin)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masses_add_up() {
        let whole: f64 = (-800..800)
            .map(|i| Density::Normal.mass(f64::from(i) / 100.0, f64::from(i + 1) / 100.0))
            .sum();
        assert!((whole - 1.0).abs() < 1e-6, "{whole}");
        let histogram = Histogram::from_counts(-1.0, 1.0, &[1, 3, 0, 4], 0.0).expect("counts");
        let density = Density::Histogram(histogram);
        assert_eq!(density.mass(-1.0, -0.5), 0.125);
        assert!((density.mass(-0.75, -0.25) - 0.25).abs() < 1e-12);
        assert_eq!(density.mass(-9.0, 9.0), 1.0);
        assert_eq!((density.mass(1.0, 2.0), density.samples()), (0.0, 8));
        let floored = Histogram::from_counts(-1.0, 1.0, &[1, 3, 0, 4], 0.5).expect("counts");
        assert_eq!(floored.mass(0.0, 0.5), 0.125);
    }

    #[test]
    fn what_is_no_density_is_named() {
        let of = |shares: &[f64]| {
            Histogram::from_shares(0.0, 1.0, shares, 0.0).expect_err("broken").to_string()
        };
        assert!(of(&[1.0, f64::NAN]).contains("share 1 of the density is NaN"));
        assert!(of(&[-1.0]).contains("share 0 of the density is -1"));
        assert!(of(&[]).contains("empty"));
        assert!(of(&[0.0, 0.0]).contains("empty"));
        let none = Histogram::from_counts(0.0, 1.0, &[0; 7], 0.1).expect_err("empty");
        assert_eq!(none, SmoothError::NoMass);
        let range = Histogram::from_counts(1.0, 1.0, &[1], 0.1).expect_err("no range");
        assert!(range.to_string().contains("the range 1..1 is not one"));
    }
}
