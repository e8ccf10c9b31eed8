//! Activations spelled out in several nodes.
//!
//! Exporters have many spellings of the same function (`x * 0.5 * (1 + erf(x / sqrt 2))` in any
//! order of the factors), so what is compared is not the form of the subgraph but its values: if a
//! node is a function of one other node through elementwise operations alone, the function is
//! evaluated at some points and looked up among the known activations. Functions made of sums and
//! products alone are polynomials, whose coefficients are computed.

use std::collections::HashMap;

use super::draft::{Draft, DraftNode, DraftOp, Scalar};
use crate::activation::{erf, softplus};
use crate::{Activation, Op, ParamId, Polynomial};

/// Most nodes of a pattern.
const MAX_NODES: usize = 16;
/// The functions are compared at this many points over [-RANGE, RANGE].
const POINTS: usize = 49;
const RANGE: f64 = 12.0;
/// Greatest difference relative to the larger of 1 and the value. The closest two activations,
/// Gelu and GeluTanh, differ by up to 5e-4; constants in single precision cause less than 1e-6.
const TOLERANCE: f64 = 1e-5;

const KNOWN: [Activation; 10] = [
    Activation::Relu,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::HardSwish,
    Activation::Silu,
    Activation::Mish,
    Activation::Exp,
    Activation::Softplus,
];

/// Turns the last node of every pattern into an activation; the others are left without readers.
pub(super) fn recognise(draft: &mut Draft) {
    let points: Vec<f64> =
        (0..POINTS).map(|i| RANGE * (2.0 * i as f64 / (POINTS - 1) as f64 - 1.0)).collect();
    let known = KNOWN.map(|a| (a, points.iter().map(|x| a.eval(*x)).collect::<Vec<f64>>()));
    for end in 0..draft.nodes.len() {
        if let Some((source, activation)) = find(draft, end, &points, &known) {
            draft.nodes[end].op = DraftOp::Op(Op::Activation(activation));
            draft.nodes[end].inputs = vec![source];
        }
    }
}

fn find(
    draft: &Draft,
    end: usize,
    points: &[f64],
    known: &[(Activation, Vec<f64>)],
) -> Option<(usize, Activation)> {
    let is_single = matches!(draft.nodes[end].op, DraftOp::Op(Op::Activation(_)));
    if is_single || !is_elementwise(draft, end) {
        return None;
    }
    // The ancestors through elementwise operations, and the first ones beyond these.
    let mut ancestors = vec![end];
    let mut next = 0;
    while next < ancestors.len() && ancestors.len() <= MAX_NODES {
        if is_elementwise(draft, ancestors[next]) {
            for input in &draft.nodes[ancestors[next]].inputs {
                if !ancestors.contains(input) {
                    ancestors.push(*input);
                }
            }
        }
        next += 1;
    }
    // A polynomial may be the first terms of a longer one.
    let helper = |i: &usize| {
        let op = &draft.nodes[*i].op;
        match op {
            DraftOp::Op(Op::Activation(activation)) => activation.as_polynomial().is_some(),
            DraftOp::Op(_) => false,
            _ => true,
        }
    };
    if !ancestors.iter().any(helper) {
        return None;
    }
    // Nearer sources first: the longest spelling is found when its last node comes up.
    let mut sources = ancestors[1..].to_vec();
    sources.sort_unstable_by(|a, b| b.cmp(a));
    sources.into_iter().find_map(|source| {
        let mut polynomials = HashMap::from([(source, vec![0.0, 1.0])]);
        if let Some(polynomial) = expand(draft, end, source, &mut polynomials) {
            return Some((source, polynomial));
        }
        let mut values = HashMap::from([(source, points.to_vec())]);
        evaluate(draft, end, source, &mut values)?;
        let values = &values[&end];
        let agrees = |expected: &[f64]| {
            values.iter().zip(expected).all(|(v, e)| (v - e).abs() <= TOLERANCE * e.abs().max(1.0))
        };
        known.iter().find(|(_, expected)| agrees(expected)).map(|(a, _)| (source, *a))
    })
}

/// `node` as a polynomial of `source`, if it is one of a degree that makes an activation.
fn expand(
    draft: &Draft,
    node: usize,
    source: usize,
    known: &mut HashMap<usize, Vec<f64>>,
) -> Option<Activation> {
    coefficients(draft, node, source, known)?;
    let rounded: Vec<f32> = known[&node].iter().map(|c| *c as f32).collect();
    Activation::polynomial(&rounded)
}

/// Computes the coefficients of `node` as a polynomial of `source`, the constant first.
fn coefficients(
    draft: &Draft,
    node: usize,
    source: usize,
    known: &mut HashMap<usize, Vec<f64>>,
) -> Option<()> {
    if known.contains_key(&node) {
        return Some(());
    }
    if node < source || known.len() > MAX_NODES || !is_elementwise(draft, node) {
        return None;
    }
    let DraftNode { op, inputs, .. } = &draft.nodes[node];
    for input in inputs {
        coefficients(draft, *input, source, known)?;
    }
    let operand = |i: usize| known[&inputs[i]].as_slice();
    let sum = |sign: f64| {
        let (a, b) = (operand(0), operand(1));
        let at = |p: &[f64], i: usize| p.get(i).copied().unwrap_or(0.0);
        (0..a.len().max(b.len())).map(|i| at(a, i) + sign * at(b, i)).collect()
    };
    let result: Vec<f64> = match op {
        DraftOp::Op(Op::Affine { scale, shift }) => {
            let mut result = operand(0).to_vec();
            let scale = number(draft, *scale, 1.0);
            result.iter_mut().for_each(|c| *c *= scale);
            result[0] += number(draft, *shift, 0.0);
            result
        }
        DraftOp::Op(Op::Activation(activation)) => {
            let polynomial = activation.as_polynomial()?;
            polynomial.coefficients().iter().rev().try_fold(vec![0.0], |sum, c| {
                let mut sum = product(&sum, operand(0))?;
                sum[0] += f64::from(*c);
                Some(sum)
            })?
        }
        DraftOp::Scalar(Scalar::Power(p)) if p.fract() == 0.0 && (0.0..=8.0).contains(p) => {
            (0..*p as usize).try_fold(vec![1.0], |sum, _| product(&sum, operand(0)))?
        }
        DraftOp::Product => product(operand(0), operand(1))?,
        DraftOp::Op(Op::Add) => sum(1.0),
        DraftOp::Op(Op::Sub) => sum(-1.0),
        _ => return None,
    };
    known.insert(node, result);
    Some(())
}

/// The product of two polynomials, unless its degree is too high for an activation.
fn product(a: &[f64], b: &[f64]) -> Option<Vec<f64>> {
    let degree = |p: &[f64]| p.iter().rposition(|c| *c != 0.0).unwrap_or(0);
    let (n, m) = (degree(a), degree(b));
    if n + m > Polynomial::MAX_DEGREE {
        return None;
    }
    let mut result = vec![0.0; n + m + 1];
    for (i, x) in a.iter().enumerate().take(n + 1) {
        b.iter().take(m + 1).zip(&mut result[i..]).for_each(|(y, sum)| *sum += x * y);
    }
    Some(result)
}

/// A coefficient of an affine node that counts for all elements.
fn number(draft: &Draft, id: Option<ParamId>, neutral: f64) -> f64 {
    id.map_or(neutral, |id| f64::from(draft.tensors[id.0].data[0]))
}

/// The values of `node` as a function of `source`; nothing if it depends on anything else.
fn evaluate(
    draft: &Draft,
    node: usize,
    source: usize,
    values: &mut HashMap<usize, Vec<f64>>,
) -> Option<()> {
    if values.contains_key(&node) {
        return Some(());
    }
    // Sources lie before what is computed from them.
    if node < source || values.len() > MAX_NODES || !is_elementwise(draft, node) {
        return None;
    }
    let DraftNode { op, inputs, .. } = &draft.nodes[node];
    for input in inputs {
        evaluate(draft, *input, source, values)?;
    }
    let operands: Vec<&Vec<f64>> = inputs.iter().map(|i| &values[i]).collect();
    let unary = |f: &dyn Fn(f64) -> f64| operands[0].iter().map(|x| f(*x)).collect();
    let binary = |f: fn(f64, f64) -> f64| {
        operands[0].iter().zip(operands[1]).map(|(x, y)| f(*x, *y)).collect()
    };
    let result: Vec<f64> = match op {
        DraftOp::Op(Op::Activation(activation)) => unary(&|x| activation.eval(x)),
        DraftOp::Op(Op::Affine { scale, shift }) => {
            let (scale, shift) = (number(draft, *scale, 1.0), number(draft, *shift, 0.0));
            unary(&|x| x * scale + shift)
        }
        DraftOp::Scalar(Scalar::Erf) => unary(&erf),
        DraftOp::Scalar(Scalar::Exp) => unary(&f64::exp),
        DraftOp::Scalar(Scalar::Log) => unary(&f64::ln),
        DraftOp::Scalar(Scalar::Power(p)) => unary(&|x| x.powf(f64::from(*p))),
        DraftOp::Scalar(Scalar::Reciprocal) => unary(&f64::recip),
        DraftOp::Scalar(Scalar::Softplus) => unary(&softplus),
        DraftOp::Product => binary(|x, y| x * y),
        DraftOp::Quotient => binary(|x, y| x / y),
        DraftOp::Op(Op::Add) => binary(|x, y| x + y),
        DraftOp::Op(Op::Sub) => binary(|x, y| x - y),
        _ => return None,
    };
    values.insert(node, result);
    Some(())
}

/// Whether each element of the result depends on the same element of the inputs only, and in the
/// same way for all elements.
fn is_elementwise(draft: &Draft, node: usize) -> bool {
    match &draft.nodes[node].op {
        DraftOp::Op(Op::Activation(_) | Op::Add | Op::Sub)
        | DraftOp::Scalar(_)
        | DraftOp::Product
        | DraftOp::Quotient => true,
        DraftOp::Op(Op::Affine { scale, shift }) => {
            [scale, shift].into_iter().flatten().all(|id| draft.tensors[id.0].len() == 1)
        }
        _ => false,
    }
}
