//! The server: computes on what it cannot read.

use std::sync::Arc;
use std::time::Instant;

use hushwire_ckks::Ciphertext;
use hushwire_graph::{Graph, Model};
use hushwire_he::{EncryptedPlan, KeySet};
use hushwire_net::{Incoming, Link, Listener, Role};

use super::keys::KeyCache;
use super::messages::{
    Answer, Ask, Event, Hello, KeysRead, Offer, PIECE, PROTOCOL, Welcome, receive_ciphertext,
    receive_piece, send_ciphertext,
};
use super::weights::{Weights, read_plan};
use super::{EncryptedError, EncryptedServerConfig};
use crate::config::{ConfigFile as _, load_certificates, load_identity};
use crate::report::cpu_seconds;
use crate::seats::Seat;
use crate::service::{self, Host};
use crate::wire::{farewell, hear, say};
use crate::{Handle, Hash, Hooks, PartyError, PartyReport};

/// Bytes of a key set or ciphertext beside its residues.
const HEADERS: u64 = 1 << 20;

/// Serves a network to clients who encrypt.
#[derive(Debug)]
pub struct EncryptedServer;

/// What sessions share.
struct Shared {
    config: EncryptedServerConfig,
    hooks: Hooks,
    graph: Graph,
    weights: Weights,
    cache: KeyCache,
}

impl EncryptedServer {
    /// Loads model and plan and begins to serve them.
    ///
    /// # Errors
    /// A configuration, model, plan or state directory that cannot be used; an address that cannot
    /// be listened at.
    pub fn start(config: EncryptedServerConfig) -> Result<Handle, PartyError> {
        let model = Model::load(&config.model)?;
        let plan = read_plan(&config.plan)?;
        Self::start_with(config, &model, &plan, Hooks::default())
    }

    /// Serves a model that is in memory; the configuration's `model` and `plan` are not read.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        config: EncryptedServerConfig,
        model: &Model,
        plan: &EncryptedPlan,
        hooks: Hooks,
    ) -> Result<Handle, PartyError> {
        config.check()?;
        let identity = load_identity(&config.identity)?;
        let clients = load_certificates("clients", &config.clients)?;
        let weights = Weights::new(model, plan)?;
        let limit = sessions(&config, &weights)?;
        let cache = KeyCache::open(&config.state, config.cache_mib << 20)?;
        let trusted = clients.into_iter().map(|certificate| (Role::Client, certificate)).collect();
        let tls = config.tls();
        let listener =
            Listener::bind(config.listen.as_str(), Role::Server, &identity, trusted, &tls)?;
        let key_mib = weights.key_bytes() >> 20;
        tracing::info!(addr = %listener.local_addr(), sessions = limit, key_mib, "serving encrypted");
        let graph = model.graph.clone();
        service::serve(listener, limit, Arc::new(Shared { config, hooks, graph, weights, cache }))
    }
}

/// Sessions at once that the configured memory allows.
fn sessions(config: &EncryptedServerConfig, weights: &Weights) -> Result<usize, EncryptedError> {
    let (keys, values) = (weights.key_bytes(), weights.value_bytes());
    // Keys are there as bytes as well while they are read.
    let session = 2 * keys + values;
    let memory = config.memory_mib << 20;
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    match memory.saturating_sub(weights.bytes) / session.max(1) {
        0 => Err(EncryptedError::Memory {
            needed_mib: mib(session + weights.bytes),
            keys_mib: mib(2 * keys),
            values_mib: mib(values),
            weights_mib: mib(weights.bytes),
            memory_mib: config.memory_mib,
        }),
        fit => Ok(usize::try_from(fit).unwrap_or(usize::MAX).min(config.max_sessions)),
    }
}

impl Host for Shared {
    const NAME: &'static str = "encrypted server";

    fn session(&self, incoming: Incoming, seat: &Seat) -> Result<(), PartyError> {
        let client = incoming.accept()?;
        seat.watch(&client);
        farewell(self.serve(&client, seat), &[&client])?;
        // Whoever has left before need not be told.
        let _ = client.close();
        Ok(())
    }
}

impl Shared {
    fn serve(&self, client: &Link, seat: &Seat) -> Result<(), PartyError> {
        let hello: Hello = hear(client)?;
        if hello.protocol != PROTOCOL {
            let (peer, got, expected) = (Role::Client, hello.protocol, PROTOCOL);
            return Err(PartyError::Version { peer, got, expected });
        }
        let (graph, interface) = (self.graph.clone(), self.weights.interface.clone());
        say(client, &Welcome { graph, interface, values: self.weights.values() })?;
        let Some(keys) = self.keys(client)? else { return Ok(()) };
        say(client, &KeysRead)?;
        let mut cpu = cpu_seconds();
        while !seat.is_stopping() {
            match hear::<Ask>(client) {
                Ok(Ask) => {}
                Err(error) if error.is_goodbye() || seat.is_stopping() => break,
                Err(error) => return Err(error),
            }
            let Some(_serving) = seat.serving() else { break };
            self.answer(client, &keys, &mut cpu)?;
        }
        Ok(())
    }

    /// The client's keys: from disk, or uploaded. Nothing if it left before.
    fn keys(&self, client: &Link) -> Result<Option<KeySet>, PartyError> {
        let offer: Offer = match hear(client) {
            Ok(offer) => offer,
            Err(error) if error.is_goodbye() => return Ok(None),
            Err(error) => return Err(error),
        };
        let most = self.weights.key_bytes() + HEADERS;
        if offer.bytes > most {
            let text = format!("keys of {} bytes; the network needs {most} at most", offer.bytes);
            return Err(PartyError::Limit(text));
        }
        let read = |bytes: &[u8]| {
            let needs = &self.weights.interface.needs;
            KeySet::from_bytes(&self.weights.parameters, needs, bytes).map_err(EncryptedError::from)
        };
        let known = self.cache.read(&offer.keys)?;
        say(client, &Answer { upload: known.is_none() })?;
        if let Some(bytes) = known {
            return Ok(Some(read(&bytes)?));
        }
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < offer.bytes {
            let left = offer.bytes - bytes.len() as u64;
            bytes.extend(receive_piece(client, left.min(PIECE as u64) as usize)?);
        }
        if Hash::of(&bytes) != offer.keys {
            return Err(EncryptedError::OtherKeys.into());
        }
        // What cannot be used is not kept.
        let keys = read(&bytes)?;
        self.cache.write(self.hooks.storage.as_ref(), &offer.keys, &bytes)?;
        tracing::info!(keys = %offer.keys, bytes = offer.bytes, "keys uploaded");
        Ok(Some(keys))
    }

    fn answer(&self, client: &Link, keys: &KeySet, cpu: &mut f64) -> Result<(), PartyError> {
        let weights = &self.weights;
        let port = &weights.interface.input;
        let limbs = ((port.level as u64 + 1) * 16) << weights.interface.parameters.log_degree;
        let mut input = Vec::new();
        for number in 0..port.ciphertexts() {
            let bytes = receive_ciphertext(client, (limbs + HEADERS) as usize)?;
            let x = Ciphertext::from_bytes(&weights.parameters, &bytes);
            let x = x.map_err(EncryptedError::from)?;
            let expected = port.log_scale.exp2();
            if x.level() != port.level
                || (x.scale() / expected - 1.0).abs() > 1e-9
                || x.parts() != 2
            {
                return Err(EncryptedError::Input {
                    number,
                    level: x.level(),
                    log_scale: x.scale().log2(),
                    expected_level: port.level,
                    expected_log_scale: port.log_scale,
                }
                .into());
            }
            input.push(x);
        }
        let start = Instant::now();
        let mut lost = None;
        let result = weights.run(keys, input, |value, name| {
            let done = Event::Done { value: value as u32, name: name.to_owned() };
            if let Err(error) = say(client, &done) {
                lost = Some(error);
            }
        })?;
        if let Some(error) = lost {
            return Err(error);
        }
        let seconds = start.elapsed().as_secs_f64();
        let party = self.config.share_usage.then(|| PartyReport::since(cpu));
        tracing::info!(seconds, "served");
        say(client, &Event::Result { seconds, party })?;
        result.iter().try_for_each(|x| send_ciphertext(client, x.to_bytes()))
    }
}
