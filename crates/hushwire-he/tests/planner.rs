//! What the planner finds, run in the clear under the scheme's rules.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{difference, float, input, lola};
use hushwire_he::{Clear, Executor, KeyHolder, Network, Place, Planned, Ranges, Settings, plan};

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
    let network = Network::new(&model, None).unwrap();
    let inputs: Vec<Vec<f64>> =
        (0..8).map(|seed| input(&model, seed).into_iter().map(f64::from).collect()).collect();
    let ranges = Ranges::measure(&network, &inputs);
    let start = std::time::Instant::now();
    let planned = plan(&network, &model.graph, &ranges, &Settings::default()).unwrap();

    let x = input(&model, 9);
    assert!(difference(&run(&planned, &network, &x), &float(&model, &x)) < 1e-4);
}
