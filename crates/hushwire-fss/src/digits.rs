//! Comparison by one-hot digit tables: one opening of 2(D-1) bits per gate.
//!
//! P0 and P1 know `public`, the helper P2 knows `secret`; they want XOR shares of
//! 1{public < secret}. Values are cut into D digits of [`DIGIT`] bits, most significant first; the
//! top digit may be shorter.
//!
//! **Tables.** For digit i, P2 shares the one-hot word of secret's digit s_i: P0 holds a_i, P1
//! holds b_i with a_i ^ b_i = 2^(s_i). Looking up the public digit p_i is local:
//!   \[eq_i\] = word\[p_i\],   \[lt_i\] = XOR of word\[j\] over j > p_i.
//! P0's word comes from the P0-P2 PRF with even parity, so P1's has odd parity (as a one-hot word
//! has) and its last bit need not be sent: 2^4 - 1 bits per full digit.
//!
//! **Combination.** 1{public < secret} = lt_0 ^ XOR_{i>=1} eq_0 ... eq_{i-1} lt_i: at most one term
//! is one. Every bit used in a product is opened under a mask of its own, E = eq ^ m (both halves
//! of m from PRFs), and every product of masks that the expansion of a term needs is dealt:
//!   eq_0 ... eq_{i-1} lt_i = XOR over S of (AND of E_j, j not in S) & \[AND of m_j, j in S\].
//! Products of two masks or more: 3 * 2^(D-1) - 2D - 1 bits, P0's from the PRF, P1's sent. The
//! client adds the one public term (S empty). With D = 1 nothing is opened.
//!
//! **Knots.** The same secret can be compared with several public values: the tables are looked up
//! once for each of these *knots*, so only the masks and the products are needed anew.
//!
//! **Security** (semi-honest, no collusion). P0 sees only its PRF and the opened bits; P1 sees
//! tables uniform among words of odd parity, uniform product shares and the opened bits; opened
//! bits are uniform, each under a mask with a half that the viewer does not know and that is used
//! once. P2 sees nothing. The same digits appear in Sigma (Gupta et al., PETS 2024) and in
//! CrypTFlow2 (Rathee et al., CCS 2020), there by oblivious transfer.
//!
//! **Parts.** 64 gates are a block. A range of gates that starts with a block can be dealt, looked up
//! and combined by itself: with the streams moved on by [`Shape::client_stream_len`] and
//! [`Shape::server_stream_len`] of the gates before it, its messages are the parts of the whole ones
//! that start after [`Shape::message_len`] and [`Shape::opening_len`] of them.
//!
//! Everything is evaluated on bit planes, 64 gates to a word, without a branch or an index that
//! depends on a value: running time tells nothing.
//!
//! # What bounds it
//! Words that are read once: a 16-bit comparison keeps 85 planes, 11 bytes a gate, and computes
//! about one logical operation for each. There is no hand-written vector code because there is little
//! to win: by `perf record hushwire bench --suite micro --only relu.`, tables, look-ups, combination
//! and transposition take 7 percent of 2^20 ReLUs in three processes (as much as zeroing the pages
//! they lie in), and 1 percent of a ResNet-50 inference.

use core::fmt;

use hushwire_ring::Bits;
use zeroize::{Zeroize, Zeroizing};

use crate::planes::{self, LANES, Party};
use crate::transpose::to_planes;
use crate::{FssError, Stream};

/// Bits per digit.
pub const DIGIT: u32 = 4;

/// Greatest number of digits: beyond eight, products of masks outweigh everything else.
const MAX_DIGITS: usize = 8;

/// Greatest width that this method compares.
pub const MAX_WIDTH: u32 = MAX_DIGITS as u32 * DIGIT;

/// Greatest number of public values that one secret is compared with.
pub const MAX_KNOTS: usize = 63;

/// Subsets of the `equal` bits.
const MAX_SUBSETS: usize = 1 << (MAX_DIGITS - 1);

/// How values of a width are cut into digits, and what that costs per gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    width: u32,
    knots: usize,
}

impl Shape {
    /// The shape of a comparison of `width` bits.
    ///
    /// # Errors
    /// Unless `width` is in `1..=32` ([`MAX_WIDTH`]).
    pub fn new(width: u32) -> Result<Self, FssError> {
        if (1..=MAX_WIDTH).contains(&width) {
            Ok(Self { width, knots: 1 })
        } else {
            Err(FssError::Width { width, max: MAX_WIDTH })
        }
    }

    /// The same with every secret compared with `knots` public values, by the same tables.
    ///
    /// # Errors
    /// Unless `knots` is in `1..=63` ([`MAX_KNOTS`]).
    pub fn at_knots(self, knots: usize) -> Result<Self, FssError> {
        if (1..=MAX_KNOTS).contains(&knots) {
            Ok(Self { knots, ..self })
        } else {
            Err(FssError::Knots { knots, max: MAX_KNOTS })
        }
    }

    /// Bits compared.
    #[must_use]
    pub fn width(self) -> u32 {
        self.width
    }

    /// Number of digits, D.
    #[must_use]
    pub fn digits(self) -> usize {
        self.width.div_ceil(DIGIT) as usize
    }

    /// Bits of digit `i`, the most significant being digit 0.
    fn digit_bits(self, i: usize) -> usize {
        if i == 0 {
            (self.width - (self.digits() as u32 - 1) * DIGIT) as usize
        } else {
            DIGIT as usize
        }
    }

    /// Bits of all one-hot words of a gate.
    #[must_use]
    pub fn table_bits(self) -> usize {
        (0..self.digits()).map(|i| 1 << self.digit_bits(i)).sum()
    }

    /// Bits that each party opens per gate, 2(D-1) for each knot.
    #[must_use]
    pub fn opened_planes(self) -> usize {
        self.knots * self.opened_per_knot()
    }

    fn opened_per_knot(self) -> usize {
        2 * (self.digits() - 1)
    }

    /// Products of masks dealt per gate: 3 * 2^(D-1) - 2D - 1 for each knot, and none if D = 1.
    #[must_use]
    pub fn product_planes(self) -> usize {
        self.knots * self.products_per_knot()
    }

    fn products_per_knot(self) -> usize {
        let digits = self.digits();
        if digits == 1 { 0 } else { 3 * (1 << (digits - 1)) - 2 * digits - 1 }
    }

    /// Bits sent to P1 per gate: one bit of each one-hot word follows from its parity.
    #[must_use]
    pub fn dealt_planes(self) -> usize {
        self.table_bits() - self.digits() + self.product_planes()
    }

    /// Bytes of the helper's message to P1 for `count` gates.
    #[must_use]
    pub fn message_len(self, count: usize) -> usize {
        planes::message_len(self.dealt_planes(), count)
    }

    /// Bytes that P0's stream gives for `count` gates.
    #[must_use]
    pub fn client_stream_len(self, count: usize) -> u64 {
        (count.div_ceil(LANES) * self.drawn_planes() * 8) as u64
    }

    /// Bytes that P1's stream gives for `count` gates.
    #[must_use]
    pub fn server_stream_len(self, count: usize) -> u64 {
        (count.div_ceil(LANES) * self.opened_planes() * 8) as u64
    }

    /// Bytes of each party's opening for `count` gates.
    #[must_use]
    pub fn opening_len(self, count: usize) -> usize {
        planes::message_len(self.opened_planes(), count)
    }

    /// Planes that a party keeps: whole tables, its mask halves, its product shares.
    fn kept_planes(self) -> usize {
        self.table_bits() + self.opened_planes() + self.product_planes()
    }

    /// Planes that P0 draws: as kept, less one per table.
    fn drawn_planes(self) -> usize {
        self.kept_planes() - self.digits()
    }
}

/// Deals `secret.len()` comparisons and returns the message for P1. Run by the helper.
///
/// `p0` is the P0-P2 stream and `p1` the P1-P2 stream; the parties must read theirs from the same
/// position. Bits of a secret beyond the width are ignored.
#[must_use]
pub fn deal(shape: Shape, p0: &mut Stream, p1: &mut Stream, secret: &[u64]) -> Vec<u8> {
    let (drawn, dealt) = (shape.drawn_planes(), shape.dealt_planes());
    let opened = shape.opened_planes();
    let count = secret.len();
    let blocks = count.div_ceil(LANES);
    let shares = Zeroizing::new(p0.words::<u64>(blocks * drawn));
    let masks = Zeroizing::new(p1.words::<u64>(blocks * opened));
    let mut message = vec![0; blocks * dealt];
    let mut bits = Zeroizing::new([0; MAX_WIDTH as usize]);
    for (block, gates) in secret.chunks(LANES).enumerate() {
        let share = &shares[block * drawn..][..drawn];
        let mask1 = &masks[block * opened..][..opened];
        let out = &mut message[block * dealt..][..dealt];
        let bits = &mut bits[..shape.width as usize];
        to_planes(gates, bits);

        let tables = shape.table_bits() - shape.digits();
        let (out_tables, out_products) = out.split_at_mut(tables);
        let (share_tables, rest) = share.split_at(tables);
        let (mask0, share_products) = rest.split_at(opened);
        let mut at = 0;
        let mut top = bits.len();
        for i in 0..shape.digits() {
            let size = shape.digit_bits(i);
            let hot = one_hot(&bits[top - size..top]);
            let sent = (1 << size) - 1;
            for j in 0..sent {
                out_tables[at + j] = hot[j] ^ share_tables[at + j];
            }
            at += sent;
            top -= size;
        }

        let (own, per_knot) = (shape.opened_per_knot(), shape.products_per_knot());
        for knot in 0..shape.knots {
            let mut mask = [0; 2 * (MAX_DIGITS - 1)];
            let halves = mask0[knot * own..].iter().zip(&mask1[knot * own..]);
            for (m, (a, b)) in mask[..own].iter_mut().zip(halves) {
                *m = a ^ b;
            }
            mask_products(shape, &mask[..own], &mut out_products[knot * per_knot..][..per_knot]);
        }
        for (out, share) in out_products.iter_mut().zip(share_products) {
            *out ^= share;
        }
    }
    let mut bytes = Vec::new();
    planes::write(&message, dealt, count, &mut bytes);
    bytes
}

/// The planes of the one-hot word of a digit given by its bit planes, least significant first.
fn one_hot(bits: &[u64]) -> [u64; 1 << DIGIT] {
    let mut hot = [0; 1 << DIGIT];
    hot[0] = u64::MAX;
    for (k, &bit) in bits.iter().enumerate() {
        for j in 0..1 << k {
            hot[j | 1 << k] = hot[j] & bit;
            hot[j] &= !bit;
        }
    }
    hot
}

/// Products of two masks or more, in the order in which they are dealt: those of `equal` masks
/// (subset S, ascending), then for each i those of `equal` masks among the first i with `less`
/// mask i.
fn mask_products(shape: Shape, masks: &[u64], out: &mut [u64]) {
    if shape.digits() == 1 {
        return;
    }
    let terms = shape.digits() - 1;
    let (equal, less) = masks.split_at(terms);
    let mut product = [u64::MAX; MAX_SUBSETS];
    for s in 1..1_usize << terms {
        product[s] = product[s & (s - 1)] & equal[s.trailing_zeros() as usize];
    }
    let mut out = out.iter_mut();
    for (s, _) in product.iter().enumerate().take(1 << terms).filter(|(s, _)| s.count_ones() >= 2) {
        if let Some(out) = out.next() {
            *out = product[s];
        }
    }
    for i in 1..=terms {
        for (p, out) in product[1..1 << i].iter().zip(out.by_ref()) {
            *out = p & less[i - 1];
        }
    }
}

/// One party's dealt material; looking values up consumes it.
pub struct Tables {
    shape: Shape,
    count: usize,
    party: Party,
    /// Per block of 64 gates: tables, mask halves, product shares.
    words: Zeroizing<Vec<u64>>,
}

impl Tables {
    /// P0's tables, all from the P0-P2 stream.
    #[must_use]
    pub fn client(shape: Shape, count: usize, p0: &mut Stream) -> Self {
        let drawn = shape.drawn_planes();
        let blocks = count.div_ceil(LANES);
        let shares = Zeroizing::new(p0.words::<u64>(blocks * drawn));
        let tables = shape.table_bits() - shape.digits();
        let mut words = Zeroizing::new(Vec::with_capacity(blocks * shape.kept_planes()));
        for share in shares.chunks_exact(drawn) {
            complete_tables(shape, &share[..tables], 0, &mut words);
            words.extend_from_slice(&share[tables..]);
        }
        Self { shape, count, party: Party::Client, words }
    }

    /// P1's tables, from the P1-P2 stream and the helper's message.
    ///
    /// # Errors
    /// If the message does not have the shape's length, or its padding is not zero.
    pub fn server(
        shape: Shape,
        count: usize,
        p1: &mut Stream,
        message: &[u8],
    ) -> Result<Self, FssError> {
        let (dealt, opened) = (shape.dealt_planes(), shape.opened_planes());
        let message = Zeroizing::new(planes::read(message, dealt, count, "digit tables")?);
        let blocks = count.div_ceil(LANES);
        let masks = Zeroizing::new(p1.words::<u64>(blocks * opened));
        let tables = shape.table_bits() - shape.digits();
        let mut words = Zeroizing::new(Vec::with_capacity(blocks * shape.kept_planes()));
        for (block, dealt) in message.chunks_exact(dealt).enumerate() {
            complete_tables(shape, &dealt[..tables], u64::MAX, &mut words);
            words.extend_from_slice(&masks[block * opened..][..opened]);
            words.extend_from_slice(&dealt[tables..]);
        }
        Ok(Self { shape, count, party: Party::Server, words })
    }

    /// Number of comparisons.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Looks the public values up: shares of each digit's `less` and `equal`, masked for opening.
    ///
    /// # Panics
    /// If there are not as many values as comparisons, or the shape has several knots: both are the
    /// caller's own.
    #[must_use]
    pub fn look_up(self, public: &[u64]) -> Opening {
        self.look_up_at(&[public])
    }

    /// Looks up one sequence of public values for each knot.
    ///
    /// # Panics
    /// If there are not as many sequences as knots or not as many values as comparisons: both are the
    /// caller's own.
    #[must_use]
    pub fn look_up_at(self, knots: &[&[u64]]) -> Opening {
        let Self { shape, count, party, words } = self;
        assert_eq!(knots.len(), shape.knots, "one sequence of values per knot");
        let (kept, opened) = (shape.kept_planes(), shape.opened_planes());
        let (per_knot, terms) = (shape.opened_per_knot(), shape.digits() - 1);
        let blocks = count.div_ceil(LANES);
        let mut first = Zeroizing::new(vec![0; shape.knots * blocks]);
        let mut own = Zeroizing::new(vec![0; blocks * opened]);
        let mut bits = [0; MAX_WIDTH as usize];
        for (knot, public) in knots.iter().enumerate() {
            assert_eq!(public.len(), count, "one public value per comparison");
            for (block, gates) in public.chunks(LANES).enumerate() {
                let words = &words[block * kept..][..kept];
                let (mut table, rest) = words.split_at(shape.table_bits());
                let masks = &rest[knot * per_knot..][..per_knot];
                let own = &mut own[block * opened + knot * per_knot..][..per_knot];
                let bits = &mut bits[..shape.width as usize];
                to_planes(gates, bits);
                let mut top = bits.len();
                for i in 0..=terms {
                    let size = shape.digit_bits(i);
                    let (word, after) = table.split_at(1 << size);
                    let (equal, less) = look_up_digit(word, &bits[top - size..top]);
                    if i < terms {
                        own[i] = equal ^ masks[i];
                    }
                    match i.checked_sub(1) {
                        None => first[knot * blocks + block] = less,
                        Some(i) => own[terms + i] = less ^ masks[terms + i],
                    }
                    table = after;
                    top -= size;
                }
            }
        }
        Opening { shape, count, party, words, first, own }
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables")
            .field("shape", &self.shape)
            .field("count", &self.count)
            .field("party", &self.party)
            .finish_non_exhaustive()
    }
}

/// Appends whole tables: each word's last bit makes its parity `odd` (all ones or zero).
fn complete_tables(shape: Shape, mut sent: &[u64], odd: u64, out: &mut Vec<u64>) {
    for i in 0..shape.digits() {
        let (word, rest) = sent.split_at((1 << shape.digit_bits(i)) - 1);
        out.extend_from_slice(word);
        out.push(word.iter().fold(odd, |parity, plane| parity ^ plane));
        sent = rest;
    }
}

/// Shares of (public digit = secret digit, public digit < secret digit).
fn look_up_digit(table: &[u64], bits: &[u64]) -> (u64, u64) {
    let mut equal = [0; 1 << DIGIT];
    let mut less = [0; 1 << DIGIT];
    let mut above = 0;
    for (j, &plane) in table.iter().enumerate().rev() {
        equal[j] = plane;
        less[j] = above;
        above ^= plane;
    }
    (select(&mut equal, bits), select(&mut less, bits))
}

/// Entry `bits` of a table of planes, by a tree of multiplexers.
fn select(table: &mut [u64; 1 << DIGIT], bits: &[u64]) -> u64 {
    let mut half = 1 << bits.len();
    for &bit in bits {
        half /= 2;
        for j in 0..half {
            table[j] = table[2 * j] ^ (bit & (table[2 * j] ^ table[2 * j + 1]));
        }
    }
    table[0]
}

/// Looked-up values between the opening of the masked bits and the result.
pub struct Opening {
    shape: Shape,
    count: usize,
    party: Party,
    words: Zeroizing<Vec<u64>>,
    /// Shares of `less` of digit 0, knot by knot.
    first: Zeroizing<Vec<u64>>,
    /// Own shares of the masked bits.
    own: Zeroizing<Vec<u64>>,
}

impl Opening {
    /// This party's shares of the opened bits, [`Shape::opening_len`] bytes for the peer.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let mut out = Vec::new();
        planes::write(&self.own, self.shape.opened_planes(), self.count, &mut out);
        out
    }

    /// This party's XOR shares of 1{public < secret}, given the peer's message; of the first knot if
    /// there are several.
    ///
    /// # Errors
    /// If the message does not have the opening's length, or its padding is not zero.
    pub fn combine(self, peer: &[u8]) -> Result<Bits, FssError> {
        Ok(self.combine_at(peer)?.swap_remove(0))
    }

    /// As [`Opening::combine`], for each knot.
    ///
    /// # Errors
    /// If the message does not have the opening's length, or its padding is not zero.
    pub fn combine_at(self, peer: &[u8]) -> Result<Vec<Bits>, FssError> {
        let Self { shape, count, party, words, mut first, own } = self;
        let opened = shape.opened_planes();
        let peer = planes::read(peer, opened, count, "digit opening")?;
        let blocks = count.div_ceil(LANES);
        let (per_knot, products_per_knot) = (shape.opened_per_knot(), shape.products_per_knot());
        let kept = shape.kept_planes();
        let whole = (0..shape.knots).map(|knot| {
            let mut sums = first[knot * blocks..][..blocks].to_vec();
            if opened > 0 {
                for (block, out) in sums.iter_mut().enumerate() {
                    let range = block * opened + knot * per_knot..;
                    let pairs = own[range.clone()].iter().zip(&peer[range]);
                    let mut open = [0; 2 * (MAX_DIGITS - 1)];
                    for (e, (a, b)) in open[..per_knot].iter_mut().zip(pairs) {
                        *e = a ^ b;
                    }
                    let material = &words[block * kept..][shape.table_bits()..kept];
                    let (masks, products) = material.split_at(opened);
                    let masks = &masks[knot * per_knot..][..per_knot];
                    let products = &products[knot * products_per_knot..][..products_per_knot];
                    *out ^= expand(shape, party, &open[..per_knot], masks, products);
                }
            }
            planes::to_bits(count, sums)
        });
        let shares = whole.collect();
        first.zeroize();
        Ok(shares)
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("shape", &self.shape)
            .field("count", &self.count)
            .field("party", &self.party)
            .finish_non_exhaustive()
    }
}

/// Shares of XOR_{i>=1} eq_0 ... eq_{i-1} lt_i.
///
/// With S over the subsets of the first i digits, C_i(S) the AND of the opened eq_j outside S,
/// and \[S\] the share of the product of the masks in S:
///   term i = XOR over S of C_i(S) & (L_i & \[S\] ^ \[S and lt_i\]).
fn expand(shape: Shape, party: Party, open: &[u64], masks: &[u64], products: &[u64]) -> u64 {
    let terms = shape.digits() - 1;
    let mut equal = [0; MAX_SUBSETS];
    equal[0] = party.one();
    let mut products = products.iter();
    for s in 1_usize..1 << terms {
        equal[s] = if s.count_ones() == 1 {
            masks[s.trailing_zeros() as usize]
        } else {
            products.next().copied().unwrap_or_default()
        };
    }
    let mut coefficient = [0; MAX_SUBSETS];
    coefficient[0] = u64::MAX;
    let mut sum = 0;
    for i in 1..=terms {
        let half = 1 << (i - 1);
        for s in 0..half {
            coefficient[s | half] = coefficient[s];
            coefficient[s] &= open[i - 1];
        }
        let less = open[terms + i - 1];
        sum ^= coefficient[0] & (less & equal[0] ^ masks[terms + i - 1]);
        for s in 1..1 << i {
            let product = products.next().copied().unwrap_or_default();
            sum ^= coefficient[s] & (less & equal[s] ^ product);
        }
    }
    sum
}
