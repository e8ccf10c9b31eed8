//! The program as its users see it: arguments in, text, JSON and exit codes out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "cli/bad_inputs.rs"]
mod bad_inputs;
#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/encrypted.rs"]
mod encrypted;
#[path = "cli/pann.rs"]
mod pann;
#[path = "cli/parties.rs"]
mod parties;
#[path = "cli/polynomial.rs"]
mod polynomial;
#[path = "cli/real_data.rs"]
mod real_data;
#[path = "cli/smooth.rs"]
mod smooth;
#[path = "cli/support.rs"]
mod support;
