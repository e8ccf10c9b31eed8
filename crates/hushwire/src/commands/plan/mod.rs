//! `hushwire plan`

mod costs;
mod encrypted;
mod match_moments;
pub mod polynomial;
mod relu;
mod smooth;
mod windows;

use anyhow::Result;

/// Plan how a network is run
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Relu(relu::Args),
    Match(match_moments::Args),
    Windows(windows::Args),
    Encrypted(encrypted::Args),
    Costs(costs::Args),
    Smooth(smooth::Args),
    Polynomial(polynomial::Args),
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Relu(args) => relu::run(args),
        What::Match(args) => match_moments::run(args),
        What::Windows(args) => windows::run(args),
        What::Encrypted(args) => encrypted::run(args),
        What::Costs(args) => costs::run(args),
        What::Smooth(args) => smooth::run(args),
        What::Polynomial(args) => polynomial::run(args),
    }
}
