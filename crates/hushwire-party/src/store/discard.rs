//! Giving up bundles that are not used any more.

use std::fs;
use std::io;

use redb::ReadableTable;

use super::{Entry, LEDGER, State, Store, StoreError, encode};
use crate::BundleId;
use crate::files::sync_parent;

impl Store {
    /// Gives up the bundles that are not wanted: they are spent from here on. Returns how many.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Ledger`].
    pub fn discard(
        &self,
        unwanted: impl Fn(&BundleId, &Entry) -> bool,
    ) -> Result<usize, StoreError> {
        let mut found = self.ready()?;
        found.retain(|(id, entry)| unwanted(id, entry));
        if found.is_empty() {
            return Ok(0);
        }
        let mut given_up = Vec::new();
        let txn = self.ledger.begin_write().map_err(|e| self.failed(e))?;
        {
            let mut table = txn.open_table(LEDGER).map_err(|e| self.failed(e))?;
            for (id, entry) in found {
                // Someone may have taken it by now: its file is not ours to remove then.
                let now = table.get(&id.0).map_err(|e| self.failed(e))?;
                let now = now.map(|value| self.decode(value.value())).transpose()?;
                if now.is_some_and(|entry| entry.state == State::Ready) {
                    let spent = encode(&Entry { state: State::Spent, ..entry });
                    table.insert(&id.0, spent.as_slice()).map_err(|e| self.failed(e))?;
                    given_up.push(id);
                }
            }
        }
        txn.commit().map_err(|e| self.failed(e))?;
        for id in &given_up {
            let path = self.path(id);
            fs::remove_file(&path).and_then(|()| sync_parent(&path)).or_else(|source| {
                let gone = source.kind() == io::ErrorKind::NotFound;
                if gone { Ok(()) } else { Err(StoreError::Io { path, source }) }
            })?;
        }
        tracing::warn!(
            bundles = given_up.len(),
            "gave up stored bundles: too old, missing at the peer, or made for other weights"
        );
        Ok(given_up.len())
    }
}
