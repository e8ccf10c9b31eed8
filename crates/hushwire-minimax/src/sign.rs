//! The sign as a composite of odd polynomials, and what is made of it.

use serde::{Deserialize, Serialize};

use crate::real::Real;
use crate::{Circuit, Doubles, Error, MAX_STAGES};

/// An odd polynomial in Chebyshev's basis.
#[derive(Clone, Debug, PartialEq)]
pub struct OddPolynomial {
    /// Arguments are divided by this: the largest one that occurs.
    pub(crate) bound: f64,
    /// Of `T_1, T_3, ...`
    pub(crate) coefficients: Vec<f64>,
}

impl OddPolynomial {
    /// The polynomial with these coefficients of x, x^3, ..., rounded to doubles.
    pub(crate) fn from_powers<R: Real>(powers: &[R], bound: f64) -> OddPolynomial {
        // x^n = 2^(1-n) (T_n + n T_(n-2) + ... + C(n, (n-1)/2) T_1) for odd n
        let scale = R::from_f64(bound);
        let mut sums = vec![R::from_f64(0.0); powers.len()];
        let mut scaled = scale.clone();
        for (j, power) in powers.iter().enumerate() {
            let n = 2 * j + 1;
            let mut binomial = 1.0;
            for i in 0..=j {
                let factor = R::from_f64(binomial / 4f64.powi(j as i32));
                sums[j - i] = sums[j - i].clone() + power.clone() * scaled.clone() * factor;
                binomial = binomial * (n - i) as f64 / (i + 1) as f64;
            }
            scaled = scaled * scale.squared();
        }
        OddPolynomial { bound, coefficients: sums.iter().map(Real::nearest).collect() }
    }

    /// Its degree.
    pub fn degree(&self) -> u32 {
        2 * self.coefficients.len() as u32 - 1
    }

    /// The largest magnitude of its arguments.
    pub fn bound(&self) -> f64 {
        self.bound
    }

    /// Coefficients of `T_1(x / bound), T_3(x / bound), ...`
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// The value at `x`, by Clenshaw's recurrence.
    pub fn eval(&self, x: f64) -> f64 {
        let u = x / self.bound;
        let twice = 4.0 * u * u - 2.0;
        let (mut b, mut next) = (0.0, 0.0);
        for c in self.coefficients.iter().rev() {
            (b, next) = (twice * b - next + c, b);
        }
        u * (b - next)
    }
}

/// An approximation of the sign on [-1, 1], accurate away from 0.
#[derive(Clone, Debug, PartialEq)]
pub struct SignPolynomial {
    stages: Vec<OddPolynomial>,
}

impl SignPolynomial {
    /// The composite of these stages, the first one applied first.
    ///
    /// # Errors
    /// No stage, too many, or a degree that stages cannot have.
    pub(crate) fn from_stages(stages: Vec<OddPolynomial>) -> Result<SignPolynomial, Error> {
        DegreeSet::new(&stages.iter().map(OddPolynomial::degree).collect::<Vec<_>>())?;
        Ok(SignPolynomial { stages })
    }

    /// Its polynomials, the first one applied first.
    pub fn stages(&self) -> &[OddPolynomial] {
        &self.stages
    }

    /// The degrees of its stages.
    pub fn degrees(&self) -> DegreeSet {
        let degrees: Vec<u32> = self.stages.iter().map(OddPolynomial::degree).collect();
        DegreeSet::new(&degrees).unwrap_or_else(|_| unreachable!("stages were checked"))
    }

    /// About 1 for positive x, -1 for negative x, for x in [-1, 1].
    pub fn sign(&self, x: f64) -> f64 {
        self.stages.iter().fold(x, |x, stage| stage.eval(x))
    }

    /// About max(x, 0), for |x| <= `range`: x (1 + s(x / range)) / 2.
    pub fn relu(&self, x: f64, range: f64) -> f64 {
        x * (1.0 + self.sign(x / range)) / 2.0
    }

    /// About max(a, b), for |a - b| <= `range`.
    pub fn max(&self, a: f64, b: f64, range: f64) -> f64 {
        b + self.relu(a - b, range)
    }

    /// [`sign`](Self::sign) by the circuits that depth and multiplications are counted for.
    pub fn sign_by_circuit(&self, x: f64) -> f64 {
        self.stages.iter().fold(x, |x, stage| {
            let circuit = Circuit::new(stage.degree())
                .unwrap_or_else(|_| unreachable!("stages were checked"));
            circuit.evaluate(&stage.coefficients, &(x / stage.bound), &mut Doubles)
        })
    }
}

/// Degrees of the stages of a composite.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DegreeSet(Vec<u32>);

impl DegreeSet {
    /// Odd degrees from 3 to 31, the first stage's first.
    ///
    /// # Errors
    /// None, too many, or another degree.
    pub fn new(degrees: &[u32]) -> Result<DegreeSet, Error> {
        if degrees.is_empty() || degrees.len() > MAX_STAGES {
            return Err(Error::Stages(degrees.len()));
        }
        degrees.iter().try_for_each(|d| Circuit::new(*d).map(|_| ()))?;
        Ok(DegreeSet(degrees.to_vec()))
    }

    /// The degrees.
    pub fn degrees(&self) -> &[u32] {
        &self.0
    }

    fn circuits(&self) -> impl Iterator<Item = &'static Circuit> {
        self.0.iter().filter_map(|d| Circuit::new(*d).ok())
    }

    /// Levels of ReLU: those of the stages, and one for the product of x and its sign.
    pub fn depth(&self) -> u32 {
        self.circuits().map(Circuit::depth).sum::<u32>() + 1
    }

    /// Multiplications of ReLU: those of the stages, and one for the product of x and its sign.
    pub fn multiplications(&self) -> u32 {
        self.circuits().map(Circuit::multiplications).sum::<u32>() + 1
    }
}

impl std::fmt::Display for DegreeSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let degrees: Vec<String> = self.0.iter().map(u32::to_string).collect();
        write!(f, "{{{}}}", degrees.join(", "))
    }
}

/// How stages are computed from degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Construction {
    /// Every stage is minimax for the sign on the range where the one before left its output
    /// (Lee, Lee, No, Kim, IEEE TDSC 2021).
    Uniform,
    /// The last stage minimises the error of ReLU instead, in which an error of the sign at x
    /// weighs |x| and arguments close to zero take part.
    Weighted,
}
