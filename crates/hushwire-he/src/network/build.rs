//! From a graph to the normal form.

use std::fmt;
use std::rc::Rc;

use hushwire_graph::{Activation, Graph, Model, Node, NodeId, Op, Params};
use hushwire_plan::{ChannelGate, Gate, Site, SiteKind};
use zeroize::Zeroizing;

use super::maps;
use super::{MAX_ENTRIES, Network, Product, Stage, Term, Value};
use crate::Sparse;

/// What encrypted inference cannot compute, all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// Every node that does not fit.
    pub nodes: Vec<RefusedNode>,
}

/// A node that encrypted inference cannot compute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedNode {
    /// Its name.
    pub node: String,
    /// Why, and what would work.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the network cannot be computed on encrypted values:")?;
        self.nodes.iter().try_for_each(|p| write!(f, "\n  {}: {}", p.node, p.reason))
    }
}

impl Network {
    /// The normal form of a model whose activations are polynomials, or are made polynomials or
    /// linear by the gates that an activation plan has at `sites`.
    ///
    /// # Errors
    /// Every node that cannot be computed: comparisons above all.
    pub fn new(model: &Model, sites: &[Site]) -> Result<Self, Refusal> {
        let Model { graph, params } = model;
        let mut build = Build {
            graph,
            params,
            sites,
            values: Vec::new(),
            forms: Vec::new(),
            refused: Vec::new(),
        };
        let consumers = graph.consumers();
        for (id, node) in graph.iter() {
            let form = build.node(node).unwrap_or_else(|reason| {
                build.refused.push(RefusedNode { node: node.name.clone(), reason });
                // Whatever follows is looked at as well, to report all problems at once.
                build.form_of_new_value(node)
            });
            let shared = consumers[id.0].len() > 1;
            let form = if shared { build.materialise(node, form) } else { form };
            build.forms.push(form);
            if id == graph.output {
                break;
            }
        }
        let output = build.forms[graph.output.0].clone();
        build.materialise(graph.node(graph.output), output);
        if build.refused.is_empty() {
            let replaced = sites.iter().filter(|site| site.gate != Gate::Exact);
            let replaced = replaced.map(|site| Site { format: None, ..site.clone() });
            Ok(Self { values: build.values, sites: replaced.collect() })
        } else {
            Err(Refusal { nodes: build.refused })
        }
    }
}

/// The value of a node as an affine map of values.
#[derive(Clone)]
pub(super) struct Form {
    terms: Vec<(usize, Option<Rc<Sparse>>)>,
    pub(super) bias: Zeroizing<Vec<f32>>,
    layers: Vec<String>,
}

impl Form {
    pub(super) fn of_value(value: usize, len: usize) -> Self {
        Self {
            terms: vec![(value, None)],
            bias: Zeroizing::new(vec![0.0; len]),
            layers: Vec::new(),
        }
    }

    /// The value it is, if it is one unchanged.
    pub(super) fn as_value(&self) -> Option<usize> {
        match self.terms[..] {
            [(value, None)] if self.bias.iter().all(|b| *b == 0.0) => Some(value),
            _ => None,
        }
    }

    /// A number times the form of a value with `len` elements.
    pub(super) fn scaled(&self, factor: f64, len: usize) -> Self {
        let mut form = self.clone();
        form.bias.iter_mut().for_each(|b| *b = (f64::from(*b) * factor) as f32);
        for (_, matrix) in &mut form.terms {
            let whole = || Sparse::diagonal(vec![1.0; len]);
            let mut own = matrix.as_ref().map_or_else(whole, |m| (**m).clone());
            own.scale(factor as f32);
            *matrix = Some(Rc::new(own));
        }
        form
    }
}

pub(super) struct Build<'a> {
    graph: &'a Graph,
    params: &'a Params,
    sites: &'a [Site],
    pub(super) values: Vec<Value>,
    forms: Vec<Form>,
    refused: Vec<RefusedNode>,
}

impl Build<'_> {
    fn input(&self, node: &Node, i: usize) -> &Form {
        &self.forms[node.inputs[i].0]
    }

    fn shape_of(&self, id: NodeId) -> &hushwire_graph::Shape {
        &self.graph.node(id).shape
    }

    fn node(&mut self, node: &Node) -> Result<Form, String> {
        let chw = |shape: &hushwire_graph::Shape| {
            shape.as_chw().ok_or_else(|| format!("a shape of {shape} where an image is needed"))
        };
        let input_shape = node.inputs.first().map(|id| self.shape_of(*id).clone());
        let from = input_shape.clone().unwrap_or_default();
        let to = &node.shape;
        match &node.op {
            Op::Input => Ok(self.form_of_new_value(node)),
            Op::Conv(conv) => {
                check_size(node.macs(self.graph))?;
                let matrix = maps::conv(conv, self.params, chw(&from)?, chw(to)?);
                let positions = to.len() / to.0[0];
                let bias = conv.bias.map(|id| &self.params[id].data);
                let bias = (0..to.len()).map(|i| bias.map_or(0.0, |b| b[i / positions]));
                self.apply(node, matrix, bias.collect())
            }
            Op::Gemm(gemm) => {
                check_size(node.macs(self.graph))?;
                let weight = &self.params[gemm.weight];
                let mut matrix = Sparse::new(from.len());
                for row in weight.data.chunks_exact(from.len()) {
                    row.iter().enumerate().for_each(|(column, w)| matrix.push(column, *w));
                    matrix.end_row();
                }
                let bias = gemm.bias.map(|id| self.params[id].data.clone());
                self.apply(node, matrix, bias.unwrap_or_else(|| vec![0.0; to.len()]))
            }
            Op::Affine { scale, shift } => {
                let positions = to.len() / to.0[0];
                let at = |id: &Option<hushwire_graph::ParamId>, neutral: f32, i: usize| match id {
                    None => neutral,
                    Some(id) => {
                        let data = &self.params[*id].data;
                        if data.len() == to.len() { data[i] } else { data[i / positions] }
                    }
                };
                let matrix = Sparse::diagonal((0..to.len()).map(|i| at(scale, 1.0, i)));
                let bias = (0..to.len()).map(|i| at(shift, 0.0, i)).collect();
                self.apply(node, matrix, bias)
            }
            Op::AveragePool(pool) => {
                let matrix = maps::average(pool, chw(&from)?, chw(to)?);
                self.apply(node, matrix, vec![0.0; to.len()])
            }
            Op::Activation(activation) => self.activation(node, *activation),
            Op::MaxPool(_) => {
                Err("a maximum needs comparisons; an average over the same windows works"
                    .to_owned())
            }
            Op::Add | Op::Sub => {
                let sign = if node.op == Op::Sub { -1.0 } else { 1.0 };
                Ok(sum(self.input(node, 0), self.input(node, 1), sign, &self.values))
            }
            Op::Concat { axis } => self.concat(node, *axis),
            Op::Reshape => Ok(self.input(node, 0).clone()),
            Op::Pad { before, value, .. } => {
                let inside = |position: &[usize]| -> Option<usize> {
                    let moved = position.iter().zip(before).map(|(p, b)| p.checked_sub(*b));
                    let moved: Vec<usize> = moved.collect::<Option<_>>()?;
                    let fits = moved.iter().zip(&from.0).all(|(p, extent)| p < extent);
                    fits.then(|| maps::flat(&from, moved))
                };
                let matrix = maps::select(from.len(), to, inside);
                let border = |row| if matrix.row(row).is_empty() { *value } else { 0.0 };
                let bias = (0..to.len()).map(border).collect();
                self.apply(node, matrix, bias)
            }
            Op::Slice { start, step, .. } => {
                let matrix = maps::select(from.len(), to, |position| {
                    let moved =
                        position.iter().zip(start.iter().zip(step)).map(|(p, (a, s))| a + p * s);
                    Some(maps::flat(&from, moved))
                });
                self.apply(node, matrix, vec![0.0; to.len()])
            }
            Op::Transpose { perm } => {
                let matrix = maps::select(from.len(), to, |position| {
                    let mut moved = vec![0; perm.len()];
                    perm.iter().zip(position).for_each(|(axis, p)| moved[*axis] = *p);
                    Some(maps::flat(&from, moved))
                });
                self.apply(node, matrix, vec![0.0; to.len()])
            }
            Op::Resize(_) => Err("resampling is not supported on encrypted values".to_owned()),
        }
    }

    /// A matrix and a bias after the node's input.
    fn apply(&self, node: &Node, matrix: Sparse, bias: Vec<f32>) -> Result<Form, String> {
        let input = self.input(node, 0);
        let mut bias: Vec<f64> = bias.into_iter().map(f64::from).collect();
        if input.bias.iter().any(|b| *b != 0.0) {
            let before: Vec<f64> = input.bias.iter().map(|b| f64::from(*b)).collect();
            matrix.multiply_add(&before, &mut bias);
        }
        let terms = input.terms.iter().map(|(value, inner)| {
            let matrix = match inner {
                None => matrix.clone(),
                Some(inner) => matrix.after(inner, MAX_ENTRIES).ok_or_else(too_large)?,
            };
            Ok((*value, Some(Rc::new(matrix))))
        });
        let terms = terms.collect::<Result<_, String>>()?;
        let bias = Zeroizing::new(bias.into_iter().map(|b| b as f32).collect());
        let mut layers = input.layers.clone();
        layers.push(node.name.clone());
        Ok(Form { terms, bias, layers })
    }

    fn concat(&self, node: &Node, axis: usize) -> Result<Form, String> {
        let mut whole: Option<Form> = None;
        let mut offset = 0;
        for (i, id) in node.inputs.iter().enumerate() {
            let shape = self.shape_of(*id).clone();
            let part = maps::select(shape.len(), &node.shape, |position| {
                let mut moved = position.to_vec();
                moved[axis] = moved[axis].checked_sub(offset).filter(|p| *p < shape.0[axis])?;
                Some(maps::flat(&shape, moved))
            });
            offset += shape.0[axis];
            let single = Node { inputs: vec![node.inputs[i]], ..node.clone() };
            let part = self.apply(&single, part, vec![0.0; node.shape.len()])?;
            whole = Some(match whole {
                None => part,
                Some(whole) => sum(&whole, &part, 1.0, &self.values),
            });
        }
        whole.ok_or_else(|| "nothing is joined".to_owned())
    }

    fn activation(&mut self, node: &Node, activation: Activation) -> Result<Form, String> {
        let mut sites = self.sites.iter();
        let site = sites.find(|s| s.node == node.name && s.kind == SiteKind::Activation);
        let len = node.shape.len();
        match site.map_or(&Gate::Exact, |site| &site.gate) {
            Gate::Identity => return Ok(self.input(node, 0).clone()),
            Gate::Zero => {
                return self.apply(node, Sparse::diagonal(vec![0.0; len]), vec![0.0; len]);
            }
            Gate::Patches(channels) => {
                let keep: Option<Vec<f32>> = channels.iter().map(keeps).collect();
                let keep = keep.ok_or_else(|| comparison("a gate with shared decisions"))?;
                let positions = len / keep.len().max(1);
                let matrix = Sparse::diagonal((0..len).map(|i| keep[i / positions]));
                return self.apply(node, matrix, vec![0.0; len]);
            }
            Gate::Exact => {}
            Gate::Polynomial(gate) => {
                let form = self.input(node, 0).clone();
                return self.composite(node, form, gate);
            }
            Gate::Piecewise(_) => return Err(comparison("a piecewise polynomial")),
            _ => return Err(comparison("a gate with shared decisions")),
        }
        let Some(polynomial) = activation.as_polynomial() else {
            return Err(comparison(activation.name()));
        };
        let form = self.input(node, 0).clone();
        let c: Vec<f64> = polynomial.coefficients().iter().map(|c| f64::from(*c)).collect();
        match c[..] {
            [c0, c1, c2] => Ok(self.quadratic(node, form, [c0, c1, c2])),
            _ => Ok(self.polynomial(node, form, &c)),
        }
    }

    /// `c0 + c1 x + c2 x^2` by completing the square.
    fn quadratic(&mut self, node: &Node, mut form: Form, [c0, c1, c2]: [f64; 3]) -> Form {
        let shift = c1 / (2.0 * c2);
        form.bias.iter_mut().for_each(|b| *b += shift as f32);
        let square = self.push(node, &node.name, form, Product::Square);
        scaled(square, node.shape.len(), c2, c0 - c1 * shift / 2.0)
    }

    /// A polynomial of degree 3 or more: powers as products of powers of at most half the degree,
    /// and their sum in whatever reads the result.
    fn polynomial(&mut self, node: &Node, form: Form, c: &[f64]) -> Form {
        let (len, degree) = (node.shape.len(), c.len() - 1);
        let first = self.materialise(node, form);
        let mut powers = vec![usize::MAX, first.as_value().unwrap_or(0)];
        for power in 2..=degree {
            let (low, high) = (power / 2, power - power / 2);
            let product = if low == high { Product::Square } else { Product::With(powers[low]) };
            let form = Form::of_value(powers[high], len);
            powers.push(self.push(node, &format!("{}^{power}", node.name), form, product));
        }
        let zero = Form {
            terms: Vec::new(),
            bias: Zeroizing::new(vec![c[0] as f32; len]),
            layers: Vec::new(),
        };
        let used = (1..=degree).filter(|power| c[*power] != 0.0);
        let form = used.fold(zero, |form, power| {
            sum(&form, &scaled(powers[power], len, c[power], 0.0), 1.0, &self.values)
        });
        self.materialise(node, form)
    }

    /// Makes a value of a form that is not one already; the form that is the value.
    pub(super) fn materialise(&mut self, node: &Node, form: Form) -> Form {
        if form.as_value().is_some() {
            return form;
        }
        let layers = form.layers.clone();
        let name = layers.last().unwrap_or(&node.name).clone();
        let value = self.push(node, &name, form, Product::None);
        Form::of_value(value, node.shape.len())
    }

    pub(super) fn push(&mut self, node: &Node, name: &str, form: Form, product: Product) -> usize {
        let Form { terms, bias, layers } = form;
        let terms = terms.into_iter().map(|(source, matrix)| Term {
            source,
            matrix: matrix.map(|m| Rc::try_unwrap(m).unwrap_or_else(|m| (*m).clone())),
        });
        let stage = Stage { terms: terms.collect(), bias, product, layers };
        self.values.push(Value {
            name: name.to_owned(),
            shape: node.shape.0.clone(),
            stage: Some(stage),
        });
        self.values.len() - 1
    }

    fn form_of_new_value(&mut self, node: &Node) -> Form {
        let shape = node.shape.0.clone();
        self.values.push(Value { name: node.name.clone(), shape, stage: None });
        Form::of_value(self.values.len() - 1, node.shape.len())
    }
}

/// A value times a number plus a number.
pub(super) fn scaled(value: usize, len: usize, factor: f64, shift: f64) -> Form {
    let matrix = (factor != 1.0).then(|| Rc::new(Sparse::diagonal(vec![factor as f32; len])));
    Form {
        terms: vec![(value, matrix)],
        bias: Zeroizing::new(vec![shift as f32; len]),
        layers: Vec::new(),
    }
}

/// The sum of two forms, the second with a sign.
pub(super) fn sum(a: &Form, b: &Form, sign: f32, values: &[Value]) -> Form {
    let mut result = a.clone();
    result.bias.iter_mut().zip(b.bias.iter()).for_each(|(x, y)| *x += sign * y);
    result.layers.extend(b.layers.iter().filter(|name| !a.layers.contains(name)).cloned());
    for (value, matrix) in &b.terms {
        let identity = || Sparse::diagonal(vec![1.0; values[*value].len()]);
        let mut signed = matrix.clone();
        if sign != 1.0 {
            let mut own = matrix.as_ref().map_or_else(identity, |m| (**m).clone());
            own.scale(sign);
            signed = Some(Rc::new(own));
        }
        match result.terms.iter_mut().find(|(other, _)| other == value) {
            None => result.terms.push((*value, signed)),
            Some((_, known)) => {
                let known_matrix = known.as_ref().map_or_else(identity, |m| (**m).clone());
                let other = signed.as_ref().map_or_else(identity, |m| (**m).clone());
                *known = Some(Rc::new(known_matrix.plus(&other)));
            }
        }
    }
    result
}

/// Whether a channel passes or vanishes; nothing if it is compared.
fn keeps(gate: &ChannelGate) -> Option<f32> {
    match gate {
        ChannelGate::Identity => Some(1.0),
        ChannelGate::Zero => Some(0.0),
        ChannelGate::Patch(..) => None,
    }
}

fn comparison(what: &str) -> String {
    format!(
        "{what} needs comparisons, which encrypted values do not have; train the network with a \
         square or another polynomial of degree 2 to 7 in its place, or give a ReLU a composite \
         polynomial by an activation plan"
    )
}

fn check_size(multiplications: u64) -> Result<(), String> {
    if multiplications <= MAX_ENTRIES as u64 { Ok(()) } else { Err(too_large()) }
}

fn too_large() -> String {
    format!("more than {MAX_ENTRIES} multiplications by weights in one layer are not supported")
}
