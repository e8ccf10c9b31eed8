//! From a public graph and a plan to a program.
//!
//! Lowering is deterministic and uses public information only, so every party gets the same program.
//! Scales are powers of two, except behind averages whose divisor is not one; the next weighted layer
//! absorbs those, as its weights are rounded in whatever unit brings its output to a power of two.

mod builder;
mod pool;
mod reshape;

use crate::program::{Function, Members, Op as Step, Program, ValueId};
use builder::Builder;
use hushwire_graph::{Activation, Graph, Node, NodeId, Op};
use hushwire_plan::{CheckError, Copied, Format, Gate, Grouping, Plan, SiteKind};
use hushwire_ring::ConvShape;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// Why a network cannot be executed in fixed point under a plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LowerError {
    /// The plan does not fit the graph.
    #[error(transparent)]
    Plan(#[from] CheckError),
    /// The plan has gates but no number formats.
    #[error(
        "the plan is not calibrated: it has no number formats; calibrate it on a few images first"
    )]
    NotCalibrated,
    /// Nodes that have no secure counterpart under this plan, all of them.
    #[error("{}", list(.0))]
    Unsupported(Vec<Unsupported>),
}

/// A node without a secure counterpart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The node's name.
    pub node: String,
    /// What is missing and what would do.
    pub reason: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.reason)
    }
}

fn list(problems: &[Unsupported]) -> String {
    let lines: Vec<String> = problems.iter().map(|p| format!("\n  {p}")).collect();
    format!("the network cannot be executed in fixed point:{}", lines.concat())
}

/// Lowers `graph` under `plan`.
///
/// # Errors
/// A plan that does not fit or is not calibrated, and nodes without a secure counterpart, all at
/// once.
pub fn lower(graph: &Graph, plan: &Plan) -> Result<Program, LowerError> {
    plan.check(graph)?;
    let numbers = plan.numbers.filter(|_| plan.is_calibrated()).ok_or(LowerError::NotCalibrated)?;
    let swapped = pools_before_activations(graph, plan);
    let mut lowering = Lowering {
        graph,
        plan,
        build: Builder::new(numbers.ring),
        of: vec![0; graph.nodes.len()],
        wires: vec![None; graph.nodes.len()],
        gates: HashMap::new(),
        problems: Vec::new(),
        swapped,
    };
    for (id, node) in graph.iter() {
        lowering.of[id.0] = match lowering.node(id, node) {
            Ok(value) => value,
            Err(reason) => {
                lowering.problems.push(Unsupported { node: node.name.clone(), reason });
                // A stand-in of the right size, so that the nodes behind it are examined too.
                lowering.build.input(&node.name, node.shape.len(), 1.0)
            }
        };
    }
    if let Err(reason) = lowering.open() {
        let node = graph.node(graph.output).name.clone();
        lowering.problems.push(Unsupported { node, reason });
    }
    if !lowering.problems.is_empty() {
        return Err(LowerError::Unsupported(lowering.problems));
    }
    Ok(lowering.build.finish())
}

/// Activations that are computed after the max pooling that reads them: max(relu(x)) =
/// relu(max(x)), and behind the pooling there are fewer of them. Only where nothing else reads the
/// activation and the plan leaves each element its own decision.
pub(crate) fn pools_before_activations(graph: &Graph, plan: &Plan) -> HashSet<NodeId> {
    let consumers = graph.consumers();
    let monotone = |id: &NodeId| {
        let node = graph.node(*id);
        let single = matches!(consumers[id.0].as_slice(), [c] if matches!(graph.node(*c).op, Op::MaxPool(_)));
        let exact =
            plan.site(&node.name, SiteKind::Activation).is_some_and(|s| s.gate == Gate::Exact);
        single && exact && *id != graph.output
    };
    graph.activation_sites().into_iter().filter(monotone).collect()
}

struct Lowering<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    build: Builder,
    /// The value of each node lowered so far.
    of: Vec<ValueId>,
    /// For nodes whose value is a share, the wire made of it if one was needed.
    wires: Vec<Option<ValueId>>,
    /// The gates of activations.
    gates: HashMap<String, ValueId>,
    problems: Vec<Unsupported>,
    swapped: HashSet<NodeId>,
}

impl Lowering<'_> {
    fn node(&mut self, id: NodeId, node: &Node) -> Result<ValueId, String> {
        let name = node.name.as_str();
        let source = |i: usize| node.inputs[i];
        match &node.op {
            Op::Input => {
                let bits = self.plan.numbers.map_or(0, |n| n.input.fractional_bits);
                Ok(self.build.input(name, node.shape.len(), exp2(-bits)))
            }
            Op::Conv(conv) => {
                let input = self.graph.node(source(0)).shape.as_chw().ok_or("input is no image")?;
                let kernel = &self.graph.params[conv.weight.0].dims;
                let shape = ConvShape {
                    in_channels: input[0],
                    in_h: input[1],
                    in_w: input[2],
                    out_channels: node.shape.0[0],
                    kernel: [kernel[2], kernel[3]],
                    stride: conv.stride,
                    pads: conv.pads,
                    dilation: conv.dilation,
                    groups: conv.groups,
                };
                self.linear(name, source(0), shape, conv.weight, conv.bias)
            }
            Op::Gemm(gemm) => {
                let features = self.graph.node(source(0)).shape.len();
                let shape = pointwise(features, node.shape.len(), 1, 1);
                self.linear(name, source(0), shape, gemm.weight, gemm.bias)
            }
            Op::Affine { scale, shift } => {
                let mut value = self.of[source(0).0];
                if let Some(scale) = scale {
                    let channels = self.graph.params[scale.0].dims.iter().product::<usize>();
                    let map = node.shape.len() / channels;
                    let shape = pointwise(channels, channels, channels, map);
                    value = self.linear(name, source(0), shape, *scale, None)?;
                }
                if let Some(shift) = shift {
                    let numbers = self.graph.params[shift.0].dims.iter().product::<usize>();
                    let repeat = node.shape.len() / numbers;
                    value = self.build.add_param(name, value, *shift, repeat);
                }
                Ok(value)
            }
            Op::Activation(_) if self.swapped.contains(&id) => Ok(self.of[source(0).0]),
            Op::Activation(activation) => {
                let value = self.of[source(0).0];
                self.activation(node, *activation, value, node)
            }
            Op::MaxPool(pool) => {
                let format = self.format(name, SiteKind::MaxPool)?;
                let input = self.graph.node(source(0));
                let dims = input.shape.as_chw().ok_or("input is no image")?;
                let value = self.of[source(0).0];
                let pooled = self.build.max_pool(node, value, dims, pool, format)?;
                match &input.op {
                    Op::Activation(a) if self.swapped.contains(&source(0)) => {
                        self.activation(input, *a, pooled, node)
                    }
                    _ => Ok(pooled),
                }
            }
            Op::AveragePool(pool) => {
                let dims = self.graph.node(source(0)).shape.as_chw().ok_or("input is no image")?;
                Ok(self.build.average_pool(node, self.of[source(0).0], dims, pool))
            }
            Op::Add | Op::Sub => {
                let second = if node.op == Op::Sub { -1 } else { 1 };
                let terms = [(self.of[source(0).0], 1), (self.of[source(1).0], second)];
                Ok(self.build.sum(name, &terms))
            }
            Op::Reshape => Ok(self.of[source(0).0]),
            Op::Concat { .. } | Op::Pad { .. } | Op::Slice { .. } | Op::Transpose { .. } => {
                let inputs: Vec<_> = node
                    .inputs
                    .iter()
                    .map(|i| (self.of[i.0], self.graph.node(*i).shape.0.as_slice()))
                    .collect();
                Ok(reshape::lower(&mut self.build, node, &inputs))
            }
            Op::Resize(resize) => {
                let dims = self.graph.node(source(0)).shape.as_chw().ok_or("input is no image")?;
                Ok(reshape::resize(&mut self.build, node, resize, self.of[source(0).0], dims))
            }
        }
    }

    fn format(&self, node: &str, kind: SiteKind) -> Result<Format, String> {
        let site = self.plan.site(node, kind).and_then(|s| s.format);
        site.ok_or_else(|| {
            format!("the plan has no number format for its {kind:?} site; calibrate again")
        })
    }

    /// The value of `id` as a wire: its own, or through an identity gate.
    fn wire(&mut self, id: NodeId) -> Result<ValueId, String> {
        let value = self.of[id.0];
        if self.build.is_wire(value) {
            return Ok(value);
        }
        if let Some(wire) = self.wires[id.0] {
            return Ok(wire);
        }
        let node = self.graph.node(id);
        // A reshaped value is the same value: the plan names the node that computes it, or any
        // activation that lets it pass unchanged.
        let format = self
            .format(&node.name, SiteKind::Wire)
            .or_else(|e| self.format(&node.name, SiteKind::Activation).map_err(|_| e))?;
        let members = Members::new(&Grouping::AllIdentity, node.shape.len(), &[]);
        let wire = self.build.gate(&node.name, value, format, |_| Function::Relu, members)?;
        self.wires[id.0] = Some(wire);
        Ok(wire)
    }

    fn linear(
        &mut self,
        name: &str,
        source: NodeId,
        shape: ConvShape,
        weight: hushwire_graph::ParamId,
        bias: Option<hushwire_graph::ParamId>,
    ) -> Result<ValueId, String> {
        let layer = self.plan.layer(name).ok_or("the plan has no number format for this layer")?;
        let source = self.wire(source)?;
        Ok(self.build.linear(name, source, shape, weight, bias, exp2(-layer.fractional_bits)))
    }

    /// Applies the gate of activation node `site` to `value`, which has the shape of `at`.
    fn activation(
        &mut self,
        site: &Node,
        activation: Activation,
        value: ValueId,
        at: &Node,
    ) -> Result<ValueId, String> {
        let entry = self.plan.site(&site.name, SiteKind::Activation);
        let gate = entry.map_or(&Gate::Exact, |s| &s.gate);
        let len = at.shape.len();
        match gate {
            Gate::Identity => return Ok(value),
            Gate::Zero => return Ok(self.build.zero(&site.name, len)),
            Gate::Piecewise(function) => {
                let format = self.format(&site.name, SiteKind::Activation)?;
                return self.build.curve(&site.name, value, format, function);
            }
            Gate::Polynomial(polynomial) => {
                let format = self.format(&site.name, SiteKind::Activation)?;
                return self.build.polynomial(&site.name, value, format, polynomial);
            }
            _ => {}
        }
        let format = self.format(&site.name, SiteKind::Activation)?;
        let grouping = Grouping::resolve(gate, &at.shape.0);
        let copied: Option<Vec<_>> = grouping.copied().iter().map(|c| self.decision(c)).collect();
        let copied = copied.ok_or("it copies decisions that are not taken before")?;
        let members = Members::new(&grouping, len, &copied);
        let (low, high) = match activation {
            Activation::Relu => (0.0, f32::MAX),
            Activation::Clip { min, max } => (min, max),
            other => {
                return Err(format!(
                    "{} itself has no gate: Relu and Clip have one; let the plan replace it by a piecewise polynomial (`hushwire plan smooth`), identity or zero",
                    other.name()
                ));
            }
        };
        if *gate != Gate::Exact && low != 0.0 {
            return Err("only activations that are zero below zero can share decisions".into());
        }
        if !low.is_finite() || low == f32::MIN {
            return Err("a Clip without lower bound has no gate; give it a finite minimum".into());
        }
        // A shared decision says which half of the line a group is on, not whether it is above the
        // upper bound: sharing gates drop the bound.
        let bounded = high != f32::MAX && *gate == Gate::Exact;
        let span = f64::from(high) - f64::from(low);
        let function = |step: f64| {
            if bounded {
                Function::Clip { high: (span / step).round() as i64 }
            } else {
                Function::Relu
            }
        };
        let shifted = self.build.shift(&site.name, value, -f64::from(low));
        let out = self.build.gate(&site.name, shifted, format, function, members)?;
        self.gates.insert(site.name.clone(), out);
        Ok(self.build.shift(&site.name, out, f64::from(low)))
    }

    /// The gate that takes a copied decision, and its number there.
    fn decision(&self, copied: &Copied) -> Option<(ValueId, u32)> {
        let op = *self.gates.get(&*copied.node)?;
        Some((op, self.build.members(op)?.decision_of(copied.element)?))
    }

    fn open(&mut self) -> Result<(), String> {
        let node = self.graph.node(self.graph.output);
        let format = self.format(&node.name, SiteKind::Output)?;
        self.build.open(&node.name, self.of[self.graph.output.0], format)
    }
}

/// A 1x1 convolution over a map of `map` pixels.
fn pointwise(inputs: usize, outputs: usize, groups: usize, map: usize) -> ConvShape {
    ConvShape {
        in_channels: inputs,
        in_h: 1,
        in_w: map,
        out_channels: outputs,
        kernel: [1, 1],
        stride: [1, 1],
        pads: [0; 4],
        dilation: [1, 1],
        groups,
    }
}

/// 2^bits, exact.
pub(crate) fn exp2(bits: i32) -> f64 {
    2f64.powi(bits)
}

impl Step {
    /// The kind of operation, for reports.
    pub fn kind(&self) -> &'static str {
        match self {
            Step::Input => "input",
            Step::Linear(_) => "linear",
            Step::AddParam { .. } => "constant",
            Step::Local(_) => "local",
            Step::Gate(_) => "gate",
            Step::Curve(_) => "curve",
            Step::Polynomial(_) => "polynomial",
            Step::Open { .. } => "output",
        }
    }
}
