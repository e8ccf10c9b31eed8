//! hushwire-mpc
