//! Bundles of preprocessing: what a party keeps between the offline and the online phase of one
//! inference.
//!
//! A bundle is a sequence of records, written as they are made and read back in the same order, so
//! that it need never be in memory as a whole. It is used up by the inference that takes it:
//! executors take it by value, and what is stored on disk is taken out through a ledger (crate
//! `hushwire-party`) before it is read.

use crate::MpcError;
use crate::job::{Comparison, Job};
use crate::keys::Key;
use hushwire_net::Role;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use zeroize::{Zeroize, Zeroizing};

/// Version of the stored form.
const VERSION: u32 = 2;

/// Where the records of a bundle are put. They are secret.
pub trait Sink: Send {
    /// Appends a record.
    ///
    /// # Errors
    /// If it cannot be kept: the preprocessing is given up.
    fn put(&mut self, record: &[u8]) -> io::Result<()>;
}

/// Where the records of a bundle are read.
pub trait Source: Send {
    /// Reads the next `len` bytes: executors ask for whole records, in the order of writing.
    ///
    /// # Errors
    /// If there are not as many.
    fn take(&mut self, len: usize) -> io::Result<Zeroizing<Vec<u8>>>;
}

/// Records in memory, wiped when dropped.
#[derive(Default)]
pub struct Records {
    records: VecDeque<Vec<u8>>,
}

impl Records {
    /// All records, one after the other.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.records.iter().flatten().copied().collect())
    }
}

impl Sink for Records {
    fn put(&mut self, record: &[u8]) -> io::Result<()> {
        self.records.push_back(record.to_vec());
        Ok(())
    }
}

impl Source for Records {
    fn take(&mut self, len: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        match self.records.pop_front() {
            Some(record) if record.len() == len => Ok(Zeroizing::new(record)),
            other => {
                drop(other.map(Zeroizing::new));
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}

impl Records {
    /// Whether there are none, or all have been read.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// Records that are read from a file, or from anything else that reads.
#[derive(Debug)]
pub struct Stored<R>(pub R);

impl<R: io::Read + Send> Source for Stored<R> {
    fn take(&mut self, len: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        let mut record = Zeroizing::new(vec![0; len]);
        self.0.read_exact(&mut record)?;
        Ok(record)
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.records.iter_mut().for_each(Zeroize::zeroize);
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({}, contents withheld)", self.records.len())
    }
}

/// Bytes of the record that begins a bundle.
const HEADER: usize = 40;

/// The first record: whose bundle it is, what it was prepared for, and the key with the helper.
fn header(role: Role, job: &Job, key: &[u8; 16]) -> Zeroizing<[u8; HEADER]> {
    let comparison = match job.comparison {
        Comparison::Dcf => 0,
        Comparison::Digits => 1,
    };
    let fields = [
        VERSION,
        role.index() as u32,
        job.batch as u32,
        comparison,
        job.program.ops.len() as u32,
        job.program.ring,
    ];
    let mut bytes = Zeroizing::new([0; HEADER]);
    for (place, field) in bytes.chunks_exact_mut(4).zip(fields) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    bytes[HEADER - 16..].copy_from_slice(key);
    bytes
}

/// Begins a bundle.
pub(crate) fn begin(role: Role, job: &Job, key: &Key, sink: &mut dyn Sink) -> Result<(), MpcError> {
    put(sink, &*header(role, job, key.bytes()))
}

/// Appends a record to a bundle.
pub(crate) fn put(sink: &mut dyn Sink, record: &[u8]) -> Result<(), MpcError> {
    sink.put(record).map_err(MpcError::Keeping)
}

/// A bundle that is being used up.
struct Opened {
    source: Box<dyn Source>,
    role: Role,
}

impl Opened {
    fn begin(&mut self, job: &Job) -> Result<Key, MpcError> {
        let found = self.take(HEADER)?;
        let (made_for, key) = found.split_at(HEADER - 16);
        if *made_for != header(self.role, job, &[0; 16])[..HEADER - 16] {
            let text = "it was prepared for another party, network, batch or comparison";
            return Err(MpcError::Bundle(text.to_owned()));
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(key);
        let key = Key::new(bytes);
        bytes.zeroize();
        Ok(key)
    }

    fn take(&mut self, len: usize) -> Result<Zeroizing<Vec<u8>>, MpcError> {
        self.source.take(len).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => {
                MpcError::Bundle("it is damaged: there is less of it than there should be".into())
            }
            _ => MpcError::Bundle(format!("it cannot be read: {e}")),
        })
    }
}

macro_rules! bundle {
    ($(#[$doc:meta])* $name:ident, $role:expr) => {
        $(#[$doc])*
        pub struct $name(Opened);

        impl $name {
            /// The bundle that begins in `source`.
            pub fn new(source: impl Source + 'static) -> Self {
                $name(Opened { source: Box::new(source), role: $role })
            }

            /// Reads the beginning, and gives the key that the preprocessing was made under.
            pub(crate) fn begin(&mut self, job: &Job) -> Result<Key, MpcError> {
                self.0.begin(job)
            }

            /// The next record.
            pub(crate) fn take(&mut self, len: usize) -> Result<Zeroizing<Vec<u8>>, MpcError> {
                self.0.take(len)
            }

            /// The next record if it has a length; an empty one is not kept.
            pub(crate) fn take_some(&mut self, len: usize) -> Result<Zeroizing<Vec<u8>>, MpcError> {
                if len == 0 { Ok(Zeroizing::default()) } else { self.0.take(len) }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(contents withheld)"))
            }
        }
    };
}

bundle! {
    /// The client's bundle: its summands of opened values, and comparison keys.
    ClientBundle, Role::Client
}

bundle! {
    /// The server's bundle: the helper's material and the client's masked shares, as received.
    ServerBundle, Role::Server
}
