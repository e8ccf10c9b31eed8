//! What client and server say to each other, beside ciphertexts and the upload of keys.

use hushwire_graph::Graph;
use hushwire_he::Interface;
use hushwire_net::{Link, Phase};
use serde::{Deserialize, Serialize};

use crate::description::MAX_BYTES;
use crate::wire::messages;
use crate::{Hash, PartyError, PartyReport};

/// Version of the protocol.
pub(super) const PROTOCOL: u32 = 1;

/// Bytes of an uploaded piece of a key set.
pub(super) const PIECE: usize = 1 << 20;

/// The step of ciphertexts.
const CIPHERTEXT_STEP: u32 = 0;

/// The step of pieces of keys.
const PIECE_STEP: u32 = 2;

messages! {
    32 Hello "the client's greeting";
    33 Welcome "the server's greeting" MAX_BYTES;
    34 Offer "the client's offer of keys";
    35 Answer "the server's answer to the offer";
    36 Ask "the request";
    37 Event "the server's progress" 1 << 20;
    38 KeysRead "the server's word that it has the keys";
}

/// Client to server, first of all.
#[derive(Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) protocol: u32,
}

/// Server to client: what it serves.
#[derive(Serialize, Deserialize)]
pub(super) struct Welcome {
    pub(super) graph: Graph,
    pub(super) interface: Interface,
    /// Values that are computed one after the other.
    pub(super) values: u32,
}

/// Client to server: its public keys.
#[derive(Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) keys: Hash,
    pub(super) bytes: u64,
}

/// Server to client: whether it needs them.
#[derive(Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) upload: bool,
}

/// Server to client: it can compute now.
#[derive(Serialize, Deserialize)]
pub(super) struct KeysRead;

/// Client to server: one run; as many ciphertexts follow as the interface says.
#[derive(Serialize, Deserialize)]
pub(super) struct Ask;

/// Server to client, while it computes.
#[derive(Serialize, Deserialize)]
pub(super) enum Event {
    /// A value is done.
    Done { value: u32, name: String },
    /// All of it is; the result follows.
    Result { seconds: f64, party: Option<PartyReport> },
}

/// Sends a ciphertext.
pub(super) fn send_ciphertext(link: &Link, bytes: Vec<u8>) -> Result<(), PartyError> {
    Ok(link.send(Phase::Online, CIPHERTEXT_STEP, bytes)?)
}

/// Receives a ciphertext of at most so many bytes.
pub(super) fn receive_ciphertext(link: &Link, most: usize) -> Result<Vec<u8>, PartyError> {
    let waiting = || Some("waiting for a ciphertext".to_owned());
    link.recv_bounded(Phase::Online, CIPHERTEXT_STEP, most)
        .map_err(|e| PartyError::net(e, waiting()))
}

/// Sends a piece of a key set.
pub(super) fn send_piece(link: &Link, piece: &[u8]) -> Result<(), PartyError> {
    Ok(link.send(Phase::Setup, PIECE_STEP, piece.to_vec())?)
}

/// Receives a piece of exactly this length.
pub(super) fn receive_piece(link: &Link, len: usize) -> Result<Vec<u8>, PartyError> {
    let waiting = || Some("waiting for the client's keys".to_owned());
    link.recv(Phase::Setup, PIECE_STEP, len).map_err(|e| PartyError::net(e, waiting()))
}
