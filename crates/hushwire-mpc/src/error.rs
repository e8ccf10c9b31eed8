//! What can go wrong in the three-party executor.

use hushwire_fss::FssError;
use hushwire_net::NetError;
use hushwire_ring::PackError;

/// An error of a three-party execution. It concerns one session only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MpcError {
    /// The connection failed, or the peer sent another message than the protocol has here.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A message of the right length has impossible contents.
    #[error("{what} of {layer} is malformed: {source}")]
    Message {
        /// Which message.
        what: &'static str,
        /// Name of the layer.
        layer: String,
        /// What is wrong with it.
        source: PackError,
    },
    /// Comparison material does not fit.
    #[error("comparison material of {layer} is malformed: {source}")]
    Comparison {
        /// Name of the layer.
        layer: String,
        /// What is wrong with it.
        source: FssError,
    },
    /// The input is not as long as the job's batch of inputs.
    #[error("the input has {got} numbers; {batch} samples of {len} are expected")]
    Input {
        /// Numbers given.
        got: usize,
        /// Samples of the job.
        batch: usize,
        /// Numbers per sample.
        len: usize,
    },
    /// The program has a composite polynomial.
    #[error(transparent)]
    Polynomial(#[from] crate::polynomial::Refusal),
    /// Preprocessing could not be kept.
    #[error("preprocessing cannot be stored: {0}")]
    Keeping(#[source] std::io::Error),
    /// A stored bundle belongs to another job or is damaged.
    #[error("the stored preprocessing cannot be used: {0}")]
    Bundle(String),
}
