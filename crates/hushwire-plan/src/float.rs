//! A plan in the float executor: gates as hooks that replace activations.

use crate::{Copied, Decision, Gate, Grouping, Piecewise, Plan, SiteKind};
use hushwire_graph::{Hooks, Node, NodeId, Op, Tensor};
use hushwire_minimax::Rectifier;
use std::collections::{HashMap, HashSet};

/// Replaces activations by the plan's gates while a graph runs in floating point.
///
/// Exact gates are left to the executor. A shared decision multiplies its members by
/// 1{form >= 0}; the upper bound of a clip does not apply to them. Piecewise polynomials have the
/// coefficients that they are computed with, of unrounded inputs. Composite polynomials are computed in
/// single precision, beyond their range as well: the observer is told of such values.
pub struct GateHooks<'o> {
    gates: HashMap<String, Replacement>,
    /// Activations whose decisions are copied.
    kept: HashSet<String>,
    /// Their decisions, sample by sample.
    open: HashMap<String, Vec<bool>>,
    observe: &'o mut dyn FnMut(Observed<'_>),
}

/// What stands in the place of an activation.
enum Replacement {
    Decided(Grouping, Vec<Source>),
    Curve(Piecewise),
    Polynomial(Rectifier, f32),
}

/// Where a copied decision is taken.
struct Source {
    node: String,
    /// The group there, and how many there are.
    group: usize,
    groups: usize,
}

/// What hooks show to an observer.
pub enum Observed<'a> {
    /// The value of a node, for the whole batch.
    Value(NodeId, &'a Tensor),
    /// The deciding forms of a shared gate, for the whole batch.
    Forms(NodeId, &'a [f32]),
    /// How many inputs of a composite polynomial lay outside its range, if any.
    Outside(NodeId, usize),
}

impl<'o> GateHooks<'o> {
    /// Hooks for the activation sites of `plan` in `graph`, which must fit.
    pub fn new(
        graph: &hushwire_graph::Graph,
        plan: &Plan,
        observe: &'o mut dyn FnMut(Observed<'_>),
    ) -> Self {
        let groupings: HashMap<&str, Grouping> = graph
            .activation_sites()
            .into_iter()
            .filter_map(|id| {
                let node = graph.node(id);
                let gate = &plan.site(&node.name, SiteKind::Activation)?.gate;
                let decided =
                    !matches!(gate, Gate::Exact | Gate::Piecewise(_) | Gate::Polynomial(_));
                decided.then(|| (node.name.as_str(), Grouping::resolve(gate, &node.shape.0)))
            })
            .collect();
        let mut kept = HashSet::new();
        let source = |copied: &Copied| {
            let of = groupings.get(&*copied.node);
            Source {
                node: copied.node.to_string(),
                group: of.and_then(|g| g.group_of(copied.element)).unwrap_or(0) as usize,
                groups: of.map_or(0, |g| g.decisions(0)),
            }
        };
        let gates = graph
            .activation_sites()
            .into_iter()
            .filter_map(|id| {
                let node = graph.node(id);
                let site = plan.site(&node.name, SiteKind::Activation)?;
                let replacement = match &site.gate {
                    Gate::Exact => return None,
                    Gate::Piecewise(function) => Replacement::Curve(function.rounded()),
                    Gate::Polynomial(polynomial) => Replacement::Polynomial(
                        polynomial
                            .rectifier()
                            .unwrap_or_else(|e| unreachable!("the plan was checked: {e}")),
                        polynomial.range as f32,
                    ),
                    _ => {
                        let grouping = groupings.get(node.name.as_str())?.clone();
                        let sources: Vec<Source> = grouping.copied().iter().map(source).collect();
                        kept.extend(sources.iter().map(|s| s.node.clone()));
                        Replacement::Decided(grouping, sources)
                    }
                };
                Some((node.name.clone(), replacement))
            })
            .collect();
        GateHooks { gates, kept, open: HashMap::new(), observe }
    }
}

impl Hooks for GateHooks<'_> {
    fn replace(&mut self, id: NodeId, node: &Node, inputs: &[&Tensor]) -> Option<Tensor> {
        let Op::Activation(_) = node.op else { return None };
        match self.gates.get(&node.name)? {
            Replacement::Decided(grouping, sources) => {
                let decision = |n: usize, s: &Source| {
                    self.open.get(&s.node).is_some_and(|open| open[n * s.groups + s.group])
                };
                let samples = 0..inputs[0].batch();
                let copied: Vec<bool> =
                    samples.flat_map(|n| sources.iter().map(move |s| decision(n, s))).collect();
                let (out, forms) = apply(grouping, inputs[0], &copied);
                if self.kept.contains(&node.name) {
                    let open = forms.iter().map(|form| *form >= 0.0).collect();
                    self.open.insert(node.name.clone(), open);
                }
                (self.observe)(Observed::Forms(id, &forms));
                Some(out)
            }
            Replacement::Curve(function) => {
                let mut out = inputs[0].clone();
                out.data.iter_mut().for_each(|x| *x = function.eval(f64::from(*x)) as f32);
                Some(out)
            }
            Replacement::Polynomial(rectifier, range) => {
                let mut out = inputs[0].clone();
                let outside = rectifier.relu(*range, &inputs[0].data, &mut out.data);
                if outside > 0 {
                    (self.observe)(Observed::Outside(id, outside));
                }
                Some(out)
            }
        }
    }

    fn observe(&mut self, id: NodeId, value: &Tensor) {
        (self.observe)(Observed::Value(id, value));
    }
}

/// Applies a gate to a batch of pre-activations `[N, ...]`: the outputs, and the values of the
/// deciding forms (batch-major). `copied` are the decisions that it copies, sample by sample.
pub fn apply(grouping: &Grouping, x: &Tensor, copied: &[bool]) -> (Tensor, Vec<f32>) {
    let mut out = x.clone();
    let mut all_forms = Vec::new();
    let len = x.sample_len();
    match grouping {
        Grouping::Each => out.data.iter_mut().for_each(|v| *v = v.max(0.0)),
        Grouping::AllIdentity => {}
        Grouping::AllZero => out.data.fill(0.0),
        Grouping::Mixed { decisions, forms, copied: of_sample } => {
            for (n, sample) in out.data.chunks_exact_mut(len.max(1)).enumerate() {
                let (first, copied) = (all_forms.len(), &copied[n * of_sample.len()..]);
                all_forms.extend(forms.iter().map(|form| {
                    form.0.iter().map(|&(i, k)| k as f32 * sample[i as usize]).sum::<f32>()
                }));
                for (value, decision) in sample.iter_mut().zip(decisions) {
                    match decision {
                        Decision::Group(g) if all_forms[first + *g as usize] < 0.0 => *value = 0.0,
                        Decision::Copied(k) if !copied[*k as usize] => *value = 0.0,
                        Decision::Zero => *value = 0.0,
                        Decision::Group(_) | Decision::Copied(_) | Decision::Identity => {}
                    }
                }
            }
        }
    }
    (out, all_forms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelGate, Gate};

    #[test]
    fn inputs_out_of_range_are_told() {
        use hushwire_graph::{Activation, Graph, Metadata, OutputKind, Shape};
        let node = |name: &str, op, inputs: &[usize]| Node {
            name: name.into(),
            op,
            inputs: inputs.iter().map(|i| NodeId(*i)).collect(),
            shape: Shape(vec![5]),
        };
        let nodes = vec![
            node("input", Op::Input, &[]),
            node("relu", Op::Activation(Activation::Relu), &[0]),
        ];
        let graph = Graph {
            nodes,
            input: NodeId(0),
            output: NodeId(1),
            params: vec![],
            metadata: Metadata::default(),
            output_kind: OutputKind::Logits,
        };
        let gate = crate::PolynomialGate::new(7, 4.0);
        let mut plan = Plan::exact(&graph);
        plan.sites[0].gate = Gate::Polynomial(gate);
        let mut outside = 0;
        let mut count = |seen: Observed<'_>| {
            if let Observed::Outside(node, count) = seen {
                assert_eq!(node, NodeId(1));
                outside += count;
            }
        };
        let mut hooks = GateHooks::new(&graph, &plan, &mut count);
        let x = Tensor::new([1, 5], vec![-4.0, -0.5, 3.0, 4.5, f32::NAN]);
        let out = hooks.replace(NodeId(1), &graph.nodes[1], &[&x]).expect("it is replaced");
        let sign = gate.sign().expect("there is one");
        for (x, y) in x.data[..3].iter().zip(&out.data) {
            let exact = sign.relu(f64::from(*x), 4.0);
            assert!((f64::from(*y) - exact).abs() < 4.0 / 16384.0, "{x}: {y}, not {exact}");
        }
        assert_eq!(outside, 2);
    }

    #[test]
    fn a_patch_passes_or_vanishes_as_one() {
        let gate = Gate::Patches(vec![ChannelGate::Patch(1, 2), ChannelGate::Zero]);
        let grouping = Grouping::resolve(&gate, &[2, 1, 4]);
        let x = Tensor::new([1, 2, 1, 4], vec![-1.0, 3.0, 1.0, -2.0, 5.0, 5.0, 5.0, 5.0]);
        let (out, forms) = apply(&grouping, &x, &[]);
        assert_eq!(out.data, [-1.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(forms, [2.0, -1.0]);
    }
}
