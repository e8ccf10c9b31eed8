//! The client, P0: owns the input, learns the result.

use crate::MpcError;
use crate::bundle::ClientBundle;
use crate::gate::client as gate;
use crate::job::{Job, Kind, ring, step};
use crate::keys::{Key, Purpose, WeightMasks, words};
use crate::layout::GateLayout;
use hushwire_fixed::program::Op;
use hushwire_fixed::{apply_linear, decode, encode, local, truncate_part};
use hushwire_net::{Link, Phase};
use hushwire_ring::{Word, pack, packed_len, unpack};

/// Prepares one inference before its input exists. `k02` is the bundle's key with the helper.
///
/// # Errors
/// A connection that fails, malformed messages, or a window that the comparison does not support.
pub fn prepare<W: Word>(
    job: &Job,
    masks: &WeightMasks<W>,
    k02: &Key,
    helper: &Link,
    server: &Link,
) -> Result<ClientBundle, MpcError> {
    let p0 = k02.prf();
    let program = &job.program;
    let mut bundle = ClientBundle::new(job, k02.clone());
    // The client's part of every value: known before the input is.
    let mut parts: Vec<Vec<W>> = vec![Vec::new(); program.ops.len()];
    for (i, op) in program.ops.iter().enumerate() {
        let value = &program.values[i];
        match op {
            Op::Input => {
                parts[i] = words(&p0, i, Purpose::Input, job.len(i));
                parts[i].iter_mut().for_each(|r: &mut W| *r = r.wrapping_neg());
            }
            Op::Linear(linear) => {
                // y0 = -s - b r, and the part of the wire is -r.
                let mut y = apply_linear(linear, job.batch, masks.of(i), &parts[linear.source]);
                let s: Vec<W> = words(&p0, i, Purpose::LinearShare, y.len());
                y.iter_mut().zip(&s).for_each(|(y, s)| *y = y.wrapping_sub(*s));
                parts[i] = y;
            }
            Op::AddParam { source, .. } => parts[i] = parts[*source].clone(),
            Op::Local(op) => {
                let lens = |v: usize| program.values[v].len;
                parts[i] = local::apply(op, job.batch, value.len, false, |v| &parts[v], lens);
            }
            Op::Gate(g) => {
                let layout = GateLayout::new(job, i, g);
                layout.check(&value.name)?;
                let prepared = gate::prepare(&layout, i, &p0, &parts[g.source]);
                if !layout.is_silent() {
                    server.send(Phase::Offline, step(i, Kind::Second), prepared.message)?;
                    let keys = match layout.keys_len() {
                        0 => Vec::new(),
                        len => helper.recv(Phase::Offline, step(i, Kind::Third), len)?,
                    };
                    bundle.add(i, layout.width(), &prepared.public, keys);
                }
                parts[i] = prepared.part;
            }
            Op::Open { source, truncate, width } => {
                let whole = job.ring();
                let part = parts[*source].iter();
                let own: Vec<W> =
                    part.map(|v| truncate_part(whole.reduce(*v), *truncate, false)).collect();
                bundle.add(i, *width, &own, Vec::new());
            }
        }
        for source in op.sources() {
            if program.last_use[source] == i {
                parts[source] = Vec::new();
            }
        }
    }
    Ok(bundle)
}

/// Runs one inference online and gives the logits of the batch. The bundle is used up.
///
/// # Errors
/// An input of the wrong length, a bundle of another job, a connection that fails or malformed
/// messages. Whatever happens, the bundle is gone.
pub fn infer<W: Word>(
    job: &Job,
    mut bundle: ClientBundle,
    input: &[f32],
    server: &Link,
) -> Result<Vec<f32>, MpcError> {
    let program = &job.program;
    bundle.check(job)?;
    if input.len() != job.len(0) {
        let (got, len) = (input.len(), program.input_len());
        return Err(MpcError::Input { got, batch: job.batch, len });
    }
    let p0 = bundle.key().prf();
    for (i, op) in program.ops.iter().enumerate() {
        match op {
            Op::Input => {
                let mut x: Vec<W> = encode(program, input);
                let r: Vec<W> = words(&p0, i, Purpose::Input, x.len());
                x.iter_mut().zip(&r).for_each(|(x, r)| *x = x.wrapping_add(*r));
                let mut message = Vec::with_capacity(packed_len(x.len(), program.ring));
                pack(&x, program.ring, &mut message);
                server.send(Phase::Online, step(i, Kind::First), message)?;
            }
            Op::Gate(g) => {
                let layout = GateLayout::new(job, i, g);
                if layout.is_silent() {
                    continue;
                }
                let (public, keys) = bundle.take(i, layout.width(), layout.opened)?;
                let name = &program.values[i].name;
                gate::run::<W>(&layout, i, name, &p0, public, &keys, server)?;
            }
            Op::Open { width, .. } => {
                let (own, _) = bundle.take::<W>(i, *width, job.len(i))?;
                let len = packed_len(own.len(), *width);
                let message = server.recv(Phase::Online, step(i, Kind::First), len)?;
                let mut theirs = vec![W::ZERO; own.len()];
                unpack(&message, *width, &mut theirs).map_err(|source| MpcError::Message {
                    what: "the result",
                    layer: program.values[i].name.clone(),
                    source,
                })?;
                let sum = own.iter().zip(&theirs).map(|(a, b)| a.wrapping_add(*b));
                let logits: Vec<W> = sum.map(|u| ring(*width).reduce(u)).collect();
                return Ok(decode(program, *width, &logits));
            }
            Op::Linear(_) | Op::AddParam { .. } | Op::Local(_) => {}
        }
    }
    unreachable!("a program ends by opening its output")
}
