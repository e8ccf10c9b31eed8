//! Latency and throughput of links.

fn main() {}
