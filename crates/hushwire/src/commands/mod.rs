//! One module per command.

pub mod calibrate;
pub mod eval;
pub mod inspect;
