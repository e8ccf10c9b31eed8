//! Comparisons of deciding forms with public thresholds, and the sizes of their messages.

use crate::MpcError;
use crate::job::{Comparison, ring};
use hushwire_fss::{FssError, dcf, digits};
use hushwire_plan::Window;
use hushwire_ring::Bits;

/// Forms that are compared with the same thresholds. One secret n and one set of comparison material
/// serve all thresholds of a form: what changes from one to the next is public.
#[derive(Clone, Debug)]
pub(crate) struct Thresholds {
    pub comparison: Comparison,
    /// Width w of the forms: they are known modulo 2^w.
    pub width: u32,
    /// The compared bits.
    pub window: Window,
    /// The thresholds, or knots: decided is 1{form >= knot} for each.
    pub knots: Vec<i64>,
    /// How many forms.
    pub count: usize,
}

impl Thresholds {
    /// Whether nothing is compared.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0 || self.knots.is_empty()
    }

    /// Bits that are compared below the sign.
    pub(crate) fn compared(&self) -> u32 {
        self.window.bits - 1
    }

    /// The digits of the comparisons.
    pub(crate) fn digits(&self) -> Result<digits::Shape, FssError> {
        digits::Shape::new(self.compared())?.at_knots(self.knots.len())
    }

    /// Whether nothing need be opened before decisions are known in shares.
    pub(crate) fn at_once(&self) -> bool {
        match self.comparison {
            _ if self.is_empty() => true,
            Comparison::Dcf => true,
            Comparison::Digits => self.digits().map_or(true, |d| d.opened_planes() == 0),
        }
    }

    /// Bytes of the material for the server alone.
    pub(crate) fn table_len(&self) -> usize {
        match self.comparison {
            Comparison::Digits if !self.is_empty() => {
                self.digits().map_or(0, |d| d.message_len(self.count))
            }
            _ => 0,
        }
    }

    /// Bytes of the keys for both; zero with digits.
    pub(crate) fn keys_len(&self) -> usize {
        match self.comparison {
            Comparison::Dcf if !self.is_empty() => {
                dcf::message_len(self.compared(), self.count).unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Bytes of one party's opening.
    pub(crate) fn opening_len(&self) -> usize {
        match self.comparison {
            Comparison::Digits if !self.is_empty() => {
                self.digits().map_or(0, |d| d.opening_len(self.count))
            }
            _ => 0,
        }
    }

    /// The form less each threshold, modulo 2^w: what is looked up.
    pub(crate) fn shifted(&self, forms: &[u64]) -> Vec<Vec<u64>> {
        let mask = ring(self.width).mask();
        let shift = |knot: &i64| {
            forms.iter().map(|v| v.wrapping_sub(*knot as u64) & mask).collect::<Vec<u64>>()
        };
        self.knots.iter().map(shift).collect()
    }

    /// The top one of each form's compared bits, which is its sign, and the bits below it.
    pub(crate) fn split(&self, forms: &[u64]) -> (Bits, Vec<u64>) {
        let compared = self.compared();
        let below = (1u64 << compared) - 1;
        let at = self.window.low + compared;
        let signs = forms.chunks(64).map(|forms| {
            let bits = forms.iter().enumerate();
            bits.fold(0, |word, (i, form)| word | (form >> at & 1) << i)
        });
        let signs = Bits::from_words(forms.len(), signs.collect());
        (signs, forms.iter().map(|v| v >> self.window.low & below).collect())
    }

    /// Whether the comparison supports this.
    ///
    /// # Errors
    /// [`MpcError::Comparison`] for a window or a number of thresholds that it does not support.
    pub(crate) fn check(&self, layer: &str) -> Result<(), MpcError> {
        let checked = match self.comparison {
            _ if self.is_empty() => Ok(()),
            Comparison::Digits => self.digits().map(drop),
            Comparison::Dcf => dcf::message_len(self.compared(), self.count).map(drop),
        };
        checked.map_err(|source| MpcError::Comparison { layer: layer.to_owned(), source })
    }
}
