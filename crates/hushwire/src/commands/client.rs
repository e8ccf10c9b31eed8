//! `hushwire client`

mod pool;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use hushwire_data::Preprocess;
use hushwire_mpc::Comparison;
use hushwire_party::{BundleId, Client, ClientConfig, Entry, PartyError, StoreError};
use serde::Serialize;

use crate::answer::{self, Answer, Inputs};
use crate::args::{JsonArg, positive};
use crate::output::{self, Table};
use crate::progress;
use crate::serving;
use crate::usage::Usage;

/// Ask a server about images that it does not get to see
///
/// The configuration names the own identity (see `hushwire keys`), the server, the helper, and a
/// folder for stored preprocessing.
#[derive(clap::Args)]
pub struct Args {
    /// The configuration, a TOML file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    json: JsonArg,
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Run the served network on images
    Infer {
        /// Images, PNG or JPEG; they are scaled and cut as the network's metadata says
        #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
        input: Vec<PathBuf>,
        /// Use stored preprocessing: only the online phase is left to do
        #[arg(long)]
        stored: bool,
        /// Write segmentation maps as PNG files to this folder
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
    /// Do the preprocessing of inferences ahead and store it, here and at the server
    Prepare {
        /// How many inferences
        #[arg(long, value_name = "N", value_parser = positive)]
        count: usize,
        /// Images of each
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
        batch: usize,
    },
    /// Keep so many inferences prepared: make up for those that are used, until interrupted
    Pool {
        /// How many inferences
        #[arg(long, value_name = "N", value_parser = positive)]
        size: usize,
        /// Images of each
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
        batch: usize,
    },
    /// List stored preprocessing that fits the served network
    List,
}

#[derive(Serialize)]
struct Inferred {
    network: String,
    outputs: Vec<Answer>,
    #[serde(flatten)]
    usage: Usage,
}

#[derive(Serialize)]
struct Stored {
    network: String,
    bundles: Vec<Bundle>,
}

#[derive(Serialize)]
struct Bundle {
    id: String,
    batch: u32,
    comparison: Comparison,
    age_seconds: u64,
}

#[derive(Serialize)]
struct Prepared {
    network: String,
    bundles: Vec<Bundle>,
    #[serde(flatten)]
    usage: Usage,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    serving::log("warn");
    let config = ClientConfig::load(&args.config)?;
    let json = args.json.json;
    if let Action::Pool { size, batch } = args.action {
        return pool::run(&config, size, batch);
    }
    let mut client = Client::connect(config).context("the client cannot connect")?;
    let network = client.network().hash().to_string();
    match &args.action {
        Action::Infer { input, stored, output } => {
            let (outputs, usage) = infer(&mut client, input, *stored, output.as_deref())?;
            client.close()?;
            output::report(&Inferred { network, outputs, usage }, json, |report| {
                format!("{}\n{}", answer::table(&report.outputs), report.usage.table())
            })
        }
        Action::Prepare { count, batch } => {
            let (ids, usage) = prepare(&mut client, *count, *batch, json)?;
            let mut stored = client.stored()?;
            stored.retain(|(id, _)| ids.contains(id));
            client.close()?;
            let bundles = stored.iter().map(bundle).collect();
            output::report(&Prepared { network, bundles, usage }, json, |report| {
                format!("{}\n{}", table(&report.bundles), report.usage.table())
            })
        }
        Action::Pool { .. } => Ok(()),
        Action::List => {
            let stored = client.stored()?;
            client.close()?;
            let bundles = stored.iter().map(bundle).collect();
            output::report(&Stored { network, bundles }, json, |report| table(&report.bundles))
        }
    }
}

/// Prepares one inference after the other.
fn prepare(
    client: &mut Client,
    count: usize,
    batch: usize,
    json: bool,
) -> Result<(Vec<BundleId>, Usage)> {
    let bar = progress::bar(json, Some(count), "prepared");
    let (mut ids, mut usage) = (Vec::new(), Usage::default());
    while ids.len() < count {
        let prepared = client
            .prepare(batch, 1)
            .with_context(|| format!("{} of {count} inferences were prepared", ids.len()))?;
        usage.add_prepared(&prepared);
        ids.extend(prepared.ids);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((ids, usage))
}

fn bundle((id, entry): &(BundleId, Entry)) -> Bundle {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    Bundle {
        id: id.to_string(),
        batch: entry.batch,
        comparison: entry.comparison,
        age_seconds: now.saturating_sub(entry.created),
    }
}

fn table(bundles: &[Bundle]) -> String {
    let mut table = Table::new(&["stored", "images", "comparison", "age"]);
    for bundle in bundles {
        let age = output::age(bundle.age_seconds);
        let comparison = bundle.comparison.to_string();
        table.row([bundle.id.clone(), bundle.batch.to_string(), comparison, age]);
    }
    table.to_string()
}

fn infer(
    client: &mut Client,
    files: &[PathBuf],
    stored: bool,
    folder: Option<&Path>,
) -> Result<(Vec<Answer>, Usage)> {
    let network = client.network().clone();
    let graph = network.graph();
    let preprocess = Preprocess::for_graph(graph)
        .context("the served network does not say how images are preprocessed")?;
    let inputs = Inputs::load(graph, files, preprocess)?;
    let (mut usage, mut logits) = (Usage::default(), Vec::new());
    let mut rest = inputs.values.as_slice();
    while !rest.is_empty() {
        let (batch, outcome) = if stored {
            let (id, batch) = choose(&client.stored()?, rest.len())?;
            match client.infer_stored(&id, &rest[..batch].concat()) {
                // Another process was faster; there may be more.
                Err(PartyError::Store(StoreError::Spent { .. } | StoreError::Unknown { .. })) => {
                    continue;
                }
                outcome => (batch, outcome?),
            }
        } else {
            let batch = rest.len().min(client.max_batch());
            (batch, client.infer(&rest[..batch].concat())?)
        };
        rest = &rest[batch..];
        usage.add(&outcome);
        logits.extend(outcome.logits);
    }
    Ok((inputs.answers(graph, &logits, folder)?, usage))
}

/// The first of bundles that add up to exactly `count` images: the largest that fit, the oldest of
/// these first.
fn choose(stored: &[(BundleId, Entry)], count: usize) -> Result<(BundleId, usize)> {
    let mut sizes: Vec<usize> = stored.iter().map(|(_, entry)| entry.batch as usize).collect();
    sizes.sort_unstable_by_key(|&batch| std::cmp::Reverse(batch));
    let missing = sizes
        .iter()
        .fold(count, |missing, &batch| if batch <= missing { missing - batch } else { missing });
    let largest = sizes.iter().find(|&&batch| batch <= count);
    let chosen = largest
        .filter(|_| missing == 0)
        .and_then(|&largest| stored.iter().find(|(_, entry)| entry.batch as usize == largest));
    if let Some((id, entry)) = chosen {
        return Ok((*id, entry.batch as usize));
    }
    let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    let sizes = if sizes.is_empty() { "none".to_owned() } else { sizes.join(", ") };
    bail!(
        "stored preprocessing does not add up to {count} images (sizes in store: {sizes}); make \
         more with `hushwire client prepare`"
    );
}
