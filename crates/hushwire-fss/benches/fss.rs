//! Throughput of the PRF and of both comparisons.
fn main() {}
