//! Products from limbs of 16 bits, for the dot products of AVX-512 VNNI.
//!
//! `vpdpwssd` multiplies two pairs of signed 16-bit words and adds both products to a 32-bit lane: 32
//! products of 16 bits where `vpmulld` makes 8 of 32 bits in the same time. Words are cut so that few
//! of them make a product modulo 2^32 or 2^64.
//!
//! *32-bit words*: w = w0 + 2^16 w1 with w0 signed (and w1 one more where w0 is negative), so that
//! w x = w0 x0 + 2^16 (w0 x1 + w1 x0). A *main* row holds (x0, x1) for every word and is multiplied
//! with (w1, w0): two of the three products, of which only the sum's low half matters, in one
//! instruction. An *extra* row holds (x0, x0') of two words and makes the third product of both. So two
//! words take three instructions.
//!
//! *64-bit words*: w = w0 + 2^52 w1, with 52-bit products for w0 x0 (one instruction for its low half
//! and one for its high half) on the word itself, the main row, and an extra row for two words with
//! w0 x1 + w1 x0 of each in a 32-bit lane, of which only 12 bits matter. Two words take five
//! instructions.
//!
//! Main rows come first, then extra rows, of weights and of panels alike; the tile goes through one
//! kind after the other and shifts its sums in between, so that one set of sums is enough.

use crate::Word;
use crate::simd::Vectorised;
use crate::tile::ROWS;

/// Words that `depth` weights become: themselves and one for every two.
pub(crate) const fn len(depth: usize) -> usize {
    depth + depth.div_ceil(2)
}

/// The weights whose limbs are `len` words.
#[cfg(target_arch = "x86_64")]
pub(crate) const fn depth(len: usize) -> usize {
    len * 2 / 3
}

/// Cuts rows of weights into limbs; rows of `out` are [`len`] words apart.
pub(crate) struct Cut<'a, W> {
    pub(crate) weights: &'a [W],
    /// Where each row starts.
    pub(crate) rows: [usize; ROWS],
    pub(crate) depth: usize,
    pub(crate) out: &'a mut [W],
}

impl<W: Word> Vectorised for Cut<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { weights, rows, depth, out } = self;
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(len(depth))) {
            out[..depth].copy_from_slice(&weights[*row..][..depth]);
            cut_row(out, depth);
        }
    }
}

/// Cuts rows of weights where they lie, which begin `len` words apart.
pub(crate) struct CutRows<'a, W> {
    pub(crate) rows: &'a mut [W],
    pub(crate) len: usize,
    pub(crate) depth: usize,
}

impl<W: Word> Vectorised for CutRows<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for row in self.rows.chunks_exact_mut(self.len) {
            cut_row(row, self.depth);
        }
    }
}

/// Cuts the first `depth` words of a row, which are followed by room for the extra words.
#[inline(always)]
fn cut_row<W: Word>(row: &mut [W], depth: usize) {
    let (main, extra) = row.split_at_mut(depth);
    if depth % 2 == 1 {
        extra[depth / 2] = W::ZERO;
    }
    if W::BITS == 32 {
        let extra: &mut [u16] = bytemuck::cast_slice_mut(extra);
        for (out, w) in extra.iter_mut().zip(&*main) {
            *out = w.to_u64() as u16;
        }
        for w in main {
            *w = W::from_u64(u64::from(carried(w.to_u64() as u32).rotate_left(16)));
        }
    } else {
        let extra: &mut [u32] = bytemuck::cast_slice_mut(extra);
        for (out, w) in extra.iter_mut().zip(&*main) {
            let w = w.to_u64();
            *out = (w << 16) as u32 | (w >> 52) as u32;
        }
    }
}

/// One more in the high half of a word whose low half is negative.
#[inline(always)]
fn carried(w: u32) -> u32 {
    w.wrapping_add((w & 0x8000) << 1)
}

/// Replaces rows x and y of a panel, one below the other, by their main rows; returns the extra row.
#[inline(always)]
pub(crate) fn cut_pair<W: Word, const L: usize>(x: &mut [W; L], y: &mut [W; L]) -> [W; L] {
    let mut extra = *x;
    for (extra, y) in extra.iter_mut().zip(&*y) {
        let (x, y) = (extra.to_u64(), y.to_u64());
        *extra = W::from_u64(if W::BITS == 32 {
            x & 0xffff | y << 16
        } else {
            let cross = |x: u64| x & 0xffff | x >> 52 << 16;
            cross(x) | cross(y) << 32
        });
    }
    if W::BITS == 32 {
        for w in x.iter_mut() {
            *w = W::from_u64(u64::from(carried(w.to_u64() as u32)));
        }
        for w in y.iter_mut() {
            *w = W::from_u64(u64::from(carried(w.to_u64() as u32)));
        }
    }
    extra
}
