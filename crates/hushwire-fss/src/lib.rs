//! Pseudorandom streams and secret-shared comparisons with a public value.
//!
//! Three semi-honest parties, no two of which collude: P0 (client) and P1 (server) evaluate, P2
//! (helper) deals. Each pair shares a PRF key ([`Prf`]). P0 and P1 know a masked, hence public,
//! value; P2 knows the mask; the parties want XOR shares of 1{public < secret}:
//!
//! - [`digits`]: one-hot digit tables, small and one opening;
//! - [`dcf`]: a distributed comparison function, large and without interaction.

pub mod dcf;
pub mod digits;

mod cipher;
mod error;
mod hash;
mod planes;
mod prf;
mod transpose;

#[cfg(test)]
mod compare_tests;

pub use error::FssError;
#[cfg(feature = "test-support")]
pub use prf::tape;
pub use prf::{Prf, Stream};
