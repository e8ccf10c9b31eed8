//! Appends operations to a program and keeps track of scales.

use super::exp2;
use crate::polynomial::Place;
use crate::program::{
    FILL, Function, Gate, Linear, Local, Members, Op, Program, Tail, Value, ValueId,
};
use crate::{CurveGate, PolynomialOp};
use hushwire_graph::ParamId;
use hushwire_plan::{Format, Piecewise, PolynomialGate, Window};
use hushwire_ring::ConvShape;

/// Bits of the integer factors that bring values to a common step where no whole factor does.
const RESCALE_BITS: i32 = 8;

/// Fractional bits below which a secret constant is not rounded.
const CONSTANT_BITS: i32 = 12;

pub(super) struct Builder {
    ring: u32,
    ops: Vec<Op>,
    values: Vec<Value>,
    tail: Vec<Tail>,
}

impl Builder {
    pub(super) fn new(ring: u32) -> Builder {
        Builder { ring, ops: Vec::new(), values: Vec::new(), tail: Vec::new() }
    }

    pub(super) fn finish(self) -> Program {
        let mut last_use: Vec<usize> = (0..self.ops.len()).collect();
        for (i, op) in self.ops.iter().enumerate() {
            for source in op.sources() {
                last_use[source] = i;
            }
        }
        Program { ring: self.ring, ops: self.ops, values: self.values, last_use, tail: self.tail }
    }

    pub(super) fn is_wire(&self, value: ValueId) -> bool {
        self.values[value].wire
    }

    pub(super) fn step(&self, value: ValueId) -> f64 {
        self.values[value].step
    }

    /// The members of a gate.
    pub(super) fn members(&self, op: ValueId) -> Option<&Members> {
        match &self.ops[op] {
            Op::Gate(gate) => Some(&gate.members),
            _ => None,
        }
    }

    pub(super) fn len(&self, value: ValueId) -> usize {
        self.values[value].len
    }

    pub(super) fn push(&mut self, name: &str, op: Op, len: usize, step: f64) -> ValueId {
        // Public linear operations keep wires wires; weights make shares; gates make wires.
        let wire = match &op {
            Op::Input | Op::Gate(_) | Op::Curve(_) | Op::Polynomial(_) => true,
            Op::Linear(_) | Op::Open { .. } => false,
            Op::AddParam { source, .. } => self.values[*source].wire,
            Op::Local(local) => local.sources().iter().all(|&s| self.values[s].wire),
        };
        self.ops.push(op);
        self.values.push(Value { name: name.to_owned(), len, step, wire });
        self.ops.len() - 1
    }

    pub(super) fn input(&mut self, name: &str, len: usize, step: f64) -> ValueId {
        self.push(name, Op::Input, len, step)
    }

    pub(super) fn linear(
        &mut self,
        name: &str,
        source: ValueId,
        shape: ConvShape,
        weight: ParamId,
        bias: Option<ParamId>,
        step: f64,
    ) -> ValueId {
        let len = shape.output_len();
        self.push(name, Op::Linear(Linear { source, shape, weight, bias }), len, step)
    }

    pub(super) fn add_param(
        &mut self,
        name: &str,
        source: ValueId,
        param: ParamId,
        repeat: usize,
    ) -> ValueId {
        // A constant must not be rounded more coarsely than anything else: give a coarse value
        // finer units first.
        let source = self.refine(name, source, exp2(-CONSTANT_BITS));
        let (len, step) = (self.len(source), self.step(source));
        self.push(name, Op::AddParam { source, param, repeat }, len, step)
    }

    pub(super) fn combine(
        &mut self,
        name: &str,
        terms: Vec<(ValueId, i64)>,
        constant: i64,
        step: f64,
    ) -> ValueId {
        if let ([(value, 1)], 0) = (terms.as_slice(), constant) {
            return *value;
        }
        let len = self.len(terms[0].0);
        self.push(name, Op::Local(Local::Combine { terms, constant }), len, step)
    }

    pub(super) fn gather(
        &mut self,
        name: &str,
        sources: Vec<ValueId>,
        map: Vec<u32>,
        fill: i64,
        step: f64,
    ) -> ValueId {
        let len = map.len();
        self.push(name, Op::Local(Local::Gather { sources, map, fill }), len, step)
    }

    /// A public zero tensor.
    pub(super) fn zero(&mut self, name: &str, len: usize) -> ValueId {
        self.gather(name, Vec::new(), vec![FILL; len], 0, 1.0)
    }

    /// Factors that bring values to a common step: (factor for each, the step). Exact where all
    /// steps are powers of two, else within 2^-RESCALE_BITS.
    pub(super) fn align(&self, values: &[ValueId]) -> (Vec<i64>, f64) {
        let finest = values.iter().map(|&v| self.step(v)).fold(f64::INFINITY, f64::min);
        let whole = |v: &ValueId| {
            let ratio = self.step(*v) / finest;
            (ratio - ratio.round()).abs() < 1e-9 * ratio
        };
        let step = if values.iter().all(whole) { finest } else { finest * exp2(-RESCALE_BITS) };
        let factors = values.iter().map(|&v| (self.step(v) / step).round() as i64).collect();
        (factors, step)
    }

    /// Sum of values with signs, brought to a common step.
    pub(super) fn sum(&mut self, name: &str, terms: &[(ValueId, i64)]) -> ValueId {
        let values: Vec<_> = terms.iter().map(|t| t.0).collect();
        let (factors, step) = self.align(&values);
        let terms = terms.iter().zip(factors).map(|(&(v, sign), f)| (v, sign * f)).collect();
        self.combine(name, terms, 0, step)
    }

    /// The value plus a public real constant.
    pub(super) fn shift(&mut self, name: &str, value: ValueId, constant: f64) -> ValueId {
        let step = self.step(value);
        self.combine(name, vec![(value, 1)], (constant / step).round() as i64, step)
    }

    /// The value in units at most as coarse as `step`.
    fn refine(&mut self, name: &str, value: ValueId, step: f64) -> ValueId {
        let ratio = self.step(value) / step;
        if ratio <= 1.0 {
            return value;
        }
        let factor = ratio.ceil();
        let step = self.step(value) / factor;
        self.combine(name, vec![(value, factor as i64)], 0, step)
    }

    /// The value in units from which a right shift leads to a step of 2^-fractional_bits, or at most
    /// twice that where the scale is no power of two; and the shift.
    fn truncation(&mut self, name: &str, value: ValueId, fractional_bits: i32) -> (ValueId, u32) {
        let target = exp2(-fractional_bits);
        let value = self.refine(name, value, target);
        // The tolerance keeps an exact power of two from being rounded up.
        (value, ((target / self.step(value)).log2() - 1e-9).ceil().max(0.0) as u32)
    }

    /// Appends a gate. `function` gets the step of the gate's output.
    pub(super) fn gate(
        &mut self,
        name: &str,
        value: ValueId,
        format: Format,
        function: impl FnOnce(f64) -> Function,
        members: Members,
    ) -> Result<ValueId, String> {
        let (source, truncate) = self.truncation(name, value, format.fractional_bits);
        self.fits(format, truncate)?;
        let len = self.len(source);
        let window = match format.window {
            Some(window) => window,
            None if members.decisions(len) == 0 => Window { low: 0, bits: format.width },
            None => return Err("its gate decides signs but the plan gives no window".into()),
        };
        let step = self.step(source) * exp2(truncate as i32);
        let function = function(step);
        let gate = Gate { source, truncate, width: format.width, function, window, members };
        Ok(self.push(name, Op::Gate(gate), len, step))
    }

    /// Appends a gate that evaluates a piecewise polynomial. The format is that of its output.
    pub(super) fn curve(
        &mut self,
        name: &str,
        value: ValueId,
        format: Format,
        function: &Piecewise,
    ) -> Result<ValueId, String> {
        let (source, truncate) = self.truncation(name, value, function.input_bits);
        let drop = function.accumulator_bits - format.fractional_bits;
        let drop = u32::try_from(drop).map_err(|_| "its output has more bits than it computes")?;
        let width = format.width + drop;
        self.fits(Format { width, ..format }, truncate)?;
        let curve = function.quantise(self.step(source) * exp2(truncate as i32));
        let window = match format.window {
            Some(window) => window,
            None if curve.knots.is_empty() => Window { low: 0, bits: width },
            None => return Err("its gate compares with knots but the plan gives no window".into()),
        };
        let kept = format.width;
        let encoding = curve.encode();
        let knots = curve.knots;
        let gate = CurveGate { source, truncate, width, window, knots, encoding, drop, kept };
        let len = self.len(source);
        Ok(self.push(name, Op::Curve(gate), len, exp2(-format.fractional_bits)))
    }

    /// Appends a gate that evaluates a composite polynomial. Its output has its input's units.
    pub(super) fn polynomial(
        &mut self,
        name: &str,
        value: ValueId,
        format: Format,
        gate: &PolynomialGate,
    ) -> Result<ValueId, String> {
        let sign = gate.sign().map_err(|e| e.to_string())?;
        let (source, truncate) = self.truncation(name, value, format.fractional_bits);
        self.fits(format, truncate)?;
        let step = self.step(source) * exp2(truncate as i32);
        let place = Place { source, truncate, width: format.width, range: gate.range / step };
        if place.range < 1.0 {
            return Err(format!(
                "a range of {} is less than the unit that its inputs are rounded to, {step}",
                gate.range
            ));
        }
        let len = self.len(source);
        let op = Op::Polynomial(PolynomialOp::new(place, gate.alpha, &sign));
        Ok(self.push(name, op, len, step))
    }

    pub(super) fn open(
        &mut self,
        name: &str,
        value: ValueId,
        format: Format,
    ) -> Result<(), String> {
        let value = self.cut_tail(value);
        let (source, truncate) = self.truncation(name, value, format.fractional_bits);
        self.fits(format, truncate)?;
        let op = Op::Open { source, truncate, width: format.width };
        let (len, step) = (self.len(source), self.step(source) * exp2(truncate as i32));
        // The tail's steps were those of values before truncation and scaling.
        let ratio = step / self.step(value);
        self.tail.iter_mut().for_each(|tail| tail.value.step *= ratio);
        self.push(name, op, len, step);
        Ok(())
    }

    /// Takes enlarging operations off the end, to be applied after the result is opened; gives the
    /// value before them.
    fn cut_tail(&mut self, mut value: ValueId) -> ValueId {
        while value + 1 == self.ops.len() {
            let Op::Local(local) = &self.ops[value] else { break };
            let &[source] = local.sources().as_slice() else { break };
            if self.len(source) >= self.len(value) {
                break;
            }
            let mut local = local.clone();
            local.reads(0);
            let made = self.values.remove(value);
            self.ops.pop();
            self.tail.insert(0, Tail { local, value: made });
            value = source;
        }
        value
    }

    fn fits(&self, format: Format, truncate: u32) -> Result<(), String> {
        // A scale that underflows to zero asks for more bits than there are numbers for.
        if truncate.checked_add(format.width).is_some_and(|bits| bits <= self.ring) {
            return Ok(());
        }
        Err(format!(
            "{} bits are truncated and {} kept, more than the ring's {}: a wider ring or fewer fractional bits in the layer before would fit",
            truncate, format.width, self.ring
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_that_underflows_is_refused() {
        let mut build = Builder::new(64);
        let value = build.input("x", 1, 0.0);
        let format = Format { fractional_bits: 8, width: 15, range: 1.0, window: None };
        let error = build.open("x", value, format).expect_err("there is no such shift");
        assert!(error.contains("more than the ring's 64"), "{error}");
    }
}
