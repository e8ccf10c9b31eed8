//! Networks and images of a study, and what is done with them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use hushwire_data::{Dataset, Source, Split};
use hushwire_graph::{Activation, Model, Tensor};
use hushwire_plan::Plan;
use hushwire_planner::polynomial::{Fitting, Layer};
use hushwire_train::{
    Architecture, Augmentation, Descent, Distillation, Images, Measured, Net, Origin, Pass, Recipe,
    Rectifying, Trainer, measure,
};

use crate::{files, images};

/// A folder with networks, and the images that they are trained and measured on.
pub struct Lab {
    pub architecture: Architecture,
    pub train: Images,
    pub test: Images,
    /// Training images that decide about ranges.
    pub ranges: Tensor,
    pub fitting: Fitting,
    /// Networks are kept here.
    pub folder: PathBuf,
    data: String,
    augmentation: Augmentation,
    pub epochs: usize,
    pub tune_epochs: usize,
}

/// How much a study looks at.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub images: usize,
    pub test_images: usize,
    pub range_images: usize,
    pub epochs: usize,
    pub tune_epochs: usize,
}

/// The network that is studied on a data set.
pub fn architecture(source: &Source) -> Result<Architecture> {
    match source.dataset() {
        Dataset::Cifar10 => Ok(Architecture::SmallResnetCifar10),
        Dataset::Mnist => Ok(Architecture::Demo),
        Dataset::Oscillator => Ok(Architecture::OscillatorMlp),
        other => anyhow::bail!(
            "there is no small network for {other}; give mnist:DIR, cifar10:DIR or oscillator:SEED"
        ),
    }
}

impl Lab {
    pub fn new(source: &Source, folder: PathBuf, fitting: Fitting, size: Size) -> Result<Lab> {
        let architecture = architecture(source)?;
        let graph = architecture.model(Activation::Relu, 0).graph;
        let preprocess = images::preprocess(&graph, &folder)?;
        let (ranges, _) = images::calibration(&graph, &preprocess, source, size.range_images)?;
        let load = |split, limit| Images::load(source, split, Some(limit), &graph);
        let augmentation = match source.dataset() {
            Dataset::Cifar10 => Augmentation { shift: 4, flip: true, distort: 0.0 },
            Dataset::Mnist => Augmentation { shift: 2, ..Augmentation::default() },
            _ => Augmentation::default(),
        };
        Ok(Lab {
            architecture,
            train: load(Split::Train, size.images)?,
            test: load(Split::Test, size.test_images)?,
            ranges,
            fitting,
            folder,
            data: source.to_string(),
            augmentation,
            epochs: size.epochs,
            tune_epochs: size.tune_epochs,
        })
    }

    /// The network of a seed, trained from scratch with a weight decay; kept for the next time.
    pub fn base(&self, seed: u64, decay: f32) -> Result<Model> {
        let path = self.folder.join(format!("base-{seed}-{decay}.onnx"));
        if path.exists() {
            return Model::load(&path).with_context(|| format!("cannot use {}", path.display()));
        }
        let model = self.architecture.model(Activation::Relu, seed);
        let mut net = Net::new(&model, None)?;
        net.normalise();
        let descent = Descent { rate: 0.1, warmup: 1.0, decay, ..Recipe::default().descent };
        let recipe = Recipe {
            epochs: self.epochs,
            seed,
            descent,
            augmentation: self.augmentation,
            ..Recipe::default()
        };
        let model = self.run(net, None, recipe)?;
        files::write(&path, &model.to_onnx())?;
        Ok(model)
    }

    /// A network trained on with polynomials or what prepares it for them.
    pub fn tuned(
        &self,
        model: &Model,
        seed: u64,
        alpha: u32,
        [decay, mixup]: [f32; 2],
        how: Rectifying,
    ) -> Result<Model> {
        let (_, plan) = self.fit(model, alpha)?;
        let mut net = Net::new(model, None)?;
        let inputs = self.train.first(512);
        net.unfold(&inputs);
        net.set_plan(&plan)?;
        net.settle(&inputs);
        let descent = Descent { rate: 0.02, warmup: 0.2, decay, ..Recipe::default().descent };
        let recipe = Recipe {
            epochs: self.tune_epochs,
            seed,
            descent,
            augmentation: self.augmentation,
            mixup,
            distillation: Distillation { share: 0.5, temperature: 4.0 },
            polynomial: Some(how),
            ..Recipe::default()
        };
        self.run(net, Some(Net::new(model, None)?), recipe)
    }

    fn run(&self, net: Net, teacher: Option<Net>, recipe: Recipe) -> Result<Model> {
        let origin = Origin { network: String::new(), plan: None, data: self.data.clone() };
        let mut trainer = Trainer::new(net, teacher, &self.train, recipe, &origin)?;
        while trainer.step() < trainer.steps() {
            trainer.advance()?;
        }
        Ok(trainer.net().to_model())
    }

    /// The ReLUs with their largest inputs, and the plan of a precision.
    pub fn fit(&self, model: &Model, alpha: u32) -> Result<(Vec<Layer>, Plan)> {
        let alphas = vec![alpha; model.graph.activation_sites().len()];
        Ok(self.fitting.fit(model, &self.ranges, &alphas)?)
    }

    /// How a network does on test images.
    pub fn measure(&self, net: &Net, seed: u64) -> Measured {
        let mut pass = Pass::default();
        pass.seed(seed);
        measure(net, &self.test, &mut pass)
    }

    /// The same with a plan's gates.
    pub fn under(&self, model: &Model, plan: &Plan) -> Result<Measured> {
        Ok(self.measure(&Net::new(model, Some(plan))?, 0))
    }
}
