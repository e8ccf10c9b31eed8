//! What can be wrong with a configuration.

use std::io;
use std::path::PathBuf;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text does not parse, lacks a field or has one too many; TOML's own message says where.
    #[error("the configuration {} does not parse: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: Box<toml::de::Error>,
    },
    /// A field has a value that does not work.
    #[error("configuration field `{field}`: {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong, and what would work.
        reason: String,
    },
}

pub(crate) fn field(field: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Field { field, reason: reason.into() }
}
