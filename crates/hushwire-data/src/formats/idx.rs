use std::path::Path;

use super::packed::Packed;
use crate::{DataError, Image, Label, Sample};

/// Magic numbers of unsigned bytes in three dimensions (images) and one (labels).
const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;
/// Largest side accepted; MNIST has 28.
const MAX_SIDE: u32 = 4096;

/// A pair of IDX files, images and labels, read side by side.
pub(crate) struct IdxPair {
    images: Packed,
    labels: Packed,
    size: [usize; 2],
    pub(crate) count: usize,
    next: usize,
}

impl IdxPair {
    pub(crate) fn open(images: &Path, labels: &Path) -> Result<Self, DataError> {
        let (mut images, mut labels) = (Packed::open(images)?, Packed::open(labels)?);
        let count = header(&mut images, IMAGES)?;
        let mut side =
            || match images.be_u32("the header")? {
                n @ 1..=MAX_SIDE => Ok(n as usize),
                n => Err(images
                    .error(format!("images of {n} pixels on a side: expected 1..={MAX_SIDE}"))),
            };
        let size = [side()?, side()?];
        let labelled = header(&mut labels, LABELS)?;
        if labelled != count {
            return Err(labels.error(format!("{labelled} labels for {count} images")));
        }
        Ok(Self { images, labels, size, count, next: 0 })
    }

    fn read(&mut self) -> Result<Sample, DataError> {
        let [height, width] = self.size;
        let mut pixels = vec![0; height * width];
        self.images.fill(&mut pixels, &format!("image {}", self.next))?;
        let mut label = [0];
        self.labels.fill(&mut label, &format!("label {}", self.next))?;
        if label[0] > 9 {
            return Err(self.labels.error(format!("label {}: expected 0..=9", label[0])));
        }
        Ok(Sample {
            image: Image::new(height, width, 1, pixels)?,
            label: Label::Class(label[0].into()),
            name: format!("{:05}", self.next),
        })
    }
}

impl Iterator for IdxPair {
    type Item = Result<Sample, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.count {
            return None;
        }
        let sample = self.read();
        // A damaged file has no marks to find the next item by: what follows is lost.
        self.next = if sample.is_ok() { self.next + 1 } else { self.count };
        Some(sample)
    }
}

/// Checks the magic number and reads the number of items.
fn header(file: &mut Packed, magic: u32) -> Result<usize, DataError> {
    let found = file.be_u32("the header")?;
    if found != magic {
        return Err(file.error(format!("no IDX file: expected {magic:#010x}, found {found:#010x}")));
    }
    Ok(file.be_u32("the header")? as usize)
}
