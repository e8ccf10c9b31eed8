//! The server, P1: owns the weights, does the linear layers.

use crate::MpcError;
use crate::bundle::ServerBundle;
use crate::gate::server::{self as gate, Received};
use crate::job::{Job, Kind, step};
use crate::keys::Key;
use crate::layout::GateLayout;
use hushwire_fixed::program::Op;
use hushwire_fixed::{Weights, add_bias, add_param, apply_linear, local, truncate_part};
use hushwire_net::{Link, Phase};
use hushwire_ring::{PackError, Word, pack, packed_len, unpack};

/// Receives the preprocessing of one inference. `k12` is the bundle's key with the helper.
///
/// # Errors
/// A connection that fails, or a window that the comparison does not support.
pub fn prepare(
    job: &Job,
    k12: &Key,
    helper: &Link,
    client: &Link,
) -> Result<ServerBundle, MpcError> {
    let program = &job.program;
    let mut bundle = ServerBundle::new(job, k12.clone());
    for (i, op) in program.ops.iter().enumerate() {
        match op {
            Op::Linear(_) => {
                let len = packed_len(job.len(i), program.ring);
                let c = helper.recv(Phase::Offline, step(i, Kind::First), len)?;
                bundle.add(i, [c, Vec::new(), Vec::new()]);
            }
            Op::Gate(g) => {
                let layout = GateLayout::new(job, i, g);
                layout.check(&program.values[i].name)?;
                if layout.is_silent() {
                    continue;
                }
                let material =
                    helper.recv(Phase::Offline, step(i, Kind::First), layout.dealt_len())?;
                let keys = match layout.keys_len() {
                    0 => Vec::new(),
                    len => helper.recv(Phase::Offline, step(i, Kind::Third), len)?,
                };
                let masked =
                    client.recv(Phase::Offline, step(i, Kind::Second), layout.masked_len())?;
                bundle.add(i, [material, keys, masked]);
            }
            Op::Input | Op::AddParam { .. } | Op::Local(_) | Op::Open { .. } => {}
        }
    }
    Ok(bundle)
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
    bundle.check(job)?;
    let p1 = bundle.key().prf();
    let mut parts: Vec<Vec<W>> = vec![Vec::new(); program.ops.len()];
    for (i, op) in program.ops.iter().enumerate() {
        let value = &program.values[i];
        let message = |what| {
            move |source: PackError| MpcError::Message { what, layer: value.name.clone(), source }
        };
        match op {
            Op::Input => {
                let len = packed_len(job.len(i), program.ring);
                let masked = client.recv(Phase::Online, step(i, Kind::First), len)?;
                parts[i] = vec![W::ZERO; job.len(i)];
                unpack(&masked, program.ring, &mut parts[i]).map_err(message("the input"))?;
            }
            Op::Linear(linear) => {
                let source = &parts[linear.source];
                let mut y = apply_linear(job.ring(), linear, job.batch, weights.values(i), source);
                if let Some(bias) = weights.bias(i) {
                    add_bias(linear, bias, &mut y);
                }
                let [material, ..] = bundle.take(i)?;
                let mut c = vec![W::ZERO; y.len()];
                unpack(&material, program.ring, &mut c).map_err(message("the helper's share"))?;
                y.iter_mut().zip(&c).for_each(|(y, c)| *y = y.wrapping_sub(*c));
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
                let layout = GateLayout::new(job, i, g);
                let [material, keys, masked] =
                    if layout.is_silent() { Default::default() } else { bundle.take(i)? };
                let received = Received { masked: &masked, material: &material, keys: &keys };
                let name = &value.name;
                parts[i] = gate::run(&layout, i, name, &p1, &received, &parts[g.source], client)?;
            }
            Op::Open { source, truncate, width } => {
                let whole = job.ring();
                let part = parts[*source].iter();
                let own: Vec<W> =
                    part.map(|v| truncate_part(whole.reduce(*v), *truncate, true)).collect();
                let mut message = Vec::with_capacity(packed_len(own.len(), *width));
                pack(&own, *width, &mut message);
                client.send(Phase::Online, step(i, Kind::First), message)?;
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
