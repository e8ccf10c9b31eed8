//! How an odd polynomial is evaluated with few products and in little depth.
//!
//! Depth counts levels as leveled encryption does: a product of two values takes one level, and so
//! does a product with a coefficient; sums are free. Multiplications are products of two values.
//! An odd polynomial of degree d needs at least ceil(log2(d + 1)) levels; the circuits here have
//! that depth and, among circuits of the following kind, the fewest multiplications.
//!
//! A circuit first makes some Chebyshev polynomials from others by
//! `T_(a+b) = 2 T_a T_b - T_|a-b|`. The polynomial is then a linear combination of those that are
//! shallow enough, plus products `T_g q` with quotients q that are evaluated likewise, one level
//! lower. This is Paterson and Stockmeyer's baby-step giant-step method with the splitting left
//! free (for odd polynomials: Lee, Lee, No, Kim, IEEE Access 2022; at full depth: Bossuat,
//! Mouchet, Troncoso-Pastoriza, Hubaux, EUROCRYPT 2021).

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::{Error, MAX_DEGREE};

/// Made Chebyshev polynomials for each odd degree from 3, found by exhaustive search (a test
/// repeats it). `T_1` is given.
const MADE: [&[u32]; 15] = [
    &[2],
    &[2],
    &[2, 3, 4],
    &[2, 3],
    &[2, 3, 4],
    &[2, 3, 4, 5, 7],
    &[2, 3, 4, 8],
    &[2, 3, 5, 6],
    &[2, 3, 4, 5, 7, 8],
    &[2, 3, 5, 6, 12],
    &[2, 3, 4, 5, 7, 8, 16],
    &[2, 3, 4, 5, 6, 7, 14],
    &[2, 3, 4, 5, 7, 8, 16],
    &[2, 3, 4, 5, 7, 8, 16],
    &[2, 3, 4, 5, 7, 8, 16],
];

/// What values a circuit computes with: numbers, or ciphertexts.
pub trait Arithmetic {
    /// A value.
    type Value: Clone;

    /// a b
    fn multiply(&mut self, a: &Self::Value, b: &Self::Value) -> Self::Value;

    /// c a
    fn scale(&mut self, a: &Self::Value, c: f64) -> Self::Value;

    /// a + b
    fn add(&mut self, a: &Self::Value, b: &Self::Value) -> Self::Value;

    /// a - b
    fn subtract(&mut self, a: &Self::Value, b: &Self::Value) -> Self::Value;

    /// a + c
    fn add_constant(&mut self, a: &Self::Value, c: f64) -> Self::Value;
}

/// Numbers themselves.
pub struct Doubles;

impl Arithmetic for Doubles {
    type Value = f64;

    fn multiply(&mut self, a: &f64, b: &f64) -> f64 {
        a * b
    }

    fn scale(&mut self, a: &f64, c: f64) -> f64 {
        c * a
    }

    fn add(&mut self, a: &f64, b: &f64) -> f64 {
        a + b
    }

    fn subtract(&mut self, a: &f64, b: &f64) -> f64 {
        a - b
    }

    fn add_constant(&mut self, a: &f64, c: f64) -> f64 {
        a + c
    }
}

/// The evaluation of odd polynomials of one degree.
#[derive(Clone, Debug)]
pub struct Circuit {
    degree: u32,
    /// `T_(a+b)` with a >= b, in an order in which they can be made.
    made: Vec<(u32, u32)>,
    root: Node,
    multiplications: u32,
}

/// A polynomial as a sum.
#[derive(Clone, Debug, Default)]
struct Node {
    /// Indices whose Chebyshev polynomial is made and shallow enough.
    linear: Vec<u32>,
    products: Vec<Product>,
}

/// `T_factor` times a quotient that takes care of `terms`.
#[derive(Clone, Debug)]
struct Product {
    factor: u32,
    terms: Vec<u32>,
    quotient: Node,
}

impl Circuit {
    /// The circuit for an odd degree from 3 to [`MAX_DEGREE`].
    ///
    /// # Errors
    /// Another degree.
    pub fn new(degree: u32) -> Result<&'static Circuit, Error> {
        static CIRCUITS: OnceLock<Vec<Circuit>> = OnceLock::new();
        if degree.is_multiple_of(2) || !(3..=MAX_DEGREE).contains(&degree) {
            return Err(Error::Degree(degree));
        }
        let all = CIRCUITS.get_or_init(|| {
            (3..=MAX_DEGREE)
                .step_by(2)
                .zip(MADE)
                .map(|(d, made)| Circuit::from_made(d, made))
                .collect()
        });
        Ok(&all[(degree as usize - 3) / 2])
    }

    fn from_made(degree: u32, indices: &[u32]) -> Circuit {
        let basis = Basis::new(indices);
        let depth = least_depth(degree);
        let terms = odd_terms(degree);
        let mut search = Search { basis: &basis, memo: HashMap::new() };
        let products = search.products(terms, depth);
        let root = search.node(terms, depth);
        Circuit {
            degree,
            multiplications: basis.made.len() as u32 + products,
            made: basis.made,
            root,
        }
    }

    /// Degree of the polynomials that it evaluates.
    pub fn degree(&self) -> u32 {
        self.degree
    }

    /// Levels from the argument to the value.
    pub fn depth(&self) -> u32 {
        least_depth(self.degree)
    }

    /// Products of two values.
    pub fn multiplications(&self) -> u32 {
        self.multiplications
    }

    /// The value of the sum of `coefficients[i] T_(2i+1)` at `x`. There must be `(degree + 1) / 2`
    /// coefficients.
    pub fn evaluate<A: Arithmetic>(
        &self,
        coefficients: &[f64],
        x: &A::Value,
        arithmetic: &mut A,
    ) -> A::Value {
        assert_eq!(coefficients.len() as u32 * 2, self.degree + 1, "one coefficient per odd index");
        let mut values = HashMap::from([(1, x.clone())]);
        for &(a, b) in &self.made {
            // Doubling is a sum: it takes no level.
            let product = arithmetic.multiply(&values[&a], &values[&b]);
            let twice = arithmetic.add(&product, &product);
            let value = match a - b {
                0 => arithmetic.add_constant(&twice, -1.0),
                rest => arithmetic.subtract(&twice, &values[&rest]),
            };
            values.insert(a + b, value);
        }
        let mut indexed = vec![0.0; self.degree as usize + 1];
        for (i, c) in coefficients.iter().enumerate() {
            indexed[2 * i + 1] = *c;
        }
        self.root.evaluate(indexed, &values, arithmetic)
    }
}

impl Node {
    /// The sum of `coefficients[i] T_i`.
    fn evaluate<A: Arithmetic>(
        &self,
        mut coefficients: Vec<f64>,
        made: &HashMap<u32, A::Value>,
        arithmetic: &mut A,
    ) -> A::Value {
        let mut sum: Option<A::Value> = None;
        let mut add = |arithmetic: &mut A, value: A::Value| {
            sum = Some(match sum.take() {
                Some(sum) => arithmetic.add(&sum, &value),
                None => value,
            });
        };
        for product in &self.products {
            // c T_t = 2 c T_g T_(t-g) - c T_|t-2g|
            let g = product.factor;
            let mut quotient = vec![0.0; coefficients.len()];
            for &t in &product.terms {
                let c = std::mem::take(&mut coefficients[t as usize]);
                quotient[(t - g) as usize] += 2.0 * c;
                coefficients[t.abs_diff(2 * g) as usize] -= c;
            }
            let quotient = product.quotient.evaluate(quotient, made, arithmetic);
            let value = arithmetic.multiply(&quotient, &made[&g]);
            add(arithmetic, value);
        }
        for &index in &self.linear {
            let value = arithmetic.scale(&made[&index], coefficients[index as usize]);
            add(arithmetic, value);
        }
        let sum = sum.unwrap_or_else(|| unreachable!("no node is empty"));
        match coefficients[0] {
            0.0 => sum,
            constant => arithmetic.add_constant(&sum, constant),
        }
    }
}

/// ceil(log2(degree + 1))
fn least_depth(degree: u32) -> u32 {
    degree.ilog2() + 1
}

/// A set of indices up to 63 as bits.
type Terms = u64;

fn odd_terms(degree: u32) -> Terms {
    (1..=degree).step_by(2).fold(0, |terms, t| terms | 1 << t)
}

/// Chebyshev polynomials that are made, with their depths.
struct Basis {
    made: Vec<(u32, u32)>,
    depths: [Option<u32>; 64],
}

impl Basis {
    /// `T_1` and those of `indices`, each made from others in the least depth.
    fn new(indices: &[u32]) -> Basis {
        let mut depths = [None; 64];
        depths[1] = Some(0);
        let mut made = Vec::new();
        for &index in indices {
            let ways = (index.div_ceil(2)..index).filter_map(|a| {
                let b = index - a;
                let rest = a == b || depths[(a - b) as usize].is_some();
                let depth = depths[a as usize]?.max(depths[b as usize]?) + 1;
                rest.then_some((depth, a, b))
            });
            let (depth, a, b) = ways.min().unwrap_or_else(|| unreachable!("MADE is complete"));
            depths[index as usize] = Some(depth);
            made.push((a, b));
        }
        Basis { made, depths }
    }

    /// The terms that a scaled `T_i` provides within `depth`.
    fn free(&self, terms: Terms, depth: u32) -> Terms {
        bits(terms)
            .filter(|t| self.depths[*t as usize].is_some_and(|d| d < depth))
            .fold(0, |free, t| free | 1 << t)
    }
}

fn bits(terms: Terms) -> impl DoubleEndedIterator<Item = u32> {
    (0..64).filter(move |t| terms >> t & 1 == 1)
}

/// Products of a node at least, and the first one.
type Best = (u32, Option<(u32, Terms)>);

/// More products than any node needs.
const TOO_MANY: u32 = 1000;

struct Search<'a> {
    basis: &'a Basis,
    memo: HashMap<(Terms, u32), Best>,
}

impl Search<'_> {
    /// Fewest products for a polynomial with these terms within `depth`.
    fn products(&mut self, terms: Terms, depth: u32) -> u32 {
        self.best(terms & !self.basis.free(terms, depth), depth).0
    }

    /// The same for terms of which none is free.
    fn best(&mut self, terms: Terms, depth: u32) -> Best {
        if terms == 0 {
            return (0, None);
        }
        if let Some(best) = self.memo.get(&(terms, depth)) {
            return *best;
        }
        let mut best = (TOO_MANY, None);
        for g in 1..terms.ilog2() {
            if self.basis.depths[g as usize].is_none_or(|d| d >= depth) {
                continue;
            }
            for lowest in bits(terms).filter(|t| *t > g) {
                let (taken, quotient, rest) = split(terms, g, lowest);
                if rest.checked_ilog2() >= terms.checked_ilog2() {
                    continue;
                }
                let mut cost = 1 + self.products(quotient, depth - 1);
                if cost < best.0 {
                    cost += self.products(rest, depth);
                }
                if cost < best.0 {
                    best = (cost, Some((g, taken)));
                }
            }
        }
        self.memo.insert((terms, depth), best);
        best
    }

    /// The circuit of a polynomial with these terms.
    fn node(&mut self, mut terms: Terms, depth: u32) -> Node {
        let mut node = Node::default();
        loop {
            let free = self.basis.free(terms, depth);
            node.linear.extend(bits(free));
            terms &= !free;
            let (_, Some((factor, taken))) = self.best(terms, depth) else { break };
            let lowest = taken.trailing_zeros();
            let (taken, quotient, rest) = split(terms, factor, lowest);
            let quotient = self.node(quotient, depth - 1);
            node.products.push(Product { factor, terms: bits(taken).collect(), quotient });
            terms = rest;
        }
        node.linear.sort_unstable();
        node.linear.dedup();
        node
    }
}

/// Takes the terms from `lowest` by a product with `T_g`: what is taken, what the quotient has, and
/// what is left, with the terms that the product adds.
fn split(terms: Terms, g: u32, lowest: u32) -> (Terms, Terms, Terms) {
    let taken = terms & (Terms::MAX << lowest);
    let quotient = taken >> g;
    let added = bits(quotient).fold(0, |added, t| added | 1 << t.abs_diff(g)) & !1;
    (taken, quotient, (terms & !taken) | added)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values with their depth; multiplications are counted.
    #[derive(Default)]
    struct Counter {
        multiplications: u32,
    }

    impl Arithmetic for Counter {
        type Value = (f64, u32);

        fn multiply(&mut self, a: &(f64, u32), b: &(f64, u32)) -> (f64, u32) {
            self.multiplications += 1;
            (a.0 * b.0, a.1.max(b.1) + 1)
        }

        fn scale(&mut self, a: &(f64, u32), c: f64) -> (f64, u32) {
            (a.0 * c, a.1 + 1)
        }

        fn add(&mut self, a: &(f64, u32), b: &(f64, u32)) -> (f64, u32) {
            (a.0 + b.0, a.1.max(b.1))
        }

        fn subtract(&mut self, a: &(f64, u32), b: &(f64, u32)) -> (f64, u32) {
            (a.0 - b.0, a.1.max(b.1))
        }

        fn add_constant(&mut self, a: &(f64, u32), c: f64) -> (f64, u32) {
            (a.0 + c, a.1)
        }
    }

    #[test]
    fn circuits_compute_what_they_should_at_the_cost_they_say() {
        for degree in (3..=MAX_DEGREE).step_by(2) {
            let circuit = Circuit::new(degree).unwrap();
            let coefficients: Vec<f64> =
                (0..degree.div_ceil(2)).map(|i| f64::from(i * i % 7) - 2.5).collect();
            for x in [-1.0, -0.3, 0.0, 0.7, 0.99] {
                let mut counter = Counter::default();
                let (value, depth) = circuit.evaluate(&coefficients, &(x, 0), &mut counter);
                let chebyshev = |i: usize| ((2 * i + 1) as f64 * f64::acos(x)).cos();
                let expected: f64 =
                    coefficients.iter().enumerate().map(|(i, c)| c * chebyshev(i)).sum();
                assert!((value - expected).abs() < 1e-11, "degree {degree} at {x}");
                assert_eq!(depth, circuit.depth(), "degree {degree}");
                assert_eq!(counter.multiplications, circuit.multiplications(), "degree {degree}");
            }
        }
    }

    /// The counts of Lee, Lee, No, Kim, but for degrees 17 and 21, where one less suffices.
    #[test]
    fn counts() {
        let counts: Vec<(u32, u32)> = (3..=MAX_DEGREE)
            .step_by(2)
            .map(|d| Circuit::new(d).unwrap())
            .map(|c| (c.depth(), c.multiplications()))
            .collect();
        let depths = [2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5];
        let multiplications = [2, 3, 5, 5, 6, 7, 8, 7, 8, 8, 9, 10, 10, 11, 12];
        assert_eq!(counts, depths.into_iter().zip(multiplications).collect::<Vec<_>>());
    }

    #[test]
    fn no_other_basis_needs_fewer() {
        for degree in (3..=MAX_DEGREE).step_by(2) {
            let mut best = Circuit::new(degree).unwrap().multiplications();
            let found = best;
            let mut seen = std::collections::HashSet::new();
            explore(degree, &mut vec![], &mut seen, &mut best);
            assert_eq!(best, found, "degree {degree}");
        }
    }

    fn explore(
        degree: u32,
        indices: &mut Vec<u32>,
        seen: &mut std::collections::HashSet<Terms>,
        best: &mut u32,
    ) {
        let set = indices.iter().fold(2, |set: Terms, i| set | 1 << i);
        if !seen.insert(set) {
            return;
        }
        let basis = Basis::new(indices);
        let depth = least_depth(degree);
        let mut search = Search { basis: &basis, memo: HashMap::new() };
        let made = indices.len() as u32;
        *best = (*best).min(made + search.products(odd_terms(degree), depth));
        // One more must leave room for a product and still be cheaper.
        if made + 2 >= *best {
            return;
        }
        for a in bits(set).collect::<Vec<_>>() {
            for b in bits(set).filter(|b| *b <= a).collect::<Vec<_>>() {
                let shallow = |t: u32| basis.depths[t as usize].is_some_and(|d| d + 2 <= depth);
                let rest = a == b || set >> (a - b) & 1 == 1;
                if a + b <= degree && set >> (a + b) & 1 == 0 && rest && shallow(a) && shallow(b) {
                    indices.push(a + b);
                    explore(degree, indices, seen, best);
                    indices.pop();
                }
            }
        }
    }

    #[test]
    fn other_degrees_are_refused() {
        assert!([0, 1, 2, 4, 32, 33].into_iter().all(|d| Circuit::new(d).is_err()));
    }
}
