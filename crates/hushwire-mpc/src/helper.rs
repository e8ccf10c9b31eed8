//! The helper, P2: deals correlated randomness. It needs the program and the masked weights, and
//! receives nothing that depends on the input.

use crate::MpcError;
use crate::curve::CurveLayout;
use crate::gate::schedule;
use crate::job::{Job, Kind, step};
use crate::keys::{Key, MaskedWeights, Purpose, stream, words};
use crate::layout::GateLayout;
use crate::polynomial::refuse;
use hushwire_fixed::program::Op;
use hushwire_fixed::{apply_linear, local};
use hushwire_net::{Link, Phase};
use hushwire_ring::{Word, pack, packed_len};

/// Deals one bundle of preprocessing. `k02` and `k12` are the bundle's keys with client and server.
///
/// # Errors
/// A connection that fails, or a window that the comparison does not support.
pub fn deal<W: Word>(
    job: &Job,
    masked: &MaskedWeights<W>,
    k02: &Key,
    k12: &Key,
    client: &Link,
    server: &Link,
) -> Result<(), MpcError> {
    let (p0, p1) = (k02.prf(), k12.prf());
    let program = &job.program;
    // Masks of wires; shares are unknown to the helper and stay empty.
    let mut masks: Vec<Vec<W>> = vec![Vec::new(); program.ops.len()];
    for (i, op) in program.ops.iter().enumerate() {
        let value = &program.values[i];
        match op {
            Op::Input => masks[i] = words(&p0, i, Purpose::Input, job.len(i)),
            Op::Linear(linear) => {
                let mut c = apply_linear(
                    job.ring(),
                    linear,
                    job.batch,
                    masked.of(i),
                    &masks[linear.source],
                );
                let mut shares = stream(&p0, i, 0, Purpose::LinearShare);
                for c in c.chunks_mut(job.part()) {
                    let s: Vec<W> = shares.words(c.len());
                    c.iter_mut().zip(&s).for_each(|(c, s)| *c = c.wrapping_sub(*s));
                    let mut message = Vec::with_capacity(packed_len(c.len(), program.ring));
                    pack(c, program.ring, &mut message);
                    server.send(Phase::Offline, step(i, Kind::Material), message)?;
                }
            }
            Op::AddParam { source, .. } => masks[i] = masks[*source].clone(),
            Op::Local(op) if value.wire => {
                let lens = |v: usize| program.values[v].len;
                masks[i] = local::apply(op, job.batch, value.len, false, |v| &masks[v], lens);
            }
            Op::Local(_) | Op::Open { .. } => {}
            Op::Polynomial(_) => refuse(program)?,
            Op::Curve(curve) => {
                let parts = CurveLayout::checked_parts(job, i, curve)?;
                masks[i] = vec![W::ZERO; job.len(i)];
                schedule::deal(&parts, [&p0, &p1], [client, server], &mut masks[i])?;
            }
            Op::Gate(gate) => {
                let parts = GateLayout::checked_parts(job, i, gate)?;
                masks[i] = vec![W::ZERO; job.len(i)];
                schedule::deal(&parts, [&p0, &p1], [client, server], &mut masks[i])?;
            }
        }
        for source in op.sources() {
            if program.last_use[source] == i {
                masks[source] = Vec::new();
            }
        }
    }
    Ok(())
}
