//! Polynomials in readable files.

use serde::{Deserialize, Serialize};

use crate::{Error, OddPolynomial, SignPolynomial};

/// Version of the format.
const VERSION: u32 = 1;

/// Longest text that is looked at.
const MAX_BYTES: usize = 1 << 16;

/// Largest coefficient and largest argument.
const MAX_NUMBER: f64 = 1e6;

/// A polynomial file.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "Text")]
pub struct PolynomialFile {
    /// The polynomials.
    pub polynomial: SignPolynomial,
    /// What the file claims [`SignPolynomial::certified_error`] to be. Reading does not prove it.
    pub certified_error: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    /// The largest error of ReLU on [-1, 1].
    certified_error: f64,
    /// Its binary logarithm, for readers.
    log2_error: f64,
    /// For readers, as depth and multiplications, which are those of ReLU.
    degrees: Vec<u32>,
    depth: u32,
    multiplications: u32,
    #[serde(rename = "stage")]
    stages: Vec<Stage>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stage {
    /// The largest magnitude of an argument.
    bound: f64,
    /// Of `T_1(x / bound), T_3(x / bound), ...`
    chebyshev: Vec<f64>,
}

impl From<PolynomialFile> for Text {
    fn from(file: PolynomialFile) -> Text {
        let degrees = file.polynomial.degrees();
        let stages = file.polynomial.stages().iter();
        Text {
            version: VERSION,
            certified_error: file.certified_error,
            log2_error: (file.certified_error.log2() * 1e4).round() / 1e4,
            degrees: degrees.degrees().to_vec(),
            depth: degrees.depth(),
            multiplications: degrees.multiplications(),
            stages: stages
                .map(|s| Stage { bound: s.bound(), chebyshev: s.coefficients().to_vec() })
                .collect(),
        }
    }
}

impl PolynomialFile {
    /// As the text of a file. Numbers are printed so that they are read back exactly.
    pub fn to_text(&self) -> String {
        toml::to_string(self).unwrap_or_else(|e| unreachable!("numbers are valid TOML: {e}"))
    }

    /// From the text of a file.
    ///
    /// # Errors
    /// The text is not such a file; which field is wrong.
    pub fn from_text(text: &str) -> Result<PolynomialFile, Error> {
        if text.len() > MAX_BYTES {
            return Err(Error::File(format!("{} bytes; at most {MAX_BYTES} are read", text.len())));
        }
        let text: Text = toml::from_str(text).map_err(Box::new)?;
        let check = |holds: bool, reason: String| holds.then_some(()).ok_or(Error::File(reason));
        check(text.version == VERSION, format!("version {}; this is {VERSION}", text.version))?;
        let error = text.certified_error;
        check(error > 0.0 && error <= 1.0, format!("certified_error = {error}"))?;
        let mut stages = Vec::new();
        for (i, stage) in text.stages.into_iter().enumerate() {
            let Stage { bound, chebyshev: coefficients } = stage;
            let small = |x: &f64| x.abs() <= MAX_NUMBER;
            check(
                bound >= 1.0 / MAX_NUMBER && small(&bound),
                format!("stage {i}: bound = {bound}"),
            )?;
            let good = !coefficients.is_empty() && coefficients.iter().all(small);
            check(good, format!("stage {i}: coefficients are missing or exceed {MAX_NUMBER}"))?;
            stages.push(OddPolynomial { bound, coefficients });
        }
        let polynomial = SignPolynomial::from_stages(stages)?;
        let degrees = polynomial.degrees();
        let found = (degrees.degrees(), degrees.depth(), degrees.multiplications());
        let said = (&text.degrees[..], text.depth, text.multiplications);
        check(said == found, format!("degrees, depth and multiplications are {found:?}"))?;
        Ok(PolynomialFile { polynomial, certified_error: error })
    }
}

#[cfg(test)]
mod tests {
    use crate::{Construction, PolynomialFile};
    use proptest::prelude::*;

    #[test]
    fn files_are_read_back_exactly() {
        for alpha in crate::ALPHAS {
            let file = PolynomialFile::known(alpha, Construction::Weighted).unwrap();
            assert_eq!(PolynomialFile::from_text(&file.to_text()).unwrap(), file);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let text = PolynomialFile::known(4, Construction::Uniform).unwrap().to_text();
        assert!(PolynomialFile::from_text(&text).is_ok());
        for (old, new) in [
            ("version = 1", "version = 2"),
            ("depth = 4", "depth = 3"),
            ("bound = 1.0", "bound = 0.0"),
            ("bound = 1.0", "bound = nan"),
            ("chebyshev = [", "chebyshev = [inf, "),
            ("chebyshev = [", "chebyshev = [1.0, "),
            ("certified_error = 0", "certified_error = -0"),
        ] {
            assert!(text.contains(old), "{old}");
            assert!(PolynomialFile::from_text(&text.replacen(old, new, 1)).is_err(), "{new}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(version = 1\n)?(depth = [0-9]\n)?(\\[\\[stage\\]\\]\n)?.{0,40}") {
            let _ = PolynomialFile::from_text(&text);
        }
    }
}
