//! The transform in vectors of eight words.
//!
//! All layers but the last three pair whole vectors. The last three pair the halves, quarters and
//! words of two neighbours: three shuffles of two instructions each, and the two vectors stay in the
//! order that this leaves ([`super::GROUP`]), which no other code minds. Layers go through registers
//! seven (the last) or up to four at a time; a block is finished before the next is touched, so all
//! but the first pass find their data in the L1 cache.
//!
//! # What bounds it
//! A butterfly is three multiplications, and two additions where nothing is reduced: the transform is
//! bound by the multiplier, which has N/16 log N times three vectors to do. On Zen 4, one each cycle,
//! these are 20,000 cycles for N = 8192; 24,000 are measured. The excess is shuffles, which share a
//! pipe with the multiplier, and the twiddles of the last layers, as many words as two polynomials.

#![expect(clippy::needless_range_loop, reason = "places of registers, in several arrays")]

use super::{Exit, Input};
use crate::modulus::{Factor, Modulus};
use crate::simd::ifma::{Chunk, Factors, LANES, Prime, V};

/// Layers of the last forward and first inverse pass.
const LAST_LAYERS: u32 = 7;
/// Vectors that this pass does at a time.
const BLOCK: usize = 16;
/// Smallest transform: one layer more.
pub(super) const MIN_N: usize = 2 * BLOCK * LANES;
/// Bytes between vectors from which on they compete for places in the L1 cache, so that no pass
/// takes more than eight.
const FAR: usize = 4096;
/// Forward transforms whose twiddles are asked for before they are read. Smaller ones lose by it, and so
/// do inverse ones.
const LARGE: usize = 1 << 14;
/// Bits of primes below which the inverse transform reduces few values: 64 q is still a word.
const INVERSE_LAZY_BITS: u32 = 46;

/// Eight words on one cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(Chunk);

/// Twiddles of one direction, in the order in which vectors want them.
pub(super) struct Tables {
    modulus: Modulus,
    n: usize,
    /// Of the nodes down to blocks of 16 words.
    nodes: Vec<Factor>,
    /// Of the last three layers, for each two vectors: two nodes, each twice, w and quotient in turn.
    halves: Vec<Line>,
    /// Four nodes, w and quotient in turn.
    quarters: Vec<Line>,
    /// The w of eight nodes, then the quotients.
    words: Vec<[Line; 2]>,
    /// A multiple of q that keeps differences positive.
    offset: u64,
    /// Whether values mostly go unreduced.
    lazy: bool,
}

impl Tables {
    /// From the twiddles of the tree in heap order. In the forward transform, values go unreduced if
    /// `lazy`.
    pub(super) fn forward(modulus: Modulus, tree: &[Factor], lazy: bool) -> Self {
        // Each layer adds or subtracts less than 2q.
        let growth = 2 * u64::from(tree.len().ilog2()) * modulus.q;
        Self::new(modulus, tree, [0, 0, 1, 1], if lazy { growth } else { 0 }, lazy)
    }

    /// From the inverses of the twiddles of the tree in heap order.
    pub(super) fn inverse(modulus: Modulus, tree: &[Factor]) -> Self {
        let lazy = modulus.q < 1 << INVERSE_LAZY_BITS;
        Self::new(modulus, tree, [0, 1, 0, 1], if lazy { 32 } else { 2 } * modulus.q, lazy)
    }

    fn new(
        modulus: Modulus,
        tree: &[Factor],
        half_order: [usize; 4],
        offset: u64,
        lazy: bool,
    ) -> Self {
        let n = tree.len();
        let (half, quarter, word) = (&tree[n / 8..n / 4], &tree[n / 4..n / 2], &tree[n / 2..]);
        let in_turn = |nodes: [Factor; 4]| {
            let node = |i: usize| nodes[i / 2];
            Line(std::array::from_fn(|i| if i % 2 == 0 { node(i).value } else { node(i).quotient }))
        };
        let order = [0, 1, 4, 5, 2, 3, 6, 7];
        let lines = |nodes: &[Factor]| {
            [Line(order.map(|i| nodes[i].value)), Line(order.map(|i| nodes[i].quotient))]
        };
        Self {
            modulus,
            n,
            nodes: tree[..n / 8].to_vec(),
            halves: half.chunks_exact(2).map(|two| in_turn(half_order.map(|i| two[i]))).collect(),
            quarters: quarter
                .chunks_exact(4)
                .map(|four| in_turn([0, 2, 1, 3].map(|i| four[i])))
                .collect(),
            words: word.chunks_exact(8).map(lines).collect(),
            offset,
            lazy,
        }
    }

    /// The first `R` twiddles below a node, in heap order from 1.
    #[inline(always)]
    fn below<const R: usize>(&self, node: usize) -> [Factor; R] {
        let mut out = [Factor::default(); R];
        for depth in 0..R.ilog2() {
            let count = 1 << depth;
            out[count..2 * count].copy_from_slice(&self.nodes[node << depth..][..count]);
        }
        out
    }
}

/// Layers of the passes before the last seven layers, and how many passes there are.
fn passes(n: usize) -> ([u32; 4], usize) {
    let (mut left, mut bytes) = (n.ilog2() - LAST_LAYERS, n * size_of::<u64>());
    let (mut out, mut count) = ([0; 4], 0);
    while left > 0 {
        let most = if bytes / 16 >= FAR { 3 } else { 4 };
        // Equal shares where it does not fit one pass.
        out[count] = left.div_ceil(left.div_ceil(most));
        left -= out[count];
        bytes >>= out[count];
        count += 1;
    }
    (out, count)
}

/// What the first forward pass reads and adds.
struct Entry<'a> {
    input: Input<'a>,
    /// Added to the values that the first layer does not multiply, and to the others.
    offsets: [V; 2],
}

/// out = values at the roots of `input` + `offset`, of equal lengths: reduced, or as words below bits
/// of no meaning.
///
/// # Panics
/// If lengths are wrong.
pub(super) fn forward(
    tables: &Tables,
    out: &mut [u64],
    input: Input<'_>,
    offset: u64,
    reduced: bool,
) {
    assert_eq!(out.len(), tables.n, "length of a transform");
    let out = out.as_chunks_mut().0;
    #[expect(unsafe_code, reason = "calls of functions with target features")]
    // SAFETY: tables are only made where the instructions were detected.
    unsafe {
        match (tables.lazy, reduced) {
            (true, true) => forward_with::<true, true>(tables, out, input, offset),
            (true, false) => forward_with::<true, false>(tables, out, input, offset),
            (false, true) => forward_with::<false, true>(tables, out, input, offset),
            (false, false) => forward_with::<false, false>(tables, out, input, offset),
        }
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn forward_with<const LAZY: bool, const REDUCED: bool>(
    tables: &Tables,
    out: &mut [Chunk],
    input: Input<'_>,
    offset: u64,
) {
    let prime = Prime::new(&tables.modulus);
    let (passes, count) = passes(tables.n);
    let offsets = [prime.splat(offset + tables.offset), prime.splat(offset)];
    pass_forward::<LAZY>(tables, &prime, out, 1, passes[0], Some(&Entry { input, offsets }));
    for (i, block) in out.chunks_exact_mut(out.len() >> passes[0]).enumerate() {
        let node = (1 << passes[0]) + i;
        block_forward::<LAZY, REDUCED>(tables, &prime, block, node, &passes[1..count]);
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn block_forward<const LAZY: bool, const REDUCED: bool>(
    tables: &Tables,
    prime: &Prime,
    block: &mut [Chunk],
    node: usize,
    passes: &[u32],
) {
    let Some((&layers, passes)) = passes.split_first() else {
        return last_forward::<LAZY, REDUCED>(tables, prime, block, node);
    };
    pass_forward::<LAZY>(tables, prime, block, node, layers, None);
    for (i, block) in block.chunks_exact_mut(block.len() >> layers).enumerate() {
        block_forward::<LAZY, REDUCED>(tables, prime, block, (node << layers) + i, passes);
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn pass_forward<const LAZY: bool>(
    tables: &Tables,
    prime: &Prime,
    block: &mut [Chunk],
    node: usize,
    layers: u32,
    entry: Option<&Entry<'_>>,
) {
    match layers {
        1 => radix_forward::<2, LAZY>(tables, prime, block, node, entry),
        2 => radix_forward::<4, LAZY>(tables, prime, block, node, entry),
        3 => radix_forward::<8, LAZY>(tables, prime, block, node, entry),
        _ => radix_forward::<16, LAZY>(tables, prime, block, node, entry),
    }
}

/// log2(R) layers over a block, on R vectors at equal distances at a time.
#[target_feature(enable = "avx512f,avx512ifma")]
fn radix_forward<const R: usize, const LAZY: bool>(
    tables: &Tables,
    prime: &Prime,
    block: &mut [Chunk],
    node: usize,
    entry: Option<&Entry<'_>>,
) {
    match entry {
        None => radix_forward_from::<R, LAZY>(tables, prime, block, node, |block, _, at| {
            prime.load(&block[at])
        }),
        Some(&Entry { input: Input::Own, offsets }) => {
            radix_forward_from::<R, LAZY>(tables, prime, block, node, |block, row, at| {
                prime.add(prime.load(&block[at]), offsets[2 * row / R])
            });
        }
        Some(&Entry { input: Input::One(x), offsets }) => {
            let x = x.as_chunks().0;
            radix_forward_from::<R, LAZY>(tables, prime, block, node, |_, row, at| {
                prime.add(prime.load(&x[at]), offsets[2 * row / R])
            });
        }
        Some(&Entry { input: Input::Two(words, factors), offsets }) => {
            let [x, y] = words.map(|x| x.as_chunks().0);
            let [w, v] = factors.map(|w| prime.factors(w));
            radix_forward_from::<R, LAZY>(tables, prime, block, node, |_, row, at| {
                let sum = prime.sum_of_two([prime.load(&x[at]), prime.load(&y[at])], [w, v]);
                prime.add(sum, offsets[2 * row / R])
            });
        }
    }
}

/// `read` gives the vector of a row, 0 to R, at a place of the block.
#[inline(always)]
fn radix_forward_from<const R: usize, const LAZY: bool>(
    tables: &Tables,
    prime: &Prime,
    block: &mut [Chunk],
    node: usize,
    read: impl Fn(&[Chunk], usize, usize) -> V,
) {
    let twiddles = tables.below::<R>(node);
    let len = block.len() / R;
    for j in 0..len {
        let mut v = [prime.zero; R];
        for i in 0..R {
            v[i] = read(block, i, i * len + j);
        }
        layers_forward::<R, LAZY>(prime, &mut v, &twiddles);
        for i in 0..R {
            prime.store(&mut block[i * len + j], v[i]);
        }
    }
}

#[inline(always)]
fn layers_forward<const R: usize, const LAZY: bool>(
    prime: &Prime,
    v: &mut [V; R],
    twiddles: &[Factor; R],
) {
    for layer in 0..R.ilog2() {
        let half = R >> (layer + 1);
        for block in 0..1 << layer {
            let w = prime.factors(twiddles[(1 << layer) + block]);
            for i in 2 * half * block..2 * half * block + half {
                (v[i], v[i + half]) = butterfly_forward::<LAZY>(prime, v[i], v[i + half], w);
            }
        }
    }
}

/// x + w y and x - w y. Lazily, by less than 2q more and less than x; else, for x below 4q, below 4q.
#[inline(always)]
fn butterfly_forward<const LAZY: bool>(prime: &Prime, x: V, y: V, w: Factors) -> (V, V) {
    if LAZY {
        let sum = prime.add_product(x, y, w);
        return (sum, prime.sub(prime.add(x, x), sum));
    }
    let (x, product) = (prime.sub_once(x, prime.two_q), prime.mul_lazy(y, w));
    (prime.add(x, product), prime.sub(prime.add(x, prime.two_q), product))
}

/// The last seven layers of a block of 16 vectors.
#[target_feature(enable = "avx512f,avx512ifma")]
fn last_forward<const LAZY: bool, const REDUCED: bool>(
    tables: &Tables,
    prime: &Prime,
    block: &mut [Chunk],
    node: usize,
) {
    let Some((block, _)) = block.split_first_chunk_mut::<BLOCK>() else { return };
    let mut v = [prime.zero; BLOCK];
    for i in 0..BLOCK {
        v[i] = prime.load(&block[i]);
    }
    layers_forward::<BLOCK, LAZY>(prime, &mut v, &tables.below::<BLOCK>(node));
    let lines = tables.last_lines(node);
    for i in 0..BLOCK / 2 {
        tables.prefetch_lines(prime, node + 1, i);
        let (x, y) = (v[2 * i], v[2 * i + 1]);
        let (x, y) = (prime.lower_halves(x, y), prime.upper_halves(x, y));
        let w = in_turn(prime, &lines.halves[i]);
        (v[2 * i], v[2 * i + 1]) = butterfly_forward::<LAZY>(prime, x, y, w);
    }
    for i in 0..BLOCK / 2 {
        let (x, y) = (v[2 * i], v[2 * i + 1]);
        let (x, y) = (prime.even_quarters(x, y), prime.odd_quarters(x, y));
        let w = in_turn(prime, &lines.quarters[i]);
        (v[2 * i], v[2 * i + 1]) = butterfly_forward::<LAZY>(prime, x, y, w);
    }
    for i in 0..BLOCK / 2 {
        let (x, y) = (v[2 * i], v[2 * i + 1]);
        let (x, y) = (prime.unpack_lo(x, y), prime.unpack_hi(x, y));
        let w = one_each(prime, &lines.words[i]);
        (v[2 * i], v[2 * i + 1]) = butterfly_forward::<LAZY>(prime, x, y, w);
    }
    for i in 0..BLOCK {
        prime.store(&mut block[i], if REDUCED { prime.reduce(v[i]) } else { v[i] });
    }
}

/// Factors in turn with their quotients, each in two lanes.
#[inline(always)]
fn in_turn(prime: &Prime, line: &Line) -> Factors {
    let line = prime.load(&line.0);
    Factors { value: prime.unpack_lo(line, line), quotient: prime.unpack_hi(line, line) }
}

/// A factor for each lane.
#[inline(always)]
fn one_each(prime: &Prime, [value, quotient]: &[Line; 2]) -> Factors {
    Factors { value: prime.load(&value.0), quotient: prime.load(&quotient.0) }
}

/// Twiddles of the last three layers of a block.
struct LastLines<'a> {
    halves: &'a [Line; BLOCK / 2],
    quarters: &'a [Line; BLOCK / 2],
    words: &'a [[Line; 2]; BLOCK / 2],
}

impl Tables {
    /// For the block of the last layers that a node is.
    #[inline(always)]
    fn last_lines(&self, node: usize) -> LastLines<'_> {
        let block = node - self.n / (BLOCK * LANES);
        LastLines {
            halves: &self.halves.as_chunks().0[block],
            quarters: &self.quarters.as_chunks().0[block],
            words: &self.words.as_chunks().0[block],
        }
    }

    /// Asks for the i-th twiddles of these layers: those of large transforms are not in the L1 cache, and
    /// those of the next block come while this one is computed.
    #[inline(always)]
    fn prefetch_lines(&self, prime: &Prime, node: usize, i: usize) {
        if self.n < LARGE {
            return;
        }
        let at = (node - self.n / (BLOCK * LANES)) * (BLOCK / 2) + i;
        prime.prefetch(&self.halves, at);
        prime.prefetch(&self.quarters, at);
        prime.prefetch(self.words.as_flattened(), 2 * at);
        prime.prefetch(self.words.as_flattened(), 2 * at + 1);
    }
}

/// out = coefficients of reduced values `input` (of out, where there is no input) times a factor, plus
/// `exit.half`: reduced.
///
/// # Panics
/// If lengths are wrong.
pub(super) fn inverse(tables: &Tables, out: &mut [u64], input: Option<&[u64]>, exit: &Exit) {
    assert_eq!(out.len(), tables.n, "length of a transform");
    assert!(input.is_none_or(|input| input.len() == tables.n), "length of a transform");
    let (out, input) = (out.as_chunks_mut().0, input.map(|input| input.as_chunks().0));
    #[expect(unsafe_code, reason = "calls of functions with target features")]
    // SAFETY: tables are only made where the instructions were detected.
    unsafe {
        if tables.lazy {
            inverse_with::<true>(tables, out, input, exit);
        } else {
            inverse_with::<false>(tables, out, input, exit);
        }
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn inverse_with<const LAZY: bool>(
    tables: &Tables,
    out: &mut [Chunk],
    input: Option<&[Chunk]>,
    exit: &Exit,
) {
    let prime = Prime::new(&tables.modulus);
    let (passes, count) = passes(tables.n);
    let len = out.len() >> passes[0];
    for (i, block) in out.chunks_exact_mut(len).enumerate() {
        let input = input.map(|input| &input[i * len..][..len]);
        let node = (1 << passes[0]) + i;
        block_inverse::<LAZY>(tables, &prime, block, input, node, &passes[1..count]);
    }
    pass_inverse::<LAZY>(tables, &prime, out, 1, passes[0], Some(exit));
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn block_inverse<const LAZY: bool>(
    tables: &Tables,
    prime: &Prime,
    block: &mut [Chunk],
    input: Option<&[Chunk]>,
    node: usize,
    passes: &[u32],
) {
    let Some((&layers, passes)) = passes.split_first() else {
        return first_inverse::<LAZY>(tables, prime, block, input, node);
    };
    let len = block.len() >> layers;
    for (i, block) in block.chunks_exact_mut(len).enumerate() {
        let input = input.map(|input| &input[i * len..][..len]);
        block_inverse::<LAZY>(tables, prime, block, input, (node << layers) + i, passes);
    }
    pass_inverse::<LAZY>(tables, prime, block, node, layers, None);
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn pass_inverse<const LAZY: bool>(
    tables: &Tables,
    prime: &Prime,
    block: &mut [Chunk],
    node: usize,
    layers: u32,
    exit: Option<&Exit>,
) {
    match layers {
        1 => radix_inverse::<2, LAZY>(tables, prime, block, node, exit),
        2 => radix_inverse::<4, LAZY>(tables, prime, block, node, exit),
        3 => radix_inverse::<8, LAZY>(tables, prime, block, node, exit),
        _ => radix_inverse::<16, LAZY>(tables, prime, block, node, exit),
    }
}

/// log2(R) layers over a block, on R vectors at equal distances at a time. Lazily, from below 8q to
/// below 8q; else from below 2q to below 2q.
#[target_feature(enable = "avx512f,avx512ifma")]
fn radix_inverse<const R: usize, const LAZY: bool>(
    tables: &Tables,
    prime: &Prime,
    block: &mut [Chunk],
    node: usize,
    exit: Option<&Exit>,
) {
    let twiddles = tables.below::<R>(node);
    let offset = prime.splat(tables.offset);
    let len = block.len() / R;
    for j in 0..len {
        let mut v = [prime.zero; R];
        for i in 0..R {
            v[i] = prime.load(&block[i * len + j]);
        }
        layers_inverse::<R, LAZY>(prime, offset, &mut v, &twiddles);
        if let Some(exit) = exit {
            // The last layer, with a factor for both sides.
            let (sum, difference) = (prime.factors(exit.sum), prime.factors(exit.difference));
            let half = prime.splat(exit.half);
            for i in 0..R / 2 {
                let (x, y) = (v[i], v[i + R / 2]);
                let (x, y) = (prime.add(x, y), prime.sub(prime.add(x, offset), y));
                v[i] = exit_value(prime, prime.mul_lazy(x, sum), half);
                v[i + R / 2] = exit_value(prime, prime.mul_lazy(y, difference), half);
            }
        } else {
            layer_inverse::<R, LAZY>(prime, offset, &mut v, R.ilog2() - 1, &twiddles);
            // Of what the layers only added up, the first vector has 8 R q, the second R q.
            if LAZY && R == 16 {
                v[1] = prime.reduce_lazy(v[1]);
            } else if LAZY {
                v[0] = prime.reduce_lazy(v[0]);
            }
        }
        for i in 0..R {
            prime.store(&mut block[i * len + j], v[i]);
        }
    }
}

/// x + half mod q for x below 2q.
#[inline(always)]
fn exit_value(prime: &Prime, x: V, half: V) -> V {
    prime.sub_once(prime.sub_once(prime.add(x, half), prime.q), prime.q)
}

/// All layers but the last. Lazily, from below 8q to below 32q.
#[inline(always)]
fn layers_inverse<const R: usize, const LAZY: bool>(
    prime: &Prime,
    offset: V,
    v: &mut [V; R],
    twiddles: &[Factor; R],
) {
    for layer in 0..R.ilog2() - 1 {
        layer_inverse::<R, LAZY>(prime, offset, v, layer, twiddles);
    }
    // Three layers of sums leave 64q where there was no product.
    if LAZY && R == 16 {
        v[0] = prime.reduce_lazy(v[0]);
        v[8] = prime.reduce_lazy(v[8]);
    }
}

#[inline(always)]
fn layer_inverse<const R: usize, const LAZY: bool>(
    prime: &Prime,
    offset: V,
    v: &mut [V; R],
    layer: u32,
    twiddles: &[Factor; R],
) {
    let half = 1 << layer;
    let blocks = R >> (layer + 1);
    for block in 0..blocks {
        let w = prime.factors(twiddles[blocks + block]);
        for i in 2 * half * block..2 * half * block + half {
            (v[i], v[i + half]) = butterfly_inverse::<LAZY>(prime, offset, v[i], v[i + half], w);
        }
    }
}

/// x + y and w (x - y), the product below 2q. Lazily, for x and y below 32q; else for x and y below 2q,
/// and the sum is below 2q.
#[inline(always)]
fn butterfly_inverse<const LAZY: bool>(prime: &Prime, offset: V, x: V, y: V, w: Factors) -> (V, V) {
    let (sum, difference) = (prime.add(x, y), prime.sub(prime.add(x, offset), y));
    if LAZY {
        (sum, prime.add_product(prime.zero, difference, w))
    } else {
        (prime.sub_once(sum, offset), prime.mul_lazy(difference, w))
    }
}

/// The first seven layers of a block of 16 vectors, from reduced values.
#[target_feature(enable = "avx512f,avx512ifma")]
fn first_inverse<const LAZY: bool>(
    tables: &Tables,
    prime: &Prime,
    block: &mut [Chunk],
    input: Option<&[Chunk]>,
    node: usize,
) {
    let offset = prime.splat(tables.offset);
    let lines = tables.last_lines(node);
    let mut v = [prime.zero; BLOCK];
    let Some((source, _)) = input.unwrap_or(block).split_first_chunk::<BLOCK>() else { return };
    for i in 0..BLOCK {
        v[i] = prime.load(&source[i]);
    }
    for i in 0..BLOCK / 2 {
        let w = one_each(prime, &lines.words[i]);
        let (x, y) = butterfly_inverse::<LAZY>(prime, offset, v[2 * i], v[2 * i + 1], w);
        (v[2 * i], v[2 * i + 1]) = (prime.unpack_lo(x, y), prime.unpack_hi(x, y));
    }
    for i in 0..BLOCK / 2 {
        let w = in_turn(prime, &lines.quarters[i]);
        let (x, y) = butterfly_inverse::<LAZY>(prime, offset, v[2 * i], v[2 * i + 1], w);
        (v[2 * i], v[2 * i + 1]) = (prime.lower_halves(x, y), prime.upper_halves(x, y));
    }
    for i in 0..BLOCK / 2 {
        let w = in_turn(prime, &lines.halves[i]);
        let (x, y) = butterfly_inverse::<LAZY>(prime, offset, v[2 * i], v[2 * i + 1], w);
        (v[2 * i], v[2 * i + 1]) = (prime.even_quarters(x, y), prime.odd_quarters(x, y));
    }
    let twiddles = tables.below::<BLOCK>(node);
    layers_inverse::<BLOCK, LAZY>(prime, offset, &mut v, &twiddles);
    layer_inverse::<BLOCK, LAZY>(prime, offset, &mut v, BLOCK.ilog2() - 1, &twiddles);
    if LAZY {
        v[1] = prime.reduce_lazy(v[1]);
    }
    let Some((block, _)) = block.split_first_chunk_mut::<BLOCK>() else { return };
    for i in 0..BLOCK {
        prime.store(&mut block[i], v[i]);
    }
}
