//! hushwire-party
