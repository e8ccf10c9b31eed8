//! `hushwire server`

use anyhow::Result;
use hushwire_party::{Server, ServerConfig};

use crate::serving;

/// Serve a network: own the weights and learn nothing of the images
///
/// The configuration names the address, the own identity (see `hushwire keys`), the clients'
/// certificates, the model and its plan, the helper, and a folder for the state. One line on
/// standard output says when the server listens; SIGINT and SIGTERM end it after its sessions.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    serving: serving::PartyArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let config = ServerConfig::load(&args.serving.config)?;
    serving::run("server", &args.serving, || Server::start(config))
}
