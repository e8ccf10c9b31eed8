//! The three-party executor of fixed-point programs.
//!
//! P0, the client, owns the input; P1, the server, owns the weights; P2, the helper, deals
//! correlated randomness and is idle while a request is online. Semi-honest parties, no two of
//! which collude. The protocol, gate by gate, is in `docs/protocol.md`.
//!
//! Each party walks the same [`hushwire_fixed::Program`]. Offline, [`helper::deal`],
//! [`client::prepare`] and [`server::prepare`] run together and write what a [`ClientBundle`] and a
//! [`ServerBundle`] read, in memory ([`Records`]) or elsewhere; online, [`client::infer`] and
//! [`server::infer`] use them up. Gates are worked on in parts, so that sending overlaps computing
//! and no message is larger than a part.

mod bundle;
pub mod client;
pub mod cost;
mod curve;
mod error;
mod gate;
pub mod helper;
mod job;
mod keys;
mod layout;
pub mod polynomial;
#[cfg(test)]
mod privacy_tests;
pub mod server;
mod thresholds;
#[cfg(feature = "test-support")]
pub mod world;

pub use bundle::{ClientBundle, Records, ServerBundle, Sink, Source, Stored};
pub use error::MpcError;
pub use job::{Comparison, Job, op_of_step};
pub use keys::{Key, MaskedWeights, WeightMasks};
