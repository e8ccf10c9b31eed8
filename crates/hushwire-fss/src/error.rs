//! Why material or a message was refused.

use hushwire_ring::PackError;

/// Errors of this crate; the bytes of a peer cause these and never a panic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FssError {
    /// The width of the compared values is outside what the method supports.
    #[error("cannot compare {width} bits: supported are 1 to {max}")]
    Width {
        /// Width asked for.
        width: u32,
        /// Greatest supported width.
        max: u32,
    },
    /// A message does not have the length its shape gives.
    #[error("{what}: expected {expected} bytes, got {got}")]
    Length {
        /// Which message.
        what: &'static str,
        /// Bytes the shape gives.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// Padding bits of a message were not zero.
    #[error("{what}: padding bits are not zero")]
    Padding {
        /// Which message.
        what: &'static str,
    },
    /// A secret is to be compared with more public values than the method supports, or with none.
    #[error("cannot compare with {knots} values at once: supported are 1 to {max}")]
    Knots {
        /// Values asked for.
        knots: usize,
        /// Greatest supported number.
        max: usize,
    },
}

impl FssError {
    pub(crate) fn from_pack(what: &'static str, error: &PackError) -> Self {
        match *error {
            PackError::Length { expected, got } => Self::Length { what, expected, got },
            _ => Self::Padding { what },
        }
    }
}
