//! `hushwire plan match`

use std::path::PathBuf;

use anyhow::Result;
use hushwire_data::Source;
use hushwire_train::match_moments;
use serde::Serialize;

use crate::args::{JsonArg, positive};
use crate::network::Network;
use crate::{files, images, output};

/// Adjust a network's weights to a plan, without training
///
/// Gates that share decisions change the means and deviations of what follows. Every layer's weights
/// and bias are scaled and shifted, channel by channel, so that its results have the moments again
/// that they have with the network's own activations. Labels are not looked at. The result is an
/// ONNX file whose structure and names are the input's, so that the plan fits it; calibrate the plan
/// again for it.
#[derive(clap::Args)]
pub struct Args {
    /// The network, an ONNX file
    model: PathBuf,
    /// The activation plan
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// Images: mnist:DIR, cifar10:DIR, imagenet:DIR or voc:DIR; of the training split where there is
    /// one
    #[arg(long, value_name = "KIND:DIR")]
    data: Source,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = positive)]
    images: usize,
    /// Where to write the network
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct Report {
    model: String,
    images: String,
    output: String,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let network = Network::load(&args.model)?;
    let graph = &network.model.graph;
    let plan = network.read_plan(&args.plan)?;
    let preprocess = images::preprocess(graph, &network.path)?;
    let (inputs, origin) = images::calibration(graph, &preprocess, &args.data, args.images)?;
    let model = match_moments(&network.model, &plan, &inputs.data)?;
    files::write(&args.output, &model.to_onnx())?;
    let report = Report {
        model: network.path.display().to_string(),
        images: origin,
        output: args.output.display().to_string(),
    };
    output::report(&report, args.json.json, |report| {
        format!("{}, moments of {}\nwrote {}", report.model, report.images, report.output)
    })
}
