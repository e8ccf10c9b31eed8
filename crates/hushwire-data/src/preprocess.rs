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
        let spec = spec.ok_or_else(|| {
            DataError::mismatch(
                "the metadata property `preprocess`, which says how an image becomes the input",
                "one (docs/models.md has an example)",
                "none",
            )
        })?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(color: Color, resize: ImageResize) -> hushwire_graph::Preprocess {
        let channels = if color == Color::Gray { 1 } else { 3 };
        hushwire_graph::Preprocess {
            scale: 0.5,
            mean: [1.0, 2.0, 3.0][..channels].to_vec(),
            std: [2.0, 4.0, 8.0][..channels].to_vec(),
            layout: Layout::Nchw,
            color,
            resize,
        }
    }

    fn fit(filter: Filter, size: [usize; 2]) -> ImageResize {
        ImageResize::Fit { size, filter, fill: 127.0 }
    }

    #[test]
    fn scales_per_channel_in_the_order_of_the_network() {
        let image = Image::new(1, 2, 3, vec![10, 20, 30, 40, 50, 60]).unwrap();
        let rgb = Preprocess::new(&spec(Color::Rgb, ImageResize::None), &[3, 1, 2]).unwrap();
        assert_eq!(rgb.apply(&image).unwrap(), [2.0, 9.5, 2.0, 5.75, 1.5, 3.375]);
        let bgr = Preprocess::new(&spec(Color::Bgr, ImageResize::None), &[3, 1, 2]).unwrap();
        assert_eq!(bgr.apply(&image).unwrap(), [7.0, 14.5, 2.0, 5.75, 0.25, 2.125]);
        // Luma 18.
        let gray = Preprocess::new(&spec(Color::Gray, ImageResize::None), &[1, 1, 2]).unwrap();
        assert_eq!(gray.apply(&image).unwrap()[0], 4.0);
        assert_eq!(gray.shape(), [1, 1, 2]);
        let grey = Image::new(1, 2, 1, vec![10, 40]).unwrap();
        assert_eq!(rgb.apply(&grey).unwrap(), [2.0, 9.5, 0.75, 4.5, 0.25, 2.125]);
    }

    #[test]
    fn a_wrong_size_is_told() {
        let none = Preprocess::new(&spec(Color::Gray, ImageResize::None), &[1, 28, 28]).unwrap();
        let error = none.apply(&Image::new(2, 3, 1, vec![0; 6]).unwrap()).unwrap_err();
        assert!(matches!(error, DataError::ImageSize { expected: [28, 28], found: [2, 3] }));
    }

    #[test]
    fn crops_the_middle() {
        let numbered = |height: usize, width: usize| {
            let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (16 * y + x) as u8));
            Image::new(height, width, 1, pixels.collect()).unwrap()
        };
        // No margin to speak of at this size: 4 x 9 is 4 x 4 with the sides cut.
        let cropped = center_crop(numbered(4, 9), [4, 4]);
        assert_eq!(cropped.pixels()[..5], [2, 3, 4, 5, 18]);
        for (height, width) in [(227, 227), (224, 224), (226, 400), (50, 10), (3000, 500)] {
            let image = Image::new(height, width, 1, vec![7; height * width]).unwrap();
            let cropped = center_crop(image, [224, 224]);
            assert_eq!((cropped.height(), cropped.width()), (224, 224));
            assert!(cropped.pixels().iter().all(|&p| p == 7));
        }
        let exact = numbered(227, 227);
        assert_eq!(center_crop(exact.clone(), [224, 224]), exact.crop(1, 1, 224, 224));
    }

    #[test]
    fn fits_into_the_top_left_corner() {
        let image = Image::new(2, 4, 1, vec![1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        let p = Preprocess::new(&spec(Color::Rgb, fit(Filter::Bilinear, [4, 4])), &[3, 4, 4]);
        let input = p.unwrap().apply(&image).unwrap();
        // Channel 0: (pixel / 2 - 1) / 2.
        let level = |pixel: f32| (pixel * 0.5 - 1.0) / 2.0;
        let rows: Vec<f32> = (1..=8).map(|p| level(p as f32)).chain([level(127.0); 8]).collect();
        assert_eq!(input[..16], rows);
        let p = Preprocess::new(&spec(Color::Rgb, fit(Filter::Nearest, [2, 2])), &[3, 2, 2]);
        assert_eq!(
            p.unwrap().apply(&image).unwrap()[..4],
            [level(6.0), level(8.0), level(127.0), level(127.0)]
        );
    }

    #[test]
    fn segments_at_the_images_size() {
        let spec = spec(Color::Rgb, fit(Filter::Bilinear, [2, 2]));
        let p = Preprocess::new(&spec, &[3, 2, 2]).unwrap();
        // Two classes; the lower row is canvas below a wide image.
        let logits = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 9.0, 9.0];
        let mask = p.segment(&logits, 2, [2, 4]).unwrap();
        assert_eq!(mask.classes(), [0, 0, 1, 1, 0, 0, 1, 1]);
        assert!(p.segment(&logits, 3, [2, 4]).is_err());
    }

    #[test]
    fn contradictions_are_refused() {
        let none = || spec(Color::Rgb, ImageResize::None);
        assert!(Preprocess::new(&none(), &[3, 4]).is_err());
        assert!(Preprocess::new(&none(), &[1, 4, 4]).is_err());
        assert!(Preprocess::new(&none(), &[3, 0, 4]).is_err());
        let crop = spec(Color::Rgb, ImageResize::CenterCrop { size: [5, 4] });
        assert!(Preprocess::new(&crop, &[3, 4, 4]).is_err());
        let bicubic = spec(Color::Rgb, fit(Filter::Bicubic, [4, 4]));
        assert!(Preprocess::new(&bicubic, &[3, 4, 4]).is_err());
        let nhwc = hushwire_graph::Preprocess { layout: Layout::Nhwc, ..none() };
        assert!(Preprocess::new(&nhwc, &[3, 4, 4]).is_err());
    }
}
