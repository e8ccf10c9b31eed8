//! The server, P1, as a process.

mod session;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use hushwire_graph::Model;
use hushwire_net::{Identity, Incoming, Listener, PeerCertificate, Role, TlsOptions};
use hushwire_plan::{MAX_BYTES, Plan};

use crate::config::{ConfigFile as _, load_certificate, load_certificates, load_identity};
use crate::model_key::ModelKeyFile;
use crate::seats::Seat;
use crate::service::{self, Host};
use crate::store::{DAY, now};
use crate::width::{Serving, serving};
use crate::{
    ConfigError, DescriptionError, Handle, Hash, Hooks, Network, PartyError, ServerConfig, Store,
    StoreError,
};

/// Serves a network.
#[derive(Debug)]
pub struct Server;

/// What the server's sessions share.
struct Shared {
    config: ServerConfig,
    hooks: Hooks,
    identity: Identity,
    helper: PeerCertificate,
    tls: TlsOptions,
    network: Arc<Network>,
    serving: Arc<dyn Serving>,
    store: Store,
    /// Hash of the network and its secret integers.
    model: Hash,
    epoch: Mutex<Arc<Epoch>>,
}

/// The time in which one model key is in force.
struct Epoch {
    file: ModelKeyFile,
    /// Hash of the weights masked under the key.
    upload: Hash,
}

impl Server {
    /// Loads model and plan and begins to serve them.
    ///
    /// # Errors
    /// A configuration, model, plan or state directory that cannot be used; an address that cannot
    /// be listened at.
    pub fn start(config: ServerConfig) -> Result<Handle, PartyError> {
        let model = Model::load(&config.model)?;
        let plan = read_plan(&config.plan)?;
        Server::start_with(config, &model, &plan, Hooks::default())
    }

    /// Serves a model that is in memory; the configuration's `model` and `plan` are not read.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        config: ServerConfig,
        model: &Model,
        plan: &Plan,
        hooks: Hooks,
    ) -> Result<Handle, PartyError> {
        config.check()?;
        let own = |source: DescriptionError| PartyError::Description { peer: None, source };
        model.validate().map_err(|e| own(e.into()))?;
        let network = Network::new(&model.graph, plan).map_err(own)?;
        let identity = load_identity(&config.identity)?;
        let helper = load_certificate("helper.certificate", &config.helper.certificate)?;
        let clients = load_certificates("clients", &config.clients)?;
        let tls = config.tls();
        let store = Store::open(&config.state.join("bundles"), Arc::clone(&hooks.storage))?;
        let serving = serving(network.program(), &model.params);
        let hash = serving.hash(network.hash());
        let file = ModelKeyFile::open(&config.state, hash, config.key_renewal_days)?;
        discard_useless(&store, &file, config.stored_days)?;
        let epoch = Mutex::new(Epoch::new(file, serving.as_ref()));
        let trusted = clients.into_iter().map(|certificate| (Role::Client, certificate)).collect();
        let listener =
            Listener::bind(config.listen.as_str(), Role::Server, &identity, trusted, &tls)?;
        tracing::info!(addr = %listener.local_addr(), network = %network.hash(), "serving");
        let limit = config.max_sessions;
        let shared = Arc::new(Shared {
            config,
            hooks,
            identity,
            helper,
            tls,
            network,
            serving,
            store,
            model: hash,
            epoch,
        });
        service::serve(listener, limit, shared)
    }
}

impl Epoch {
    fn new(file: ModelKeyFile, serving: &dyn Serving) -> Arc<Epoch> {
        let upload = Hash::of(&serving.upload(&file.key()));
        Arc::new(Epoch { file, upload })
    }
}

impl Shared {
    /// The key in force, renewed if it is due.
    fn epoch(&self) -> Result<Arc<Epoch>, PartyError> {
        let days = self.config.key_renewal_days;
        let mut epoch = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        if epoch.file.is_older_than(days) {
            let file = ModelKeyFile::open(&self.config.state, self.model, days)?;
            *epoch = Epoch::new(file, self.serving.as_ref());
        }
        Ok(Arc::clone(&epoch))
    }
}

impl Host for Shared {
    const NAME: &'static str = "server";

    fn session(&self, incoming: Incoming, seat: &Seat) -> Result<(), PartyError> {
        session::run(self, incoming, seat)
    }
}

/// Gives up bundles that are too old, and those of weights that are not served: weights that come
/// back get another name.
fn discard_useless(store: &Store, file: &ModelKeyFile, days: u64) -> Result<(), StoreError> {
    let oldest = now().saturating_sub(days.saturating_mul(DAY));
    let useless = |entry: &crate::Entry| entry.weights != file.weights || entry.created < oldest;
    store.discard(|_, entry| useless(entry)).map(drop)
}

fn read_plan(path: &Path) -> Result<Plan, ConfigError> {
    let failed = |reason: String| ConfigError::Field {
        field: "plan",
        reason: format!("{}: {reason}", path.display()),
    };
    let len = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
    if len > MAX_BYTES as u64 {
        return Err(failed(format!("{len} bytes; at most {MAX_BYTES} are read")));
    }
    let bytes = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
    Plan::from_bytes(&bytes).map_err(|e| failed(e.to_string()))
}
