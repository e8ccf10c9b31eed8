//! hushwire-data
