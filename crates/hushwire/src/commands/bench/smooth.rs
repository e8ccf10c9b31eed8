//! 2^20 smooth activations as piecewise polynomials, by three processes over TLS.

use anyhow::{Context, Result};
use hushwire_fixed::program::Op;
use hushwire_fixed::{CurveGate, Program};
use hushwire_graph::Activation;
use hushwire_mpc::Comparison;
use hushwire_mpc::cost::Prediction;
use hushwire_plan::{Gate, Piecewise, Plan};
use hushwire_smooth::{Density, Function, Goal, Histogram, Method, Surroundings, Target, front};

use super::subject::Subject;
use super::trial::{self, Phase};
use super::{Bench, shapes};

/// Activations.
const COUNT: u32 = 1 << 20;

/// Errors that functions are computed to.
const ERRORS: [(&str, f64); 3] = [("", 1e-2), ("_middle", 3e-3), ("_fine", 1e-3)];

/// Where tails may begin, on either side.
const ENDS: [f64; 4] = [4.0, 6.0, 8.0, 10.0];

/// Largest magnitude that formats are chosen for, before headroom.
const RANGE: f64 = 8.0;

/// Measures GELU, SiLU and Mish with both comparisons.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let activations = [
        (Activation::Gelu, Function::Gelu),
        (Activation::Silu, Function::Silu),
        (Activation::Mish, Function::Mish),
    ];
    for (activation, function) in activations {
        for (accuracy, error) in ERRORS {
            for (suffix, comparison) in [("", Comparison::Digits), ("_dcf", Comparison::Dcf)] {
                let name = format!("{}{accuracy}{suffix}", function.name());
                measure(bench, &name, activation, function, error, comparison)?;
            }
        }
    }
    Ok(())
}

fn measure(
    bench: &mut Bench,
    name: &str,
    activation: Activation,
    function: Function,
    error: f64,
    comparison: Comparison,
) -> Result<()> {
    let folder = bench.folder().to_owned();
    let names = ["total_bytes", "online_bytes", "round_trips", "seconds", "max_error"];
    bench.measure(names.map(|what| format!("{name}.{what}")), || {
        let model = shapes::activations(activation);
        let mut plan = Plan::exact(&model.graph);
        plan.sites[0].gate = Gate::Piecewise(fit(function, error)?);
        let subject = Subject::planned(&folder, name, &model, &plan)?;
        let largest = worst_error(subject.program(), function)?;
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

/// The cheapest piecewise polynomial within `error` of the function everywhere.
fn fit(function: Function, error: f64) -> Result<Piecewise> {
    let mut best = None;
    for low in ENDS {
        for high in ENDS {
            // No input is likelier than another: the largest error is what counts.
            let even = Histogram::from_counts(-low, high, &[1 << 40], 0.0)?;
            let target = Target::new(function, [-low, high], &Density::Histogram(even))?;
            let around = Surroundings::usual(RANGE, RANGE);
            for candidate in front(&target, Method::Ours, Goal::Largest, &around)? {
                if candidate.score.max <= error
                    && best.as_ref().is_none_or(|(bits, _)| candidate.bits < *bits)
                {
                    best = Some((candidate.bits, candidate.function));
                }
            }
        }
    }
    let (_, function) = best.with_context(|| format!("no fit is within {error}"))?;
    Ok(function)
}

/// The largest difference between the gate of a program and a function: over all inputs in range,
/// whichever way input, output and the decisions next to a knot are rounded.
fn worst_error(program: &Program, function: Function) -> Result<f64> {
    let gates = program.ops.iter().enumerate();
    let found = gates.filter_map(|(op, gate)| match gate {
        Op::Curve(gate) => Some((op, gate)),
        _ => None,
    });
    let (op, gate) = found.last().context("the network has no piecewise polynomial")?;
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
