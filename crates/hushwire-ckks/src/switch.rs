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
use crate::kernels;
use crate::keys::SwitchKey;
use crate::modulus::{Factor, Modulus};
use crate::ntt::{Exit, NttTable};
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
    /// Per target, D / q_j for each j; Montgomery form.
    carry: Vec<Vec<u64>>,
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
                .map(|m| (0..from.len()).map(|j| m.to_montgomery(rest(m, j))).collect())
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
        if self.exits.len() == 1 && self.largest + m.q < table.input_bound() {
            return table.forward_lazy(out, prepared, self.offset[t]);
        }
        if self.exits.len() == 1 {
            kernels::reduce(m, out, prepared);
        } else {
            let limbs = prepared.chunks_exact(n);
            let terms: Vec<_> = limbs.zip(&self.carry[t]).map(|(x, w)| (x, *w)).collect();
            kernels::dot_scalars(m, out, &terms);
        }
        table.forward_lazy_in_place(out, self.offset[t]);
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

    /// Values of digit `i` modulo prime `t` of the extended basis, `ntt`: unreduced words.
    fn extend_digit(
        &self,
        table: &SwitchTable,
        prepared: &[u64],
        values: &[u64],
        (i, t): (usize, usize),
        ntt: &NttTable,
        out: &mut [u64],
    ) {
        let n = self.degree();
        let (range, lift) = &table.digits[i];
        if range.contains(&t) {
            // Modulo its own primes, a digit is what it was.
            out.copy_from_slice(&values[t * n..(t + 1) * n]);
        } else {
            lift.apply(&prepared[range.start * n..range.end * n], t, ntt, out);
        }
    }

    /// All digits of a polynomial in the extended basis, limb by limb, digit by digit.
    pub(crate) fn decompose(&self, table: &SwitchTable, values: &[u64]) -> Buffer {
        let (n, count) = (self.degree(), table.digits.len());
        let prepared = self.prepare_digits(table, values);
        let mut out = self.0.pool.take(table.limbs() * count * n);
        let limbs = out.chunks_exact_mut(count * n);
        for (t, (digits, ntt)) in limbs.zip(self.switch_basis(table)).enumerate() {
            for (i, digit) in digits.chunks_exact_mut(n).enumerate() {
                self.extend_digit(table, &prepared, values, (i, t), ntt, digit);
            }
        }
        out
    }

    /// sum c_i key_i over the digits of a decomposed polynomial, in the extended basis.
    pub(crate) fn switch_digits(
        &self,
        table: &SwitchTable,
        digits: &[u64],
        key: &SwitchKey,
    ) -> [Buffer; 2] {
        let (n, count) = (self.degree(), table.digits.len());
        let mut out = [0, 1].map(|_| self.0.pool.take(table.limbs() * n));
        let limbs = digits.chunks_exact(count * n);
        for (t, (digits, ntt)) in limbs.zip(self.switch_basis(table)).enumerate() {
            self.switch_limb(table, digits, key, (t, ntt), &mut out);
        }
        out
    }

    fn switch_limb(
        &self,
        table: &SwitchTable,
        digits: &[u64],
        key: &SwitchKey,
        (t, ntt): (usize, &NttTable),
        out: &mut [Buffer; 2],
    ) {
        let n = self.degree();
        for (part, out) in out.iter_mut().enumerate() {
            let terms: Vec<_> = digits
                .chunks_exact(n)
                .enumerate()
                .map(|(i, digit)| (digit, key.limb(table.level, t, i, part)))
                .collect();
            kernels::dot(&ntt.modulus, &mut out[t * n..(t + 1) * n], &terms);
        }
    }

    /// Switches a polynomial: [`Self::decompose`] and [`Self::switch_digits`] with less memory.
    pub(crate) fn switch(
        &self,
        table: &SwitchTable,
        values: &[u64],
        key: &SwitchKey,
    ) -> [Buffer; 2] {
        let n = self.degree();
        let prepared = self.prepare_digits(table, values);
        let mut out = [0, 1].map(|_| self.0.pool.take(table.limbs() * n));
        let mut digits = self.0.pool.take(table.digits.len() * n);
        for (t, ntt) in self.switch_basis(table).enumerate() {
            for (i, digit) in digits.chunks_exact_mut(n).enumerate() {
                self.extend_digit(table, &prepared, values, (i, t), ntt, digit);
            }
            self.switch_limb(table, &digits, key, (t, ntt), &mut out);
        }
        out
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
            kernels::sub_scale(&ntt.modulus, out, limb, &remainder, division.inverse[t]);
        }
        out
    }

    fn switch_basis(&self, table: &SwitchTable) -> impl Iterator<Item = &NttTable> {
        self.basis(table.level, table.gadget.specials)
    }
}
