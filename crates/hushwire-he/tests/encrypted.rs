//! LoLa's network for MNIST under real encryption with a secure parameter set, and hostile plans.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{difference, float, input, lola};
use hushwire_he::{
    CkksMachine, CkksOwner, Counted, EncryptedPlan, Executor, KeyHolder, KeyNeeds, Layout, Network,
    Place, PlanError, Ranges, Settings, assemble, parameters, plan,
};
use proptest::prelude::*;

#[test]
fn encrypted_inference_agrees_with_the_clear_one() {
    let model = lola(3);
    let network = Network::new(&model, None).unwrap();
    let numbers = |seed| input(&model, seed).into_iter().map(f64::from).collect();
    let inputs: Vec<Vec<f64>> = (0..8).map(numbers).collect();
    let ranges = Ranges::measure(&network, &inputs);
    let planned = plan(&network, &model.graph, &ranges, &Settings::default()).unwrap();

    assert_eq!(planned.plan.parameters.log_degree, 13);
    assert_eq!(planned.plan.parameters.data_bits.len(), 4);

    // The plan survives its file, and gives the same program.
    let read = EncryptedPlan::from_bytes(planned.plan.to_text().as_bytes()).unwrap();
    read.check_graph(&model.graph).unwrap();
    let program = assemble(&network, &read).unwrap();
    assert_eq!(program.counts(), planned.program.counts());

    let owner = CkksOwner::generate(&parameters(&read.parameters).unwrap()).unwrap();
    let keys = owner.evaluation_keys(&KeyNeeds::of(&program)).unwrap();
    let machine = Counted::new(CkksMachine::new(keys));
    let executor = Executor::new(&program, &network, &machine).unwrap();
    let x = input(&model, 9);
    let values: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let place = |value: usize| match &program.values[value].place {
        Place::Packed(table) => table,
        Place::Batched => panic!("batched"),
    };
    let first = &program.values[0];
    let encrypt =
        |slots: &Vec<f64>| owner.encrypt(slots, first.level, first.log_scale.exp2()).unwrap();
    let encrypted = place(0).pack(&values).iter().map(encrypt).collect();
    let mut done = 0;
    let result = executor.run(encrypted, |_| done += 1).unwrap();
    assert_eq!(done, 3);
    let slots: Vec<Vec<f64>> = result.iter().map(|x| owner.decrypt(x).unwrap()).collect();
    let logits = place(program.values.len() - 1).unpack(&slots, 10);

    let clear = float(&model, &x);
    let rms = (clear.iter().map(|v| v * v).sum::<f64>() / 10.0).sqrt();
    assert!(difference(&logits, &clear) < 0.03 * rms, "{logits:?} against {clear:?}");
    // What ran is what the plan counts.
    assert_eq!(machine.take_counts(), program.counts());
    // LoLa's own layouts take about 279.
    assert!(program.counts().rotations <= 40, "{}", program.counts());
}

#[test]
fn plans_that_do_not_fit_are_refused() {
    let model = lola(3);
    let network = Network::new(&model, None).unwrap();
    let inputs = [input(&model, 1).into_iter().map(f64::from).collect()];
    let ranges = Ranges::measure(&network, &inputs);
    let planned = plan(&network, &model.graph, &ranges, &Settings::default()).unwrap();
    let change = |from: &str, to: &str| {
        let text = planned.plan.to_text();
        assert!(text.contains(from), "{from} in {text}");
        EncryptedPlan::from_bytes(text.replace(from, to).as_bytes())
    };
    assert!(matches!(change("version = 1", "version = 9"), Err(PlanError::Version(9))));
    assert!(matches!(change("log_degree = 13", "log_degree = 40"), Err(PlanError::Unfit { .. })));
    assert!(matches!(change("giant = 1\n", "giant = 0\n"), Err(PlanError::Unfit { .. })));
    let renamed = change("name = \"square2\"", "name = \"other\"").unwrap();
    assert!(matches!(assemble(&network, &renamed), Err(PlanError::Unfit { .. })));
    let mut other = planned.plan.clone();
    other.architecture = "00".to_owned();
    assert!(matches!(other.check_graph(&model.graph), Err(PlanError::OtherNetwork { .. })));
}

proptest! {
    #[test]
    fn layouts_from_any_text_do_not_panic(text in "[a-z0-9:@ ]{0,60}", slots in 1_usize..4096) {
        if let Ok(layout) = text.parse::<Layout>() {
            let _ = layout.table(&[3, 4, 5], slots.next_power_of_two());
        }
    }
}
