//! The key of a model: made by the server, given to its clients, never to the helper.

use std::io;
use std::path::{Path, PathBuf};

use hushwire_graph::Params;
use hushwire_mpc::Key;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::Hash;
use crate::files::{Disk, private_dir, write_whole};
use crate::store::now;

const FILE: &str = "model.key";
const DAY: u64 = 24 * 60 * 60;

/// Why a model's key cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelKeyError {
    /// The file cannot be read or written.
    #[error("the model's key in {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file makes no sense.
    #[error(
        "the model's key in {} is damaged ({reason}); delete the file for a new key",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has no randomness.
    #[error("the system has no randomness for a key: {0}")]
    Randomness(String),
}

/// What is kept of a model. Secret.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ModelKeyFile {
    key: [u8; 16],
    /// Names the weights: drawn afresh when they change, kept when the key alone is renewed.
    pub(crate) weights: [u8; 16],
    /// Hash of network and weights; never leaves the server.
    model: Hash,
    created: u64,
}

impl Drop for ModelKeyFile {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl ModelKeyFile {
    /// The key in the state directory, or a new one if there is none, it belongs to another model,
    /// or it is older than `days`.
    pub(crate) fn open(dir: &Path, model: Hash, days: u64) -> Result<ModelKeyFile, ModelKeyError> {
        let path = dir.join(FILE);
        let failed = |source| ModelKeyError::Io { path: path.clone(), source };
        private_dir(dir).map_err(failed)?;
        let kept = match std::fs::read(&path) {
            Ok(bytes) => {
                let bytes = Zeroizing::new(bytes);
                let parsed: Result<ModelKeyFile, _> = postcard::from_bytes(&bytes);
                let damaged = |e: postcard::Error| ModelKeyError::Damaged {
                    path: path.clone(),
                    reason: e.to_string(),
                };
                Some(parsed.map_err(damaged)?).filter(|file| file.model == model)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        match kept {
            Some(file) if !file.is_older_than(days) => Ok(file),
            kept => {
                let weights = match &kept {
                    Some(file) => file.weights,
                    None => random()?,
                };
                let file = ModelKeyFile { key: random()?, weights, model, created: now() };
                let bytes = postcard::to_stdvec(&file)
                    .unwrap_or_else(|e| unreachable!("plain data serialises: {e}"));
                write_whole(&Disk, &path, &Zeroizing::new(bytes)).map_err(failed)?;
                tracing::info!(path = %path.display(), "made a new key for the model");
                Ok(file)
            }
        }
    }

    pub(crate) fn is_older_than(&self, days: u64) -> bool {
        now().saturating_sub(self.created) >= days.saturating_mul(DAY)
    }

    pub(crate) fn key(&self) -> Key {
        Key::new(self.key)
    }

    pub(crate) fn bytes(&self) -> [u8; 16] {
        self.key
    }
}

/// Hash of a network and its weights.
pub(crate) fn hash_model(network: Hash, params: &Params) -> Hash {
    let mut hash = Sha256::new();
    hash.update(network.0);
    for (_, tensor) in params.iter() {
        for number in &tensor.data {
            hash.update(number.to_le_bytes());
        }
    }
    Hash(hash.finalize().into())
}

/// Fresh bytes from the system.
pub(crate) fn random() -> Result<[u8; 16], ModelKeyError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| ModelKeyError::Randomness(e.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_renewed_and_bound_to_their_model() {
        let dir = tempfile::tempdir().unwrap();
        let open =
            |model: &[u8], days| ModelKeyFile::open(dir.path(), Hash::of(model), days).unwrap();
        let (first, kept) = (open(b"one", 30), open(b"one", 30));
        assert_eq!((first.key, first.weights), (kept.key, kept.weights));
        // An age of no days has always been reached.
        let renewed = open(b"one", 0);
        assert_ne!(renewed.key, first.key);
        assert_eq!(renewed.weights, first.weights);
        let other = open(b"two", 30);
        assert_ne!(other.key, renewed.key);
        assert_ne!(other.weights, renewed.weights);
        std::fs::write(dir.path().join(FILE), b"x").unwrap();
        let damaged = ModelKeyFile::open(dir.path(), Hash::of(b"one"), 30);
        assert!(matches!(damaged, Err(ModelKeyError::Damaged { .. })));
    }
}
