//! The clear fixed-point executor: the arithmetic of the three-party protocol without the parties.
//!
//! It computes what the protocol computes, with the same ring, truncations and windows. The one
//! thing it cannot know is how the masks fall: a truncated share is off by less than one ulp in a
//! direction that the masks decide. By default truncation rounds to nearest; given the masks of a
//! session ([`Masks`]) the result is the same bit for bit.

use crate::local;
use crate::program::{Function, Gate, Members, Op, Program};
use crate::weights::{Weights, add_bias, add_param, apply_linear};
use hushwire_ring::{Ring, Word};

/// What a session's randomness was, so that its rounding can be repeated in the clear.
pub trait Masks<W: Word> {
    /// P0's part of the value that operation `op` truncates, for the whole batch.
    fn client_part(&self, op: usize) -> &[W];
    /// The masks m under which gate `op` opened its elements: for a gate where each element decides
    /// for itself one per element, otherwise one per opened element in order, batch-major.
    fn opening(&self, op: usize) -> &[W];
}

/// What happened in a run, beside the result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// For each gate (by position in the program) how many inputs lay outside its width: their
    /// results are wrong.
    pub overflows: Vec<(usize, usize)>,
}

impl Report {
    /// Inputs outside their gate's width, over all gates.
    pub fn overflow_count(&self) -> usize {
        self.overflows.iter().map(|(_, n)| n).sum()
    }
}

/// Runs a program on clear integers.
#[derive(Debug)]
pub struct Executor<'a, W: Word> {
    program: &'a Program,
    weights: &'a Weights<W>,
    ring: Ring,
}

/// The network's input as ring elements: round(x / step).
pub fn encode<W: Word>(program: &Program, input: &[f32]) -> Vec<W> {
    let scale = program.values[0].step.recip();
    input.iter().map(|&x| W::from_i64((f64::from(x) * scale).round() as i64)).collect()
}

/// Opened integers of `width` bits as real logits.
pub fn decode<W: Word>(program: &Program, width: u32, output: &[W]) -> Vec<f32> {
    let ring = ring(width);
    output.iter().map(|&x| (ring.signed(x) as f64 * program.output_step()) as f32).collect()
}

impl<'a, W: Word> Executor<'a, W> {
    /// An executor of `program` with the server's weights.
    pub fn new(program: &'a Program, weights: &'a Weights<W>) -> Self {
        Executor { program, weights, ring: ring(program.ring) }
    }

    /// Runs a batch of real inputs; gives the logits and a report.
    pub fn run(&self, batch: usize, input: &[f32]) -> (Vec<f32>, Report) {
        self.run_with(batch, input, None)
    }

    /// As [`Executor::run`], with the roundings of a session whose masks are given.
    pub fn run_with(
        &self,
        batch: usize,
        input: &[f32],
        masks: Option<&dyn Masks<W>>,
    ) -> (Vec<f32>, Report) {
        let program = self.program;
        let mut values: Vec<Vec<W>> = vec![Vec::new(); program.ops.len()];
        let mut report = Report::default();
        for (i, op) in program.ops.iter().enumerate() {
            let len = program.values[i].len;
            values[i] = match op {
                Op::Input => encode(program, input),
                Op::Linear(l) => {
                    let mut y = apply_linear(
                        self.ring,
                        l,
                        batch,
                        self.weights.values(i),
                        &values[l.source],
                    );
                    if let Some(bias) = self.weights.bias(i) {
                        add_bias(l, bias, &mut y);
                    }
                    y
                }
                Op::AddParam { source, repeat, .. } => {
                    let mut y = values[*source].clone();
                    add_param(self.weights.values(i), *repeat, &mut y);
                    y
                }
                Op::Local(l) => {
                    local::apply(l, batch, len, true, |v| &values[v], |v| program.values[v].len)
                }
                Op::Gate(g) => {
                    let part = masks.map(|m| (m.client_part(i), m.opening(i)));
                    self.gate(i, g, len, &values[g.source], part, &mut report)
                }
                Op::Open { source, truncate, width } => {
                    let part = masks.map(|m| m.client_part(i));
                    let u = self.truncate(&values[*source], *truncate, part);
                    let logits = decode(program, *width, &u);
                    return (logits, report);
                }
            };
            for source in op.sources() {
                if program.last_use[source] == i {
                    values[source] = Vec::new();
                }
            }
        }
        unreachable!("a program ends by opening its output")
    }

    /// u = y / 2^t: to nearest, or as the two parts round when P0's is given.
    fn truncate(&self, y: &[W], t: u32, client: Option<&[W]>) -> Vec<W> {
        match client {
            None if t == 0 => y.to_vec(),
            None => {
                let half = 1i64 << (t - 1);
                y.iter().map(|&y| W::from_i64((self.ring.signed(y) + half) >> t)).collect()
            }
            Some(client) => y
                .iter()
                .zip(client)
                .map(|(&y, &v0)| {
                    let v1 = self.ring.reduce(y.wrapping_sub(v0));
                    truncate_part(self.ring.reduce(v0), t, false)
                        .wrapping_add(truncate_part(v1, t, true))
                })
                .collect(),
        }
    }

    fn gate(
        &self,
        op: usize,
        gate: &Gate,
        len: usize,
        y: &[W],
        masks: Option<(&[W], &[W])>,
        report: &mut Report,
    ) -> Vec<W> {
        let opened = ring(gate.width);
        let u = self.truncate(y, gate.truncate, masks.map(|m| m.0));
        let u: Vec<i64> = u.iter().map(|&u| opened.signed(u)).collect();
        let bound = 1i64 << (gate.width - 2);
        let overflows = u.iter().filter(|u| !(-bound..bound).contains(*u)).count();
        if overflows > 0 {
            report.overflows.push((op, overflows));
        }
        let mask = |at: usize| masks.map(|m| opened.reduce(m.1[at]).to_u64());
        match &gate.members {
            Members::Each => u
                .iter()
                .enumerate()
                .map(|(at, &u)| W::from_i64(apply(gate, u, u, mask(at))))
                .collect(),
            Members::Mixed(groups) => {
                let mut out = vec![W::ZERO; y.len()];
                let width = groups.opened_len();
                for (n, (u, out)) in u.chunks_exact(len).zip(out.chunks_exact_mut(len)).enumerate()
                {
                    let elements: Vec<i64> = groups.opened().map(|i| u[i as usize]).collect();
                    let decisions: Vec<i64> = (0..groups.decisions())
                        .map(|g| {
                            let terms = &groups.terms
                                [groups.starts[g] as usize..groups.starts[g + 1] as usize];
                            let form = terms.iter().map(|&(at, k)| k * elements[at as usize]).sum();
                            let masked = masks.map(|_| {
                                terms.iter().fold(0u64, |sum, &(at, k)| {
                                    let m = mask(n * width + at as usize).unwrap_or(0);
                                    sum.wrapping_add(m.wrapping_mul(k as u64))
                                })
                            });
                            i64::from(decide(gate, form, masked))
                        })
                        .collect();
                    for (&i, &g) in groups.members.iter().zip(&groups.group_of) {
                        out[i as usize] = W::from_i64(decisions[g as usize] * u[i as usize]);
                    }
                    for &i in &groups.identity {
                        out[i as usize] = W::from_i64(u[i as usize]);
                    }
                }
                out
            }
        }
    }
}

/// The ring of `bits` bits.
fn ring(bits: u32) -> Ring {
    Ring::new(bits).unwrap_or_else(|| unreachable!("lowering admits rings of 1 to 64 bits only"))
}

/// A party's part of a truncated share: the top bits; the server adds one so that the two roundings
/// towards minus infinity cancel on average.
///
/// With both parts floored and one added the sum is floor(y / 2^t) or that plus one, which of them
/// with a probability equal to the dropped fraction when the parts are uniform: stochastic rounding.
#[inline]
pub fn truncate_part<W: Word>(part: W, t: u32, server: bool) -> W {
    let top = part.shr(t);
    if server && t > 0 { top.wrapping_add(W::ONE) } else { top }
}

/// The gate's output for an element u whose deciding form is `form`.
fn apply(gate: &Gate, u: i64, form: i64, mask: Option<u64>) -> i64 {
    let positive = i64::from(decide(gate, form, mask));
    match gate.function {
        Function::Relu => positive * u,
        Function::Clip { high } => {
            let above = i64::from(decide(gate, form.wrapping_sub(high), mask));
            // Both decisions look at the same bits, so `above` without `positive` cannot happen
            // within the gate's range; the protocol selects by their exclusive or.
            (positive ^ above) * u + above * high
        }
    }
}

/// 1{form >= 0} as the compared bits show it: exactly, or with the carry of a session's mask.
fn decide(gate: &Gate, form: i64, mask: Option<u64>) -> bool {
    let window = gate.window;
    let sign_at = window.bits - 1;
    let bits = match mask {
        None => (form as u64) >> window.low,
        Some(n) => {
            // Both are known modulo 2^width only, and the window lies within the width.
            let public = (form as u64).wrapping_add(n);
            let kept = |x: u64| (x & ring(gate.width).mask()) >> window.low;
            kept(public).wrapping_sub(kept(n))
        }
    };
    (bits >> sign_at) & 1 == 0
}
