//! Grouped ReLU gates: a share becomes a wire.
//!
//! With u the truncated input (w bits), m = m0 + m1 mod 2^w its mask and U = u + 2^(w-2) + m mod 2^w
//! public to P0 and P1: t = msb(m), g = 1 - msb(U), and
//!
//! ```text
//! u = A - m + 2^w t g,   A = U - 2^(w-2),            provided -2^(w-2) <= u < 2^(w-2).
//! ```
//!
//! The decision d of a group is shared by bits, d = 1 ^ msb(V) ^ msb(n) ^ \[V_low < n_low\] on the
//! compared bits of the form V of the opened values and the same form n of the masks, and opened
//! under a mask c: e = d ^ c. Then d u = (e + (1 - 2e) c) u is linear in what the helper deals:
//!
//! ```text
//! q    = \[c\] A - \[c m\] + 2^w g \[c t\]
//! base = A - \[m\] + 2^w g \[t\]
//! d u  = q                 where e = 0
//!      = base - q          where e = 1.
//! ```
//!
//! \[m\] has m0 and m1 as its parts, less 2^w times a share of their wrap.
//!
//! A clip's decision is d = d_0 ^ d_high (both knots compare the same opened value), and its output
//! d u + high d_high.

pub(crate) mod client;
pub(crate) mod deal;
mod decide;
mod select;
pub(crate) mod server;

use crate::layout::GateLayout;
use hushwire_fixed::program::Members;
use hushwire_ring::{Bits, Word};

/// Sections of a message, taken in order. Lengths come from the layout the whole message was
/// received by.
pub(crate) struct Sections<'a>(pub(crate) &'a [u8]);

impl<'a> Sections<'a> {
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (own, rest) = self.0.split_at(len);
        self.0 = rest;
        own
    }
}

/// Deciding forms of opened values or of masks, modulo 2^w: one number per decision.
pub(crate) fn forms<W: Word>(layout: &GateLayout<'_>, opened: &[W]) -> Vec<u64> {
    let mask = crate::job::ring(layout.width()).mask();
    match &layout.gate.members {
        Members::Each => opened.iter().map(|v| v.to_u64() & mask).collect(),
        Members::Mixed(g) if layout.opened > 0 => {
            let per_sample = layout.opened / layout.batch;
            let sum = |sample: &[W], group: usize| {
                let terms = &g.terms[g.starts[group] as usize..g.starts[group + 1] as usize];
                terms.iter().fold(0u64, |sum, &(at, k)| {
                    sum.wrapping_add(sample[at as usize].to_u64().wrapping_mul(k as u64))
                })
            };
            opened
                .chunks_exact(per_sample)
                .flat_map(|sample| (0..g.decisions()).map(move |group| sum(sample, group) & mask))
                .collect()
        }
        Members::Mixed(_) => Vec::new(),
    }
}

/// The elements at `positions`, or all of them.
pub(crate) fn pick<W: Word>(values: &[W], positions: Option<&[u32]>) -> Vec<W> {
    match positions {
        None => values.to_vec(),
        Some(at) => at.iter().map(|&i| values[i as usize]).collect(),
    }
}

/// Puts `values` at `positions` of `out`, or over all of it.
pub(crate) fn place<W: Word>(values: Vec<W>, positions: Option<&[u32]>, out: &mut Vec<W>) {
    match positions {
        None => *out = values,
        Some(at) => at.iter().zip(values).for_each(|(&i, v)| out[i as usize] = v),
    }
}

/// Bit `width - 1 ` of each form's compared bits, which is its sign, and the bits below it.
pub(crate) fn split_window(layout: &GateLayout<'_>, forms: &[u64]) -> (Bits, Vec<u64>) {
    let window = layout.window();
    let compared = layout.compared();
    let below = (1u64 << compared) - 1;
    let sign = Bits::from_fn(forms.len(), |i| forms[i] >> (window.low + compared) & 1 == 1);
    (sign, forms.iter().map(|v| v >> window.low & below).collect())
}
