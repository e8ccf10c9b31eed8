//! The client, P0: owns the input, learns the result.

use crate::MpcError;
use crate::bundle::ClientBundle;
use crate::gate::client as gate;
use crate::job::{Job, Kind, ring, step};
use crate::keys::{Key, Purpose, WeightMasks, words};
use crate::layout::GateLayout;
use hushwire_fixed::program::Op;
use hushwire_fixed::{apply_linear, decode, encode, local, truncate_part};
use hushwire_fss::Prf;
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
    let mut bundle = ClientBundle::new(job, k02.clone());
    walk(job, masks, &k02.prf(), &mut |i, op, part: &[W]| match op {
        Reading::Gate(layout, p0) => {
            let prepared = gate::prepare(layout, i, p0, part);
            if !layout.is_silent() {
                server.send(Phase::Offline, step(i, Kind::Second), prepared.message)?;
                let keys = match layout.keys_len() {
                    0 => Vec::new(),
                    len => helper.recv(Phase::Offline, step(i, Kind::Third), len)?,
                };
                bundle.add(i, layout.width(), &prepared.public, keys);
            }
            Ok(prepared.part)
        }
        Reading::Open { truncate, width } => {
            let whole = job.ring();
            let own: Vec<W> =
                part.iter().map(|v| truncate_part(whole.reduce(*v), truncate, false)).collect();
            bundle.add(i, width, &own, Vec::new());
            Ok(Vec::new())
        }
    })?;
    Ok(bundle)
}

/// Looks at the client's part of the value that an operation reads, and gives the client's part of
/// what it makes.
pub(crate) type Reader<'r, W> =
    dyn FnMut(usize, Reading<'_>, &[W]) -> Result<Vec<W>, MpcError> + 'r;

/// An operation that looks at the client's part of a value.
pub(crate) enum Reading<'a> {
    /// A gate; its reader gives the client's part of the output.
    Gate(&'a GateLayout<'a>, &'a Prf),
    /// The opening of the result.
    Open {
        /// Low bits dropped.
        truncate: u32,
        /// Bits kept.
        width: u32,
    },
}

/// Computes the client's part of every value, all known before the input is, and shows them to the
/// operations that look at them.
pub(crate) fn walk<W: Word>(
    job: &Job,
    masks: &WeightMasks<W>,
    p0: &Prf,
    read: &mut Reader<'_, W>,
) -> Result<(), MpcError> {
    let program = &job.program;
    let mut parts: Vec<Vec<W>> = vec![Vec::new(); program.ops.len()];
    for (i, op) in program.ops.iter().enumerate() {
        let value = &program.values[i];
        parts[i] = match op {
            Op::Input => {
                let r = words::<W>(p0, i, Purpose::Input, job.len(i));
                r.into_iter().map(W::wrapping_neg).collect()
            }
            Op::Linear(linear) => {
                // y0 = -s - b r, and the part of the wire is -r.
                let mut y =
                    apply_linear(job.ring(), linear, job.batch, masks.of(i), &parts[linear.source]);
                let s: Vec<W> = words(p0, i, Purpose::LinearShare, y.len());
                y.iter_mut().zip(&s).for_each(|(y, s)| *y = y.wrapping_sub(*s));
                y
            }
            Op::AddParam { source, .. } => parts[*source].clone(),
            Op::Local(op) => {
                let lens = |v: usize| program.values[v].len;
                local::apply(op, job.batch, value.len, false, |v| &parts[v], lens)
            }
            Op::Gate(g) => {
                let layout = GateLayout::new(job, i, g);
                layout.check(&value.name)?;
                read(i, Reading::Gate(&layout, p0), &parts[g.source])?
            }
            Op::Open { source, truncate, width } => {
                let (truncate, width) = (*truncate, *width);
                read(i, Reading::Open { truncate, width }, &parts[*source])?
            }
        };
        for source in op.sources() {
            if program.last_use[source] == i {
                parts[source] = Vec::new();
            }
        }
    }
    Ok(())
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
