//! The keys that a program needs, and those that a client gives a server.

use std::collections::BTreeMap;
use std::sync::Arc;

use hushwire_ckks::{CkksError, EvaluationKeys, Parameters, PublicKey, SwitchKey};
use serde::{Deserialize, Serialize};

use crate::program::Program;

/// The keys that a program needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyNeeds {
    /// The highest level of a product, if there is one.
    pub product: Option<usize>,
    /// Rotations, each with the highest level at which it occurs.
    pub rotations: BTreeMap<usize, usize>,
}

impl KeyNeeds {
    /// What a program needs.
    pub fn of(program: &Program) -> Self {
        Self { product: program.product_level(), rotations: program.rotations() }
    }

    /// Keys for rotations and products.
    pub fn count(&self) -> usize {
        self.rotations.len() + usize::from(self.product.is_some())
    }

    /// Bytes of memory that the keys take.
    pub fn memory(&self, parameters: &Parameters) -> usize {
        let levels = self.rotations.values().chain(&self.product);
        let memory = |level: &usize| SwitchKey::memory_with(parameters, parameters.gadget(*level));
        levels.map(memory).sum()
    }
}

/// What a client gives a server: keys that encrypt and compute, and do not decrypt.
#[derive(Clone)]
pub struct KeySet {
    /// For encryption.
    pub public: PublicKey,
    /// For products and rotations.
    pub evaluation: Arc<EvaluationKeys>,
}

impl KeySet {
    /// As bytes: the length of the public key (u32), the public key, the evaluation keys.
    pub fn to_bytes(&self) -> Vec<u8> {
        let public = self.public.to_bytes();
        let mut bytes = (public.len() as u32).to_le_bytes().to_vec();
        bytes.extend(public);
        bytes.extend(self.evaluation.to_bytes());
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote and checks that it is what a program needs.
    ///
    /// # Errors
    /// If the bytes are not in the format, of other parameters, or lack a key.
    pub fn from_bytes(
        parameters: &Parameters,
        needs: &KeyNeeds,
        bytes: &[u8],
    ) -> Result<Self, CkksError> {
        let short = || CkksError::Format {
            what: "a key set",
            reason: "it ends before its public key does".to_owned(),
        };
        let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
        let (public, evaluation) =
            rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(short)?;
        let public = PublicKey::from_bytes(parameters, public)?;
        let evaluation = EvaluationKeys::from_bytes(parameters, evaluation)?;
        if let Some(level) = needs.product {
            evaluation.check_relinearisation(level)?;
        }
        for (steps, level) in &needs.rotations {
            evaluation.check_rotation(*steps as i64, *level)?;
        }
        Ok(Self { public, evaluation: Arc::new(evaluation) })
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.evaluation.memory()
    }
}
