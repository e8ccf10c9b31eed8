//! Training of networks, with an activation plan in the loop.
//!
//! [`Net`] is any graph of `hushwire-graph` with the gates of a plan; [`Trainer`] takes it through a
//! [`Recipe`] on [`Images`], and can go on from a checkpoint of any step with the same result, bit
//! for bit and whatever the number of threads. [`Architecture`] has the project's own networks.
//!
//! ```no_run
//! use hushwire_data::{Source, Split};
//! use hushwire_graph::Model;
//! use hushwire_plan::Plan;
//! use hushwire_train::{Images, Net, Origin, Recipe, Trainer};
//!
//! let model = Model::load("network.onnx")?;
//! let plan = Plan::from_bytes(&std::fs::read("plan.toml")?)?;
//! let source: Source = "cifar10:data/cifar10".parse()?;
//! let images = Images::load(&source, Split::Train, None, &model.graph)?;
//! let mut net = Net::new(&model, None)?;
//! net.unfold(&images.first(512));
//! net.set_plan(&plan)?;
//! let origin = Origin { network: "network.onnx".into(), plan: None, data: "cifar10".into() };
//! let mut trainer = Trainer::new(net, None, &images, Recipe::default(), &origin)?;
//! while trainer.step() < trainer.steps() {
//!     trainer.advance()?;
//! }
//! std::fs::write("tuned.onnx", trainer.net().to_model().to_onnx())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Why not on a framework
//!
//! The first version was built on burn 0.22 (`flex`, its backend for the CPU). One step of ResNet-20
//! on 128 images took it 1.22 s without and 1.46 s with batch normalisation on 2 cores of an AMD
//! EPYC (Zen 4), of which the forward direction alone was 0.41 s and 0.50 s, and it took 7 minutes
//! to build. The kernels here take [0.30 s](resnet20_step_seconds) for the whole step on a like
//! machine and build in seconds, so that the command-line program itself can train. They are few:
//! two register tiles do all convolutions in all three directions (`kernels/tile.rs`), written once
//! for AVX-512, AVX2 and plain code on the `pulp` crate; matrix products are those of the `gemm`
//! crate.

mod architecture;
mod checkpoint;
mod digits;
mod error;
mod images;
mod kernels;
mod loss;
mod moments;
mod net;
mod ops;
mod pass;
mod pen;
mod random;
mod recipe;
mod sgd;
mod timing;
mod trainer;

pub use architecture::Architecture;
pub use digits::draw_digit;
pub use error::TrainError;
pub use images::{Augmentation, Images};
pub use loss::Distillation;
pub use moments::match_moments;
pub use net::{Net, Parameter, Rectifying};
pub use ops::rectified::{Kind, Perturbation, Region};
pub use pass::{Mode, Pass, Sensitivity};
pub use recipe::Recipe;
pub use sgd::Descent;
pub use timing::resnet20_step_seconds;
pub use trainer::{Measured, Origin, Row, Trainer, accuracy, measure};
