//! What can go wrong with stored preprocessing.

use std::io;
use std::path::PathBuf;

use crate::BundleId;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has this directory.
    #[error(
        "the state directory {} is in use by another process; give each its own, or stop the other",
        dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The disk is full.
    #[error(
        "the disk is full: {} needs more than {needed} bytes; make room, or prepare fewer bundles",
        path.display()
    )]
    Full {
        /// The file that did not fit.
        path: PathBuf,
        /// Bytes that it should have by now; more were to come.
        needed: u64,
    },
    /// A file or directory cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The ledger failed.
    #[error(
        "the ledger in {} failed: {reason}; if it is damaged, delete the whole directory: the \
         bundles in it are lost, nothing else",
        dir.display()
    )]
    Ledger {
        /// The directory.
        dir: PathBuf,
        /// What the database said.
        reason: String,
    },
    /// There is no such bundle.
    #[error("there is no bundle {id} here")]
    Unknown {
        /// The name asked for.
        id: BundleId,
    },
    /// The bundle belongs to someone else.
    #[error("bundle {id} was made with another peer")]
    NotOwner {
        /// The name asked for.
        id: BundleId,
    },
    /// The bundle was used before, or is too old, or its other half is gone.
    #[error("bundle {id} has been used or given up; each can be used once, prepare new ones")]
    Spent {
        /// The name asked for.
        id: BundleId,
    },
    /// A bundle of this name exists.
    #[error("there is a bundle {id} already")]
    Duplicate {
        /// The name.
        id: BundleId,
    },
}
