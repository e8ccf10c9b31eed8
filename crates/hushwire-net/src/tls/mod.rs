//! TLS 1.3 between parties that know each other's certificates.
//!
//! Every party makes its own key and self-signed certificate ([`Identity`]) and lists the
//! certificates it trusts, byte for byte; there are no authorities and no names to check. After the
//! handshake both sides say who they are and which session they mean, and then the connection is a
//! [`Link`](crate::Link).

mod config;
mod connect;
mod handshake;
mod identity;
mod listen;
mod pin;
mod stream;

use std::time::Duration;

pub use connect::connect;
pub use identity::{Identity, IdentityError};
pub use listen::{Incoming, Listener};
pub use pin::{Fingerprint, PeerCertificate};

use crate::LinkOptions;

/// Bytes that name a session.
pub type SessionId = [u8; 16];

/// Limits and time-outs of setting up connections.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsOptions {
    /// For the links that come of it.
    pub link: LinkOptions,
    /// How long to try to reach a listener that is not there yet.
    pub connect_timeout: Duration,
    /// How long a handshake may take in all.
    pub handshake_timeout: Duration,
    /// Handshakes that a listener carries on at once; further clients are turned away.
    pub max_handshakes: usize,
}

impl Default for TlsOptions {
    fn default() -> TlsOptions {
        TlsOptions {
            link: LinkOptions::default(),
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 64,
        }
    }
}
