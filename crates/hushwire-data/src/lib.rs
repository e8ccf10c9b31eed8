//! Data sets, images and what turns them into a network's input.
//!
//! [`Source`] opens MNIST, CIFAR-10, prescaled ImageNet validation images and Pascal VOC from a
//! folder the user names and streams [`Sample`]s; [`open_image`] reads a PNG or JPEG.
//! [`Preprocess`] follows the network's metadata, and [`Accuracy`], [`MeanIou`] and [`Agreement`]
//! score what comes out. Scaling, rounding and scores follow Pillow and numpy, with which the
//! networks' published accuracies were measured.
//!
//! Files are treated as hostile: damaged ones give a [`DataError`], never a panic, and no size
//! read from a file is allocated unchecked.
//!
//! ```no_run
//! use hushwire_data::{Accuracy, Label, Preprocess, Source, Split};
//! use hushwire_graph::Model;
//!
//! let model = Model::load("mnist.onnx")?;
//! let preprocess = Preprocess::for_graph(&model.graph)?;
//! let source: Source = "mnist:data/mnist".parse()?;
//! let mut accuracy = Accuracy::new(0);
//! for sample in source.load(Split::Test, Some(100))? {
//!     let sample = sample?;
//!     let input = preprocess.apply(&sample.image)?;
//!     # let logits = input;
//!     // ... run the network ...
//!     if let Label::Class(class) = sample.label {
//!         accuracy.add(&logits, class);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod formats;
mod image;
mod labels;
mod metrics;
mod preprocess;
mod resize;
mod sample;
mod source;

pub use error::DataError;
pub use image::{Image, open_image};
pub use metrics::{Accuracy, Agreement, MeanIou, argmax};
pub use preprocess::Preprocess;
pub use resize::{resize_bilinear, resize_nearest};
pub use sample::{Label, Mask, Sample};
pub use source::{Dataset, Samples, Source, Split};
