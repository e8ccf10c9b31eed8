//! hushwire-plan
