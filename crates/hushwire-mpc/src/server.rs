//! The server, P1: owns the weights, does the linear layers.

use crate::MpcError;
use crate::bundle::{ServerBundle, Sink, begin, put};
use crate::curve::CurveLayout;
use crate::gate::copies::Ledger;
use crate::gate::schedule;
use crate::job::{Job, Kind, step};
use crate::keys::Key;
use crate::layout::GateLayout;
use crate::polynomial::refuse;
use hushwire_fixed::program::Op;
use hushwire_fixed::{Weights, add_bias, add_param, apply_linear, local, truncate_part};
use hushwire_net::{Link, Phase, Role};
use hushwire_ring::{PackError, Word, pack, packed_len, unpack};

/// Receives the preprocessing of one inference and writes it to `sink`: what a [`ServerBundle`]
/// reads. `k12` is the bundle's key with the helper.
///
/// # Errors
/// A connection that fails, a window that the comparison does not support, or a sink that takes no
/// more.
pub fn prepare(
    job: &Job,
    k12: &Key,
    helper: &Link,
    client: &Link,
    sink: &mut dyn Sink,
) -> Result<(), MpcError> {
    let program = &job.program;
    begin(Role::Server, job, k12, sink)?;
    for (i, op) in program.ops.iter().enumerate() {
        match op {
            Op::Linear(_) => {
                for count in job.pieces(job.len(i)) {
                    let len = packed_len(count, program.ring);
                    put(sink, &helper.recv(Phase::Offline, step(i, Kind::Material), len)?)?;
                }
            }
            Op::Gate(g) => {
                let parts = GateLayout::checked_parts(job, i, g)?;
                schedule::receive(&parts, [helper, client], sink)?;
            }
            Op::Polynomial(_) => refuse(program)?,
            Op::Curve(curve) => {
                let parts = CurveLayout::checked_parts(job, i, curve)?;
                schedule::receive(&parts, [helper, client], sink)?;
            }
            Op::Input | Op::AddParam { .. } | Op::Local(_) | Op::Open { .. } => {}
        }
    }
    Ok(())
}

/// Runs one inference online. The bundle is used up.
///
/// # Errors
/// A bundle of another job, a connection that fails or malformed messages. Whatever happens, the
/// bundle is gone.
pub fn infer<W: Word>(
    job: &Job,
    weights: &Weights<W>,
    mut bundle: ServerBundle,
    client: &Link,
) -> Result<(), MpcError> {
    let program = &job.program;
    let p1 = bundle.begin(job)?.prf();
    let ledger = Ledger::default();
    let mut parts: Vec<Vec<W>> = vec![Vec::new(); program.ops.len()];
    for (i, op) in program.ops.iter().enumerate() {
        let value = &program.values[i];
        let message = |what| {
            move |source: PackError| MpcError::Message { what, layer: value.name.clone(), source }
        };
        match op {
            Op::Input => {
                let len = packed_len(job.len(i), program.ring);
                let masked = client.recv(Phase::Online, step(i, Kind::said(0)), len)?;
                parts[i] = vec![W::ZERO; job.len(i)];
                unpack(&masked, program.ring, &mut parts[i]).map_err(message("the input"))?;
            }
            Op::Linear(linear) => {
                let source = &parts[linear.source];
                let mut y = apply_linear(job.ring(), linear, job.batch, weights.values(i), source);
                if let Some(bias) = weights.bias(i) {
                    add_bias(linear, bias, &mut y);
                }
                for y in y.chunks_mut(job.part()) {
                    let record = bundle.take(packed_len(y.len(), program.ring))?;
                    let mut c = vec![W::ZERO; y.len()];
                    unpack(&record, program.ring, &mut c).map_err(message("the helper's share"))?;
                    y.iter_mut().zip(&c).for_each(|(y, c)| *y = y.wrapping_sub(*c));
                }
                parts[i] = y;
            }
            Op::AddParam { source, repeat, .. } => {
                parts[i] = parts[*source].clone();
                add_param(weights.values(i), *repeat, &mut parts[i]);
            }
            Op::Local(op) => {
                let lens = |v: usize| program.values[v].len;
                parts[i] = local::apply(op, job.batch, value.len, true, |v| &parts[v], lens);
            }
            Op::Gate(g) => {
                let layouts = GateLayout::online_parts(job, i, g, &ledger)?;
                let mut out = vec![W::ZERO; job.len(i)];
                let (source, name) = (&parts[g.source], &value.name);
                schedule::serve(&layouts, name, &p1, &mut bundle, source, &mut out, client)?;
                parts[i] = out;
            }
            Op::Polynomial(_) => refuse(program)?,
            Op::Curve(curve) => {
                let layouts = CurveLayout::checked_parts(job, i, curve)?;
                let mut out = vec![W::ZERO; job.len(i)];
                let (source, name) = (&parts[curve.source], &value.name);
                schedule::serve(&layouts, name, &p1, &mut bundle, source, &mut out, client)?;
                parts[i] = out;
            }
            Op::Open { source, truncate, width } => {
                let whole = job.ring();
                let part = parts[*source].iter();
                let own: Vec<W> =
                    part.map(|v| truncate_part(whole.reduce(*v), *truncate, true)).collect();
                let mut message = Vec::with_capacity(packed_len(own.len(), *width));
                pack(&own, *width, &mut message);
                client.send(Phase::Online, step(i, Kind::said(0)), message)?;
            }
        }
        for source in op.sources() {
            if program.last_use[source] == i {
                parts[source] = Vec::new();
            }
        }
    }
    Ok(())
}
