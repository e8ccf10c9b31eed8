//! The client, P0.

mod setup;
mod stored;

use std::sync::Arc;
use std::time::Instant;

use hushwire_mpc::{ClientBundle, Comparison, Job, MpcError, Sink};
use hushwire_net::{Link, Phase, SessionId, SharedKey, Traffic};

use crate::hooks::Stage;
use crate::report::{Links, cpu_seconds, traffic_since};
use crate::spool::Spool;
use crate::width::Asking;
use crate::wire::{Ready, Report, Request, farewell, hear, say};
use crate::{
    BundleId, ClientConfig, Hooks, Network, Outcome, PartiesReport, PartyError, PartyReport, Store,
};
pub use stored::{Fitting, Prepared};

/// A client in a session with a server and a helper.
pub struct Client {
    config: ClientConfig,
    hooks: Hooks,
    id: SessionId,
    server: Link,
    helper: Link,
    /// The server's fingerprint: who has the other halves of our bundles.
    owner: String,
    k02: SharedKey,
    network: Arc<Network>,
    asking: Arc<dyn Asking>,
    /// Names the weights.
    weights: [u8; 16],
    max_batch: u32,
    /// Opened when stored bundles are first asked for.
    store: Option<Store>,
    /// Bundles made so far.
    bundles: u64,
    meters: Meters,
    /// Whether an error ended the session.
    over: bool,
}

/// Counters at the last report.
struct Meters {
    server: Traffic,
    helper: Traffic,
    cpu: f64,
    setup_seconds: f64,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({:?})", self.network)
    }
}

impl Client {
    /// Connects to server and helper and agrees with them on the network.
    ///
    /// # Errors
    /// A configuration or identity that cannot be used; a party that cannot be reached, is not
    /// trusted or refuses; [`PartyError::Mismatch`] if the server shows client and helper different
    /// networks, [`PartyError::OtherNetwork`] if it is not the one configured.
    pub fn connect(config: ClientConfig) -> Result<Client, PartyError> {
        Client::connect_with(config, Hooks::default())
    }

    /// The network that is served: its graph with metadata, its plan, its hash.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Samples of a request at most.
    pub fn max_batch(&self) -> usize {
        self.max_batch as usize
    }

    /// One inference with fresh preprocessing. `input` holds one or more samples, one after the
    /// other, as the network takes them.
    ///
    /// # Errors
    /// An input that is not a whole number of samples or too many of them, which the client survives;
    /// any other error ends the session.
    pub fn infer(&mut self, input: &[f32]) -> Result<Outcome, PartyError> {
        let batch = self.batch_of(input)?;
        let comparison = self.config.comparison;
        self.guarded(|client| client.infer_fresh(input, batch, comparison))
    }

    /// Ends the session in good order.
    ///
    /// # Errors
    /// A connection that was lost.
    pub fn close(self) -> Result<(), PartyError> {
        if self.over {
            return Ok(());
        }
        self.server.close()?;
        Ok(self.helper.close()?)
    }

    fn job(&self, batch: u32, comparison: Comparison) -> Job {
        Job::new(Arc::clone(self.network.program()), batch as usize, comparison)
    }

    fn batch_of(&self, input: &[f32]) -> Result<u32, PartyError> {
        let len = self.network.program().input_len();
        if input.is_empty() || !input.len().is_multiple_of(len) {
            let (got, batch) = (input.len(), (input.len() / len).max(1));
            return Err(PartyError::Mpc(MpcError::Input { got, batch, len }));
        }
        self.admit(input.len() / len)
    }

    fn admit(&self, batch: usize) -> Result<u32, PartyError> {
        let most = self.max_batch;
        let fits = u32::try_from(batch).ok().filter(|batch| (1..=most).contains(batch));
        fits.ok_or_else(|| {
            PartyError::Limit(format!("a batch of {batch}; the server takes 1 to {most} samples"))
        })
    }

    /// Runs a request; an error ends the session, and the peers are told.
    fn guarded<T>(
        &mut self,
        request: impl FnOnce(&mut Client) -> Result<T, PartyError>,
    ) -> Result<T, PartyError> {
        if self.over {
            return Err(PartyError::Over);
        }
        let outcome = request(self).map_err(|error| self.better(error));
        self.over = outcome.is_err();
        farewell(outcome, &[&self.server, &self.helper])
    }

    /// When the session breaks, the server may have said why before.
    fn better(&self, error: PartyError) -> PartyError {
        match error.is_broken_link().then(|| hear::<Ready>(&self.server)) {
            Some(Err(refused @ PartyError::Refused { .. })) => refused,
            _ => error,
        }
    }

    fn request(&self, request: &Request) -> Result<(), PartyError> {
        say(&self.server, request)?;
        say(&self.helper, request)
    }

    fn infer_fresh(
        &mut self,
        input: &[f32],
        batch: u32,
        comparison: Comparison,
    ) -> Result<Outcome, PartyError> {
        let start = Instant::now();
        let job = self.job(batch, comparison);
        self.request(&Request::Fresh { batch, comparison })?;
        let id = self.next_bundle()?;
        let mut spool = Spool::new(self.config.state.clone(), self.config.memory_mib);
        self.offline(&job, &id, &mut spool)?;
        let source = spool.into_source().map_err(|e| PartyError::Mpc(MpcError::Keeping(e)))?;
        let bundle = ClientBundle::new(source);
        let Ready = hear(&self.server)?;
        let offline = start.elapsed().as_secs_f64();
        let (logits, online) = self.online(&job, bundle, input)?;
        self.outcome(logits, Some(offline), online)
    }

    /// Names the bundle that is made next.
    fn next_bundle(&mut self) -> Result<BundleId, PartyError> {
        self.hooks.reach(Stage::Offline)?;
        let id = BundleId::new(&self.id, self.bundles);
        self.bundles += 1;
        Ok(id)
    }

    fn offline(&self, job: &Job, id: &BundleId, sink: &mut dyn Sink) -> Result<(), PartyError> {
        let key = id.key(&self.k02);
        let prepared = self.asking.prepare(job, &key, &self.helper, &self.server, sink);
        prepared.map_err(|e| PartyError::in_program(e, &job.program))
    }

    fn online(
        &self,
        job: &Job,
        bundle: ClientBundle,
        input: &[f32],
    ) -> Result<(Vec<f32>, f64), PartyError> {
        self.hooks.reach(Stage::Online)?;
        let start = Instant::now();
        let logits = self.asking.infer(job, bundle, input, &self.server);
        let logits = logits.map_err(|e| PartyError::in_program(e, &job.program))?;
        Ok((logits, start.elapsed().as_secs_f64()))
    }

    /// Collects the closing reports. Without an offline phase the helper had no part.
    fn outcome(
        &mut self,
        logits: Vec<f32>,
        offline: Option<f64>,
        online: f64,
    ) -> Result<Outcome, PartyError> {
        let server: Report = hear(&self.server)?;
        let helper = match offline {
            Some(_) => hear::<Report>(&self.helper)?.party,
            None => None,
        };
        let meters = &mut self.meters;
        let links = Links {
            server: traffic_since(&mut meters.server, self.server.meter().snapshot()),
            helper: traffic_since(&mut meters.helper, self.helper.meter().snapshot()),
            between: server.helper_link.unwrap_or_default(),
        };
        let program = self.network.program();
        let setup_seconds = std::mem::take(&mut meters.setup_seconds);
        Ok(Outcome {
            logits,
            setup: links.phase(Phase::Setup, setup_seconds, program),
            offline: links.phase(Phase::Offline, offline.unwrap_or_default(), program),
            online: links.phase(Phase::Online, online, program),
            parties: PartiesReport {
                client: PartyReport::since(&mut meters.cpu),
                server: server.party,
                helper,
            },
        })
    }
}
