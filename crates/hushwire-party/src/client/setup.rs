//! How a client's session begins.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use hushwire_mpc::Key;
use hushwire_net::{
    Fingerprint, Link, PeerCertificate, Role, SessionId, SharedKey, TlsOptions, Traffic, agree,
    connect,
};
use zeroize::Zeroizing;

use super::{Client, Meters, cpu_seconds};
use crate::config::{ConfigFile as _, load_certificate, load_identity};
use crate::description::PROTOCOL;
use crate::hooks::Stage;
use crate::model_key::random;
use crate::width::{Asking, asking};
use crate::wire::{Hello, ModelKey, Seen, Verdict, Welcome, farewell, hear, say};
use crate::{ClientConfig, DescriptionError, Hash, Hooks, Network, PartyError};

/// Models whose masks a process remembers.
const REMEMBERED: usize = 4;

/// What a process remembers from one session to the next.
#[derive(Default)]
struct Memory {
    /// The network that each server served last.
    served: HashMap<Fingerprint, Hash>,
    /// Masks of the models used last, latest last.
    masks: Vec<Masks>,
}

/// The masks of a model.
struct Masks {
    network: Hash,
    key: Zeroizing<[u8; 16]>,
    asking: Arc<dyn Asking>,
}

static MEMORY: LazyLock<Mutex<Memory>> = LazyLock::new(Mutex::default);

fn memory() -> MutexGuard<'static, Memory> {
    MEMORY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client's side of a network under a model's key.
fn masks(network: &Network, key: &ModelKey) -> Arc<dyn Asking> {
    let hash = network.hash();
    let wanted = |m: &&Masks| m.network == hash && *m.key == key.0;
    if let Some(found) = memory().masks.iter().find(wanted) {
        return Arc::clone(&found.asking);
    }
    let asking = asking(network.program(), &Key::new(key.0));
    let masks = &mut memory().masks;
    if masks.len() >= REMEMBERED {
        masks.remove(0);
    }
    let key = Zeroizing::new(key.0);
    masks.push(Masks { network: hash, key, asking: Arc::clone(&asking) });
    asking
}

impl Client {
    /// Connects with storage of the caller's.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_with(config: ClientConfig, hooks: Hooks) -> Result<Client, PartyError> {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        config.check()?;
        let identity = load_identity(&config.identity)?;
        let server = load_certificate("server.certificate", &config.server.certificate)?;
        let helper = load_certificate("helper.certificate", &config.helper.certificate)?;
        let tls = config.tls();
        let id: SessionId = random()?;
        let dial = |address: &str, role, certificate: &PeerCertificate, tls: &TlsOptions| {
            connect(address, Role::Client, &identity, (role, certificate), id, tls)
        };
        let fingerprint = server.fingerprint();
        let known = memory().served.get(&fingerprint).copied().and_then(|h| Network::known(&h));
        let (to_server, to_helper) = thread::scope(|scope| {
            let calling = scope.spawn(|| -> Result<(Link, SharedKey), PartyError> {
                let link = dial(&config.helper.address, Role::Helper, &helper, &tls)?;
                let key = agree(&link, Role::Client, &id)?;
                Ok((link, key))
            });
            let greet = || -> Result<(Link, Welcome), PartyError> {
                let link = dial(&config.server.address, Role::Server, &server, &tls)?;
                say(&link, &Hello { protocol: PROTOCOL, known: known.as_ref().map(|n| n.hash()) })?;
                let welcome = hear(&link)?;
                Ok((link, welcome))
            };
            let greeted = greet();
            let called = calling.join();
            (
                greeted,
                called.unwrap_or_else(|_| Err(PartyError::Panic("calling the helper".into()))),
            )
        });
        let (server, welcome) = to_server?;
        let (helper, k02) = farewell(to_helper, &[&server])?;
        let peers = [&server, &helper];
        let described = describe(&config, known, welcome.network, welcome.description);
        let network = farewell(described, &peers)?;
        let agreed =
            hooks.reach(Stage::Setup).and_then(|()| agree_on_network(&network, &server, &helper));
        let key = farewell(agreed, &peers)?;
        memory().served.insert(fingerprint, network.hash());
        let asking = masks(&network, &key);
        let meters = Meters {
            server: Traffic::default(),
            helper: Traffic::default(),
            cpu,
            setup_seconds: start.elapsed().as_secs_f64(),
        };
        Ok(Client {
            config,
            hooks,
            id,
            server,
            helper,
            owner: fingerprint.to_string(),
            k02,
            network,
            asking,
            weights: welcome.weights,
            max_batch: welcome.max_batch,
            store: None,
            bundles: 0,
            meters,
            over: false,
        })
    }
}

/// The network that the server shows, if it is one and the one that the configuration wants.
fn describe(
    config: &ClientConfig,
    known: Option<Arc<Network>>,
    announced: Hash,
    description: Option<Vec<u8>>,
) -> Result<Arc<Network>, PartyError> {
    if let Some(expected) = config.pin()?.filter(|pin| *pin != announced) {
        return Err(PartyError::OtherNetwork { expected, got: announced });
    }
    let peer = Role::Server;
    let refused = |source: DescriptionError| PartyError::Description { peer: Some(peer), source };
    let network = match (description, known) {
        (Some(bytes), _) => Network::from_bytes(bytes).map_err(refused)?,
        (None, Some(known)) => known,
        (None, None) => {
            let (what, reason) = ("its greeting", "the description is missing".to_owned());
            return Err(PartyError::Malformed { peer, what, reason });
        }
    };
    if network.hash() != announced {
        let reason = format!("announced {announced}, the description is {}", network.hash());
        return Err(PartyError::Malformed { peer, what: "its greeting", reason });
    }
    Ok(network)
}

/// Has the helper compare what it was shown with what we were shown, and gets the model's key.
fn agree_on_network(
    network: &Network,
    server: &Link,
    helper: &Link,
) -> Result<ModelKey, PartyError> {
    say(helper, &Seen { protocol: PROTOCOL, network: network.hash() })?;
    let verdict = || -> Result<(), PartyError> {
        let verdict: Verdict = hear(helper)?;
        let all = [verdict.client, verdict.server, verdict.helper];
        if all.iter().any(|hash| *hash != network.hash()) {
            return Err(PartyError::mismatch(&verdict));
        }
        Ok(())
    };
    // The server waits for the helper's verdict before it sends the key, and says so if the helper
    // cannot be reached. If it leaves without a word, the helper may know more.
    match hear::<ModelKey>(server) {
        Ok(key) => verdict().map(|()| key),
        Err(error) if error.is_broken_link() => Err(match verdict() {
            Err(mismatch @ PartyError::Mismatch { .. }) => mismatch,
            _ => error,
        }),
        Err(error) => Err(error),
    }
}
