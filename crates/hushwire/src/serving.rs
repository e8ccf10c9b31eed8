//! How server and helper run: they say where they listen, and end when they are told to.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use anyhow::{Context, Result};
use hushwire_party::Handle;
use tracing_subscriber::EnvFilter;

use crate::output;

/// Flags of a listening party.
#[derive(clap::Args)]
pub struct PartyArgs {
    /// The configuration, a TOML file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// End when standard input does, and remove this folder then: for parties that a process starts
    /// for itself and that must not outlive it, however it ends
    #[arg(long, value_name = "FOLDER", hide = true)]
    until_eof: Option<PathBuf>,
}

/// Text before the address in the line that says where a party listens.
pub const LISTENING: &str = "listening at ";

/// Runs a party until a signal or, if it belongs to another process, until that one ends.
pub fn run(
    name: &str,
    args: &PartyArgs,
    start: impl FnOnce() -> Result<Handle, hushwire_party::PartyError>,
) -> Result<()> {
    log(if args.until_eof.is_some() { "error" } else { "info" });
    if let Some(folder) = args.until_eof.clone() {
        std::thread::spawn(move || {
            // Whatever stops the reading, nobody is there any more.
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            let _ = std::fs::remove_dir_all(folder);
            std::process::exit(0);
        });
    }
    let handle = start().with_context(|| format!("the {name} cannot start"))?;
    output::print(format_args!("hushwire {name} {LISTENING}{}", handle.addr()))?;
    let (stop, stopped) = mpsc::channel();
    let again = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if again.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        // The receiver lives as long as the process.
        let _ = stop.send(());
    })
    .context("signals cannot be handled")?;
    // An error would mean that the handler is gone, which only the end of the process does.
    let _ = stopped.recv();
    handle.shutdown();
    handle.join();
    Ok(())
}

/// Shows log messages from `level` up on standard error; the environment variable HUSHWIRE_LOG
/// takes precedence.
pub fn log(level: &str) {
    let filter = EnvFilter::try_from_env("HUSHWIRE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let format = tracing_subscriber::fmt().with_ansi(colours);
    format.with_env_filter(filter).with_writer(io::stderr).init();
}
