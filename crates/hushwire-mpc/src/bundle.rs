//! Bundles of preprocessing: what a party keeps between the offline and the online phase of one
//! inference.
//!
//! A bundle is used up by the inference that takes it: executors take it by value, and what is
//! stored on disk is taken out through a ledger (crate `hushwire-party`) before it is read.

use crate::MpcError;
use crate::job::{Comparison, Job};
use crate::keys::Key;
use hushwire_ring::{Word, pack, packed_len, unpack};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// Version of the stored form.
const VERSION: u32 = 1;

/// What a bundle was prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct For {
    version: u32,
    batch: u32,
    comparison: Comparison,
    operations: u32,
    ring: u32,
}

impl For {
    fn new(job: &Job) -> For {
        For {
            version: VERSION,
            batch: job.batch as u32,
            comparison: job.comparison,
            operations: job.program.ops.len() as u32,
            ring: job.program.ring,
        }
    }
}

/// The parts of a bundle of either party, by operation.
#[derive(Serialize, Deserialize)]
struct Stored<const N: usize> {
    made_for: For,
    key: [u8; 16],
    #[serde(bound(serialize = "", deserialize = ""), with = "parts")]
    parts: BTreeMap<u32, [Vec<u8>; N]>,
}

/// Arrays of a generic length, for serde.
mod parts {
    use super::BTreeMap;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer, const N: usize>(
        parts: &BTreeMap<u32, [Vec<u8>; N]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let entries: Vec<(u32, &[Vec<u8>])> =
            parts.iter().map(|(op, part)| (*op, part.as_slice())).collect();
        entries.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<BTreeMap<u32, [Vec<u8>; N]>, D::Error> {
        let entries = Vec::<(u32, Vec<Vec<u8>>)>::deserialize(deserializer)?;
        let entry = |(op, part): (u32, Vec<Vec<u8>>)| {
            let len = part.len();
            let part = part.try_into().map_err(|_| D::Error::invalid_length(len, &"the parts"))?;
            Ok((op, part))
        };
        entries.into_iter().map(entry).collect()
    }
}

impl<const N: usize> Stored<N> {
    fn take(&mut self, op: usize) -> Result<[Vec<u8>; N], MpcError> {
        self.parts
            .remove(&(op as u32))
            .ok_or_else(|| MpcError::Bundle(format!("it has nothing for operation {op}")))
    }

    fn check(&self, job: &Job) -> Result<(), MpcError> {
        let wanted = For::new(job);
        if self.made_for == wanted {
            return Ok(());
        }
        let (made_for, key) = (self.made_for, "prepared for");
        Err(MpcError::Bundle(format!("it was {key} {made_for:?}, this is {wanted:?}")))
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let bytes = postcard::to_stdvec(self);
        Zeroizing::new(bytes.unwrap_or_else(|e| unreachable!("plain data serialises: {e}")))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, MpcError> {
        postcard::from_bytes(bytes).map_err(|e| MpcError::Bundle(format!("it is damaged ({e})")))
    }
}

impl<const N: usize> Drop for Stored<N> {
    fn drop(&mut self) {
        self.key.zeroize();
        self.parts.values_mut().flatten().for_each(Zeroize::zeroize);
    }
}

macro_rules! bundle {
    ($(#[$doc:meta])* $name:ident, $parts:literal) => {
        $(#[$doc])*
        pub struct $name(Stored<$parts>);

        impl $name {
            pub(crate) fn new(job: &Job, key: Key) -> Self {
                let made_for = For::new(job);
                $name(Stored { made_for, key: *key.bytes(), parts: BTreeMap::new() })
            }

            pub(crate) fn key(&self) -> Key {
                Key::new(self.0.key)
            }

            pub(crate) fn check(&self, job: &Job) -> Result<(), MpcError> {
                self.0.check(job)
            }

            /// The bundle as bytes, for storage. They are secret.
            pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
                self.0.to_bytes()
            }

            /// Reads a stored bundle.
            ///
            /// # Errors
            /// Bytes that are no bundle of this party.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, MpcError> {
                Stored::from_bytes(bytes).map($name)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?}, contents withheld)", stringify!($name), self.0.made_for)
            }
        }
    };
}

bundle! {
    /// The client's bundle: its summands of opened values, and comparison keys.
    ClientBundle, 2
}

bundle! {
    /// The server's bundle: the helper's material and the client's masked shares, as received.
    ServerBundle, 3
}

impl ClientBundle {
    pub(crate) fn add<W: Word>(&mut self, op: usize, width: u32, public: &[W], keys: Vec<u8>) {
        let mut packed = Vec::with_capacity(packed_len(public.len(), width));
        pack(public, width, &mut packed);
        self.0.parts.insert(op as u32, [packed, keys]);
    }

    pub(crate) fn take<W: Word>(
        &mut self,
        op: usize,
        width: u32,
        count: usize,
    ) -> Result<(Vec<W>, Vec<u8>), MpcError> {
        let [packed, keys] = self.0.take(op)?;
        let mut public = vec![W::ZERO; count];
        unpack(&packed, width, &mut public).map_err(|e| MpcError::Bundle(e.to_string()))?;
        Ok((public, keys))
    }
}

impl ServerBundle {
    pub(crate) fn add(&mut self, op: usize, parts: [Vec<u8>; 3]) {
        self.0.parts.insert(op as u32, parts);
    }

    /// Material, keys, masked shares of operation `op`.
    pub(crate) fn take(&mut self, op: usize) -> Result<[Vec<u8>; 3], MpcError> {
        self.0.take(op)
    }
}
