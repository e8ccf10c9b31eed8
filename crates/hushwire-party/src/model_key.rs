//! The key of a model: made by the server, given to its clients, never to the helper.

use std::fmt::{self, Write};
use std::io;
use std::path::{Path, PathBuf};

use hushwire_fixed::Weights;
use hushwire_fixed::program::{Op, Program};
use hushwire_mpc::Key;
use hushwire_ring::Word;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::Hash;
use crate::files::{Disk, private_dir, write_whole};
use crate::store::{DAY, now};

const FILE: &str = "model.key";

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
    /// Hash of the program and its integers; never leaves the server.
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

/// Hash of a network, of the program that this release makes of it, and of all its secret integers.
///
/// A key masks one set of integers: were it to mask another, the helper would see the difference.
/// So it is bound to what is masked, not to the numbers in the model file, which another release may
/// round or order in another way.
pub(crate) fn hash_model<W: Word>(network: Hash, program: &Program, weights: &Weights<W>) -> Hash {
    let mut hash = Hashing(Sha256::new());
    hash.0.update(b"hushwire/1 model");
    hash.0.update(network.0);
    // Any text will do that changes when the program does.
    write!(hash, "{program:?}").unwrap_or_else(|_| unreachable!("hashing does not fail"));
    for (i, op) in program.ops.iter().enumerate() {
        if matches!(op, Op::Linear(_) | Op::AddParam { .. }) {
            hash.words(i, weights.values(i));
            hash.words(i, weights.bias(i).unwrap_or_default());
        }
    }
    Hash(hash.0.finalize().into())
}

struct Hashing(Sha256);

impl Hashing {
    fn words<W: Word>(&mut self, op: usize, words: &[W]) {
        self.0.update((op as u64).to_le_bytes());
        self.0.update((words.len() as u64).to_le_bytes());
        for word in words {
            self.0.update(word.to_u64().to_le_bytes());
        }
    }
}

impl Write for Hashing {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text);
        Ok(())
    }
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
