//! The canonical embedding: slots from coefficients and back, by a fast Fourier transform over the
//! powers of 5 (Cheon, Kim, Kim, Song, ASIACRYPT 2017).

use std::f64::consts::PI;
use std::ops::{Add, Mul, Sub};

/// A complex number, the content of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Complex {
    /// Real part.
    pub re: f64,
    /// Imaginary part.
    pub im: f64,
}

impl Complex {
    /// e^(i angle)
    fn unit(angle: f64) -> Self {
        Self { re: angle.cos(), im: angle.sin() }
    }

    fn conj(self) -> Self {
        Self { re: self.re, im: -self.im }
    }
}

impl Add for Complex {
    type Output = Self;
    fn add(self, y: Self) -> Self {
        Self { re: self.re + y.re, im: self.im + y.im }
    }
}

impl Sub for Complex {
    type Output = Self;
    fn sub(self, y: Self) -> Self {
        Self { re: self.re - y.re, im: self.im - y.im }
    }
}

impl Mul for Complex {
    type Output = Self;
    fn mul(self, y: Self) -> Self {
        Self { re: self.re * y.re - self.im * y.im, im: self.re * y.im + self.im * y.re }
    }
}

/// Roots of unity for a number of slots.
pub(crate) struct Embedding {
    slots: usize,
    real: bool,
    /// e^(2 pi i k / 4 slots)
    roots: Vec<Complex>,
    /// 5^k mod 4 slots
    powers: Vec<usize>,
}

impl Embedding {
    pub(crate) fn new(slots: usize, real: bool) -> Self {
        let order = 4 * slots;
        let roots = (0..order).map(|k| Complex::unit(2.0 * PI * k as f64 / order as f64)).collect();
        let powers = std::iter::successors(Some(1), |g| Some(g * 5 % order)).take(slots).collect();
        Self { slots, real, roots, powers }
    }

    /// Real coefficients, as many as the ring has, from the content of all slots.
    pub(crate) fn coefficients(&self, values: &[Complex]) -> Vec<f64> {
        let n = self.slots;
        let mut u = values.to_vec();
        let mut len = n;
        while len >= 2 {
            let (half, step) = (len / 2, self.roots.len() / (4 * len));
            for block in u.chunks_exact_mut(len) {
                let (left, right) = block.split_at_mut(half);
                for ((x, y), g) in left.iter_mut().zip(right).zip(&self.powers) {
                    let root = self.roots[g % (4 * len) * step].conj();
                    (*x, *y) = (*x + *y, (*x - *y) * root);
                }
            }
            len = half;
        }
        reverse_bits(&mut u);
        let scale = 1.0 / n as f64;
        let real = u.iter().map(|u| u.re * scale);
        if self.real {
            real.collect()
        } else {
            real.chain(u.iter().map(|u| u.im * scale)).collect()
        }
    }

    /// The content of all slots from the coefficients.
    pub(crate) fn values(&self, coefficients: &[f64]) -> Vec<Complex> {
        let n = self.slots;
        let mut u: Vec<_> = if self.real {
            // Modulo X^2N + 1, X^-i is -X^(2N - i).
            (0..n)
                .map(|i| {
                    let im = if i == 0 { 0.0 } else { -coefficients[n - i] };
                    Complex { re: coefficients[i], im }
                })
                .collect()
        } else {
            (0..n).map(|i| Complex { re: coefficients[i], im: coefficients[n + i] }).collect()
        };
        reverse_bits(&mut u);
        let mut len = 2;
        while len <= n {
            let (half, step) = (len / 2, self.roots.len() / (4 * len));
            for block in u.chunks_exact_mut(len) {
                let (left, right) = block.split_at_mut(half);
                for ((x, y), g) in left.iter_mut().zip(right).zip(&self.powers) {
                    let product = *y * self.roots[g % (4 * len) * step];
                    (*x, *y) = (*x + product, *x - product);
                }
            }
            len *= 2;
        }
        u
    }
}

fn reverse_bits(values: &mut [Complex]) {
    let bits = values.len().ilog2();
    for i in 0..values.len() {
        let j = if bits == 0 { 0 } else { i.reverse_bits() >> (usize::BITS - bits) };
        if i < j {
            values.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_evaluations_at_the_powers_of_five() {
        for real in [false, true] {
            let slots = 16;
            let embedding = Embedding::new(slots, real);
            let rank = if real { slots } else { 2 * slots };
            let coefficients: Vec<f64> = (0..rank).map(|i| (i * i % 23) as f64 - 9.0).collect();
            let values = embedding.values(&coefficients);
            for (value, &g) in values.iter().zip(&embedding.powers) {
                let root = |i: usize| embedding.roots[g * i % (4 * slots)];
                let mut sum = Complex::default();
                for (i, &a) in coefficients.iter().enumerate() {
                    let mut basis = root(i);
                    if real && i > 0 {
                        basis = basis + root(i).conj();
                    }
                    sum = sum + Complex { re: a, im: 0.0 } * basis;
                }
                assert!((value.re - sum.re).abs() + (value.im - sum.im).abs() < 1e-9);
            }
            let back = embedding.coefficients(&values);
            assert!(back.iter().zip(&coefficients).all(|(x, y)| (x - y).abs() < 1e-9));
        }
    }
}
