//! A network with encoded weights, which all sessions share.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use hushwire_ckks::{EvaluationKeys, Parameters};
use hushwire_graph::Model;
use hushwire_he::{
    CkksMachine, Encoded, EncryptedPlan, Executor, Interface, KeySet, MAX_PLAN_BYTES, Network,
    Program, assemble,
};

use super::EncryptedError;
use crate::ConfigError;

/// What is served.
pub(super) struct Weights {
    pub(super) interface: Interface,
    pub(super) parameters: Parameters,
    program: Program,
    network: Network,
    encoded: Arc<Encoded<CkksMachine>>,
    /// Standard deviation of the noise that results get.
    flood: f64,
    /// Bytes of the encoded weights.
    pub(super) bytes: u64,
}

impl Weights {
    /// Encodes the weights of a model.
    pub(super) fn new(model: &Model, plan: &EncryptedPlan) -> Result<Self, EncryptedError> {
        plan.check_graph(&model.graph)?;
        let network = Network::new(model, &plan.sites)?;
        let program = assemble(&network, plan)?;
        let interface = Interface::of(&program, plan);
        let parameters = interface.check()?;
        let machine = CkksMachine::new(EvaluationKeys::new(&parameters));
        let executor = Executor::new(&program, &network, &machine)?;
        let (encoded, bytes) = (executor.encoded(), executor.bytes() as u64);
        Ok(Self { interface, parameters, program, network, encoded, flood: plan.flood, bytes })
    }

    /// Values that are computed.
    pub(super) fn values(&self) -> u32 {
        self.program.values.len() as u32 - 1
    }

    /// Bytes of a client's keys in memory.
    pub(super) fn key_bytes(&self) -> u64 {
        self.interface.needs.memory(&self.parameters) as u64
    }

    /// Bytes of the encrypted values of one request.
    pub(super) fn value_bytes(&self) -> u64 {
        self.program.memory()
    }

    /// Computes the blinded result; `progress` hears of every value by its number and name.
    pub(super) fn run(
        &self,
        keys: &KeySet,
        input: Vec<hushwire_ckks::Ciphertext>,
        mut progress: impl FnMut(usize, &str),
    ) -> Result<Vec<hushwire_ckks::Ciphertext>, EncryptedError> {
        let machine = CkksMachine::new(Arc::clone(&keys.evaluation));
        let executor = Executor::with_encoded(
            &self.program,
            &self.network,
            &machine,
            Arc::clone(&self.encoded),
        );
        let mut result = executor.run(input, |done| progress(done.value, done.name))?;
        machine.blind(&mut result, &keys.public, self.flood)?;
        Ok(result)
    }
}

/// The plan in a file.
pub(super) fn read_plan(path: &Path) -> Result<EncryptedPlan, ConfigError> {
    let read = || -> Result<EncryptedPlan, String> {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|e| e.to_string())?;
        // One byte more than is allowed, so that longer files are noticed and not read.
        file.take(MAX_PLAN_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        EncryptedPlan::from_bytes(&bytes).map_err(|e| e.to_string())
    };
    read().map_err(|reason| ConfigError::Field {
        field: "plan",
        reason: format!("{}: {reason}", path.display()),
    })
}
