//! Composite polynomials in the place of ReLU.

use hushwire_minimax::{Construction, PolynomialFile, Rectifier, SignPolynomial, TABLE};
use serde::{Deserialize, Serialize};

/// Largest range that a gate can have.
pub const MAX_RANGE: f64 = (1u64 << 30) as f64;

/// ReLU as x (1 + s(x / range)) / 2, where s is the composite polynomial for the sign with precision
/// alpha: for |x| <= range the result is within 2^-alpha range of ReLU, and beyond it is anything.
///
/// A plan names the polynomial; its coefficients are those of `hushwire-minimax`'s table of this
/// version, which `hushwire polynomial sign --alpha` prints and proves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolynomialGate {
    /// Precision in bits, relative to the range.
    pub alpha: u32,
    /// The largest magnitude of an input.
    pub range: f64,
    /// How the polynomial's stages were computed.
    #[serde(default = "weighted", skip_serializing_if = "is_weighted")]
    pub construction: Construction,
    /// Version of the table of polynomials.
    #[serde(default = "table", skip_serializing_if = "is_table")]
    pub table: u32,
}

fn weighted() -> Construction {
    Construction::Weighted
}

fn is_weighted(construction: &Construction) -> bool {
    *construction == Construction::Weighted
}

fn table() -> u32 {
    TABLE
}

fn is_table(version: &u32) -> bool {
    *version == TABLE
}

impl PolynomialGate {
    /// The best polynomial of a precision.
    pub fn new(alpha: u32, range: f64) -> PolynomialGate {
        PolynomialGate { alpha, range, construction: Construction::Weighted, table: TABLE }
    }

    /// Its sign, on [-1, 1].
    ///
    /// # Errors
    /// There is none of this precision.
    pub fn sign(&self) -> Result<SignPolynomial, hushwire_minimax::Error> {
        Ok(PolynomialFile::known(self.alpha, self.construction)?.polynomial)
    }

    /// The function in single precision, as every floating-point executor computes it.
    ///
    /// # Errors
    /// There is no polynomial of this precision.
    pub fn rectifier(&self) -> Result<Rectifier, hushwire_minimax::Error> {
        Ok(Rectifier::new(&self.sign()?))
    }

    /// What makes this no gate, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { table, range, .. } = *self;
        if table != TABLE {
            Some(format!("table {table} of polynomials is not known; this program has {TABLE}"))
        } else if !(range > 0.0 && range <= MAX_RANGE) {
            Some(format!("a range of {range}; a positive number up to 2^30 is needed"))
        } else {
            self.sign().err().map(|e| e.to_string())
        }
    }
}
