//! `hushwire bench`
//!
//! A suite is a module with a function `run`, which measures through [`Bench::measure`], and a
//! variant of [`Suite`].

mod he;
mod metrics;
mod micro;
mod networks;
mod planner;
mod polynomial;
mod seal;
mod shapes;
mod smooth;
mod subject;
mod timing;
pub mod trial;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;

use self::metrics::Metrics;
use self::subject::ModelArg;
use crate::args::JsonArg;
use crate::local::PrivateFolder;
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
    /// Networks to measure beside the built-in ones: ONNX files. Metrics have the file's name.
    /// Number formats are the plan's or calibrated on random images
    #[arg(long, value_name = "FILE[,PLAN]", num_args = 1..)]
    model: Vec<ModelArg>,
    /// Compare the times of networks with those predicted from this machine profile, as `hushwire
    /// profile` writes it
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Measure only metrics whose names begin with this
    #[arg(long, value_name = "PREFIX", num_args = 1..)]
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
    /// Kernels on one core; 2^20 ReLUs and 2^18 max pools in three processes
    Micro,
    /// Whole networks in three processes: on this machine's own line, on an emulated LAN (1 ms,
    /// 1 Gbit/s) and on an emulated WAN (40 ms, 100 Mbit/s)
    Networks,
    /// 2^20 GELUs, SiLUs and Mishes as piecewise polynomials, in three processes
    Smooth,
    /// ReLU as a composite polynomial: proved error, depth, multiplications
    Polynomial,
    /// Operations on encrypted vectors, and networks on encrypted images
    He,
    /// The activation planner: its knapsack solver against the exact one on 1,000 random instances,
    /// and on an instance of ResNet-50's size; a step of training ResNet-20
    Planner,
}

impl Suite {
    fn run(self, bench: &mut Bench, args: &Args) -> Result<()> {
        match self {
            Suite::Micro => micro::run(bench),
            Suite::Networks => networks::run(bench, &args.model, args.profile.as_deref()),
            Suite::Smooth => smooth::run(bench),
            Suite::Polynomial => polynomial::run(bench),
            Suite::He => he::run(bench),
            Suite::Planner => planner::run(bench),
        }
    }
}

/// What suites measure with.
pub(super) struct Bench {
    metrics: Metrics,
    only: Vec<String>,
    folder: PrivateFolder,
}

impl Bench {
    /// Runs a measurement and records its values under `names`. It is left out if all of them are
    /// known already or none was asked for.
    pub fn measure<S: AsRef<str>, const N: usize>(
        &mut self,
        names: [S; N],
        run: impl FnOnce() -> Result<[f64; N]>,
    ) -> Result<()> {
        self.measure_all(&names, || Ok(run()?.to_vec()))
    }

    /// As [`measure`](Self::measure), with a number of values that is not known beforehand.
    pub fn measure_all<S: AsRef<str>>(
        &mut self,
        names: &[S],
        run: impl FnOnce() -> Result<Vec<f64>>,
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

    /// Whether any metric whose name begins with `prefix` was asked for.
    pub fn wants(&self, prefix: &str) -> bool {
        let meets = |only: &String| only.starts_with(prefix) || prefix.starts_with(only.as_str());
        self.only.is_empty() || self.only.iter().any(meets)
    }

    /// A folder for files, gone when the program ends.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let metrics = Metrics::new(args.output.clone(), args.resume)?;
    let mut bench = Bench { metrics, only: args.only.clone(), folder: PrivateFolder::new()? };
    let all = Suite::value_variants();
    let suites = if args.suite.is_empty() { all } else { &args.suite };
    suites.iter().try_for_each(|suite| suite.run(&mut bench, args))?;
    output::report(&bench.metrics, args.json.json, Metrics::table)
}
