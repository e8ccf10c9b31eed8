//! `hushwire profile`

use std::path::PathBuf;

use anyhow::{Context, Result};
use hushwire_profile::Profile;

use crate::args::JsonArg;
use crate::files;
use crate::output;

/// Measure what this machine can do, for predictions of how long inference takes
///
/// Takes about half a minute, in which the machine should be otherwise idle. `hushwire inspect
/// --profile` predicts times from the result, and `--comparison auto` chooses by it.
#[derive(clap::Args)]
pub struct Args {
    /// Write the profile to this TOML file [default: to standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let progress = |what: &str| output::note(format_args!("measuring {what}"));
    let profile = Profile::measure(progress).context("this machine cannot be measured")?;
    if let Some(path) = &args.output {
        files::write_text(path, &profile.to_text())?;
    }
    match &args.output {
        Some(path) if !args.json.json => output::print(format_args!("wrote {}", path.display())),
        _ => output::report(&profile, args.json.json, Profile::to_text),
    }
}
