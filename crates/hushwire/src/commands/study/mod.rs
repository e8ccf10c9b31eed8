//! `hushwire study`

mod pann;
mod precision;
mod stats;

use anyhow::Result;

/// Measure what is behind a design, repeatably
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Precision(precision::Args),
    Pann(pann::Args),
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Precision(args) => precision::run(args),
        What::Pann(args) => pann::run(args),
    }
}
