//! `hushwire train`

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use hushwire_data::{Dataset, Source};
use hushwire_graph::Activation;
use hushwire_train::{Architecture, Augmentation, Descent, Net, Recipe};

use crate::args::JsonArg;
use crate::training::{self, RecipeArgs, Run, RunArgs};

/// Train a small network from scratch
///
/// The result is an ordinary ONNX file. Batch normalisation is used in training and folded into the
/// weights of the file. A run that was interrupted, in whatever way, goes on when the same command
/// is given again.
#[derive(clap::Args)]
pub struct Args {
    /// The architecture
    #[arg(value_enum)]
    architecture: Name,
    /// The data set: mnist:DIR, cifar10:DIR or oscillator:SEED; it is trained on the training split and measured on
    /// the test split
    #[arg(long, value_name = "KIND:DIR")]
    data: Source,
    /// Where to write the network
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Its activation [default: square for networks of CryptoNets and LoLa, otherwise relu]
    #[arg(long, value_enum)]
    activation: Option<Function>,
    /// Train without batch normalisation
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// An architecture by its name.
#[derive(Clone, Copy)]
struct Name(Architecture);

impl ValueEnum for Name {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Name; Architecture::ALL.len()] = {
            let mut all = [Name(Architecture::ALL[0]); Architecture::ALL.len()];
            let mut i = 0;
            while i < all.len() {
                all[i] = Name(Architecture::ALL[i]);
                i += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()).help(self.0.description()))
    }
}

/// An activation to choose.
#[derive(Clone, Copy, ValueEnum)]
enum Function {
    /// max(x, 0)
    Relu,
    /// x * sigmoid(x)
    Silu,
    /// x * Phi(x), with the normal distribution function
    Gelu,
    /// x * tanh(ln(1 + exp(x)))
    Mish,
    /// x * x
    Square,
}

impl From<Function> for Activation {
    fn from(function: Function) -> Self {
        match function {
            Function::Relu => Activation::Relu,
            Function::Silu => Activation::Silu,
            Function::Gelu => Activation::Gelu,
            Function::Mish => Activation::Mish,
            Function::Square => Activation::Square,
        }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let Name(architecture) = args.architecture;
    let activation = args.activation.map_or(architecture.usual_activation(), Activation::from);
    let mut recipe =
        Recipe { descent: Descent { rate: 0.1, ..Recipe::default().descent }, ..Recipe::default() };
    recipe.augmentation = match args.data.dataset() {
        Dataset::Mnist => Augmentation { shift: 2, flip: false, distort: 0.5 },
        // A signal read backwards is another one.
        Dataset::Oscillator => Augmentation::default(),
        _ => Augmentation { shift: 4, flip: true, distort: 0.0 },
    };
    let recipe = args.recipe.apply(recipe);
    let model = architecture.model(activation, recipe.seed);
    let mut net = Net::new(&model, None)?;
    if !args.plain {
        net.normalise();
    }
    training::run(Run {
        name: architecture.to_string(),
        model: &model,
        plan: None,
        prepare: Box::new(|_| Ok(net)),
        teacher: None,
        recipe,
        source: &args.data,
        output: &args.output,
        measure_first: false,
        finish: None,
        args: &args.run,
        json: args.json.json,
    })
}
