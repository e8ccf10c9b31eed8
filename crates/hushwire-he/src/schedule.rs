//! Levels, scales and primes.
//!
//! A value is rescaled once, after its product: first to last, an affine map multiplies the scale by
//! that of the weights, a square squares it, and one or two primes bring it back. So a layer with its
//! square takes `s + 2 w` bits of modulus where the usual one rescaling per product takes `2 (s + w)`,
//! with `s` bits for a value and `w` for a weight. How large the scale is after each layer is free
//! within bounds, and chosen such that few primes, each as large as the machine's words allow, are
//! enough: their number is what time depends on.
//!
//! Bits of a value are those of its largest magnitude times the scale.

use crate::network::{Network, Product};
use crate::plan::Parameters;
use crate::ranges::Ranges;

/// Largest primes of ciphertexts, in bits: two less than the largest key-switching prime, so that
/// switching adds less noise than rescaling.
const MAX_PRIME: i32 = 48;
/// Smallest primes, in bits: there are enough of them for every degree.
const MIN_PRIME: i32 = 26;
/// Primes of key switching, in bits.
const SPECIAL: u32 = 50;
/// Special primes beside the first, for key switching below the top level, where security leaves
/// room for them.
const SPECIALS: usize = 3;
/// Bits for values larger than any that was measured, before a square.
const HEADROOM: f64 = 1.0;
/// Bits above the least scale that are tried.
const SPAN: i32 = 28;
/// Most primes after one layer.
const MAX_GROUP: i32 = 3;
/// Relative precision of every value in bits: at most what is of use, at least what is tolerable.
const PRECISION: [f64; 2] = [15.0, 9.0];

/// log2 of how much smaller than the result the noise is that the server adds to it: so much that it
/// changes no label but between scores that are equal to nine bits.
const FLOOD: f64 = 9.0;

/// Levels and scales of every value.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Ring and primes.
    pub parameters: Parameters,
    /// For each value the level of its affine map and product.
    pub before: Vec<usize>,
    /// For each value its level.
    pub after: Vec<usize>,
    /// For each value log2 of its scale.
    pub log_scales: Vec<f64>,
    /// Bits of relative precision that values keep.
    pub precision: f64,
    /// Standard deviation of the noise that the server adds to results.
    pub flood: f64,
}

/// No parameter set is large enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TooDeep {
    /// log2 of the modulus QP that the network needs at the degree in question.
    pub bits: f64,
    /// What security allows.
    pub limit: f64,
    /// Multiplicative levels of the network.
    pub levels: usize,
}

/// What each depth of the network asks for.
#[derive(Clone, Debug)]
struct Step {
    /// Bits by which an affine map raises the scaled magnitude at least; nothing without one.
    raise: Option<f64>,
    /// Whether some value is a product.
    product: bool,
    /// Least bits of the values behind it.
    least: f64,
    /// How many more they may have.
    span: i32,
}

impl Default for Step {
    fn default() -> Self {
        Self { raise: None, product: false, least: 0.0, span: SPAN }
    }
}

impl Schedule {
    /// The schedule for a ring of degree `2^log_degree`, whose modulus may have `limit` bits.
    ///
    /// # Errors
    /// If the limit is too low.
    pub fn new(
        network: &Network,
        ranges: &Ranges,
        log_degree: u32,
        limit: f64,
    ) -> Result<Self, TooDeep> {
        let [best, least] = PRECISION;
        let problem = Problem { network, ranges, log_degree, limit };
        let mut found = problem.solve(least)?;
        let mut precision = least;
        // Precision that costs no further prime is free.
        while precision + 0.25 <= best {
            match problem.solve(precision + 0.25) {
                Ok(better) if better.cost <= found.cost => found = better,
                _ => break,
            }
            precision += 0.25;
        }
        Ok(problem.schedule(&found, precision))
    }
}

struct Problem<'a> {
    network: &'a Network,
    ranges: &'a Ranges,
    log_degree: u32,
    limit: f64,
}

/// Bits behind each depth and primes of each; position 0 is the input.
#[derive(Clone, Debug)]
struct Solution {
    cost: u64,
    bits: f64,
    scales: Vec<f64>,
    /// Bits of the primes that go after each depth but the last, and that are left at the end.
    groups: Vec<Vec<u32>>,
}

impl Problem<'_> {
    /// log2 of the noise in a slot after encryption, after rescaling and of encoding, in units of
    /// the plaintext: of errors of deviation 3.2, of rounding times a ternary secret, of rounding.
    fn noise(&self) -> [f64; 3] {
        // A slot is the sum of N coefficients times 2 cos.
        let spread = f64::from(self.log_degree + 1) / 2.0;
        let fresh = 3.2_f64.log2() + spread;
        let secret = (1.0 + 2.0 / 3.0 * f64::from(self.log_degree + 1).exp2()) / 12.0;
        [fresh, spread + secret.log2() / 2.0 + 0.5, spread - 12_f64.log2() / 2.0]
    }

    fn steps(&self, precision: f64) -> Vec<Step> {
        let (depths, plain) = (self.network.depths(), self.network.plain());
        let [fresh, rescaled, encoded] = self.noise();
        let last = depths.iter().max().copied().unwrap_or(0);
        let mut steps = vec![Step::default(); last + 1];
        let aligned = crate::assemble::only_reader(self.network).is_some();
        for (i, depth) in depths.iter().enumerate() {
            let magnitude = self.ranges.values[i];
            let crest = (magnitude.max / magnitude.rms).log2();
            let noise = if i == 0 && aligned { fresh } else { rescaled };
            let least = &mut steps[*depth].least;
            *least = least.max((precision + noise + crest).ceil());
        }
        for (i, value) in self.network.values.iter().enumerate() {
            let Some(stage) = &value.stage else { continue };
            let depth = depths[i];
            let skips = stage.sources().any(|source| depths[source] + 1 < depth);
            if skips {
                // Sources of other depths count on the least scale there.
                steps[..depth].iter_mut().for_each(|step| step.span = 0);
            }
            for (term, rms) in stage.terms.iter().zip(&self.ranges.weights[i]).filter(|_| !plain[i])
            {
                let growth =
                    self.ranges.before[i].max / (self.ranges.values[term.source].max * rms);
                let above = steps[depths[term.source]].least - steps[depth - 1].least;
                let raise = growth.log2() + precision + encoded + above;
                steps[depth].raise =
                    Some(steps[depth].raise.map_or(raise, |known| known.max(raise)));
            }
            steps[depth].product |= stage.product != Product::None;
        }
        steps
    }

    /// The cheapest scales and primes for a precision.
    fn solve(&self, precision: f64) -> Result<Solution, TooDeep> {
        let steps = self.steps(precision);
        let cheapest = search(&steps, |s| (s.cost, s.bits as u64));
        let room = self.limit - f64::from(SPECIAL);
        if let Some(found) = cheapest.filter(|s| s.bits <= room) {
            return Ok(found);
        }
        let smallest = search(&steps, |s| (s.bits as u64, s.cost));
        let bits = smallest.as_ref().map_or(f64::INFINITY, |s| s.bits) + f64::from(SPECIAL);
        smallest.filter(|s| s.bits <= room).ok_or(TooDeep {
            bits,
            limit: self.limit,
            levels: steps.iter().map(Step::levels).sum(),
        })
    }

    fn schedule(&self, solution: &Solution, precision: f64) -> Schedule {
        let depths = self.network.depths();
        let last = solution.groups.len() - 1;
        // Primes that are left behind each depth.
        let left = |depth: usize| {
            solution.groups[(depth + 1).min(last)..].iter().map(Vec::len).sum::<usize>()
        };
        let level = |depth: usize| left(depth) - 1;
        let mut data_bits = Vec::new();
        solution.groups.iter().rev().for_each(|group| data_bits.extend(group));
        let scale = |(i, depth): (usize, &usize)| {
            solution.scales[*depth] - self.ranges.values[i].max.log2()
        };
        Schedule {
            parameters: Parameters {
                log_degree: self.log_degree,
                data_bits,
                special_bits: vec![SPECIAL; SPECIALS],
            },
            before: depths.iter().map(|d| level(d.saturating_sub(1))).collect(),
            after: depths.iter().map(|d| level(*d)).collect(),
            log_scales: depths.iter().enumerate().map(scale).collect(),
            precision,
            flood: self.ranges.values.last().map_or(0.0, |result| result.rms / FLOOD.exp2()),
        }
    }
}

/// Partial solutions by dynamic programming over depths, kept by scale and number of primes.
fn search<K: Ord>(steps: &[Step], key: impl Fn(&Solution) -> K) -> Option<Solution> {
    let last = steps.len() - 1;
    let start =
        Solution { cost: 0, bits: 0.0, scales: vec![steps[0].least], groups: vec![Vec::new()] };
    let mut partial: Vec<Solution> = vec![start];
    for step in &steps[1..last] {
        let mut next: Vec<Solution> = Vec::new();
        for known in &partial {
            let from = known.scales[known.scales.len() - 1];
            for extra in 0..=step.span {
                let to = step.least + f64::from(extra);
                for count in 1..=MAX_GROUP {
                    let Some(bits) = step.bits(from, to, count) else { continue };
                    let mut longer = known.clone();
                    longer.bits += bits;
                    longer.scales.push(to);
                    longer.groups.push(split(bits, count));
                    longer.cost = cost(&longer.groups);
                    next.push(longer);
                }
            }
        }
        partial = reduced(next, &key);
    }
    let finish = |known: Solution| {
        let from = known.scales[known.scales.len() - 1];
        let step = &steps[last];
        let raised = from + step.raise.unwrap_or(0.0);
        let factors = if step.product { 2.0 } else { 1.0 };
        let scaled = factors * raised;
        let bits = (scaled + factors * HEADROOM + 1.0).ceil().max(f64::from(MIN_PRIME));
        let count = (bits / f64::from(MAX_PRIME)).ceil() as i32;
        let mut whole = known;
        whole.bits += bits;
        whole.scales.push(scaled);
        whole.groups.push(split(bits, count));
        whole.cost = cost(&whole.groups);
        whole
    };
    partial.into_iter().map(finish).min_by_key(|s| key(s))
}

/// For each scale and number of primes the best solution.
fn reduced<K: Ord>(mut all: Vec<Solution>, key: impl Fn(&Solution) -> K) -> Vec<Solution> {
    let state = |s: &Solution| {
        let primes: Vec<usize> = s.groups.iter().map(Vec::len).collect();
        (s.scales[s.scales.len() - 1] as i64, primes.iter().sum::<usize>())
    };
    all.sort_by(|a, b| state(a).cmp(&state(b)).then_with(|| key(a).cmp(&key(b))));
    all.dedup_by_key(|s| state(s));
    all
}

/// What the primes make the operations cost: a key switch takes about as many transforms as the
/// square of the primes at its level.
fn cost(groups: &[Vec<u32>]) -> u64 {
    let mut left: u64 = groups.iter().map(|group| group.len() as u64).sum();
    let of_depth = groups.iter().skip(1).map(|group| {
        let cost = left * left;
        left -= group.len() as u64;
        cost
    });
    of_depth.sum()
}

impl Step {
    fn levels(&self) -> usize {
        usize::from(self.raise.is_some()) + usize::from(self.product)
    }

    /// Bits of the primes between values of `from` and `to` bits, if `count` primes can have them.
    fn bits(&self, from: f64, to: f64, count: i32) -> Option<f64> {
        let raised = from + self.raise.unwrap_or(0.0);
        let bits = (if self.product { 2.0 * raised } else { raised }) - to;
        let [least, most] = [MIN_PRIME, MAX_PRIME].map(|bits| f64::from(bits * count));
        // More bits only mean finer weights; without weights the scale is what it is.
        let bits = if self.raise.is_some() { bits.ceil().max(least) } else { bits.round() };
        (least..=most).contains(&bits).then_some(bits)
    }
}

/// Bits of `count` primes that have so many together.
fn split(bits: f64, count: i32) -> Vec<u32> {
    let (bits, count) = (bits as u32, count as u32);
    (0..count).map(|i| bits / count + u32::from(i < bits % count)).collect()
}
