//! Planning: which activations share a sign decision, so that a network loses least for what its
//! private inference may cost.

pub mod knapsack;
pub mod polynomial;
pub mod relu;
pub mod windows;
