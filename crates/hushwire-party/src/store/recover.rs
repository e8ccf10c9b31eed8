//! Clearing away what a crash left.

use std::collections::HashSet;
use std::fs;

use redb::ReadableTable;

use super::{BUNDLE, Entry, LEDGER, State, Store, StoreError, encode};
use crate::BundleId;

impl Store {
    /// Removes files that the ledger does not call ready, and marks entries whose files are gone.
    pub(super) fn recover(&self) -> Result<(), StoreError> {
        let io = |source| StoreError::Io { path: self.dir.clone(), source };
        let mut ready: HashSet<BundleId> = HashSet::new();
        {
            let txn = self.ledger.begin_write().map_err(|e| self.failed(e))?;
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
        for file in fs::read_dir(&self.dir).map_err(io)? {
            let path = file.map_err(io)?.path();
            let ending = path.extension().and_then(|e| e.to_str());
            let id = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok());
            let stale = match (ending, id) {
                (Some(BUNDLE), Some(id)) => !ready.contains(&id),
                (Some(crate::files::PARTIAL), _) => true,
                _ => false,
            };
            if stale {
                tracing::info!(path = %path.display(), "removing what an earlier run left");
                fs::remove_file(&path).map_err(|source| StoreError::Io { path, source })?;
            }
        }
        Ok(())
    }
}
