//! Interpolation in Chebyshev's nodes: near the least maximum error, from a few values.

use nalgebra::{DMatrix, DVector};

use crate::squares::{Chart, Local};
use crate::{Format, Function};

/// Interpolation of one degree.
pub(crate) struct Interpolation {
    nodes: Vec<f64>,
    inverse: DMatrix<f64>,
}

impl Interpolation {
    pub(crate) fn new(degree: usize) -> Self {
        let count = degree + 1;
        let node = |i: usize| (std::f64::consts::PI * (i as f64 + 0.5) / count as f64).cos();
        let nodes: Vec<f64> = (0..count).map(node).collect();
        let vandermonde = DMatrix::from_fn(count, count, |i, j| nodes[i].powi(j as i32));
        // Distinct nodes: the matrix is regular.
        let inverse = vandermonde.try_inverse().unwrap_or_else(|| DMatrix::zeros(count, count));
        Self { nodes, inverse }
    }

    /// The polynomial through the function's values at the nodes of an interval.
    pub(crate) fn local(&self, function: Function, chart: Chart) -> Local {
        let value = |s: &f64| function.eval(chart.centre + chart.half * s);
        let values = DVector::from_iterator(self.nodes.len(), self.nodes.iter().map(value));
        let mut local = Local::default();
        let solved = &self.inverse * values;
        local[..self.nodes.len()].copy_from_slice(solved.as_slice());
        local
    }

    /// The same in powers of x, each coefficient rounded by itself.
    pub(crate) fn rounded(&self, function: Function, chart: Chart, format: Format) -> Vec<f64> {
        let exact = chart.globally(&self.local(function, chart), self.nodes.len() - 1);
        let round = |(j, c): (usize, &f64)| (c / format.unit(j)).round() * format.unit(j);
        exact.iter().enumerate().map(round).collect()
    }
}
