//! Vectors in the clear that keep the scheme's rules: the reference for every other machine.

use std::collections::BTreeSet;

use super::{Counter, Counts, KeyHolder, Machine};

/// A machine without encryption. It checks what a scheme would: levels, scales, that values fit the
/// modulus, and that there are keys for the rotations; and it counts its own operations.
#[derive(Debug)]
pub struct Clear {
    slots: usize,
    primes: Vec<f64>,
    /// Rotations with keys; all have one if absent.
    rotations: Option<BTreeSet<usize>>,
    counter: Counter,
}

/// A vector with the level and the scale that its ciphertext would have.
#[derive(Clone, PartialEq, Debug)]
pub struct ClearVector {
    values: Vec<f64>,
    level: usize,
    scale: f64,
}

/// A rule that was broken.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClearError {
    /// Levels differ.
    #[error("levels {0} and {1} where equal ones are needed")]
    Level(usize, usize),
    /// Scales differ.
    #[error("scales 2^{:.3} and 2^{:.3} where equal ones are needed", .0.log2(), .1.log2())]
    Scale(f64, f64),
    /// No level is left.
    #[error("no level is left to rescale")]
    NoLevel,
    /// Values times the scale exceed the modulus.
    #[error("a value of 2^{bits:.1} at level {level}, whose modulus has {modulus:.1} bits")]
    Overflow {
        /// log2 of the value times the scale.
        bits: f64,
        /// The level.
        level: usize,
        /// log2 of the modulus.
        modulus: f64,
    },
    /// A rotation that was not announced.
    #[error("there is no key for a rotation by {0}")]
    NoKey(usize),
}

/// Scales closer than this are equal.
const TOLERANCE: f64 = 1e-10;

impl Clear {
    /// A machine with these primes, those that rescaling divides by last first.
    pub fn new(slots: usize, primes: Vec<f64>) -> Self {
        Self { slots, primes, rotations: None, counter: Counter::default() }
    }

    /// Allows only these rotations.
    #[must_use]
    pub fn with_rotations(mut self, rotations: impl IntoIterator<Item = usize>) -> Self {
        self.rotations = Some(rotations.into_iter().collect());
        self
    }

    /// The operations since the last call.
    pub fn take_counts(&self) -> Counts {
        self.counter.take()
    }

    fn count(&self, set: impl FnOnce(&mut Counts)) {
        let mut counts = Counts::default();
        set(&mut counts);
        self.counter.add(counts);
    }

    fn checked(&self, x: ClearVector) -> Result<ClearVector, ClearError> {
        let largest = x.values.iter().fold(0.0, |m: f64, v| m.max(v.abs())) * x.scale;
        let modulus: f64 = self.primes[..=x.level].iter().map(|q| q.log2()).sum();
        // A value that is no number is none that fits.
        if largest.log2() < modulus - 1.0 {
            return Ok(x);
        }
        Err(ClearError::Overflow { bits: largest.log2(), level: x.level, modulus })
    }

    fn same(a: &ClearVector, b: &ClearVector) -> Result<(), ClearError> {
        if a.level != b.level {
            return Err(ClearError::Level(a.level, b.level));
        }
        if (a.scale / b.scale - 1.0).abs() > TOLERANCE {
            return Err(ClearError::Scale(a.scale, b.scale));
        }
        Ok(())
    }

    fn product(a: &ClearVector, b: &ClearVector) -> Result<ClearVector, ClearError> {
        if a.level != b.level {
            return Err(ClearError::Level(a.level, b.level));
        }
        let values = a.values.iter().zip(&b.values).map(|(a, b)| a * b).collect();
        Ok(ClearVector { values, level: a.level, scale: a.scale * b.scale })
    }

    fn add_to(sum: &mut ClearVector, x: &ClearVector) -> Result<(), ClearError> {
        Self::same(sum, x)?;
        sum.values.iter_mut().zip(&x.values).for_each(|(sum, x)| *sum += x);
        Ok(())
    }

    fn rotated(&self, x: &ClearVector, steps: usize) -> Result<ClearVector, ClearError> {
        if self.rotations.as_ref().is_some_and(|known| !known.contains(&steps)) {
            return Err(ClearError::NoKey(steps));
        }
        let mut result = x.clone();
        result.values.rotate_left(steps % self.slots);
        Ok(result)
    }
}

impl Machine for Clear {
    type Cipher = ClearVector;
    type Plain = ClearVector;
    type Error = ClearError;

    fn slots(&self) -> usize {
        self.slots
    }

    fn prime(&self, level: usize) -> f64 {
        self.primes[level]
    }

    fn level(&self, x: &ClearVector) -> usize {
        x.level
    }

    fn scale(&self, x: &ClearVector) -> f64 {
        x.scale
    }

    fn encode(&self, values: &[f64], level: usize, scale: f64) -> Result<ClearVector, ClearError> {
        let mut values = values.to_vec();
        values.resize(self.slots, 0.0);
        self.checked(ClearVector { values, level, scale })
    }

    fn reduce(&self, x: &mut ClearVector, level: usize) -> Result<(), ClearError> {
        if level > x.level {
            return Err(ClearError::Level(x.level, level));
        }
        x.level = level;
        self.checked(x.clone()).map(drop)
    }

    fn add(&self, sum: &mut ClearVector, x: &ClearVector) -> Result<(), ClearError> {
        self.count(|c| c.additions += 1);
        Self::add_to(sum, x)
    }

    fn add_plain(&self, sum: &mut ClearVector, x: &ClearVector) -> Result<(), ClearError> {
        self.count(|c| c.additions += 1);
        Self::add_to(sum, x)
    }

    fn add_constant(&self, sum: &mut ClearVector, x: f64) -> Result<(), ClearError> {
        self.count(|c| c.additions += 1);
        sum.values.iter_mut().for_each(|v| *v += x);
        self.checked(sum.clone()).map(drop)
    }

    fn sum_of_products(
        &self,
        terms: &[(&ClearVector, &ClearVector)],
    ) -> Result<ClearVector, ClearError> {
        let mut sum: Option<ClearVector> = None;
        for (x, plain) in terms {
            self.count(|c| c.plain_products += 1);
            let product = Self::product(x, plain)?;
            match &mut sum {
                None => sum = Some(product),
                Some(sum) => {
                    self.count(|c| c.additions += 1);
                    Self::add_to(sum, &product)?;
                }
            }
        }
        self.checked(sum.expect("there is at least one term"))
    }

    fn sum_of_multiples(
        &self,
        terms: &[(&ClearVector, f64)],
        scale: f64,
    ) -> Result<ClearVector, ClearError> {
        let (first, _) = terms[0];
        let mut sum = ClearVector {
            values: vec![0.0; self.slots],
            level: first.level,
            scale: first.scale * scale,
        };
        for (x, factor) in terms {
            Self::same(first, x)?;
            sum.values.iter_mut().zip(&x.values).for_each(|(sum, x)| *sum += x * factor);
        }
        let n = terms.len() as u64;
        self.count(|c| (c.plain_products, c.additions) = (n, n - 1));
        self.checked(sum)
    }

    fn multiply(&self, x: &ClearVector, y: &ClearVector) -> Result<ClearVector, ClearError> {
        self.count(|c| c.products += 1);
        self.checked(Self::product(x, y)?)
    }

    fn square(&self, x: &ClearVector) -> Result<ClearVector, ClearError> {
        self.multiply(x, x)
    }

    fn rescale(&self, x: &mut ClearVector) -> Result<(), ClearError> {
        self.count(|c| c.rescalings += 1);
        x.scale /= self.primes[x.level];
        x.level = x.level.checked_sub(1).ok_or(ClearError::NoLevel)?;
        Ok(())
    }

    fn rotate(&self, x: &ClearVector, steps: usize) -> Result<ClearVector, ClearError> {
        self.count(|c| c.rotations += 1);
        self.rotated(x, steps)
    }

    fn cipher_bytes(&self, x: &ClearVector) -> usize {
        size_of_val(&x.values[..])
    }

    fn plain_bytes(&self, x: &ClearVector) -> usize {
        size_of_val(&x.values[..])
    }
}

impl KeyHolder for Clear {
    type Cipher = ClearVector;
    type Error = ClearError;

    fn encrypt(&self, values: &[f64], level: usize, scale: f64) -> Result<ClearVector, ClearError> {
        self.encode(values, level, scale)
    }

    fn decrypt(&self, x: &ClearVector) -> Result<Vec<f64>, ClearError> {
        Ok(self.checked(x.clone())?.values)
    }
}
