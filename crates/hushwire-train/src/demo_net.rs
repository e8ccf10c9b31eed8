use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

/// Side of the input images.
pub(crate) const SIDE: usize = 28;
/// Classes, the digits.
pub(crate) const CLASSES: usize = 10;
/// Channels after the two convolutions.
const CHANNELS: [usize; 2] = [8, 16];
/// Side of the maps after the two convolutions of stride 2.
const REDUCED: usize = SIDE / 4;
/// Values between the two fully connected layers.
const HIDDEN: usize = 64;

/// Kernel side, stride and padding of both convolutions.
pub(crate) const CONV: [usize; 3] = [5, 2, 2];

/// The demo network for 28 x 28 grey digits: two 5 x 5 convolutions of stride 2, two fully
/// connected layers, ReLU between them.
///
/// Activations are what costs in private inference, so strides shrink the maps instead of
/// pooling after full-size activations: 8 x 14 x 14 + 16 x 7 x 7 + 64 = 2416 ReLUs.
#[derive(Module, Debug)]
pub struct DemoNet {
    pub(crate) conv1: Conv2d,
    pub(crate) conv2: Conv2d,
    pub(crate) fc1: Linear,
    pub(crate) fc2: Linear,
}

impl DemoNet {
    /// A network with random weights, drawn from the device's generator.
    pub fn new(device: &Device) -> Self {
        let [kernel, stride, pad] = CONV;
        let conv = |channels| {
            Conv2dConfig::new(channels, [kernel; 2])
                .with_stride([stride; 2])
                .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
                .init(device)
        };
        Self {
            conv1: conv([1, CHANNELS[0]]),
            conv2: conv(CHANNELS),
            fc1: LinearConfig::new(CHANNELS[1] * REDUCED * REDUCED, HIDDEN).init(device),
            fc2: LinearConfig::new(HIDDEN, CLASSES).init(device),
        }
    }

    /// Logits `[N, 10]` of normalised images `[N, 1, 28, 28]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.conv1.forward(images));
        let x = relu(self.conv2.forward(x));
        let x = relu(self.fc1.forward(x.flatten(1, 3)));
        self.fc2.forward(x)
    }
}
