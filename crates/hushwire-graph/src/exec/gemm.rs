//! Matrix products: a safe front of the `gemm` crate, and fully connected layers on it.

use gemm::Parallelism;

use crate::Tensor;

/// A matrix in a slice: element `(i, j)` at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// The elements.
    pub data: &'a [f32],
    /// Distance of neighbours in a column.
    pub row_stride: usize,
    /// Distance of neighbours in a row.
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after the other, `stride` elements apart.
    pub fn rows(data: &'a [f32], stride: usize) -> Self {
        Self { data, row_stride: stride, column_stride: 1 }
    }

    /// The matrix whose columns are those rows.
    pub fn columns(data: &'a [f32], stride: usize) -> Self {
        Self { data, row_stride: 1, column_stride: stride }
    }
}

/// How a product treats what is in its destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destination {
    /// Adds to it.
    Accumulate,
    /// Replaces it.
    Overwrite,
}

/// `out[i * stride + j] (+)= sum over l of a[i, l] * b[l, j]`, for `i < m`, `j < n`, `l < k`; with
/// `parallel` by all threads.
///
/// # Panics
/// If an element of a matrix lies outside its slice, or `stride < n`.
pub fn multiply(
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    out: &mut [f32],
    stride: usize,
    destination: Destination,
    parallel: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    let fits = |matrix: &Matrix<'_>, rows: usize, columns: usize| {
        let last = (rows - 1) * matrix.row_stride + (columns - 1) * matrix.column_stride;
        rows > 0 && columns > 0 && last < matrix.data.len()
    };
    assert!(k > 0 && fits(&a, m, k) && fits(&b, k, n), "operands cover the product");
    assert!(stride >= n && (m - 1) * stride + n <= out.len(), "the destination covers it too");
    let parallelism = if parallel { Parallelism::Rayon(0) } else { Parallelism::None };
    let read_destination = destination == Destination::Accumulate;
    let keep = if read_destination { 1.0 } else { 0.0 };
    #[expect(unsafe_code, reason = "the gemm crate takes pointers")]
    // SAFETY: every element that the strides and extents reach lies in its slice by the assertions
    // above; slices are shorter than isize::MAX, so no cast wraps; `out` is borrowed exclusively
    // and its rows do not overlap.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            read_destination,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            keep,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// `out = input * weight^T + bias` for `input` `[N, F]` and `weight` `[out, F]`.
pub(super) fn dense(weight: &Tensor, bias: Option<&[f32]>, input: &Tensor, out: &mut Tensor) {
    let (batch, features, outputs) = (input.batch(), input.sample_len(), out.sample_len());
    if let Some(bias) = bias {
        out.data.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(bias));
    }
    let destination = match bias {
        Some(_) => Destination::Accumulate,
        None => Destination::Overwrite,
    };
    let (a, b) = (Matrix::rows(&input.data, features), Matrix::columns(&weight.data, features));
    let extents = [batch, outputs, features];
    multiply(extents, a, b, &mut out.data, outputs, destination, true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_layer_by_hand() {
        let weight = Tensor::new([2, 3], vec![1., 2., 3., 4., 5., 6.]);
        let input = Tensor::new([2, 3], vec![1., 0., -1., 2., 1., 0.]);
        let mut out = Tensor::zeros(&[2, 2]);
        dense(&weight, Some(&[10., 20.]), &input, &mut out);
        assert_eq!(out.data, [8., 18., 14., 33.]);
        dense(&weight, None, &input, &mut out);
        assert_eq!(out.data, [-2., -2., 4., 13.]);
    }

    #[test]
    #[should_panic(expected = "operands cover the product")]
    fn short_operands_are_refused() {
        let (a, b) = (Matrix::rows(&[1.0; 5], 3), Matrix::rows(&[1.0; 6], 2));
        multiply([2, 2, 3], a, b, &mut [0.0; 4], 2, Destination::Overwrite, false);
    }
}
