//! Preprocessing that a client makes ahead and keeps.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use hushwire_mpc::ClientBundle;

use super::Client;
use crate::hooks::Stage;
use crate::store::{Entry, State, now};
use crate::wire::{Halves, Ready, Request, hear, say};
use crate::{BundleId, Hash, Outcome, PartiesReport, PartyError, PhaseReport, Store};

/// Bundles that were stored, and what they took.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Prepared {
    /// Their names.
    pub ids: Vec<BundleId>,
    /// Since the session began, or since the report before.
    pub setup: PhaseReport,
    /// All of them together.
    pub offline: PhaseReport,
    /// What the processes used.
    pub parties: PartiesReport,
}

/// What a stored bundle must have been made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitting {
    owner: String,
    network: Hash,
    weights: [u8; 16],
}

impl Fitting {
    /// Whether a bundle fits.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self, entry: &Entry) -> Result<(), &'static str> {
        if entry.owner != self.owner {
            Err("it was made with another server")
        } else if entry.network != self.network {
            Err("it was made for another network")
        } else if entry.weights != self.weights {
            Err("the model has new weights")
        } else {
            Ok(())
        }
    }
}

impl Client {
    /// Prepares `count` inferences of `batch` samples each and stores them, here and at the server.
    ///
    /// # Errors
    /// A batch that is not admitted, which the client survives; any other error ends the session.
    /// Bundles that were complete before the error stay stored.
    pub fn prepare(&mut self, batch: usize, count: usize) -> Result<Prepared, PartyError> {
        let batch = self.admit(batch)?;
        let count = u32::try_from(count)
            .map_err(|_| PartyError::Limit(format!("{count} bundles are too many")))?;
        self.open_store()?;
        self.guarded(|client| client.prepare_stored(batch, count))
    }

    /// The stored bundles that fit this session's server, network and weights, oldest first.
    ///
    /// # Errors
    /// A state directory that cannot be used, which the client survives; any other error ends the
    /// session.
    pub fn stored(&mut self) -> Result<Vec<(BundleId, Entry)>, PartyError> {
        self.open_store()?;
        let mut ready = self.store()?.ready()?;
        ready.retain(|(id, entry)| self.check(id, entry).is_ok());
        Ok(ready)
    }

    /// Tells which stored bundles fit this session's server, network and weights, also when it is
    /// over.
    pub fn fitting(&self) -> Fitting {
        let (owner, network) = (self.owner.clone(), self.network.hash());
        Fitting { owner, network, weights: self.weights }
    }

    /// One inference with stored preprocessing, which is used up whatever happens.
    ///
    /// # Errors
    /// A bundle that is unknown, spent or does not fit, or an input of another length than the
    /// bundle's batch: the client survives these and the bundle is not touched. Any other error ends
    /// the session, and the bundle is gone.
    pub fn infer_stored(&mut self, id: &BundleId, input: &[f32]) -> Result<Outcome, PartyError> {
        let batch = self.batch_of(input)?;
        if self.over {
            return Err(PartyError::Over);
        }
        self.open_store()?;
        let (entry, records) = self.store()?.take(id, &self.owner, |entry: &Entry| {
            self.check(id, entry)?;
            if entry.batch != batch {
                let reason = format!("it is for {} samples, not {batch}", entry.batch);
                return Err(PartyError::Bundle { id: *id, reason });
            }
            Ok(())
        })?;
        self.guarded(|client| {
            client.hooks.reach(Stage::Taken)?;
            let bundle = ClientBundle::new(records);
            let job = client.job(batch, entry.comparison);
            say(&client.server, &Request::Stored { bundle: *id })?;
            let Ready = hear(&client.server)?;
            let (logits, seconds) = client.online(&job, bundle, input)?;
            client.outcome(logits, None, seconds)
        })
    }

    /// Whether a stored bundle can be used in this session.
    fn check(&self, id: &BundleId, entry: &Entry) -> Result<(), PartyError> {
        let refused = |reason: &str| PartyError::Bundle { id: *id, reason: reason.to_owned() };
        self.fitting().check(entry).map_err(refused)
    }

    fn store(&self) -> Result<&Store, PartyError> {
        self.store.as_ref().ok_or(PartyError::Over)
    }

    /// Opens the store unless it is open, and compares it with the server's.
    fn open_store(&mut self) -> Result<(), PartyError> {
        if self.store.is_none() {
            let dir = self.config.state.join("bundles");
            let store = Store::shared(&dir, Arc::clone(&self.hooks.storage))?;
            self.guarded(|client| client.compare(&store))?;
            self.store = Some(store);
        }
        Ok(())
    }

    /// Tells the server which bundles we have halves of, and gives up those whose other halves it
    /// lacks: a crash at the wrong moment leaves one half without the other.
    fn compare(&self, store: &Store) -> Result<(), PartyError> {
        say(&self.server, &Request::Compare)?;
        // The server has looked at what it has; what we list now includes all that it saw us begin.
        let Ready = hear(&self.server)?;
        let mut halves: HashSet<BundleId> = store.under_way()?.into_iter().collect();
        let ready = store.ready()?.into_iter().filter(|(_, entry)| entry.owner == self.owner);
        let ready: HashSet<BundleId> = ready.map(|(id, _)| id).collect();
        halves.extend(&ready);
        let bundles = halves.into_iter().collect();
        say(&self.server, &Halves { store: store.name(), bundles })?;
        let Halves { bundles, .. } = hear(&self.server)?;
        let both: HashSet<BundleId> = bundles.into_iter().collect();
        store.discard(|id, _| ready.contains(id) && !both.contains(id))?;
        Ok(())
    }

    fn prepare_stored(&mut self, batch: u32, count: u32) -> Result<Prepared, PartyError> {
        let start = Instant::now();
        let comparison = self.config.comparison;
        let job = self.job(batch, comparison);
        self.request(&Request::Prepare { batch, comparison, count })?;
        let mut ids = Vec::new();
        for _ in 0..count {
            let id = self.next_bundle()?;
            let mut writer = self.store()?.writer(&id)?;
            self.offline(&job, &id, &mut writer)?;
            // The server has its half: nobody who compares now finds ours without it.
            let Ready = hear(&self.server)?;
            let store = self.store()?;
            let entry = Entry {
                owner: self.owner.clone(),
                store: store.name(),
                network: self.network.hash(),
                weights: self.weights,
                batch,
                comparison,
                created: now(),
                state: State::Ready,
            };
            store.add(writer, &entry)?;
            ids.push(id);
        }
        let seconds = start.elapsed().as_secs_f64();
        let outcome = self.outcome(Vec::new(), Some(seconds), 0.0)?;
        let Outcome { setup, offline, parties, .. } = outcome;
        Ok(Prepared { ids, setup, offline, parties })
    }
}
