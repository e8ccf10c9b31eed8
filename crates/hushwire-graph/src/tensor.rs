//! Dense row-major arrays of `f32`.

use std::fmt;

/// A dense row-major array. Values that flow through a network have the batch as axis 0.
#[derive(Clone, PartialEq, Default)]
pub struct Tensor {
    /// Extent of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// Elements, the last axis fastest; as many as the product of `shape`.
    pub data: Vec<f32>,
}

impl Tensor {
    /// A tensor from its parts.
    ///
    /// # Panics
    /// If the number of elements is not the product of `shape`.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), data.len(), "elements against shape {shape:?}");
        Self { shape, data }
    }

    /// All zeros.
    pub fn zeros(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// True without elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Extent of axis 0; 1 for a scalar.
    pub fn batch(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Elements of one sample: the product of the axes after the first.
    pub fn sample_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// The elements of sample `n`.
    ///
    /// # Panics
    /// If `n` is not below [`batch`](Self::batch).
    pub fn sample(&self, n: usize) -> &[f32] {
        let len = self.sample_len();
        &self.data[n * len..(n + 1) * len]
    }

    /// For each sample the index of its greatest element, the first on ties. With more than one
    /// axis per sample the axis after the batch is searched and the result is one index per
    /// sample and position, in row-major order.
    pub fn argmax(&self) -> Vec<usize> {
        let classes = self.shape.get(1).copied().unwrap_or(0);
        let positions: usize = self.shape.iter().skip(2).product();
        let mut best = Vec::with_capacity(self.batch() * positions);
        for n in 0..self.batch() {
            let sample = self.sample(n);
            best.extend((0..positions).map(|p| {
                (1..classes).fold(0, |best, c| {
                    let better = sample[c * positions + p] > sample[best * positions + p];
                    if better { c } else { best }
                })
            }));
        }
        best
    }

    /// The greatest absolute difference, infinite where the shapes differ and NaN if any is NaN.
    pub fn max_abs_diff(&self, other: &Self) -> f32 {
        if self.shape != other.shape {
            return f32::INFINITY;
        }
        let differences = self.data.iter().zip(&other.data).map(|(a, b)| (a - b).abs());
        differences.fold(0.0, |worst, d| if d.is_nan() || d > worst { d } else { worst })
    }
}

/// Prints the shape only: a tensor may hold secrets.
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor{:?}", self.shape)
    }
}
