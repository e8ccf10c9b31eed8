//! What can go wrong, where, and what to do about it.

use std::io;
use std::time::Duration;

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
