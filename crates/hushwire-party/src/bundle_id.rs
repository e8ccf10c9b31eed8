//! Names of bundles of preprocessing.

use std::fmt;
use std::str::FromStr;

use hushwire_mpc::Key;
use hushwire_net::{SessionId, SharedKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The name of a bundle, the same at every party: it follows from the session that made the bundle
/// and the bundle's number in it. Not secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BundleId(pub [u8; 16]);

impl BundleId {
    /// The `number`-th bundle of a session.
    pub(crate) fn new(session: &SessionId, number: u64) -> BundleId {
        let mut hash = Sha256::new();
        hash.update(b"hushwire/1 bundle");
        hash.update(session);
        hash.update(number.to_le_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        BundleId(id)
    }

    /// The key of this bundle, from the key that the session agreed on.
    pub(crate) fn key(&self, shared: &SharedKey) -> Key {
        let bytes = Zeroizing::new(shared.derive(&format!("bundle {self}")));
        Key::new(*bytes)
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BundleId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut id = [0; 16];
        let parsed = hex::decode_to_slice(text, &mut id);
        parsed.map_err(|_| format!("`{text}` is no bundle's name: 32 hexadecimal digits are"))?;
        Ok(BundleId(id))
    }
}
