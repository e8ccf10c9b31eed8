//! Estimates against measurements, and plans against their budgets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use hushwire_graph::testing::{Attribute, OnnxBuilder};
use hushwire_graph::{Model, Tensor};
use hushwire_plan::{ChannelGate, Gate, Plan};
use hushwire_planner::relu::{
    ChoiceSite, Choices, Costs, Decider, Measure, Options, PlanError, Progress, Search, across,
    cluster, decisions,
};

/// Numbers around zero that look random.
fn numbers(len: usize, seed: u64, scale: f32) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| (random.f32() + random.f32() - 1.0) * scale).collect()
}

/// Convolution, ReLU, and with `deep` the same again; then a fully connected layer.
fn network(deep: bool) -> Model {
    let pads = || ("pads", Attribute::Ints(&[1, 1, 1, 1]));
    let mut net = OnnxBuilder::new(&[2, 8, 8])
        .floats("w1", &[4, 2, 3, 3], &numbers(72, 1, 1.0))
        .floats("b1", &[4], &[0.3, -0.3, 0.0, 0.6])
        .node_with("Conv", &["input", "w1", "b1"], "conv1", &[pads()])
        .node("Relu", &["conv1"], "relu1");
    let mut last = "relu1";
    if deep {
        net = net
            .floats("w2", &[4, 4, 3, 3], &numbers(144, 2, 0.6))
            .floats("b2", &[4], &[0.0; 4])
            .node_with("Conv", &["relu1", "w2", "b2"], "conv2", &[pads()])
            .node("Relu", &["conv2"], "relu2");
        last = "relu2";
    }
    let bytes = net
        .node("Flatten", &[last], "flat")
        .floats("w3", &[256, 5], &numbers(1280, 3, 0.3))
        .node("MatMul", &["flat", "w3"], "logits")
        .build("logits");
    Model::from_onnx_bytes(&bytes, None).unwrap()
}

/// Two layers of which the second is open, but for small values, where the first is; the output needs
/// both.
fn echo() -> Model {
    let unit: Vec<f32> = (0..16).map(|i| if i % 5 == 0 { 1.0 } else { 0.0 }).collect();
    let bytes = OnnxBuilder::new(&[2, 8, 8])
        .floats("w1", &[4, 2, 3, 3], &numbers(72, 1, 1.0))
        .floats("b1", &[4], &[0.3, -0.3, 0.0, 0.6])
        .node_with(
            "Conv",
            &["input", "w1", "b1"],
            "conv1",
            &[("pads", Attribute::Ints(&[1, 1, 1, 1]))],
        )
        .node("Relu", &["conv1"], "relu1")
        .floats("w2", &[4, 4, 1, 1], &unit)
        .floats("b2", &[4], &[-0.05; 4])
        .node("Conv", &["relu1", "w2", "b2"], "conv2")
        .node("Relu", &["conv2"], "relu2")
        .node_with("Concat", &["relu1", "relu2"], "both", &[("axis", Attribute::Int(1))])
        .node("Flatten", &["both"], "flat")
        .floats("w3", &[512, 5], &numbers(2560, 3, 0.3))
        .node("MatMul", &["flat", "w3"], "logits")
        .build("logits");
    Model::from_onnx_bytes(&bytes, None).unwrap()
}

#[test]
fn channels_copy_what_earlier_layers_decide() {
    let model = echo();
    let mut measure = Measure::new(&model, images(64), false).unwrap();
    let costs = Costs::decisions(measure.sites());
    let all = 2 * 4 * 64;
    let (plan, loss) =
        cluster(&mut measure, &costs, all * 5 / 8, &[1], Decider::Member, &mut |_| {}).unwrap();
    let (copying, less) = across(&mut measure, plan.clone(), loss, &mut |_| {}).unwrap();
    copying.check(&model.graph).unwrap();
    assert!(less < 0.8 * loss, "{less} of {loss}");
    let copies = |plan: &Plan| match &plan.sites[1].gate {
        Gate::Clusters(clusters) => {
            let copying = |c: &&u32| clusters.list[**c as usize].copies.is_some();
            clusters.of_channel.iter().filter(copying).count()
        }
        _ => 0,
    };
    assert!(copies(&plan) == 0 && copies(&copying) > 0, "{copying:?}");
    // What was said is what is measured.
    assert!((measure.loss(&copying, &mut |_| {}).unwrap() - less).abs() < 1e-9);
}

#[test]
fn matched_moments_lose_less() {
    let model = network(true);
    let plan_of = |measure: &Measure| {
        let mut plan = measure.plan(None);
        plan.sites[0].gate = Gate::Patches(vec![ChannelGate::Patch(4, 4); 4]);
        plan
    };
    let loss = |matched| {
        let mut measure = Measure::new(&model, images(64), matched).unwrap();
        let plan = plan_of(&measure);
        let measured = measure.loss(&plan, &mut |_| {}).unwrap();
        // The original's own moments are matched already.
        let none = measure.loss(&measure.plan(None), &mut |_| {}).unwrap();
        assert!(none < 1e-6, "{none}");
        measured
    };
    let (matched, as_is) = (loss(true), loss(false));
    assert!(matched < 0.9 * as_is, "{matched} of {as_is}");
}

fn images(count: usize) -> Tensor {
    // Neighbours are alike, as in pictures.
    let rough = numbers(count * 128, 9, 2.0);
    let smooth = rough.windows(3).map(|w| w.iter().sum()).chain([0.0, 0.0]).collect::<Vec<f32>>();
    Tensor::new([count, 2, 8, 8], smooth)
}

fn measure(deep: bool, count: usize) -> Measure {
    Measure::new(&network(deep), images(count), false).unwrap()
}

fn index(site: &ChoiceSite, gate: ChannelGate) -> u16 {
    site.candidates.iter().position(|c| *c == gate).unwrap() as u16
}

fn loss(measure: &mut Measure, choices: &Choices) -> f64 {
    let plan = measure.plan(Some(choices));
    measure.loss(&plan, &mut |_| {}).unwrap()
}

/// With nothing but linear layers behind, estimates are right but for the directions' randomness;
/// around any plan.
#[test]
fn estimates_are_what_is_measured() {
    let mut measure = measure(false, 2400);
    let site = measure.sites()[0].clone();
    let patches = [ChannelGate::Patch(1, 1), ChannelGate::Patch(2, 2), ChannelGate::Zero];
    let patches = patches.into_iter().chain([ChannelGate::Patch(8, 8)]);
    let around: Choices = patches.map(|gate| index(&site, gate)).collect();
    for base in [vec![0; 4], around] {
        let exact = base == [0; 4];
        let plan = measure.plan(Some(&base));
        let estimate = measure.estimate(&plan, 1, &mut |_| {}).unwrap();
        let own = loss(&mut measure, &base);
        assert!((estimate.loss - own).abs() < 1e-6);
        let mut largest = 0.0f64;
        for channel in 0..4 {
            for (choice, gate) in site.candidates.iter().enumerate() {
                let mut choices = base.clone();
                choices[channel] = choice as u16;
                let measured = loss(&mut measure, &choices) - own;
                let estimated = estimate.added[channel][choice];
                let error = (measured - estimated).abs();
                assert!(
                    error <= 0.2 * measured.abs() + 0.04,
                    "channel {channel}, {gate}: {measured} measured, {estimated} estimated"
                );
                let distance = estimate.distance[channel][choice];
                // Around exact gates the two are the same.
                assert!(distance >= 0.0 && (!exact || (distance - estimated).abs() < 1e-6));
                largest = largest.max(measured);
            }
        }
        assert!(largest > 0.05, "nothing that is worth estimating: {largest}");
    }
}

fn cost(measure: &Measure, choices: &Choices) -> usize {
    let of = |site: &ChoiceSite| -> usize {
        let gate = |c: &u16| decisions(site.candidates[usize::from(*c)], site.map);
        choices[site.items()].iter().map(gate).sum()
    };
    measure.sites().iter().map(of).sum()
}

fn search(measure: &mut Measure, budget: u64, progress: Option<Progress>) -> Progress {
    let costs = Costs::decisions(measure.sites());
    let mut search = Search::new(measure, &costs, budget, Options::default(), progress);
    while search.advance(&mut |_| {}).unwrap() {}
    search.progress().clone()
}

#[test]
fn plans_keep_to_their_budget_and_lose_less_than_equal_patches() {
    let mut measure = measure(true, 64);
    // 512 activations; 2x2 patches everywhere take a quarter of the decisions.
    let square = index(&measure.sites()[0], ChannelGate::Patch(2, 2));
    let uniform: Choices = vec![square; 8];
    assert_eq!(cost(&measure, &uniform), 128);
    let straw = loss(&mut measure, &uniform);

    let found = search(&mut measure, 128, None);
    let choices = found.choices.clone().unwrap();
    assert!(cost(&measure, &choices) <= 128);
    let reached = loss(&mut measure, &choices);
    assert!(reached < 0.8 * straw, "{reached} against {straw} with equal patches");
    let last = found.steps.iter().rev().find(|step| step.accepted).unwrap();
    assert!((last.measured - reached).abs() < 1e-6);
    assert!(found.steps.iter().all(|step| step.gap <= 1e-3 && step.cost <= step.budget));

    // A search that is interrupted after any step ends with the same plan.
    for steps in [1, found.steps.len() - 1] {
        let costs = Costs::decisions(measure.sites());
        let mut first = Search::new(&mut measure, &costs, 128, Options::default(), None);
        for _ in 0..steps {
            assert!(first.advance(&mut |_| {}).unwrap());
        }
        let text = serde_json::to_string(first.progress()).unwrap();
        let resumed = search(&mut measure, 128, Some(serde_json::from_str(&text).unwrap()));
        assert_eq!(resumed.choices, found.choices, "after {steps} steps");
    }
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let bytes = OnnxBuilder::new(&[4])
        .floats("w", &[4, 3], &numbers(12, 1, 1.0))
        .node("MatMul", &["input", "w"], "logits")
        .build("logits");
    let no_relu = Model::from_onnx_bytes(&bytes, None).unwrap();
    let refused = Measure::new(&no_relu, Tensor::new([1, 4], vec![1.0; 4]), false);
    assert!(matches!(refused.err().unwrap(), PlanError::NoSites));
    let other = Measure::new(&network(true), Tensor::new([1, 4], vec![1.0; 4]), false);
    assert!(matches!(other.err().unwrap(), PlanError::Images { .. }));
    let none = Measure::new(&network(true), Tensor::new([0, 2, 8, 8], vec![]), false);
    assert!(matches!(none.err().unwrap(), PlanError::Images { .. }));
}
