//! The parties as long-running processes: everything between a TLS link and a command.
//!
//! [`Server`] and [`Helper`] listen and serve sessions, each in a thread of its own; [`Client`]
//! opens a session and asks for inferences. A session goes through three phases: setup (the three
//! agree on the network they are about to run, the model's key and the masked weights travel),
//! offline (correlated randomness) and online. What a party waits for is bounded in time, what it
//! reads is bounded in size, and a session that fails fails alone.
//!
//! [`EncryptedServer`] and [`EncryptedClient`] run encrypted inference, without a helper.
//!
//! Preprocessing can be made ahead and kept: [`Client::prepare`] and [`Client::infer_stored`]. It is
//! used at most once, whatever crashes; see [`Store`].

mod bundle_id;
mod client;
mod config;
mod description;
mod encrypted;
mod error;
mod files;
mod helper;
mod hooks;
mod model_key;
mod report;
mod seats;
mod server;
mod service;
mod spool;
mod store;
mod told;
mod width;
mod wire;

pub use bundle_id::BundleId;
pub use client::{Client, Fitting, Prepared};
pub use config::{
    ClientConfig, ConfigError, HelperConfig, LineConfig, PeerConfig, ServerConfig, identity_files,
};
pub use description::{DescriptionError, Hash, Network};
pub use encrypted::{
    EncryptedClient, EncryptedClientConfig, EncryptedError, EncryptedOutcome, EncryptedServer,
    EncryptedServerConfig, KeyProgress,
};
pub use error::PartyError;
pub use files::{Disk, Storage};
pub use helper::Helper;
pub use hooks::Hooks;
#[cfg(feature = "test-support")]
pub use hooks::{Action, Stage};
pub use model_key::ModelKeyError;
pub use report::{
    Bytes, LayerReport, Outcome, PartiesReport, PartyReport, PhaseReport, peak_memory,
};
pub use server::Server;
pub use service::Handle;
pub use store::{Entry, State, Store, StoreError, Taken, Writer};
