//! Masked weights that servers have uploaded: in memory and on disk, within a limit.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use hushwire_net::Fingerprint;

use crate::files::{PARTIAL, Storage, private_dir, sync_parent, write_whole};
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
    place: Hash,
    upload: Hash,
    len: u64,
    dealing: Arc<dyn Dealing>,
}

/// Where the masked weights of a server's network are kept. A server has one place for each network:
/// what it uploads under a new key takes the place of what it uploaded under the old one, and no
/// other server gets at it, whatever hash it announces.
fn place(server: &Fingerprint, network: &Network) -> Hash {
    Hash::of(format!("{server} {}", network.hash()).as_bytes())
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

    fn path(&self, place: &Hash) -> PathBuf {
        self.dir.join(format!("{place}.{MASKED}"))
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

    /// The weights of this hash if this server has uploaded them, from memory or disk. A damaged
    /// file is as good as none.
    pub(super) fn get(
        &self,
        server: &Fingerprint,
        network: &Network,
        upload: Hash,
    ) -> Option<Arc<dyn Dealing>> {
        let place = place(server, network);
        {
            let mut loaded = self.loaded();
            let wanted = |l: &Loaded| l.place == place && l.upload == upload;
            if let Some(at) = loaded.iter().position(wanted) {
                let found = loaded.remove(at);
                let dealing = Arc::clone(&found.dealing);
                loaded.push(found);
                return Some(dealing);
            }
        }
        let path = self.path(&place);
        let bytes = fs::read(&path).ok()?;
        if Hash::of(&bytes) != upload {
            tracing::info!(path = %path.display(), "other masked weights than those announced");
            return None;
        }
        let dealing = dealing(network.program(), &bytes).ok()?;
        self.remember(place, upload, bytes.len() as u64, &dealing);
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

    /// Keeps an upload after checking its hash, in place of the one before.
    pub(super) fn put(
        &self,
        server: &Fingerprint,
        network: &Network,
        upload: Hash,
        bytes: &[u8],
    ) -> Result<Arc<dyn Dealing>, PartyError> {
        let got = Hash::of(bytes);
        if got != upload {
            return Err(PartyError::Upload { expected: upload, got });
        }
        let dealing = dealing(network.program(), bytes).map_err(PartyError::Mpc)?;
        let place = place(server, network);
        let path = self.path(&place);
        // First of all: weights under two keys are not to lie side by side, whatever fails below.
        remove(&path)?;
        self.loaded().retain(|l| l.place != place);
        self.make_room(bytes.len() as u64)?;
        if let Err(error) = write_whole(self.storage.as_ref(), &path, bytes) {
            // It is a cache: the session can go on without it.
            tracing::warn!(path = %path.display(), %error, "cannot keep masked weights");
        }
        self.remember(place, upload, bytes.len() as u64, &dealing);
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
            remove(&path)?;
            total -= len;
        }
        Ok(())
    }

    fn remember(&self, place: Hash, upload: Hash, len: u64, dealing: &Arc<dyn Dealing>) {
        let mut loaded = self.loaded();
        loaded.retain(|l| l.place != place);
        let mut total = loaded.iter().map(|l| l.len).sum::<u64>().saturating_add(len);
        while total > self.limit && !loaded.is_empty() {
            total -= loaded.remove(0).len;
        }
        loaded.push(Loaded { place, upload, len, dealing: Arc::clone(dealing) });
    }
}

/// Removes a file for good, unless another session was first.
fn remove(path: &Path) -> Result<(), PartyError> {
    match fs::remove_file(path).and_then(|()| sync_parent(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path, source: io::Error) -> PartyError {
    StoreError::Io { path: path.to_owned(), source }.into()
}
