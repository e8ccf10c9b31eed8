use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

use crate::DataError;

/// Images larger than this on a side are refused before anything is allocated for them.
const MAX_SIDE: u32 = 1 << 14;
/// Most bytes a decoder may allocate for one image.
const MAX_DECODED: u64 = 1 << 29;
/// Largest PNG or JPEG file that is read.
pub(crate) const MAX_ENCODED: u64 = 1 << 28;

/// An image of 8-bit pixels, rows of pixels with their channels together (H x W x C).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    height: usize,
    width: usize,
    channels: usize,
    pixels: Vec<u8>,
}

impl Image {
    /// Wraps `height * width * channels` bytes in the order H x W x C; 1 channel is grey, 3 are RGB.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] when a side is zero, there are neither 1 nor 3 channels, or the
    /// number of bytes is wrong.
    pub fn new(
        height: usize,
        width: usize,
        channels: usize,
        pixels: Vec<u8>,
    ) -> Result<Self, DataError> {
        if channels != 1 && channels != 3 {
            return Err(DataError::mismatch("channels of an image", "1 or 3", channels));
        }
        let size = height.checked_mul(width).and_then(|n| n.checked_mul(channels));
        if size != Some(pixels.len()) || pixels.is_empty() {
            let expected = format!("{height} x {width} x {channels}, at least one");
            return Err(DataError::mismatch("bytes of an image", expected, pixels.len()));
        }
        Ok(Self { height, width, channels, pixels })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// 1 (grey) or 3 (RGB).
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The pixels, H x W x C.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The image with one channel: ITU-R 601 luma, rounded as Pillow's `convert("L")` does.
    pub fn to_grey(&self) -> Self {
        if self.channels == 1 {
            return self.clone();
        }
        let luma = |p: &[u8]| {
            let [r, g, b] = [p[0], p[1], p[2]].map(u32::from);
            ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
        };
        let pixels = self.pixels.chunks_exact(3).map(luma).collect();
        Self { channels: 1, pixels, ..*self }
    }

    /// The image with three channels; grey is repeated.
    pub fn to_rgb(&self) -> Self {
        if self.channels == 3 {
            return self.clone();
        }
        let pixels = self.pixels.iter().flat_map(|&p| [p; 3]).collect();
        Self { channels: 3, pixels, ..*self }
    }

    /// The rectangle of `height` x `width` pixels whose first pixel is (`top`, `left`).
    ///
    /// # Panics
    /// When the rectangle is empty or not within the image.
    pub(crate) fn crop(&self, top: usize, left: usize, height: usize, width: usize) -> Self {
        let row = self.width * self.channels;
        let (from, to) = (left * self.channels, (left + width) * self.channels);
        let rows = self.pixels.chunks_exact(row).skip(top).take(height);
        let pixels: Vec<u8> = rows.flat_map(|r| &r[from..to]).copied().collect();
        assert!(!pixels.is_empty() && pixels.len() == height * width * self.channels);
        Self { height, width, channels: self.channels, pixels }
    }
}

/// Reads a PNG or JPEG file: grey images give one channel, all others RGB. Transparency is
/// dropped, 16-bit channels are reduced to 8, and a photo's EXIF orientation is applied.
///
/// # Errors
/// [`DataError::Io`] when the file cannot be read, [`DataError::Decode`] when it is no PNG or JPEG,
/// is damaged, or is larger than 16384 pixels on a side.
pub fn open_image(path: &Path) -> Result<Image, DataError> {
    let name = path.display().to_string();
    let length = fs::metadata(path).map_err(DataError::io(path))?.len();
    if length > MAX_ENCODED {
        return Err(DataError::decode(&name, format!("{length} bytes are too many")));
    }
    let bytes = fs::read(path).map_err(DataError::io(path))?;
    let (mut image, orientation) = decode(&name, &bytes)?;
    image.apply_orientation(orientation);
    from_dynamic(&name, image)
}

/// Decodes a PNG or JPEG held in memory as it is stored, without turning it; `name` is for errors.
pub(crate) fn decode_image(name: &str, bytes: &[u8]) -> Result<Image, DataError> {
    from_dynamic(name, decode(name, bytes)?.0)
}

fn decode(name: &str, bytes: &[u8]) -> Result<(DynamicImage, Orientation), DataError> {
    let failed = |e: image::ImageError| DataError::decode(name, e);
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| DataError::decode(name, e))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder).map_err(failed)?, orientation))
}

fn from_dynamic(name: &str, image: DynamicImage) -> Result<Image, DataError> {
    let (height, width) = (image.height() as usize, image.width() as usize);
    let (channels, pixels) = if image.color().has_color() {
        (3, image.into_rgb8().into_raw())
    } else {
        (1, image.into_luma8().into_raw())
    };
    Image::new(height, width, channels, pixels).map_err(|e| DataError::decode(name, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_follow_pillow() {
        let rgb = Image::new(1, 4, 3, vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 12, 200, 77]).unwrap();
        // Pillow: Image.fromarray(...).convert("L")
        assert_eq!(rgb.to_grey().pixels(), [76, 150, 29, 130]);
        let grey = Image::new(2, 1, 1, vec![3, 9]).unwrap();
        assert_eq!(grey.to_rgb().pixels(), [3, 3, 3, 9, 9, 9]);
    }

    #[test]
    fn shapes_are_checked() {
        assert!(Image::new(2, 2, 2, vec![0; 8]).is_err());
        assert!(Image::new(2, 2, 1, vec![0; 3]).is_err());
        assert!(Image::new(0, 2, 1, vec![]).is_err());
        assert!(Image::new(usize::MAX, 2, 3, vec![0; 6]).is_err());
    }

    #[test]
    fn damaged_files_are_errors() {
        let mut png = Vec::new();
        image::GrayImage::from_fn(9, 7, |x, y| image::Luma([(x * y * 4) as u8]))
            .write_to(&mut Cursor::new(&mut png), image::ImageFormat::Png)
            .unwrap();
        let whole = decode_image("whole", &png).unwrap();
        assert_eq!((whole.height(), whole.width(), whole.channels()), (7, 9, 1));
        assert_eq!(whole.pixels()[8], 0);
        assert_eq!(whole.pixels()[9 * 6 + 8], 192);
        for length in 0..png.len() - 16 {
            assert!(decode_image("cut", &png[..length]).is_err(), "{length} bytes");
        }
        // A header that claims 2^31 - 1 pixels on a side.
        png[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
        assert!(decode_image("huge", &png).is_err());
        assert!(decode_image("text", b"not an image").is_err());
    }
}
