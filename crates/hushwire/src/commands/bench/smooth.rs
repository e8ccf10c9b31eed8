//! 2^20 smooth activations as piecewise polynomials, by three processes over TLS.
//!
//! Three accuracies show what precision costs.

use std::path::Path;

use anyhow::{Context, Result};
use hushwire_fixed::program::Op;
use hushwire_fixed::{CurveGate, Program, Settings};
use hushwire_graph::{Activation, Model};
use hushwire_mpc::Comparison;
use hushwire_mpc::cost::Prediction;
use hushwire_plan::{Gate, Piecewise, Plan};
use hushwire_smooth::{Function, Surroundings, within};

use super::subject::Subject;
use super::trial::{self, Phase};
use super::{Bench, shapes};

/// Activations.
const COUNT: u32 = 1 << 20;

/// Errors that functions are computed to, and the bits of magnitude that outputs need for them.
const ERRORS: [(&str, f64, i32); 3] = [("", 1e-2, 12), ("_middle", 3e-3, 13), ("_fine", 1e-3, 15)];

/// Largest magnitude of the inputs: activations behind a normalisation.
const RANGE: f64 = 5.0;

/// Measures GELU, SiLU and Mish with both comparisons.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let activations = [
        (Activation::Gelu, Function::Gelu),
        (Activation::Silu, Function::Silu),
        (Activation::Mish, Function::Mish),
    ];
    for (activation, function) in activations {
        for (accuracy, error, bits) in ERRORS {
            for (suffix, comparison) in [("", Comparison::Digits), ("_dcf", Comparison::Dcf)] {
                let name = format!("{}{accuracy}{suffix}", function.name());
                measure(bench, &name, activation, (function, error, bits), comparison)?;
            }
        }
    }
    Ok(())
}

fn measure(
    bench: &mut Bench,
    name: &str,
    activation: Activation,
    (function, error, activation_bits): (Function, f64, i32),
    comparison: Comparison,
) -> Result<()> {
    let folder = bench.folder().to_owned();
    let names = ["total_bytes", "online_bytes", "round_trips", "seconds", "max_error"];
    bench.measure(names.map(|what| format!("{name}.{what}")), || {
        let model = shapes::activations(activation);
        let (subject, largest) = cheapest(&folder, name, &model, function, error, activation_bits)?;
        let prediction = Prediction::new(&subject.job(comparison));
        let measured = trial::run(&subject.task(comparison, None))?;
        let first = measured.first();
        let bytes = |phase: &Phase| subject.gate_bytes(phase) / f64::from(COUNT);
        let (offline, online) = (bytes(&first.offline), bytes(&first.online));
        Ok([
            offline + online,
            online,
            // One belongs to input and output.
            (prediction.rounds - 1) as f64,
            measured.seconds(|r| r.offline.seconds + r.online.seconds),
            largest,
        ])
    })
}

/// The network with the cheapest fit found whose largest error is within bounds, and that error. Bounds
/// on the parts of an error add up to more than they come to, so looser ones are tried first.
fn cheapest(
    folder: &Path,
    name: &str,
    model: &Model,
    function: Function,
    error: f64,
    activation_bits: i32,
) -> Result<(Subject, f64)> {
    let mut best: Option<(u64, Piecewise, u32)> = None;
    let mut found = None;
    for looser in [1.4, 1.3, 1.2, 1.1, 1.0] {
        best = None;
        for window_bits in [9, 11, 12, 13] {
            let usual = Surroundings::usual(RANGE, RANGE);
            let around = Surroundings { activation_bits, window_bits: window_bits as i32, ..usual };
            if let Some((fit, bits)) = within(function, looser * error, &around)
                && best.as_ref().is_none_or(|(least, ..)| bits < *least)
            {
                best = Some((bits, fit, window_bits));
            }
        }
        let Some((_, fit, window_bits)) = &best else { continue };
        let mut plan = Plan::exact(&model.graph);
        plan.sites[0].gate = Gate::Piecewise(fit.clone());
        let settings =
            Settings { activation_bits, window_bits: *window_bits, ..Settings::default() };
        let subject = Subject::planned(folder, name, model, &plan, &settings)?;
        let largest = worst_error(subject.program(), function)?;
        if largest <= error {
            found = Some((subject, largest));
            break;
        }
    }
    found.with_context(|| match best {
        None => format!("nothing is within {error} of {}", function.name()),
        Some(_) => format!("rounding adds too much to {}", function.name()),
    })
}

/// The largest difference between the gate of a program and a function: over all inputs in range,
/// whichever way input, output and the decisions next to a knot are rounded.
fn worst_error(program: &Program, function: Function) -> Result<f64> {
    let gates = program.ops.iter().enumerate();
    let mut found = gates.filter_map(|(op, gate)| match gate {
        Op::Curve(gate) => Some((op, gate)),
        _ => None,
    });
    let (op, gate) = found.next_back().context("the network has no piecewise polynomial")?;
    let step = program.values[gate.source].step * 2f64.powi(gate.truncate as i32);
    let unit = program.values[op].step;
    let end = (RANGE / step) as i64;
    let errors = (-end..=end).map(|u| error_at(gate, u, step, unit, function));
    Ok(errors.fold(0.0, f64::max))
}

/// The largest error where the input is rounded to `u`.
fn error_at(gate: &CurveGate, u: i64, step: f64, unit: f64, function: Function) -> f64 {
    // A knot may seem to be reached by what is nearer to it than the lowest bit that is looked at.
    let near = (1i64 << gate.window.low) - 1;
    let knots = gate.knots.iter().filter(|knot| (u..=u + near).contains(*knot));
    let values = std::iter::once(&u).chain(knots).flat_map(|seen| {
        let z = gate.eval(u, gate.decide(*seen, None)) as f64 / f64::from(gate.drop).exp2();
        [z.floor() * unit, z.ceil() * unit]
    });
    // Inputs that may be rounded to u are less than one unit away.
    let around = |value: f64| {
        (-4..=4).map(move |quarter| {
            (value - function.eval((u as f64 + f64::from(quarter) / 4.0) * step)).abs()
        })
    };
    values.flat_map(around).fold(0.0, f64::max)
}
