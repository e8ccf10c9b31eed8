//! The loops that training spends its time in.

pub(crate) mod conv;
pub(crate) mod geometry;
mod tile;
