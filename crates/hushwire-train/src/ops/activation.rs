//! Smooth and piecewise linear functions of each element, and their derivatives.
//!
//! The functions are written without branches, so that loops over them become vector code for the
//! instruction set that is found at run time. They are within 1e-6 of the exact functions, relative
//! to the larger of 1 and the value.

use hushwire_graph::{Activation, Polynomial};
use pulp::Arch;
use rayon::prelude::*;

use super::elementwise::CHUNK;

/// `to = f(x)`
pub(crate) fn forward(activation: Activation, x: &[f32], to: &mut [f32]) {
    macro_rules! map {
        ($f:expr) => {{
            let f = $f;
            to.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(to, x)| {
                // One loop for each function and instruction set.
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        for (to, &x) in to.iter_mut().zip(x) {
                            *to = f(x);
                        }
                    },
                );
            });
        }};
    }
    match activation {
        Activation::Relu => map!(|x: f32| x.max(0.0)),
        Activation::Clip { min, max } => map!(|x: f32| x.max(min).min(max)),
        Activation::LeakyRelu { alpha } => map!(|x: f32| if x < 0.0 { alpha * x } else { x }),
        Activation::Sigmoid => map!(sigmoid),
        Activation::Tanh => map!(tanh),
        Activation::Gelu => map!(|x: f32| x * normal(x)),
        Activation::GeluTanh => map!(|x: f32| 0.5 * x * (1.0 + tanh(gelu_inner(x)))),
        Activation::HardSwish => map!(|x: f32| x * (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)),
        Activation::Silu => map!(|x: f32| x * sigmoid(x)),
        Activation::Mish => map!(|x: f32| x * mish_gate(x).0),
        Activation::Exp => map!(exp),
        Activation::Softplus => map!(|x: f32| x.max(0.0) + exp(-x.abs()).ln_1p()),
        Activation::Square => map!(|x: f32| x * x),
        Activation::Polynomial(p) => map!(|x: f32| p.apply(x)),
    }
}

/// `g = g * f'(x)`
pub(crate) fn backward(activation: Activation, x: &[f32], g: &mut [f32]) {
    macro_rules! map {
        ($derivative:expr) => {{
            let derivative = $derivative;
            g.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(g, x)| {
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        for (g, &x) in g.iter_mut().zip(x) {
                            *g *= derivative(x);
                        }
                    },
                );
            });
        }};
    }
    match activation {
        Activation::Relu => map!(|x: f32| if x > 0.0 { 1.0 } else { 0.0 }),
        Activation::Clip { min, max } => {
            map!(|x: f32| if x > min && x < max { 1.0 } else { 0.0 })
        }
        Activation::LeakyRelu { alpha } => map!(|x: f32| if x < 0.0 { alpha } else { 1.0 }),
        Activation::Sigmoid => map!(|x: f32| {
            let y = sigmoid(x);
            y * (1.0 - y)
        }),
        Activation::Tanh => map!(|x: f32| {
            let y = tanh(x);
            1.0 - y * y
        }),
        Activation::Gelu => map!(|x: f32| {
            const DENSITY: f32 = 0.398_942_3;
            normal(x) + x * DENSITY * exp(-0.5 * x * x)
        }),
        Activation::GeluTanh => map!(|x: f32| {
            let t = tanh(gelu_inner(x));
            let inner = SQRT_2_BY_PI * (1.0 + 3.0 * CUBIC * x * x);
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner
        }),
        Activation::HardSwish => map!(|x: f32| {
            let inside = if x > -3.0 && x < 3.0 { (2.0 * x + 3.0) * (1.0 / 6.0) } else { 0.0 };
            if x >= 3.0 { 1.0 } else { inside }
        }),
        Activation::Silu => map!(|x: f32| {
            let y = sigmoid(x);
            y * (1.0 + x * (1.0 - y))
        }),
        Activation::Mish => map!(|x: f32| {
            let (gate, slope) = mish_gate(x);
            gate + x * slope
        }),
        Activation::Exp => map!(exp),
        Activation::Softplus => map!(sigmoid),
        Activation::Square => map!(|x: f32| 2.0 * x),
        Activation::Polynomial(p) => map!(|x: f32| slope(&p, x)),
    }
}

/// The derivative of a polynomial.
#[inline(always)]
fn slope(p: &Polynomial, x: f32) -> f32 {
    let terms = p.coefficients().iter().enumerate().skip(1).rev();
    terms.fold(0.0, |sum, (power, c)| sum * x + power as f32 * c)
}

/// `exp(x)`, between the smallest and the largest normal numbers: two to the nearest whole power,
/// times a polynomial for the rest (the coefficients are those of Cephes).
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Added and subtracted, rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let power = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let rest = x - power * LN_2_HIGH - power * LN_2_LOW;
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.000_000_3e-1] {
        p = p * rest + c;
    }
    let p = p * rest * rest + rest + 1.0;
    f32::from_bits((p.to_bits() as i32 + ((power as i32) << 23)) as u32)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// The normal distribution function, by Abramowitz and Stegun 7.1.26.
#[inline(always)]
fn normal(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut p = 1.061_405_4;
    for c in [-1.453_152, 1.421_413_7, -0.284_496_72, 0.254_829_6] {
        p = p * t + c;
    }
    let tail = 0.5 * p * t * exp(-z * z);
    if x < 0.0 { tail } else { 1.0 - tail }
}

const SQRT_2_BY_PI: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

#[inline(always)]
fn gelu_inner(x: f32) -> f32 {
    SQRT_2_BY_PI * (x + CUBIC * x * x * x)
}

/// `tanh(ln(1 + exp(x)))` and its derivative.
#[inline(always)]
fn mish_gate(x: f32) -> (f32, f32) {
    // Beyond 20 the gate is 1 to the last bit.
    let e = exp(x.min(20.0));
    let w = e * (e + 2.0);
    let gate = w / (w + 2.0);
    (gate, 4.0 * e * (e + 1.0) / ((w + 2.0) * (w + 2.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Activation> {
        vec![
            Activation::Relu,
            Activation::Clip { min: -1.5, max: 6.0 },
            Activation::LeakyRelu { alpha: 0.25 },
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::HardSwish,
            Activation::Silu,
            Activation::Mish,
            Activation::Exp,
            Activation::Softplus,
            Activation::Square,
            Activation::polynomial(&[0.5, -1.0, 0.25, 0.0, 0.01]).unwrap(),
        ]
    }

    /// Points off the knots of the piecewise functions.
    fn points() -> Vec<f32> {
        (-480..480).map(|i| (i as f32 + 0.37) / 24.0).collect()
    }

    #[test]
    fn values_are_those_of_the_graph() {
        let x = points();
        for activation in all() {
            let mut y = vec![f32::NAN; x.len()];
            forward(activation, &x, &mut y);
            for (x, y) in x.iter().zip(&y) {
                let exact = activation.eval(f64::from(*x));
                let error = (f64::from(*y) - exact).abs() / exact.abs().max(1.0);
                assert!(error < 1e-6, "{activation:?}({x}) = {y}, not {exact}");
            }
        }
    }

    #[test]
    fn slopes_are_differences_of_values() {
        let x = points();
        for activation in all() {
            let mut g = vec![2.0; x.len()];
            backward(activation, &x, &mut g);
            for (x, g) in x.iter().zip(&g) {
                let (x, h) = (f64::from(*x), 1e-5);
                let exact = (activation.eval(x + h) - activation.eval(x - h)) / (2.0 * h);
                let error = (f64::from(*g) / 2.0 - exact).abs() / exact.abs().max(1.0);
                assert!(error < 3e-6, "{activation:?}'({x}) = {}, not {exact}", g / 2.0);
            }
        }
    }

    #[test]
    fn the_far_ends_are_finite() {
        let x = [-1e30, -100.0, -88.0, 88.0, 100.0, 1e30];
        for activation in [Activation::Silu, Activation::Gelu, Activation::Mish, Activation::Tanh] {
            let (mut y, mut g) = ([0.0; 6], [1.0; 6]);
            forward(activation, &x, &mut y);
            backward(activation, &x, &mut g);
            assert!(y.iter().chain(&g).all(|v| v.is_finite()), "{activation:?}: {y:?}, {g:?}");
        }
    }
}
