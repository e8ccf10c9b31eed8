//! Data sets in memory, and how their images are changed from epoch to epoch.

use hushwire_data::{DataError, Image, Label, Preprocess, Sample, Source, Split};
use hushwire_graph::{Graph, Labels};
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::random::{Use, stream};

/// Labelled images of a data set, as a network takes them.
pub struct Images {
    images: Vec<Image>,
    labels: Vec<usize>,
    preprocess: Preprocess,
    /// What the network takes for a black image, which is what lies around images.
    black: Vec<f32>,
}

/// How training images are changed at random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Augmentation {
    /// Moves images by up to this many pixels either way, with black around them.
    pub shift: usize,
    /// Mirrors half of the images, left to right.
    pub flip: bool,
    /// Turns, stretches and slants images, at 1 by up to 0.22 radians, 15% and a quarter of a pixel
    /// per row, so that a network also knows handwriting unlike the training set's.
    pub distort: f32,
}

impl Images {
    /// Images with the classes they show, for a network that classifies images.
    ///
    /// # Errors
    /// When there are none, the network has no score for a class, or an image cannot become its
    /// input.
    pub fn new(samples: Vec<(Image, usize)>, graph: &Graph) -> Result<Self, TrainError> {
        if graph.output_shape().rank() != 1 {
            return Err(TrainError::NoClassifier { shape: graph.output_shape().to_string() });
        }
        let classes = graph.output_shape().len();
        let outside = samples.iter().position(|(_, label)| *label >= classes);
        if let Some(image) = outside {
            return Err(TrainError::Class { image, class: samples[image].1, classes });
        }
        let (images, labels): (Vec<Image>, Vec<usize>) = samples.into_iter().unzip();
        let first = images.first().ok_or(TrainError::NoImages)?;
        let preprocess = Preprocess::for_graph(graph)?;
        // Every image must become an input, so that training does not stop in the middle.
        let tried = images.par_iter().map(|image| preprocess.apply(image).map(drop));
        tried.collect::<Result<(), _>>()?;
        let pixels = vec![0; first.pixels().len()];
        let blank = Image::new(first.height(), first.width(), first.channels(), pixels)?;
        let black = preprocess.apply(&blank)?;
        Ok(Self { images, labels, preprocess, black })
    }

    /// Reads a split of a data set, or its first `limit` images.
    ///
    /// # Errors
    /// When the data set cannot be read or its labels are masks; further as [`new`](Self::new).
    pub fn load(
        source: &Source,
        split: Split,
        limit: Option<usize>,
        graph: &Graph,
    ) -> Result<Self, TrainError> {
        let offset = match &graph.metadata.labels {
            Some(Labels::File { offset, .. }) => *offset,
            _ => 0,
        };
        let sample = |sample: Result<Sample, DataError>| match sample? {
            Sample { image, label: Label::Class(class), .. } => {
                Ok((image, class as usize + offset))
            }
            _ => Err(TrainError::Masks { data: source.to_string() }),
        };
        let samples: Result<Vec<_>, _> = source.load(split, limit)?.map(sample).collect();
        Self::new(samples?, graph)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// True without images.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The class of an image, as the network counts them.
    pub fn label(&self, i: usize) -> usize {
        self.labels[i]
    }

    /// Elements of a network's input.
    fn input_len(&self) -> usize {
        self.black.len()
    }

    /// Writes the inputs of `chosen` images to `to`, one after the other.
    pub(crate) fn inputs(&self, chosen: &[usize], to: &mut [f32]) {
        let inputs = to.par_chunks_exact_mut(self.input_len()).zip(chosen);
        inputs.for_each(|(to, &i)| to.copy_from_slice(&self.input(i)));
    }

    /// The inputs of the first `count` images, or of all if there are fewer.
    pub fn first(&self, count: usize) -> Vec<f32> {
        let chosen: Vec<usize> = (0..self.len().min(count)).collect();
        let mut inputs = vec![0.0; chosen.len() * self.input_len()];
        self.inputs(&chosen, &mut inputs);
        inputs
    }

    fn input(&self, i: usize) -> Vec<f32> {
        let input = self.preprocess.apply(&self.images[i]);
        input.unwrap_or_else(|e| unreachable!("loading tried every image: {e}"))
    }

    /// As [`inputs`](Self::inputs), changed at random; `place` is that of the first image in the
    /// order of `epoch`.
    pub(crate) fn augmented(
        &self,
        chosen: &[usize],
        augmentation: &Augmentation,
        seed: u64,
        [epoch, place]: [u64; 2],
        to: &mut [f32],
    ) {
        let inputs = to.par_chunks_exact_mut(self.input_len()).zip(chosen).enumerate();
        inputs.for_each(|(n, (to, &i))| {
            let mut random = stream(seed, Use::Augmentation, [epoch, place + n as u64]);
            self.change(&self.input(i), augmentation, &mut random, to);
        });
    }

    fn change(
        &self,
        input: &[f32],
        augmentation: &Augmentation,
        random: &mut impl RngExt,
        to: &mut [f32],
    ) {
        let Augmentation { shift, flip, distort } = *augmentation;
        let [_, height, width] = self.preprocess.shape();
        let mut within =
            |limit: f32| if limit > 0.0 { random.random_range(-limit..=limit) } else { 0.0 };
        let (sin, cos) = within(0.22 * distort).sin_cos();
        let stretch = [1.0 + within(0.15 * distort), 1.0 + within(0.15 * distort)];
        let slant = within(0.25 * distort);
        let by = shift as i64;
        let [down, right] = [0, 1].map(|_| if by > 0 { random.random_range(-by..=by) } else { 0 });
        let mirrored = flip && random.random::<bool>();
        let maps = input.chunks_exact(height * width).zip(self.black.chunks_exact(height * width));
        for ((map, black), to) in maps.zip(to.chunks_exact_mut(height * width)) {
            for (i, to) in to.iter_mut().enumerate() {
                let (row, column) = ((i / width) as i64 - down, (i % width) as i64 - right);
                let column = if mirrored { width as i64 - 1 - column } else { column };
                *to = if distort > 0.0 {
                    let center = [height, width].map(|side| (side - 1) as f32 / 2.0);
                    let (y, x) = (row as f32 - center[0], column as f32 - center[1]);
                    let (x, y) = ((x + slant * y) * stretch[0], y * stretch[1]);
                    let (x, y) = (cos * x - sin * y + center[1], sin * x + cos * y + center[0]);
                    between(map, [height, width], [y, x], black[0])
                } else {
                    pixel(map, [height, width], [row, column], black[0])
                };
            }
        }
    }
}

/// The element at a place, or what is around the map.
fn pixel(map: &[f32], [height, width]: [usize; 2], [row, column]: [i64; 2], around: f32) -> f32 {
    let inside = |v: i64, side: usize| usize::try_from(v).ok().filter(|v| *v < side);
    match (inside(row, height), inside(column, width)) {
        (Some(row), Some(column)) => map[row * width + column],
        _ => around,
    }
}

/// The value at a point between elements.
fn between(map: &[f32], size: [usize; 2], [y, x]: [f32; 2], around: f32) -> f32 {
    let (top, left) = (y.floor(), x.floor());
    let (low, right) = (y - top, x - left);
    let at = |dy: i64, dx: i64| pixel(map, size, [top as i64 + dy, left as i64 + dx], around);
    let upper = at(0, 0) * (1.0 - right) + at(0, 1) * right;
    let lower = at(1, 0) * (1.0 - right) + at(1, 1) * right;
    upper * (1.0 - low) + lower * low
}
