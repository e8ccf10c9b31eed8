//! Encrypted inference between two processes: the client encrypts, the server computes, and no helper
//! takes part.
//!
//! A session begins with a greeting, in which the server says what it serves: the public graph and the
//! program's [`Interface`](hushwire_he::Interface). The client offers its public keys by their hash
//! and uploads them unless the server has them on disk. Then come requests: ciphertexts in, progress,
//! ciphertexts out.

mod client;
mod config;
mod error;
mod keys;
mod messages;
mod server;
mod weights;

pub use client::{EncryptedClient, EncryptedOutcome, KeyProgress};
pub use config::{EncryptedClientConfig, EncryptedServerConfig};
pub use error::EncryptedError;
pub use server::EncryptedServer;
