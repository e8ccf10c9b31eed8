use crate::{DataError, Image};

/// An image with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The image as the data set has it, before any preprocessing.
    pub image: Image,
    /// The truth.
    pub label: Label,
    /// The file's name without its ending, or the position in a file of many images.
    pub name: String,
}

/// The truth about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// The class of the whole image, from 0; background classes of a model are not counted.
    Class(u32),
    /// The class of every pixel.
    Mask(Mask),
}

/// A class for every pixel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    height: usize,
    width: usize,
    classes: Vec<u8>,
}

impl Mask {
    /// Wraps `height * width` classes. Values that are no class (255 in VOC) mark pixels that do
    /// not count.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] when the number of values is wrong or zero.
    pub fn new(height: usize, width: usize, classes: Vec<u8>) -> Result<Self, DataError> {
        if height.checked_mul(width) != Some(classes.len()) || classes.is_empty() {
            let expected = format!("{height} x {width}, at least one");
            return Err(DataError::mismatch("pixels of a mask", expected, classes.len()));
        }
        Ok(Self { height, width, classes })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The class of every pixel, row by row.
    pub fn classes(&self) -> &[u8] {
        &self.classes
    }
}
