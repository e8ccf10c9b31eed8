//! Clients' public keys on the server's disk, named by their hash.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::EncryptedError;
use crate::Hash;
use crate::files::{PARTIAL, Storage, private_dir, write_whole};

/// Ending of the files.
const ENDING: &str = "keys";

/// Keys on disk, up to a number of bytes.
pub(super) struct KeyCache {
    dir: PathBuf,
    most: u64,
    /// Held while files come and go.
    lock: Mutex<()>,
}

impl KeyCache {
    /// The cache in a folder, which is made if needed.
    pub(super) fn open(dir: &Path, most: u64) -> Result<Self, EncryptedError> {
        let failed = |source| EncryptedError::Keeping { path: dir.to_owned(), source };
        private_dir(dir).map_err(failed)?;
        let cache = Self { dir: dir.to_owned(), most, lock: Mutex::default() };
        for entry in fs::read_dir(dir).map_err(failed)?.flatten() {
            if entry.path().extension().is_some_and(|ending| ending == PARTIAL) {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(cache)
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        self.dir.join(format!("{hash}.{ENDING}"))
    }

    /// The keys with this hash, if they are there and whole.
    pub(super) fn read(&self, hash: &Hash) -> Result<Option<Vec<u8>>, EncryptedError> {
        let _alone = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(hash);
        let failed = |source| EncryptedError::Keeping { path: path.clone(), source };
        match fs::read(&path) {
            Ok(bytes) if Hash::of(&bytes) == *hash => {
                // The time of the last use; a clock that cannot be set only makes the order worse.
                let _ = fs::File::open(&path).and_then(|f| f.set_modified(SystemTime::now()));
                Ok(Some(bytes))
            }
            // The disk has changed it.
            Ok(_) => fs::remove_file(&path).map_err(failed).map(|()| None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Keeps keys, and gives up those used longest ago where they are too many.
    pub(super) fn write(
        &self,
        storage: &dyn Storage,
        hash: &Hash,
        bytes: &[u8],
    ) -> Result<(), EncryptedError> {
        let _alone = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(hash);
        let failed = |source| EncryptedError::Keeping { path: path.clone(), source };
        let mut files = self.files().map_err(failed)?;
        files.sort();
        let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
        for (_, len, old) in files {
            if total + bytes.len() as u64 <= self.most {
                break;
            }
            fs::remove_file(&old).map_err(failed)?;
            total -= len;
        }
        write_whole(storage, &path, bytes).map_err(failed)
    }

    /// Time of last use, length and path of every key set.
    fn files(&self) -> io::Result<Vec<(SystemTime, u64, PathBuf)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|ending| ending == ENDING) {
                let data = entry.metadata()?;
                files.push((data.modified()?, data.len(), entry.path()));
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Disk;

    #[test]
    fn keys_are_kept_by_hash_and_the_oldest_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = KeyCache::open(dir.path(), 25).unwrap();
        let keys: Vec<Vec<u8>> = (0..3).map(|i| vec![i; 10]).collect();
        let hashes: Vec<Hash> = keys.iter().map(|keys| Hash::of(keys)).collect();
        cache.write(&Disk, &hashes[0], &keys[0]).unwrap();
        cache.write(&Disk, &hashes[1], &keys[1]).unwrap();
        let old = SystemTime::UNIX_EPOCH;
        fs::File::open(cache.path(&hashes[0])).unwrap().set_modified(old).unwrap();
        fs::File::open(cache.path(&hashes[1])).unwrap().set_modified(old).unwrap();
        // A use makes it the latest.
        assert_eq!(cache.read(&hashes[0]).unwrap().unwrap(), keys[0]);
        cache.write(&Disk, &hashes[2], &keys[2]).unwrap();
        let there = |cache: &KeyCache| {
            hashes.iter().map(|hash| cache.read(hash).unwrap().is_some()).collect::<Vec<bool>>()
        };
        assert_eq!(there(&cache), [true, false, true]);
        // What the disk has changed is as good as gone, and so are halves.
        fs::write(cache.path(&hashes[0]), b"other").unwrap();
        fs::write(dir.path().join("x.partial"), b"half").unwrap();
        let cache = KeyCache::open(dir.path(), 25).unwrap();
        assert_eq!(there(&cache), [false, false, true]);
        assert!(!dir.path().join("x.partial").exists());
    }
}
