//! Preprocessing that is used at once: in memory up to a limit, beyond it in a file without a name.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::path::PathBuf;

use hushwire_mpc::{Records, Sink, Source, Stored};
use zeroize::Zeroizing;

use crate::files::private_dir;

/// Bytes written or read at a time.
const BUFFER: usize = 1 << 20;

/// Takes the records of one bundle.
pub(crate) struct Spool {
    /// Where the file goes.
    dir: PathBuf,
    /// Bytes that may still be held in memory.
    room: usize,
    memory: Records,
    file: Option<BufWriter<File>>,
}

/// Gives them back.
struct Spooled {
    memory: Records,
    file: Option<Stored<BufReader<File>>>,
}

impl Spool {
    /// Holds `limit_mib` * 2^20 bytes in memory.
    pub(crate) fn new(dir: PathBuf, limit_mib: u64) -> Spool {
        let room = usize::try_from(limit_mib << 20).unwrap_or(usize::MAX);
        Spool { dir, room, memory: Records::default(), file: None }
    }

    /// The records, to be read.
    ///
    /// # Errors
    /// If not all of them get to the file.
    pub(crate) fn into_source(self) -> io::Result<impl Source + 'static> {
        let file = self.file.map(|file| {
            let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.rewind()?;
            Ok::<_, io::Error>(Stored(BufReader::with_capacity(BUFFER, file)))
        });
        Ok(Spooled { memory: self.memory, file: file.transpose()? })
    }
}

impl Sink for Spool {
    fn put(&mut self, record: &[u8]) -> io::Result<()> {
        if self.file.is_none() && record.len() <= self.room {
            self.room -= record.len();
            return self.memory.put(record);
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                private_dir(&self.dir)?;
                let file = tempfile::tempfile_in(&self.dir)?;
                none.insert(BufWriter::with_capacity(BUFFER, file))
            }
        };
        file.write_all(record)
    }
}

impl Source for Spooled {
    fn take(&mut self, len: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        match &mut self.file {
            Some(file) if self.memory.is_empty() => file.take(len),
            _ => self.memory.take(len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_from_memory_and_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::new(dir.path().join("state"), 1);
        let record = |i: usize| vec![i as u8; (1 << 18) - i];
        for i in 0..20 {
            spool.put(&record(i)).expect("it is kept");
        }
        assert!(spool.file.is_some(), "more than the limit");
        assert_eq!(std::fs::read_dir(dir.path().join("state")).expect("it is there").count(), 0);
        let mut source = spool.into_source().expect("it reads");
        for i in 0..20 {
            assert_eq!(*source.take(record(i).len()).expect("a record"), record(i));
        }
        assert!(source.take(1).is_err());
    }
}
