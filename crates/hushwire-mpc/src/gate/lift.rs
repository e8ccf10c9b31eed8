//! From U = u + 2^(w-2) + m mod 2^w, known to the server, to a wire of l bits. Client and helper know m
//! and continue it to the wire's mask r' = m + 2^w rho; the server gets what its wrapping lacks,
//! 2^w (t g + rho), with t = msb(m) and g = 1 - msb(U) opened under c, which server and helper know.

use super::lanes;
use hushwire_ring::{Bits, Word};

/// The server's question e = g ^ c, from the values U and the masks c.
pub(crate) fn ask<W: Word>(shifted: &[W], width: u32, c: &Bits) -> Bits {
    let mut asked = Bits::from_fn(c.len(), |k| shifted[k].shr(width - 1) == W::ZERO);
    asked.xor_assign(c);
    asked
}

/// The client's answer rho + e t + (1 - 2e) \[t c\], from its share of t c.
pub(crate) fn answer<W: Word>(
    masks: &[W],
    high: &[W],
    shares: &[W],
    width: u32,
    asked: &Bits,
) -> Vec<W> {
    let flips = lanes::<W>(asked);
    let masks = masks.iter().zip(high);
    masks
        .zip(shares.iter().zip(&flips))
        .map(|((m, rho), (s, flip))| {
            let carry = m.shr(width - 1).and(*flip);
            rho.wrapping_add(carry).wrapping_add(s.xor(*flip).wrapping_sub(*flip))
        })
        .collect()
}

/// Turns the server's values U into the wire u + r'. `carries` are its shares of t c and `high` the
/// client's answers; both are empty if w = l, and U without its offset is the wire.
pub(crate) fn finish<W: Word>(
    shifted: &mut [W],
    width: u32,
    carries: &[W],
    high: &[W],
    asked: &Bits,
) {
    let offset = W::ONE.shl(width - 2);
    shifted.iter_mut().for_each(|u| *u = u.wrapping_sub(offset));
    let flips = lanes::<W>(asked);
    let shares = carries.iter().zip(high);
    for (value, ((share, high), flip)) in shifted.iter_mut().zip(shares.zip(&flips)) {
        let carry = share.xor(*flip).wrapping_sub(*flip).wrapping_add(*high);
        *value = value.wrapping_add(carry.shl(width));
    }
}
