//! The selecting product z = d u on one party's shares.

use super::{gather, lanes};
use crate::job::ring;
use crate::layout::GateLayout;
use hushwire_fixed::program::Function;
use hushwire_ring::{Bits, Vectorised, Word, vectorise};

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
    let public = if server { W::ONE.wrapping_neg() } else { W::ZERO };
    let indices = layout.member_indices();
    let (at, group) = indices.as_ref().map_or((None, None), |(a, g)| (Some(&a[..]), Some(&g[..])));
    let flips: Vec<Vec<W>> = decisions.iter().map(lanes).collect();
    let mut z = vectorise(Select {
        width: layout.width(),
        public,
        opened: &gather(opened, at),
        flips: &gather(&flips[0], group),
        decision: &gather(&shares.decision[0], group),
        mask: &gather(&shares.mask, at),
        shares,
    });
    if let (Function::Clip { high }, [_, upper]) = (layout.gate.function, flips.as_slice()) {
        // high (e' + (1 - 2e') c') with the upper knot's decision.
        let high = W::from_i64(high);
        let (flips, shares) = (gather(upper, group), gather(&shares.decision[1], group));
        for ((z, flip), share) in z.iter_mut().zip(&*flips).zip(&*shares) {
            let share = share.xor(*flip).wrapping_sub(*flip).wrapping_sub(flip.and(public));
            *z = z.wrapping_add(high.wrapping_mul(share));
        }
    }
    z
}

/// Everything by member.
struct Select<'a, W> {
    width: u32,
    /// All ones if public summands are this party's to add.
    public: W,
    opened: &'a [W],
    /// e, in lanes.
    flips: &'a [W],
    decision: &'a [W],
    mask: &'a [W],
    shares: &'a Shares<W>,
}

impl<W: Word> Vectorised for Select<'_, W> {
    type Output = Vec<W>;

    #[inline(always)]
    fn run(self) -> Vec<W> {
        let Select { width: w, public, opened, flips, decision, mask, shares } = self;
        let ring = ring(w);
        let offset = W::ONE.shl(w - 2);
        let len = opened.len();
        let (decision_mask, wrap) = (&shares.decision_mask[..len], &shares.wrap[..len]);
        let (carry, decision_carry) = (&shares.carry[..len], &shares.decision_carry[..len]);
        let (flips, decision, mask) = (&flips[..len], &decision[..len], &mask[..len]);
        let mut out = vec![W::ZERO; len];
        for (k, out) in out.iter_mut().enumerate() {
            let shifted = ring.reduce(opened[k].wrapping_add(offset));
            let a = shifted.wrapping_sub(offset);
            // All ones where g = 1.
            let g = shifted.shr(w - 1).wrapping_sub(W::ONE);
            let q = a
                .wrapping_mul(decision[k])
                .wrapping_sub(decision_mask[k])
                .wrapping_add(g.and(decision_carry[k].shl(w)));
            let base = a
                .and(public)
                .wrapping_sub(mask[k])
                .wrapping_add(wrap[k].shl(w))
                .wrapping_add(g.and(carry[k].shl(w)));
            let flip = flips[k];
            *out = q.xor(flip).wrapping_sub(flip).wrapping_add(base.and(flip));
        }
        out
    }
}
