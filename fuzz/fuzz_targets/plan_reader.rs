//! The text of a plan, up to the execution of what it says.

#![no_main]

use std::sync::{Arc, LazyLock};

use hushwire_fixed::{Executor, Weights, lower};
use hushwire_fuzz::{network, plan};
use hushwire_graph::Model;
use hushwire_mpc::cost::Prediction;
use hushwire_mpc::{Comparison, Job};
use hushwire_plan::{ChannelGate, Gate, Group, Others, Plan, architecture_hash};
use libfuzzer_sys::fuzz_target;

static MODEL: LazyLock<Model> = LazyLock::new(network);
static HASH: LazyLock<String> = LazyLock::new(|| architecture_hash(&MODEL.graph));

fn seeds() -> Vec<Vec<u8>> {
    let exact = plan(&MODEL);
    let patches = vec![ChannelGate::Patch(2, 2), ChannelGate::Zero];
    let list = vec![Group { members: vec![0, 2], form: vec![(1, -3), (2, 1)] }];
    let gates =
        [Gate::Patches(patches), Gate::Groups { list, others: Others::Exact }, Gate::Identity];
    let with = |gate| {
        let mut plan = exact.clone();
        plan.sites[1].gate = gate;
        plan
    };
    let plans = gates.map(with).into_iter().chain([exact.clone(), Plan::exact(&MODEL.graph)]);
    plans.map(|plan| plan.to_text().into_bytes()).collect()
}

fuzz_target!(init: hushwire_fuzz::seed(seeds()), |data: &[u8]| {
    let Ok(mut plan) = Plan::from_bytes(data) else { return };
    // No fuzzer finds a hash.
    plan.architecture.clone_from(&HASH);
    let text = plan.to_text();
    let again = Plan::from_bytes(text.as_bytes()).expect("a written plan reads");
    // As text, because a NaN is not equal to itself.
    assert_eq!(again.to_text(), text);
    let checked = plan.check(&MODEL.graph);
    let program = lower(&MODEL.graph, &plan);
    let Ok(program) = program else { return };
    checked.expect("only plans that check are lowered");

    let weights = Weights::<u64>::quantise(&program, &MODEL.params);
    let input = vec![0.5; program.input_len()];
    let (logits, _) = Executor::new(&program, &weights).run(1, &input);
    assert_eq!(logits.len(), program.output_len());
    let program = Arc::new(program);
    for comparison in [Comparison::Dcf, Comparison::Digits] {
        Prediction::new(&Job::new(Arc::clone(&program), 2, comparison));
    }
});
