//! Why three parties do not evaluate composite polynomials: comparing costs less.

use std::fmt;
use std::sync::Arc;

use hushwire_fixed::program::{Function, Gate, Members, Op, Value};
use hushwire_fixed::{CurveGate, Program};
use hushwire_net::Phase;
use hushwire_plan::{Encoding, Window};

use crate::cost::Prediction;
use crate::{Comparison, Job};

/// Compared bits of the gate that a polynomial is set against.
const WINDOW: u32 = 13;

/// A composite polynomial among the gates, and what would be cheaper.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The gate's node.
    pub node: String,
    /// Composite polynomials of the program.
    pub count: usize,
    /// Precision of this one.
    pub alpha: u32,
    /// Elements of a sample.
    pub elements: usize,
    /// Products of shared values, and how many of them follow each other.
    pub products: [u32; 2],
    /// Products of the polynomial as the engine makes them.
    pub polynomial: Price,
    /// The comparison itself.
    pub comparison: Price,
}

/// What a gate sends for one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Bytes of both phases, on the link.
    pub bytes: u64,
    /// Round trips online.
    pub rounds: usize,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { node, count, alpha, elements, products, polynomial, comparison } = self;
        write!(
            f,
            "{node} (of {count} such gates) is a composite polynomial of precision {alpha}; on \
             {elements} elements its {} products of shared values, {} one after the other, would take \
             {} bytes and {} round trips, the exact ReLU takes {} bytes and {} round trips: let three \
             parties compare (gate = \"exact\"); composite polynomials are for the clear executors, \
             training and encrypted inference",
            products[0],
            products[1],
            polynomial.bytes,
            polynomial.rounds,
            comparison.bytes,
            comparison.rounds
        )
    }
}

/// Refuses programs with composite polynomials.
///
/// # Errors
/// The first composite polynomial, with both prices.
pub fn refuse(program: &Program) -> Result<(), Refusal> {
    let polynomials = program.ops.iter().enumerate().filter_map(|(i, op)| match op {
        Op::Polynomial(polynomial) => Some((i, polynomial)),
        _ => None,
    });
    let count = polynomials.clone().count();
    let Some((i, op)) = { polynomials }.next() else { return Ok(()) };
    let value = &program.values[i];
    let width = op.width;
    let relu = Op::Gate(Gate {
        source: 0,
        truncate: op.truncate,
        width,
        function: Function::Relu,
        window: Window { low: width.saturating_sub(WINDOW), bits: width.min(WINDOW) },
        members: Members::Each,
    });
    // A product of shares costs what the engine's square costs: one opening under a mask whose
    // square is dealt, and a truncation.
    let square = Op::Curve(CurveGate {
        source: 0,
        truncate: op.truncate,
        width,
        window: Window { low: 0, bits: width },
        knots: Vec::new(),
        encoding: Encoding { base: vec![0, 0, 1], selectors: Vec::new() },
        drop: 0,
        kept: width,
    });
    let product = price(program.ring, value, square);
    Err(Refusal {
        node: value.name.clone(),
        count,
        alpha: op.alpha,
        elements: value.len,
        products: [op.multiplications, op.depth],
        polynomial: Price {
            bytes: product.bytes * u64::from(op.multiplications),
            rounds: product.rounds * op.depth as usize,
        },
        comparison: price(program.ring, value, relu),
    })
}

/// What a gate sends, in a program of its own.
fn price(ring: u32, value: &Value, gate: Op) -> Price {
    let input = Value { wire: true, ..value.clone() };
    let last = Value { wire: false, ..value.clone() };
    let open = Op::Open { source: 1, truncate: 0, width: ring.min(8) };
    let program = Program {
        ring,
        ops: vec![Op::Input, gate, open],
        values: vec![input.clone(), input, last],
        last_use: vec![1, 2, 2],
        tail: Vec::new(),
    };
    let prediction = Prediction::new(&Job::new(Arc::new(program), 1, Comparison::Digits));
    let messages = prediction.phase(Phase::Offline).iter().chain(prediction.phase(Phase::Online));
    // One round trip is that of input and output.
    let rounds = prediction.rounds - 1;
    Price { bytes: messages.filter(|m| m.op == 1).map(|m| m.framed()).sum(), rounds }
}
