//! What can go wrong, where, and what to do about it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::tls::{Fingerprint, IdentityError};
use crate::{FrameError, Label, Role};

/// An error of a link or of setting one up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// The peer made no progress for as long as the options allow.
    #[error(
        "{peer}: no progress on {at} for {waited:?}; is it running, and is the time-out enough?"
    )]
    Timeout {
        /// The other end.
        peer: Role,
        /// What was being sent or received.
        at: Label,
        /// How long.
        waited: Duration,
    },
    /// The peer closed the link in good order before this message.
    #[error("{peer}: closed the link before {at}")]
    Closed {
        /// The other end.
        peer: Role,
        /// What was being sent or received.
        at: Label,
    },
    /// The connection broke.
    #[error("{peer}: connection lost at {at}: {reason}")]
    Disconnected {
        /// The other end.
        peer: Role,
        /// What was being sent or received.
        at: Label,
        /// What the transport said.
        reason: String,
    },
    /// The peer sent another message than the one expected: the two are not running the same steps.
    #[error("{peer}: expected {expected}, got {got}; do both run the same program?")]
    UnexpectedMessage {
        /// The other end.
        peer: Role,
        /// What was to be received.
        expected: Label,
        /// What came.
        got: Label,
    },
    /// The message does not have the length expected.
    #[error(
        "{peer}: {at} has {}{got} bytes, expected {expected}",
        if *.unfinished { "at least " } else { "" }
    )]
    LengthMismatch {
        /// The other end.
        peer: Role,
        /// What was being received.
        at: Label,
        /// The length asked for.
        expected: usize,
        /// The length found so far.
        got: usize,
        /// Whether more was to come when the message was refused.
        unfinished: bool,
    },
    /// The message is longer than the receiver allows.
    #[error("{peer}: {at} has at least {got} bytes, at most {max} are allowed")]
    TooLong {
        /// The other end.
        peer: Role,
        /// What was being received.
        at: Label,
        /// The bound.
        max: usize,
        /// The length found so far.
        got: usize,
    },
    /// The peer's bytes are not the frames of this protocol.
    #[error("{peer}: bad frame while waiting for {at}: {source}")]
    Frame {
        /// The other end.
        peer: Role,
        /// What was being sent or received.
        at: Label,
        /// What is wrong with it.
        source: FrameError,
    },
    /// An earlier error left the link in the middle of a message; it cannot be used again.
    #[error("{peer}: the link is unusable at {at} after an earlier error: {reason}")]
    Unusable {
        /// The other end.
        peer: Role,
        /// What was being sent or received.
        at: Label,
        /// The earlier error.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen: {source}")]
    Bind {
        /// What the system said.
        source: io::Error,
    },
    /// Nobody listened in time.
    #[error("nobody listens at {addr} after {waited:?}: {source}; is the party running?")]
    Connect {
        /// The address tried last.
        addr: String,
        /// How long it was tried.
        waited: Duration,
        /// What the system said last.
        source: io::Error,
    },
    /// The connection failed while it was being set up.
    #[error("{addr}: connection failed during the handshake: {source}")]
    Connection {
        /// The peer's address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The handshake was not complete in time.
    #[error("{addr}: handshake not complete after {waited:?}")]
    HandshakeTimeout {
        /// The peer's address.
        addr: SocketAddr,
        /// How long it may take.
        waited: Duration,
    },
    /// The TLS handshake failed.
    #[error("{addr}: TLS handshake failed: {source}; is the other side a hushwire party?")]
    Handshake {
        /// The peer's address.
        addr: SocketAddr,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// The peer's certificate is not trusted.
    #[error(
        "{addr}: untrusted certificate {presented}: if its owner confirms this fingerprint, add the \
         certificate to the trusted ones in the configuration"
    )]
    UntrustedPeer {
        /// The peer's address.
        addr: SocketAddr,
        /// The certificate presented.
        presented: Fingerprint,
    },
    /// The peer does not trust our certificate.
    #[error(
        "{addr}: the peer does not trust our certificate {own}: give it to the peer's operator to \
         add to the trusted ones"
    )]
    RefusedByPeer {
        /// The peer's address.
        addr: SocketAddr,
        /// Our certificate.
        own: Fingerprint,
    },
    /// The peer's hello makes no sense.
    #[error("{addr}: {reason}")]
    Hello {
        /// The peer's address.
        addr: SocketAddr,
        /// What is wrong with it.
        reason: String,
    },
    /// The peer plays another role than its certificate is trusted for.
    #[error("{addr}: the peer calls itself {got}, its certificate is trusted as {expected}")]
    WrongRole {
        /// The peer's address.
        addr: SocketAddr,
        /// The role it is trusted in.
        expected: Role,
        /// The role it claims.
        got: Role,
    },
    /// The peer declined the session.
    #[error("{peer}: declined the session, for now: all its places are taken; try again later")]
    SessionRefused {
        /// The other end.
        peer: Role,
    },
    /// A key or certificate cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No key could be agreed on.
    #[error("{peer}: no key agreed: {reason}")]
    KeyAgreement {
        /// The other end.
        peer: Role,
        /// Why.
        reason: &'static str,
    },
    /// A thread for the link could not be started.
    #[error("no thread for the link: {source}")]
    Spawn {
        /// What the system said.
        source: io::Error,
    },
}

/// Why a link no longer works; it becomes an error when someone asks for a message.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Closed,
    Lost(String),
    Frame(FrameError),
    Stalled(Duration),
    Misused(String),
}

impl Fault {
    pub(crate) fn into_error(self, peer: Role, at: Label) -> NetError {
        match self {
            Fault::Closed => NetError::Closed { peer, at },
            Fault::Lost(reason) => NetError::Disconnected { peer, at, reason },
            Fault::Frame(source) => NetError::Frame { peer, at, source },
            Fault::Stalled(waited) => NetError::Timeout { peer, at, waited },
            Fault::Misused(reason) => NetError::Unusable { peer, at, reason },
        }
    }
}
