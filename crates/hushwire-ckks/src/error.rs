//! Why a parameter set, an operation or bytes were refused.

/// Errors of this crate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CkksError {
    /// A parameter set cannot be built.
    #[error("parameters: {0}")]
    Parameters(String),
    /// The modulus is too large for the ring degree at 128-bit security.
    #[error(
        "parameters: {bits:.1} bits of modulus with ring degree {degree} are below 128-bit \
         security, at most {max} are allowed; use fewer or smaller primes or a larger ring"
    )]
    Insecure {
        /// Ring degree.
        degree: usize,
        /// log2 of the largest modulus, special primes included.
        bits: f64,
        /// Largest allowed.
        max: u32,
    },
    /// Two operands, or an operand and a key, belong to different parameter sets.
    #[error("{what} belongs to other parameters")]
    ForeignParameters {
        /// Which operand.
        what: &'static str,
    },
    /// A level is outside the range of the parameters, or of this operand.
    #[error("{what}: level {level} is outside 0 to {max}")]
    Level {
        /// What has or wants the level.
        what: &'static str,
        /// The level.
        level: usize,
        /// Highest possible.
        max: usize,
    },
    /// Operands of a sum or a product have different levels.
    #[error("operands have levels {left} and {right}: drop one to the level of the other first")]
    LevelMismatch {
        /// Of the left operand.
        left: usize,
        /// Of the right operand.
        right: usize,
    },
    /// Operands of a sum have different scales.
    #[error("operands of a sum have scales 2^{:.6} and 2^{:.6}", left.log2(), right.log2())]
    ScaleMismatch {
        /// Of the left operand.
        left: f64,
        /// Of the right operand.
        right: f64,
    },
    /// There is no prime left to divide by.
    #[error("no level is left to rescale")]
    LevelsExhausted,
    /// A scale is not positive and finite, or leaves no room below the modulus.
    #[error("scale 2^{log_scale:.2} does not fit the modulus of level {level}, 2^{log_modulus:.2}")]
    Scale {
        /// log2 of the scale.
        log_scale: f64,
        /// Level.
        level: usize,
        /// log2 of its modulus.
        log_modulus: f64,
    },
    /// The operation needs a ciphertext of two parts.
    #[error("the ciphertext has {parts} parts, relinearise it first")]
    NotRelinearised {
        /// Parts it has.
        parts: usize,
    },
    /// A key for this operation was not given.
    #[error("no key for {what} at level {level}")]
    MissingKey {
        /// What the key would do.
        what: String,
        /// The level of the ciphertext.
        level: usize,
    },
    /// More values than slots.
    #[error("{got} values do not fit {slots} slots")]
    TooManyValues {
        /// Values given.
        got: usize,
        /// Slots.
        slots: usize,
    },
    /// A value is not finite or too large for the scale and modulus.
    #[error("a value is not finite, or larger than scale and modulus of the level allow")]
    Value,
    /// Operands of an inner product do not pair up.
    #[error("{what}: {left} and {right} operands do not pair up")]
    Count {
        /// Which operation.
        what: &'static str,
        /// Operands on the left.
        left: usize,
        /// Operands on the right.
        right: usize,
    },
    /// Bytes are not what they should be.
    #[error("{what}: {reason}")]
    Format {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The system's random generator failed.
    #[error("the system's random generator failed: {0}")]
    Random(String),
}
