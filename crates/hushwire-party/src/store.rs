//! Stored preprocessing: a file for each bundle, and a ledger that sees to it that each is used at
//! most once.
//!
//! The ledger is transactional and durable. A bundle's file is complete on disk before the ledger
//! says [`State::Ready`]; [`Store::take`] makes [`State::Spent`] durable before it reads the file.
//! There is no way back from there: whatever crashes when, a bundle is handed out once or never.

mod discard;
mod error;
mod ledger;
mod recover;
mod writer;

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hushwire_mpc::{Comparison, Source, Stored};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files::{Storage, private_dir, sync_parent};
use crate::model_key::random;
use crate::{BundleId, Hash};
pub use error::StoreError;
use ledger::Ledger;
pub use writer::Writer;
use writer::{Aside, TAKEN};

const LEDGER: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("bundles");

/// One row: the store's name.
const NAME: TableDefinition<'_, (), &[u8; 16]> = TableDefinition::new("name");

/// Seconds of a day.
pub(crate) const DAY: u64 = 24 * 60 * 60;

/// Ending of bundle files.
const BUNDLE: &str = "bundle";

/// What the ledger knows of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Fingerprint of the certificate of the party that has the other half.
    pub owner: String,
    /// Names the client's store. A client may have several, and each speaks for itself alone when
    /// client and server compare what they have.
    pub store: [u8; 16],
    /// The network it was made for.
    pub network: Hash,
    /// The weights it was made for.
    pub weights: [u8; 16],
    /// Samples it is good for.
    pub batch: u32,
    /// How it compares.
    pub comparison: Comparison,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Whether it can still be used.
    pub state: State,
}

/// Whether a bundle can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It can, once.
    Ready,
    /// It was handed out or given up. For good.
    Spent,
}

/// The records of a stored bundle that was taken out. Its file goes with it.
#[derive(Debug)]
pub struct Taken {
    records: Stored<BufReader<File>>,
    _aside: Aside,
}

impl Source for Taken {
    fn take(&mut self, len: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        self.records.take(len)
    }
}

/// Bytes read from a bundle's file at a time.
const READ: usize = 1 << 20;

/// A directory of bundles.
pub struct Store {
    dir: PathBuf,
    ledger: Ledger,
    name: [u8; 16],
    storage: Arc<dyn Storage>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.dir.display())
    }
}

impl Store {
    /// Opens the store in `dir` for this process alone, making it if needed, and clears away what a
    /// crash left: files that the ledger does not call ready, and entries whose files are gone.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it; [`StoreError::Io`], [`StoreError::Ledger`].
    pub fn open(dir: &Path, storage: Arc<dyn Storage>) -> Result<Store, StoreError> {
        Store::with_ledger(dir, storage, Ledger::kept)
    }

    /// Opens the store in `dir` like [`open`](Self::open), but together with other processes that do
    /// the same: each has the ledger for the time of an operation.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`StoreError::InUse`] if another process does not let go.
    pub fn shared(dir: &Path, storage: Arc<dyn Storage>) -> Result<Store, StoreError> {
        Store::with_ledger(dir, storage, Ledger::shared)
    }

    fn with_ledger(
        dir: &Path,
        storage: Arc<dyn Storage>,
        ledger: impl FnOnce(&Path) -> Result<Ledger, StoreError>,
    ) -> Result<Store, StoreError> {
        let io = |source| StoreError::Io { path: dir.to_owned(), source };
        private_dir(dir).map_err(io)?;
        let ledger = ledger(dir)?;
        let mut store = Store { dir: dir.to_owned(), ledger, name: [0; 16], storage };
        store.name = store.with(|ledger| {
            let name = store.read_name(ledger)?;
            store.recover(ledger)?;
            Ok(name)
        })?;
        Ok(store)
    }

    /// Works with the ledger.
    fn with<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, E>,
    ) -> Result<T, E> {
        self.ledger.with(&self.dir, work)
    }

    /// Names this store: random, drawn when it was made. Not secret.
    pub fn name(&self) -> [u8; 16] {
        self.name
    }

    fn read_name(&self, ledger: &Database) -> Result<[u8; 16], StoreError> {
        let txn = ledger.begin_write().map_err(|e| self.failed(e))?;
        let name = {
            let mut table = txn.open_table(NAME).map_err(|e| self.failed(e))?;
            let kept = table.get(()).map_err(|e| self.failed(e))?.map(|name| *name.value());
            match kept {
                Some(name) => name,
                None => {
                    let name = random().map_err(|e| StoreError::Io {
                        path: self.dir.clone(),
                        source: std::io::Error::other(e),
                    })?;
                    table.insert((), &name).map_err(|e| self.failed(e))?;
                    name
                }
            }
        };
        txn.commit().map_err(|e| self.failed(e))?;
        Ok(name)
    }

    fn failed(&self, error: impl Into<redb::Error>) -> StoreError {
        StoreError::Ledger { dir: self.dir.clone(), reason: error.into().to_string() }
    }

    fn path(&self, id: &BundleId) -> PathBuf {
        self.dir.join(format!("{id}.{BUNDLE}"))
    }

    fn decode(&self, bytes: &[u8]) -> Result<Entry, StoreError> {
        postcard::from_bytes(bytes)
            .map_err(|e| StoreError::Ledger { dir: self.dir.clone(), reason: e.to_string() })
    }

    /// The entry of a bundle.
    ///
    /// # Errors
    /// [`StoreError::Ledger`].
    pub fn get(&self, id: &BundleId) -> Result<Option<Entry>, StoreError> {
        self.with(|ledger| {
            let txn = ledger.begin_read().map_err(|e| self.failed(e))?;
            let table = txn.open_table(LEDGER).map_err(|e| self.failed(e))?;
            let value = table.get(&id.0).map_err(|e| self.failed(e))?;
            value.map(|value| self.decode(value.value())).transpose()
        })
    }

    /// The bundles that can be used, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Ledger`].
    pub fn ready(&self) -> Result<Vec<(BundleId, Entry)>, StoreError> {
        self.with(|ledger| self.ready_in(ledger))
    }

    fn ready_in(&self, ledger: &Database) -> Result<Vec<(BundleId, Entry)>, StoreError> {
        let txn = ledger.begin_read().map_err(|e| self.failed(e))?;
        let table = txn.open_table(LEDGER).map_err(|e| self.failed(e))?;
        let mut ready = Vec::new();
        for row in table.iter().map_err(|e| self.failed(e))? {
            let (id, value) = row.map_err(|e| self.failed(e))?;
            let entry = self.decode(value.value())?;
            if entry.state == State::Ready {
                ready.push((BundleId(*id.value()), entry));
            }
        }
        ready.sort_by_key(|(_, entry)| entry.created);
        Ok(ready)
    }

    /// Begins a bundle, whose records go to disk as they come. Nothing is left of one that is not
    /// [added](Self::add).
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn writer(&self, id: &BundleId) -> Result<Writer, StoreError> {
        Writer::new(*id, &self.path(id), Arc::clone(&self.storage))
    }

    /// Keeps a bundle. When this returns, it is on disk.
    ///
    /// # Errors
    /// [`StoreError::Full`] if it does not fit: nothing of it is left then.
    /// [`StoreError::Duplicate`], [`StoreError::Io`], [`StoreError::Ledger`].
    pub fn add(&self, writer: Writer, entry: &Entry) -> Result<(), StoreError> {
        let id = writer.id();
        let complete = writer.complete()?;
        self.with(|ledger| {
            let txn = ledger.begin_write().map_err(|e| self.failed(e))?;
            {
                let mut table = txn.open_table(LEDGER).map_err(|e| self.failed(e))?;
                if table.get(&id.0).map_err(|e| self.failed(e))?.is_some() {
                    return Err(StoreError::Duplicate { id });
                }
                // While the ledger is ours: whoever clears away finds the file entered, or none.
                complete.put_in_place(&self.path(&id))?;
                let ready = Entry { state: State::Ready, ..entry.clone() };
                table.insert(&id.0, encode(&ready).as_slice()).map_err(|e| self.failed(e))?;
            }
            txn.commit().map_err(|e| self.failed(e))
        })
    }

    /// The bundles that are being written or used now, by any process.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn under_way(&self) -> Result<Vec<BundleId>, StoreError> {
        let found = writer::aside(&self.dir)?;
        Ok(found.into_iter().filter_map(|(id, _, busy)| id.filter(|_| busy)).collect())
    }

    /// Hands a bundle out: from here on it is spent, also if nothing comes of it. `fits` sees the
    /// entry first and may decline; then the bundle stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Unknown`], [`StoreError::NotOwner`], [`StoreError::Spent`], what `fits` says,
    /// [`StoreError::Io`], [`StoreError::Ledger`].
    pub fn take<E: From<StoreError>>(
        &self,
        id: &BundleId,
        owner: &str,
        fits: impl FnOnce(&Entry) -> Result<(), E>,
    ) -> Result<(Entry, Taken), E> {
        self.with(|ledger| {
            let entry = self.spend(ledger, id, owner, fits)?;
            let path = self.path(id);
            let io = |source| StoreError::Io { path: path.clone(), source };
            let file = File::open(&path).map_err(io)?;
            // Locked while it is used: who compares what both parties have leaves it alone.
            file.lock().map_err(io)?;
            let aside = path.with_extension(TAKEN);
            fs::rename(&path, &aside).and_then(|()| sync_parent(&path)).map_err(io)?;
            let records = Stored(BufReader::with_capacity(READ, file));
            Ok((entry, Taken { records, _aside: Aside::new(aside) }))
        })
    }

    /// Makes it durable that a bundle is spent.
    fn spend<E: From<StoreError>>(
        &self,
        ledger: &Database,
        id: &BundleId,
        owner: &str,
        fits: impl FnOnce(&Entry) -> Result<(), E>,
    ) -> Result<Entry, E> {
        let failed = |e: redb::Error| self.failed(e);
        let txn = ledger.begin_write().map_err(|e| failed(e.into()))?;
        let entry = {
            let mut table = txn.open_table(LEDGER).map_err(|e| failed(e.into()))?;
            let entry = match table.get(&id.0).map_err(|e| failed(e.into()))? {
                Some(value) => self.decode(value.value())?,
                None => return Err(StoreError::Unknown { id: *id }.into()),
            };
            if entry.owner != owner {
                return Err(StoreError::NotOwner { id: *id }.into());
            }
            if entry.state == State::Spent {
                return Err(StoreError::Spent { id: *id }.into());
            }
            fits(&entry)?;
            let spent = encode(&Entry { state: State::Spent, ..entry.clone() });
            table.insert(&id.0, spent.as_slice()).map_err(|e| failed(e.into()))?;
            entry
        };
        txn.commit().map_err(|e| failed(e.into()))?;
        Ok(entry)
    }
}

fn encode(entry: &Entry) -> Vec<u8> {
    postcard::to_stdvec(entry).unwrap_or_else(|e| unreachable!("plain data serialises: {e}"))
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
