//! Parameter sets: the ring, the chain of primes, and what security allows.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};

use crate::automorphism::Permutation;
use crate::buffer::{Buffer, Pool};
use crate::embedding::Embedding;
use crate::error::CkksError;
use crate::modulus::{MAX_PRIME_BITS, Modulus, primes};
use crate::ntt::{Input, NttTable, leaf_exponents};
use crate::simd::Isa;
use crate::switch::{Division, SwitchTable};

/// Most primes of a set.
const MAX_PRIMES: usize = 64;
/// Fewest bits of a prime: enough for the primes that every degree needs to exist.
const MIN_PRIME_BITS: u32 = 25;

/// Which polynomials are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ring {
    /// Z\[X\]/(X^N + 1): N/2 complex slots.
    Complex,
    /// The subring of Z\[X\]/(X^2N + 1) that X -> 1/X fixes, of rank N: N real slots (Kim, Song,
    /// "Approximate homomorphic encryption over the conjugate-invariant ring", ICISC 2018).
    Real,
}

/// What a parameter set is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Which ring.
    pub ring: Ring,
    /// log2 of the ring degree N, 12 to 16.
    pub log_degree: u32,
    /// Bits of the primes of ciphertexts, q_0 first. Rescaling divides by the last that is left; what
    /// is decrypted at level 0 must stay below q_0.
    pub data_bits: Vec<u32>,
    /// Bits of the primes that key switching adds for a while.
    pub special_bits: Vec<u32>,
    /// log2 of the scale at which values are encoded unless told otherwise.
    pub log_scale: u32,
}

/// Largest log2(QP) at 128 bits of classical security with a ternary secret and errors of standard
/// deviation 3.2 or more (homomorphicencryption.org standard, and its extension to 65536).
#[must_use]
pub fn max_modulus_bits(log_degree: u32) -> Option<u32> {
    match log_degree {
        12 => Some(109),
        13 => Some(218),
        14 => Some(438),
        15 => Some(881),
        16 => Some(1747),
        _ => None,
    }
}

/// How a key switches: `digit` primes at a time of the ciphertext's, over `specials` special primes,
/// for ciphertexts up to `level`.
///
/// More special primes allow larger and so fewer digits, but take modulus from the data; below the
/// top level there is room for more of them. [`Parameters::gadget`] finds the cheapest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gadget {
    /// Highest level.
    pub level: usize,
    /// Special primes in use, the first ones of the set.
    pub specials: usize,
    /// Data primes in one digit.
    pub digit: usize,
}

impl Gadget {
    /// Digits of a ciphertext at `level`.
    #[must_use]
    pub fn digits(&self, level: usize) -> usize {
        (level + 1).div_ceil(self.digit)
    }

    /// Transforms that switching a ciphertext at `level` takes, the unit of cost.
    #[must_use]
    pub fn transforms(&self, level: usize) -> usize {
        let (limbs, all) = (level + 1, level + 1 + self.specials);
        let decompose = limbs + self.digits(level) * all - limbs;
        decompose + 2 * self.specials + 2 * limbs
    }
}

/// A parameter set, shared by all that is made under it; cheap to clone.
#[derive(Clone)]
pub struct Parameters(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    spec: ParameterSpec,
    id: [u8; 32],
    insecure: bool,
    /// Tables of the data primes, then of the special primes.
    pub(crate) tables: Vec<NttTable>,
    pub(crate) embedding: Embedding,
    pub(crate) pool: Arc<Pool>,
    leaves: Vec<usize>,
    permutations: Cache<usize, Permutation>,
    rescalings: Cache<usize, Division>,
    switch_tables: Cache<(Gadget, usize), SwitchTable>,
}

impl Parameters {
    /// Builds tables for a specification.
    ///
    /// # Errors
    /// If it is malformed, has no primes, or is not 128-bit secure.
    pub fn new(spec: ParameterSpec) -> Result<Self, CkksError> {
        Self::build(spec, Isa::best(), false)
    }

    /// Parameters of degree 2^5 up that need not be secure, for tests.
    ///
    /// # Errors
    /// If the specification is malformed or has no primes.
    #[cfg(feature = "test-support")]
    pub fn danger_insecure(spec: ParameterSpec) -> Result<Self, CkksError> {
        Self::build(spec, Isa::best(), true)
    }

    /// Insecure parameters whose kernels are for given instructions.
    ///
    /// # Errors
    /// If the specification is malformed or has no primes.
    ///
    /// # Panics
    /// If this machine does not have the instructions.
    #[cfg(feature = "test-support")]
    pub fn danger_insecure_with(spec: ParameterSpec, isa: Isa) -> Result<Self, CkksError> {
        assert!(Isa::available().any(|own| own == isa), "{isa:?} is not there");
        Self::build(spec, isa, true)
    }

    fn build(spec: ParameterSpec, isa: Isa, insecure: bool) -> Result<Self, CkksError> {
        let refuse = |reason: String| Err(CkksError::Parameters(reason));
        let smallest = if insecure { 5 } else { 12 };
        if !(smallest..=16).contains(&spec.log_degree) {
            return refuse(format!("log2 of the degree is {}, not 12 to 16", spec.log_degree));
        }
        let count = spec.data_bits.len() + spec.special_bits.len();
        if spec.data_bits.is_empty() || spec.special_bits.is_empty() || count > MAX_PRIMES {
            return refuse(format!(
                "{} data and {} special primes: there must be one of each, {MAX_PRIMES} in all",
                spec.data_bits.len(),
                spec.special_bits.len()
            ));
        }
        if !(1..=60).contains(&spec.log_scale) {
            return refuse(format!("log2 of the scale is {}, not 1 to 60", spec.log_scale));
        }
        let n = 1usize << spec.log_degree;
        let real = spec.ring == Ring::Real;
        let step = if real { 4 * n } else { 2 * n } as u64;
        let mut found: Vec<u64> = Vec::new();
        for &bits in spec.data_bits.iter().chain(&spec.special_bits) {
            if !(MIN_PRIME_BITS..=MAX_PRIME_BITS).contains(&bits) {
                return refuse(format!(
                    "a prime of {bits} bits, not {MIN_PRIME_BITS} to {MAX_PRIME_BITS}"
                ));
            }
            match primes(bits, step, 1, &found).first() {
                Some(&q) => found.push(q),
                None => return refuse(format!("not enough primes of {bits} bits")),
            }
        }
        let id = identity(&spec, insecure, &found);
        let tables: Vec<_> =
            found.iter().map(|&q| NttTable::new(Modulus::new(q).with(isa), n, real, isa)).collect();
        let params = Self(Arc::new(Inner {
            embedding: Embedding::new(if real { n } else { n / 2 }, real),
            leaves: leaf_exponents(n, real),
            permutations: RwLock::default(),
            rescalings: RwLock::default(),
            switch_tables: RwLock::default(),
            pool: Arc::default(),
            spec,
            id,
            insecure,
            tables,
        }));
        params.check_security(params.max_level(), 1)?;
        Ok(params)
    }

    /// Whether the primes of `level` with `specials` special ones are within the table.
    fn check_security(&self, level: usize, specials: usize) -> Result<(), CkksError> {
        let bits = self.log_modulus(level) + self.log_special(specials);
        match max_modulus_bits(self.0.spec.log_degree) {
            _ if self.0.insecure => Ok(()),
            Some(max) if bits <= f64::from(max) => Ok(()),
            max => Err(CkksError::Insecure {
                degree: self.degree(),
                bits,
                max: max.unwrap_or_default(),
            }),
        }
    }

    /// What the set was made from.
    #[must_use]
    pub fn spec(&self) -> &ParameterSpec {
        &self.0.spec
    }

    /// A hash of the specification and its primes; everything serialised carries it.
    #[must_use]
    pub fn id(&self) -> &[u8; 32] {
        &self.0.id
    }

    /// Whether the set was made by `danger_insecure`.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.0.insecure
    }

    /// Ring degree N.
    #[must_use]
    pub fn degree(&self) -> usize {
        1 << self.0.spec.log_degree
    }

    /// Values that one ciphertext holds.
    #[must_use]
    pub fn slots(&self) -> usize {
        match self.0.spec.ring {
            Ring::Complex => self.degree() / 2,
            Ring::Real => self.degree(),
        }
    }

    /// Level of a fresh ciphertext: the rescalings that it allows.
    #[must_use]
    pub fn max_level(&self) -> usize {
        self.0.spec.data_bits.len() - 1
    }

    /// The scale at which values are encoded unless told otherwise.
    #[must_use]
    pub fn default_scale(&self) -> f64 {
        f64::from(self.0.spec.log_scale).exp2()
    }

    /// The prime that rescaling at `level` divides by.
    ///
    /// # Panics
    /// If there is no such level.
    #[must_use]
    pub fn prime(&self, level: usize) -> u64 {
        assert!(level <= self.max_level(), "level {level} of {}", self.max_level());
        self.0.tables[level].modulus.q
    }

    /// log2 of the modulus Q of ciphertexts at `level`.
    #[must_use]
    pub fn log_modulus(&self, level: usize) -> f64 {
        self.0.tables[..=level].iter().map(|t| (t.modulus.q as f64).log2()).sum()
    }

    /// log2 of the product of the first `count` special primes.
    pub(crate) fn log_special(&self, count: usize) -> f64 {
        (0..count).map(|i| (self.special(i).modulus.q as f64).log2()).sum()
    }

    pub(crate) fn special(&self, i: usize) -> &NttTable {
        &self.0.tables[self.0.spec.data_bits.len() + i]
    }

    /// Tables of the basis of `level` extended by `specials` special primes, in the order in which
    /// limbs are stored.
    pub(crate) fn basis(&self, level: usize, specials: usize) -> impl Iterator<Item = &NttTable> {
        let data = self.0.spec.data_bits.len();
        self.0.tables[..=level].iter().chain(&self.0.tables[data..data + specials])
    }

    /// The cheapest secure key switching for ciphertexts up to `level`.
    #[must_use]
    pub fn gadget(&self, level: usize) -> Gadget {
        let level = level.min(self.max_level());
        let fallback = Gadget { level, specials: 1, digit: 1 };
        (1..=self.0.spec.special_bits.len())
            .flat_map(|specials| {
                (1..=level + 1).map(move |digit| Gadget { level, specials, digit })
            })
            .filter(|gadget| self.check_gadget(gadget).is_ok())
            .min_by_key(|gadget| {
                let noisy = self.digit_excess(gadget) > QUIET_EXCESS;
                (noisy, gadget.transforms(level), gadget.digits(level))
            })
            .unwrap_or(fallback)
    }

    /// Refuses gadgets outside the set, above the security table, or with digits so much larger than
    /// the special primes that switching would drown the message in noise.
    pub(crate) fn check_gadget(&self, gadget: &Gadget) -> Result<(), CkksError> {
        let refuse = |reason: String| Err(CkksError::Parameters(reason));
        let Gadget { level, specials, digit } = *gadget;
        if level > self.max_level() {
            return Err(CkksError::Level { what: "gadget", level, max: self.max_level() });
        }
        if specials == 0 || specials > self.0.spec.special_bits.len() {
            return refuse(format!("a gadget with {specials} special primes"));
        }
        if digit == 0 || digit > level + 1 {
            return refuse(format!("a gadget with digits of {digit} primes at level {level}"));
        }
        let excess = self.digit_excess(gadget);
        if excess > MAX_EXCESS {
            return refuse(format!(
                "a gadget whose digits exceed its special primes by {excess:.0} bits"
            ));
        }
        self.check_security(level, specials)
    }

    /// Bits by which the largest digit of a gadget exceeds its special primes.
    fn digit_excess(&self, gadget: &Gadget) -> f64 {
        let log = |primes: &[NttTable]| primes.iter().map(|t| (t.modulus.q as f64).log2()).sum();
        let largest =
            self.0.tables[..=gadget.level].chunks(gadget.digit).map(log).fold(0.0, f64::max);
        largest - self.log_special(gadget.specials)
    }

    /// The automorphism X -> X^g as a permutation of values, made when first wanted.
    pub(crate) fn permutation(&self, element: usize) -> Arc<Permutation> {
        cached(&self.0.permutations, element, || {
            Permutation::new(&self.0.leaves, self.order(), element)
        })
    }

    /// Constants of dividing by the last prime of `level`, made when first wanted.
    pub(crate) fn rescaling(&self, level: usize) -> Arc<Division> {
        cached(&self.0.rescalings, level, || {
            let basis: Vec<_> = self.basis(level, 0).collect();
            Division::new(&basis[..level], &basis[level..])
        })
    }

    /// Constants of switching at `level` with keys of a gadget, made when first wanted.
    pub(crate) fn switch_table(&self, gadget: Gadget, level: usize) -> Arc<SwitchTable> {
        cached(&self.0.switch_tables, (gadget, level), || SwitchTable::new(self, gadget, level))
    }

    /// The transform modulo the prime of a level, to be measured by itself.
    ///
    /// # Panics
    /// If there is no such level.
    #[must_use]
    pub fn ntt(&self, level: usize) -> Ntt<'_> {
        assert!(level <= self.max_level(), "level {level} of {}", self.max_level());
        let table = &self.0.tables[level];
        let [mut input, output] = [0, 1].map(|_| self.0.pool.take(self.degree()));
        input.iter_mut().zip(0..).for_each(|(x, i)| *x = i * i % table.modulus.q);
        Ntt { table, input, output }
    }

    /// Order of the roots of unity: exponents of automorphisms are modulo this.
    pub(crate) fn order(&self) -> usize {
        4 * self.slots()
    }

    /// g of the automorphism that rotates slots to the left by `steps`.
    pub(crate) fn rotation_element(&self, steps: i64) -> usize {
        let steps = steps.rem_euclid(self.slots() as i64);
        (0..steps).fold(1, |g, _| g * 5 % self.order())
    }

    /// g of complex conjugation.
    pub(crate) fn conjugation_element(&self) -> usize {
        self.order() - 1
    }

    /// Whether X -> X^g is an automorphism of the ring, other than the identity.
    pub(crate) fn is_automorphism(&self, g: usize) -> bool {
        let unit = match self.0.spec.ring {
            Ring::Complex => g % 2 == 1,
            // X -> 1/X is the identity: one of g and -g is enough.
            Ring::Real => g % 4 == 1,
        };
        unit && g > 1 && g < self.order()
    }

    pub(crate) fn check_same(&self, other: &Self, what: &'static str) -> Result<(), CkksError> {
        if Arc::ptr_eq(&self.0, &other.0) || self.0.id == other.0.id {
            return Ok(());
        }
        Err(CkksError::ForeignParameters { what })
    }

    /// Refuses scales that are not positive and finite, or leave no bit for the message.
    pub(crate) fn check_scale(&self, level: usize, scale: f64) -> Result<(), CkksError> {
        let (log_scale, log_modulus) = (scale.log2(), self.log_modulus(level));
        if scale.is_finite() && scale >= 1.0 && log_scale < log_modulus - 1.0 {
            return Ok(());
        }
        Err(CkksError::Scale { log_scale, level, log_modulus })
    }

    pub(crate) fn check_level(&self, what: &'static str, level: usize) -> Result<(), CkksError> {
        if level <= self.max_level() {
            return Ok(());
        }
        Err(CkksError::Level { what, level, max: self.max_level() })
    }
}

/// The number-theoretic transform modulo one prime, of a polynomial of its own.
pub struct Ntt<'a> {
    table: &'a NttTable,
    input: Buffer,
    output: Buffer,
}

impl Ntt<'_> {
    /// Values at the roots from coefficients elsewhere in memory, as words that key switching takes.
    pub fn forward_lazy(&mut self) {
        self.table.forward_lazy(&mut self.output, Input::One(&self.input), 0);
    }

    /// Reduced values at the roots from coefficients, in place.
    pub fn forward(&mut self) {
        self.table.forward(&mut self.input);
    }

    /// Reduced coefficients from values at the roots, in place.
    pub fn inverse(&mut self) {
        self.table.inverse(&mut self.input);
    }
}

/// Bits by which a digit may exceed the special primes without visible noise.
const QUIET_EXCESS: f64 = 1.0;
/// Bits by which a digit may exceed the special primes at all.
const MAX_EXCESS: f64 = 12.0;

type Cache<K, V> = RwLock<HashMap<K, Arc<V>>>;

fn cached<K: Eq + Hash, V>(cache: &Cache<K, V>, key: K, make: impl FnOnce() -> V) -> Arc<V> {
    if let Some(found) = cache.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Arc::clone(found);
    }
    let made = Arc::new(make());
    let mut cache = cache.write().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(cache.entry(key).or_insert(made))
}

fn identity(spec: &ParameterSpec, insecure: bool, primes: &[u64]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"hushwire ckks parameters 1");
    hash.update(crate::wire::spec_bytes(spec));
    hash.update([u8::from(insecure)]);
    primes.iter().for_each(|q| hash.update(q.to_le_bytes()));
    hash.finalize().into()
}

impl PartialEq for Parameters {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Parameters {}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parameters").field("spec", &self.0.spec).finish_non_exhaustive()
    }
}
