//! Suite `polynomial`: ReLU by composite polynomials.

use anyhow::Result;
use hushwire_minimax::{ALPHAS, Construction, PolynomialFile};

use super::Bench;

/// Runs the suite. Errors are proved anew, not read from the files.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    for alpha in ALPHAS {
        let names = ["log2_error", "depth", "multiplications"];
        bench.measure(names.map(|what| format!("relu.alpha{alpha}.{what}")), || {
            let polynomial = PolynomialFile::known(alpha, Construction::Weighted)?.polynomial;
            let error = polynomial.certified_error()?;
            let degrees = polynomial.degrees();
            let [depth, products] = [degrees.depth(), degrees.multiplications()].map(f64::from);
            Ok([error.log2(), depth, products])
        })?;
    }
    Ok(())
}
