//! Encrypted inference within this process: both sides of it, for runs and measurements.

pub mod eval;
pub mod run;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use hushwire_graph::Tensor;
use hushwire_he::{
    CkksMachine, CkksOwner, CostTable, Counts, EncryptedPlan, Executor, Interface, KeySet,
    MAX_PLAN_BYTES, Network as Normal, Planned, Planning, Program, Ranges, Settings, assemble,
    plan_with,
};
use hushwire_plan::{Plan, Site};
use serde::Serialize;

use crate::gated::Gated;
use crate::network::Network;
use crate::output::{bytes, grouped, seconds};
use crate::progress;

/// A network in normal form and the program that its plan makes of it.
pub struct Encrypted {
    normal: Normal,
    plan: EncryptedPlan,
    program: Program,
    /// Where the plan comes from.
    pub origin: String,
}

/// What encrypted inference took.
#[derive(Debug, Default, Serialize)]
pub struct Usage {
    /// Making keys and encoding weights.
    pub setup_seconds: f64,
    /// Public keys that a server would be given, in bytes.
    pub key_bytes: u64,
    /// Runs.
    pub runs: usize,
    /// Encrypting, of all runs.
    pub encrypt_seconds: f64,
    /// Computing on ciphertexts.
    pub compute_seconds: f64,
    /// Decrypting.
    pub decrypt_seconds: f64,
    /// Ciphertexts that would go to the server, in bytes.
    pub sent_bytes: u64,
    /// Ciphertexts that would come back.
    pub received_bytes: u64,
    /// The operations of one run.
    pub operations: Counts,
    /// Most memory of this process.
    pub peak_memory_bytes: Option<u64>,
}

/// Keys and encoded weights, ready to run.
pub struct Session<'a> {
    interface: Interface,
    owner: CkksOwner,
    keys: KeySet,
    machine: &'a CkksMachine,
    executor: Executor<'a, CkksMachine>,
    flood: f64,
}

/// The costs of encrypted operations in a file, or the built-in ones.
pub fn costs(path: Option<&Path>) -> Result<CostTable> {
    let Some(path) = path else { return Ok(CostTable::built_in()) };
    let read = || -> Result<CostTable> { Ok(CostTable::parse(&std::fs::read_to_string(path)?)?) };
    read().with_context(|| format!("cannot use the costs {}", path.display()))
}

/// Finds a plan for a network, with gates in the place of activations if there are any, and images
/// that show how large its values get.
pub fn find_plan(
    network: &Network,
    sites: &[Site],
    images: &Tensor,
    settings: &Settings,
    json: bool,
) -> Result<(Normal, Planned)> {
    let normal = normal_form(network, sites)?;
    let size = images.data.len() / images.batch();
    let inputs: Vec<Vec<f64>> =
        images.data.chunks(size).map(|x| x.iter().map(|x| f64::from(*x)).collect()).collect();
    let ranges = Ranges::measure(&normal, &inputs);
    let bar = progress::bar(json, Some(0), "planning");
    let mut told = |planning: Planning<'_>| {
        bar.set_length(planning.of as u64);
        bar.set_position(planning.done as u64);
        bar.set_message(format!(
            "in a ring of degree 2^{}: {}",
            planning.log_degree, planning.value
        ));
    };
    let planned = plan_with(&normal, &network.model.graph, &ranges, settings, &mut told);
    bar.finish_and_clear();
    let planned =
        planned.with_context(|| format!("{} cannot be planned", network.path.display()))?;
    Ok((normal, planned))
}

fn normal_form(network: &Network, sites: &[Site]) -> Result<Normal> {
    Normal::new(&network.model, sites).with_context(|| {
        let path = network.path.display();
        format!(
            "{path} cannot run on encrypted values (for ReLUs, `plan polynomial` makes gates that \
                 `plan encrypted --gates` takes)"
        )
    })
}

impl Encrypted {
    /// Float inference with the same gates; nothing where the plan has none.
    pub fn gated<'a>(&self, network: &'a Network) -> Option<Gated<'a>> {
        let exact = Plan::exact(&network.model.graph);
        let plan = Plan { sites: self.plan.sites.clone(), ..exact };
        (!plan.sites.is_empty()).then(|| Gated::new(&network.model, plan))
    }

    /// The plan of a file, or one made for these images.
    pub fn new(
        network: &Network,
        file: Option<&Path>,
        json: bool,
        images: impl FnOnce() -> Result<(Tensor, String)>,
    ) -> Result<Self> {
        let Some(path) = file else {
            let (images, origin) = images()?;
            let (normal, Planned { plan, program, .. }) =
                find_plan(network, &[], &images, &Settings::default(), json)?;
            return Ok(Self { normal, plan, program, origin: format!("planned on {origin}") });
        };
        let read = || -> Result<(Normal, EncryptedPlan, Program)> {
            let mut bytes = Vec::new();
            // One byte more than is allowed, so that longer files are noticed and not read.
            File::open(path)?.take(MAX_PLAN_BYTES as u64 + 1).read_to_end(&mut bytes)?;
            let plan = EncryptedPlan::from_bytes(&bytes)?;
            plan.check_graph(&network.model.graph)?;
            let normal = normal_form(network, &plan.sites)?;
            let program = assemble(&normal, &plan)?;
            Ok((normal, plan, program))
        };
        let (normal, plan, program) = read().with_context(|| {
            let path = path.display();
            format!("cannot use {path} as an encrypted plan, which `plan encrypted` writes")
        })?;
        Ok(Self { normal, plan, program, origin: format!("plan {}", path.display()) })
    }

    /// Makes keys, encodes weights, and has `run` use them.
    pub fn with_session<T>(
        &self,
        run: impl FnOnce(&Session<'_>, &mut Usage) -> Result<T>,
    ) -> Result<(T, Usage)> {
        let start = Instant::now();
        let interface = Interface::of(&self.program, &self.plan);
        let owner = CkksOwner::generate(&interface.check()?)?;
        let keys = owner.keys(&interface.needs, || ())?;
        let key_bytes = keys.to_bytes().len() as u64;
        let machine = CkksMachine::new(keys.evaluation.clone());
        let executor = Executor::new(&self.program, &self.normal, &machine)?;
        let flood = self.plan.flood;
        let session = Session { interface, owner, keys, machine: &machine, executor, flood };
        let mut usage = Usage {
            setup_seconds: start.elapsed().as_secs_f64(),
            key_bytes,
            operations: self.program.counts(),
            ..Usage::default()
        };
        let result = run(&session, &mut usage)?;
        usage.peak_memory_bytes = hushwire_party::peak_memory();
        Ok((result, usage))
    }
}

impl Session<'_> {
    /// Images that go into one run.
    pub fn batch(&self) -> usize {
        self.interface.batch()
    }

    /// Runs images, as many as go into one run at most; the logits, image after image.
    pub fn infer(&self, images: &[&[f32]], usage: &mut Usage) -> Result<Vec<f32>> {
        let start = Instant::now();
        let encrypted = self.interface.encrypt(&self.owner, images)?;
        let encrypted_at = Instant::now();
        let sent: usize = encrypted.iter().map(|x| x.to_bytes().len()).sum();
        let computing = Instant::now();
        let mut results = self.executor.run(encrypted, |_| {})?;
        self.machine.blind(&mut results, &self.keys.public, self.flood)?;
        let computed = computing.elapsed();
        let received: usize = results.iter().map(|x| x.to_bytes().len()).sum();
        let decrypting = Instant::now();
        let logits = self.interface.decrypt(&self.owner, &results, images.len())?;
        usage.runs += 1;
        usage.encrypt_seconds += (encrypted_at - start).as_secs_f64();
        usage.compute_seconds += computed.as_secs_f64();
        usage.decrypt_seconds += decrypting.elapsed().as_secs_f64();
        usage.sent_bytes += sent as u64;
        usage.received_bytes += received as u64;
        Ok(logits)
    }
}

impl Usage {
    /// Encrypting, computing and decrypting, of all runs.
    pub fn seconds(&self) -> f64 {
        self.encrypt_seconds + self.compute_seconds + self.decrypt_seconds
    }

    /// As people read it.
    pub fn text(&self) -> String {
        let each = |total: f64| seconds(total / self.runs.max(1) as f64);
        let c = &self.operations;
        format!(
            "{} of keys, {} sent, {} received; keys and weights {}\n\
             {} runs, each: encrypt {}, compute {}, decrypt {}\n\
             a run: {} rotations, {} products, {} plain products, {} rescalings, {} additions\n\
             peak memory {}",
            bytes(self.key_bytes),
            bytes(self.sent_bytes),
            bytes(self.received_bytes),
            seconds(self.setup_seconds),
            self.runs,
            each(self.encrypt_seconds),
            each(self.compute_seconds),
            each(self.decrypt_seconds),
            grouped(c.rotations),
            grouped(c.products),
            grouped(c.plain_products),
            grouped(c.rescalings),
            grouped(c.additions),
            self.peak_memory_bytes.map_or_else(|| "unknown".to_owned(), bytes),
        )
    }
}
