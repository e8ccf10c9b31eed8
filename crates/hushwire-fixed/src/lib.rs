//! Fixed point: lowering a network and its plan to a program, calibrating the number formats, and
//! running the program in the clear exactly as the three-party protocol does.

mod blocks;
mod calibrate;
mod curve;
mod executor;
pub mod local;
mod lower;
mod polynomial;
pub mod program;
mod weights;

pub use calibrate::{CalibrateError, Settings, calibrate};
pub use curve::CurveGate;
pub use executor::{Executor, Masks, Report, decode, encode, truncate_part};
pub use lower::{LowerError, Unsupported, lower};
pub use polynomial::PolynomialOp;
pub use program::Program;
pub use weights::{Weights, add_bias, add_param, apply_linear};
