//! Clearing away what a crash left.

use std::collections::HashSet;
use std::fs;
use std::io;

use redb::{Database, ReadableTable};

use super::{BUNDLE, Entry, LEDGER, State, Store, StoreError, encode, writer};
use crate::BundleId;

impl Store {
    /// Removes files that the ledger does not call ready, and marks entries whose files are gone.
    pub(super) fn recover(&self, ledger: &Database) -> Result<(), StoreError> {
        let io = |source| StoreError::Io { path: self.dir.clone(), source };
        let mut ready: HashSet<BundleId> = HashSet::new();
        {
            let txn = ledger.begin_write().map_err(|e| self.failed(e))?;
            {
                let mut table = txn.open_table(LEDGER).map_err(|e| self.failed(e))?;
                let mut gone = Vec::new();
                for row in table.iter().map_err(|e| self.failed(e))? {
                    let (id, value) = row.map_err(|e| self.failed(e))?;
                    let id = BundleId(*id.value());
                    let entry = self.decode(value.value())?;
                    match entry.state {
                        State::Ready if self.path(&id).exists() => drop(ready.insert(id)),
                        State::Ready => gone.push((id, entry)),
                        State::Spent => {}
                    }
                }
                for (id, entry) in gone {
                    tracing::warn!(bundle = %id, "the file of a stored bundle is gone");
                    let bytes = encode(&Entry { state: State::Spent, ..entry });
                    table.insert(&id.0, bytes.as_slice()).map_err(|e| self.failed(e))?;
                }
            }
            txn.commit().map_err(|e| self.failed(e))?;
        }
        let mut stale = Vec::new();
        for file in fs::read_dir(&self.dir).map_err(io)? {
            let path = file.map_err(io)?.path();
            let ending = path.extension().and_then(|e| e.to_str());
            let id = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok());
            if ending == Some(BUNDLE) && id.is_some_and(|id| !ready.contains(&id)) {
                stale.push(path);
            }
        }
        let abandoned = writer::aside(&self.dir)?.into_iter().filter(|(_, _, busy)| !busy);
        stale.extend(abandoned.map(|(_, path, _)| path));
        for path in stale {
            tracing::info!(path = %path.display(), "removing what an earlier run left");
            let removed = fs::remove_file(&path);
            // Its writer may have put it in place or removed it meanwhile.
            removed.or_else(|source| {
                let gone = source.kind() == io::ErrorKind::NotFound;
                if gone { Ok(()) } else { Err(StoreError::Io { path, source }) }
            })?;
        }
        Ok(())
    }
}
