//! The secret half of a model: its weights.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::Tensor;

/// Index of a parameter in [`Params`] and of its description in
/// [`Graph::params`](crate::Graph::params).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ParamId(pub usize);

/// What is public about a parameter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ParamInfo {
    /// Name of the node and the role, such as `conv1.weight`.
    pub name: String,
    /// Extent of each axis.
    pub dims: Vec<usize>,
}

/// The weights of a model, indexed by [`ParamId`]; wiped when dropped, never printed.
#[derive(Clone, PartialEq, Default)]
pub struct Params(Vec<Tensor>);

impl Params {
    /// Parameters in the order of their ids.
    pub fn new(tensors: Vec<Tensor>) -> Self {
        Self(tensors)
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without parameters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The parameter with this id, if there is one.
    pub fn get(&self, id: ParamId) -> Option<&Tensor> {
        self.0.get(id.0)
    }

    /// The parameter with this id, to be changed in place; its shape must stay.
    pub fn get_mut(&mut self, id: ParamId) -> Option<&mut Tensor> {
        self.0.get_mut(id.0)
    }

    /// All parameters in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ParamId, &Tensor)> {
        self.0.iter().enumerate().map(|(i, tensor)| (ParamId(i), tensor))
    }
}

/// Panics on an id of another model; use [`Params::get`] where that can happen.
impl std::ops::Index<ParamId> for Params {
    type Output = Tensor;

    fn index(&self, id: ParamId) -> &Tensor {
        &self.0[id.0]
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Params({} tensors, contents withheld)", self.0.len())
    }
}

impl Drop for Params {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|tensor| tensor.data.zeroize());
    }
}
