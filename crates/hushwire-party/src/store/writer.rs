//! A bundle that is being written: a file aside, locked while its writer lives. One that is being used
//! is such a file, too.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hushwire_mpc::Sink;
use zeroize::Zeroizing;

use super::StoreError;
use crate::BundleId;
use crate::files::{PARTIAL, Storage, private_file, sync_parent};

/// Bytes that go to disk at a time.
const BUFFER: usize = 1 << 20;

/// Takes the records of a bundle. Dropped before it was added to the store, it leaves nothing.
#[derive(Debug)]
pub struct Writer {
    id: BundleId,
    aside: Aside,
    file: File,
    storage: Arc<dyn Storage>,
    buffer: Zeroizing<Vec<u8>>,
    written: u64,
}

/// Ending of files of bundles that were taken out and are being used.
pub(super) const TAKEN: &str = "taken";

/// The path of a file aside, which is removed unless it was put in place.
#[derive(Debug)]
pub(super) struct Aside(Option<PathBuf>);

impl Aside {
    pub(super) fn new(path: PathBuf) -> Aside {
        Aside(Some(path))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // What cannot be removed now is cleared away later.
            let _ = fs::remove_file(path);
        }
    }
}

/// A bundle's file with all its bytes on disk, under its name aside.
pub(super) struct Complete {
    aside: Aside,
    /// Locked until the file is in place.
    _file: File,
}

impl Writer {
    pub(super) fn new(
        id: BundleId,
        path: &Path,
        storage: Arc<dyn Storage>,
    ) -> Result<Writer, StoreError> {
        let path = path.with_extension(PARTIAL);
        let io = |source| StoreError::Io { path: path.clone(), source };
        let (aside, file) = loop {
            let file = private_file().create_new(true).open(&path).map_err(io)?;
            let aside = Aside::new(path.clone());
            file.lock().map_err(io)?;
            // Before it was locked, someone may have cleared it away.
            if path.exists() {
                break (aside, file);
            }
        };
        let buffer = Zeroizing::new(Vec::with_capacity(BUFFER));
        Ok(Writer { id, aside, file, storage, buffer, written: 0 })
    }

    pub(super) fn id(&self) -> BundleId {
        self.id
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let written = self.storage.write(&mut self.file, &self.buffer);
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        written.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> StoreError {
        let path = self.aside.0.clone().unwrap_or_default();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full { path, needed: self.written }
            }
            _ => StoreError::Io { path, source },
        }
    }

    /// Brings everything to disk.
    pub(super) fn complete(mut self) -> Result<Complete, StoreError> {
        self.flush()?;
        self.file.sync_all().map_err(|source| self.failed(source))?;
        Ok(Complete { aside: self.aside, _file: self.file })
    }
}

impl Sink for Writer {
    fn put(&mut self, record: &[u8]) -> io::Result<()> {
        if self.buffer.len() + record.len() > BUFFER {
            self.flush().map_err(io::Error::other)?;
        }
        self.buffer.extend_from_slice(record);
        Ok(())
    }
}

impl Complete {
    pub(super) fn put_in_place(mut self, path: &Path) -> Result<(), StoreError> {
        let Some(aside) = self.aside.0.take() else { return Ok(()) };
        let renamed = fs::rename(&aside, path).and_then(|()| sync_parent(path));
        renamed.map_err(|source| StoreError::Io { path: path.to_owned(), source })
    }
}

/// The files aside in a directory: bundle, path, whether someone is writing or using it.
pub(super) fn aside(dir: &Path) -> Result<Vec<(Option<BundleId>, PathBuf, bool)>, StoreError> {
    let io = |source| StoreError::Io { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for file in fs::read_dir(dir).map_err(io)? {
        let path = file.map_err(io)?.path();
        if path.extension().is_none_or(|ending| ending != PARTIAL && ending != TAKEN) {
            continue;
        }
        let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        // Whoever has it holds a lock. It may be gone by now.
        let busy = File::open(&path).is_ok_and(|file| file.try_lock_shared().is_err());
        found.push((id, path, busy));
    }
    Ok(found)
}
