//! What a client has to know: parameters, keys, and how its inputs and results lie in ciphertexts. It
//! says nothing of the weights.

use hushwire_ckks::CkksError;
use serde::{Deserialize, Serialize};

use crate::keys::KeyNeeds;
use crate::layout::NONE;
use crate::machine::KeyHolder;
use crate::plan::{EncryptedPlan, Parameters};
use crate::program::{Place, Program, ProgramValue};

/// Most elements of an input or a result.
const MAX_ELEMENTS: usize = 1 << 24;
/// Most ciphertexts of an input or a result.
const MAX_CIPHERTEXTS: usize = 1 << 16;

/// The client's side of a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// Ring and primes.
    pub parameters: Parameters,
    /// The keys that the server needs.
    pub needs: KeyNeeds,
    /// What is encrypted.
    pub input: Port,
    /// What is decrypted.
    pub output: Port,
}

/// A value that goes in or out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// Elements per image.
    pub elements: usize,
    /// Where they lie.
    pub place: Place,
    /// Level of the ciphertexts.
    pub level: usize,
    /// log2 of their scale.
    pub log_scale: f64,
}

/// Why an interface cannot be used, or values do not fit it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterfaceError {
    /// It makes no sense.
    #[error("the server's interface makes no sense: {0}")]
    Unfit(String),
    /// Wrong number of images.
    #[error("{got} images; 1 to {most} go into one run")]
    Images {
        /// Images given.
        got: usize,
        /// Images possible.
        most: usize,
    },
    /// An image of the wrong size.
    #[error("an image has {got} numbers; the network takes {expected}")]
    Elements {
        /// Numbers given.
        got: usize,
        /// Numbers needed.
        expected: usize,
    },
    /// The result is not what it should be.
    #[error("the result has {got} ciphertexts, not {expected}")]
    Result {
        /// Ciphertexts expected.
        expected: usize,
        /// Ciphertexts there.
        got: usize,
    },
    /// The scheme.
    #[error(transparent)]
    Ckks(#[from] CkksError),
}

impl Port {
    fn of(value: &ProgramValue) -> Self {
        Self {
            elements: value.elements,
            place: value.place.clone(),
            level: value.level,
            log_scale: value.log_scale,
        }
    }

    /// Ciphertexts that it takes.
    pub fn ciphertexts(&self) -> usize {
        self.place.ciphertexts(self.elements)
    }

    fn check(&self, parameters: &Parameters) -> Result<(), String> {
        if !(1..=MAX_ELEMENTS).contains(&self.elements) {
            return Err(format!("{} elements", self.elements));
        }
        if !(1..=MAX_CIPHERTEXTS).contains(&self.ciphertexts()) {
            return Err(format!("{} ciphertexts", self.ciphertexts()));
        }
        if self.level >= parameters.data_bits.len() || !(0.0..=1000.0).contains(&self.log_scale) {
            return Err(format!("level {}, scale 2^{}", self.level, self.log_scale));
        }
        let Place::Packed(table) = &self.place else { return Ok(()) };
        let slots = 1 << parameters.log_degree;
        if table.slots != slots || table.ciphertexts.iter().any(|c| c.len() != slots) {
            return Err(format!("a layout of other than {slots} slots"));
        }
        let beyond = |e: &u32| *e != NONE && *e as usize >= self.elements;
        if table.ciphertexts.iter().flatten().any(beyond) {
            return Err(format!("an element beyond the last of {}", self.elements));
        }
        Ok(())
    }
}

impl Interface {
    /// That of a program.
    pub fn of(program: &Program, plan: &EncryptedPlan) -> Self {
        Self {
            parameters: plan.parameters.clone(),
            needs: KeyNeeds::of(program),
            input: Port::of(&program.values[0]),
            output: Port::of(&program.values[program.values.len() - 1]),
        }
    }

    /// Checks what came from elsewhere, and gives its parameters, which are secure.
    ///
    /// # Errors
    /// If it makes no sense.
    pub fn check(&self) -> Result<hushwire_ckks::Parameters, InterfaceError> {
        let parameters = crate::ckks::parameters(&self.parameters)?;
        let unfit = |what: &'static str| {
            move |reason: String| InterfaceError::Unfit(format!("{what}: {reason}"))
        };
        self.input.check(&self.parameters).map_err(unfit("input"))?;
        self.output.check(&self.parameters).map_err(unfit("result"))?;
        let slots = 1 << self.parameters.log_degree;
        let levels = self.parameters.data_bits.len();
        let fits = |(steps, level): (&usize, &usize)| (1..slots).contains(steps) && *level < levels;
        if !self.needs.rotations.iter().all(fits) || self.needs.product.is_some_and(|l| l >= levels)
        {
            return Err(unfit("keys")("a rotation or level is out of range".to_owned()));
        }
        Ok(parameters)
    }

    /// Images that go into one run at most.
    pub fn batch(&self) -> usize {
        match self.input.place {
            Place::Packed(_) => 1,
            Place::Batched => 1 << self.parameters.log_degree,
        }
    }

    /// Encrypts images.
    ///
    /// # Errors
    /// If they are too many, or of another size.
    pub fn encrypt<K: KeyHolder<Error = CkksError>>(
        &self,
        owner: &K,
        images: &[&[f32]],
    ) -> Result<Vec<K::Cipher>, InterfaceError> {
        let (most, expected) = (self.batch(), self.input.elements);
        if !(1..=most).contains(&images.len()) {
            return Err(InterfaceError::Images { got: images.len(), most });
        }
        if let Some(image) = images.iter().find(|image| image.len() != expected) {
            return Err(InterfaceError::Elements { got: image.len(), expected });
        }
        let slots: Vec<Vec<f64>> = match &self.input.place {
            Place::Packed(table) => {
                table.pack(&images[0].iter().map(|x| f64::from(*x)).collect::<Vec<f64>>())
            }
            Place::Batched => (0..expected)
                .map(|element| images.iter().map(|image| f64::from(image[element])).collect())
                .collect(),
        };
        let scale = self.input.log_scale.exp2();
        let encrypt = |slots: &Vec<f64>| owner.encrypt(slots, self.input.level, scale);
        Ok(slots.iter().map(encrypt).collect::<Result<_, _>>()?)
    }

    /// Decrypts the results of `images` images, one after the other.
    ///
    /// # Errors
    /// If they are not results of this program.
    pub fn decrypt<K: KeyHolder<Error = CkksError>>(
        &self,
        owner: &K,
        results: &[K::Cipher],
        images: usize,
    ) -> Result<Vec<f32>, InterfaceError> {
        let (expected, got) = (self.output.ciphertexts(), results.len());
        if expected != got {
            return Err(InterfaceError::Result { expected, got });
        }
        let slots: Result<Vec<Vec<f64>>, CkksError> =
            results.iter().map(|x| owner.decrypt(x)).collect();
        let slots = slots?;
        let elements = self.output.elements;
        let values = match &self.output.place {
            Place::Packed(table) => table.unpack(&slots, elements),
            Place::Batched => {
                (0..images * elements).map(|i| slots[i % elements][i / elements]).collect()
            }
        };
        Ok(values.into_iter().map(|v| v as f32).collect())
    }
}
