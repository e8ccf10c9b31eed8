//! Readers of the files the data sets are published in. All of them stream, and none allocates by
//! a number read from a file before checking it.

pub(crate) mod archive;
pub(crate) mod cifar;
pub(crate) mod idx;
pub(crate) mod mask;
pub(crate) mod oscillator;
pub(crate) mod packed;
