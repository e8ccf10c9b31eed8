//! `hushwire study pann`

mod decay;
mod factorial;
mod lab;
mod perturb;
mod results;
mod text;

use std::path::PathBuf;

use anyhow::{Context, Result};
use hushwire_data::{Dataset, Source};
use hushwire_planner::polynomial::Layer;
use serde::Serialize;

use crate::args::{FittingArgs, JsonArg, positive};
use crate::{files, output, progress};

use lab::{Lab, Size};
use results::Results;

/// Which perturbations of activations hurt, what weight decay does to polynomial networks, and which
/// remedies in training help
///
/// Trains a small network for every seed and weight decay, perturbs its activations, replaces its ReLUs
/// by polynomials of every precision, and tunes it with every combination of remedies. The folder gets
/// the numbers (results.csv), tables with 95% intervals over the seeds (report.txt) and charts. The same
/// command goes on from where it was interrupted.
#[derive(clap::Args)]
pub struct Args {
    /// The data set: mnist:DIR (the demo's network), cifar10:DIR (a small residual network) or
    /// oscillator:SEED (a deep one for signals)
    #[arg(long, value_name = "KIND:DIR")]
    data: Source,
    /// The folder for results
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Seeds of networks and their training
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1, 2, 3])]
    seeds: Vec<u64>,
    /// Training images [default: 10000, or 512 with --quick]
    #[arg(long, value_name = "N", value_parser = positive)]
    images: Option<usize>,
    /// Test images [default: 2000, or 200 with --quick]
    #[arg(long, value_name = "N", value_parser = positive)]
    test_images: Option<usize>,
    /// Passes over the images from scratch [default: 8, or 1 with --quick]
    #[arg(long, value_name = "N", value_parser = positive)]
    epochs: Option<usize>,
    /// Passes in tuning [default: 2, or 1 with --quick]
    #[arg(long, value_name = "N", value_parser = positive)]
    tune_epochs: Option<usize>,
    /// A glimpse, to see whether it runs
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    fitting: FittingArgs,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct Report {
    data: String,
    network: String,
    seeds: Vec<u64>,
    numbers: usize,
    files: Vec<String>,
    #[serde(skip)]
    text: String,
}

impl Args {
    fn size(&self) -> Size {
        let or = |given: Option<usize>, quick, usual| {
            given.unwrap_or(if self.quick { quick } else { usual })
        };
        Size {
            images: or(self.images, 512, 10_000),
            test_images: or(self.test_images, 200, 2000),
            range_images: self.fitting.range_images,
            epochs: or(self.epochs, 1, 8),
            tune_epochs: or(self.tune_epochs, 1, 2),
        }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let size = args.size();
    let fitting = args.fitting.fitting()?;
    std::fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot make {}", args.output.display()))?;
    let lab = Lab::new(&args.data, args.output.clone(), fitting, size)?;
    // A data set's folder may move, what is generated depends on its seed; seeds may be added.
    let data = match args.data.dataset() {
        Dataset::Oscillator => args.data.to_string(),
        files => files.to_string(),
    };
    let settings = format!("{data} {size:?} {fitting:?}");
    let mut results = Results::open(&args.output.join("results.json"), settings)?;

    let units = args.seeds.len() * (2 * decay::DECAYS.len() + 1 + factorial::CASES as usize);
    let bar = progress::bar(args.json.json, Some(units), "networks and tests");
    for &seed in &args.seeds {
        networks(&lab, &mut results, seed, &bar)?;
        let base = lab.base(seed, factorial::DECAY)?;
        results.unit(&format!("perturbations {seed}"), || perturb::study(&lab, &base, seed))?;
        bar.inc(1);
        for remedies in 0..factorial::CASES {
            let name = format!("remedies {seed} {}", factorial::case(remedies));
            results.unit(&name, || factorial::study(&lab, &base, seed, remedies))?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();

    let text = text::report(&results, &lab.architecture.to_string(), &args.data.to_string());
    let mut written = vec![
        (args.output.join("results.csv"), results.table()),
        (args.output.join("report.txt"), text.clone()),
    ];
    for (name, chart) in text::charts(&results)? {
        written.push((args.output.join(name), chart));
    }
    for (path, contents) in &written {
        files::write_text(path, contents)?;
    }
    let report = Report {
        data: args.data.to_string(),
        network: lab.architecture.to_string(),
        seeds: args.seeds.clone(),
        numbers: results.rows().count(),
        files: written.iter().map(|(path, _)| path.display().to_string()).collect(),
        text,
    };
    output::report(&report, args.json.json, |r| format!("{}\nwrote {}", r.text, r.files.join(", ")))
}

/// Weight decays: networks of one seed, on their own ranges and on the largest of any of them.
fn networks(
    lab: &Lab,
    results: &mut Results,
    seed: u64,
    bar: &indicatif::ProgressBar,
) -> Result<()> {
    let mut common: Vec<Layer> = Vec::new();
    for decay in decay::DECAYS {
        let (layers, _) = lab.fitting.fit(&lab.base(seed, decay)?, &lab.ranges, &[])?;
        if common.is_empty() {
            common.clone_from(&layers);
        }
        for (known, layer) in common.iter_mut().zip(&layers) {
            known.largest = known.largest.max(layer.largest);
        }
        bar.inc(1);
    }
    for decay in decay::DECAYS {
        let model = lab.base(seed, decay)?;
        results.unit(&format!("decay {seed} {decay}"), || {
            let mut rows = decay::study(lab, &model, seed, decay, &common)?;
            rows.extend(decay::sources(lab, &model, seed, decay)?);
            Ok(rows)
        })?;
        bar.inc(1);
    }
    Ok(())
}
