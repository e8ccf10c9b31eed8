//! How long a step takes on this machine.

use std::time::Instant;

use hushwire_data::Image;
use hushwire_graph::Activation;
use rand::Rng;

use crate::random::{Use, stream};
use crate::{Architecture, Augmentation, Images, Net, Origin, Recipe, TrainError, Trainer};

/// The shortest time, in seconds, that one step of training ResNet-20 on 128 images of 32 x 32 took
/// among `repetitions` steps: changing the images, forward with batch normalisation and ReLU,
/// backward, and the descent.
///
/// # Errors
/// When training fails.
pub fn resnet20_step_seconds(repetitions: usize) -> Result<f64, TrainError> {
    const IMAGES: usize = 128;
    let model = Architecture::Resnet20Cifar10.model(Activation::Relu, 1);
    let mut random = stream(1, Use::Mixing, [0, 0]);
    let image = |i: usize| {
        let mut pixels = vec![0; 32 * 32 * 3];
        random.fill_bytes(&mut pixels);
        Ok((Image::new(32, 32, 3, pixels)?, i % 10))
    };
    let samples: Result<_, TrainError> = (0..IMAGES).map(image).collect();
    let images = Images::new(samples?, &model.graph)?;
    let mut net = Net::new(&model, None)?;
    net.normalise();
    let recipe = Recipe {
        epochs: repetitions + 1,
        batch: IMAGES,
        augmentation: Augmentation { shift: 4, flip: true, distort: 0.0 },
        ..Recipe::default()
    };
    let origin = Origin { network: String::new(), plan: None, data: String::new() };
    let mut trainer = Trainer::new(net, None, &images, recipe, &origin)?;
    // The first step takes memory from the system.
    trainer.advance()?;
    let mut best = f64::INFINITY;
    for _ in 0..repetitions {
        let start = Instant::now();
        trainer.advance()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_takes_time() {
        let seconds = resnet20_step_seconds(1).unwrap();
        assert!(seconds > 1e-3 && seconds < 600.0, "{seconds}");
    }
}
