use std::io;
use std::path::{Path, PathBuf};

use crate::{Dataset, Split};

/// Everything that can go wrong between a folder and a tensor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The text naming a data set is not `KIND:DIR`.
    #[error(
        "'{text}' names no data set: expected mnist:DIR, cifar10:DIR, imagenet:DIR, voc:DIR or oscillator:SEED"
    )]
    UnknownSource {
        /// The text as given.
        text: String,
    },
    /// None of the places where a file may lie has it.
    #[error("no {what} in {dir} (nor in the folders {dataset}/ and data/{dataset}/ below it)")]
    Missing {
        /// The file or files that were looked for.
        what: String,
        /// The folder the user named.
        dir: PathBuf,
        /// The data set, whose name is also that of its folder.
        dataset: Dataset,
    },
    /// The data set is not distributed with this split.
    #[error("{dataset} has no {split} split here")]
    NoSplit {
        /// The data set.
        dataset: Dataset,
        /// The split that was asked for.
        split: Split,
    },
    /// A file could not be opened or read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system or the decompressor said.
        source: io::Error,
    },
    /// A file ends early or holds something its format does not allow.
    #[error("{path}, at byte {offset}: {what}")]
    Format {
        /// The file; for compressed files the offset counts decompressed bytes.
        path: PathBuf,
        /// What is wrong, with expected and found values.
        what: String,
        /// Where, in bytes from the start.
        offset: u64,
    },
    /// A PNG or JPEG could not be decoded.
    #[error("cannot decode the image {name}: {what}")]
    Decode {
        /// The file, or its name within an archive.
        name: String,
        /// What the decoder said.
        what: String,
    },
    /// The model does no resizing and the image is not of the size it expects.
    #[error(
        "the network takes images of {} x {} pixels (height x width), this one has {} x {}",
        expected[0], expected[1], found[0], found[1]
    )]
    ImageSize {
        /// Height and width of the network's input.
        expected: [usize; 2],
        /// Height and width of the image.
        found: [usize; 2],
    },
    /// The numbers given do not describe an image, a mask or a preprocessing.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// What does not fit.
        what: &'static str,
        /// The value that was expected.
        expected: String,
        /// The value that was found.
        found: String,
    },
}

impl DataError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        |source| Self::Io { path, source }
    }

    pub(crate) fn format(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Format { path: path.to_path_buf(), what: what.into(), offset }
    }

    pub(crate) fn decode(name: &str, what: impl ToString) -> Self {
        Self::Decode { name: name.to_owned(), what: what.to_string() }
    }

    pub(crate) fn mismatch(
        what: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self::Mismatch { what, expected: expected.to_string(), found: found.to_string() }
    }
}
