//! Links between the three parties: framing, metering, link emulation, TLS with pinned
//! certificates, and key agreement.
//!
//! A [`Link`] joins two parties for one session. It is blocking: a thread of its own reads, another
//! writes, so that sending does not hold up computing, and queues are bounded in bytes. Both ends
//! label every message with the [`Phase`] and step they expect it in; anything else is an error that
//! names peer, phase and step.
//!
//! Links between processes come from [`connect`] and [`Listener`], links within one from
//! [`memory_pair`]. Both run the same framing code.

mod agree;
mod cutter;
mod emulate;
mod error;
mod frame;
mod inbox;
mod label;
mod link;
mod meter;
mod options;
mod outbox;
mod pipe;
mod sync;
mod tls;
mod transport;

pub use agree::{AGREE_STEP, SharedKey, agree};
pub use cutter::Cutter;
pub use emulate::Emulation;
pub use error::NetError;
pub use frame::{
    DEFAULT_MAX_FRAME, FRAME_HEADER_LEN, FRAME_VERSION, Frame, FrameDecoder, FrameError, Header,
    ReadError, decode_header, framed_len, framed_len_with,
};
pub use label::{Label, Phase, Role};
pub use link::Link;
pub use meter::{Meter, PhaseTraffic, StepTraffic, Traffic, Volume};
pub use options::LinkOptions;
pub use pipe::memory_pair;
#[cfg(feature = "test-support")]
pub use pipe::{Interceptor, Tapped, Verdict, memory_pair_with};
pub use tls::{
    Fingerprint, Identity, IdentityError, Incoming, Listener, PeerCertificate, SessionId,
    TlsOptions, connect,
};
