//! `hushwire helper`

use anyhow::Result;
use hushwire_party::{Helper, HelperConfig};

use crate::serving;

/// Help a client and a server: deal randomness, learn neither images nor weights
///
/// The configuration names the address, the own identity (see `hushwire keys`), the certificates
/// of servers and clients, and a folder for the state. One line on standard output says when the
/// helper listens; SIGINT and SIGTERM end it after its sessions.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    serving: serving::PartyArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let config = HelperConfig::load(&args.serving.config)?;
    serving::run("helper", &args.serving, || Helper::start(config))
}
