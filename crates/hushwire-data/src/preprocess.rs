use hushwire_graph::{Color, Filter, Graph, ImageResize, Layout};

use crate::resize::{resize_bilinear, resize_nearest};
use crate::{DataError, Image, Mask, argmax};

/// Ratio of an image's shorter side to the crop taken from it, for photos of any size: data sets
/// prescaled to 227 pixels go with networks that take 224.
const CROP_MARGIN: f64 = 227.0 / 224.0;

/// Turns images into a network's input as the network's metadata says.
///
/// - *No resizing*: the image must have the size of the input.
/// - *Centre crop*: the middle is cut out. An image whose shorter side is less than the crop or
///   more than 227/224 of it is scaled to the latter first.
/// - *Fit*: scaled until the longer side fits, keeping the proportions, in the top left corner of
///   a canvas filled with one pixel value.
///
/// Scaling has Pillow's semantics (see [`resize_bilinear`]); grey images become RGB and the other
/// way round where the network wants it.
#[derive(Clone, Debug)]
pub struct Preprocess {
    channels: usize,
    size: [usize; 2],
    color: Color,
    resize: ImageResize,
    /// For each channel of the network the value of each pixel level.
    levels: Vec<[f32; 256]>,
}

impl Preprocess {
    /// The preprocessing of a network, from its metadata and the shape of its input.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] when the metadata has no preprocessing, when it contradicts the
    /// input's shape, or when it asks for what is not implemented (NHWC order, bicubic scaling).
    pub fn for_graph(graph: &Graph) -> Result<Self, DataError> {
        let spec = graph.metadata.preprocess.as_ref();
        let spec = spec
            .ok_or_else(|| DataError::mismatch("preprocessing in the metadata", "one", "none"))?;
        Self::new(spec, &graph.input_shape().0)
    }

    /// As [`for_graph`](Self::for_graph), with an input of shape `[channels, height, width]`.
    ///
    /// # Errors
    /// [`DataError::Mismatch`], as for [`for_graph`](Self::for_graph).
    pub fn new(spec: &hushwire_graph::Preprocess, input: &[usize]) -> Result<Self, DataError> {
        let &[channels, height, width] = input else {
            return Err(DataError::mismatch("shape of the input", "[C, H, W]", debug(input)));
        };
        if height == 0 || width == 0 {
            return Err(DataError::mismatch("shape of the input", "no zero", debug(input)));
        }
        if spec.layout != Layout::Nchw {
            return Err(DataError::mismatch("order of the input's axes", "NCHW", "NHWC"));
        }
        let expected = if spec.color == Color::Gray { 1 } else { 3 };
        for found in [channels, spec.mean.len(), spec.std.len()] {
            if found != expected {
                return Err(DataError::mismatch("channels of the input", expected, found));
            }
        }
        match &spec.resize {
            ImageResize::CenterCrop { size } | ImageResize::Fit { size, .. }
                if *size != [height, width] =>
            {
                let (expected, found) = (debug(&[height, width]), debug(size));
                return Err(DataError::mismatch("size after resizing", expected, found));
            }
            ImageResize::Fit { filter: Filter::Bicubic, .. } => {
                return Err(DataError::mismatch("filter", "bilinear or nearest", "bicubic"));
            }
            _ => {}
        }
        let levels = spec.mean.iter().zip(&spec.std).map(|(&mean, &std)| {
            let (scale, mean, std) = (f64::from(spec.scale), f64::from(mean), f64::from(std));
            std::array::from_fn(|pixel| ((pixel as f64 * scale - mean) / std) as f32)
        });
        Ok(Self {
            channels,
            size: [height, width],
            color: spec.color,
            resize: spec.resize.clone(),
            levels: levels.collect(),
        })
    }

    /// Shape of what [`apply`](Self::apply) gives: channels, height, width.
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.size[0], self.size[1]]
    }

    /// The network's input for an image, C x H x W.
    ///
    /// # Errors
    /// [`DataError::ImageSize`] when the network does no resizing and the image has another size.
    pub fn apply(&self, image: &Image) -> Result<Vec<f32>, DataError> {
        let image = if self.channels == 1 { image.to_grey() } else { image.to_rgb() };
        let image = self.resized(image)?;
        let mut input = Vec::with_capacity(image.pixels().len());
        for (c, levels) in self.levels.iter().enumerate() {
            let source = if self.color == Color::Bgr { 2 - c } else { c };
            let plane = image.pixels().iter().skip(source).step_by(self.channels);
            input.extend(plane.map(|&pixel| levels[usize::from(pixel)]));
        }
        Ok(input)
    }

    /// The classes a segmentation network found, at the image's own size: the greatest of
    /// `classes` logits at each pixel, without the canvas around a fitted image, scaled by
    /// Pillow's nearest neighbour. `logits` is C x H x W with the input's H and W, `image` the
    /// height and width of the image before preprocessing.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] when the number of logits is wrong, or when the network sees only
    /// a crop of the image.
    pub fn segment(
        &self,
        logits: &[f32],
        classes: usize,
        image: [usize; 2],
    ) -> Result<Mask, DataError> {
        if matches!(self.resize, ImageResize::CenterCrop { .. }) {
            return Err(DataError::mismatch("resizing of a segmentation", "fit", "center_crop"));
        }
        let [height, width] = self.size;
        let expected = height * width * classes;
        if logits.len() != expected || !(1..=256).contains(&classes) {
            return Err(DataError::mismatch("number of logits", expected, logits.len()));
        }
        let [rows, columns] = self.fitted(image);
        let found = argmax(logits, classes);
        let found: Vec<u8> = found
            .chunks_exact(width)
            .take(rows)
            .flat_map(|row| row[..columns].iter().map(|&class| class as u8))
            .collect();
        Mask::new(image[0], image[1], resize_nearest(&found, [rows, columns], image))
    }

    fn resized(&self, image: Image) -> Result<Image, DataError> {
        let [height, width] = self.size;
        let found = [image.height(), image.width()];
        match self.resize {
            ImageResize::None if found != self.size => {
                Err(DataError::ImageSize { expected: self.size, found })
            }
            ImageResize::None => Ok(image),
            ImageResize::CenterCrop { .. } => Ok(center_crop(image, self.size)),
            ImageResize::Fit { filter, fill, .. } => {
                let [rows, columns] = self.fitted(found);
                let channels = image.channels();
                let scaled = if filter == Filter::Nearest {
                    nearest_image(&image, rows, columns)?
                } else {
                    resize_bilinear(&image, rows, columns)
                };
                // A cast of a float saturates.
                let mut canvas = vec![fill.round() as u8; height * width * channels];
                let lines = canvas.chunks_exact_mut(width * channels);
                let row = columns * channels;
                for (line, pixels) in lines.zip(scaled.pixels().chunks_exact(row)) {
                    line[..row].copy_from_slice(pixels);
                }
                Image::new(height, width, channels, canvas)
            }
        }
    }

    /// Height and width of an image once its longer side is that of the network's input.
    fn fitted(&self, image: [usize; 2]) -> [usize; 2] {
        let ratio = |axis: usize| self.size[axis] as f64 / image[axis] as f64;
        let scale = ratio(0).min(ratio(1));
        // Half to even, as Python rounds.
        [0, 1].map(|axis| {
            let side = (image[axis] as f64 * scale).round_ties_even() as usize;
            side.clamp(1, self.size[axis])
        })
    }
}

fn center_crop(image: Image, size: [usize; 2]) -> Image {
    let found = [image.height(), image.width()];
    // How much larger the image is than the crop, along the axis where it is least.
    let ratio = (found[0] as f64 / size[0] as f64).min(found[1] as f64 / size[1] as f64);
    let image = if (1.0..=CROP_MARGIN).contains(&ratio) {
        image
    } else {
        let [height, width] = [0, 1].map(|axis| {
            let side = (found[axis] as f64 * CROP_MARGIN / ratio).round() as usize;
            side.max(size[axis])
        });
        resize_bilinear(&image, height, width)
    };
    let (top, left) = ((image.height() - size[0]) / 2, (image.width() - size[1]) / 2);
    image.crop(top, left, size[0], size[1])
}

fn nearest_image(image: &Image, height: usize, width: usize) -> Result<Image, DataError> {
    let old = [image.height(), image.width()];
    let channels = image.channels();
    let positions: Vec<usize> = (0..old[0] * old[1]).collect();
    let chosen = resize_nearest(&positions, old, [height, width]);
    let pixels = chosen.iter().flat_map(|p| &image.pixels()[p * channels..(p + 1) * channels]);
    Image::new(height, width, channels, pixels.copied().collect())
}

fn debug(value: &[usize]) -> String {
    format!("{value:?}")
}
