//! `hushwire bench`
//!
//! A suite is a module with a function `run`, which measures through [`Bench::measure`], and a
//! variant of [`Suite`].

mod metrics;
mod micro;
mod timing;

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

use self::metrics::Metrics;
use crate::args::JsonArg;
use crate::output;

/// Measure this program on this machine
///
/// What was measured is printed as a table or, with `--json`, as one object
/// {"metrics": {NAME: number}}. A name ends in its unit. Times are the shortest of several
/// repetitions.
#[derive(clap::Args)]
pub struct Args {
    /// What to measure [default: every suite]
    #[arg(long, value_enum, value_name = "SUITE", num_args = 1..)]
    suite: Vec<Suite>,
    /// Measure only metrics whose names begin with this
    #[arg(long, value_name = "PREFIX")]
    only: Vec<String>,
    /// Write the metrics to this JSON file as well, after each measurement
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Keep the metrics that the file holds already and measure those that are missing
    #[arg(long, requires = "output")]
    resume: bool,
    #[command(flatten)]
    json: JsonArg,
}

/// A group of measurements.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Suite {
    /// Integer kernels
    Micro,
}

impl Suite {
    fn run(self, bench: &mut Bench) -> Result<()> {
        match self {
            Suite::Micro => micro::run(bench),
        }
    }
}

/// What suites measure with.
pub(super) struct Bench {
    metrics: Metrics,
    only: Vec<String>,
}

impl Bench {
    /// Runs a measurement and records its values under `names`. It is left out if all of them are
    /// known already or none was asked for.
    pub fn measure<S: AsRef<str>, const N: usize>(
        &mut self,
        names: [S; N],
        run: impl FnOnce() -> Result<[f64; N]>,
    ) -> Result<()> {
        let wanted = |name: &S| {
            let name = name.as_ref();
            let asked = self.only.is_empty() || self.only.iter().any(|p| name.starts_with(p));
            asked && !self.metrics.holds(name)
        };
        if !names.iter().any(wanted) {
            return Ok(());
        }
        for (name, value) in names.iter().zip(run()?) {
            self.metrics.record(name.as_ref(), value)?;
        }
        Ok(())
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let metrics = Metrics::new(args.output.clone(), args.resume)?;
    let mut bench = Bench { metrics, only: args.only.clone() };
    let all = Suite::value_variants();
    let suites = if args.suite.is_empty() { all } else { &args.suite };
    suites.iter().try_for_each(|suite| suite.run(&mut bench))?;
    output::report(&bench.metrics, args.json.json, Metrics::table)
}
