//! Key switching with digits of several primes and several special primes (Han and Ki, "Better
//! bootstrapping for approximate homomorphic encryption", CT-RSA 2020).
//!
//! A polynomial c at level l is cut into digits c_i = c mod D_i, D_i the product of some primes. Each
//! is extended to the whole basis of q_0 .. q_l and the special primes p_1 .. p_k, P = p_1 .. p_k
//! (mod-up); the key has encryptions under the new secret of P g_i s', where g_i is 1 modulo D_i and 0
//! modulo the other digits. sum c_i key_i encrypts P c s' plus noise, and division by P (mod-down)
//! leaves c s' plus little noise.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::kernels;
use crate::keys::SwitchKey;
use crate::modulus::{Factor, Modulus};
use crate::params::{Gadget, Parameters};

/// Constants of switching at one level.
pub(crate) struct SwitchTable {
    pub(crate) gadget: Gadget,
    level: usize,
    /// Data primes of each digit.
    groups: Vec<Range<usize>>,
    /// Per data prime q_j of a digit of several primes, (D_i / q_j)^-1 mod q_j.
    lift: Vec<Option<Factor>>,
    /// Per digit, per prime of the basis, D_i / q_j modulo it for each q_j; Montgomery form.
    carry: Vec<Vec<Vec<u64>>>,
    /// How to divide by the special primes.
    down: Division,
}

impl SwitchTable {
    pub(crate) fn new(params: &Parameters, gadget: Gadget, level: usize) -> Self {
        let groups: Vec<Range<usize>> = (0..gadget.digits(level))
            .map(|i| i * gadget.digit..((i + 1) * gadget.digit).min(level + 1))
            .collect();
        let q = |i: usize| params.0.tables[i].modulus.q;
        let lift = (0..=level)
            .map(|j| {
                let group = &groups[j / gadget.digit];
                let m = &params.0.tables[j].modulus;
                (group.len() > 1).then(|| m.factor(m.invert(product_without(m, group, j, q))))
            })
            .collect();
        let carry = groups
            .iter()
            .map(|group| {
                params
                    .basis(level, gadget.specials)
                    .map(|table| {
                        let m = &table.modulus;
                        group
                            .clone()
                            .map(|j| m.to_montgomery(product_without(m, group, j, q)))
                            .collect()
                    })
                    .collect()
            })
            .collect();
        let special: Vec<_> = (0..gadget.specials).map(|i| params.special(i).modulus).collect();
        let down = Division::new(params, level + 1, &special);
        Self { gadget, level, groups, lift, carry, down }
    }

    /// Primes of the extended basis.
    fn limbs(&self) -> usize {
        self.level + 1 + self.gadget.specials
    }
}

/// Product of the primes of a range but one, modulo another prime.
fn product_without(
    m: &Modulus,
    range: &Range<usize>,
    without: usize,
    q: impl Fn(usize) -> u64,
) -> u64 {
    range.clone().filter(|&i| i != without).fold(1, |product, i| m.mul(product, q(i)))
}

/// Division of residues modulo q_0 .. q_l, p_1 .. p_k by P = p_1 .. p_k, to the nearest integer up to
/// k - 1.
pub(crate) struct Division {
    /// Data primes that stay.
    keep: usize,
    /// (P / p_i)^-1 mod p_i, where k > 1.
    lift: Vec<Option<Factor>>,
    /// (P - 1) / 2 mod p_i
    half_special: Vec<u64>,
    /// Per data prime, P / p_i for each i; Montgomery form.
    carry: Vec<Vec<u64>>,
    /// Per data prime, (P - 1) / 2.
    half: Vec<u64>,
    /// Per data prime, 1/P.
    inverse: Vec<Factor>,
}

impl Division {
    /// By the primes `p`, of residues modulo the first `keep` data primes.
    pub(crate) fn new(params: &Parameters, keep: usize, p: &[Modulus]) -> Self {
        let all = 0..p.len();
        let half_of = |m: &Modulus| {
            // (P - 1) / 2 = (P - 1) (q + 1) / 2 mod q
            let product = product_without(m, &all, usize::MAX, |i| p[i].q);
            m.mul(m.sub(product, 1), m.q.div_ceil(2))
        };
        let lift = all
            .clone()
            .map(|i| {
                let rest = product_without(&p[i], &all, i, |i| p[i].q);
                (p.len() > 1).then(|| p[i].factor(p[i].invert(rest)))
            })
            .collect();
        let tables = &params.0.tables[..keep];
        Self {
            keep,
            lift,
            half_special: p.iter().map(half_of).collect(),
            carry: tables
                .iter()
                .map(|t| {
                    let m = &t.modulus;
                    let rest = |i| m.to_montgomery(product_without(m, &all, i, |i| p[i].q));
                    all.clone().map(rest).collect()
                })
                .collect(),
            half: tables.iter().map(|t| half_of(&t.modulus)).collect(),
            inverse: tables
                .iter()
                .map(|t| {
                    let m = &t.modulus;
                    let product = product_without(m, &all, usize::MAX, |i| p[i].q);
                    m.factor(m.invert(product))
                })
                .collect(),
        }
    }
}

impl Parameters {
    /// The product of the first `count` special primes modulo a prime.
    pub(crate) fn special_product(&self, count: usize, m: &Modulus) -> u64 {
        product_without(m, &(0..count), usize::MAX, |i| self.special(i).modulus.q)
    }

    /// Coefficients of a polynomial, prepared for [`Self::extend_digit`].
    pub(crate) fn prepare_digits(&self, table: &SwitchTable, values: &[u64]) -> Buffer {
        let n = self.degree();
        let mut out = self.0.pool.take((table.level + 1) * n);
        out.copy_from_slice(values);
        for ((limb, ntt), lift) in out.chunks_exact_mut(n).zip(&self.0.tables).zip(&table.lift) {
            ntt.inverse(limb);
            if let Some(lift) = lift {
                kernels::scale(&ntt.modulus, limb, *lift);
            }
        }
        out
    }

    /// Values of digit `i` modulo prime `t` of the extended basis: unreduced words.
    fn extend_digit(
        &self,
        table: &SwitchTable,
        coefficients: &[u64],
        values: &[u64],
        i: usize,
        t: usize,
        out: &mut [u64],
    ) {
        let n = self.degree();
        let group = &table.groups[i];
        if group.contains(&t) {
            return out.copy_from_slice(&values[t * n..(t + 1) * n]);
        }
        let limb = |j: usize| &coefficients[j * n..(j + 1) * n];
        let ntt = self.basis_table(table.level, t);
        if group.len() > 1 {
            let terms: Vec<_> =
                group.clone().zip(&table.carry[i][t]).map(|(j, w)| (limb(j), *w)).collect();
            kernels::dot_scalars(&ntt.modulus, out, &terms);
        } else if self.0.tables[group.start].modulus.q <= ntt.input_bound() {
            out.copy_from_slice(limb(group.start));
        } else {
            kernels::reduce(&ntt.modulus, out, limb(group.start));
        }
        ntt.forward_lazy(out);
    }

    /// All digits of a polynomial in the extended basis, limb by limb, digit by digit.
    pub(crate) fn decompose(&self, table: &SwitchTable, values: &[u64]) -> Buffer {
        let n = self.degree();
        let digits = table.groups.len();
        let coefficients = self.prepare_digits(table, values);
        let mut out = self.0.pool.take(table.limbs() * digits * n);
        for (place, out) in out.chunks_exact_mut(n).enumerate() {
            let (t, i) = (place / digits, place % digits);
            self.extend_digit(table, &coefficients, values, i, t, out);
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
        let n = self.degree();
        let count = table.groups.len();
        let mut out = [0, 1].map(|_| self.0.pool.take(table.limbs() * n));
        for (t, digits) in digits.chunks_exact(count * n).enumerate() {
            self.switch_limb(table, digits, key, t, &mut out);
        }
        out
    }

    fn switch_limb(
        &self,
        table: &SwitchTable,
        digits: &[u64],
        key: &SwitchKey,
        t: usize,
        out: &mut [Buffer; 2],
    ) {
        let n = self.degree();
        let m = &self.basis_table(table.level, t).modulus;
        for (part, out) in out.iter_mut().enumerate() {
            let terms: Vec<_> = digits
                .chunks_exact(n)
                .enumerate()
                .map(|(i, digit)| (digit, key.limb(table.level, t, i, part)))
                .collect();
            kernels::dot(m, &mut out[t * n..(t + 1) * n], &terms);
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
        let coefficients = self.prepare_digits(table, values);
        let mut out = [0, 1].map(|_| self.0.pool.take(table.limbs() * n));
        let mut digits = self.0.pool.take(table.groups.len() * n);
        for t in 0..table.limbs() {
            for (i, digit) in digits.chunks_exact_mut(n).enumerate() {
                self.extend_digit(table, &coefficients, values, i, t, digit);
            }
            self.switch_limb(table, &digits, key, t, &mut out);
        }
        out
    }

    /// Divides by the special primes; see [`Division`].
    pub(crate) fn mod_down(&self, table: &SwitchTable, extended: &mut [u64]) -> Buffer {
        let n = self.degree();
        let special = (0..table.gadget.specials).map(|i| self.special(i)).collect::<Vec<_>>();
        self.divide(&table.down, extended, &special, n)
    }

    /// Divides residues modulo the first primes and `removed` by the product of `removed`.
    pub(crate) fn divide(
        &self,
        division: &Division,
        extended: &mut [u64],
        removed: &[&crate::ntt::NttTable],
        n: usize,
    ) -> Buffer {
        let (keep, rest) = extended.split_at_mut(division.keep * n);
        for (i, (limb, ntt)) in rest.chunks_exact_mut(n).zip(removed).enumerate() {
            ntt.inverse(limb);
            kernels::add_scalar(&ntt.modulus, limb, division.half_special[i]);
            if let Some(lift) = division.lift[i] {
                kernels::scale(&ntt.modulus, limb, lift);
            }
        }
        let mut out = self.0.pool.take(keep.len());
        out.copy_from_slice(keep);
        let mut remainder = self.0.pool.take(n);
        for (j, limb) in out.chunks_exact_mut(n).enumerate() {
            let ntt = &self.0.tables[j];
            let m = &ntt.modulus;
            let terms: Vec<_> =
                rest.chunks_exact(n).zip(&division.carry[j]).map(|(x, w)| (x, *w)).collect();
            kernels::dot_scalars(m, &mut remainder, &terms);
            kernels::add_scalar(m, &mut remainder, m.neg(division.half[j]));
            ntt.forward_lazy(&mut remainder);
            kernels::sub_scale(m, limb, &remainder, division.inverse[j]);
        }
        out
    }

    fn basis_table(&self, level: usize, t: usize) -> &crate::ntt::NttTable {
        if t <= level { &self.0.tables[t] } else { self.special(t - level - 1) }
    }
}
