//! hushwire-ring
