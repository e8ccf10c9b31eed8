//! Masked weights that servers have uploaded, by hash: in memory and on disk, within a limit.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::files::{PARTIAL, Storage, private_dir, write_whole};
use crate::width::{Dealing, dealing, upload_len};
use crate::{Hash, Network, PartyError, StoreError};

/// Ending of the files.
const MASKED: &str = "masked";

pub(super) struct Cache {
    dir: PathBuf,
    limit: u64,
    storage: Arc<dyn Storage>,
    loaded: Mutex<Vec<Loaded>>,
}

/// Masked weights in memory; in the list the latest used are last.
struct Loaded {
    network: Hash,
    upload: Hash,
    len: u64,
    dealing: Arc<dyn Dealing>,
}

impl Cache {
    pub(super) fn open(
        dir: PathBuf,
        limit: u64,
        storage: Arc<dyn Storage>,
    ) -> Result<Cache, PartyError> {
        private_dir(&dir).map_err(|e| failed(&dir, e))?;
        let cache = Cache { dir, limit, storage, loaded: Mutex::default() };
        for (path, ..) in cache.files(PARTIAL)? {
            fs::remove_file(&path).map_err(|e| failed(&path, e))?;
        }
        Ok(cache)
    }

    fn loaded(&self) -> MutexGuard<'_, Vec<Loaded>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, upload: &Hash) -> PathBuf {
        self.dir.join(format!("{upload}.{MASKED}"))
    }

    /// Files with this ending: path, last change, length.
    fn files(&self, ending: &str) -> Result<Vec<(PathBuf, SystemTime, u64)>, PartyError> {
        let read = || -> io::Result<_> {
            let mut files = Vec::new();
            for entry in fs::read_dir(&self.dir)? {
                let entry = entry?;
                let path = entry.path();
                if path.extension().is_some_and(|e| e == ending) {
                    let data = entry.metadata()?;
                    files.push((path, data.modified()?, data.len()));
                }
            }
            Ok(files)
        };
        read().map_err(|e| failed(&self.dir, e))
    }

    /// The weights of this hash, from memory or disk. A damaged file is as good as none.
    pub(super) fn get(&self, network: &Network, upload: Hash) -> Option<Arc<dyn Dealing>> {
        {
            let mut loaded = self.loaded();
            let wanted = |l: &Loaded| l.network == network.hash() && l.upload == upload;
            if let Some(at) = loaded.iter().position(wanted) {
                let found = loaded.remove(at);
                let dealing = Arc::clone(&found.dealing);
                loaded.push(found);
                return Some(dealing);
            }
        }
        let path = self.path(&upload);
        let bytes = fs::read(&path).ok()?;
        let dealing =
            dealing(network.program(), &bytes).ok().filter(|_| Hash::of(&bytes) == upload);
        let Some(dealing) = dealing else {
            tracing::warn!(path = %path.display(), "a file of masked weights is damaged");
            return None;
        };
        self.remember(network, upload, bytes.len() as u64, &dealing);
        Some(dealing)
    }

    /// Whether weights of this length could be kept at all.
    pub(super) fn admit(&self, network: &Network) -> Result<usize, PartyError> {
        let len = upload_len(network.program());
        if len as u64 > self.limit {
            let (len, limit) = (len >> 20, self.limit >> 20);
            let text = format!("masked weights of {len} MiB; the helper keeps {limit} MiB at most");
            return Err(PartyError::Limit(text));
        }
        Ok(len)
    }

    /// Keeps an upload after checking its hash.
    pub(super) fn put(
        &self,
        network: &Network,
        upload: Hash,
        bytes: &[u8],
    ) -> Result<Arc<dyn Dealing>, PartyError> {
        let got = Hash::of(bytes);
        if got != upload {
            return Err(PartyError::Upload { expected: upload, got });
        }
        let dealing = dealing(network.program(), bytes).map_err(PartyError::Mpc)?;
        self.make_room(bytes.len() as u64)?;
        let path = self.path(&upload);
        if let Err(error) = write_whole(self.storage.as_ref(), &path, bytes) {
            // It is a cache: the session can go on without it.
            tracing::warn!(path = %path.display(), %error, "cannot keep masked weights");
        }
        self.remember(network, upload, bytes.len() as u64, &dealing);
        Ok(dealing)
    }

    /// Deletes the oldest files until `len` more bytes are within the limit.
    fn make_room(&self, len: u64) -> Result<(), PartyError> {
        let mut files = self.files(MASKED)?;
        files.sort_by_key(|(_, changed, _)| *changed);
        let mut total = files.iter().map(|(_, _, len)| len).sum::<u64>().saturating_add(len);
        for (path, _, len) in files {
            if total <= self.limit {
                break;
            }
            fs::remove_file(&path).map_err(|e| failed(&path, e))?;
            total -= len;
        }
        Ok(())
    }

    fn remember(&self, network: &Network, upload: Hash, len: u64, dealing: &Arc<dyn Dealing>) {
        let mut loaded = self.loaded();
        let mut total = loaded.iter().map(|l| l.len).sum::<u64>().saturating_add(len);
        while total > self.limit && !loaded.is_empty() {
            total -= loaded.remove(0).len;
        }
        let dealing = Arc::clone(dealing);
        loaded.push(Loaded { network: network.hash(), upload, len, dealing });
    }
}

fn failed(path: &Path, source: io::Error) -> PartyError {
    StoreError::Io { path: path.to_owned(), source }.into()
}
