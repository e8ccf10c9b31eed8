//! Operations on ciphertexts, and what each does to level and scale.

use std::sync::Arc;

use crate::buffer::Buffer;
use crate::ciphertext::{Ciphertext, Plaintext, check_levels, check_scales};
use crate::error::CkksError;
use crate::kernels;
use crate::keys::{EvaluationKeys, Purpose, SwitchKey};
use crate::modulus::Modulus;
use crate::params::Parameters;
use crate::switch::{Source, SwitchTable};

/// Computes on ciphertexts. Cheap to clone; all methods may be called from many threads.
///
/// Operands must have equal levels, and for sums equal scales; that they do not is an error, never
/// corrected in silence. Products multiply the scales; rescaling divides by the last prime, which
/// leaves one level less.
#[derive(Clone)]
pub struct Evaluator {
    pub(crate) params: Parameters,
    pub(crate) keys: Arc<EvaluationKeys>,
}

impl Evaluator {
    /// An evaluator with these keys; none are needed for sums, products by plaintexts, rescaling.
    #[must_use]
    pub fn new(keys: impl Into<Arc<EvaluationKeys>>) -> Self {
        let keys = keys.into();
        Self { params: keys.params.clone(), keys }
    }

    /// Its parameters.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.params
    }

    /// Its keys.
    #[must_use]
    pub fn keys(&self) -> &EvaluationKeys {
        &self.keys
    }

    pub(crate) fn check(&self, x: &Ciphertext) -> Result<(), CkksError> {
        self.params.check_same(&x.params, "the ciphertext")
    }

    fn check_pair(&self, x: &Ciphertext, y: &Ciphertext) -> Result<(), CkksError> {
        self.check(x)?;
        self.check(y)?;
        check_levels(x.level, y.level)
    }

    fn check_plain(&self, x: &Ciphertext, y: &Plaintext) -> Result<(), CkksError> {
        self.check(x)?;
        self.params.check_same(&y.params, "the plaintext")?;
        check_levels(x.level, y.level)
    }

    /// Applies a kernel to each limb of a part and the same limb of another polynomial.
    fn each_limb(
        &self,
        level: usize,
        x: &mut [u64],
        y: &[u64],
        kernel: impl Fn(&Modulus, &mut [u64], &[u64]),
    ) {
        let n = self.params.degree();
        let tables = self.params.basis(level, 0);
        for ((x, y), table) in x.chunks_exact_mut(n).zip(y.chunks_exact(n)).zip(tables) {
            kernel(&table.modulus, x, y);
        }
    }

    /// x + y, of equal level and scale.
    ///
    /// # Errors
    /// If parameters, levels or scales differ.
    pub fn add(&self, x: &Ciphertext, y: &Ciphertext) -> Result<Ciphertext, CkksError> {
        let mut out = x.clone();
        self.add_assign(&mut out, y)?;
        Ok(out)
    }

    /// x += y, of equal level and scale.
    ///
    /// # Errors
    /// If parameters, levels or scales differ.
    pub fn add_assign(&self, x: &mut Ciphertext, y: &Ciphertext) -> Result<(), CkksError> {
        self.check_pair(x, y)?;
        check_scales(x.scale, y.scale)?;
        x.seed = None;
        for (i, part) in y.parts.iter().enumerate() {
            match x.parts.get_mut(i) {
                Some(own) => self.each_limb(y.level, own, part, kernels::add),
                None => x.parts.push(part.clone()),
            }
        }
        Ok(())
    }

    /// x - y, of equal level and scale.
    ///
    /// # Errors
    /// If parameters, levels or scales differ.
    pub fn sub(&self, x: &Ciphertext, y: &Ciphertext) -> Result<Ciphertext, CkksError> {
        let mut out = x.clone();
        self.sub_assign(&mut out, y)?;
        Ok(out)
    }

    /// x -= y, of equal level and scale.
    ///
    /// # Errors
    /// If parameters, levels or scales differ.
    pub fn sub_assign(&self, x: &mut Ciphertext, y: &Ciphertext) -> Result<(), CkksError> {
        self.check_pair(x, y)?;
        check_scales(x.scale, y.scale)?;
        x.seed = None;
        for (i, part) in y.parts.iter().enumerate() {
            if let Some(own) = x.parts.get_mut(i) {
                self.each_limb(y.level, own, part, kernels::sub);
            } else {
                let mut part = part.clone();
                self.negate_part(y.level, &mut part);
                x.parts.push(part);
            }
        }
        Ok(())
    }

    /// -x
    ///
    /// # Errors
    /// If parameters differ.
    pub fn neg(&self, x: &Ciphertext) -> Result<Ciphertext, CkksError> {
        self.check(x)?;
        let mut out = x.clone();
        out.seed = None;
        out.parts.iter_mut().for_each(|part| self.negate_part(x.level, part));
        Ok(out)
    }

    fn negate_part(&self, level: usize, part: &mut [u64]) {
        let n = self.params.degree();
        for (limb, table) in part.chunks_exact_mut(n).zip(self.params.basis(level, 0)) {
            kernels::neg(&table.modulus, limb);
        }
    }

    /// x += y, of equal level and scale.
    ///
    /// # Errors
    /// If parameters, levels or scales differ.
    pub fn add_plain_assign(&self, x: &mut Ciphertext, y: &Plaintext) -> Result<(), CkksError> {
        self.check_plain(x, y)?;
        check_scales(x.scale, y.scale)?;
        self.each_limb(x.level, &mut x.parts[0], &y.values, kernels::add_montgomery);
        Ok(())
    }

    /// x -= y, of equal level and scale.
    ///
    /// # Errors
    /// If parameters, levels or scales differ.
    pub fn sub_plain_assign(&self, x: &mut Ciphertext, y: &Plaintext) -> Result<(), CkksError> {
        self.check_plain(x, y)?;
        check_scales(x.scale, y.scale)?;
        self.each_limb(x.level, &mut x.parts[0], &y.values, kernels::sub_montgomery);
        Ok(())
    }

    /// Adds a number to all slots.
    ///
    /// # Errors
    /// If parameters differ or the number does not fit.
    pub fn add_constant_assign(&self, x: &mut Ciphertext, value: f64) -> Result<(), CkksError> {
        self.check(x)?;
        let integer = self.params.constant(value, x.level, x.scale)?;
        let n = self.params.degree();
        let limbs = x.parts[0].chunks_exact_mut(n).zip(self.params.basis(x.level, 0));
        for (limb, table) in limbs {
            kernels::add_scalar(&table.modulus, limb, table.modulus.reduce_signed(integer));
        }
        Ok(())
    }

    /// x y, of equal level; the scales multiply.
    ///
    /// # Errors
    /// If parameters or levels differ, or the scale grows beyond the modulus.
    pub fn mul_plain(&self, x: &Ciphertext, y: &Plaintext) -> Result<Ciphertext, CkksError> {
        self.check_plain(x, y)?;
        let scale = x.scale * y.scale;
        self.params.check_scale(x.level, scale)?;
        let mut out = Ciphertext::undefined(&self.params, x.level, scale, x.parts.len());
        for (part, out) in out.parts.iter_mut().enumerate() {
            let limbs = out.chunks_exact_mut(self.params.degree());
            for (i, (limb, table)) in limbs.zip(self.params.basis(x.level, 0)).enumerate() {
                kernels::mul_to(&table.modulus, limb, x.limb(part, i), y.limb(i));
            }
        }
        Ok(out)
    }

    /// x *= y, of equal level; the scales multiply.
    ///
    /// # Errors
    /// If parameters or levels differ, or the scale grows beyond the modulus.
    pub fn mul_plain_assign(&self, x: &mut Ciphertext, y: &Plaintext) -> Result<(), CkksError> {
        self.check_plain(x, y)?;
        let scale = x.scale * y.scale;
        self.params.check_scale(x.level, scale)?;
        x.seed = None;
        x.scale = scale;
        for part in &mut x.parts {
            self.each_limb(y.level, part, &y.values, kernels::mul);
        }
        Ok(())
    }

    /// x times a number that is rounded at `scale`; the scales multiply.
    ///
    /// # Errors
    /// If parameters differ, the number does not fit, or the scale grows beyond the modulus.
    pub fn mul_constant(
        &self,
        x: &Ciphertext,
        value: f64,
        scale: f64,
    ) -> Result<Ciphertext, CkksError> {
        self.dot_constants(&[x], &[value], scale)
    }

    /// sum x_i y_i of equal levels, equal scales of the x_i and of the y_i: one reduction for all.
    ///
    /// # Errors
    /// If parameters, levels or scales differ, there are no operands, or their numbers differ.
    pub fn dot_plain(&self, x: &[&Ciphertext], y: &[&Plaintext]) -> Result<Ciphertext, CkksError> {
        let (Some(first), Some(factor)) = (x.first(), y.first()) else {
            return Err(CkksError::Count { what: "dot_plain", left: x.len(), right: y.len() });
        };
        if x.len() != y.len() {
            return Err(CkksError::Count { what: "dot_plain", left: x.len(), right: y.len() });
        }
        for (x, y) in x.iter().zip(y) {
            self.check_plain(x, y)?;
            check_levels(first.level, x.level)?;
            check_scales(first.scale, x.scale)?;
            check_scales(factor.scale, y.scale)?;
            x.check_linear()?;
        }
        let scale = first.scale * factor.scale;
        self.params.check_scale(first.level, scale)?;
        let mut out = Ciphertext::undefined(&self.params, first.level, scale, 2);
        let n = self.params.degree();
        for (part, out) in out.parts.iter_mut().enumerate() {
            let limbs = out.chunks_exact_mut(n).zip(self.params.basis(first.level, 0));
            for (i, (limb, table)) in limbs.enumerate() {
                let terms: Vec<_> =
                    x.iter().zip(y).map(|(x, y)| (x.limb(part, i), y.limb(i))).collect();
                kernels::dot(&table.modulus, limb, &terms);
            }
        }
        Ok(out)
    }

    /// sum w_i x_i for numbers w_i rounded at `scale`, of equal levels and scales of the x_i.
    ///
    /// # Errors
    /// If parameters, levels or scales differ, there are no operands, their numbers differ, or a
    /// number does not fit.
    pub fn dot_constants(
        &self,
        x: &[&Ciphertext],
        w: &[f64],
        scale: f64,
    ) -> Result<Ciphertext, CkksError> {
        let Some(first) = x.first().filter(|_| x.len() == w.len()) else {
            return Err(CkksError::Count { what: "dot_constants", left: x.len(), right: w.len() });
        };
        for x in x {
            self.check_pair(first, x)?;
            check_scales(first.scale, x.scale)?;
            x.check_linear()?;
        }
        let out_scale = first.scale * scale;
        self.params.check_scale(first.level, out_scale)?;
        let integers = w
            .iter()
            .map(|&w| self.params.constant(w, first.level, scale))
            .collect::<Result<Vec<_>, _>>()?;
        let mut out = Ciphertext::undefined(&self.params, first.level, out_scale, 2);
        let n = self.params.degree();
        for (i, table) in self.params.basis(first.level, 0).enumerate() {
            let m = &table.modulus;
            let factors: Vec<_> =
                integers.iter().map(|&w| m.to_montgomery(m.reduce_signed(w))).collect();
            for (part, out) in out.parts.iter_mut().enumerate() {
                let terms: Vec<_> =
                    x.iter().zip(&factors).map(|(x, w)| (x.limb(part, i), *w)).collect();
                kernels::dot_scalars(m, &mut out[i * n..(i + 1) * n], &terms);
            }
        }
        Ok(out)
    }

    /// x y of equal levels as a ciphertext of three parts; the scales multiply. Sums of products need
    /// only one relinearisation.
    ///
    /// # Errors
    /// If parameters or levels differ, or the scale grows beyond the modulus.
    pub fn tensor(&self, x: &Ciphertext, y: &Ciphertext) -> Result<Ciphertext, CkksError> {
        self.check_pair(x, y)?;
        x.check_linear()?;
        y.check_linear()?;
        let scale = x.scale * y.scale;
        self.params.check_scale(x.level, scale)?;
        let mut out = Ciphertext::undefined(&self.params, x.level, scale, 3);
        let n = self.params.degree();
        for (i, table) in self.params.basis(x.level, 0).enumerate() {
            let [a, b, c] = &mut out.parts[..] else { unreachable!("three parts were made") };
            let limbs = [a, b, c].map(|part| &mut part[i * n..(i + 1) * n]);
            let factors = [x, y].map(|x| [x.limb(0, i), x.limb(1, i)]);
            kernels::tensor(&table.modulus, limbs, factors);
        }
        Ok(out)
    }

    /// Brings a product back to two parts.
    ///
    /// # Errors
    /// If parameters differ or there is no key.
    pub fn relinearize_assign(&self, x: &mut Ciphertext) -> Result<(), CkksError> {
        self.check(x)?;
        if x.parts.len() < 3 {
            return Ok(());
        }
        let key = self.keys.find(Purpose::Relinearise, x.level)?;
        let table = self.params.switch_table(key.gadget, x.level);
        let n = self.params.degree();
        let square = x.parts.remove(2);
        self.params.switch_divide(
            &table,
            Source::Values(&square),
            key,
            None,
            |(part, t), m, difference| {
                let limb = &mut x.parts[part][t * n..(t + 1) * n];
                kernels::add_difference(m, limb, difference);
            },
        );
        Ok(())
    }

    /// x y of equal levels; the scales multiply. Needs a relinearisation key.
    ///
    /// # Errors
    /// If parameters or levels differ, the scale grows beyond the modulus, or there is no key.
    pub fn mul(&self, x: &Ciphertext, y: &Ciphertext) -> Result<Ciphertext, CkksError> {
        let mut out = self.tensor(x, y)?;
        self.relinearize_assign(&mut out)?;
        Ok(out)
    }

    /// x^2; the scale is squared. Needs a relinearisation key.
    ///
    /// # Errors
    /// If parameters differ, the scale grows beyond the modulus, or there is no key.
    pub fn square(&self, x: &Ciphertext) -> Result<Ciphertext, CkksError> {
        self.mul(x, x)
    }

    /// x y of equal levels, rescaled: the division by the special primes and the last prime is one.
    /// Needs a relinearisation key.
    ///
    /// # Errors
    /// As [`Self::mul`] and [`Self::rescale`].
    pub fn mul_rescale(&self, x: &Ciphertext, y: &Ciphertext) -> Result<Ciphertext, CkksError> {
        let mut product = self.tensor(x, y)?;
        self.relinearize_rescale_assign(&mut product)?;
        Ok(product)
    }

    /// [`Self::relinearize_assign`] and [`Self::rescale_assign`], with one division for both.
    ///
    /// # Errors
    /// As both.
    pub fn relinearize_rescale_assign(&self, x: &mut Ciphertext) -> Result<(), CkksError> {
        self.check(x)?;
        if x.parts.len() < 3 {
            return self.rescale_assign(x);
        }
        let (level, scale) = self.rescaled(x.level, x.scale)?;
        let key = self.keys.find(Purpose::Relinearise, x.level)?;
        let table = self.params.switch_table(key.gadget, x.level);
        let n = self.params.degree();
        let mut out = Ciphertext::undefined(&self.params, level, scale, 2);
        self.params.switch_divide(
            &table,
            Source::Values(&x.parts[2]),
            key,
            Some([&x.parts[0], &x.parts[1]]),
            |(part, t), m, difference| {
                let limb = &mut out.parts[part][t * n..(t + 1) * n];
                kernels::scale_difference(m, limb, difference);
            },
        );
        *x = out;
        Ok(())
    }

    /// Level and scale after rescaling.
    pub(crate) fn rescaled(&self, level: usize, scale: f64) -> Result<(usize, f64), CkksError> {
        let below = level.checked_sub(1).ok_or(CkksError::LevelsExhausted)?;
        let scale = scale / self.params.prime(level) as f64;
        self.params.check_scale(below, scale)?;
        Ok((below, scale))
    }

    /// Divides by the last prime and drops it: one level less, and the scale shrinks by the prime.
    ///
    /// # Errors
    /// If parameters differ, no level is left, or the scale would fall below 1.
    pub fn rescale_assign(&self, x: &mut Ciphertext) -> Result<(), CkksError> {
        self.check(x)?;
        let (level, scale) = self.rescaled(x.level, x.scale)?;
        let division = self.params.rescaling(x.level);
        for part in &mut x.parts {
            *part = self.params.divide(&division, part, self.params.basis(x.level, 0));
        }
        (x.level, x.scale, x.seed) = (level, scale, None);
        Ok(())
    }

    /// [`Self::rescale_assign`] of a copy.
    ///
    /// # Errors
    /// As there.
    pub fn rescale(&self, x: &Ciphertext) -> Result<Ciphertext, CkksError> {
        let mut out = x.clone();
        self.rescale_assign(&mut out)?;
        Ok(out)
    }

    /// The same message at a lower level; the scale stays.
    ///
    /// # Errors
    /// If parameters differ, the level is higher, or the scale does not fit it.
    pub fn drop_to_level(&self, x: &Ciphertext, level: usize) -> Result<Ciphertext, CkksError> {
        self.check(x)?;
        if level > x.level {
            return Err(CkksError::Level { what: "drop_to_level", level, max: x.level });
        }
        self.params.check_scale(level, x.scale)?;
        let mut out = Ciphertext::undefined(&self.params, level, x.scale, x.parts.len());
        for (out, part) in out.parts.iter_mut().zip(&x.parts) {
            let len = out.len();
            out.copy_from_slice(&part[..len]);
        }
        // The seed still gives the limbs that are left.
        out.seed = x.seed;
        Ok(out)
    }

    /// Slots rotated by `steps` to the left. Needs the key of these steps.
    ///
    /// # Errors
    /// If parameters differ, there are three parts, or there is no key.
    pub fn rotate(&self, x: &Ciphertext, steps: i64) -> Result<Ciphertext, CkksError> {
        self.automorphism(x, self.params.rotation_element(steps))
    }

    /// Slots conjugated. Needs the key for it.
    ///
    /// # Errors
    /// If parameters differ, there are three parts, or there is no key.
    pub fn conjugate(&self, x: &Ciphertext) -> Result<Ciphertext, CkksError> {
        self.automorphism(x, self.params.conjugation_element())
    }

    fn automorphism(&self, x: &Ciphertext, element: usize) -> Result<Ciphertext, CkksError> {
        self.check(x)?;
        x.check_linear()?;
        if element == 1 {
            return Ok(x.clone());
        }
        let key = self.keys.find(Purpose::Automorphism(element), x.level)?;
        let table = self.params.switch_table(key.gadget, x.level);
        Ok(self.permute(x, &table, Source::Values(&x.parts[1]), (element, key)))
    }

    /// The automorphism of `x` that `key` is for, from its second part as `source` gives it.
    fn permute(
        &self,
        x: &Ciphertext,
        table: &SwitchTable,
        source: Source<'_>,
        (element, key): (usize, &SwitchKey),
    ) -> Ciphertext {
        let n = self.params.degree();
        let permutation = self.params.permutation(element);
        let mut out = Ciphertext::undefined(&self.params, x.level, x.scale, 2);
        self.params.switch_divide(table, source, key, None, |(part, t), m, difference| {
            let limb = &mut out.parts[part][t * n..(t + 1) * n];
            let addend = (part == 0).then(|| x.limb(0, t));
            kernels::permute_difference(m, &permutation, limb, difference, addend);
        });
        out
    }

    /// Rotations of one ciphertext by many steps, in their order. The decomposition into digits is
    /// shared by all whose keys have the same gadget (hoisting; Halevi and Shoup, CRYPTO 2018).
    ///
    /// # Errors
    /// As [`Self::rotate`].
    pub fn rotate_many(&self, x: &Ciphertext, steps: &[i64]) -> Result<Vec<Ciphertext>, CkksError> {
        self.check(x)?;
        x.check_linear()?;
        let mut shared: Option<(Arc<SwitchTable>, Buffer)> = None;
        steps
            .iter()
            .map(|&steps| {
                let element = self.params.rotation_element(steps);
                if element == 1 {
                    return Ok(x.clone());
                }
                let key = self.keys.find(Purpose::Automorphism(element), x.level)?;
                let (table, digits) = match shared.take() {
                    Some(shared) if shared.0.gadget == key.gadget => shared,
                    _ => {
                        let table = self.params.switch_table(key.gadget, x.level);
                        let digits = self.params.decompose(&table, &x.parts[1]);
                        (table, digits)
                    }
                };
                let out = self.permute(x, &table, Source::Digits(&digits), (element, key));
                shared = Some((table, digits));
                Ok(out)
            })
            .collect()
    }
}
