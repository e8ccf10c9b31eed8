use std::collections::VecDeque;
use std::path::PathBuf;

use super::packed::Packed;
use crate::{DataError, Image, Label, Sample};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// CIFAR-10's binary files one after the other: rows of a label and three planes of 32 x 32.
pub(crate) struct CifarRows {
    files: VecDeque<PathBuf>,
    current: Option<Packed>,
    row: usize,
}

impl CifarRows {
    pub(crate) fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { files: files.into_iter().collect(), current: None, row: 0 }
    }

    fn read(&mut self) -> Result<Option<Sample>, DataError> {
        loop {
            let Some(file) = &mut self.current else {
                let Some(path) = self.files.pop_front() else { return Ok(None) };
                self.current = Some(Packed::open(&path)?);
                self.row = 0;
                continue;
            };
            let mut row = [0; 1 + 3 * PLANE];
            let got = file.fill_some(&mut row)?;
            if got == 0 {
                self.current = None;
                continue;
            }
            if got < row.len() {
                return Err(file.error(format!("row {} ends after {got} bytes", self.row)));
            }
            let sample = decode(file, self.row, &row)?;
            self.row += 1;
            return Ok(Some(sample));
        }
    }
}

impl Iterator for CifarRows {
    type Item = Result<Sample, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let sample = self.read();
        if sample.is_err() {
            // Rows have no marks to find the next one by: what follows is lost.
            self.files.clear();
            self.current = None;
        }
        sample.transpose()
    }
}

fn decode(file: &Packed, row: usize, bytes: &[u8]) -> Result<Sample, DataError> {
    let (label, planes) = (bytes[0], &bytes[1..]);
    if label > 9 {
        return Err(file.error(format!("label {label} in row {row}: expected 0..=9")));
    }
    let pixels = (0..PLANE).flat_map(|p| [0, 1, 2].map(|c| planes[c * PLANE + p])).collect();
    let stem = file.path().file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let stem = stem.split('.').next().unwrap_or_default();
    Ok(Sample {
        image: Image::new(SIDE, SIDE, 3, pixels)?,
        label: Label::Class(label.into()),
        name: format!("{stem}/{row:05}"),
    })
}
