//! Trains the demo network on MNIST and writes it as ONNX.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use hushwire_data::{Source, Split};
use hushwire_train::{Config, Digits, train_demo};

/// Train the demo network on MNIST and write it as ONNX.
#[derive(Parser)]
struct Args {
    /// The data set, mnist:DIR.
    #[arg(long)]
    data: Source,
    /// The file to write.
    #[arg(long, default_value = "assets/demo.onnx")]
    out: PathBuf,
    /// Passes over the 60,000 training images.
    #[arg(long, default_value_t = Config::default().epochs)]
    epochs: usize,
    /// Determines weights, order and distortions.
    #[arg(long, default_value_t = Config::default().seed)]
    seed: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let train = Digits::load(&args.data, Split::Train)?;
    let test = Digits::load(&args.data, Split::Test)?;
    println!("{} images to train on, {} to test on", train.len(), test.len());
    let config = Config { epochs: args.epochs, seed: args.seed, ..Config::default() };
    let start = Instant::now();
    let net = train_demo(&train, &test, &config, |p| {
        println!(
            "epoch {:2} of {}: loss {:.4}, test accuracy {:.2} %, {:.0} s",
            p.epoch,
            config.epochs,
            p.loss,
            100.0 * p.accuracy,
            start.elapsed().as_secs_f64()
        );
    })?;
    let file = net.to_model().to_onnx();
    fs::write(&args.out, &file).with_context(|| format!("writing {}", args.out.display()))?;
    println!("{}: {} bytes", args.out.display(), file.len());
    Ok(())
}
