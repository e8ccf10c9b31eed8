use std::path::PathBuf;

use hushwire_data::DataError;
use hushwire_plan::CheckError;

/// Why training cannot begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The plan does not fit the network.
    #[error(transparent)]
    Plan(#[from] CheckError),
    /// The data set cannot be read, or does not fit the network.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network's output is not one score per class.
    #[error("the network's output has the shape {shape}; training needs one score per class")]
    NoClassifier {
        /// Shape of the output.
        shape: String,
    },
    /// The data set's labels are masks.
    #[error("{data} labels pixels; training needs one label per image")]
    Masks {
        /// The data set.
        data: String,
    },
    /// The network has no score for a class.
    #[error("image {image} is of class {class}, but the network tells {classes} classes apart")]
    Class {
        /// Position of the first such image.
        image: usize,
        /// Its class, as the network would count it.
        class: usize,
        /// Scores of the network.
        classes: usize,
    },
    /// The data set is empty.
    #[error("there are no images")]
    NoImages,
    /// There are fewer images than a step takes.
    #[error("{found} training images are fewer than a batch of {batch}")]
    TooFew {
        /// Images there are.
        found: usize,
        /// Images per step.
        batch: usize,
    },
    /// A number of the recipe makes no sense.
    #[error("the recipe's {what} must be {expected}")]
    Recipe {
        /// Which number.
        what: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The two networks of a distillation do not fit each other.
    #[error("the teacher takes {teacher}, the network {network}")]
    Teacher {
        /// Shapes of the teacher's input and output.
        teacher: String,
        /// Shapes of the network's input and output.
        network: String,
    },
    /// The loss is no number any more.
    #[error("the loss left all bounds in step {step}; a lower rate or cut gradients may help")]
    Diverged {
        /// The step.
        step: usize,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A checkpoint cannot be put into bytes.
    #[error("the checkpoint cannot be written: {reason}")]
    Serialise {
        /// Why.
        reason: String,
    },
    /// A file is no checkpoint, or damaged.
    #[error("{} is no checkpoint of this program: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A checkpoint belongs to another run.
    #[error(
        "the checkpoint {} belongs to another run, with another {difference}; remove it or name \
         another", path.display()
    )]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// What is different.
        difference: String,
    },
}
