use std::f64::consts::PI;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use fastrand::Rng;
use hushwire_data::{DataError, Label, Source, Split, argmax};

use crate::augment::augment;
use crate::demo_net::{CLASSES, SIDE};
use crate::{DemoNet, export};

/// Images per forward pass when measuring.
const TEST_BATCH: usize = 500;

/// How to train; the defaults made the network in `assets`.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step.
    pub batch: usize,
    /// Learning rate at the start; it follows a cosine to zero.
    pub rate: f64,
    /// Determines weights, order and distortions.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { epochs: 15, batch: 100, rate: 2e-3, seed: 1 }
    }
}

/// What is told after each epoch.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Epochs done.
    pub epoch: usize,
    /// Mean cross entropy over the epoch's distorted images.
    pub loss: f64,
    /// Test images classified right, 0 to 1.
    pub accuracy: f64,
}

/// Why training could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The data set cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data set does not consist of 28 x 28 grey images of ten classes.
    #[error("{name} is not a 28 x 28 grey image of one of ten classes")]
    NoDigit {
        /// The first sample that is none.
        name: String,
    },
    /// The split has no images, or fewer than a batch.
    #[error("{found} training images are fewer than a batch of {batch}")]
    TooFew {
        /// Images in the split.
        found: usize,
        /// Images per step.
        batch: usize,
    },
}

/// A split of MNIST in memory.
#[derive(Clone, Debug, Default)]
pub struct Digits {
    /// 784 bytes each.
    images: Vec<u8>,
    labels: Vec<u8>,
}

impl Digits {
    /// Reads a whole split.
    ///
    /// # Errors
    /// When it cannot be read or is not made of digits.
    pub fn load(source: &Source, split: Split) -> Result<Self, TrainError> {
        let mut digits = Self::default();
        for sample in source.load(split, None)? {
            let sample = sample?;
            match sample.label {
                Label::Class(class)
                    if (class as usize) < CLASSES && sample.image.pixels().len() == SIDE * SIDE =>
                {
                    digits.images.extend(sample.image.pixels());
                    digits.labels.push(class as u8);
                }
                _ => return Err(TrainError::NoDigit { name: sample.name }),
            }
        }
        Ok(digits)
    }

    /// Images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True without images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn image(&self, i: usize) -> &[u8] {
        &self.images[i * SIDE * SIDE..(i + 1) * SIDE * SIDE]
    }
}

/// Trains the demo network on the CPU, and tells how it goes after each epoch.
///
/// # Errors
/// [`TrainError::TooFew`] when there is no full batch of training images.
pub fn train_demo(
    train: &Digits,
    test: &Digits,
    config: &Config,
    mut progress: impl FnMut(Progress),
) -> Result<DemoNet, TrainError> {
    let steps = train.len() / config.batch.max(1);
    if steps == 0 {
        return Err(TrainError::TooFew { found: train.len(), batch: config.batch });
    }
    let device = Device::flex().autodiff();
    device.seed(config.seed);
    let mut rng = Rng::with_seed(config.seed);
    let mut net = DemoNet::new(&device);
    let mut optimizer = AdamWConfig::new().with_weight_decay(1e-2).init();
    let loss = CrossEntropyLossConfig::new().init(&device);
    let mut order: Vec<usize> = (0..train.len()).collect();
    for epoch in 0..config.epochs {
        rng.shuffle(&mut order);
        let mut sum = 0.0;
        for (step, chosen) in order.chunks_exact(config.batch).enumerate() {
            let mut pixels = Vec::with_capacity(chosen.len() * SIDE * SIDE);
            chosen.iter().for_each(|&i| augment(train.image(i), &mut rng, &mut pixels));
            let labels: Vec<i32> = chosen.iter().map(|&i| train.labels[i].into()).collect();
            let labels = Tensor::<1, Int>::from_data(labels.as_slice(), &device);
            let loss = loss.forward(net.forward(images(pixels, &device)), labels);
            let gradients = GradientsParams::from_grads(loss.backward(), &net);
            let done = (epoch * steps + step) as f64 / (config.epochs * steps) as f64;
            let rate = config.rate * 0.5 * (1.0 + (PI * done).cos());
            net = optimizer.step(rate, net, gradients);
            sum += f64::from(loss.into_scalar::<f32>());
        }
        let accuracy = accuracy(&net, test);
        progress(Progress { epoch: epoch + 1, loss: sum / steps as f64, accuracy });
    }
    Ok(net)
}

/// Share of images classified right.
fn accuracy(net: &DemoNet, digits: &Digits) -> f64 {
    let net = net.valid();
    let device = Device::flex();
    let mut right = 0;
    let all: Vec<usize> = (0..digits.len()).collect();
    for chosen in all.chunks(TEST_BATCH) {
        let pixels = chosen.iter().flat_map(|&i| digits.image(i)).map(|&p| f32::from(p)).collect();
        let logits = export::values(net.forward(images(pixels, &device)));
        let found = logits.chunks_exact(CLASSES).map(|logits| argmax(logits, CLASSES)[0]);
        right += found.zip(chosen).filter(|&(f, &i)| f == usize::from(digits.labels[i])).count();
    }
    right as f64 / digits.len() as f64
}

/// Normalised images `[N, 1, 28, 28]` of pixels in 0..=255.
fn images(mut pixels: Vec<f32>, device: &Device) -> Tensor<4> {
    for pixel in &mut pixels {
        *pixel = (*pixel / 255.0 - export::MEAN) / export::STD;
    }
    let count = pixels.len() / (SIDE * SIDE);
    Tensor::from_data(TensorData::new(pixels, [count, 1, SIDE, SIDE]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw_digit;

    #[test]
    fn learns_drawn_digits_reproducibly() {
        let mut digits = Digits::default();
        for seed in 0..20 {
            for digit in 0..CLASSES {
                digits.images.extend(draw_digit(digit, seed).pixels());
                digits.labels.push(digit as u8);
            }
        }
        let config = Config { epochs: 8, batch: 20, ..Config::default() };
        let run = || {
            let mut told = Vec::new();
            let net = train_demo(&digits, &digits, &config, |p| told.push(p)).unwrap();
            (net.to_model().to_onnx(), told)
        };
        let (first, told) = run();
        assert_eq!(told.len(), 8);
        assert!(told[7].loss < told[0].loss / 2.0, "{told:?}");
        assert!(told[7].accuracy > 0.9, "{told:?}");
        assert!(first == run().0, "the same seed gives the same file");
        let large = Config { batch: 201, ..config };
        assert!(matches!(
            train_demo(&digits, &digits, &large, |_| {}),
            Err(TrainError::TooFew { found: 200, batch: 201 })
        ));
    }
}
