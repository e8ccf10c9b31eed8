//! `hushwire tune`

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{ArgAction, ValueEnum};
use hushwire_data::{Dataset, Source};
use hushwire_graph::{Model, Tensor};
use hushwire_plan::Plan;
use hushwire_planner::polynomial::Fitting;
use hushwire_train::{
    Augmentation, Descent, Distillation, Kind, Net, Pass, Perturbation, Recipe, Rectifying, Region,
    measure,
};

use super::plan::polynomial::alpha;
use crate::args::{FittingArgs, JsonArg};
use crate::files::{self, beside};
use crate::images;
use crate::network::Network;
use crate::training::{self, Finish, Finished, RecipeArgs, Run, RunArgs};

/// Images that give normalisations their moments.
const MOMENTS_IMAGES: usize = 512;

/// Train a network on, with a plan's gates in the place of its activations
///
/// Gates decide as the plan says; the gradient passes where a gate was open and does not reach its
/// decision. With --polynomial, ReLUs become composite polynomials whose ranges are measured before,
/// and a plan with ranges for the result is written beside it. The result is an ONNX file whose structure and names are the input's, so that the plan
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
    polynomial: PolynomialArgs,
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
    let fitted = match args.polynomial.polynomial {
        Some(alpha) => Some(Fitted::new(&network, alpha, args)?),
        None => None,
    };
    let plan = match &fitted {
        Some(fitted) => Some(fitted.fit(&network.model)?),
        None => args.plan.as_ref().map(|path| network.read_plan(path)).transpose()?,
    };
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
    let mut recipe = args.recipe.apply(recipe);
    if fitted.is_some() {
        recipe.polynomial = Some(args.polynomial.rectifying()?);
    }
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
        recipe,
        source: &args.data,
        output: &args.output,
        measure_first: true,
        finish: fitted.map(|fitted| fitted.finish(beside(&args.output, ".plan.toml"))),
        args: &args.run,
        json: args.json.json,
    })
}

/// How a network is made to bear composite polynomials.
#[derive(clap::Args)]
pub struct PolynomialArgs {
    /// Put composite polynomials of this precision, 4 to 14 bits, in the place of ReLUs
    #[arg(long, value_name = "BITS", value_parser = alpha, conflicts_with = "plan")]
    polynomial: Option<u32>,
    /// Compute the polynomials while training; otherwise ReLU itself, with the other remedies
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, default_value_t = true,
          requires = "polynomial")]
    residual: bool,
    /// How gradients pass through polynomials
    #[arg(long, value_enum, default_value_t = Backward::Derivative, requires = "polynomial")]
    backward: Backward,
    /// Something to add where inputs are negative, while training
    #[arg(long, value_enum, requires = "polynomial")]
    leak: Option<Leak>,
    /// How much of it: a slope, a share of the layer's range, or a multiple of the residual
    #[arg(long, value_name = "X", default_value_t = 0.01, requires = "leak")]
    leak_size: f32,
    /// Weight of the penalty on inputs beyond half of their layer's range
    #[arg(long, value_name = "X", default_value_t = 0.0, requires = "polynomial")]
    range_penalty: f32,
    /// Whether ranges stay as they were measured before, or follow the largest inputs of each batch
    #[arg(long, value_enum, default_value_t = Ranges::Free, requires = "polynomial")]
    ranges: Ranges,
    #[command(flatten)]
    fitting: FittingArgs,
}

/// How gradients pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Backward {
    /// By the polynomial's derivative
    Derivative,
    /// As through ReLU
    Straight,
}

/// Something added at negative inputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Leak {
    /// The input times a random slope
    Slope,
    /// A random share of the layer's range
    Noise,
    /// What the polynomial is off there; with --residual false
    Residual,
}

impl Leak {
    /// Of some size.
    pub fn of(self, size: f32) -> Perturbation {
        let kind = match self {
            Leak::Slope => Kind::Slope,
            Leak::Noise => Kind::Noise,
            Leak::Residual => Kind::Residual,
        };
        Perturbation { kind, region: Region::Negative, size }
    }
}

/// Where ranges come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Ranges {
    /// Measured before
    Fixed,
    /// Those of each batch
    Free,
}

impl PolynomialArgs {
    fn rectifying(&self) -> Result<Rectifying> {
        if self.leak == Some(Leak::Residual) && self.residual {
            bail!(
                "--leak residual adds what --residual true has already; give --residual false with it"
            );
        }
        Ok(Rectifying {
            residual: self.residual,
            straight: self.backward == Backward::Straight,
            leak: self.leak.map(|leak| leak.of(self.leak_size)),
            penalty: self.range_penalty,
            margin: (self.ranges == Ranges::Free).then_some(self.fitting.margin as f32),
        })
    }
}

/// Polynomials of one precision for a network, with the images that say its ranges.
struct Fitted {
    images: Tensor,
    fitting: Fitting,
    alpha: u32,
}

impl Fitted {
    fn new(network: &Network, alpha: u32, args: &Args) -> Result<Fitted> {
        let fitting = args.polynomial.fitting.fitting()?;
        let graph = &network.model.graph;
        let preprocess = images::preprocess(graph, &network.path)?;
        let count = args.polynomial.fitting.range_images;
        let (images, _) = images::calibration(graph, &preprocess, &args.data, count)?;
        Ok(Fitted { images, fitting, alpha })
    }

    fn fit(&self, model: &Model) -> Result<Plan> {
        let alphas = vec![self.alpha; model.graph.activation_sites().len()];
        Ok(self.fitting.fit(model, &self.images, &alphas)?.1)
    }

    /// Makes and measures the plan for the result.
    fn finish(self, path: PathBuf) -> Finish<'static> {
        Box::new(move |model, test| {
            let plan = self.fit(model).context("the result has no plan")?;
            files::write_text(&path, &plan.to_text())?;
            let net = Net::new(model, Some(&plan))?;
            let measured = measure(&net, test, &mut Pass::default());
            Ok(Finished {
                plan: path.display().to_string(),
                plan_accuracy: measured.accuracy,
                outside_range: measured.outside,
            })
        })
    }
}
