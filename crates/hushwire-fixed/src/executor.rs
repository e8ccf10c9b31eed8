//! The clear fixed-point executor: the arithmetic of the three-party protocol without the parties.
//!
//! It computes what the protocol computes, with the same ring, truncations and windows. The one
//! thing it cannot know is how the masks fall: a truncated share is off by less than one ulp in a
//! direction that the masks decide. By default truncation rounds to nearest; given the masks of a
//! session ([`Masks`]) the result is the same bit for bit.

use crate::curve::{self, CurveGate, ring};
use crate::local;
use crate::polynomial::PolynomialOp;
use crate::program::{Function, Gate, Groups, Members, Op, Program, Tail};
use crate::weights::{Weights, add_bias, add_param, apply_linear};
use hushwire_ring::{Bits, Ring, Word};

/// What a session's randomness was, so that its rounding can be repeated in the clear.
pub trait Masks<W: Word> {
    /// P0's part of the value that operation `op` truncates, for the whole batch.
    fn client_part(&self, op: usize) -> &[W];
    /// The masks m under which gate `op` opened its elements: for a gate where each element decides
    /// for itself one per element, otherwise one per opened element in order, batch-major.
    fn opening(&self, op: usize) -> &[W];
    /// P0's part of the results z of the piecewise polynomial `op`, for inputs `u` of all elements and
    /// for each selector whether it is on.
    fn curve_part(&self, op: usize, u: &[W], selected: &[Bits]) -> Vec<W>;
}

/// What happened in a run, beside the result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// For each gate (by position in the program) how many of its inputs lay outside its width, or
    /// deciding forms outside its window: their results are wrong.
    pub overflows: Vec<(usize, usize)>,
    /// For each composite polynomial how many of its inputs lay outside its range: results are
    /// anything there.
    pub outside: Vec<(usize, usize)>,
}

impl Report {
    /// Inputs and forms out of range, over all gates.
    pub fn overflow_count(&self) -> usize {
        self.overflows.iter().map(|(_, n)| n).sum()
    }

    /// Inputs out of the range of a composite polynomial, over all of them.
    pub fn outside_count(&self) -> usize {
        self.outside.iter().map(|(_, n)| n).sum()
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

/// Opened integers of `width` bits as real outputs: the program's tail is applied.
pub fn decode<W: Word>(program: &Program, width: u32, opened: &[W]) -> Vec<f32> {
    let ring = ring(width);
    let real = |integers: &mut dyn Iterator<Item = i64>, step: f64| -> Vec<f32> {
        integers.map(|x| (x as f64 * step) as f32).collect()
    };
    let mut signed = opened.iter().map(|&x| ring.signed(x));
    let mut before = program.opened();
    if program.tail.is_empty() {
        return real(&mut signed, before.step);
    }
    let batch = opened.len() / before.len.max(1);
    let mut words: Vec<u64> = signed.map(|x| x as u64).collect();
    for Tail { local, value } in &program.tail {
        words = local::apply(local, batch, value.len, true, |_| &words, |_| before.len);
        before = value;
    }
    real(&mut words.iter().map(|&x| x as i64), before.step)
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
        // Of gates with groups, sample by sample: others may copy their decisions.
        let mut decided: Vec<Vec<bool>> = vec![Vec::new(); program.ops.len()];
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
                    let gated = self.gate(g, len, &values[g.source], part, &decided);
                    if gated.overflows > 0 {
                        report.overflows.push((i, gated.overflows));
                    }
                    decided[i] = gated.decided;
                    gated.out
                }
                Op::Curve(curve) => self.curve(i, curve, &values[curve.source], masks, &mut report),
                Op::Polynomial(op) => {
                    let part = masks.map(|m| m.client_part(i));
                    let u = self.truncate(&values[op.source], op.truncate, part);
                    polynomial(i, op, &u, &mut report)
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
        truncate(self.ring, y, t, client)
    }

    fn curve(
        &self,
        op: usize,
        curve: &CurveGate,
        y: &[W],
        masks: Option<&dyn Masks<W>>,
        report: &mut Report,
    ) -> Vec<W> {
        let width = ring(curve.width);
        let mut u = self.truncate(y, curve.truncate, masks.map(|m| m.client_part(op)));
        u.iter_mut().for_each(|u| *u = width.reduce(*u));
        let mask = |at: usize| masks.map(|m| width.reduce(m.opening(op)[at]).to_u64());
        let reached: Vec<u64> =
            u.iter().enumerate().map(|(at, &u)| curve.decide(width.signed(u), mask(at))).collect();
        let z: Vec<W> = u
            .iter()
            .zip(&reached)
            .map(|(&u, &reached)| width.reduce(W::from_i64(curve.eval(width.signed(u), reached))))
            .collect();
        let outside = |(u, z): &(&W, &W)| !curve.in_range(width.signed(**u), width.signed(**z));
        let overflows = u.iter().zip(&z).filter(outside).count();
        if overflows > 0 {
            report.overflows.push((op, overflows));
        }
        let part = masks.map(|m| {
            let on = |at| Bits::from_fn(u.len(), |i| curve.selected(at, reached[i]));
            let selected: Vec<Bits> = (0..curve.encoding.selectors.len()).map(on).collect();
            m.curve_part(op, &u, &selected)
        });
        let kept = ring(curve.kept);
        let out = truncate(width, &z, curve.drop, part.as_deref());
        out.iter().map(|&z| W::from_i64(kept.signed(z))).collect()
    }

    fn gate(
        &self,
        gate: &Gate,
        len: usize,
        y: &[W],
        masks: Option<(&[W], &[W])>,
        earlier: &[Vec<bool>],
    ) -> Gated<W> {
        let opened = ring(gate.width);
        let u = self.truncate(y, gate.truncate, masks.map(|m| m.0));
        let u: Vec<i64> = u.iter().map(|&u| opened.signed(u)).collect();
        let mask = |at: usize| masks.map(|m| opened.reduce(m.1[at]).to_u64());
        let blocks = match &gate.members {
            Members::Each => {
                let overflows =
                    u.iter().filter(|u| !in_width(gate, **u) || !in_window(gate, **u)).count();
                let elements = u.iter().enumerate();
                let out = elements.map(|(at, &u)| W::from_i64(apply(gate, u, u, mask(at))));
                return Gated { out: out.collect(), decided: Vec::new(), overflows };
            }
            Members::Mixed(blocks) => blocks,
        };
        let mut gated = Gated { out: vec![W::ZERO; y.len()], decided: Vec::new(), overflows: 0 };
        let width: usize = blocks.iter().map(Groups::opened_len).sum();
        let batch = y.len() / len;
        for (n, (u, out)) in u.chunks_exact(len).zip(gated.out.chunks_exact_mut(len)).enumerate() {
            let mut first = n * width;
            for groups in blocks {
                let copied = |&(op, decision): &(usize, u32)| {
                    earlier[op][n * (earlier[op].len() / batch) + decision as usize]
                };
                let mask = |at| mask(first + at);
                let (decided, overflows) = decide_block(gate, groups, u, mask);
                let decision = |group: u32| match groups.copied_at(group) {
                    None => decided[group as usize],
                    Some(of) => copied(of),
                };
                for (&i, &group) in groups.members.iter().zip(&groups.group_of) {
                    out[i as usize] = W::from_i64(i64::from(decision(group)) * u[i as usize]);
                }
                for &i in &groups.identity {
                    out[i as usize] = W::from_i64(u[i as usize]);
                }
                gated.overflows += overflows;
                gated.decided.extend(decided);
                first += groups.opened_len();
            }
        }
        gated
    }
}

/// A composite polynomial of the truncated inputs `u`.
fn polynomial<W: Word>(at: usize, op: &PolynomialOp, u: &[W], report: &mut Report) -> Vec<W> {
    let (width, bound) = (ring(op.width), 1i64 << (op.width - 2));
    let u: Vec<i64> = u.iter().map(|u| width.signed(width.reduce(*u))).collect();
    let count = |wrong: &dyn Fn(i64) -> bool| u.iter().filter(|u| wrong(**u)).count();
    let overflows = count(&|u| !(-bound..bound).contains(&u));
    let outside = count(&|u| !op.in_range(u));
    if overflows > 0 {
        report.overflows.push((at, overflows));
    }
    if outside > 0 {
        report.outside.push((at, outside));
    }
    u.into_iter()
        .map(|u| W::from_i64(width.signed(width.reduce(W::from_i64(op.eval(u))))))
        .collect()
}

/// What a gate makes of a batch.
struct Gated<W> {
    out: Vec<W>,
    /// Decisions of groups, sample by sample, block by block; none where each element decides for
    /// itself.
    decided: Vec<bool>,
    /// Values out of range.
    overflows: usize,
}

/// The decisions of a block of a gate on a sample `u`, and how many values are out of range.
fn decide_block(
    gate: &Gate,
    groups: &Groups,
    u: &[i64],
    mask: impl Fn(usize) -> Option<u64>,
) -> (Vec<bool>, usize) {
    let elements: Vec<i64> = groups.opened().map(|i| u[i as usize]).collect();
    let kept = groups.members.iter().chain(&groups.identity);
    let mut overflows = kept.filter(|i| !in_width(gate, u[**i as usize])).count();
    let decisions = (0..groups.decisions()).map(|g| {
        let terms = &groups.terms[groups.starts[g] as usize..groups.starts[g + 1] as usize];
        let form = terms.iter().map(|&(at, k)| k * elements[at as usize]).sum();
        overflows += usize::from(!in_window(gate, form));
        let masked = terms.iter().try_fold(0u64, |sum, &(at, k)| {
            Some(sum.wrapping_add(mask(at as usize)?.wrapping_mul(k as u64)))
        });
        decide(gate, form, masked)
    });
    (decisions.collect(), overflows)
}

/// Whether a gate's input is within the width that it is opened in.
fn in_width(gate: &Gate, u: i64) -> bool {
    let bound = 1i64 << (gate.width - 2);
    (-bound..bound).contains(&u)
}

/// Whether the compared bits tell the sign of a deciding form, at every knot.
fn in_window(gate: &Gate, form: i64) -> bool {
    let tells = |knot| curve::in_window(gate.window, i128::from(form) - i128::from(knot));
    match gate.function {
        Function::Relu => tells(0),
        Function::Clip { high } => tells(0) && tells(high),
    }
}

/// y / 2^t for y in `ring`: to nearest, or as the two parts round when P0's is given.
fn truncate<W: Word>(ring: Ring, y: &[W], t: u32, client: Option<&[W]>) -> Vec<W> {
    match client {
        None if t == 0 => y.to_vec(),
        None => {
            let half = 1i64 << (t - 1);
            y.iter().map(|&y| W::from_i64((ring.signed(y) + half) >> t)).collect()
        }
        Some(client) => y
            .iter()
            .zip(client)
            .map(|(&y, &v0)| {
                let v1 = ring.reduce(y.wrapping_sub(v0));
                truncate_part(ring.reduce(v0), t, false).wrapping_add(truncate_part(v1, t, true))
            })
            .collect(),
    }
}

/// A party's part of a truncated share: the client's rounded down, the server's rounded up.
///
/// With y = v0 + v1 and rho = y mod 2^t, the sum is floor(y / 2^t) or that plus one, the latter with
/// probability rho / 2^t when the parts are uniform: stochastic rounding, exact on multiples of
/// 2^t and off by less than one ulp elsewhere. `part` is reduced to the ring; a carry out of the
/// word is harmless, as the bits kept end below the ring's.
#[inline]
pub fn truncate_part<W: Word>(part: W, t: u32, server: bool) -> W {
    let up = W::ONE.shl(t).wrapping_sub(W::ONE);
    if server { part.wrapping_add(up).shr(t) } else { part.shr(t) }
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
    curve::decide(gate.window, gate.width, form, mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hushwire_plan::Window;

    #[test]
    fn truncation_is_stochastic_rounding() {
        let (l, t) = (7, 3);
        let ring = ring(l);
        for y in -(1i64 << 5)..1 << 5 {
            let (floor, rho) = (y >> t, y & 7);
            let mut up = 0;
            for v0 in 0..1u32 << l {
                let v1 = ring.reduce((y as u32).wrapping_sub(v0));
                let u = truncate_part(v0, t, false).wrapping_add(truncate_part(v1, t, true));
                let u = Ring::signed(Ring::new(l - t).unwrap(), u);
                assert!(u == floor || u == floor + 1, "{y} became {u}");
                up += i64::from(u == floor + 1);
            }
            assert_eq!(up * 8, rho << l, "the chance of rounding {y} up");
        }
    }

    #[test]
    fn truncation_survives_a_full_word() {
        let part = |v: u32, server| truncate_part(v, 5, server);
        assert_eq!(part(u32::MAX, true) & 0x3ff, 0, "the carry leaves the word");
        assert_eq!(part(u32::MAX, false), u32::MAX >> 5);
        assert_eq!(truncate_part(7u64, 0, true), 7);
    }

    fn relu(width: u32, window: Window) -> Gate {
        let (function, members) = (Function::Relu, Members::Each);
        Gate { source: 0, truncate: 0, width, function, window, members }
    }

    #[test]
    fn a_window_decides_as_its_documentation_says() {
        let gate = relu(8, Window { low: 2, bits: 5 });
        for v in -64i64..64 {
            let every = |wanted: bool| (0..256).all(|n| decide(&gate, v, Some(n)) == wanted);
            if v == 0 || (1..=60).contains(&v) {
                assert!(every(true), "{v}");
            } else if v <= -4 {
                assert!(every(false), "{v}");
            }
            assert_eq!(in_window(&gate, v), v <= 60);
        }
        // Just below the upper end the lost carry makes a large number negative for some masks.
        assert!((0..256).any(|n| !decide(&gate, 63, Some(n))));
    }

    #[test]
    fn the_widest_window_tells_every_sign() {
        let gate = relu(64, Window { low: 0, bits: 64 });
        assert!([i64::MIN, -1, 0, i64::MAX].iter().all(|v| in_window(&gate, *v)));
    }

    #[test]
    fn values_out_of_range_are_counted() {
        let gate = relu(6, Window { low: 0, bits: 6 });
        let value = |wire| crate::program::Value { name: "v".into(), len: 4, step: 1.0, wire };
        let run = |gate: Gate, input: &[f32]| {
            let program = Program {
                ring: 8,
                ops: vec![Op::Input, Op::Gate(gate), Op::Open { source: 1, truncate: 0, width: 8 }],
                values: vec![value(true), value(true), value(false)],
                last_use: vec![1, 2, 2],
                tail: Vec::new(),
            };
            let weights = Weights::<u32>::quantise(&program, &hushwire_graph::Params::default());
            Executor::new(&program, &weights).run(1, input)
        };
        let (out, report) = run(gate.clone(), &[-16.0, 15.0, -1.0, 3.0]);
        assert_eq!((out, report.overflow_count()), (vec![0.0, 15.0, 0.0, 3.0], 0));
        assert_eq!(run(gate.clone(), &[16.0, 0.0, -17.0, 1.0]).1.overflow_count(), 2);
        // Zero elements may be anything.
        let groups = Groups { identity: vec![1], starts: vec![0], ..Groups::default() };
        let gate = Gate { members: Members::Mixed(vec![groups]), ..gate };
        assert_eq!(run(gate, &[16.0, 3.0, -17.0, 1.0]).1.overflow_count(), 0);
    }
}
