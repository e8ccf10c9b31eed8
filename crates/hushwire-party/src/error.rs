//! What can go wrong in a session.

use hushwire_fixed::Program;
use hushwire_graph::ImportError;
use hushwire_mpc::{MpcError, op_of_step};
use hushwire_net::{IdentityError, Label, NetError, Phase, Role};

use crate::wire::{self, Verdict};
use crate::{
    BundleId, ConfigError, DescriptionError, EncryptedError, Hash, ModelKeyError, StoreError,
};

/// An error of a party. An error of a session concerns that session only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartyError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The own key or certificate cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A connection failed, or the peer does not follow the protocol.
    #[error("{}{source}", doing(.during))]
    Net {
        /// What was going on: the layer, or the message waited for.
        during: Option<String>,
        /// What happened; it names peer, phase and step.
        source: NetError,
    },
    /// A peer gave up in the middle of a phase.
    #[error("{}{peer}: gave up at {at}; its log says why", doing(.during))]
    GaveUp {
        /// Who.
        peer: Role,
        /// What was expected of it.
        at: Label,
        /// What was going on: the layer, or the message waited for.
        during: Option<String>,
    },
    /// The executor failed.
    #[error(transparent)]
    Mpc(MpcError),
    /// A peer ended the session and said why.
    #[error("{peer}: refuses: {reason}")]
    Refused {
        /// Who.
        peer: Role,
        /// Its words.
        reason: String,
    },
    /// A message of the setup phase makes no sense.
    #[error("{peer}: {what} is malformed: {reason}; do both run the same release?")]
    Malformed {
        /// Who sent it.
        peer: Role,
        /// Which message.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A peer runs another version.
    #[error("{peer}: speaks protocol version {got}, expected {expected}: use the same release")]
    Version {
        /// Who.
        peer: Role,
        /// Its version.
        got: u32,
        /// Ours.
        expected: u32,
    },
    /// The parties were not shown the same network.
    #[error(
        "the parties were not shown the same network: the client was shown {client}, the helper \
         {helper}, and the server announced {server}; nothing secret was sent. {}",
        blame(.client, .server, .helper)
    )]
    Mismatch {
        /// Hash of what the client was shown.
        client: Hash,
        /// Hash that the server announced to the helper.
        server: Hash,
        /// Hash of what the helper was shown.
        helper: Hash,
    },
    /// The server serves another network than the configuration asks for.
    #[error(
        "the server serves network {got}, the configuration asks for {expected}; if its operator \
         confirms the new network, change `network` in the configuration"
    )]
    OtherNetwork {
        /// The pinned hash.
        expected: Hash,
        /// The served network's.
        got: Hash,
    },
    /// A network cannot be served, or its description cannot be accepted.
    #[error("{}the network's description is refused: {source}", from(.peer))]
    Description {
        /// Who sent it; nobody if it is our own.
        peer: Option<Role>,
        /// What is wrong with it.
        source: DescriptionError,
    },
    /// The model file cannot be imported.
    #[error("cannot import the model: {0}")]
    Model(#[from] ImportError),
    /// The model's key cannot be kept.
    #[error(transparent)]
    ModelKey(#[from] ModelKeyError),
    /// The masked weights are not what the server announced.
    #[error("the upload has hash {got}, the server announced {expected}; nothing was kept of it")]
    Upload {
        /// Hash announced.
        expected: Hash,
        /// Hash of what arrived.
        got: Hash,
    },
    /// A request that the configuration does not admit.
    #[error("the request is not admitted: {0}")]
    Limit(String),
    /// Encrypted inference failed.
    #[error(transparent)]
    Encrypted(Box<EncryptedError>),
    /// Stored preprocessing cannot be kept or used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored bundle was made for another server, network or set of weights.
    #[error("bundle {id} cannot be used here: {reason}; prepare new ones")]
    Bundle {
        /// Which.
        id: BundleId,
        /// What does not fit.
        reason: String,
    },
    /// The peer paired with this party did not come.
    #[error("{absent}: did not come to the session within {waited:?}")]
    Absent {
        /// Who.
        absent: Role,
        /// How long it was waited for.
        waited: std::time::Duration,
    },
    /// Two parties asked for different things in one session.
    #[error("client and server ask the helper for different things; their releases may differ")]
    Disagreement,
    /// The party is about to end.
    #[error("the party is shutting down")]
    Stopping,
    /// An earlier error ended this client's session.
    #[error("the session has ended after an earlier error; connect again")]
    Over,
    /// The system has no randomness or no threads.
    #[error("the system lacks {what}: {reason}")]
    System {
        /// What is missing.
        what: &'static str,
        /// What the system said.
        reason: String,
    },
    /// The session's thread panicked.
    #[error("the session ran into a defect of this program: {0}")]
    Panic(String),
    /// A test ended the session.
    #[cfg(feature = "test-support")]
    #[error("killed by a test")]
    Killed,
}

fn doing(during: &Option<String>) -> String {
    during.as_ref().map_or_else(String::new, |what| format!("{what}: "))
}

fn from(peer: &Option<Role>) -> String {
    peer.map_or_else(String::new, |peer| format!("{peer}: "))
}

fn blame(client: &Hash, server: &Hash, helper: &Hash) -> &'static str {
    match (client == helper, server == helper) {
        (_, false) => "The server contradicts itself towards the helper.",
        (false, true) => "The server shows client and helper different networks.",
        (true, true) => "All agree.",
    }
}

impl From<EncryptedError> for PartyError {
    fn from(source: EncryptedError) -> PartyError {
        PartyError::Encrypted(Box::new(source))
    }
}

impl From<NetError> for PartyError {
    fn from(source: NetError) -> PartyError {
        PartyError::net(source, None)
    }
}

impl PartyError {
    /// An error of a phase of `program`, with the layer's name.
    pub(crate) fn in_program(error: MpcError, program: &Program) -> PartyError {
        match error {
            MpcError::Net(source) => {
                let at = label(&source).filter(|at| at.phase != Phase::Setup);
                let value = at.and_then(|at| program.values.get(op_of_step(at.step)));
                PartyError::net(source, value.map(|v| format!("layer {}", v.name)))
            }
            // The store says more of what it could not keep.
            MpcError::Keeping(source) => match source.downcast::<StoreError>() {
                Ok(store) => PartyError::Store(store),
                Err(source) => PartyError::Mpc(MpcError::Keeping(source)),
            },
            other => PartyError::Mpc(other),
        }
    }

    /// The link failed during something.
    pub(crate) fn net(source: NetError, during: Option<String>) -> PartyError {
        match source {
            NetError::UnexpectedMessage { peer, expected, got } if got == wire::LABEL => {
                PartyError::GaveUp { peer, at: expected, during }
            }
            source => PartyError::Net { during, source },
        }
    }

    pub(crate) fn mismatch(verdict: &Verdict) -> PartyError {
        let Verdict { client, server, helper, .. } = *verdict;
        PartyError::Mismatch { client, server, helper }
    }

    /// Whether a test wants the session to end without a word.
    pub(crate) fn is_silent(&self) -> bool {
        #[cfg(feature = "test-support")]
        if matches!(self, PartyError::Killed) {
            return true;
        }
        false
    }

    /// Whether a connection broke, so that another peer may know more.
    pub(crate) fn is_broken_link(&self) -> bool {
        match self {
            PartyError::Net { source, .. } => !matches!(source, NetError::Timeout { .. }),
            PartyError::GaveUp { .. } => true,
            _ => false,
        }
    }

    /// Whether the peer ended the session in good order before this message.
    pub(crate) fn is_goodbye(&self) -> bool {
        matches!(self, PartyError::Net { source: NetError::Closed { .. }, .. })
    }
}

/// What was expected when the error happened.
fn label(error: &NetError) -> Option<Label> {
    match error {
        NetError::Timeout { at, .. }
        | NetError::Closed { at, .. }
        | NetError::Disconnected { at, .. }
        | NetError::LengthMismatch { at, .. }
        | NetError::TooLong { at, .. }
        | NetError::Frame { at, .. }
        | NetError::Unusable { at, .. } => Some(*at),
        NetError::UnexpectedMessage { expected, .. } => Some(*expected),
        _ => None,
    }
}
