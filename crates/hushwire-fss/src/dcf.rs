//! Comparison by a distributed comparison function: no interaction.
//!
//! P0 and P1 know `public`, the helper P2 knows `secret`; evaluation gives XOR shares of
//! 1{public < secret}. The scheme is that of Boyle, Chandran, Gilboa, Gupta, Ishai, Kumar and
//! Rathee, "Function Secret Sharing for Mixed-Mode and Fixed-Point Secure Computation" (EUROCRYPT
//! 2021, figure 1), for the output group Z_2, with the last seven levels in one 128-bit leaf
//! (early termination, Boyle, Gilboa and Ishai, CCS 2016).
//!
//! Write s, t for a party's seed and control bit at a node, x for the public value, a for the
//! secret one, i for a level, most significant bit first. H is the fixed-key hash; its block is a
//! child's 126 seed bits, its value bit v and its control bit t.
//!
//! **Keys.** On a's path the control bits of the parties differ, elsewhere both nodes are equal. At
//! level i, with L and R the children, keep = a_i and lose = 1 - a_i:
//!   s_cw = s_0^lose ^ s_1^lose,
//!   t_cw^L = t_0^L ^ t_1^L ^ a_i ^ 1,   t_cw^R = t_0^R ^ t_1^R ^ a_i,
//!   v_cw = v_0^lose ^ v_1^lose ^ V ^ a_i   (an x that leaves a's path to the left is smaller),
//!   V ^= v_0^keep ^ v_1^keep ^ v_cw,
//! and at the leaf, with T_a the table of 1{j < a} over the low bits j,
//!   leaf = H(s_0) ^ H(s_1) ^ T_a ^ (V in every bit).
//! **Evaluation.** Walk x; at a node with t = 1 xor the correction; the output is the sum of the
//! value bits and the leaf's bit at the low bits of x.
//!
//! Roots come from the P0-P2 and P1-P2 streams, so that only corrections travel, the same bytes to
//! both parties: (width - 7) levels of 126 + 2 + 1 bits and a leaf of 128 bits (2^width if the width
//! is below 7).
//!
//! **Security** (semi-honest, no collusion). To each party the corrections are pseudorandom given
//! its root: each is masked by the other party's hash outputs, at a node where that party's seed
//! is unknown. Seeds have 126 bits.
//!
//! **Parts.** 64 gates are a block. A range of gates that starts with a block can be dealt and
//! evaluated by itself: with the streams moved on by [`stream_len`] of the gates before it, its
//! message is the part of the whole one that starts after [`message_len`] of them.
//!
//! Running time depends on the width and the count alone: selections are by masks.
//!
//! # What bounds it
//! AES and memory: each level of each gate hashes one block (four when dealing) and reads a correction
//! of 16 bytes. By `perf record hushwire bench --suite micro --only relu_dcf.`, the selections of all
//! levels take 15 percent of 2^20 ReLUs in three processes (8 dealing, 7 evaluating) and AES 4, against
//! 25 for copying and clearing memory.

use core::fmt;

use hushwire_ring::{Bits, pack, packed_len, unpack};
use zeroize::Zeroizing;

use crate::hash::{Hash, LOW};
use crate::planes::{self, LANES, Party};
use crate::{FssError, Stream};

/// Greatest width compared.
pub const MAX_WIDTH: u32 = 63;

/// Levels below which the tree is one leaf of 2^7 bits.
const LEAF_LEVELS: u32 = 7;

/// Tweak of the leaf's hash; those of the children are 0 and 1.
const LEAF: u128 = 2;

/// Place of a hash block's control bit.
const CONTROL: u128 = 1;

/// Gates walked together, one to each bit of a word.
const BATCH: usize = LANES;

/// Bytes of a correction block.
const BLOCK: usize = 16;

const WHAT: &str = "comparison keys";

/// Bytes that a party's stream gives for `count` comparisons, one root each.
#[must_use]
pub fn stream_len(count: usize) -> u64 {
    count as u64 * BLOCK as u64
}

/// Bytes of the helper's message for `count` comparisons of `width` bits.
///
/// 16 * levels * count + ceil(levels * count / 8) + ceil(leaf * count / 8), with levels =
/// max(width - 7, 0) and leaf = 2^min(width, 7).
///
/// # Errors
/// Unless `width` is in `1..=63`.
pub fn message_len(width: u32, count: usize) -> Result<usize, FssError> {
    Ok(Layout::new(width, count)?.total())
}

/// Deals `secret.len()` comparisons and returns the message for P0 and P1. Run by the helper.
///
/// Bits of a secret beyond the width are ignored.
///
/// # Errors
/// Unless `width` is in `1..=63`.
pub fn deal(
    width: u32,
    p0: &mut Stream,
    p1: &mut Stream,
    secret: &[u64],
) -> Result<Vec<u8>, FssError> {
    let layout = Layout::new(width, secret.len())?;
    let roots = [draw_roots(p0, secret.len()), draw_roots(p1, secret.len())];
    let hash = Hash::new();
    let mut message = Message::zeros(layout);
    for start in (0..secret.len()).step_by(BATCH) {
        let end = secret.len().min(start + BATCH);
        let roots = [&roots[0][start..end], &roots[1][start..end]];
        deal_batch(&hash, start, roots, &secret[start..end], &mut message);
    }
    Ok(message.to_bytes())
}

/// Deals at most [`BATCH`] gates, level by level.
fn deal_batch(
    hash: &Hash,
    start: usize,
    roots: [&[u128]; 2],
    secret: &[u64],
    message: &mut Message,
) {
    let Layout { width, levels, .. } = message.layout;
    let gates = secret.len();
    // A node is its seed above bit 1 and its control bit in bit 0.
    let mut nodes = Zeroizing::new([[0_u128; BATCH]; 2]);
    for (g, node) in nodes[0][..gates].iter_mut().enumerate() {
        *node = roots[0][g] & !LOW;
    }
    for (g, node) in nodes[1][..gates].iter_mut().enumerate() {
        *node = roots[1][g] & !LOW | CONTROL;
    }
    let mut sum = Zeroizing::new([0_u128; BATCH]);
    // Children by party and side, hashed together.
    let mut children = Zeroizing::new([0_u128; 4 * BATCH]);
    let children = &mut children[..4 * gates];
    for level in 0..levels {
        for (i, children) in children.chunks_exact_mut(gates).enumerate() {
            for (child, node) in children.iter_mut().zip(&nodes[i / 2]) {
                *child = node & !LOW | (i % 2) as u128;
            }
        }
        hash.apply(children);
        let (first, second) = children.split_at(2 * gates);
        let children = [first.split_at(gates), second.split_at(gates)];
        let corrections = &mut message.corrections[start * levels + level * gates..][..gates];
        let mut values = 0;
        for g in 0..gates {
            let bit = u128::from(secret[g] >> (width as usize - 1 - level) & 1);
            let right = bit.wrapping_neg();
            let left = children[0].0[g] ^ children[1].0[g];
            let other = children[0].1[g] ^ children[1].1[g];
            let lose = left & right | other & !right;
            let control = [left & 1 ^ bit ^ 1, other & 1 ^ bit];
            let value = (lose >> 1 & 1) ^ sum[g] ^ bit;
            corrections[g] = lose & !LOW | control[1] << 1 | control[0];
            values |= (value as u64) << g;

            let kept_control = control[1] & right | control[0] & !right;
            let correction = lose & !LOW | kept_control;
            let keep = left & !right | other & right;
            sum[g] ^= (keep >> 1 & 1) ^ value;
            for (nodes, (left, other)) in nodes.iter_mut().zip(children) {
                let child = other[g] & right | left[g] & !right;
                let apply = (nodes[g] & CONTROL).wrapping_neg();
                nodes[g] = child & !2 ^ correction & apply;
            }
        }
        message.values[start / BATCH * levels + level] = values;
    }
    let leaves = &mut message.leaves[start..][..gates];
    let low = (1_u64 << width.min(LEAF_LEVELS)) - 1;
    let pads = &mut children[..2 * gates];
    for (pads, nodes) in pads.chunks_exact_mut(gates).zip(nodes.iter()) {
        for (pad, node) in pads.iter_mut().zip(nodes) {
            *pad = node & !LOW | LEAF;
        }
    }
    hash.apply(pads);
    for g in 0..gates {
        let smaller = (1_u128 << (secret[g] & low)) - 1;
        leaves[g] = pads[g] ^ pads[gates + g] ^ smaller ^ sum[g].wrapping_neg();
    }
}

/// One party's comparison keys; evaluation consumes them.
pub struct Keys {
    party: Party,
    roots: Zeroizing<Vec<u128>>,
    message: Message,
}

impl Keys {
    /// P0's keys, from the P0-P2 stream and the helper's message.
    ///
    /// # Errors
    /// If the width is not supported, or the message not of its length, or its padding not zero.
    pub fn client(
        width: u32,
        count: usize,
        p0: &mut Stream,
        message: &[u8],
    ) -> Result<Self, FssError> {
        Self::new(Party::Client, width, count, p0, message)
    }

    /// P1's keys, from the P1-P2 stream and the helper's message.
    ///
    /// # Errors
    /// If the width is not supported, or the message not of its length, or its padding not zero.
    pub fn server(
        width: u32,
        count: usize,
        p1: &mut Stream,
        message: &[u8],
    ) -> Result<Self, FssError> {
        Self::new(Party::Server, width, count, p1, message)
    }

    fn new(
        party: Party,
        width: u32,
        count: usize,
        stream: &mut Stream,
        message: &[u8],
    ) -> Result<Self, FssError> {
        let message = Message::from_bytes(Layout::new(width, count)?, message)?;
        Ok(Self { party, roots: draw_roots(stream, count), message })
    }

    /// Number of comparisons.
    #[must_use]
    pub fn count(&self) -> usize {
        self.message.layout.count
    }

    /// This party's XOR shares of 1{public < secret}.
    ///
    /// # Panics
    /// If there are not as many values as comparisons: both are the caller's own.
    #[must_use]
    pub fn eval(self, public: &[u64]) -> Bits {
        self.eval_at(&[public]).pop().unwrap_or_default()
    }

    /// The same for several public values per secret, a sequence of values for each of these knots:
    /// a key shares a function, which can be evaluated anywhere.
    ///
    /// # Panics
    /// If there are not as many values as comparisons: both are the caller's own.
    #[must_use]
    pub fn eval_at(self, knots: &[&[u64]]) -> Vec<Bits> {
        let hash = Hash::new();
        let eval = |public: &&[u64]| {
            assert_eq!(public.len(), self.count(), "one public value per comparison");
            let batches = public.chunks(BATCH).enumerate();
            let words = batches.map(|(i, public)| self.eval_batch(&hash, i * BATCH, public));
            Bits::from_words(public.len(), words.collect())
        };
        knots.iter().map(eval).collect()
    }

    /// Evaluates at most [`BATCH`] = 64 gates, level by level; bit g is gate g's share.
    fn eval_batch(&self, hash: &Hash, start: usize, public: &[u64]) -> u64 {
        let Layout { width, levels, .. } = self.message.layout;
        let gates = public.len();
        let control = u128::from(self.party == Party::Server);
        let mut nodes = Zeroizing::new([0_u128; BATCH]);
        let mut controls = Zeroizing::new([0_u128; BATCH]);
        let mut sums = Zeroizing::new([0_u128; BATCH]);
        for g in 0..gates {
            nodes[g] = self.roots[start + g] & !LOW;
            controls[g] = control.wrapping_neg();
        }
        for level in 0..levels {
            let shift = width as usize - 1 - level;
            for (node, x) in nodes[..gates].iter_mut().zip(public) {
                *node |= u128::from(x >> shift & 1);
            }
            hash.apply(&mut nodes[..gates]);
            let corrections = &self.message.corrections[start * levels + level * gates..][..gates];
            let values = self.message.values[start / BATCH * levels + level];
            for g in 0..gates {
                let side = public[g] >> shift & 1;
                let apply = controls[g];
                let cw = corrections[g];
                let value = u128::from(values >> g & 1);
                sums[g] ^= (nodes[g] >> 1 & 1) ^ value & apply;
                let next = (nodes[g] ^ (cw >> side) & apply) & 1;
                nodes[g] = (nodes[g] ^ cw & apply) & !LOW;
                controls[g] = next.wrapping_neg();
            }
        }
        for node in &mut nodes[..gates] {
            *node |= LEAF;
        }
        hash.apply(&mut nodes[..gates]);
        let low = (1_u64 << width.min(LEAF_LEVELS)) - 1;
        let mut out = 0;
        for g in 0..gates {
            let leaf = nodes[g] ^ self.message.leaves[start + g] & controls[g];
            let bit = (leaf >> (public[g] & low)) & 1 ^ sums[g];
            out |= (bit as u64) << g;
        }
        out
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("party", &self.party)
            .field("width", &self.message.layout.width)
            .field("count", &self.message.layout.count)
            .finish_non_exhaustive()
    }
}

fn draw_roots(stream: &mut Stream, count: usize) -> Zeroizing<Vec<u128>> {
    let mut roots = Zeroizing::new(vec![0_u128; count]);
    stream.fill(bytemuck::cast_slice_mut(&mut roots));
    roots
}

/// Sizes of a message.
#[derive(Clone, Copy)]
struct Layout {
    width: u32,
    count: usize,
    levels: usize,
    leaf_bits: u32,
}

impl Layout {
    fn new(width: u32, count: usize) -> Result<Self, FssError> {
        if !(1..=MAX_WIDTH).contains(&width) {
            return Err(FssError::Width { width, max: MAX_WIDTH });
        }
        let levels = width.saturating_sub(LEAF_LEVELS) as usize;
        Ok(Self { width, count, levels, leaf_bits: 1 << width.min(LEAF_LEVELS) })
    }

    /// First gate and number of gates of every block.
    fn blocks(self) -> impl Iterator<Item = (usize, usize)> {
        let Self { count, .. } = self;
        (0..count).step_by(BATCH).map(move |start| (start, BATCH.min(count - start)))
    }

    /// Bytes of the corrections, value bits and leaves of `gates` gates of one block.
    fn sections(self, gates: usize) -> [usize; 3] {
        let values = planes::message_len(self.levels, gates);
        [self.levels * gates * BLOCK, values, packed_len(gates, self.leaf_bits)]
    }

    fn total(self) -> usize {
        let [corrections, values, leaves] = self.sections(self.count);
        corrections + values + leaves
    }
}

/// The corrections of all gates, by blocks of [`BATCH`] = 64: each block's corrections, level by
/// level, then its value bits, then its leaves.
struct Message {
    layout: Layout,
    /// 126 seed bits, then the right and the left child's control bit.
    corrections: Vec<u128>,
    /// A word per block and level.
    values: Vec<u64>,
    leaves: Vec<u128>,
}

impl Message {
    fn zeros(layout: Layout) -> Self {
        let nodes = layout.levels * layout.count;
        Self {
            layout,
            corrections: vec![0; nodes],
            values: vec![0; layout.levels * layout.count.div_ceil(BATCH)],
            leaves: vec![0; layout.count],
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Layout { levels, leaf_bits, .. } = self.layout;
        let mut out = Vec::with_capacity(self.layout.total());
        let mut narrow = Vec::new();
        for (start, gates) in self.layout.blocks() {
            let corrections = &self.corrections[start * levels..][..gates * levels];
            out.extend_from_slice(bytemuck::cast_slice(corrections));
            let values = &self.values[start / BATCH * levels..][..levels];
            planes::write(values, levels, gates, &mut out);
            let leaves = &self.leaves[start..][..gates];
            if leaf_bits == 128 {
                out.extend_from_slice(bytemuck::cast_slice(leaves));
            } else {
                narrow.clear();
                narrow.extend(leaves.iter().map(|&leaf| leaf as u64));
                pack(&narrow, leaf_bits, &mut out);
            }
        }
        out
    }

    fn from_bytes(layout: Layout, mut bytes: &[u8]) -> Result<Self, FssError> {
        if bytes.len() != layout.total() {
            return Err(FssError::Length {
                what: WHAT,
                expected: layout.total(),
                got: bytes.len(),
            });
        }
        let mut message = Self::zeros(layout);
        let Layout { levels, leaf_bits, .. } = layout;
        let mut narrow = [0_u64; BATCH];
        for (start, gates) in layout.blocks() {
            let mut section = |len: usize| {
                let (own, rest) = bytes.split_at(len);
                bytes = rest;
                own
            };
            let [corrections, values, leaves] = layout.sections(gates).map(&mut section);
            let own = &mut message.corrections[start * levels..][..gates * levels];
            bytemuck::cast_slice_mut(own).copy_from_slice(corrections);
            let values = planes::read(values, levels, gates, WHAT)?;
            message.values[start / BATCH * levels..][..levels].copy_from_slice(&values);
            let own = &mut message.leaves[start..][..gates];
            if leaf_bits == 128 {
                bytemuck::cast_slice_mut(own).copy_from_slice(leaves);
            } else {
                let narrow = &mut narrow[..gates];
                unpack(leaves, leaf_bits, narrow).map_err(|e| FssError::from_pack(WHAT, &e))?;
                own.iter_mut().zip(narrow).for_each(|(leaf, word)| *leaf = u128::from(*word));
            }
        }
        Ok(message)
    }
}

// Blocks are read and written as machine words; AES and the wire are little-endian.
#[cfg(target_endian = "big")]
compile_error!("hushwire-fss reads blocks as little-endian words");
