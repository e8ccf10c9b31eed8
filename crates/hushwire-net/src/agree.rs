//! A fresh key for a pair of parties.
//!
//! Ephemeral X25519, then HKDF-SHA256 with the session as salt and a context of both roles and both
//! public keys. The link below authenticates the public keys: TLS with pinned certificates, or one
//! process.

use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Link, NetError, Phase, Role};

/// The step of [`agree`]'s messages in the set-up phase; callers number theirs from zero.
pub const AGREE_STEP: u32 = u32::MAX;

const KEY_LEN: usize = 32;
const CONTEXT: &[u8] = b"hushwire/1 pair key";

/// A key that exactly two parties know. It is wiped when dropped and never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SharedKey([u8; KEY_LEN]);

impl SharedKey {
    /// The key for one purpose. Different labels give unrelated keys; the caller wipes the result.
    pub fn derive(&self, label: &str) -> [u8; 16] {
        let mut key = [0; 16];
        Hkdf::<Sha256>::new(None, &self.0)
            .expand_multi_info(&[b"hushwire/1 derive ", label.as_bytes()], &mut key)
            .expect("16 bytes are within what HKDF gives");
        key
    }

    /// Whether two keys are equal, in constant time.
    pub fn same_as(&self, other: &SharedKey) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedKey(..)")
    }
}

/// Agrees on a key with the party at the other end, which must call this too. One message of 32
/// bytes each way, counted in the set-up phase.
///
/// # Errors
/// [`NetError::KeyAgreement`] if the peer's public key is degenerate or there is no randomness, or
/// an error of the link.
pub fn agree(link: &Link, own: Role, session: &[u8; 16]) -> Result<SharedKey, NetError> {
    let peer = link.peer();
    let failed = |reason| NetError::KeyAgreement { peer, reason };
    let mut seed = Zeroizing::new([0; KEY_LEN]);
    getrandom::fill(&mut *seed).map_err(|_| failed("the system has no randomness"))?;
    let secret = StaticSecret::from(*seed);
    let public = PublicKey::from(&secret);
    link.send(Phase::Setup, AGREE_STEP, public.as_bytes().to_vec())?;
    let theirs = link.recv(Phase::Setup, AGREE_STEP, KEY_LEN)?;
    let theirs: [u8; KEY_LEN] =
        theirs.try_into().map_err(|_| failed("the public key has another length"))?;
    if theirs == *public.as_bytes() {
        return Err(failed("the peer sent our own public key back"));
    }
    let shared = secret.diffie_hellman(&PublicKey::from(theirs));
    if !shared.was_contributory() {
        return Err(failed("the peer's public key is degenerate"));
    }
    // The same context at both ends: the party with the lower index comes first.
    let (mine, its) = ((own, *public.as_bytes()), (peer, theirs));
    let (first, second) = if own < peer { (mine, its) } else { (its, mine) };
    let roles = [first.0.to_byte(), second.0.to_byte()];
    let mut key = SharedKey([0; KEY_LEN]);
    Hkdf::<Sha256>::new(Some(session), shared.as_bytes())
        .expand_multi_info(&[CONTEXT, &roles, &first.1, &second.1], &mut key.0)
        .expect("32 bytes are within what HKDF gives");
    Ok(key)
}
