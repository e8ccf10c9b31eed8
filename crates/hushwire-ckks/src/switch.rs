//! Key switching with digits of several primes and several special primes (Han and Ki, "Better
//! bootstrapping for approximate homomorphic encryption", CT-RSA 2020).
//!
//! A polynomial c at level l is cut into digits c_i = c mod D_i, D_i the product of some primes. Each
//! is extended to the whole basis of q_0 .. q_l and the special primes p_1 .. p_k, P = p_1 .. p_k
//! (mod-up); the key has encryptions under the new secret of P g_i s', where g_i is 1 modulo D_i and 0
//! modulo the other digits. sum c_i key_i encrypts P c s' plus noise, and division by P (mod-down)
//! leaves c s' plus little noise.
//!
//! Digits and remainders are lifted centred: lifted from 0 to D they would have a mean, which is a
//! geometric series at the roots, and the slots near the root 1 would have N times the variance of
//! others.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::kernels::{self, Difference};
use crate::keys::SwitchKey;
use crate::modulus::{Factor, Modulus};
use crate::ntt::{Exit, Input, NttTable};
use crate::params::{Gadget, Parameters};

/// How to take residues modulo some primes to residues modulo others: with D the product of the
/// primes q_j, x is sum of y_j D / q_j modulo D, y_j = x (D / q_j)^-1 mod q_j, centred. The sum is x
/// for one prime, and x plus a multiple of D for more, at most half as many as there are primes.
struct Lift {
    /// Per prime, for the factor (D / q_j)^-1 and the addend (q_j - 1) / 2, after which y_j is taken
    /// from 0 to q_j.
    exits: Vec<Exit>,
    /// Largest y_j of a single prime.
    largest: u64,
    /// Per target, D / q_j for each j.
    carry: Vec<Vec<Factor>>,
    /// Per target, what takes the halves away again.
    offset: Vec<u64>,
}

impl Lift {
    fn new<'a>(from: &[&'a NttTable], to: impl Iterator<Item = &'a NttTable>) -> Self {
        let rest = |m: &Modulus, j: usize| {
            let others = from.iter().enumerate().filter(|(i, _)| *i != j);
            product(m, others.map(|(_, other)| *other))
        };
        let half: Vec<_> = from.iter().map(|table| (table.modulus.q - 1) / 2).collect();
        let exit = |(j, table): (usize, &&NttTable)| {
            table.exit(table.modulus.invert(rest(&table.modulus, j)), half[j])
        };
        let to: Vec<_> = to.map(|table| table.modulus).collect();
        let offset = |m: &Modulus| {
            let sum = half
                .iter()
                .enumerate()
                .fold(0, |sum, (j, half)| m.add(sum, m.mul(rest(m, j), half % m.q)));
            m.neg(sum)
        };
        Self {
            exits: from.iter().enumerate().map(exit).collect(),
            largest: from[0].modulus.q - 1,
            carry: to
                .iter()
                .map(|m| (0..from.len()).map(|j| m.factor(rest(m, j))).collect())
                .collect(),
            offset: to.iter().map(offset).collect(),
        }
    }

    /// The y_j of values at the roots.
    fn prepare<'a>(
        &self,
        out: &mut [u64],
        values: &[u64],
        tables: impl Iterator<Item = &'a NttTable>,
        n: usize,
    ) {
        let limbs = out.chunks_exact_mut(n).zip(values.chunks_exact(n));
        for (((out, limb), table), exit) in limbs.zip(tables).zip(&self.exits) {
            table.inverse_from(out, limb, exit);
        }
    }

    /// [`Self::prepare`] in place.
    fn prepare_in_place<'a>(
        &self,
        limbs: &mut [u64],
        tables: impl Iterator<Item = &'a NttTable>,
        n: usize,
    ) {
        for ((limb, table), exit) in limbs.chunks_exact_mut(n).zip(tables).zip(&self.exits) {
            table.inverse_in_place(limb, exit);
        }
    }

    /// Values at the roots, as words, modulo target `t`.
    fn apply(&self, prepared: &[u64], t: usize, table: &NttTable, out: &mut [u64]) {
        let m = &table.modulus;
        let n = out.len();
        let offset = self.offset[t];
        match self.carry[t][..] {
            [_] if self.largest + m.q < table.input_bound() => {
                return table.forward_lazy(out, Input::One(prepared), offset);
            }
            [_] => kernels::reduce(m, out, prepared),
            [w, v] => {
                let (x, y) = prepared.split_at(n);
                return table.forward_lazy(out, Input::Two([x, y], [w, v]), offset);
            }
            ref factors => {
                let limbs = prepared.chunks_exact(n);
                let terms: Vec<_> =
                    limbs.zip(factors).map(|(x, w)| (x, m.to_montgomery(w.value))).collect();
                kernels::dot_scalars(m, out, &terms);
            }
        }
        table.forward_lazy(out, Input::Own, offset);
    }
}

/// Division by the product of some primes, to the nearest integer for one prime; for k primes the
/// error has the variance k / 12.
pub(crate) struct Division {
    lift: Lift,
    /// Per prime that stays, 1 / the product.
    inverse: Vec<Factor>,
}

impl Division {
    pub(crate) fn new(kept: &[&NttTable], removed: &[&NttTable]) -> Self {
        let inverse = |table: &&NttTable| {
            let m = &table.modulus;
            m.factor(m.invert(product(m, removed.iter().copied())))
        };
        Self {
            lift: Lift::new(removed, kept.iter().copied()),
            inverse: kept.iter().map(inverse).collect(),
        }
    }
}

fn product<'a>(m: &Modulus, primes: impl Iterator<Item = &'a NttTable>) -> u64 {
    primes.fold(1, |product, table| m.mul(product, table.modulus.q))
}

/// Constants of switching at one level.
pub(crate) struct SwitchTable {
    pub(crate) gadget: Gadget,
    pub(crate) level: usize,
    /// Data primes of each digit, and how it is lifted to the extended basis.
    digits: Vec<(Range<usize>, Lift)>,
    /// Per data prime, P; Montgomery form.
    special: Vec<u64>,
    /// How to divide by the special primes.
    down: Division,
    /// How to divide by the special primes and the last data prime.
    down_rescale: Division,
}

impl SwitchTable {
    pub(crate) fn new(params: &Parameters, gadget: Gadget, level: usize) -> Self {
        let basis: Vec<_> = params.basis(level, gadget.specials).collect();
        let digits = (0..=level).step_by(gadget.digit).map(|first| {
            let range = first..(first + gadget.digit).min(level + 1);
            (range.clone(), Lift::new(&basis[range], basis.iter().copied()))
        });
        let special = basis[..=level].iter().map(|table| {
            let m = &table.modulus;
            m.to_montgomery(product(m, basis[level + 1..].iter().copied()))
        });
        Self {
            gadget,
            level,
            digits: digits.collect(),
            special: special.collect(),
            down: Division::new(&basis[..=level], &basis[level + 1..]),
            down_rescale: Division::new(&basis[..level], &basis[level..]),
        }
    }

    /// Primes of the extended basis.
    pub(crate) fn limbs(&self) -> usize {
        self.level + 1 + self.gadget.specials
    }
}

/// What is switched: the values of a polynomial, or its digits as [`Parameters::decompose`] gives them.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Values(&'a [u64]),
    Digits(&'a [u64]),
}

/// Digits, limb by limb.
enum Digits<'a> {
    /// They are there: limb by limb, digit by digit.
    Made(&'a [u64]),
    /// They are made when they are wanted, from the values and the coefficients of all digits, in a place
    /// for one limb of each.
    Making { values: &'a [u64], prepared: Buffer, place: Buffer },
}

impl<'a> Digits<'a> {
    fn new(params: &Parameters, table: &SwitchTable, source: Source<'a>) -> Self {
        match source {
            Source::Digits(digits) => Self::Made(digits),
            Source::Values(values) => Self::Making {
                values,
                prepared: params.prepare_digits(table, values),
                place: params.0.pool.take(table.digits.len() * params.degree()),
            },
        }
    }

    /// All digits modulo prime `t` of the extended basis, `ntt`.
    fn limb(&mut self, table: &SwitchTable, t: usize, ntt: &NttTable) -> Vec<&[u64]> {
        let (n, count) = (ntt.len(), table.digits.len());
        match self {
            Self::Made(digits) => {
                digits[t * count * n..(t + 1) * count * n].chunks_exact(n).collect()
            }
            Self::Making { values, prepared, place } => place
                .chunks_exact_mut(n)
                .zip(&table.digits)
                .map(|(out, (range, lift))| {
                    if range.contains(&t) {
                        // Modulo its own primes, a digit is what it was.
                        return &values[t * n..(t + 1) * n];
                    }
                    lift.apply(&prepared[range.start * n..range.end * n], t, ntt, out);
                    &*out
                })
                .collect(),
        }
    }
}

impl Parameters {
    /// The product of the first `count` special primes modulo a prime.
    pub(crate) fn special_product(&self, count: usize, m: &Modulus) -> u64 {
        product(m, (0..count).map(|i| self.special(i)))
    }

    /// Coefficients of all digits, prepared for [`Self::extend_digit`].
    fn prepare_digits(&self, table: &SwitchTable, values: &[u64]) -> Buffer {
        let n = self.degree();
        let mut out = self.0.pool.take(values.len());
        for (range, lift) in &table.digits {
            let words = range.start * n..range.end * n;
            let tables = self.0.tables[range.clone()].iter();
            lift.prepare(&mut out[words.clone()], &values[words], tables, n);
        }
        out
    }

    /// All digits of a polynomial in the extended basis, limb by limb, digit by digit.
    pub(crate) fn decompose(&self, table: &SwitchTable, values: &[u64]) -> Buffer {
        let (n, count) = (self.degree(), table.digits.len());
        let prepared = self.prepare_digits(table, values);
        let mut out = self.0.pool.take(table.limbs() * count * n);
        let limbs = out.chunks_exact_mut(count * n);
        for (t, (digits, ntt)) in limbs.zip(self.switch_basis(table)).enumerate() {
            for (digit, (range, lift)) in digits.chunks_exact_mut(n).zip(&table.digits) {
                if range.contains(&t) {
                    digit.copy_from_slice(&values[t * n..(t + 1) * n]);
                } else {
                    lift.apply(&prepared[range.start * n..range.end * n], t, ntt, digit);
                }
            }
        }
        out
    }

    /// sum c_i key_i over the digits of a polynomial, in the extended basis.
    pub(crate) fn switch(
        &self,
        table: &SwitchTable,
        source: Source<'_>,
        key: &SwitchKey,
    ) -> [Buffer; 2] {
        let n = self.degree();
        let mut digits = Digits::new(self, table, source);
        let mut out = [0, 1].map(|_| self.0.pool.take(table.limbs() * n));
        for (t, ntt) in self.switch_basis(table).enumerate() {
            let out = out.each_mut().map(|part| &mut part[t * n..(t + 1) * n]);
            kernels::dot_pair(
                &ntt.modulus,
                out,
                &digits.limb(table, t, ntt),
                key.limb(table.level, t),
            );
        }
        out
    }

    /// Switches a polynomial and divides by the special primes; with `rescaled`, adds these two
    /// polynomials before and divides by the last data prime as well. One limb at a time is made, while it
    /// is in the cache, up to a difference and a factor: `finish` gets its part, its place and these.
    pub(crate) fn switch_divide(
        &self,
        table: &SwitchTable,
        source: Source<'_>,
        key: &SwitchKey,
        rescaled: Option<[&[u64]; 2]>,
        mut finish: impl FnMut((usize, usize), &Modulus, &Difference<'_>),
    ) {
        let n = self.degree();
        let division = if rescaled.is_some() { &table.down_rescale } else { &table.down };
        let basis: Vec<_> = self.switch_basis(table).collect();
        let (kept, removed) = basis.split_at(division.inverse.len());
        let mut digits = Digits::new(self, table, source);
        let mut limb = |t: usize, mut sums: [&mut [u64]; 2]| {
            let ntt = basis[t];
            let m = &ntt.modulus;
            let out = sums.each_mut().map(|sum| &mut sum[..]);
            kernels::dot_pair(m, out, &digits.limb(table, t, ntt), key.limb(table.level, t));
            if let (Some(parts), Some(&special)) = (rescaled, table.special.get(t)) {
                for (sum, part) in sums.into_iter().zip(parts) {
                    kernels::add_scaled(m, sum, &part[t * n..(t + 1) * n], special);
                }
            }
        };
        let mut rest = [0, 1].map(|_| self.0.pool.take(removed.len() * n));
        for i in 0..removed.len() {
            limb(kept.len() + i, rest.each_mut().map(|part| &mut part[i * n..(i + 1) * n]));
        }
        for part in &mut rest {
            division.lift.prepare_in_place(part, removed.iter().copied(), n);
        }
        let [mut first, mut second, mut remainder] = [0, 1, 2].map(|_| self.0.pool.take(n));
        for (t, ntt) in kept.iter().enumerate() {
            limb(t, [&mut first, &mut second]);
            for (part, sum) in [&first, &second].into_iter().enumerate() {
                division.lift.apply(&rest[part], t, ntt, &mut remainder);
                let difference = Difference { x: sum, y: &remainder, factor: division.inverse[t] };
                finish((part, t), &ntt.modulus, &difference);
            }
        }
    }

    /// extended += P x, in the data primes.
    pub(crate) fn add_times_special(&self, table: &SwitchTable, extended: &mut [u64], x: &[u64]) {
        let n = self.degree();
        let limbs = extended.chunks_exact_mut(n).zip(x.chunks_exact(n));
        for (((out, x), ntt), &special) in limbs.zip(&self.0.tables).zip(&table.special) {
            kernels::add_scaled(&ntt.modulus, out, x, special);
        }
    }

    /// Divides by the special primes; overwrites `extended`.
    pub(crate) fn mod_down(&self, table: &SwitchTable, extended: &mut [u64]) -> Buffer {
        self.divide(&table.down, extended, self.switch_basis(table))
    }

    /// Divides by the special primes and the last data prime; overwrites `extended`.
    pub(crate) fn mod_down_rescale(&self, table: &SwitchTable, extended: &mut [u64]) -> Buffer {
        self.divide(&table.down_rescale, extended, self.switch_basis(table))
    }

    /// Divides residues modulo the primes of `basis` by the last of them; overwrites `extended`.
    pub(crate) fn divide<'a>(
        &self,
        division: &Division,
        extended: &mut [u64],
        mut basis: impl Iterator<Item = &'a NttTable>,
    ) -> Buffer {
        let n = self.degree();
        let kept: Vec<_> = basis.by_ref().take(division.inverse.len()).collect();
        let (keep, removed) = extended.split_at_mut(kept.len() * n);
        division.lift.prepare_in_place(removed, basis, n);
        let mut out = self.0.pool.take(keep.len());
        let mut remainder = self.0.pool.take(n);
        let limbs = out.chunks_exact_mut(n).zip(keep.chunks_exact(n));
        for (t, ((out, limb), ntt)) in limbs.zip(kept).enumerate() {
            division.lift.apply(removed, t, ntt, &mut remainder);
            let difference = Difference { x: limb, y: &remainder, factor: division.inverse[t] };
            kernels::scale_difference(&ntt.modulus, out, &difference);
        }
        out
    }

    fn switch_basis(&self, table: &SwitchTable) -> impl Iterator<Item = &NttTable> {
        self.basis(table.level, table.gadget.specials)
    }
}
