use serde::{Deserialize, Serialize};

use crate::{Augmentation, Descent, Distillation, Rectifying, TrainError};

/// How a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step.
    pub batch: usize,
    /// Determines the order of the images and how they are changed.
    pub seed: u64,
    /// How weights follow their gradients.
    pub descent: Descent,
    /// How images are changed.
    pub augmentation: Augmentation,
    /// Mixes each image with another of its batch, the share drawn from Beta(x, x) for this x
    /// (Zhang and others, arXiv 1710.09412); 0 mixes nothing.
    pub mixup: f32,
    /// Share of the labels that is spread over all classes.
    pub smoothing: f32,
    /// How another network teaches, where there is one.
    pub distillation: Distillation,
    /// How the composite polynomials of the plan are trained, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polynomial: Option<Rectifying>,
}

impl Default for Recipe {
    /// What fits small images and networks, from scratch.
    fn default() -> Self {
        Self {
            epochs: 30,
            batch: 128,
            seed: 1,
            descent: Descent { rate: 0.1, warmup: 1.0, momentum: 0.9, decay: 5e-4, clip: 0.0 },
            augmentation: Augmentation::default(),
            mixup: 0.0,
            smoothing: 0.0,
            distillation: Distillation { share: 0.0, temperature: 1.0 },
            polynomial: None,
        }
    }
}

impl Recipe {
    /// Checks that every number makes sense.
    ///
    /// # Errors
    /// The first one that does not.
    pub fn check(&self) -> Result<(), TrainError> {
        let Descent { rate, warmup, momentum, decay, clip } = self.descent;
        let Rectifying { leak, penalty, margin, .. } = self.polynomial.unwrap_or_default();
        let share = |x: f32| (0.0..=1.0).contains(&x);
        let finite = |x: f32| x.is_finite() && x >= 0.0;
        let checks = [
            ("epochs", self.epochs > 0, "at least 1"),
            ("batch", self.batch > 0, "at least 1"),
            ("rate", rate.is_finite() && rate > 0.0, "positive"),
            ("warmup", warmup.is_finite() && warmup >= 0.0, "not negative"),
            ("momentum", share(momentum) && momentum < 1.0, "at least 0 and less than 1"),
            ("decay", finite(decay), "not negative"),
            ("clip", finite(clip), "not negative"),
            ("distort", finite(self.augmentation.distort), "not negative"),
            ("mixup", finite(self.mixup), "not negative"),
            ("smoothing", share(self.smoothing), "between 0 and 1"),
            ("distill", share(self.distillation.share), "between 0 and 1"),
            ("temperature", self.distillation.temperature > 0.0, "positive"),
            ("leak", finite(leak.map_or(0.0, |leak| leak.size)), "not negative"),
            ("range penalty", finite(penalty), "not negative"),
            ("margin", margin.is_none_or(|m| m.is_finite() && m >= 1.0), "at least 1"),
        ];
        match checks.into_iter().find(|(_, holds, _)| !holds) {
            Some((what, _, expected)) => Err(TrainError::Recipe { what, expected }),
            None => Ok(()),
        }
    }
}
