//! Throughput of the integer kernels.
fn main() {}
