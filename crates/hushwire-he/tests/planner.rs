//! What the planner finds, run in the clear under the scheme's rules.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{difference, float, input, lola};
use hushwire_he::{
    Clear, Executor, KeyHolder, Network, Objective, Place, Planned, Ranges, Settings, plan,
};

fn run(planned: &Planned, network: &Network, x: &[f32]) -> Vec<f64> {
    let program = &planned.program;
    let bits = &planned.plan.parameters.data_bits;
    let primes = bits.iter().map(|b| f64::from(*b).exp2() * 0.999).collect();
    let machine = Clear::new(program.slots, primes).with_rotations(program.rotations().into_keys());
    let executor = Executor::new(program, network, &machine).unwrap();
    let values: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let place = |value: usize| match &program.values[value].place {
        Place::Packed(table) => table,
        Place::Batched => panic!("batched"),
    };
    let first = &program.values[0];
    let packed = place(0).pack(&values);
    let encrypt =
        |slots: &Vec<f64>| machine.encrypt(slots, first.level, first.log_scale.exp2()).unwrap();
    let result = executor.run(packed.iter().map(encrypt).collect(), |_| {}).unwrap();
    let slots: Vec<Vec<f64>> = result.iter().map(|x| machine.decrypt(x).unwrap()).collect();
    assert_eq!(machine.take_counts(), program.counts());
    place(program.values.len() - 1).unpack(&slots, network.output().len())
}

#[test]
fn lola_in_its_best_layouts() {
    let model = lola(3);
    let network = Network::new(&model, &[]).unwrap();
    let inputs: Vec<Vec<f64>> =
        (0..8).map(|seed| input(&model, seed).into_iter().map(f64::from).collect()).collect();
    let ranges = Ranges::measure(&network, &inputs);
    let planned = plan(&network, &model.graph, &ranges, &Settings::default()).unwrap();

    let x = input(&model, 9);
    assert!(difference(&run(&planned, &network, &x), &float(&model, &x)) < 1e-4);
}

#[test]
fn many_images_have_one_element_per_ciphertext() {
    let model = lola(3);
    let network = Network::new(&model, &[]).unwrap();
    let images: Vec<Vec<f32>> = (0..3).map(|seed| input(&model, seed)).collect();
    let inputs: Vec<Vec<f64>> =
        images.iter().map(|x| x.iter().map(|x| f64::from(*x)).collect()).collect();
    let ranges = Ranges::measure(&network, &inputs);
    let settings = Settings { objective: Objective::Throughput, ..Settings::default() };
    let planned = plan(&network, &model.graph, &ranges, &settings).unwrap();
    let program = &planned.program;
    assert_eq!((program.batch(), program.counts().rotations), (8192, 0));

    let bits = &planned.plan.parameters.data_bits;
    let primes = bits.iter().map(|b| f64::from(*b).exp2() * 0.999).collect();
    let machine = Clear::new(program.slots, primes).with_rotations([]);
    let executor = Executor::new(program, &network, &machine).unwrap();
    let (level, scale) = (program.values[0].level, program.values[0].log_scale.exp2());
    let encrypt = |element: usize| {
        let pixels: Vec<f64> = inputs.iter().map(|image| image[element]).collect();
        machine.encrypt(&pixels, level, scale).unwrap()
    };
    let encrypted = (0..network.input().len()).map(encrypt).collect();
    let result = executor.run(encrypted, |_| {}).unwrap();
    assert_eq!(machine.take_counts(), program.counts());
    let columns: Vec<Vec<f64>> = result.iter().map(|x| machine.decrypt(x).unwrap()).collect();
    for (i, image) in images.iter().enumerate() {
        let logits: Vec<f64> = columns.iter().map(|column| column[i]).collect();
        assert!(difference(&logits, &float(&model, image)) < 1e-4);
    }
}
