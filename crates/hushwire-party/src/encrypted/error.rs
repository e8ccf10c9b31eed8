//! What can go wrong in encrypted inference.

use std::io;
use std::path::PathBuf;

use hushwire_ckks::CkksError;
use hushwire_he::{ExecuteError, InterfaceError, PlanError, Refusal};

/// An error of encrypted inference.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptedError {
    /// The network cannot be computed on encrypted values.
    #[error(transparent)]
    Network(#[from] Refusal),
    /// The plan cannot be used.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The interface cannot be used, or values do not fit it.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// An operation failed.
    #[error(transparent)]
    Execute(#[from] ExecuteError<CkksError>),
    /// Keys or ciphertexts cannot be used.
    #[error(transparent)]
    Ckks(#[from] CkksError),
    /// The keys that arrived are not those that were offered.
    #[error("the keys that arrived are not those that were offered; nothing was kept of them")]
    OtherKeys,
    /// The server asks for other keys each time.
    #[error("the server asks for other keys each time: is its network being changed? Try again")]
    Changing,
    /// A ciphertext is not at the level and scale of the program's input.
    #[error(
        "ciphertext {number} has level {level} and scale 2^{log_scale:.3}; the input has level \
             {expected_level} and scale 2^{expected_log_scale:.3}"
    )]
    Input {
        /// Which.
        number: usize,
        /// Its level.
        level: usize,
        /// log2 of its scale.
        log_scale: f64,
        /// The program's level.
        expected_level: usize,
        /// log2 of the program's scale.
        expected_log_scale: f64,
    },
    /// Keys cannot be kept or read.
    #[error("cannot keep keys in {}: {source}", path.display())]
    Keeping {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The server's memory is too small for the network.
    #[error(
        "one session takes {needed_mib} MiB (keys {keys_mib}, values {values_mib}, weights \
             {weights_mib}); `memory_mib` of the configuration is {memory_mib}: raise it, if the machine has \
             as much"
    )]
    Memory {
        /// All of it.
        needed_mib: u64,
        /// A client's keys.
        keys_mib: u64,
        /// Encrypted values of one request.
        values_mib: u64,
        /// The encoded weights, which sessions share.
        weights_mib: u64,
        /// What the configuration allows.
        memory_mib: u64,
    },
}

impl EncryptedError {
    /// Whether only the own operator should read it: it tells of files here.
    pub(crate) fn is_private(&self) -> bool {
        matches!(self, Self::Keeping { .. } | Self::Memory { .. } | Self::Network(_))
    }
}
