//! The polynomials that come with the crate.

use crate::{Construction, Error, PolynomialFile};

/// Precisions alpha for which polynomials come with the crate: ReLU's error on [-1, 1] is at most
/// 2^-alpha.
pub const ALPHAS: std::ops::RangeInclusive<u32> = 4..=14;

/// Version of the table: whoever names a polynomial by its precision names this as well, so that
/// better ones can be put in later without changing what is meant.
pub const TABLE: u32 = 1;

macro_rules! files {
    ($construction:literal) => {
        files!($construction; "04" "05" "06" "07" "08" "09" "10" "11" "12" "13" "14")
    };
    ($construction:literal; $($alpha:literal)*) => {
        [$(include_str!(concat!("../polynomials/", $construction, "-", $alpha, ".toml"))),*]
    };
}

/// Of the degree sets of Lee, Lee, No, Kim, in the order of [`ALPHAS`].
const UNIFORM: [&str; 11] = files!("uniform");

/// Of the degree sets that [`search`](crate::search) finds: the least depth, then the fewest
/// multiplications, among those that need no more multiplications than the uniform ones.
const WEIGHTED: [&str; 11] = files!("weighted");

impl PolynomialFile {
    /// The polynomials for a precision of [`ALPHAS`].
    ///
    /// # Errors
    /// There are none for it.
    pub fn known(alpha: u32, construction: Construction) -> Result<PolynomialFile, Error> {
        let files = match construction {
            Construction::Uniform => &UNIFORM,
            Construction::Weighted => &WEIGHTED,
        };
        let index = alpha.checked_sub(*ALPHAS.start()).ok_or(Error::Alpha(alpha))?;
        let text = files.get(index as usize).ok_or(Error::Alpha(alpha))?;
        PolynomialFile::from_text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DegreeSet, SignPolynomial};

    /// Degrees, depth and multiplications as published.
    const PUBLISHED: [(&[u32], u32, u32); 11] = [
        (&[5], 4, 4),
        (&[13], 5, 8),
        (&[3, 7], 6, 8),
        (&[7, 7], 7, 11),
        (&[7, 15], 8, 14),
        (&[15, 15], 9, 17),
        (&[7, 7, 13], 11, 18),
        (&[7, 7, 27], 12, 21),
        (&[7, 15, 27], 13, 24),
        (&[15, 15, 27], 14, 27),
        (&[15, 27, 29], 15, 30),
    ];

    #[test]
    fn the_published_table() {
        for (alpha, (degrees, depth, multiplications)) in ALPHAS.zip(PUBLISHED) {
            let file = PolynomialFile::known(alpha, Construction::Uniform).unwrap();
            let found = file.polynomial.degrees();
            assert_eq!(found, DegreeSet::new(degrees).unwrap());
            assert_eq!((found.depth(), found.multiplications()), (depth, multiplications));
            let ours = PolynomialFile::known(alpha, Construction::Weighted).unwrap();
            let ours = ours.polynomial.degrees();
            assert!(ours.depth() <= depth && ours.multiplications() <= multiplications);
        }
    }

    #[test]
    fn uniform_errors_are_proved() {
        prove(Construction::Uniform);
    }

    #[test]
    fn weighted_errors_are_proved() {
        prove(Construction::Weighted);
    }

    fn prove(construction: Construction) {
        for alpha in ALPHAS {
            let file = PolynomialFile::known(alpha, construction).unwrap();
            let bound = 0.5f64.powi(alpha as i32);
            assert!(file.certified_error <= bound, "{construction:?} {alpha}");
            file.polynomial.prove(bound).unwrap();
        }
    }

    #[test]
    fn files_are_what_the_construction_gives() {
        for construction in [Construction::Uniform, Construction::Weighted] {
            for alpha in 4..=7 {
                let file = PolynomialFile::known(alpha, construction).unwrap();
                let again = SignPolynomial::new(&file.polynomial.degrees(), construction).unwrap();
                for i in 0..=1000 {
                    let x = f64::from(i) / 1000.0;
                    let difference = file.polynomial.sign(x) - again.sign(x);
                    assert!(difference.abs() < 1e-6, "{construction:?} {alpha} at {x}");
                }
            }
        }
    }

    #[test]
    fn other_precisions_are_refused() {
        for alpha in [0, 3, 15, u32::MAX] {
            assert!(PolynomialFile::known(alpha, Construction::Uniform).is_err());
        }
    }
}
