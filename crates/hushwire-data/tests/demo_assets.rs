//! The demo network and the sample digits in the repository's `assets` folder fit each other.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::{Path, PathBuf};

use hushwire_data::{Accuracy, Dataset, Label, Preprocess, Source, Split, argmax, open_image};
use hushwire_graph::{Executor, Model, Tensor};

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets")
}

/// Logits of one input.
fn run(executor: &Executor<'_>, input: Vec<f32>) -> Vec<f32> {
    executor.run(&Tensor::new([1, 1, 28, 28], input)).unwrap().data
}

#[test]
fn sample_digits_are_recognised_with_a_margin() {
    let model = Model::load(assets().join("demo.onnx")).unwrap();
    let preprocess = Preprocess::for_graph(&model.graph).unwrap();
    let executor = Executor::new(&model);
    for digit in 0..10 {
        let image = open_image(&assets().join(format!("samples/{digit}.png"))).unwrap();
        assert_eq!((image.height(), image.width(), image.channels()), (28, 28, 1));
        let logits = run(&executor, preprocess.apply(&image).unwrap());
        assert_eq!(argmax(&logits, 10), [digit]);
        let other = (0..10).filter(|&c| c != digit).map(|c| logits[c]);
        let margin = logits[digit] - other.fold(f32::NEG_INFINITY, f32::max);
        assert!(margin > 3.0, "digit {digit} wins by {margin}");
    }
}

#[test]
fn accuracy_on_mnist() {
    let Some(dir) = std::env::var_os("HUSHWIRE_DATA") else {
        eprintln!("skipped: HUSHWIRE_DATA does not name a folder with the data sets");
        return;
    };
    let model = Model::load(assets().join("demo.onnx")).unwrap();
    let preprocess = Preprocess::for_graph(&model.graph).unwrap();
    let executor = Executor::new(&model);
    let mut accuracy = Accuracy::new(0);
    for sample in Source::new(Dataset::Mnist, dir).load(Split::Test, None).unwrap() {
        let sample = sample.unwrap();
        let Label::Class(class) = sample.label else { panic!("MNIST has classes") };
        accuracy.add(&run(&executor, preprocess.apply(&sample.image).unwrap()), class);
    }
    println!("{} of {}", accuracy.right(), accuracy.count());
    assert_eq!(accuracy.count(), 10_000);
    assert!(accuracy.value() > 0.988, "{}", accuracy.value());
}
