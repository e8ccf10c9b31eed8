//! What of an error is told to the other parties of a session. The whole of it goes to the own log;
//! peers get what the protocol is about, and nothing of the machine: no paths, no addresses.

use hushwire_mpc::MpcError;
use hushwire_net::NetError;

use crate::{PartyError, StoreError};

impl PartyError {
    /// The error as peers see it. Every kind is decided upon here, new ones too.
    pub(crate) fn for_peers(&self) -> String {
        let text = match self {
            PartyError::Net { during: _, source } | PartyError::Mpc(MpcError::Net(source)) => {
                return for_peers_of_link(self, source);
            }
            PartyError::Store(error) => return for_peers_of_store(error),
            PartyError::Encrypted(error) if !error.is_private() => return error.to_string(),
            PartyError::Encrypted(_) => "it cannot keep keys; its log says why",
            PartyError::GaveUp { .. }
            | PartyError::Mpc(_)
            | PartyError::Refused { .. }
            | PartyError::Malformed { .. }
            | PartyError::Version { .. }
            | PartyError::Mismatch { .. }
            | PartyError::OtherNetwork { .. }
            | PartyError::Description { .. }
            | PartyError::Upload { .. }
            | PartyError::Limit(_)
            | PartyError::Bundle { .. }
            | PartyError::Absent { .. }
            | PartyError::Disagreement
            | PartyError::Over
            | PartyError::Stopping => return self.to_string(),
            PartyError::Config(_)
            | PartyError::Identity(_)
            | PartyError::Model(_)
            | PartyError::ModelKey(_) => "it cannot use its own files; its log says why",
            PartyError::System { .. } => "its system lacks what it needs; its log says what",
            PartyError::Panic(_) => "it ran into a defect of its program; its log says which",
            #[cfg(feature = "test-support")]
            PartyError::Killed => "killed by a test",
        };
        text.to_owned()
    }
}

/// Both client and server are connected with each other when they call the helper: if setting up a
/// connection fails, it is that to the helper.
fn for_peers_of_link(error: &PartyError, source: &NetError) -> String {
    let text = match source {
        // What the system or the TLS library says of a broken connection stays here.
        NetError::Closed { peer, at } | NetError::Disconnected { peer, at, .. } => {
            return format!("its connection with the {peer} was lost at {at}");
        }
        NetError::Timeout { .. }
        | NetError::UnexpectedMessage { .. }
        | NetError::LengthMismatch { .. }
        | NetError::TooLong { .. }
        | NetError::Frame { .. }
        | NetError::Unusable { .. }
        | NetError::SessionRefused { .. }
        | NetError::KeyAgreement { .. } => return error.to_string(),
        NetError::Connect { .. } => "nobody listens at the address that it has for the helper",
        NetError::HandshakeTimeout { .. } => "the helper does not answer it in time",
        NetError::UntrustedPeer { .. } => "it does not trust the helper's certificate",
        NetError::RefusedByPeer { .. } => "the helper does not trust its certificate",
        _ => "it cannot set up a connection to the helper; its log says why",
    };
    text.to_owned()
}

fn for_peers_of_store(error: &StoreError) -> String {
    match error {
        StoreError::Full { needed, .. } => {
            format!("the disk is full where it keeps preprocessing: {needed} bytes are needed")
        }
        StoreError::InUse { .. } | StoreError::Io { .. } | StoreError::Ledger { .. } => {
            "it cannot keep or read preprocessing; its log says why".to_owned()
        }
        StoreError::Unknown { .. }
        | StoreError::NotOwner { .. }
        | StoreError::Spent { .. }
        | StoreError::Duplicate { .. } => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use hushwire_net::{Label, Phase, Role};

    use super::*;
    use crate::{ConfigError, ModelKeyError};

    #[test]
    fn peers_hear_of_no_path_and_no_address() {
        let path = || PathBuf::from("/private/place");
        let source = || io::Error::other("/private/place");
        let addr = "192.0.2.1:7002";
        let dialled = |source| PartyError::Net { during: None, source };
        let errors = [
            PartyError::Config(ConfigError::Read { path: path(), source: source() }),
            PartyError::ModelKey(ModelKeyError::Io { path: path(), source: source() }),
            PartyError::Store(StoreError::Full { path: path(), needed: 7 }),
            PartyError::Store(StoreError::Io { path: path(), source: source() }),
            PartyError::Store(StoreError::InUse { dir: path() }),
            PartyError::Store(StoreError::Ledger { dir: path(), reason: "/private".into() }),
            PartyError::Panic("cannot open /private/place".into()),
            dialled(NetError::Connect {
                addr: addr.into(),
                waited: std::time::Duration::ZERO,
                source: source(),
            }),
            dialled(NetError::Bind { source: source() }),
            dialled(NetError::Disconnected {
                peer: Role::Helper,
                at: Label { phase: Phase::Offline, step: 4 },
                reason: "/private/place".into(),
            }),
            dialled(NetError::Connection { addr: addr.parse().unwrap(), source: source() }),
        ];
        for error in errors {
            let (own, told) = (error.to_string(), error.for_peers());
            assert!(own.contains("private") || own.contains(addr), "{own}");
            assert!(!told.contains("private") && !told.contains("192.0.2.1"), "{told}");
        }
        let refused = PartyError::Refused { peer: Role::Helper, reason: "why".into() };
        assert_eq!(refused.for_peers(), refused.to_string());
    }
}
