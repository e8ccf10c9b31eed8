//! The selecting product z = d u on one party's shares.

use super::deal::bit_word;
use crate::job::ring;
use crate::layout::GateLayout;
use hushwire_fixed::program::Function;
use hushwire_ring::{Bits, Word};

/// One party's shares of what the helper dealt for the members and decisions of a gate.
pub(super) struct Shares<W> {
    /// \[c\], one per decision; for a clip also that of the upper knot.
    pub decision: Vec<Vec<W>>,
    /// The party's half of m, one per opened element, reduced to w bits.
    pub mask: Vec<W>,
    /// \[c m\] per member.
    pub decision_mask: Vec<W>,
    /// Share of the wrap of m0 + m1 per member, like the next two modulo 2^(l-w).
    pub wrap: Vec<W>,
    /// \[t\].
    pub carry: Vec<W>,
    /// \[c t\].
    pub decision_carry: Vec<W>,
}

/// The party's shares of the outputs of all members. `opened` holds U - 2^(w-2) = u + m mod 2^w per
/// opened element; the server adds what is public.
pub(super) fn select<W: Word>(
    layout: &GateLayout<'_>,
    opened: &[W],
    decisions: &[Bits],
    shares: &Shares<W>,
    server: bool,
) -> Vec<W> {
    let w = layout.width();
    let width = ring(w);
    let offset = W::ONE.shl(w - 2);
    let (e, upper) = (&decisions[0], decisions.get(1));
    let high = match layout.gate.function {
        Function::Relu => W::ZERO,
        Function::Clip { high } => W::from_i64(high),
    };
    let indices = layout.member_indices();
    let public = if server { W::ONE.wrapping_neg() } else { W::ZERO };
    (0..layout.members)
        .map(|k| {
            let (at, group) =
                indices.as_ref().map_or((k, k), |(at, g)| (at[k] as usize, g[k] as usize));
            let shifted = width.reduce(opened[at].wrapping_add(offset));
            let a = shifted.wrapping_sub(offset);
            // All ones where g = 1.
            let g = shifted.shr(w - 1).wrapping_sub(W::ONE);
            let q = a
                .wrapping_mul(shares.decision[0][group])
                .wrapping_sub(shares.decision_mask[k])
                .wrapping_add(g.and(shares.decision_carry[k].shl(w)));
            let base = a
                .and(public)
                .wrapping_sub(shares.mask[at])
                .wrapping_add(shares.wrap[k].shl(w))
                .wrapping_add(g.and(shares.carry[k].shl(w)));
            let flip = bit_word::<W>(e, group).wrapping_neg();
            let z = q.xor(flip).wrapping_sub(flip).wrapping_add(base.and(flip));
            match upper {
                None => z,
                Some(upper) => {
                    // high (e' + (1 - 2e') c') with the upper knot's decision.
                    let flip = bit_word::<W>(upper, group).wrapping_neg();
                    let c = shares.decision[1][group];
                    let share = c.xor(flip).wrapping_sub(flip);
                    let share = share.wrapping_sub(flip.and(public));
                    z.wrapping_add(high.wrapping_mul(share))
                }
            }
        })
        .collect()
}
