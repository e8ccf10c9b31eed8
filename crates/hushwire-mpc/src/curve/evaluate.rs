//! One party's shares of a piecewise polynomial's value.

use crate::gate::lanes;
use hushwire_plan::Encoding;
use hushwire_ring::{Bits, Vectorised, Word, vectorise};

/// One party's shares of what the helper dealt, one number per element each: modulo 2^W, or modulo
/// less where what they are multiplied by is a multiple of a power of two.
pub(super) struct Shares<W> {
    /// \[m^i\], from the first power on.
    pub powers: Vec<Vec<W>>,
    /// \[c m^i\] for each selector, from the power zero on.
    pub selected: Vec<Vec<Vec<W>>>,
}

/// The party's shares of z. `opened` holds A = u + m, `selecting` each selector's e; the server adds
/// what is public. Not reduced.
pub(super) fn evaluate<W: Word>(
    encoding: &Encoding,
    opened: &[W],
    selecting: &[Bits],
    shares: &Shares<W>,
    server: bool,
) -> Vec<W> {
    let public = if server { W::ONE.wrapping_neg() } else { W::ZERO };
    let mut z = vec![W::ZERO; opened.len()];
    let coefficients = |c: &[i64]| c.iter().map(|c| W::from_i64(*c)).collect::<Vec<W>>();
    let base = coefficients(&encoding.base);
    let mut derivative = vec![W::ZERO; opened.len()];
    for (power, taylor) in taylor(&base).enumerate() {
        vectorise(Horner { coefficients: &taylor, at: opened, out: &mut derivative });
        match power.checked_sub(1) {
            None => vectorise(Add { a: &derivative, mask: public, out: &mut z }),
            Some(i) => vectorise(AddProduct { a: &derivative, b: &shares.powers[i], out: &mut z }),
        }
    }
    let mut chosen = vec![W::ZERO; opened.len()];
    let mut whole = vec![W::ZERO; opened.len()];
    for ((selector, e), shared) in encoding.selectors.iter().zip(selecting).zip(&shares.selected) {
        chosen.fill(W::ZERO);
        whole.fill(W::ZERO);
        let delta = coefficients(&selector.delta);
        for (power, taylor) in taylor(&delta).enumerate() {
            vectorise(Horner { coefficients: &taylor, at: opened, out: &mut derivative });
            vectorise(AddProduct { a: &derivative, b: &shared[power], out: &mut chosen });
            match power.checked_sub(1) {
                None => vectorise(Add { a: &derivative, mask: public, out: &mut whole }),
                Some(i) => {
                    let powers = &shares.powers[i];
                    vectorise(AddProduct { a: &derivative, b: powers, out: &mut whole });
                }
            }
        }
        vectorise(Choose { e: &lanes(e), chosen: &chosen, whole: &whole, out: &mut z });
    }
    z
}

/// The coefficients of (-1)^i times the i-th derivative over i!, for i up to the degree.
fn taylor<W: Word>(polynomial: &[W]) -> impl Iterator<Item = Vec<W>> + '_ {
    (0..polynomial.len()).map(move |i| {
        let sign = if i % 2 == 0 { W::ONE } else { W::ONE.wrapping_neg() };
        let coefficient = |j: usize| {
            let choose = (0..i).fold(1u64, |c, k| c * (j - k) as u64 / (k as u64 + 1));
            polynomial[j].wrapping_mul(W::from_u64(choose)).wrapping_mul(sign)
        };
        (i..polynomial.len()).map(coefficient).collect()
    })
}

/// out = the polynomial at each of `at`.
struct Horner<'a, W> {
    coefficients: &'a [W],
    at: &'a [W],
    out: &'a mut [W],
}

impl<W: Word> Vectorised for Horner<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Horner { coefficients, at, out } = self;
        let at = &at[..out.len()];
        match coefficients {
            [] => out.fill(W::ZERO),
            [lower @ .., highest] => {
                out.fill(*highest);
                for c in lower.iter().rev() {
                    for (out, at) in out.iter_mut().zip(at) {
                        *out = out.wrapping_mul(*at).wrapping_add(*c);
                    }
                }
            }
        }
    }
}

/// out += a & mask
struct Add<'a, W> {
    a: &'a [W],
    mask: W,
    out: &'a mut [W],
}

impl<W: Word> Vectorised for Add<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (out, a) in self.out.iter_mut().zip(self.a) {
            *out = out.wrapping_add(a.and(self.mask));
        }
    }
}

/// out += a b
struct AddProduct<'a, W> {
    a: &'a [W],
    b: &'a [W],
    out: &'a mut [W],
}

impl<W: Word> Vectorised for AddProduct<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for ((out, a), b) in self.out.iter_mut().zip(self.a).zip(self.b) {
            *out = out.wrapping_add(a.wrapping_mul(*b));
        }
    }
}

/// out += chosen where e = 0, whole - chosen where e = 1
struct Choose<'a, W> {
    e: &'a [W],
    chosen: &'a [W],
    whole: &'a [W],
    out: &'a mut [W],
}

impl<W: Word> Vectorised for Choose<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let values = self.chosen.iter().zip(self.whole).zip(self.e);
        for (out, ((chosen, whole), e)) in self.out.iter_mut().zip(values) {
            let signed = chosen.xor(*e).wrapping_sub(*e);
            *out = out.wrapping_add(signed).wrapping_add(whole.and(*e));
        }
    }
}
