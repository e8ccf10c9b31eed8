//! Networks in training.

use hushwire_graph::{Activation, Graph, Model, Node, NodeId, Op, ParamId, Params, Tensor};
use hushwire_plan::{Gate, Grouping, Plan, PolynomialGate, SiteKind};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use crate::TrainError;
use crate::kernels::conv::Packed;
use crate::kernels::geometry::Geometry;
use crate::ops::affine;
use crate::ops::gate::{Site, Source};
use crate::ops::movement::Movement;
use crate::ops::norm::{self, Moments};
use crate::ops::pool::Windows;
use crate::ops::rectified::{Perturbation, Range, Rectified};
use crate::ops::resize::Resampling;

/// A parameter that training changes.
#[derive(Clone, PartialEq)]
pub struct Parameter {
    /// Its name, as in the graph, or that of the layer and `scale` or `shift` for a normalisation.
    pub name: String,
    /// Extent of each axis.
    pub dims: Vec<usize>,
    /// The elements.
    pub values: Vec<f32>,
    /// Whether it is a weight, which decays; biases, scales and shifts do not.
    pub is_weight: bool,
}

/// A network in training: a graph with its parameters, the gates of a plan, and batch normalisation
/// behind layers in which the graph has it folded.
///
/// A gate passes or clears its members by the sign of a form of theirs; the gradient passes where
/// the gate was open and does not reach the form.
pub struct Net {
    graph: Graph,
    pub(crate) params: Vec<Parameter>,
    pub(crate) kernels: Vec<Kernel>,
    /// Whether the gradient with respect to a node's value is needed.
    pub(crate) needed: Vec<bool>,
    /// Means of the last layer's results, by channel, once the network was unfolded.
    pub(crate) means: Vec<f32>,
}

/// How a node is computed; parameters are positions in [`Net::params`].
pub(crate) enum Kernel {
    Input,
    Conv(Box<Conv>),
    Dense(Dense),
    Affine { extents: affine::Extents, scale: Option<usize>, shift: Option<usize> },
    Site(Site),
    MaxPool(Windows),
    AveragePool(Windows),
    Add,
    Sub,
    Move(Vec<Movement>),
    Reshape,
    Resize(Resampling),
}

pub(crate) struct Conv {
    pub geometry: Geometry,
    pub packed: Packed,
    pub weight: usize,
    pub bias: Option<usize>,
    pub norm: Option<Norm>,
}

pub(crate) struct Dense {
    pub features: usize,
    pub weight: usize,
    pub bias: Option<usize>,
    pub norm: Option<Norm>,
}

/// A normalisation behind a layer, which then has no bias of its own.
pub(crate) struct Norm {
    pub extents: norm::Extents,
    pub scale: usize,
    pub shift: usize,
    /// Means over the batches seen, which take the batch's place outside training.
    pub running: Moments,
}

impl Norm {
    /// Added to variances.
    pub(crate) const EPSILON: f32 = 1e-5;
    /// Share of a new batch in the running moments.
    const MOMENTUM: f32 = 0.1;

    /// Takes the moments of another batch of `count` values per channel into account.
    pub(crate) fn observe(&mut self, batch: &Moments, count: usize) {
        let mix = |old: &mut f32, new: f32| *old += Self::MOMENTUM * (new - *old);
        // The running variance is the unbiased one.
        let unbiased = count as f32 / (count.max(2) - 1) as f32;
        self.running.mean.iter_mut().zip(&batch.mean).for_each(|(old, new)| mix(old, *new));
        let variances = self.running.variance.iter_mut().zip(&batch.variance);
        variances.for_each(|(old, new)| mix(old, new * unbiased));
    }
}

/// How composite polynomials in the place of ReLU are trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rectifying {
    /// Whether the polynomial is computed; otherwise ReLU itself is, and the rest still applies.
    pub residual: bool,
    /// Whether gradients pass as through ReLU itself, instead of by derivatives.
    pub straight: bool,
    /// What is added in training.
    pub leak: Option<Perturbation>,
    /// Weight of half the squared excess of a sample's inputs over half of their layer's range, in
    /// ranges, summed up.
    pub penalty: f32,
    /// Ranges are this many times a batch's largest input; otherwise they are the plan's.
    pub margin: Option<f32>,
}

impl Default for Rectifying {
    fn default() -> Self {
        Self { residual: true, straight: false, leak: None, penalty: 0.0, margin: None }
    }
}

impl Net {
    /// A network with the weights of a model, and the gates of a plan, which must fit its graph.
    ///
    /// # Errors
    /// When the plan does not fit the graph.
    pub fn new(model: &Model, plan: Option<&Plan>) -> Result<Self, TrainError> {
        let graph = model.graph.clone();
        if let Some(plan) = plan {
            plan.check(&graph)?;
        }
        let mut params: Vec<Parameter> = graph
            .params
            .iter()
            .zip(model.params.iter())
            .map(|(info, (_, tensor))| Parameter {
                name: info.name.clone(),
                dims: info.dims.clone(),
                values: tensor.data.clone(),
                is_weight: false,
            })
            .collect();
        for node in &graph.nodes {
            if let Op::Conv(hushwire_graph::Conv { weight, .. })
            | Op::Gemm(hushwire_graph::Gemm { weight, .. }) = node.op
            {
                params[weight.0].is_weight = true;
            }
        }
        let kernels = graph.nodes.iter().map(|node| kernel(&graph, node, plan)).collect();
        let mut needed: Vec<bool> = Vec::new();
        for node in &graph.nodes {
            let reads = node.inputs.iter().any(|input| needed[input.0]);
            needed.push(reads || node.op.params().next().is_some());
        }
        let mut net = Self { graph, params, kernels, needed, means: Vec::new() };
        net.pack();
        Ok(net)
    }

    /// Puts the gates of another plan in the place of its own.
    ///
    /// # Errors
    /// When the plan does not fit the graph.
    pub fn set_plan(&mut self, plan: &Plan) -> Result<(), TrainError> {
        plan.check(&self.graph)?;
        for (node, kernel) in self.graph.nodes.iter().zip(&mut self.kernels) {
            if let Op::Activation(activation) = node.op {
                *kernel = Kernel::Site(site(&self.graph, node, activation, Some(plan)));
            }
        }
        Ok(())
    }

    /// Says how the composite polynomials of its plan are trained.
    pub fn rectify(&mut self, how: &Rectifying) {
        for kernel in &mut self.kernels {
            if let Kernel::Site(Site::Rectified(site)) = kernel {
                site.polynomial = how.residual;
                site.straight = how.straight;
                site.added = how.leak;
                site.penalty = how.penalty;
                if let Some(margin) = how.margin {
                    site.range = Range::Batch(margin);
                }
            }
        }
    }

    /// Makes an activation ReLU with something added, in training and outside. The gate says the
    /// range that it is added by, and the polynomial of [`Kind::Residual`](crate::Kind::Residual).
    ///
    /// # Errors
    /// When there is no polynomial of the gate's precision.
    pub fn perturb(
        &mut self,
        activation: NodeId,
        gate: &PolynomialGate,
        added: Option<Perturbation>,
    ) -> Result<(), hushwire_minimax::Error> {
        let site = Rectified::new(gate.rectifier()?, gate.range);
        let site = Rectified { polynomial: false, always: true, added, ..site };
        self.kernels[activation.0] = Kernel::Site(Site::Rectified(Box::new(site)));
        Ok(())
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// A node and how it is computed.
    pub(crate) fn at(&self, id: usize) -> (&Node, &Kernel) {
        (self.graph.node(NodeId(id)), &self.kernels[id])
    }

    /// The parameters.
    pub fn params(&self) -> &[Parameter] {
        &self.params
    }

    /// Replaces the values of a parameter.
    ///
    /// # Panics
    /// If there are not as many as before.
    pub fn set(&mut self, parameter: usize, values: Vec<f32>) {
        assert_eq!(values.len(), self.params[parameter].values.len(), "values of a parameter");
        self.params[parameter].values = values;
        self.pack();
    }

    /// The last layer.
    pub(crate) fn last_layer(&self) -> Option<usize> {
        self.kernels.iter().rposition(|k| matches!(k, Kernel::Conv(_) | Kernel::Dense(_)))
    }

    /// Puts a batch normalisation behind every layer with a bias but the last: scale 1, shift 0.
    pub fn normalise(&mut self) {
        let last = self.last_layer();
        for i in (0..self.kernels.len()).filter(|i| Some(*i) != last) {
            let node = &self.graph.nodes[i];
            let channels = node.shape.0[0];
            let extents = norm::Extents { channels, positions: node.shape.len() / channels };
            let place = match &mut self.kernels[i] {
                Kernel::Conv(conv) if conv.bias.is_some() => &mut conv.norm,
                Kernel::Dense(dense) if dense.bias.is_some() => &mut dense.norm,
                _ => continue,
            };
            let first = self.params.len();
            for (role, value) in [("scale", 1.0), ("shift", 0.0)] {
                self.params.push(Parameter {
                    name: format!("{}.{role}", node.name),
                    dims: vec![channels],
                    values: vec![value; channels],
                    is_weight: false,
                });
            }
            let running = Moments { mean: vec![0.0; channels], variance: vec![1.0; channels] };
            *place = Some(Norm { extents, scale: first, shift: first + 1, running });
        }
    }

    /// The normalisations with the names of their layers, in order.
    pub(crate) fn norms(&mut self) -> impl Iterator<Item = (&str, &mut Norm)> {
        self.graph.nodes.iter().zip(&mut self.kernels).filter_map(|(node, kernel)| {
            let norm = match kernel {
                Kernel::Conv(conv) => conv.norm.as_mut(),
                Kernel::Dense(dense) => dense.norm.as_mut(),
                _ => None,
            };
            norm.map(|norm| (node.name.as_str(), norm))
        })
    }

    /// Whether a sample's result depends on the others of its batch while training.
    pub(crate) fn has_norms(&self) -> bool {
        self.kernels.iter().any(|kernel| match kernel {
            Kernel::Conv(conv) => conv.norm.is_some(),
            Kernel::Dense(dense) => dense.norm.is_some(),
            _ => false,
        })
    }

    /// Brings the weights into the order in which the kernels read them; due after every change.
    pub(crate) fn pack(&mut self) {
        for (node, kernel) in self.graph.nodes.iter().zip(&mut self.kernels) {
            if let Kernel::Conv(conv) = kernel {
                let backward = self.needed[node.inputs[0].0];
                conv.packed.pack(&conv.geometry, &self.params[conv.weight].values, backward);
            }
        }
    }

    /// The network as a model of the same graph; normalisations become part of the weights.
    pub fn to_model(&self) -> Model {
        let tensor = |p: &Parameter| Tensor::new(p.dims.clone(), p.values.clone());
        let mut tensors: Vec<Tensor> =
            self.params[..self.graph.params.len()].iter().map(tensor).collect();
        for kernel in &self.kernels {
            let (weight, bias, norm) = match kernel {
                Kernel::Conv(conv) => (conv.weight, conv.bias, conv.norm.as_ref()),
                Kernel::Dense(dense) => (dense.weight, dense.bias, dense.norm.as_ref()),
                _ => continue,
            };
            let (Some(bias), Some(norm)) = (bias, norm) else { continue };
            let (scale, shift) = (&self.params[norm.scale].values, &self.params[norm.shift].values);
            let slopes: Vec<f32> = (scale.iter().zip(&norm.running.variance))
                .map(|(scale, variance)| scale / (variance + Norm::EPSILON).sqrt())
                .collect();
            let terms = tensors[weight].len() / slopes.len();
            for (row, slope) in tensors[weight].data.chunks_exact_mut(terms).zip(&slopes) {
                row.iter_mut().for_each(|w| *w *= slope);
            }
            for (c, bias) in tensors[bias].data.iter_mut().enumerate() {
                *bias = shift[c] - norm.running.mean[c] * slopes[c];
            }
        }
        Model { graph: self.graph.clone(), params: Params::new(tensors) }
    }
}

/// The gate at an activation.
fn site(graph: &Graph, node: &Node, activation: Activation, plan: Option<&Plan>) -> Site {
    let gate = |node: &str| {
        let site = plan.and_then(|plan| plan.site(node, SiteKind::Activation));
        site.map_or(&Gate::Exact, |site| &site.gate)
    };
    let groupings: RefCell<HashMap<Arc<str>, (usize, Grouping)>> = RefCell::default();
    Site::new(activation, gate(&node.name), &node.shape, |copied| {
        let mut groupings = groupings.borrow_mut();
        let (node, grouping) = groupings.entry(copied.node.clone()).or_insert_with(|| {
            // The plan was checked: there is such a node.
            let at = graph.nodes.iter().position(|node| *node.name == *copied.node).unwrap_or(0);
            (at, Grouping::resolve(gate(&copied.node), &graph.nodes[at].shape.0))
        });
        let decision = grouping.group_of(copied.element).unwrap_or(0) as usize;
        // It keeps those that it copies itself behind its own.
        let of = grouping.decisions(0) + grouping.copied().len();
        Source { node: *node, decision, of }
    })
}

/// How to compute a node.
fn kernel(graph: &Graph, node: &Node, plan: Option<&Plan>) -> Kernel {
    let input = |i: usize| &graph.node(node.inputs[i]).shape;
    // Spatial operators have [C, H, W] on either side, which the graph's own check makes sure of.
    let map = |shape: &hushwire_graph::Shape| match shape.0[..] {
        [.., height, width] => [height, width],
        _ => [1, 1],
    };
    let maps = || (map(input(0)), map(&node.shape));
    let position = |id: ParamId| id.0;
    match &node.op {
        Op::Input => Kernel::Input,
        Op::Conv(conv) => {
            let (from, to) = maps();
            let weight = &graph.params[conv.weight.0].dims;
            Kernel::Conv(Box::new(Conv {
                geometry: Geometry::new(conv, weight, from, to),
                packed: Packed::default(),
                weight: conv.weight.0,
                bias: conv.bias.map(position),
                norm: None,
            }))
        }
        Op::Gemm(gemm) => Kernel::Dense(Dense {
            features: input(0).len(),
            weight: gemm.weight.0,
            bias: gemm.bias.map(position),
            norm: None,
        }),
        Op::Affine { scale, shift } => {
            let channels = node.shape.0[0];
            let extents = affine::Extents { channels, positions: node.shape.len() / channels };
            Kernel::Affine { extents, scale: scale.map(position), shift: shift.map(position) }
        }
        Op::Activation(activation) => Kernel::Site(site(graph, node, *activation, plan)),
        Op::MaxPool(pool) => {
            let (from, to) = maps();
            Kernel::MaxPool(Windows::new(pool, from, to))
        }
        Op::AveragePool(pool) => {
            let (from, to) = maps();
            Kernel::AveragePool(Windows::new(pool, from, to))
        }
        Op::Resize(resize) => {
            let (from, to) = maps();
            Kernel::Resize(Resampling::new(resize, from, to))
        }
        Op::Add => Kernel::Add,
        Op::Sub => Kernel::Sub,
        Op::Reshape => Kernel::Reshape,
        Op::Pad { .. } | Op::Slice { .. } | Op::Transpose { .. } | Op::Concat { .. } => {
            let inputs: Vec<_> = (0..node.inputs.len()).map(input).collect();
            Kernel::Move(Movement::of(&node.op, &inputs, &node.shape).unwrap_or_default())
        }
    }
}
