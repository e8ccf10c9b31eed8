//! Linear maps of slots by diagonals: y = sum over d of diag_d * rot_d(x) (Halevi and Shoup, CRYPTO
//! 2014), with baby steps and giant steps, and double hoisting (Bossuat, Mouchet, Troncoso-Pastoriza
//! and Hubaux, EUROCRYPT 2021).
//!
//! With d = g + b, b below the number of baby steps, y = sum over g of rot_g(sum over b of
//! rot_-g(diag_d) * rot_b(x)). The digits of x are made once for all baby steps, whose results stay in
//! the extended basis and are multiplied there; each giant step divides by the special primes once,
//! before it switches, and the sum of all giant steps twice, at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::buffer::Buffer;
use crate::ciphertext::{Ciphertext, Plaintext, check_levels};
use crate::error::CkksError;
use crate::evaluator::Evaluator;
use crate::kernels;
use crate::keys::{Purpose, SwitchKey};
use crate::params::{Gadget, Parameters};
use crate::switch::{Source, SwitchTable};

/// A linear map of slots, encoded for a level and a gadget.
pub struct LinearTransform {
    params: Parameters,
    gadget: Gadget,
    level: usize,
    scale: f64,
    /// Giant step, baby step, diagonal.
    steps: BTreeMap<i64, BTreeMap<i64, Plaintext>>,
}

impl LinearTransform {
    /// The map y_i = sum over d of `diagonals[d][i]` x_{i+d}, indices modulo the number of slots,
    /// where diagonals have zeros after their last value. The keys must have the gadget.
    ///
    /// # Errors
    /// If there are no diagonals, a diagonal does not fit, or the level or gadget is not possible.
    pub fn new(
        params: &Parameters,
        diagonals: &BTreeMap<i64, Vec<f64>>,
        gadget: Gadget,
        level: usize,
        scale: f64,
    ) -> Result<Self, CkksError> {
        params.check_gadget(&gadget)?;
        if level > gadget.level {
            return Err(CkksError::Level { what: "transform", level, max: gadget.level });
        }
        if diagonals.is_empty() {
            return Err(CkksError::Count { what: "transform", left: 0, right: 1 });
        }
        let slots = params.slots();
        let babies = baby_steps(diagonals.keys().copied(), slots);
        let mut steps: BTreeMap<i64, BTreeMap<i64, Plaintext>> = BTreeMap::new();
        for (&d, diagonal) in diagonals {
            let got = diagonal.len();
            if got > slots {
                return Err(CkksError::TooManyValues { got, slots });
            }
            let (giant, baby) = split(d, babies, slots);
            let mut turned = diagonal.clone();
            turned.resize(slots, 0.0);
            turned.rotate_right(giant as usize);
            let plain = params.encode_extended(&turned, level, gadget.specials, scale)?;
            if steps.entry(giant).or_default().insert(baby, plain).is_some() {
                let reason = format!("diagonal {d} is given twice, modulo the number of slots");
                return Err(CkksError::Parameters(reason));
            }
        }
        Ok(Self { params: params.clone(), gadget, level, scale, steps })
    }

    /// The rotations that [`Evaluator::transform`] needs keys for.
    #[must_use]
    pub fn rotations(&self) -> Vec<i64> {
        rotations(self.steps.iter().flat_map(|(&g, babies)| babies.keys().map(move |&b| (g, b))))
    }

    /// The rotations that a transform with these diagonals would need keys for.
    #[must_use]
    pub fn rotations_of(params: &Parameters, diagonals: impl IntoIterator<Item = i64>) -> Vec<i64> {
        let diagonals: Vec<_> = diagonals.into_iter().collect();
        let babies = baby_steps(diagonals.iter().copied(), params.slots());
        rotations(diagonals.iter().map(|&d| split(d, babies, params.slots())))
    }

    /// The level of its operand.
    #[must_use]
    pub fn level(&self) -> usize {
        self.level
    }

    /// By what it multiplies the scale.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }
}

/// Giant step and baby step of a diagonal.
fn split(d: i64, babies: i64, slots: usize) -> (i64, i64) {
    let d = d.rem_euclid(slots as i64);
    (d - d % babies, d % babies)
}

/// All steps other than 0, once each.
fn rotations(steps: impl Iterator<Item = (i64, i64)>) -> Vec<i64> {
    let mut out: Vec<_> = steps.flat_map(|(g, b)| [g, b]).filter(|&k| k != 0).collect();
    out.sort_unstable();
    out.dedup();
    out
}

/// How many giant steps cost as much as a baby step: a hoisted baby step takes no transforms.
const BABIES_PER_GIANT: usize = 4;

/// The power of two that makes all rotations cheapest.
fn baby_steps(diagonals: impl Iterator<Item = i64> + Clone, slots: usize) -> i64 {
    let cost = |babies: i64| {
        let distinct = |f: fn((i64, i64)) -> i64| {
            let mut steps: Vec<_> =
                diagonals.clone().map(|d| f(split(d, babies, slots))).filter(|&k| k != 0).collect();
            steps.sort_unstable();
            steps.dedup();
            steps.len()
        };
        distinct(|(g, _)| g) * BABIES_PER_GIANT + distinct(|(_, b)| b)
    };
    (0..=slots.ilog2()).map(|log| 1 << log).min_by_key(|&babies| cost(babies)).unwrap_or(1)
}

/// A ciphertext times P in the extended basis.
type Extended = [Buffer; 2];

impl Evaluator {
    /// A linear map of the slots; the scales multiply. Needs keys for [`LinearTransform::rotations`]
    /// with its gadget.
    ///
    /// # Errors
    /// If parameters or levels differ, there are three parts, the scale grows beyond the modulus, or
    /// a key is missing.
    pub fn transform(
        &self,
        x: &Ciphertext,
        transform: &LinearTransform,
    ) -> Result<Ciphertext, CkksError> {
        let (table, sum) = self.transform_extended(x, transform)?;
        let mut out = Ciphertext::undefined(&self.params, x.level, x.scale * transform.scale, 0);
        out.parts = sum.map(|mut part| self.params.mod_down(&table, &mut part)).into();
        Ok(out)
    }

    /// [`Self::transform`] and [`Self::rescale`], in one division.
    ///
    /// # Errors
    /// As both.
    pub fn transform_rescale(
        &self,
        x: &Ciphertext,
        transform: &LinearTransform,
    ) -> Result<Ciphertext, CkksError> {
        let (level, scale) = self.rescaled(x.level, x.scale * transform.scale)?;
        let (table, sum) = self.transform_extended(x, transform)?;
        let mut out = Ciphertext::undefined(&self.params, level, scale, 0);
        out.parts = sum.map(|mut part| self.params.mod_down_rescale(&table, &mut part)).into();
        Ok(out)
    }

    fn transform_extended(
        &self,
        x: &Ciphertext,
        transform: &LinearTransform,
    ) -> Result<(Arc<SwitchTable>, Extended), CkksError> {
        self.check(x)?;
        self.params.check_same(&transform.params, "the transform")?;
        x.check_linear()?;
        check_levels(x.level, transform.level)?;
        self.params.check_scale(x.level, x.scale * transform.scale)?;
        let table = self.params.switch_table(transform.gadget, x.level);
        let babies = self.baby_rotations(x, transform, &table)?;
        let mut sum: Option<Extended> = None;
        for (&giant, diagonals) in &transform.steps {
            let inner = self.weighted_sum(&table, &babies, diagonals);
            let term = if giant == 0 {
                inner
            } else {
                let (element, key) = self.step_key(giant, transform.gadget, x.level)?;
                let [first, mut second] = inner;
                let second = self.params.mod_down(&table, &mut second);
                let mut switched = self.params.switch(&table, Source::Values(&second), key);
                self.each_extended(&table, &mut switched[0], &first, kernels::add);
                self.permute_extended(switched, element)
            };
            match &mut sum {
                None => sum = Some(term),
                Some(sum) => {
                    for (sum, term) in sum.iter_mut().zip(&term) {
                        self.each_extended(&table, sum, term, kernels::add);
                    }
                }
            }
        }
        let sum = sum.unwrap_or_else(|| unreachable!("a transform has a diagonal"));
        Ok((table, sum))
    }

    /// P rot_b(x) in the extended basis for all baby steps b.
    fn baby_rotations(
        &self,
        x: &Ciphertext,
        transform: &LinearTransform,
        table: &SwitchTable,
    ) -> Result<BTreeMap<i64, Extended>, CkksError> {
        let mut out = BTreeMap::new();
        let mut digits = None;
        for &baby in transform.steps.values().flat_map(BTreeMap::keys) {
            if out.contains_key(&baby) {
                continue;
            }
            let rotated = if baby == 0 {
                let mut parts = [0, 1].map(|_| self.zero_extended(table));
                for (extended, part) in parts.iter_mut().zip(&x.parts) {
                    self.params.add_times_special(table, extended, part);
                }
                parts
            } else {
                let (element, key) = self.step_key(baby, transform.gadget, x.level)?;
                let digits =
                    digits.get_or_insert_with(|| self.params.decompose(table, &x.parts[1]));
                let mut switched = self.params.switch(table, Source::Digits(digits), key);
                self.params.add_times_special(table, &mut switched[0], &x.parts[0]);
                self.permute_extended(switched, element)
            };
            out.insert(baby, rotated);
        }
        Ok(out)
    }

    fn zero_extended(&self, table: &SwitchTable) -> Buffer {
        let mut out = self.params.0.pool.take(table.limbs() * self.params.degree());
        out.fill(0);
        out
    }

    /// sum over b of diag_b * x_b
    fn weighted_sum(
        &self,
        table: &SwitchTable,
        babies: &BTreeMap<i64, Extended>,
        diagonals: &BTreeMap<i64, Plaintext>,
    ) -> Extended {
        let n = self.params.degree();
        [0, 1].map(|part| {
            let mut out = self.params.0.pool.take(table.limbs() * n);
            let moduli = self.params.basis(table.level, table.gadget.specials);
            for (t, (limb, ntt)) in out.chunks_exact_mut(n).zip(moduli).enumerate() {
                let terms: Vec<_> = diagonals
                    .iter()
                    .map(|(baby, plain)| (&babies[baby][part][t * n..(t + 1) * n], plain.limb(t)))
                    .collect();
                kernels::dot(&ntt.modulus, limb, &terms);
            }
            out
        })
    }

    fn each_extended(
        &self,
        table: &SwitchTable,
        x: &mut [u64],
        y: &[u64],
        kernel: impl Fn(&crate::modulus::Modulus, &mut [u64], &[u64]),
    ) {
        let n = self.params.degree();
        let moduli = self.params.basis(table.level, table.gadget.specials);
        for ((x, y), ntt) in x.chunks_exact_mut(n).zip(y.chunks_exact(n)).zip(moduli) {
            kernel(&ntt.modulus, x, y);
        }
    }

    fn permute_extended(&self, parts: Extended, element: usize) -> Extended {
        let permutation = self.params.permutation(element);
        parts.map(|part| {
            let mut out = self.params.0.pool.take(part.len());
            kernels::permute(&self.params.0.tables[0].modulus, &permutation, &mut out, &part);
            out
        })
    }

    fn step_key(
        &self,
        steps: i64,
        gadget: Gadget,
        level: usize,
    ) -> Result<(usize, &SwitchKey), CkksError> {
        let element = self.params.rotation_element(steps);
        Ok((element, self.keys.find_with(Purpose::Automorphism(element), gadget, level)?))
    }
}
