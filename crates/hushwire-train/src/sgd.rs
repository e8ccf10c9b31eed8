//! Stochastic gradient descent.

use std::f64::consts::PI;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Parameter;

/// How weights follow their gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Descent {
    /// Greatest learning rate; it follows a cosine to zero.
    pub rate: f64,
    /// Epochs over which the rate grows from zero first.
    pub warmup: f64,
    /// Share of the velocity that stays from step to step (Nesterov's form).
    pub momentum: f32,
    /// Weight decay: the share of a weight that is added to its gradient.
    pub decay: f32,
    /// Gradients longer than this are cut to it; 0 leaves them as they are.
    pub clip: f32,
}

impl Descent {
    /// The learning rate when `done` of `epochs` epochs are over.
    pub fn rate_at(&self, done: f64, epochs: f64) -> f64 {
        if done < self.warmup {
            return self.rate * done / self.warmup;
        }
        let way = (done - self.warmup) / (epochs - self.warmup).max(f64::MIN_POSITIVE);
        self.rate * 0.5 * (1.0 + (PI * way.min(1.0)).cos())
    }

    /// One step; gradients and velocities have a buffer for each parameter.
    pub(crate) fn step(
        &self,
        rate: f64,
        params: &mut [Parameter],
        gradients: &[Vec<f32>],
        velocities: &mut [Vec<f32>],
    ) {
        let factor = self.factor(gradients);
        let (momentum, rate) = (self.momentum, rate as f32);
        let state = velocities.par_iter_mut().zip(gradients);
        params.par_iter_mut().zip(state).for_each(|(param, (velocities, gradients))| {
            let decay = if param.is_weight { self.decay } else { 0.0 };
            let state = velocities.iter_mut().zip(gradients);
            for (value, (velocity, gradient)) in param.values.iter_mut().zip(state) {
                let gradient = gradient * factor + decay * *value;
                *velocity = momentum * *velocity + gradient;
                *value -= rate * (gradient + momentum * *velocity);
            }
        });
    }

    /// What gradients are multiplied by to be no longer than [`clip`](Self::clip).
    fn factor(&self, gradients: &[Vec<f32>]) -> f32 {
        if self.clip == 0.0 {
            return 1.0;
        }
        let square = |g: &Vec<f32>| g.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
        let length = gradients.iter().map(square).sum::<f64>().sqrt();
        (f64::from(self.clip) / length.max(f64::from(self.clip))) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCENT: Descent =
        Descent { rate: 0.5, warmup: 2.0, momentum: 0.5, decay: 0.0, clip: 0.0 };

    #[test]
    fn the_rate_rises_and_falls() {
        let rate = |done| DESCENT.rate_at(done, 10.0);
        assert_eq!([rate(0.0), rate(1.0), rate(2.0)], [0.0, 0.25, 0.5]);
        assert!((rate(6.0) - 0.25).abs() < 1e-12);
        assert!(rate(10.0).abs() < 1e-12);
        assert_eq!(Descent { warmup: 0.0, ..DESCENT }.rate_at(0.0, 0.0), 0.5);
    }

    fn param(value: f32, is_weight: bool) -> Parameter {
        Parameter { name: String::new(), dims: vec![1], values: vec![value], is_weight }
    }

    #[test]
    fn steps_by_hand() {
        let mut params = [param(1.0, true)];
        let mut velocities = [vec![0.0]];
        DESCENT.step(0.5, &mut params, &[vec![2.0]], &mut velocities);
        // v = 2, w = 1 - 0.5 * (2 + 0.5 * 2)
        assert_eq!((params[0].values[0], velocities[0][0]), (-0.5, 2.0));
        DESCENT.step(0.5, &mut params, &[vec![0.0]], &mut velocities);
        assert_eq!((params[0].values[0], velocities[0][0]), (-0.75, 1.0));
    }

    #[test]
    fn weights_decay_and_long_gradients_are_cut() {
        let descent = Descent { decay: 0.25, clip: 1.25, momentum: 0.0, ..DESCENT };
        let mut params = [param(2.0, true), param(2.0, false)];
        let mut velocities = [vec![0.0], vec![0.0]];
        descent.step(1.0, &mut params, &[vec![0.0], vec![0.0]], &mut velocities);
        assert_eq!(params.each_ref().map(|p| p.values[0]), [1.5, 2.0]);
        let descent = Descent { decay: 0.0, ..descent };
        descent.step(1.0, &mut params, &[vec![3.0], vec![4.0]], &mut velocities);
        assert_eq!(params.each_ref().map(|p| p.values[0]), [1.5 - 0.75, 2.0 - 1.0]);
    }
}
