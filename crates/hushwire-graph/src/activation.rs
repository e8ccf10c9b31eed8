//! Functions applied to each element.

use serde::{Deserialize, Serialize};

use crate::Polynomial;

/// An elementwise nonlinear function.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, min), max)`; a missing bound is the extreme finite value.
    Clip {
        /// Lower bound.
        min: f32,
        /// Upper bound, at least `min`.
        max: f32,
    },
    /// `x` where positive, `alpha * x` elsewhere.
    LeakyRelu {
        /// Slope on the negative side.
        alpha: f32,
    },
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `x * Phi(x)` with the normal distribution function.
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`
    GeluTanh,
    /// `x * min(max(x + 3, 0), 6) / 6`
    HardSwish,
    /// `x * sigmoid(x)`
    Silu,
    /// `x * tanh(ln(1 + exp(x)))`
    Mish,
    /// `exp(x)`
    Exp,
    /// `ln(1 + exp(x))`
    Softplus,
    /// `x * x`
    Square,
    /// Another polynomial.
    Polynomial(Polynomial),
}

impl Activation {
    /// The polynomial with these coefficients, the constant first; nothing where
    /// [`Polynomial::new`] gives nothing.
    pub fn polynomial(coefficients: &[f32]) -> Option<Self> {
        let polynomial = Polynomial::new(coefficients)?;
        Some(if polynomial == Polynomial::SQUARE {
            Self::Square
        } else {
            Self::Polynomial(polynomial)
        })
    }

    /// The function as a polynomial, if it is one.
    pub fn as_polynomial(&self) -> Option<Polynomial> {
        match self {
            Self::Square => Some(Polynomial::SQUARE),
            Self::Polynomial(polynomial) => Some(*polynomial),
            _ => None,
        }
    }

    /// The function's name, as in ONNX where it has the operator.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Relu => "Relu",
            Self::Clip { .. } => "Clip",
            Self::LeakyRelu { .. } => "LeakyRelu",
            Self::Sigmoid => "Sigmoid",
            Self::Tanh => "Tanh",
            Self::Gelu => "Gelu",
            Self::GeluTanh => "GeluTanh",
            Self::HardSwish => "HardSwish",
            Self::Silu => "Silu",
            Self::Mish => "Mish",
            Self::Exp => "Exp",
            Self::Softplus => "Softplus",
            Self::Square => "Square",
            Self::Polynomial(_) => "Polynomial",
        }
    }

    /// The value at `x` in double precision: the reference the other executors approximate.
    pub fn eval(&self, x: f64) -> f64 {
        match *self {
            Self::Relu => x.max(0.0),
            Self::Clip { min, max } => x.max(f64::from(min)).min(f64::from(max)),
            Self::LeakyRelu { alpha } => {
                if x < 0.0 {
                    f64::from(alpha) * x
                } else {
                    x
                }
            }
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => x.tanh(),
            Self::Gelu => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            Self::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                0.5 * x * (1.0 + inner.tanh())
            }
            Self::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Self::Silu => x * sigmoid(x),
            Self::Mish => x * softplus(x).tanh(),
            Self::Exp => x.exp(),
            Self::Softplus => softplus(x),
            Self::Square => x * x,
            Self::Polynomial(polynomial) => polynomial.eval(x),
        }
    }

    /// The value at `x`, quick and within a few units in the last place of [`eval`](Self::eval).
    pub fn apply(&self, x: f32) -> f32 {
        match *self {
            Self::Relu => x.max(0.0),
            Self::Clip { min, max } => x.max(min).min(max),
            Self::LeakyRelu { alpha } => {
                if x < 0.0 {
                    alpha * x
                } else {
                    x
                }
            }
            Self::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0),
            Self::Square => x * x,
            Self::Polynomial(polynomial) => polynomial.apply(x),
            _ => self.eval(f64::from(x)) as f32,
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(1 + exp(x))` without overflow.
pub fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The error function to about 1e-15: the Maclaurin series near 0, a continued fraction further
/// out (Abramowitz and Stegun 7.1.6 and 7.1.14).
pub(crate) fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a.is_nan() {
        return a;
    }
    let magnitude = if a < 2.5 {
        let (mut term, mut sum) = (a, a);
        for n in 1..60 {
            term *= 2.0 * a * a / f64::from(2 * n + 1);
            sum += term;
            if term < 1e-17 * sum {
                break;
            }
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI * (-a * a).exp()
    } else if a < 6.0 {
        let tail = (1..=60).rev().fold(a, |t, n| a + f64::from(n) / 2.0 / t);
        1.0 - (-a * a).exp() * std::f64::consts::FRAC_2_SQRT_PI / 2.0 / tail
    } else {
        1.0
    };
    magnitude.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_agrees_with_tables() {
        let table = [
            (0.0, 0.0),
            (0.1, 0.1124629160182849),
            (0.5, 0.5204998778130465),
            (1.0, 0.8427007929497149),
            (2.0, 0.9953222650189527),
            (2.6, 0.9997639655834707),
            (3.0, 0.9999779095030014),
            (5.0, 0.9999999999984626),
        ];
        for (x, expected) in table {
            assert!((erf(x) - expected).abs() < 1e-14, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert!(erf(f64::NAN).is_nan());
    }

    #[test]
    fn values_at_known_points() {
        let close = |a: Activation, x: f64, y: f64| {
            assert!((a.eval(x) - y).abs() < 1e-9, "{a:?}({x}) = {}", a.eval(x));
            assert!((f64::from(a.apply(x as f32)) - y).abs() < 1e-6 * y.abs().max(1.0));
        };
        close(Activation::Relu, -2.0, 0.0);
        close(Activation::Clip { min: -1.0, max: 6.0 }, 7.0, 6.0);
        close(Activation::LeakyRelu { alpha: 0.5 }, -2.0, -1.0);
        close(Activation::Sigmoid, 0.0, 0.5);
        close(Activation::Tanh, 1.0, 0.7615941559557649);
        close(Activation::Gelu, 1.0, 0.8413447460685429);
        close(Activation::GeluTanh, 1.0, 0.8411919906082768);
        close(Activation::HardSwish, 1.0, 4.0 / 6.0);
        close(Activation::Silu, 1.0, 0.7310585786300049);
        close(Activation::Mish, 1.0, 0.8650983882673103);
        close(Activation::Mish, 800.0, 800.0);
        close(Activation::Silu, -800.0, 0.0);
        close(Activation::Exp, 1.0, std::f64::consts::E);
        close(Activation::Softplus, 0.0, std::f64::consts::LN_2);
        close(Activation::Softplus, 800.0, 800.0);
        close(Activation::Square, -1.5, 2.25);
        let cubic = Activation::polynomial(&[1.0, 0.0, 0.0, 2.0]).unwrap();
        close(cubic, -3.0, -53.0);
        assert_eq!(Activation::polynomial(&[0.0, 0.0, 1.0]), Some(Activation::Square));
        assert_eq!(Activation::Square.as_polynomial().unwrap().coefficients(), [0.0, 0.0, 1.0]);
    }
}
