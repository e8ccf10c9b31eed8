//! The functions that are fitted.

use hushwire_graph::{Activation, softplus};

/// A smooth function of one real variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Function {
    /// `x * sigmoid(x)`
    Silu,
    /// `x * Phi(x)`, with the normal distribution function.
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`
    GeluTanh,
    /// `x * tanh(ln(1 + exp(x)))`
    Mish,
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `exp(x)`
    Exp,
    /// `ln(1 + exp(x))`
    Softplus,
    /// `x * min(max(x + 3, 0), 6) / 6`
    HardSwish,
    /// `1 / x`, which has a pole.
    Reciprocal,
}

impl Function {
    /// Those without poles, in the order of reports.
    pub const SMOOTH: [Self; 8] = [
        Self::Silu,
        Self::Gelu,
        Self::Mish,
        Self::Tanh,
        Self::Sigmoid,
        Self::Exp,
        Self::Softplus,
        Self::HardSwish,
    ];

    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Silu,
        Self::Gelu,
        Self::GeluTanh,
        Self::Mish,
        Self::Tanh,
        Self::Sigmoid,
        Self::Exp,
        Self::Softplus,
        Self::HardSwish,
        Self::Reciprocal,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu-tanh",
            Self::Mish => "mish",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Exp => "exp",
            Self::Softplus => "softplus",
            Self::HardSwish => "hard-swish",
            Self::Reciprocal => "reciprocal",
        }
    }

    /// The function of a network's activation, if it is one of these.
    pub fn of(activation: &Activation) -> Option<Self> {
        Some(match activation {
            Activation::Silu => Self::Silu,
            Activation::Gelu => Self::Gelu,
            Activation::GeluTanh => Self::GeluTanh,
            Activation::Mish => Self::Mish,
            Activation::Tanh => Self::Tanh,
            Activation::Sigmoid => Self::Sigmoid,
            Activation::HardSwish => Self::HardSwish,
            Activation::Exp => Self::Exp,
            Activation::Softplus => Self::Softplus,
            _ => return None,
        })
    }

    /// The value at `x` to about 1e-15.
    pub fn eval(self, x: f64) -> f64 {
        match self {
            Self::Silu => Activation::Silu.eval(x),
            Self::Gelu => Activation::Gelu.eval(x),
            Self::GeluTanh => Activation::GeluTanh.eval(x),
            Self::Mish => Activation::Mish.eval(x),
            Self::Tanh => Activation::Tanh.eval(x),
            Self::Sigmoid => Activation::Sigmoid.eval(x),
            Self::Exp => x.exp(),
            Self::Softplus => softplus(x),
            Self::HardSwish => Activation::HardSwish.eval(x),
            Self::Reciprocal => x.recip(),
        }
    }

    /// What it tends to far on the left and far on the right, as `[constant, slope]`; nothing where it
    /// tends to no line, so that the outermost piece goes on.
    pub fn tails(self) -> [Option<[f64; 2]>; 2] {
        const ZERO: Option<[f64; 2]> = Some([0.0, 0.0]);
        const ONE: Option<[f64; 2]> = Some([1.0, 0.0]);
        match self {
            Self::Silu
            | Self::Gelu
            | Self::GeluTanh
            | Self::Mish
            | Self::Softplus
            | Self::HardSwish => [ZERO, Some([0.0, 1.0])],
            Self::Tanh => [Some([-1.0, 0.0]), ONE],
            Self::Sigmoid => [ZERO, ONE],
            Self::Exp => [ZERO, None],
            Self::Reciprocal => [None, None],
        }
    }

    /// Where it has a pole.
    pub fn pole(self) -> Option<f64> {
        (self == Self::Reciprocal).then_some(0.0)
    }
}

impl std::fmt::Display for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_at_known_points() {
        let table = [
            (Function::Silu, 1.0, 0.7310585786300049),
            (Function::Gelu, -1.0, -0.15865525393145707),
            (Function::Mish, 1.0, 0.8650983882673103),
            (Function::Tanh, 0.5, 0.46211715726000976),
            (Function::Sigmoid, -2.0, 0.11920292202211755),
            (Function::Exp, 2.0, 7.38905609893065),
            (Function::Softplus, 0.0, std::f64::consts::LN_2),
            (Function::HardSwish, 1.0, 4.0 / 6.0),
            (Function::Reciprocal, 4.0, 0.25),
        ];
        for (function, x, y) in table {
            assert!((function.eval(x) - y).abs() < 1e-14, "{function}({x})");
        }
    }

    #[test]
    fn tails_are_where_the_function_goes() {
        for function in Function::SMOOTH {
            for (tail, x) in function.tails().iter().zip([-40.0, 40.0]) {
                if let Some([constant, slope]) = tail {
                    assert!(
                        (function.eval(x) - constant - slope * x).abs() < 1e-14,
                        "{function}({x})"
                    );
                }
            }
        }
    }
}
