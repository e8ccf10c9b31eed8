//! Training on [burn](https://burn.dev), kept apart because of its build time.
//!
//! Two programs make what the repository's `assets` folder holds:
//!
//! - `hushwire-train-demo` trains [`DemoNet`] on MNIST and writes it as an ordinary ONNX file;
//! - `hushwire-draw-samples` draws ten digits of our own, since MNIST's images are not ours.
//!
//! Both are reproducible: the same seed on the same machine gives the same files.

mod augment;
mod demo_net;
mod digits;
mod export;
mod pen;
mod train;

pub use demo_net::DemoNet;
pub use digits::draw_digit;
pub use train::{Config, Digits, Progress, TrainError, train_demo};
