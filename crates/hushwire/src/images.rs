//! Images as a network's input.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hushwire_data::{DataError, Image, Preprocess, Sample, Source, Split, open_image};
use hushwire_graph::{Graph, Tensor};

/// Images that calibration looks at unless the user says otherwise.
pub const CALIBRATION_IMAGES: usize = 64;

/// Synthetic images: enough to see every channel busy.
const SYNTHETIC_IMAGES: usize = 4;

/// Seed of the synthetic images.
const SEED: u64 = 0x6875_7368;

/// The network's preprocessing.
pub fn preprocess(graph: &Graph, model: &Path) -> Result<Preprocess> {
    Preprocess::for_graph(graph)
        .with_context(|| format!("{}: images cannot be preprocessed", model.display()))
}

/// The first samples of a batch.
pub fn first(images: &Tensor, count: usize) -> Tensor {
    let count = count.min(images.batch());
    let shape = [&[count], &images.shape[1..]].concat();
    Tensor::new(shape, images.data[..count * images.sample_len()].to_vec())
}

/// Inputs one after the other as a batch.
pub fn batch(graph: &Graph, samples: Vec<Vec<f32>>) -> Tensor {
    let shape = graph.input_shape().with_batch(samples.len());
    Tensor::new(shape, samples.concat())
}

/// Image files as the network's input.
pub fn load(preprocess: &Preprocess, files: &[PathBuf]) -> Result<Vec<(Image, Vec<f32>)>> {
    let one = |file: &PathBuf| {
        let image = open_image(file)?;
        let input = preprocess.apply(&image).with_context(|| file.display().to_string())?;
        Ok((image, input))
    };
    files.iter().map(one).collect()
}

/// A sample as the network's input.
pub fn input_of(preprocess: &Preprocess, sample: &Sample) -> Result<Vec<f32>> {
    preprocess.apply(&sample.image).with_context(|| format!("image {}", sample.name))
}

/// Calibration images from a data set: of its training split, or of its test split where it has no
/// other. The text says which.
pub fn calibration(
    graph: &Graph,
    preprocess: &Preprocess,
    source: &Source,
    count: usize,
) -> Result<(Tensor, String)> {
    let (split, samples) = match source.load(Split::Train, Some(count)) {
        Ok(samples) => (Split::Train, samples),
        Err(DataError::NoSplit { .. } | DataError::Missing { .. }) => {
            (Split::Test, source.load(Split::Test, Some(count))?)
        }
        Err(error) => return Err(error.into()),
    };
    let inputs: Result<Vec<Vec<f32>>> =
        samples.map(|sample| input_of(preprocess, &sample?)).collect();
    let inputs = inputs?;
    if inputs.is_empty() {
        bail!("{source} has no images in its {split} split");
    }
    let origin = format!("the first {} {split} images of {source}", inputs.len());
    Ok((batch(graph, inputs), origin))
}

/// Random inputs for calibration, the same every time.
pub fn synthetic(graph: &Graph) -> Result<(Tensor, String)> {
    let inputs = random(graph, SYNTHETIC_IMAGES)?;
    let origin = format!("{SYNTHETIC_IMAGES} images of random pixels, seed {SEED}");
    Ok((batch(graph, inputs), origin))
}

/// Random inputs, the same every time: pixels where the network says what pixels mean, otherwise
/// numbers between -1 and 1.
pub fn random(graph: &Graph, count: usize) -> Result<Vec<Vec<f32>>> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let one = |_| match Preprocess::for_graph(graph) {
        Ok(preprocess) => {
            let [channels, height, width] = preprocess.shape();
            let pixels = (0..channels * height * width).map(|_| random.u8(..)).collect();
            let image = Image::new(height, width, channels, pixels)?;
            Ok(preprocess.apply(&image)?)
        }
        Err(_) => Ok((0..graph.input_shape().len()).map(|_| random.f32() * 2.0 - 1.0).collect()),
    };
    (0..count).map(one).collect()
}
