//! Private neural-network inference on the command line.

mod answer;
mod args;
mod classes;
mod commands;
mod demo_files;
mod encrypted;
mod evaluation;
mod files;
mod fixed;
mod forecast;
mod gated;
mod images;
mod local;
mod network;
mod output;
mod picture;
mod progress;
mod score;
mod serving;
mod training;
mod usage;

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
    Demo(commands::demo::Args),
    Inspect(commands::inspect::Args),
    Calibrate(commands::calibrate::Args),
    Tune(commands::tune::Args),
    Train(commands::train::Args),
    Run(commands::run::Args),
    Eval(commands::eval::Args),
    Server(commands::server::Args),
    Helper(commands::helper::Args),
    Client(commands::client::Args),
    Plan(commands::plan::Args),
    Encrypted(commands::encrypted::Args),
    Keys(commands::keys::Args),
    Polynomial(commands::polynomial::Args),
    Report(commands::report::Args),
    Study(commands::study::Args),
    Profile(commands::profile::Args),
    Bench(commands::bench::Args),
    /// Be the client of a measurement; `bench` starts this
    #[command(hide = true)]
    Trial,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Demo(args) => commands::demo::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Calibrate(args) => commands::calibrate::run(&args),
        Command::Tune(args) => commands::tune::run(&args),
        Command::Train(args) => commands::train::run(&args),
        Command::Run(args) => commands::run::run(&args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Server(args) => commands::server::run(&args),
        Command::Helper(args) => commands::helper::run(&args),
        Command::Client(args) => commands::client::run(&args),
        Command::Plan(args) => commands::plan::run(&args),
        Command::Encrypted(args) => commands::encrypted::run(&args),
        Command::Keys(args) => commands::keys::run(&args),
        Command::Polynomial(args) => commands::polynomial::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Study(args) => commands::study::run(&args),
        Command::Profile(args) => commands::profile::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Trial => commands::bench::trial::serve(),
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
