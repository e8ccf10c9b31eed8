//! Piecewise polynomials for smooth activations, by fits that know where the inputs are.
//!
//! A [`Target`] is a [`Function`] on a range with a [`Density`] of its inputs: N(0, 1) as behind a
//! batch normalisation, or a [`Histogram`] of what a network's layer was seen to get. [`fit`] gives a
//! [`Piecewise`](hushwire_plan::Piecewise) with the function's exact tails outside the range, by one of
//! several [`Method`]s, and [`Target::score`] says how far it is off, in expectation and at most.
//!
//! Ours chooses all knots at once by dynamic programming; the others are those of NFGen (Fan and
//! others, CCS 2022), which bounds the largest error alone, of Compact (Islam and others,
//! arXiv 2309.04664), and interpolation on equal pieces. Nothing here knows of secrets or networks.

pub mod anneal;
mod chebyshev;
mod cost;
mod cover;
mod density;
mod error;
mod front;
mod function;
mod greedy;
mod intervals;
mod squares;
mod target;

use hushwire_plan::Piecewise;

pub use cost::Surroundings;
pub use cover::within;
pub use density::{Density, Histogram};
pub use error::SmoothError;
pub use front::{Candidate, front};
pub use function::Function;
pub use target::{Format, KNOT_BITS, Score, Target};

/// Most pieces of a fit, tails not counted.
pub const MAX_PIECES: usize = 32;

/// Highest degree of a fit.
pub const MAX_DEGREE: usize = 5;

/// How much the largest error counts beside the expected one.
pub const BALANCE: f64 = 1.0 / 24.0;

/// The same where the expected error is nearly all that counts.
pub const MEAN_BALANCE: f64 = 1.0 / 4000.0;

/// A way to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Knots by dynamic programming, density-weighted least squares under a cap on the largest error,
    /// coefficients rounded together.
    Ours,
    /// The same, with little regard to the largest error.
    OursMean,
    /// As long pieces from left to right as a bound on the largest error allows, interpolated, each
    /// coefficient rounded by itself: the way of NFGen.
    Nfgen,
    /// Pieces of equal length, interpolated.
    Chebyshev,
    /// Pieces with equal shares of the expected error, interpolated: the way of Compact.
    Compact,
    /// Ours for degree 1 with slopes that are multiples of 1/16 and intercepts of 1/1024: what few
    /// selectors of the secure gate express.
    Coded,
}

impl Method {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 6] =
        [Self::Ours, Self::OursMean, Self::Nfgen, Self::Chebyshev, Self::Compact, Self::Coded];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursMean => "ours-mean",
            Self::Nfgen => "nfgen",
            Self::Chebyshev => "chebyshev",
            Self::Compact => "compact",
            Self::Coded => "coded",
        }
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Fits with 1, 2, .. and `pieces` pieces of a degree, and their errors. (Methods with a bound may need
/// fewer pieces than they are allowed.)
///
/// # Errors
/// More pieces than samples, or pieces or degrees that are not offered.
pub fn fit(
    target: &Target,
    method: Method,
    pieces: usize,
    degree: usize,
    format: Format,
) -> Result<Vec<(Piecewise, Score)>, SmoothError> {
    target.check(pieces, degree)?;
    match method {
        Method::Ours => return intervals::best(target, pieces, degree, format, BALANCE),
        Method::OursMean => return intervals::best(target, pieces, degree, format, MEAN_BALANCE),
        Method::Coded => return intervals::coded(target, pieces, degree, format),
        Method::Nfgen | Method::Chebyshev | Method::Compact => {}
    }
    let greedy = greedy::Greedy::new(target, degree, format);
    let fits = (1..=pieces).map(|pieces| {
        let function = greedy.fit(method, pieces);
        let score = target.score(&function);
        (function, score)
    });
    Ok(fits.collect())
}
