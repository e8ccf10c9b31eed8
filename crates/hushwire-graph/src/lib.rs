//! hushwire-graph
