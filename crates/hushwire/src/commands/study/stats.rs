//! Means and how far they can be trusted.

use std::fmt;

use serde::Serialize;

/// Quantiles of Student's t distribution for 95% intervals, by degrees of freedom from 1.
const STUDENT: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

/// A mean with half the width of its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Half the interval's width; nothing for a single value.
    pub within: Option<f64>,
}

impl Mean {
    /// Of values that are drawn alike and independently, under the normal distribution.
    pub fn of(values: &[f64]) -> Option<Mean> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let within = (values.len() > 1).then(|| {
            let square: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
            let quantile = STUDENT.get(values.len() - 2).copied().unwrap_or(2.0);
            quantile * (square / (n - 1.0) / n).sqrt()
        });
        (!values.is_empty()).then_some(Mean { mean, within })
    }

    /// A share `right / all` with Wilson's interval, symmetric around its centre.
    pub fn of_share(right: usize, all: usize) -> Mean {
        const Z: f64 = 1.96;
        let n = all.max(1) as f64;
        let share = right as f64 / n;
        let spread = share * (1.0 - share) / n + (Z / (2.0 * n)).powi(2);
        Mean { mean: share, within: Some(Z * spread.sqrt() / (1.0 + Z * Z / n)) }
    }

    /// The same in another unit.
    pub fn times(self, factor: f64) -> Mean {
        Mean { mean: self.mean * factor, within: self.within.map(|w| w * factor.abs()) }
    }
}

impl fmt::Display for Mean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.within {
            Some(within) => write!(f, "{:.2} ± {within:.2}", self.mean),
            None => write!(f, "{:.2}", self.mean),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_by_hand() {
        assert_eq!(Mean::of(&[]), None);
        assert_eq!(Mean::of(&[2.0]), Some(Mean { mean: 2.0, within: None }));
        let three = Mean::of(&[1.0, 2.0, 3.0]).expect("there are values");
        // s = 1, t = 4.303
        assert!((three.within.expect("three values") - 4.303 / 3f64.sqrt()).abs() < 1e-9);
        assert_eq!(three.times(-2.0).mean, -4.0);
        let share = Mean::of_share(90, 100);
        assert!((share.within.expect("always") - 0.0596).abs() < 1e-3, "{share:?}");
        assert_eq!(Mean::of_share(0, 0).mean, 0.0);
    }
}
