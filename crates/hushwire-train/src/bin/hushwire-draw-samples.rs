//! Draws the ten sample digits of the demo as PNGs.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use hushwire_train::draw_digit;
use image::ExtendedColorType::L8;

/// Draw the ten sample digits of the demo as PNGs, 0.png to 9.png.
#[derive(Parser)]
struct Args {
    /// The folder to write to.
    #[arg(long, default_value = "assets/samples")]
    out: PathBuf,
    /// Determines slant, turn and waviness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    fs::create_dir_all(&args.out).with_context(|| format!("making {}", args.out.display()))?;
    for digit in 0..10 {
        let path = args.out.join(format!("{digit}.png"));
        let drawn = draw_digit(digit, args.seed);
        let (width, height) = (drawn.width() as u32, drawn.height() as u32);
        image::save_buffer(&path, drawn.pixels(), width, height, L8)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
