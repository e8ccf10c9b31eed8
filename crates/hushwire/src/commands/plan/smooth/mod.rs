//! `hushwire plan smooth`

mod measure;
mod network;
mod search;
mod table;

use std::fmt;

use anyhow::Result;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use hushwire_smooth::Method;

use crate::args::JsonArg;

/// Replace smooth activations (SiLU, GELU, Mish, tanh, ...) by piecewise polynomials
///
/// Densities of the inputs are measured on calibration images, and how much the network's output
/// depends on each layer. Every layer gets its own pieces, degree and number format, so that the whole
/// costs least while it loses no more accuracy than allowed on images that were held back. With
/// --fit-table no network is needed: the table says how well functions are fitted under N(0, 1).
#[derive(clap::Args)]
pub struct Args {
    /// Print how well every function is fitted by every method: pieces 2 to 16, degrees 1 to 5
    #[arg(long, conflicts_with_all = ["model", "data", "output"])]
    fit_table: bool,
    #[command(flatten)]
    network: network::NetworkArgs,
    #[command(flatten)]
    table: table::TableArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// A way to fit, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Way(Method);

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ValueEnum for Way {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Way; Method::ALL.len()] = {
            let mut all = [Way(Method::Ours); Method::ALL.len()];
            let mut i = 0;
            while i < all.len() {
                all[i] = Way(Method::ALL[i]);
                i += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self.0 {
            Method::Ours => "knots by dynamic programming, expected and largest error balanced",
            Method::OursMean => "the same for the expected error nearly alone",
            Method::Nfgen => "as long pieces as the largest error allows, in the way of NFGen",
            Method::Chebyshev => "equal pieces, interpolated",
            Method::Compact => "pieces by the expected error and annealing, in the way of Compact",
            Method::Coded => "ours for lines with coarse slopes, which few selectors express",
        };
        Some(PossibleValue::new(self.0.name()).help(help))
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if args.fit_table {
        table::run(&args.table, args.json)
    } else {
        network::run(&args.network, args.json)
    }
}
