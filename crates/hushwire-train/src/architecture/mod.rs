//! Networks of the project's own, to be trained from scratch.

mod builder;

use std::fmt;

use hushwire_graph::{
    Activation, Color, ImageResize, Labels, Layout, Metadata, Model, Preprocess, Task,
};

use builder::{Builder, Window};

/// A network that can be trained from scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Architecture {
    /// The demo's: few activations, because strides shrink the maps instead of pooling.
    Demo,
    /// MNIST as CryptoNets trains it (Dowlin and others, ICML 2016): two convolutions with means
    /// over 3 x 3 behind each, two fully connected layers. Between its two squares everything is
    /// linear.
    CryptonetsMnist,
    /// CryptoNets with the linear layers between the squares as one, which is how LoLa runs it
    /// (Brutzkus, Elisha, Gilad-Bachrach, ICML 2019): a convolution, 845 to 100 to 10.
    LolaMnist,
    /// MNIST network B of the SecureNN benchmarks: two convolutions with 16 channels.
    MnistB,
    /// MNIST network C of the SecureNN benchmarks, LeNet: two convolutions with 20 and 50 channels.
    MnistC,
    /// LoLa's CIFAR-10 network: two wide convolutions and a fully connected layer.
    LolaCifar10,
    /// Three convolutions of which strides shrink the maps, for squares under encryption.
    SquaresCifar10,
    /// Six 3 x 3 convolutions in three sizes.
    CnnCifar10,
    /// ResNet-20 with shortcuts that have no weights (He and others, arXiv 1512.03385).
    Resnet20Cifar10,
    /// ResNet-32 of the same kind.
    Resnet32Cifar10,
    /// A residual network for studies of many networks: 3 blocks on maps of 16 x 16 to 4 x 4.
    SmallResnetCifar10,
    /// A fully connected residual network with 25 hidden layers, for signals.
    OscillatorMlp,
}

/// What a network tells apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Digits,
    Objects,
    Signals,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Demo,
        Self::CryptonetsMnist,
        Self::LolaMnist,
        Self::MnistB,
        Self::MnistC,
        Self::LolaCifar10,
        Self::SquaresCifar10,
        Self::CnnCifar10,
        Self::Resnet20Cifar10,
        Self::Resnet32Cifar10,
        Self::SmallResnetCifar10,
        Self::OscillatorMlp,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::CryptonetsMnist => "cryptonets-mnist",
            Self::LolaMnist => "lola-mnist",
            Self::MnistB => "mnist-b",
            Self::MnistC => "mnist-c",
            Self::LolaCifar10 => "lola-cifar10",
            Self::SquaresCifar10 => "squares-cifar10",
            Self::CnnCifar10 => "cnn-cifar10",
            Self::Resnet20Cifar10 => "resnet20-cifar10",
            Self::Resnet32Cifar10 => "resnet32-cifar10",
            Self::SmallResnetCifar10 => "small-resnet-cifar10",
            Self::OscillatorMlp => "oscillator-mlp",
        }
    }

    /// What it is, in a line.
    pub fn description(self) -> &'static str {
        match self {
            Self::Demo => "digits: 2 convolutions, 2 fully connected layers, 2,416 activations",
            Self::CryptonetsMnist => "digits: CryptoNets as it is trained, with means",
            Self::LolaMnist => "digits: CryptoNets as LoLa runs it, 945 activations",
            Self::MnistB => "digits: SecureNN's network B, 10,340 activations",
            Self::MnistC => "digits: SecureNN's network C (LeNet), 15,220 activations",
            Self::LolaCifar10 => "objects: LoLa's network, 24,255 activations",
            Self::SquaresCifar10 => "objects: 3 convolutions, 20,480 activations",
            Self::CnnCifar10 => "objects: 6 convolutions, 114,688 activations",
            Self::Resnet20Cifar10 => "objects: ResNet-20, 188,416 activations",
            Self::Resnet32Cifar10 => "objects: ResNet-32, 303,104 activations",
            Self::SmallResnetCifar10 => "objects: a residual network, 9,216 activations",
            Self::OscillatorMlp => "signals: 26 fully connected layers, 1,600 activations",
        }
    }

    /// The activation it has unless another is chosen.
    pub fn usual_activation(self) -> Activation {
        match self {
            Self::CryptonetsMnist | Self::LolaMnist | Self::LolaCifar10 | Self::SquaresCifar10 => {
                Activation::Square
            }
            _ => Activation::Relu,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::LolaCifar10
            | Self::SquaresCifar10
            | Self::CnnCifar10
            | Self::Resnet20Cifar10
            | Self::Resnet32Cifar10
            | Self::SmallResnetCifar10 => Kind::Objects,
            Self::OscillatorMlp => Kind::Signals,
            _ => Kind::Digits,
        }
    }

    /// The network with random weights and the metadata of its data set: input `input`, output
    /// `logits`, one for each class.
    pub fn model(self, activation: Activation, seed: u64) -> Model {
        let input = match self.kind() {
            Kind::Digits => [1, 28, 28],
            Kind::Objects => [3, 32, 32],
            Kind::Signals => [1, 1, 128],
        };
        let mut net = Builder::new(input, activation, seed);
        match self {
            Self::Demo => {
                for (i, channels) in [8, 16].into_iter().enumerate() {
                    net.conv(&format!("conv{}", i + 1), channels, Window::new(5, 2, 2));
                    net.activation(&format!("act{}", i + 1));
                }
                net.dense("fc1", 64);
                net.activation("act3");
            }
            Self::CryptonetsMnist => {
                net.conv("conv1", 5, Window { pads: [1, 0], ..Window::new(5, 2, 0) });
                net.activation("act1");
                net.average_pool("mean1", Window::new(3, 1, 1));
                net.conv("conv2", 50, Window::new(5, 2, 0));
                net.average_pool("mean2", Window::new(3, 1, 1));
                net.dense("fc1", 100);
                net.activation("act2");
            }
            Self::LolaMnist => {
                net.conv("conv1", 5, Window { pads: [1, 0], ..Window::new(5, 2, 0) });
                net.activation("act1");
                net.dense("fc1", 100);
                net.activation("act2");
            }
            Self::MnistB => lenet(&mut net, [16, 16], 100),
            Self::MnistC => lenet(&mut net, [20, 50], 500),
            Self::LolaCifar10 => {
                net.conv("conv1", 83, Window::new(8, 2, 1));
                net.activation("act1");
                net.conv("conv2", 163, Window::new(6, 2, 2));
                net.activation("act2");
            }
            Self::SquaresCifar10 => {
                let windows = [Window::new(5, 2, 2), Window::new(4, 2, 1), Window::new(3, 1, 1)];
                for (i, (channels, window)) in [32, 64, 128].into_iter().zip(windows).enumerate() {
                    net.conv(&format!("conv{}", i + 1), channels, window);
                    net.activation(&format!("act{}", i + 1));
                }
                net.average_pool("mean", Window::new(2, 2, 0));
            }
            Self::CnnCifar10 => {
                for (size, channels) in [32, 64, 128].into_iter().enumerate() {
                    for i in 2 * size + 1..=2 * size + 2 {
                        net.conv(&format!("conv{i}"), channels, Window::new(3, 1, 1));
                        net.activation(&format!("act{i}"));
                    }
                    let side = if size < 2 { 2 } else { 8 };
                    net.average_pool(&format!("mean{}", size + 1), Window::new(side, side, 0));
                }
            }
            Self::Resnet20Cifar10 => resnet(&mut net, 3, 1),
            Self::Resnet32Cifar10 => resnet(&mut net, 5, 1),
            Self::SmallResnetCifar10 => resnet(&mut net, 1, 2),
            Self::OscillatorMlp => {
                net.dense("fc1", 64);
                net.activation("act1");
                for block in 1..=12 {
                    let name = |part: &str| format!("block{block}.{part}");
                    let from = net.last();
                    net.dense(&name("fc1"), 64);
                    net.activation(&name("act1"));
                    net.dense(&name("fc2"), 64);
                    net.add_shortcut(&name("sum"), from);
                    net.activation(&name("act2"));
                }
            }
        }
        let metadata = metadata(self.kind());
        let classes = match &metadata.labels {
            Some(Labels::Names(names)) => names.len(),
            _ => 10,
        };
        net.dense("logits", classes);
        net.finish(metadata)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Two convolutions with means over 2 x 2, and two fully connected layers.
fn lenet(net: &mut Builder, channels: [usize; 2], hidden: usize) {
    for (i, channels) in channels.into_iter().enumerate() {
        net.conv(&format!("conv{}", i + 1), channels, Window::new(5, 1, 0));
        net.activation(&format!("act{}", i + 1));
        net.average_pool(&format!("mean{}", i + 1), Window::new(2, 2, 0));
    }
    net.dense("fc1", hidden);
    net.activation("act3");
}

/// Three stages of residual blocks with 16, 32 and 64 channels, or that over `shrink`, on maps whose
/// sides are as much smaller.
fn resnet(net: &mut Builder, blocks: usize, shrink: usize) {
    net.conv("conv1", 16 / shrink, Window::new(3, shrink, 1));
    net.activation("act1");
    for (stage, channels) in [16, 32, 64].map(|c| c / shrink).into_iter().enumerate() {
        for block in 0..blocks {
            let name = |part: &str| format!("stage{}.{block}.{part}", stage + 1);
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let from = net.last();
            net.conv(&name("conv1"), channels, Window::new(3, stride, 1));
            net.activation(&name("act1"));
            net.conv(&name("conv2"), channels, Window::new(3, 1, 1));
            net.add_shortcut(&name("sum"), from);
            net.activation(&name("act2"));
        }
    }
    let side = 8 / shrink;
    net.average_pool("mean", Window::new(side, side, 0));
}

fn metadata(kind: Kind) -> Metadata {
    const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    const OBJECTS: [&str; 10] =
        ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
    const REGIMES: [&str; 6] = ["undamped", "lightly", "underdamped", "critical", "over", "driven"];
    // Means and deviations of the training sets' pixels, of which 1 is white.
    let (dataset, mean, std, color, names) = match kind {
        Kind::Digits => ("mnist", vec![0.1307], vec![0.3081], Color::Gray, &DIGITS[..]),
        Kind::Objects => {
            let (mean, std) = (vec![0.4914, 0.4822, 0.4465], vec![0.2470, 0.2435, 0.2616]);
            ("cifar10", mean, std, Color::Rgb, &OBJECTS[..])
        }
        Kind::Signals => ("oscillator", vec![0.5], vec![0.2], Color::Gray, &REGIMES[..]),
    };
    Metadata {
        task: Task::Classification,
        dataset: Some(dataset.to_owned()),
        preprocess: Some(Preprocess {
            scale: 1.0 / 255.0,
            mean,
            std,
            layout: Layout::Nchw,
            color,
            resize: ImageResize::None,
        }),
        labels: Some(Labels::Names(names.iter().map(|name| (*name).to_owned()).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_valid_and_as_described() {
        for architecture in Architecture::ALL {
            let model = architecture.model(architecture.usual_activation(), 1);
            model.validate().unwrap();
            assert_eq!(Model::from_onnx_bytes(&model.to_onnx(), None).unwrap(), model);
            let classes = if architecture == Architecture::OscillatorMlp { 6 } else { 10 };
            assert_eq!(model.graph.output_shape().0, [classes]);
            let sites = model.graph.activation_sites();
            let count: usize = sites.iter().map(|id| model.graph.node(*id).shape.len()).sum();
            let count = match count.to_string() {
                text if text.len() > 3 => {
                    format!("{},{}", &text[..text.len() - 3], &text[text.len() - 3..])
                }
                text => text,
            };
            let said = architecture.description();
            assert!(
                !said.contains("activations") || said.contains(&format!(" {count} ")),
                "{said}: {count}"
            );
        }
    }

    #[test]
    fn seeds_give_different_weights_of_the_right_size() {
        let weights = |seed| Architecture::Resnet20Cifar10.model(Activation::Silu, seed);
        assert!(weights(1) == weights(1) && weights(1) != weights(2));
        let model = weights(1);
        let conv = model.graph.params.iter().position(|p| p.name == "stage3.2.conv2.weight");
        let tensor = &model.params[hushwire_graph::ParamId(conv.unwrap())];
        let variance = tensor.data.iter().map(|w| w * w).sum::<f32>() / tensor.len() as f32;
        assert!((variance * 576.0 / 2.0 - 1.0).abs() < 0.05, "{variance}");
    }
}
