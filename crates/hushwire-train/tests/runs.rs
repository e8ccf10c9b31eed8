//! Whole runs on drawn digits: they learn, can be interrupted anywhere, and do not depend on the
//! number of threads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use hushwire_data::{Dataset, Source, Split};
use hushwire_graph::{Activation, Executor, Model, Op, Tensor};
use hushwire_plan::float::{GateHooks, Observed};
use hushwire_plan::{ChannelGate, Gate, Plan};
use hushwire_train::{
    Architecture, Augmentation, Descent, Distillation, Images, Mode, Net, Origin, Pass, Recipe,
    Row, TrainError, Trainer, accuracy, draw_digit, match_moments,
};

/// Drawn digits as MNIST's files, in a folder.
fn digits(folder: &Path) -> Source {
    for (stem, count, seed) in [("train", 300, 0), ("t10k", 100, 1000)] {
        let mut images = vec![0, 0, 8, 3];
        let mut labels = vec![0, 0, 8, 1];
        images.extend([count, 28, 28].into_iter().flat_map(u32::to_be_bytes));
        labels.extend(count.to_be_bytes());
        for i in 0..u64::from(count) {
            let digit = (i % 10) as usize;
            images.extend(draw_digit(digit, seed + i / 10).pixels());
            labels.push(digit as u8);
        }
        std::fs::write(folder.join(format!("{stem}-images-idx3-ubyte")), images).unwrap();
        std::fs::write(folder.join(format!("{stem}-labels-idx1-ubyte")), labels).unwrap();
    }
    Source::new(Dataset::Mnist, folder)
}

struct Desk {
    folder: tempfile::TempDir,
    train: Images,
    test: Images,
    model: Model,
}

impl Desk {
    fn new(activation: Activation) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let source = digits(folder.path());
        let model = Architecture::Demo.model(activation, 3);
        let load = |split| Images::load(&source, split, None, &model.graph).unwrap();
        let (train, test) = (load(Split::Train), load(Split::Test));
        Desk { folder, train, test, model }
    }

    fn trainer(&self, recipe: Recipe) -> Trainer<'_> {
        let mut net = Net::new(&self.model, None).unwrap();
        net.normalise();
        let teacher = Net::new(&self.model, None).unwrap();
        Trainer::new(net, Some(teacher), &self.train, recipe, &origin()).unwrap()
    }
}

fn origin() -> Origin {
    Origin { network: "a".to_owned(), plan: None, data: "mnist".to_owned() }
}

/// Everything that a recipe can ask for.
fn rich() -> Recipe {
    Recipe {
        epochs: 2,
        batch: 40,
        augmentation: Augmentation { shift: 2, flip: true, distort: 0.5 },
        mixup: 0.2,
        smoothing: 0.1,
        distillation: Distillation { share: 0.25, temperature: 2.0 },
        descent: Descent { clip: 5.0, ..Recipe::default().descent },
        ..Recipe::default()
    }
}

fn plain() -> Recipe {
    Recipe { epochs: 8, batch: 30, ..Recipe::default() }
}

fn finish(trainer: &mut Trainer<'_>) {
    while trainer.step() < trainer.steps() {
        trainer.advance().unwrap();
    }
}

#[test]
fn every_activation_learns() {
    for activation in [Activation::Relu, Activation::Mish, Activation::Square] {
        let desk = Desk::new(activation);
        let mut trainer = desk.trainer(plain());
        let descent = Descent { rate: 0.02, ..plain().descent };
        if activation == Activation::Square {
            trainer = desk.trainer(Recipe { descent, ..plain() });
        }
        finish(&mut trainer);
        let tested = trainer.test(&desk.test);
        let curve = trainer.curve();
        assert_eq!(curve.len(), 80);
        assert!(curve[79].loss < curve[0].loss / 4.0, "{activation:?}: {curve:?}");
        assert_eq!(curve[79].test_accuracy, Some(tested));
        assert!(tested > 0.9, "{activation:?}: {tested}");
        // What is exported does the same without normalisations.
        let model = trainer.net().to_model();
        let net = Net::new(&model, None).unwrap();
        assert_eq!(accuracy(&net, &desk.test, &mut Pass::default()), tested);
    }
}

#[test]
fn interrupted_runs_end_as_uninterrupted_ones() {
    let desk = Desk::new(Activation::Silu);
    let mut whole = desk.trainer(rich());
    finish(&mut whole);
    let expected = whole.net().to_model();
    let path = desk.folder.path().join("checkpoint");
    for stop in [0, 1, 6, 7, 9, 13, 14] {
        let mut first = desk.trainer(rich());
        for _ in 0..stop {
            first.advance().unwrap();
        }
        first.save(&path).unwrap();
        // Steps that no checkpoint knows of are lost.
        if stop < 12 {
            first.advance().unwrap();
        }
        let mut second = desk.trainer(rich());
        second.resume(&path).unwrap();
        assert_eq!(second.step(), stop);
        finish(&mut second);
        assert!(second.net().to_model() == expected, "interrupted after {stop}");
        let timeless = |rows: &[Row]| -> Vec<Row> {
            rows.iter().map(|row| Row { seconds: 0.0, ..*row }).collect()
        };
        assert_eq!(timeless(second.curve()), timeless(whole.curve()));
        assert_eq!(second.recent(), whole.recent());
    }
}

#[test]
fn threads_make_no_difference() {
    let desk = Desk::new(Activation::Relu);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut trainer = desk.trainer(rich());
            finish(&mut trainer);
            trainer.net().to_model()
        })
    };
    assert!(run(1) == run(3));
}

#[test]
fn checkpoints_of_other_runs_are_refused() {
    let desk = Desk::new(Activation::Relu);
    let path = desk.folder.path().join("checkpoint");
    desk.trainer(rich()).save(&path).unwrap();
    let other = Recipe { seed: 2, epochs: 3, ..rich() };
    match desk.trainer(other).resume(&path) {
        Err(TrainError::OtherRun { difference, .. }) => {
            assert_eq!(difference, "recipe (epochs) and recipe (seed)");
        }
        other => panic!("{other:?}"),
    }
    std::fs::write(&path, b"no checkpoint").unwrap();
    let damaged = desk.trainer(rich()).resume(&path);
    assert!(matches!(damaged, Err(TrainError::Checkpoint { .. })), "{damaged:?}");
}

#[test]
fn recipes_without_sense_are_refused() {
    let desk = Desk::new(Activation::Relu);
    let refused = |recipe: Recipe| {
        let net = Net::new(&desk.model, None).unwrap();
        Trainer::new(net, None, &desk.train, recipe, &origin()).err().unwrap().to_string()
    };
    assert_eq!(
        refused(Recipe { batch: 301, ..plain() }),
        "300 training images are fewer than a batch of 301"
    );
    assert_eq!(
        refused(Recipe { smoothing: f32::NAN, ..plain() }),
        "the recipe's smoothing must be between 0 and 1"
    );
    let descent = Descent { rate: 1e30, warmup: 0.0, ..plain().descent };
    let net = Net::new(&desk.model, None).unwrap();
    let recipe = Recipe { descent, ..plain() };
    let mut trainer = Trainer::new(net, None, &desk.train, recipe, &origin()).unwrap();
    let ended = (0..20).find_map(|_| trainer.advance().err());
    assert!(matches!(ended, Some(TrainError::Diverged { .. })), "{ended:?}");
}

#[test]
fn unfolding_changes_nothing_at_first() {
    let desk = Desk::new(Activation::Relu);
    let mut trainer = desk.trainer(plain());
    finish(&mut trainer);
    let model = trainer.net().to_model();
    let mut net = Net::new(&model, None).unwrap();
    net.unfold(&desk.train.first(512));
    assert_eq!(net.params().len(), Net::new(&model, None).unwrap().params().len() + 6);
    let input: Vec<f32> = (0..20 * 784).map(|i| (i as f32 * 0.37).sin()).collect();
    let tensor = Tensor::new([20, 1, 28, 28], input);
    let run = |model: &Model| Executor::new(model).run(&tensor).unwrap();
    let (before, after) = (run(&model), run(&net.to_model()));
    assert!(before.max_abs_diff(&after) < 1e-3, "{}", before.max_abs_diff(&after));
    let mut pass = Pass::default();
    pass.input(&net, 20).copy_from_slice(&tensor.data);
    let logits = pass.forward(&net, Mode::Test);
    let worst = logits.iter().zip(&before.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-3, "{worst}");
}

#[test]
fn moments_are_matched() {
    let desk = Desk::new(Activation::Relu);
    let mut trainer = desk.trainer(plain());
    finish(&mut trainer);
    let model = trainer.net().to_model();
    let mut plan = Plan::exact(&model.graph);
    plan.sites[0].gate = Gate::Patches(vec![ChannelGate::Patch(7, 7); 8]);
    plan.sites[1].gate = Gate::Patches(vec![ChannelGate::Patch(7, 7); 16]);
    let inputs = desk.train.first(100);
    let matched = match_moments(&model, &plan, &inputs).unwrap();
    assert_eq!(matched.graph, model.graph);
    // Mean and deviation of every channel of the second layer and the last.
    let moments = |model: &Model, plan: &Plan| {
        let mut moments = Vec::new();
        let mut observe = |observed: Observed<'_>| {
            let Observed::Value(id, value) = observed else { return };
            if matches!(model.graph.node(id).op, Op::Conv(_) | Op::Gemm(_)) {
                let channels = value.shape[1];
                let map = value.sample_len() / channels;
                for c in 0..channels {
                    let planes = value.data.chunks(map).skip(c).step_by(channels);
                    let all: Vec<f32> = planes.flatten().copied().collect();
                    let mean = all.iter().sum::<f32>() / all.len() as f32;
                    let squares = all.iter().map(|x| (x - mean).powi(2)).sum::<f32>();
                    moments.push((mean, (squares / all.len() as f32).sqrt()));
                }
            }
        };
        let tensor = Tensor::new([100, 1, 28, 28], inputs.clone());
        let mut hooks = GateHooks::new(&model.graph, plan, &mut observe);
        Executor::new(model).run_with(&tensor, &mut hooks).unwrap();
        moments
    };
    let exact = moments(&model, &Plan::exact(&model.graph));
    let apart = |other: &[(f32, f32)]| -> f32 {
        let pairs = exact.iter().zip(other);
        let last = exact.len() - 10;
        let means = pairs.clone().map(|(a, b)| (a.0 - b.0).abs()).fold(0.0, f32::max);
        let inner = pairs.take(last).map(|(a, b)| (a.1 - b.1).abs()).fold(0.0, f32::max);
        means.max(inner)
    };
    let (before, after) = (apart(&moments(&model, &plan)), apart(&moments(&matched, &plan)));
    assert!(after < 1e-2 && before > 20.0 * after, "{before} before, {after} after");
}

#[test]
fn tuning_wins_back_what_a_plan_loses() {
    let desk = Desk::new(Activation::Relu);
    let mut trainer = desk.trainer(plain());
    finish(&mut trainer);
    let model = trainer.net().to_model();
    let mut plan = Plan::exact(&model.graph);
    plan.sites[0].gate = Gate::Patches(vec![ChannelGate::Patch(14, 14); 8]);
    plan.sites[1].gate = Gate::Patches(vec![ChannelGate::Patch(7, 7); 16]);
    let before =
        accuracy(&Net::new(&model, Some(&plan)).unwrap(), &desk.test, &mut Pass::default());
    let mut net = Net::new(&model, Some(&plan)).unwrap();
    net.unfold(&desk.train.first(512));
    let teacher = Net::new(&model, None).unwrap();
    let recipe = Recipe {
        distillation: Distillation { share: 0.5, temperature: 4.0 },
        descent: Descent { rate: 0.05, ..plain().descent },
        ..plain()
    };
    let mut tuning = Trainer::new(net, Some(teacher), &desk.train, recipe, &origin()).unwrap();
    finish(&mut tuning);
    let tuned = tuning.net().to_model();
    assert_eq!(tuned.graph, model.graph);
    let after = accuracy(&Net::new(&tuned, Some(&plan)).unwrap(), &desk.test, &mut Pass::default());
    assert!(after > before + 0.1 && after > 0.9, "{before} before, {after} after");
}
