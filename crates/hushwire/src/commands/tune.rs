//! `hushwire tune`

use std::path::PathBuf;

use anyhow::Result;
use hushwire_data::{Dataset, Source};
use hushwire_train::{Augmentation, Descent, Distillation, Net, Recipe};

use crate::args::JsonArg;
use crate::network::Network;
use crate::training::{self, RecipeArgs, Run, RunArgs};

/// Images that give normalisations their moments.
const MOMENTS_IMAGES: usize = 512;

/// Train a network on, with a plan's gates in the place of its activations
///
/// Gates decide as the plan says; the gradient passes where a gate was open and does not reach its
/// decision. The result is an ONNX file whose structure and names are the input's, so that the plan
/// fits it; calibrate the plan again for it. A run that was interrupted, in whatever way, goes on
/// when the same command is given again.
#[derive(clap::Args)]
pub struct Args {
    /// The network, an ONNX file that classifies images
    model: PathBuf,
    /// The activation plan; without one the network is trained on as it is
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// The data set: mnist:DIR, cifar10:DIR or oscillator:SEED; it is trained on the training split and measured on
    /// the test split
    #[arg(long, value_name = "KIND:DIR")]
    data: Source,
    /// Where to write the network
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Train the weights as they are, without batch normalisation behind the layers
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let network = Network::load(&args.model)?;
    let plan = args.plan.as_ref().map(|path| network.read_plan(path)).transpose()?;
    let mut recipe = Recipe {
        epochs: 10,
        descent: Descent { rate: 0.02, warmup: 0.2, ..Recipe::default().descent },
        distillation: Distillation { share: 0.5, temperature: 4.0 },
        ..Recipe::default()
    };
    recipe.augmentation = match args.data.dataset() {
        Dataset::Mnist => Augmentation { shift: 2, ..Augmentation::default() },
        Dataset::Oscillator => Augmentation::default(),
        _ => Augmentation { shift: 4, flip: true, distort: 0.0 },
    };
    let model = &network.model;
    let (gates, plain) = (plan.as_ref(), args.plain);
    training::run(Run {
        name: network.path.display().to_string(),
        model,
        plan: plan.as_ref(),
        prepare: Box::new(move |images| {
            if plain {
                return Ok(Net::new(model, gates)?);
            }
            let mut net = Net::new(model, None)?;
            let inputs = images.first(MOMENTS_IMAGES);
            net.unfold(&inputs);
            if let Some(gates) = gates {
                net.set_plan(gates)?;
                net.settle(&inputs);
            }
            Ok(net)
        }),
        teacher: Some(Net::new(model, None)?),
        recipe: args.recipe.apply(recipe),
        source: &args.data,
        output: &args.output,
        measure_first: true,
        args: &args.run,
        json: args.json.json,
    })
}
