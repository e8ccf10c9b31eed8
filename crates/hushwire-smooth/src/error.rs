//! What is refused.

/// Why there is no fit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SmoothError {
    /// The range is empty or not finite.
    #[error("the range {0}..{1} is not one: its ends must be numbers and the first the smaller")]
    Range(f64, f64),
    /// The function is not bounded on the range.
    #[error("{function} has a pole at {at}, inside {low}..{high}: no polynomial comes near it")]
    Pole {
        /// Name of the function.
        function: &'static str,
        /// Where the pole is.
        at: f64,
        /// Left end of the range.
        low: f64,
        /// Right end of the range.
        high: f64,
    },
    /// The function has no finite value somewhere in the range.
    #[error("{function} has no finite value at {at}")]
    NotFinite {
        /// Name of the function.
        function: &'static str,
        /// Where.
        at: f64,
    },
    /// A density with a share that is no number.
    #[error("share {index} of the density is {value}: shares are numbers of at least zero")]
    Share {
        /// Which share.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// A density without mass.
    #[error("the density is empty: it has no mass at all")]
    NoMass,
    /// A density whose mass lies outside the range.
    #[error("the density has no mass between {0} and {1}, where the function is to be fitted")]
    Outside(f64, f64),
    /// More pieces than there are samples to fit them to.
    #[error("{pieces} pieces are more than the {samples} samples that they would be fitted to")]
    Pieces {
        /// Pieces asked for.
        pieces: usize,
        /// Samples there are.
        samples: u64,
    },
    /// A number of pieces or a degree that is not offered.
    #[error("{what} {value}: from {least} to {most} are possible")]
    Size {
        /// What it is.
        what: &'static str,
        /// What was asked for.
        value: usize,
        /// Least.
        least: usize,
        /// Most.
        most: usize,
    },
    /// No candidate is within the bounds.
    #[error("nothing that was tried is within the bound")]
    Unreachable,
}
