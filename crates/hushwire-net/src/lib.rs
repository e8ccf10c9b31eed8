//! hushwire-net
