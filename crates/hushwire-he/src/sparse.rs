//! Sparse matrices: the linear part of a network between two activations.

use std::fmt;
use std::ops::Range;

use zeroize::Zeroize;

/// A sparse matrix by rows. Entries whose weight happens to be zero stay entries, so that the
/// structure says nothing about weights. Wiped when dropped, never printed.
#[derive(Clone, PartialEq)]
pub struct Sparse {
    columns: usize,
    /// Where each row begins in the entries, and where the last one ends.
    starts: Vec<usize>,
    index: Vec<u32>,
    weight: Vec<f32>,
}

impl Sparse {
    /// No rows yet.
    pub fn new(columns: usize) -> Self {
        Self { columns, starts: vec![0], index: Vec::new(), weight: Vec::new() }
    }

    /// A diagonal matrix.
    pub fn diagonal(weights: impl IntoIterator<Item = f32>) -> Self {
        let weight: Vec<f32> = weights.into_iter().collect();
        let n = weight.len();
        Self { columns: n, starts: (0..=n).collect(), index: (0..n as u32).collect(), weight }
    }

    /// Adds an entry to the row that is being written.
    pub fn push(&mut self, column: usize, weight: f32) {
        debug_assert!(column < self.columns);
        self.index.push(column as u32);
        self.weight.push(weight);
    }

    /// Ends the row that is being written.
    pub fn end_row(&mut self) {
        self.starts.push(self.index.len());
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Entries of all rows.
    pub fn entries(&self) -> usize {
        self.index.len()
    }

    /// The entries of a row.
    pub fn row(&self, row: usize) -> Range<usize> {
        self.starts[row]..self.starts[row + 1]
    }

    /// The column of an entry.
    pub fn column(&self, entry: usize) -> usize {
        self.index[entry] as usize
    }

    /// The weight of an entry.
    pub fn weight(&self, entry: usize) -> f32 {
        self.weight[entry]
    }

    /// Root of the mean square of the weights; 0 without entries.
    pub fn weight_rms(&self) -> f64 {
        let sum: f64 = self.weight.iter().map(|w| f64::from(*w).powi(2)).sum();
        (sum / self.weight.len().max(1) as f64).sqrt()
    }

    /// Multiplies every weight.
    pub fn scale(&mut self, factor: f32) {
        self.weight.iter_mut().for_each(|w| *w *= factor);
    }

    /// Multiplies the weights of each row.
    pub fn scale_rows(&mut self, factor: impl Fn(usize) -> f32) {
        for row in 0..self.rows() {
            let range = self.row(row);
            self.weight[range].iter_mut().for_each(|w| *w *= factor(row));
        }
    }

    /// Adds the product with `x` to `sum`.
    pub fn multiply_add(&self, x: &[f64], sum: &mut [f64]) {
        for (row, sum) in sum.iter_mut().enumerate() {
            let terms = self.row(row).map(|e| f64::from(self.weight[e]) * x[self.column(e)]);
            *sum += terms.sum::<f64>();
        }
    }

    /// The matrix of `self` after `inner`, unless it has more than `limit` entries.
    pub fn after(&self, inner: &Self, limit: usize) -> Option<Self> {
        debug_assert_eq!(self.columns, inner.rows());
        self.combine(inner.columns, limit, |entry, add| {
            let weight = self.weight[entry];
            inner
                .row(self.column(entry))
                .for_each(|e| add(inner.index[e], weight * inner.weight[e]));
        })
    }

    /// The sum of two matrices of the same extents.
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = Self::new(self.columns);
        for row in 0..self.rows() {
            let mut merged: Vec<(u32, f32)> = Vec::new();
            for (matrix, e) in
                self.row(row).map(|e| (self, e)).chain(other.row(row).map(|e| (other, e)))
            {
                match merged.iter_mut().find(|(column, _)| *column == matrix.index[e]) {
                    Some((_, weight)) => *weight += matrix.weight[e],
                    None => merged.push((matrix.index[e], matrix.weight[e])),
                }
            }
            merged.into_iter().for_each(|(column, weight)| sum.push(column as usize, weight));
            sum.end_row();
        }
        sum
    }

    /// Row by row the sum of what `expand` adds for each entry, in the order of first occurrence.
    fn combine(
        &self,
        columns: usize,
        limit: usize,
        expand: impl Fn(usize, &mut dyn FnMut(u32, f32)),
    ) -> Option<Self> {
        let mut result = Self::new(columns);
        // For each column its entry in the present row, if it has one.
        let mut position = vec![usize::MAX; columns];
        for row in 0..self.rows() {
            let start = result.index.len();
            for entry in self.row(row) {
                expand(entry, &mut |column, weight| {
                    let at = position[column as usize];
                    if at != usize::MAX && at >= start {
                        result.weight[at] += weight;
                    } else {
                        position[column as usize] = result.index.len();
                        result.push(column as usize, weight);
                    }
                });
                if result.entries() > limit {
                    return None;
                }
            }
            result.end_row();
        }
        Some(result)
    }
}

impl Drop for Sparse {
    fn drop(&mut self) {
        self.weight.zeroize();
    }
}

impl fmt::Debug for Sparse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sparse({} x {}, {} entries)", self.rows(), self.columns, self.entries())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(columns: usize, rows: &[&[(usize, f32)]]) -> Sparse {
        let mut m = Sparse::new(columns);
        for row in rows {
            row.iter().for_each(|(c, w)| m.push(*c, *w));
            m.end_row();
        }
        m
    }

    #[test]
    fn products_and_sums_merge_entries() {
        let a = matrix(2, &[&[(0, 2.0), (1, 3.0)], &[(1, 0.0)]]);
        let b = matrix(3, &[&[(2, 1.0), (0, 1.0)], &[(0, 5.0)]]);
        let product = a.after(&b, 100).unwrap();
        assert_eq!(product, matrix(3, &[&[(2, 2.0), (0, 17.0)], &[(0, 0.0)]]));
        assert!(a.after(&b, 1).is_none());
        let sum = product.plus(&matrix(3, &[&[(1, 1.0)], &[(0, 4.0)]]));
        assert_eq!(sum, matrix(3, &[&[(2, 2.0), (0, 17.0), (1, 1.0)], &[(0, 4.0)]]));
        let mut y = vec![1.0, 0.0];
        sum.multiply_add(&[1.0, 10.0, 100.0], &mut y);
        assert_eq!(y, [228.0, 4.0]);
    }
}
