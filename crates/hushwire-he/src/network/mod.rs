//! A network as encrypted inference sees it: values, each an affine map of earlier values followed
//! by at most one product.
//!
//! Everything between two activations is linear (convolutions, dense layers, pooling by means, sums,
//! movements of elements) and becomes one sparse matrix per source. A quadratic activation
//! `a x^2 + b x + c` becomes a square: `x + b / 2a` before it, and `a` and what is left of the
//! constant in the matrices that read it.

mod build;
mod composite;
mod maps;

use crate::Sparse;
use hushwire_plan::Site;

pub use build::{Refusal, RefusedNode};

/// Most entries of a matrix; more would not fit into ordinary memory.
pub const MAX_ENTRIES: usize = 1 << 27;

/// A network in normal form.
#[derive(Clone, Debug)]
pub struct Network {
    /// Values, each after those it is computed from; the first is the input and the last one the
    /// result.
    pub values: Vec<Value>,
    /// The gates that an activation plan put in the place of activations, without number formats.
    pub sites: Vec<Site>,
}

/// What is encrypted at some point of the network.
#[derive(Clone, Debug)]
pub struct Value {
    /// Name of the node it is the value of: the activation, or the last linear layer.
    pub name: String,
    /// Extents per sample.
    pub shape: Vec<usize>,
    /// How it is computed; nothing for the input.
    pub stage: Option<Stage>,
}

/// One affine map and what follows it.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What is summed up.
    pub terms: Vec<Term>,
    /// What is added to the sum, one number per element; wiped with the network's other secrets.
    pub bias: zeroize::Zeroizing<Vec<f32>>,
    /// The product that follows.
    pub product: Product,
    /// Names of the linear layers in it.
    pub layers: Vec<String>,
}

/// A matrix times a value.
#[derive(Clone, Debug)]
pub struct Term {
    /// The value, by its position.
    pub source: usize,
    /// The matrix; nothing is the identity.
    pub matrix: Option<Sparse>,
}

/// What an affine map is followed by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Product {
    /// Nothing.
    None,
    /// Each element times itself.
    Square,
    /// Each element times the same element of another value of the same shape.
    With(usize),
}

impl Value {
    /// Elements per sample.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Never true.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Stage {
    /// The values it reads.
    pub fn sources(&self) -> impl Iterator<Item = usize> + '_ {
        let other = match self.product {
            Product::With(other) => Some(other),
            Product::None | Product::Square => None,
        };
        self.terms.iter().map(|term| term.source).chain(other)
    }

    /// Whether nothing is multiplied before the product.
    fn is_identity(&self) -> bool {
        matches!(self.terms[..], [Term { matrix: None, .. }])
    }

    /// Entries of all matrices: multiplications by weights per sample.
    pub fn entries(&self) -> usize {
        self.terms.iter().filter_map(|term| term.matrix.as_ref()).map(Sparse::entries).sum()
    }
}

/// The values of a network for one input.
pub struct Trace {
    /// The result of each affine map, before the product; empty for the input.
    pub before: Vec<Vec<f64>>,
    /// Each value.
    pub values: Vec<Vec<f64>>,
}

impl Network {
    /// The input.
    pub fn input(&self) -> &Value {
        &self.values[0]
    }

    /// The result.
    pub fn output(&self) -> &Value {
        &self.values[self.values.len() - 1]
    }

    /// Computes every value in the clear.
    ///
    /// # Panics
    /// If the input does not have as many elements as the network's.
    pub fn trace(&self, input: &[f64]) -> Trace {
        assert_eq!(input.len(), self.input().len(), "elements of the input");
        let mut trace = Trace { before: vec![Vec::new()], values: vec![input.to_vec()] };
        for value in &self.values[1..] {
            let Some(stage) = &value.stage else {
                unreachable!("only the first value is an input")
            };
            let mut sum: Vec<f64> = stage.bias.iter().map(|b| f64::from(*b)).collect();
            for term in &stage.terms {
                let x = &trace.values[term.source];
                match &term.matrix {
                    Some(matrix) => matrix.multiply_add(x, &mut sum),
                    None => sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x),
                }
            }
            let result = match stage.product {
                Product::None => sum.clone(),
                Product::Square => sum.iter().map(|x| x * x).collect(),
                Product::With(other) => {
                    sum.iter().zip(&trace.values[other]).map(|(x, y)| x * y).collect()
                }
            };
            trace.before.push(sum);
            trace.values.push(result);
        }
        trace
    }

    /// For each value whether it is a product of values that are taken as they are, at their own
    /// scale. That is so only if it is of all values at the same depth: they share the primes that
    /// they are rescaled by.
    pub fn plain(&self) -> Vec<bool> {
        let depths = self.depths();
        let multiplied = |stage: &Stage| stage.product == Product::None || !stage.is_identity();
        let stages = || self.values.iter().map(|value| value.stage.as_ref());
        let mut mixed = vec![false; self.values.len() + 1];
        for (depth, stage) in depths.iter().zip(stages()) {
            mixed[*depth] |= stage.is_some_and(multiplied);
        }
        let plain = |(depth, stage): (&usize, Option<&Stage>)| {
            let product = stage.filter(|stage| stage.product != Product::None);
            !mixed[*depth] && product.is_some_and(Stage::is_identity)
        };
        depths.iter().zip(stages()).map(plain).collect()
    }

    /// For each value how many affine maps lie between the input and it at most, 0 for the input.
    pub fn depths(&self) -> Vec<usize> {
        let mut depths = vec![0; self.values.len()];
        for (i, value) in self.values.iter().enumerate() {
            if let Some(stage) = &value.stage {
                depths[i] = 1 + stage.sources().map(|source| depths[source]).max().unwrap_or(0);
            }
        }
        depths
    }
}
