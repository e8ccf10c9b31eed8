//! Private neural-network inference on the command line.

mod args;
mod commands;
mod fixed;
mod images;
mod network;
mod output;
mod progress;
mod score;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs an ordinary ONNX network so that the owner of the image does not see the weights and the
/// owner of the weights does not see the image.
///
/// Three parties take part: the client owns the image, the server owns the weights, the helper
/// deals randomness and sees neither. No two of them may collude.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Inspect(commands::inspect::Args),
    Calibrate(commands::calibrate::Args),
    Eval(commands::eval::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Calibrate(args) => commands::calibrate::run(&args),
        Command::Eval(args) => commands::eval::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads on: `hushwire inspect m.onnx | head` is no failure.
        Err(error) if error.is::<output::NoReader>() => ExitCode::SUCCESS,
        Err(error) => {
            output::report_error(&error);
            ExitCode::FAILURE
        }
    }
}
