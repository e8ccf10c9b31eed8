//! Dot products: what vectors alone are multiplied by.

use crate::Word;
use crate::simd::Vectorised;

/// Greatest number of columns of a product that are dot products, beyond its last whole vector.
pub(crate) const COLUMNS: usize = 4;

/// The product of two vectors.
pub(crate) struct Dot<'a, W>(pub(crate) &'a [W], pub(crate) &'a [W]);

impl<W: Word> Vectorised for Dot<'_, W> {
    type Output = W;

    #[inline(always)]
    fn run(self) -> W {
        self.0.iter().zip(self.1).fold(W::ZERO, |sum, (&w, &x)| sum.wrapping_add(w.wrapping_mul(x)))
    }
}
