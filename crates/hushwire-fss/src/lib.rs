//! hushwire-fss
