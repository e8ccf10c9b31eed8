/// Why a polynomial cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A degree that no stage can have.
    #[error("degree {0}: stages have odd degrees from 3 to {max}", max = crate::MAX_DEGREE)]
    Degree(u32),
    /// No stage at all, or far too many.
    #[error("{0} stages: 1 to {max} are possible", max = crate::MAX_STAGES)]
    Stages(usize),
    /// A precision without a known set of degrees.
    #[error("alpha = {0}: degrees are known for {min} to {max}",
            min = crate::ALPHAS.start(), max = crate::ALPHAS.end())]
    Alpha(u32),
    /// The left end of the first interval.
    #[error("{0} is no left end of an interval: it must lie between 0 and 1")]
    LeftEnd(f64),
    /// The exchange algorithm came to no end.
    #[error(
        "the exchange algorithm did not settle for degree {degree} (level {level:e} against {largest:e})"
    )]
    Exchange {
        /// Degree asked for.
        degree: u32,
        /// Error at the reference points.
        level: f64,
        /// Largest error of all points.
        largest: f64,
    },
    /// An error that could not be shown to be small enough.
    #[error("the error near x = {x} cannot be shown to be below {bound:e}")]
    Enclosure {
        /// A point of the narrowest cell.
        x: f64,
        /// What can be shown there.
        bound: f64,
    },
    /// Not the text of a polynomial file.
    #[error("not a polynomial file: {0}")]
    Syntax(#[from] Box<toml::de::Error>),
    /// Fields that contradict each other or are out of range.
    #[error("polynomial file: {0}")]
    File(String),
}
