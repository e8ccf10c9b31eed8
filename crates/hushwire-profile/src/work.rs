//! How much work the operations of a program are.

use crate::profile::{Convolution, Gate};
use hushwire_fixed::CurveGate;
use hushwire_fixed::program::{self, Groups, Linear, Local, Members};
use hushwire_mpc::{Comparison, Job};
use hushwire_ring::ConvShape;

/// Products with up to this many vectors are sums along each weight row.
const VECTORS: usize = 2;

impl Convolution {
    /// Seconds of one core for the products of a weighted layer.
    pub(crate) fn layer(&self, linear: &Linear, batch: usize) -> f64 {
        let shape = &linear.shape;
        let vectors = shape.in_h * shape.in_w == 1 && shape.kernel == [1; 2] && shape.groups == 1;
        if vectors && batch <= VECTORS {
            return self.vector_ns.times((shape.weight_len() * batch) as f64);
        }
        self.shape(shape, batch)
    }

    /// Seconds of one core for a convolution.
    pub(crate) fn shape(&self, shape: &ConvShape, batch: usize) -> f64 {
        let macs = shape.macs() as f64 * batch as f64;
        if shape.in_channels == shape.groups {
            let strided = shape.stride[1] > 1;
            let each = if strided { self.strided_depthwise_ns } else { self.depthwise_ns };
            return each.times(macs);
        }
        let [products, inputs, weights, outputs] = terms(shape, batch);
        self.product_ns.times(products)
            + self.input_ns.times(inputs)
            + self.weight_ns.times(weights)
            + self.output_ns.times(outputs)
    }
}

/// What a convolution touches: multiplications, elements of the matrix of inputs, weights, outputs.
pub(crate) fn terms(shape: &ConvShape, batch: usize) -> [f64; 4] {
    let macs = shape.macs() as f64 * batch as f64;
    let group_outputs = shape.out_channels as f64 / shape.groups as f64;
    let outputs = (shape.output_len() * batch) as f64;
    [macs, macs / group_outputs, shape.weight_len() as f64, outputs]
}

/// What determines the work of a gate, over the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct GateSize {
    /// Elements that decide for themselves.
    elements: f64,
    /// Elements that follow a group.
    members: f64,
    /// Elements that pass.
    passing: f64,
    /// Secrets to compare with: dealt offline, one for each deciding form.
    dealt: Compared,
    /// Comparisons with them: carried out online, one for each threshold.
    carried_out: Compared,
}

/// Comparisons.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Compared {
    /// Beside the first of elements that decide for themselves.
    beside: f64,
    /// Levels of all.
    levels: f64,
}

/// When a gate is worked on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum When {
    Offline,
    Online,
}

impl GateSize {
    pub(crate) fn new(job: &Job, op: usize, gate: &program::Gate) -> GateSize {
        let len = job.program.values[op].len;
        let (mut elements, mut members, mut passing) = (len, 0, 0);
        if let Members::Mixed(blocks) = &gate.members {
            let sum = |of: fn(&Groups) -> usize| blocks.iter().map(of).sum();
            elements = 0;
            members = sum(Groups::opened_len);
            passing = sum(|groups| groups.identity.len());
        }
        let over_batch = |count: usize| (count * job.batch) as f64;
        let levels = levels(job.comparison, gate.window.bits - 1);
        let compared = |count: usize| Compared {
            beside: over_batch(count - elements),
            levels: over_batch(count) * levels,
        };
        let decisions = gate.members.decisions(len);
        GateSize {
            elements: over_batch(elements),
            members: over_batch(members),
            passing: over_batch(passing),
            dealt: compared(decisions),
            carried_out: compared(decisions * gate.function.knots()),
        }
    }

    /// A piecewise polynomial by what a ReLU has of the same: dealt numbers and comparisons.
    pub(crate) fn curve(job: &Job, op: usize, curve: &CurveGate) -> GateSize {
        let elements = job.len(op) as f64;
        let encoding = &curve.encoding;
        let dealt = encoding.elements() + encoding.degree().saturating_sub(1) + DEALT_BESIDE;
        let levels = levels(job.comparison, curve.window.bits - 1);
        let compared =
            |each: usize| Compared { beside: 0.0, levels: elements * each as f64 * levels };
        GateSize {
            elements: elements * dealt as f64 / DEALT_OF_RELU,
            members: 0.0,
            passing: 0.0,
            dealt: compared(1),
            carried_out: compared(curve.knots.len()),
        }
    }
}

/// Numbers that are dealt for a ReLU: c, c m, the wrap, t and c t.
const DEALT_OF_RELU: f64 = 5.0;

/// Numbers that are dealt or drawn for a piecewise polynomial beside its selectors and powers: the mask
/// of its result and the carry.
const DEALT_BESIDE: usize = 2;

/// Levels of a comparison of `bits`.
pub(crate) fn levels(comparison: Comparison, bits: u32) -> f64 {
    f64::from(match comparison {
        Comparison::Digits => bits.div_ceil(4),
        Comparison::Dcf => bits.saturating_sub(7),
    })
}

impl Gate {
    /// Seconds of one core, beside what every part takes.
    pub(crate) fn work(&self, size: &GateSize, when: When) -> f64 {
        let Compared { beside, levels } = match when {
            When::Offline => size.dealt,
            When::Online => size.carried_out,
        };
        self.element_ns.times(size.elements)
            + self.member_ns.times(size.members)
            + self.passing_ns.times(size.passing)
            + self.decision_ns.times(beside)
            + self.level_ns.times(levels)
    }
}

/// Operands of a public linear operation that makes `len` elements.
pub(crate) fn operands(local: &Local, len: usize) -> f64 {
    let each = match local {
        Local::Combine { terms, .. } => terms.len(),
        Local::Gather { .. } | Local::Scale { .. } => 1,
        Local::SumPool { shape, .. } => shape.kernel[0] * shape.kernel[1],
        Local::Interpolate { .. } => 4,
    };
    (each * len) as f64
}
