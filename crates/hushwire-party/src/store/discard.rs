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
        let given_up = self.with(|ledger| {
            let mut found = self.ready_in(ledger)?;
            found.retain(|(id, entry)| unwanted(id, entry));
            if found.is_empty() {
                return Ok(Vec::new());
            }
            let mut given_up = Vec::new();
            let txn = ledger.begin_write().map_err(|e| self.failed(e))?;
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
            given_up.iter().try_for_each(|id| self.remove(id))?;
            Ok::<_, StoreError>(given_up)
        })?;
        if given_up.is_empty() {
            return Ok(0);
        }
        tracing::warn!(
            bundles = given_up.len(),
            "gave up stored bundles: too old, missing at the peer, or made for other weights"
        );
        Ok(given_up.len())
    }

    fn remove(&self, id: &BundleId) -> Result<(), StoreError> {
        let path = self.path(id);
        fs::remove_file(&path).and_then(|()| sync_parent(&path)).or_else(|source| {
            let gone = source.kind() == io::ErrorKind::NotFound;
            if gone { Ok(()) } else { Err(StoreError::Io { path, source }) }
        })
    }
}
