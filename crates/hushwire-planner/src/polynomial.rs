//! Composite polynomials in the place of ReLU: how far their inputs reach, and how precise each of
//! them has to be.
//!
//! A polynomial is made for inputs up to its range, and grows beyond. Ranges are the largest inputs
//! that calibration images give, times a margin; since polynomials change what the layers behind them
//! see, they are measured again with the polynomials in place. Precisions are chosen by dynamic
//! programming: the loss of every layer at every precision is measured on its own, and losses are
//! taken to add up, as they do while they are small.

use hushwire_graph::{Activation, Graph, Model, NodeId, Op, Tensor};
use hushwire_minimax::{ALPHAS, Construction};
use hushwire_plan::{Gate, MAX_RANGE, Plan, PolynomialGate, SiteKind};
use hushwire_train::{Mode, Net, Pass, TrainError};

use crate::relu::{Measure, PlanError};

/// Samples that run together.
const BATCH: usize = 64;

/// How often ranges are measured again with the polynomials in place.
const ROUNDS: usize = 2;

/// A ReLU.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its node.
    pub node: NodeId,
    /// The node's name.
    pub name: String,
    /// Elements of a sample.
    pub elements: usize,
    /// The largest magnitude of an input, as measured.
    pub largest: f64,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolynomialError {
    /// There is nothing to replace.
    #[error(
        "the network has no ReLU, for which alone there are composite polynomials; train it with \
         --activation relu, or square"
    )]
    NoSites,
    /// The images do not fit.
    #[error("calibration images are needed, of the shape {expected}")]
    Images {
        /// Shape of an input.
        expected: String,
    },
    /// A ReLU's inputs have no range.
    #[error("{node}: the calibration images give inputs without a largest one")]
    Range {
        /// Name of the node.
        node: String,
    },
    /// A polynomial that is not there.
    #[error(transparent)]
    Polynomial(#[from] hushwire_minimax::Error),
    /// A network or plan that cannot be run.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Losses that cannot be measured.
    #[error(transparent)]
    Measure(#[from] PlanError),
    /// A budget that even the least precise polynomials exceed.
    #[error("a budget of {budget} cannot be met: {layers} ReLUs take {least} at least")]
    Budget {
        /// The budget.
        budget: u32,
        /// ReLUs there are.
        layers: usize,
        /// The least that they take.
        least: u32,
    },
}

/// The ReLUs of a graph, with nothing measured.
pub fn layers(graph: &Graph) -> Vec<Layer> {
    let node = |node: NodeId| (node, graph.node(node));
    let relus = graph.activation_sites().into_iter().map(node);
    let relus = relus.filter(|(_, node)| node.op == Op::Activation(Activation::Relu));
    let layer = |(id, node): (NodeId, &hushwire_graph::Node)| Layer {
        node: id,
        name: node.name.clone(),
        elements: node.shape.len(),
        largest: 0.0,
    };
    relus.map(layer).collect()
}

/// A plan with these gates at these layers and exact ones elsewhere.
pub fn plan(graph: &Graph, layers: &[Layer], gates: &[PolynomialGate]) -> Plan {
    let mut plan = Plan::exact(graph);
    for (layer, gate) in layers.iter().zip(gates) {
        let site =
            plan.sites.iter_mut().find(|s| s.kind == SiteKind::Activation && s.node == layer.name);
        if let Some(site) = site {
            site.gate = Gate::Polynomial(*gate);
        }
    }
    plan
}

/// How polynomials are made for layers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitting {
    /// How their stages were computed.
    pub construction: Construction,
    /// A range is this many times the largest input seen.
    pub margin: f64,
}

impl Fitting {
    /// The gate of a layer at a precision.
    pub fn gate(&self, layer: &Layer, alpha: u32) -> PolynomialGate {
        // Inputs that are larger still count as out of range.
        let range = (layer.largest * self.margin).min(MAX_RANGE);
        PolynomialGate { construction: self.construction, ..PolynomialGate::new(alpha, range) }
    }

    /// The gates of all layers at their precisions.
    fn gates(&self, layers: &[Layer], alphas: &[u32]) -> Vec<PolynomialGate> {
        layers.iter().zip(alphas).map(|(layer, alpha)| self.gate(layer, *alpha)).collect()
    }

    /// The layers with their largest inputs on `images` (`[N, ...]`), and the plan: of precision
    /// `alphas`, one for each layer, or of the original network if there are none.
    ///
    /// # Errors
    /// Images that do not fit, precisions without polynomials, inputs that are not finite or all zero.
    pub fn fit(
        &self,
        model: &Model,
        images: &Tensor,
        alphas: &[u32],
    ) -> Result<(Vec<Layer>, Plan), PolynomialError> {
        let graph = &model.graph;
        let mut layers = layers(graph);
        if layers.is_empty() {
            return Err(PolynomialError::NoSites);
        }
        if images.is_empty() || images.shape[1..] != graph.input_shape().0[..] {
            return Err(PolynomialError::Images { expected: graph.input_shape().to_string() });
        }
        let mut net = Net::new(model, None)?;
        widen(&mut layers, &net, images)?;
        if alphas.is_empty() {
            return Ok((layers, Plan::exact(graph)));
        }
        for _ in 0..ROUNDS {
            net.set_plan(&plan(graph, &layers, &self.gates(&layers, alphas)))?;
            widen(&mut layers, &net, images)?;
        }
        let plan = plan(graph, &layers, &self.gates(&layers, alphas));
        Ok((layers, plan))
    }
}

/// Raises the largest inputs of layers to what images give in a network.
fn widen(layers: &mut [Layer], net: &Net, images: &Tensor) -> Result<(), PolynomialError> {
    let len = images.sample_len();
    let mut pass = Pass::default();
    for chunk in images.data.chunks(BATCH * len) {
        pass.input(net, chunk.len() / len).copy_from_slice(chunk);
        // In training polynomials are bounded: what one layer does out of its range does not hide
        // how far the others reach.
        pass.forward(net, Mode::Train);
        for layer in &mut *layers {
            let input = net.graph().node(layer.node).inputs[0];
            let largest = pass
                .value(input)
                .iter()
                .fold(0.0f32, |m, x| if x.is_nan() { f32::INFINITY } else { m.max(x.abs()) });
            layer.largest = layer.largest.max(largest.into());
        }
    }
    let broken = |layer: &&Layer| !(layer.largest > 0.0 && layer.largest.is_finite());
    match layers.iter().find(broken) {
        Some(layer) => Err(PolynomialError::Range { node: layer.name.clone() }),
        None => Ok(()),
    }
}

/// What precision costs, summed over the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Levels of encrypted computation.
    Depth(u32),
    /// Multiplications of an element.
    Multiplications(u32),
}

impl Budget {
    fn limit(self) -> u32 {
        match self {
            Self::Depth(limit) | Self::Multiplications(limit) => limit,
        }
    }

    /// What a layer costs at a precision.
    ///
    /// # Errors
    /// A precision without a polynomial.
    pub fn cost(
        self,
        alpha: u32,
        construction: Construction,
    ) -> Result<u32, hushwire_minimax::Error> {
        let gate = PolynomialGate { construction, ..PolynomialGate::new(alpha, 1.0) };
        let degrees = gate.sign()?.degrees();
        Ok(match self {
            Self::Depth(_) => degrees.depth(),
            Self::Multiplications(_) => degrees.multiplications(),
        })
    }
}

/// The loss of every layer at every precision of [`ALPHAS`] with all others exact: the squared
/// distance of the outputs over the squared length of the original's. `done` hears of each of them.
///
/// # Errors
/// Images that do not fit, outputs that are not finite.
pub fn losses(
    model: &Model,
    layers: &[Layer],
    fitting: Fitting,
    images: &Tensor,
    done: &mut dyn FnMut(),
) -> Result<Vec<Vec<f64>>, PolynomialError> {
    let mut measure = Measure::new(model, images.clone(), false)?;
    let mut of_layer = |layer: &Layer| {
        let mut at = |alpha| {
            let alone = std::slice::from_ref(layer);
            let plan = plan(&model.graph, alone, &[fitting.gate(layer, alpha)]);
            let loss = measure.loss(&plan, &mut |_| {})?;
            done();
            Ok(if loss.is_nan() { f64::INFINITY } else { loss })
        };
        ALPHAS.map(&mut at).collect()
    };
    layers.iter().map(&mut of_layer).collect()
}

/// The precision of each layer for which the sum of `losses` is least within a budget, by dynamic
/// programming over layers and what is spent.
///
/// # Errors
/// A budget that is too small.
pub fn allot(
    losses: &[Vec<f64>],
    budget: Budget,
    construction: Construction,
) -> Result<Vec<u32>, PolynomialError> {
    let costs = ALPHAS.map(|alpha| budget.cost(alpha, construction));
    let costs = costs.collect::<Result<Vec<u32>, _>>()?;
    let layers = losses.len();
    let (least, most) = costs.iter().fold((u32::MAX, 0), |(a, b), c| (a.min(*c), b.max(*c)));
    let (least, most) = (least * layers as u32, most * layers as u32);
    if least > budget.limit() {
        return Err(PolynomialError::Budget { budget: budget.limit(), layers, least });
    }
    // best[s]: the least loss of the layers so far that cost s, and what was chosen for them.
    let limit = budget.limit().min(most) as usize;
    let mut best: Vec<Option<(f64, Vec<u32>)>> = vec![None; limit + 1];
    best[0] = Some((0.0, Vec::new()));
    for losses in losses {
        let mut next: Vec<Option<(f64, Vec<u32>)>> = vec![None; limit + 1];
        for (spent, known) in best.iter().enumerate() {
            let Some((loss, chosen)) = known else { continue };
            for ((alpha, more), cost) in ALPHAS.zip(losses).zip(&costs) {
                let (loss, spent) = (loss + more, spent + *cost as usize);
                if spent <= limit && next[spent].as_ref().is_none_or(|(known, _)| loss < *known) {
                    let chosen = chosen.iter().copied().chain([alpha]).collect();
                    next[spent] = Some((loss, chosen));
                }
            }
        }
        best = next;
    }
    let found = best.into_iter().flatten().min_by(|a, b| a.0.total_cmp(&b.0));
    Ok(found.map_or_else(Vec::new, |(_, chosen)| chosen))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against every combination.
    #[test]
    fn no_other_precisions_are_better() {
        let mut random = fastrand::Rng::with_seed(3);
        for (budget, round) in
            [(Budget::Depth(22), 0), (Budget::Multiplications(40), 1), (Budget::Depth(99), 2)]
        {
            let mut row = |_| {
                let mut loss = 1.0 + random.f64();
                let mut next = |_| {
                    loss *= random.f64();
                    loss
                };
                ALPHAS.map(&mut next).collect()
            };
            let losses: Vec<Vec<f64>> = (0..3).map(&mut row).collect();
            let chosen = allot(&losses, budget, Construction::Weighted).unwrap();
            let total = |alphas: &[u32]| {
                let at = losses.iter().zip(alphas).map(|(l, a)| l[*a as usize - 4]);
                let cost = |a: &u32| budget.cost(*a, Construction::Weighted).unwrap();
                (at.sum::<f64>(), alphas.iter().map(cost).sum::<u32>())
            };
            let (loss, cost) = total(&chosen);
            assert!(cost <= budget.limit(), "{round}");
            for (a, b, c) in
                ALPHAS.flat_map(|a| ALPHAS.flat_map(move |b| ALPHAS.map(move |c| (a, b, c))))
            {
                let (other, cost) = total(&[a, b, c]);
                assert!(cost > budget.limit() || other >= loss - 1e-12, "{round}: {a} {b} {c}");
            }
        }
        let error = allot(&[vec![0.0; 11]], Budget::Depth(3), Construction::Weighted);
        assert!(error.unwrap_err().to_string().contains("take 4 at least"));
    }
}
