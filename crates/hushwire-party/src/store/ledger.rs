//! Who has the ledger's database, which one at a time can have open.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use redb::{Database, DatabaseError};

use super::StoreError;
use crate::files::private_file;

/// How long others may have a shared ledger: operations take milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two attempts to get it.
const PAUSE: Duration = Duration::from_millis(2);

pub(super) enum Ledger {
    /// This process has it until it ends.
    Kept(Database),
    /// This process has it for one operation at a time; its threads take turns.
    Shared(Mutex<()>),
}

impl Ledger {
    pub(super) fn kept(dir: &Path) -> Result<Ledger, StoreError> {
        open(dir)?.map(Ledger::Kept).ok_or_else(|| in_use(dir))
    }

    pub(super) fn shared(_: &Path) -> Result<Ledger, StoreError> {
        Ok(Ledger::Shared(Mutex::default()))
    }

    /// Works with the database.
    pub(super) fn with<T, E: From<StoreError>>(
        &self,
        dir: &Path,
        work: impl FnOnce(&Database) -> Result<T, E>,
    ) -> Result<T, E> {
        let turn = match self {
            Ledger::Kept(database) => return work(database),
            Ledger::Shared(turn) => turn,
        };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Instant::now();
        loop {
            if let Some(database) = open(dir)? {
                return work(&database);
            }
            if start.elapsed() > PATIENCE {
                return Err(in_use(dir).into());
            }
            thread::sleep(PAUSE);
        }
    }
}

fn in_use(dir: &Path) -> StoreError {
    StoreError::InUse { dir: dir.to_owned() }
}

/// The database, unless another has it open.
fn open(dir: &Path) -> Result<Option<Database>, StoreError> {
    let path = dir.join("ledger.redb");
    let file = private_file().create(true).truncate(false).open(&path);
    let file = file.map_err(|source| StoreError::Io { path, source })?;
    match Database::builder().create_file(file) {
        Ok(database) => Ok(Some(database)),
        Err(DatabaseError::DatabaseAlreadyOpen) => Ok(None),
        Err(other) => Err(StoreError::Ledger { dir: dir.to_owned(), reason: other.to_string() }),
    }
}
