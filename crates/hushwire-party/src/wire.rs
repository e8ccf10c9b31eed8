//! The messages of the setup phase. In place of any of them a refusal with its reason may come.

use hushwire_mpc::Comparison;
use hushwire_net::{Label, Link, NetError, Phase, Traffic};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::description::MAX_BYTES;
use crate::seats::{Seat, Serving};
use crate::{BundleId, Hash, PartyError, PartyReport};

/// The step of all these messages; their first byte says which one it is.
const STEP: u32 = 0;

/// The step of the masked weights, which travel as they are.
const UPLOAD_STEP: u32 = 1;

/// The label that a refusal has, should it come where the executor expects something else.
pub(crate) const LABEL: Label = Label { phase: Phase::Setup, step: STEP };

/// The first byte of a refusal.
const REFUSAL: u8 = 0;

/// Longest reason that is read, in bytes.
const MAX_REASON: usize = 16 << 10;

/// A message of the setup phase.
pub(crate) trait Message: Serialize + DeserializeOwned {
    /// Its first byte.
    const TAG: u8;
    /// The most it takes, in bytes.
    const MAX: usize = 64 << 10;
    /// What it is called in errors.
    const NAME: &'static str;
}

macro_rules! messages {
    ($($tag:literal $name:ident $text:literal $($max:expr)?;)*) => {
        $(impl $crate::wire::Message for $name {
            const TAG: u8 = $tag;
            const NAME: &'static str = $text;
            $(const MAX: usize = $max;)?
        })*
    };
}

pub(crate) use messages;

messages! {
    1 Hello "the client's greeting";
    2 Welcome "the server's greeting" MAX_BYTES + (64 << 10);
    3 Announce "the server's announcement";
    4 Need "the helper's question";
    5 Description "the description" MAX_BYTES + (64 << 10);
    6 Seen "the client's hash";
    7 Verdict "the comparison of the descriptions";
    8 ModelKey "the model's key";
    9 Request "the request";
    10 Grant "the server's consent";
    11 Ready "the server's word that it is ready";
    12 Report "the closing report" 8 << 20;
    13 Halves "the list of stored bundles" 32 << 20;
}

/// Client to server, first of all.
#[derive(Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    /// The network that this server served last, if the client remembers its description.
    pub(crate) known: Option<Hash>,
}

/// Server to client.
#[derive(Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) network: Hash,
    /// Absent if the client knows it.
    pub(crate) description: Option<Vec<u8>>,
    /// Names the weights: bundles do not outlive them.
    pub(crate) weights: [u8; 16],
    pub(crate) max_batch: u32,
    pub(crate) max_stored: u32,
}

/// Server to helper, first of all.
#[derive(Serialize, Deserialize)]
pub(crate) struct Announce {
    pub(crate) protocol: u32,
    pub(crate) network: Hash,
    /// Hash of the masked weights.
    pub(crate) upload: Hash,
}

/// Helper to server: whether it needs the description.
#[derive(Serialize, Deserialize)]
pub(crate) struct Need {
    pub(crate) description: bool,
}

/// Server to helper.
#[derive(Serialize, Deserialize)]
pub(crate) struct Description(pub(crate) Vec<u8>);

/// Client to helper: the hash of the bytes that the client was shown.
#[derive(Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) protocol: u32,
    pub(crate) network: Hash,
}

/// Helper to both: whose hash is whose.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// Of the bytes that the client was shown.
    pub(crate) client: Hash,
    /// What the server announced to the helper.
    pub(crate) server: Hash,
    /// Of the bytes that the helper was shown.
    pub(crate) helper: Hash,
    /// Whether the server must upload the masked weights.
    pub(crate) upload: bool,
}

/// Server to client, once all agree on the network. Secret.
#[derive(Serialize, Deserialize)]
pub(crate) struct ModelKey(pub(crate) [u8; 16]);

impl Drop for ModelKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Client to server, and to the helper where it takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// One inference with fresh preprocessing.
    Fresh { batch: u32, comparison: Comparison },
    /// Bundles to be stored.
    Prepare { batch: u32, comparison: Comparison, count: u32 },
    /// One inference with a stored bundle.
    Stored { bundle: BundleId },
    /// Which bundles do both have halves of? [`Halves`] follow.
    Compare,
}

/// Client to server: the bundles that it has halves of. Server to client: those of them that it has
/// the other halves of. What only one side has is given up.
#[derive(Serialize, Deserialize)]
pub(crate) struct Halves {
    /// Names the client's store: a client may have several.
    pub(crate) store: [u8; 16],
    pub(crate) bundles: Vec<BundleId>,
}

/// Server to helper: it has admitted this request.
#[derive(Serialize, Deserialize)]
pub(crate) struct Grant(pub(crate) Request);

/// Server to client: its half of the preprocessing is there.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready;

/// Server to client and helper to client: what the request cost them. Nothing in it is secret.
#[derive(Serialize, Deserialize)]
pub(crate) struct Report {
    /// Absent unless the party's configuration shares it.
    pub(crate) party: Option<PartyReport>,
    /// What the server's link to the helper carried since the last report.
    pub(crate) helper_link: Option<Traffic>,
}

/// Sends a message.
pub(crate) fn say<M: Message>(link: &Link, message: &M) -> Result<(), PartyError> {
    let start = vec![M::TAG];
    let bytes = postcard::to_extend(message, start)
        .unwrap_or_else(|e| unreachable!("plain data serialises: {e}"));
    Ok(link.send(Phase::Setup, STEP, bytes)?)
}

/// Receives a message.
pub(crate) fn hear<M: Message>(link: &Link) -> Result<M, PartyError> {
    let peer = link.peer();
    let bytes = link
        .recv_bounded(Phase::Setup, STEP, M::MAX.max(MAX_REASON))
        .map_err(|e| PartyError::net(e, Some(format!("waiting for {}", M::NAME))))?;
    let mut bytes = zeroize::Zeroizing::new(bytes);
    let malformed = |reason: String| PartyError::Malformed { peer, what: M::NAME, reason };
    match bytes.split_first_mut() {
        Some((tag, rest)) if *tag == M::TAG => {
            postcard::from_bytes(rest).map_err(|e| malformed(e.to_string()))
        }
        Some((&mut REFUSAL, reason)) => Err(PartyError::Refused { peer, reason: readable(reason) }),
        Some((tag, _)) => Err(malformed(format!("it is another message (number {tag})"))),
        None => Err(malformed("it is empty".into())),
    }
}

/// The client's next request, and the mark that it is being served; nothing if the client has left
/// or the party is about to end.
pub(crate) fn next_request<'a>(
    client: &Link,
    seat: &'a Seat,
) -> Result<Option<(Request, Serving<'a>)>, PartyError> {
    if seat.is_stopping() {
        return Ok(None);
    }
    match hear(client) {
        Ok(request) => Ok(seat.serving().map(|serving| (request, serving))),
        Err(error) if error.is_goodbye() || seat.is_stopping() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sends the masked weights.
pub(crate) fn say_upload(link: &Link, upload: Vec<u8>) -> Result<(), PartyError> {
    Ok(link.send(Phase::Setup, UPLOAD_STEP, upload)?)
}

/// Receives masked weights of this length.
pub(crate) fn hear_upload(link: &Link, len: usize) -> Result<Vec<u8>, PartyError> {
    let waiting = || Some("waiting for the masked weights".to_owned());
    link.recv(Phase::Setup, UPLOAD_STEP, len).map_err(|e| PartyError::net(e, waiting()))
}

/// Tells the peer why the session ends, as far as that is its business. That the peer has gone is
/// no news.
pub(crate) fn refuse(link: &Link, error: &PartyError) {
    let mut bytes = vec![REFUSAL];
    bytes.extend(error.for_peers().bytes().take(MAX_REASON - 1));
    let sent: Result<(), NetError> = link.send(Phase::Setup, STEP, bytes);
    if let Err(error) = sent {
        tracing::debug!(%error, "the reason did not arrive");
    }
}

/// Tells the peers why the session ends, if it ends in an error.
pub(crate) fn farewell<T>(
    outcome: Result<T, PartyError>,
    peers: &[&Link],
) -> Result<T, PartyError> {
    outcome.inspect_err(|error| {
        if !error.is_silent() {
            peers.iter().for_each(|peer| refuse(peer, error));
        }
    })
}

/// Text from a peer, fit for a terminal.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}
