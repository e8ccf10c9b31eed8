//! hushwire-fixed
