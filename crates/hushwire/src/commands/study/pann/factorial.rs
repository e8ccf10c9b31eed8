//! Remedies in training, each with and without the others.

use anyhow::Result;
use hushwire_graph::Model;
use hushwire_train::Rectifying;

use super::lab::Lab;
use super::results::{Results, Row};
use crate::commands::study::stats::Mean;
use crate::commands::tune::Leak;

/// The part's name in the table.
pub const PART: &str = "remedies";

/// The remedies: a leak at negative inputs, no weight decay, Mixup, the polynomial itself in training,
/// and the penalty on large inputs.
pub const REMEDIES: [&str; 5] = ["leak", "no-decay", "mixup", "residual", "penalty"];

/// Combinations of remedies, as sets of bits.
pub const CASES: u32 = 1 << REMEDIES.len();

/// The baseline's weight decay.
pub const DECAY: f32 = 5e-4;

/// Precision of the polynomials in training.
const TRAINED: u32 = 6;

/// Precisions at which networks are measured; 0 is ReLU itself.
pub const MEASURED: [u32; 6] = [0, 4, 5, 6, 7, 9];

/// What a combination is called.
pub fn case(remedies: u32) -> String {
    let names = REMEDIES.iter().enumerate();
    let on: Vec<&str> =
        names.filter(|(bit, _)| remedies >> bit & 1 == 1).map(|(_, name)| *name).collect();
    if on.is_empty() { "none".to_owned() } else { on.join("+") }
}

/// One combination on the network of a seed.
pub fn study(lab: &Lab, base: &Model, seed: u64, remedies: u32) -> Result<Vec<Row>> {
    let on = |bit: usize| remedies >> bit & 1 == 1;
    let how = Rectifying {
        leak: on(0).then(|| Leak::Slope.of(0.2)),
        residual: on(3),
        penalty: if on(4) { 0.01 } else { 0.0 },
        straight: false,
        margin: Some(lab.fitting.margin as f32),
    };
    let decay = if on(1) { 0.0 } else { DECAY };
    let mixup = if on(2) { 0.2 } else { 0.0 };
    let model = lab.tuned(base, seed, TRAINED, [decay, mixup], how)?;
    let mut rows = Vec::new();
    for alpha in MEASURED {
        let found = match alpha {
            0 => lab.measure(&hushwire_train::Net::new(&model, None)?, seed),
            alpha => lab.under(&model, &lab.fit(&model, alpha)?.1)?,
        };
        let mut add = |measure: &str, value: f64| {
            let (part, measure) = (PART.to_owned(), measure.to_owned());
            rows.push(Row { part, case: case(remedies), seed, alpha, measure, value });
        };
        add("accuracy", 100.0 * found.accuracy);
        if alpha > 0 {
            add("out of range", found.outside as f64);
        }
    }
    Ok(rows)
}

/// What a remedy adds to the accuracy at a precision, averaged over all combinations of the others:
/// the mean over seeds.
pub fn effect(results: &Results, remedy: usize, alpha: u32) -> Option<Mean> {
    let values: Vec<Vec<f64>> =
        (0..CASES).map(|c| results.values(PART, &case(c), alpha, "accuracy")).collect();
    let seeds = values.iter().map(Vec::len).min()?;
    let effect = |seed: usize| {
        let with = |on: bool| {
            let cases = (0..CASES).filter(|c| (c >> remedy & 1 == 1) == on);
            cases.map(|c| values[c as usize][seed]).sum::<f64>() / f64::from(CASES / 2)
        };
        with(true) - with(false)
    };
    Mean::of(&(0..seeds).map(effect).collect::<Vec<_>>())
}
