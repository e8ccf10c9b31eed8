//! `hushwire client`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hushwire_data::Preprocess;
use hushwire_party::{BundleId, Client, ClientConfig};
use serde::Serialize;

use crate::answer::{self, Answer, Inputs};
use crate::args::{JsonArg, positive};
use crate::output::{self, Table};
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
    batch: usize,
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
    let mut client = Client::connect(config).context("the client cannot connect")?;
    let network = client.network().hash().to_string();
    let json = args.json.json;
    match &args.action {
        Action::Infer { input, stored, output } => {
            let (outputs, usage) = infer(&mut client, input, *stored, output.as_deref())?;
            client.close()?;
            output::report(&Inferred { network, outputs, usage }, json, |report| {
                format!("{}\n{}", answer::table(&report.outputs), report.usage.table())
            })
        }
        Action::Prepare { count, batch } => {
            let prepared = client.prepare(*batch, *count)?;
            client.close()?;
            let usage = Usage::of_prepared(&prepared);
            let bundles = prepared.ids.iter().map(|id| bundle(id, *batch)).collect();
            output::report(&Prepared { network, bundles, usage }, json, |report| {
                format!("{}\n{}", table(&report.bundles), report.usage.table())
            })
        }
        Action::List => {
            let stored = client.stored()?;
            client.close()?;
            let bundles = stored.iter().map(|(id, batch)| bundle(id, *batch)).collect();
            output::report(&Stored { network, bundles }, json, |report| table(&report.bundles))
        }
    }
}

fn bundle(id: &BundleId, batch: usize) -> Bundle {
    Bundle { id: id.to_string(), batch }
}

fn table(bundles: &[Bundle]) -> String {
    let mut table = Table::new(&["stored", "images"]);
    for bundle in bundles {
        table.row([bundle.id.clone(), bundle.batch.to_string()]);
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
    let bundles = if stored { choose(client.stored()?, files.len())? } else { Vec::new() };
    let mut bundles = bundles.into_iter();
    while !rest.is_empty() {
        let outcome = match bundles.next() {
            Some((id, batch)) => {
                let (part, after) = rest.split_at(batch);
                rest = after;
                client.infer_stored(&id, &part.concat())?
            }
            None => {
                let (part, after) = rest.split_at(rest.len().min(client.max_batch()));
                rest = after;
                client.infer(&part.concat())?
            }
        };
        usage.add(&outcome);
        logits.extend(outcome.logits);
    }
    Ok((inputs.answers(graph, &logits, folder)?, usage))
}

/// Bundles for exactly `count` images: the largest that fit, the oldest of these first.
fn choose(mut stored: Vec<(BundleId, usize)>, count: usize) -> Result<Vec<(BundleId, usize)>> {
    stored.sort_by_key(|(_, batch)| std::cmp::Reverse(*batch));
    let sizes: Vec<String> = stored.iter().map(|(_, batch)| batch.to_string()).collect();
    let mut missing = count;
    stored.retain(|(_, batch)| {
        let fits = *batch <= missing;
        missing -= if fits { *batch } else { 0 };
        fits
    });
    if missing > 0 {
        let sizes = if sizes.is_empty() { "none".to_owned() } else { sizes.join(", ") };
        bail!(
            "stored preprocessing does not add up to {count} images (sizes in store: {sizes}); make \
             more with `hushwire client prepare`"
        );
    }
    Ok(stored)
}
