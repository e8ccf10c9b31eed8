//! Composite minimax polynomials for the sign, hence for ReLU and the maximum, with certified errors.
//!
//! Encrypted computation knows sums and products only. There ReLU becomes `x (1 + s(x)) / 2`, where
//! s is a composite of odd polynomials that is about 1 on the right and about -1 on the left of 0.
//! The precision is alpha if `|max(x, 0) - x (1 + s(x)) / 2| <= 2^-alpha` for all x in [-1, 1].
//!
//! * [`PolynomialFile::known`] has ready polynomials for alpha from 4 to 14.
//! * [`SignPolynomial::new`] computes a composite from degrees, by an exchange algorithm in extended
//!   precision; [`search`](fn@search) says which degrees are worth what they cost.
//! * [`SignPolynomial::certified_error`] proves the error of given coefficients by interval
//!   arithmetic.
//! * [`Rectifier`] is ReLU by a polynomial for many elements in single precision.
//! * [`Circuit`] evaluates a polynomial on numbers or on ciphertexts with few multiplications at the
//!   least depth; [`DegreeSet`] counts them.
//!
//! ```
//! use hushwire_minimax::{Construction, PolynomialFile};
//!
//! let sign = PolynomialFile::known(9, Construction::Weighted)?.polynomial;
//! assert!((sign.relu(-3.0, 8.0) - 0.0).abs() < 8.0 / 512.0);
//! assert!((sign.max(2.5, -1.0, 8.0) - 2.5).abs() < 8.0 / 512.0);
//! # Ok::<(), hushwire_minimax::Error>(())
//! ```

mod certify;
mod circuit;
mod composite;
mod error;
mod file;
mod interval;
mod known;
mod real;
mod rectifier;
mod remez;
mod search;
mod sign;

pub use circuit::{Arithmetic, Circuit, Doubles};
pub use error::Error;
pub use file::PolynomialFile;
pub use known::{ALPHAS, TABLE};
pub use rectifier::Rectifier;
pub use search::{Candidate, search};
pub use sign::{Construction, DegreeSet, OddPolynomial, SignPolynomial};

/// Largest degree of a stage.
pub const MAX_DEGREE: u32 = 31;

/// Most stages.
pub const MAX_STAGES: usize = 8;
