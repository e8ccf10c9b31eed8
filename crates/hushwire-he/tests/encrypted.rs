//! LoLa's network for MNIST under real encryption with a secure parameter set, and hostile plans.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{difference, float, float_under, input, lola, rectified, with_polynomial};
use hushwire_he::{
    CkksMachine, CkksOwner, Counted, EncryptedPlan, Executor, Interface, KeyHolder, KeySet, Layout,
    Network, Place, PlanError, Ranges, Settings, assemble, parameters, plan,
};
use hushwire_plan::PolynomialGate;
use proptest::prelude::*;

#[test]
fn encrypted_inference_agrees_with_the_clear_one() {
    let model = lola(3);
    let network = Network::new(&model, &[]).unwrap();
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
    let interface = Interface::of(&program, &read);
    let mut made = 0;
    let keys = owner.keys(&interface.needs, || made += 1).unwrap();
    assert_eq!(made, interface.needs.count());
    let memory = interface.needs.memory(owner.parameters());
    assert_eq!(keys.memory(), memory);
    let machine = Counted::new(CkksMachine::new(keys.evaluation.clone()));
    let executor = Executor::new(&program, &network, &machine).unwrap();
    let x = input(&model, 9);
    let encrypted = interface.encrypt(&owner, &[&x]).unwrap();
    let mut done = 0;
    let mut result = executor.run(encrypted, |_| done += 1).unwrap();
    assert_eq!(done, 3);
    // What ran is what the plan counts.
    assert_eq!(machine.take_counts(), program.counts());
    let unblinded = result[0].clone();
    machine.machine().blind(&mut result, &keys.public, read.flood).unwrap();
    let logits = interface.decrypt(&owner, &result, 1).unwrap();
    let logits: Vec<f64> = logits.into_iter().map(f64::from).collect();

    let clear = float(&model, &x);
    let rms = (clear.iter().map(|v| v * v).sum::<f64>() / 10.0).sqrt();
    assert!(difference(&logits, &clear) < 0.03 * rms, "{logits:?} against {clear:?}");
    // No slot shows anything but a logit or nothing: no partial sums.
    let Place::Packed(table) = &interface.output.place else { panic!("batched") };
    let [noise, flooded] = [&unblinded, &result[0]].map(|result| {
        let slots = owner.decrypt(result).unwrap();
        let expected = |e: &u32| clear.get(*e as usize).copied().unwrap_or(0.0);
        let errors = table.ciphertexts[0].iter().zip(&slots).map(|(e, v)| v - expected(e));
        let errors: Vec<f64> = errors.collect();
        (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt()
    });
    assert!(noise < 0.01 * rms, "{noise} of {rms}");
    // Blinding adds noise of the planned size, and makes another ciphertext of it each time.
    assert!((noise.hypot(read.flood) / flooded - 1.0).abs() < 0.1, "{noise} {flooded}");
    let mut again = vec![unblinded.clone()];
    machine.machine().blind(&mut again, &keys.public, read.flood).unwrap();
    assert!(again[0].to_bytes() != result[0].to_bytes());
    // LoLa's own layouts take about 279.
    assert!(program.counts().rotations <= 40, "{}", program.counts());
}

#[test]
fn gates_of_an_activation_plan_run_encrypted() {
    let model = rectified();
    let gates = with_polynomial(&model, PolynomialGate::new(5, 8.0));
    let network = Network::new(&model, &gates.sites).unwrap();
    let numbers = |seed| input(&model, seed).into_iter().map(f64::from).collect();
    let inputs: Vec<Vec<f64>> = (0..8).map(numbers).collect();
    let ranges = Ranges::measure(&network, &inputs);
    let planned = plan(&network, &model.graph, &ranges, &Settings::default()).unwrap();

    // The file has the gates: no other is needed.
    let mut read = EncryptedPlan::from_bytes(planned.plan.to_text().as_bytes()).unwrap();
    assert_eq!(read.sites, network.sites);
    read.check_graph(&model.graph).unwrap();
    let network = Network::new(&model, &read.sites).unwrap();
    let program = assemble(&network, &read).unwrap();

    let owner = CkksOwner::generate(&parameters(&read.parameters).unwrap()).unwrap();
    let interface = Interface::of(&program, &read);
    let keys = owner.keys(&interface.needs, || ()).unwrap();
    let machine = CkksMachine::new(keys.evaluation);
    let executor = Executor::new(&program, &network, &machine).unwrap();
    let x = input(&model, 11);
    let encrypted = interface.encrypt(&owner, &[&x]).unwrap();
    let result = executor.run(encrypted, |_| ()).unwrap();
    let logits = interface.decrypt(&owner, &result, 1).unwrap();
    let logits: Vec<f64> = logits.into_iter().map(f64::from).collect();
    let float = float_under(&model, &gates, &x);
    assert!(difference(&logits, &float) < 0.02, "{logits:?} against {float:?}");

    read.sites[0].node = "elsewhere".to_owned();
    assert!(matches!(read.check_graph(&model.graph), Err(PlanError::Gates(_))));
}

#[test]
fn interfaces_and_keys_that_do_not_fit_are_refused() {
    let model = lola(3);
    let network = Network::new(&model, &[]).unwrap();
    let inputs = [input(&model, 1).into_iter().map(f64::from).collect()];
    let ranges = Ranges::measure(&network, &inputs);
    let planned = plan(&network, &model.graph, &ranges, &Settings::default()).unwrap();
    let interface = Interface::of(&planned.program, &planned.plan);
    let parameters = interface.check().unwrap();
    let refused = |change: &dyn Fn(&mut Interface)| {
        let mut changed = interface.clone();
        change(&mut changed);
        changed.check().unwrap_err()
    };
    refused(&|i| i.parameters.data_bits.push(48));
    refused(&|i| i.parameters.log_degree = 12);
    refused(&|i| i.input.elements = usize::MAX);
    refused(&|i| i.input.elements = 3);
    refused(&|i| i.output.level = 9);
    refused(&|i| i.output.log_scale = f64::NAN);
    refused(&|i| {
        i.needs.rotations.insert(1 << 20, 0);
    });
    refused(&|i| i.needs.product = Some(40));
    refused(&|i| {
        let Place::Packed(table) = &mut i.input.place else { panic!("batched") };
        table.ciphertexts[0].pop();
    });

    let owner = CkksOwner::generate(&parameters).unwrap();
    assert!(interface.encrypt(&owner, &[]).is_err());
    assert!(interface.encrypt(&owner, &[&[0.0; 3]]).is_err());
    assert!(interface.decrypt(&owner, &[], 1).is_err());

    let mut fewer = interface.needs.clone();
    fewer.rotations.pop_first();
    let bytes = owner.keys(&fewer, || ()).unwrap().to_bytes();
    assert!(KeySet::from_bytes(&parameters, &fewer, &bytes).is_ok());
    let refused = KeySet::from_bytes(&parameters, &interface.needs, &bytes).err().unwrap();
    assert!(refused.to_string().contains("no key for rotation"), "{refused}");
    for len in [0, 3, 100, bytes.len() - 1] {
        assert!(KeySet::from_bytes(&parameters, &fewer, &bytes[..len]).is_err());
    }
}

#[test]
fn plans_that_do_not_fit_are_refused() {
    let model = lola(3);
    let network = Network::new(&model, &[]).unwrap();
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
