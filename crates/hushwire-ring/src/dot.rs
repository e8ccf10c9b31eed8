//! Dot products: what vectors alone are multiplied by.

use crate::Word;
use crate::simd::Vectorised;

/// Greatest number of columns of a product that are dot products, beyond its last whole vector.
pub(crate) const COLUMNS: usize = 4;

/// The product of two vectors.
#[inline(always)]
pub(crate) fn dot<W: Word>(row: &[W], column: &[W]) -> W {
    row.iter().zip(column).fold(W::ZERO, |sum, (&w, &x)| sum.wrapping_add(w.wrapping_mul(x)))
}

/// [`dot`], for any instruction set.
pub(crate) struct Dot<'a, W>(pub(crate) &'a [W], pub(crate) &'a [W]);

impl<W: Word> Vectorised for Dot<'_, W> {
    type Output = W;

    #[inline(always)]
    fn run(self) -> W {
        dot(self.0, self.1)
    }
}
