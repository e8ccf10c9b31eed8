//! The client, P0: owns the input.

use crate::MpcError;
use crate::bundle::{ClientBundle, Sink, begin, put};
use crate::curve::CurveLayout;
use crate::gate::copies::Ledger;
use crate::gate::schedule;
use crate::job::{Job, Kind, ring, step};
use crate::keys::{Key, Purpose, WeightMasks, words};
use crate::layout::GateLayout;
use crate::polynomial::refuse;
use hushwire_fixed::program::Op;
use hushwire_fixed::{apply_linear, decode, encode, local, truncate_part};
use hushwire_fss::Prf;
use hushwire_net::{Link, Phase, Role};
use hushwire_ring::{Word, pack, packed_len, unpack};

/// Prepares one inference before its input exists, and writes it to `sink`: what a
/// [`ClientBundle`] reads. `k02` is the bundle's key with the helper.
///
/// # Errors
/// A connection that fails, malformed messages, a window that the comparison does not support, or
/// a sink that takes no more.
pub fn prepare<W: Word>(
    job: &Job,
    masks: &WeightMasks<W>,
    k02: &Key,
    helper: &Link,
    server: &Link,
    sink: &mut dyn Sink,
) -> Result<(), MpcError> {
    begin(Role::Client, job, k02, sink)?;
    walk(job, masks, &k02.prf(), &mut |_, op, part: &[W], out| match op {
        Reading::Gate(parts, p0) => schedule::prepare(parts, p0, part, out, [helper, server], sink),
        Reading::Curve(parts, p0) => {
            schedule::prepare(parts, p0, part, out, [helper, server], sink)
        }
        Reading::Open { truncate, width } => {
            let whole = job.ring();
            let own: Vec<W> =
                part.iter().map(|v| truncate_part(whole.reduce(*v), truncate, false)).collect();
            let mut record = Vec::with_capacity(packed_len(own.len(), width));
            pack(&own, width, &mut record);
            put(sink, &record)
        }
    })
}

/// Looks at the client's part of the value that an operation reads, and fills in the client's part
/// of what it makes.
pub(crate) type Reader<'r, W> =
    dyn FnMut(usize, Reading<'_>, &[W], &mut [W]) -> Result<(), MpcError> + 'r;

/// An operation that looks at the client's part of a value.
pub(crate) enum Reading<'a> {
    /// The parts of a gate.
    Gate(&'a [GateLayout<'a>], &'a Prf),
    /// The parts of a piecewise polynomial.
    Curve(&'a [CurveLayout<'a>], &'a Prf),
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
                let mut r = words::<W>(p0, i, Purpose::Input, job.len(i));
                r.iter_mut().for_each(|r| *r = r.wrapping_neg());
                r
            }
            Op::Linear(linear) => {
                // y0 = -s - b r, and the part of the wire is -r.
                let mut y =
                    apply_linear(job.ring(), linear, job.batch, masks.of(i), &parts[linear.source]);
                let mut shares = crate::keys::stream(p0, i, 0, Purpose::LinearShare);
                for y in y.chunks_mut(job.part()) {
                    let s: Vec<W> = shares.words(y.len());
                    y.iter_mut().zip(&s).for_each(|(y, s)| *y = y.wrapping_sub(*s));
                }
                y
            }
            Op::AddParam { source, .. } => parts[*source].clone(),
            Op::Local(op) => {
                let lens = |v: usize| program.values[v].len;
                local::apply(op, job.batch, value.len, false, |v| &parts[v], lens)
            }
            Op::Gate(g) => {
                let layouts = GateLayout::checked_parts(job, i, g)?;
                let mut out = vec![W::ZERO; job.len(i)];
                read(i, Reading::Gate(&layouts, p0), &parts[g.source], &mut out)?;
                out
            }
            Op::Polynomial(_) => {
                refuse(program)?;
                Vec::new()
            }
            Op::Curve(curve) => {
                let layouts = CurveLayout::checked_parts(job, i, curve)?;
                let mut out = vec![W::ZERO; job.len(i)];
                read(i, Reading::Curve(&layouts, p0), &parts[curve.source], &mut out)?;
                out
            }
            Op::Open { source, truncate, width } => {
                let (truncate, width) = (*truncate, *width);
                read(i, Reading::Open { truncate, width }, &parts[*source], &mut [])?;
                Vec::new()
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
    if input.len() != job.len(0) {
        let (got, len) = (input.len(), program.input_len());
        return Err(MpcError::Input { got, batch: job.batch, len });
    }
    let p0 = bundle.begin(job)?.prf();
    let ledger = Ledger::default();
    for (i, op) in program.ops.iter().enumerate() {
        match op {
            Op::Input => {
                let mut x: Vec<W> = encode(program, input);
                let r: Vec<W> = words(&p0, i, Purpose::Input, x.len());
                x.iter_mut().zip(&r).for_each(|(x, r)| *x = x.wrapping_add(*r));
                let mut message = Vec::with_capacity(packed_len(x.len(), program.ring));
                pack(&x, program.ring, &mut message);
                server.send(Phase::Online, step(i, Kind::said(0)), message)?;
            }
            Op::Gate(g) => {
                let parts = GateLayout::online_parts(job, i, g, &ledger)?;
                let name = &program.values[i].name;
                schedule::ask::<W, _>(&parts, name, &p0, &mut bundle, server)?;
            }
            Op::Polynomial(_) => refuse(program)?,
            Op::Curve(curve) => {
                let parts = CurveLayout::checked_parts(job, i, curve)?;
                let name = &program.values[i].name;
                schedule::ask::<W, _>(&parts, name, &p0, &mut bundle, server)?;
            }
            Op::Open { width, .. } => {
                let len = packed_len(job.len(i), *width);
                let own = bundle.take(len)?;
                let mut logits = vec![W::ZERO; job.len(i)];
                unpack(&own, *width, &mut logits).map_err(|e| MpcError::Bundle(e.to_string()))?;
                let message = server.recv(Phase::Online, step(i, Kind::said(0)), len)?;
                let mut theirs = vec![W::ZERO; logits.len()];
                unpack(&message, *width, &mut theirs).map_err(|source| MpcError::Message {
                    what: "the result",
                    layer: program.values[i].name.clone(),
                    source,
                })?;
                for (own, theirs) in logits.iter_mut().zip(&theirs) {
                    *own = ring(*width).reduce(own.wrapping_add(*theirs));
                }
                return Ok(decode(program, *width, &logits));
            }
            Op::Linear(_) | Op::AddParam { .. } | Op::Local(_) => {}
        }
    }
    unreachable!("a program ends by opening its output")
}
