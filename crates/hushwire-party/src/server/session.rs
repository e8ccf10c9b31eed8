//! One session of the server.

use std::collections::HashSet;
use std::thread;

use hushwire_mpc::{Job, MpcError, ServerBundle, Sink, server};
use hushwire_net::{Incoming, Link, Role, SessionId, SharedKey, Traffic, agree, connect};

use super::{Epoch, Shared, discard_useless};
use crate::description::PROTOCOL;
use crate::hooks::Stage;
use crate::report::{cpu_seconds, traffic_since};
use crate::seats::Seat;
use crate::spool::Spool;
use crate::store::{Entry, State, now};
use crate::wire::{
    Announce, Description, Grant, Halves, Hello, ModelKey, Need, Ready, Report, Request, Verdict,
    Welcome, farewell, hear, next_request, say, say_upload,
};
use crate::{BundleId, PartyError, PartyReport};

/// Serves a client until it leaves.
pub(super) fn run(shared: &Shared, incoming: Incoming, seat: &Seat) -> Result<(), PartyError> {
    let id = incoming.session();
    let owner = incoming.certificate().fingerprint().to_string();
    let epoch = shared.epoch()?;
    // The helper is called while the client is being greeted.
    let (client, helper) = thread::scope(|scope| {
        let calling = scope.spawn(|| call_helper(shared, &epoch, id, seat));
        let client = incoming.accept().map_err(PartyError::from).and_then(|client| {
            seat.watch(&client);
            farewell(greet(shared, &epoch, &client), &[&client]).map(|()| client)
        });
        let called = calling.join().map_err(|_| PartyError::Panic("calling the helper".into()));
        (client, called.and_then(|called| called))
    });
    let client = client?;
    let (helper, k12) = farewell(helper, &[&client])?;
    let mut session = Session {
        shared,
        seat,
        id,
        owner,
        epoch: &epoch,
        client: &client,
        helper: &helper,
        k12,
        bundles: 0,
        store: None,
        traffic: Traffic::default(),
        cpu: cpu_seconds(),
    };
    let outcome = session.run();
    farewell(outcome, &[&client, &helper])?;
    // Whoever has left before need not be told.
    let _ = (client.close(), helper.close());
    Ok(())
}

fn call_helper(
    shared: &Shared,
    epoch: &Epoch,
    session: SessionId,
    seat: &Seat,
) -> Result<(Link, SharedKey), PartyError> {
    let peer = (Role::Helper, &shared.helper);
    let address = shared.config.helper.address.as_str();
    let mut tls = shared.tls.clone();
    // The client waits for us meanwhile: it must hear of the helper's failure before it gives up.
    tls.link.timeout = tls.link.timeout * 3 / 4;
    let link = connect(address, Role::Server, &shared.identity, peer, session, &tls)?;
    seat.watch(&link);
    let network = shared.network.hash();
    let k12 = agree(&link, Role::Server, &session)?;
    say(&link, &Announce { protocol: PROTOCOL, network, upload: epoch.upload })?;
    Ok((link, k12))
}

fn greet(shared: &Shared, epoch: &Epoch, client: &Link) -> Result<(), PartyError> {
    let hello: Hello = hear(client)?;
    if hello.protocol != PROTOCOL {
        let (peer, got, expected) = (Role::Client, hello.protocol, PROTOCOL);
        return Err(PartyError::Version { peer, got, expected });
    }
    let shown = shared.hooks.shown(&shared.network);
    let network = shown.hash();
    say(
        client,
        &Welcome {
            network,
            description: (hello.known != Some(network)).then(|| shown.bytes().to_vec()),
            weights: epoch.file.weights,
            max_batch: shared.config.max_batch,
            max_stored: shared.config.max_stored,
        },
    )
}

struct Session<'a> {
    shared: &'a Shared,
    seat: &'a Seat,
    id: SessionId,
    owner: String,
    epoch: &'a Epoch,
    client: &'a Link,
    helper: &'a Link,
    k12: SharedKey,
    /// Bundles made so far.
    bundles: u64,
    /// Names the client's store, once it has told us.
    store: Option<[u8; 16]>,
    /// What the link to the helper had carried at the last report.
    traffic: Traffic,
    cpu: f64,
}

impl Session<'_> {
    fn run(&mut self) -> Result<(), PartyError> {
        self.shared.hooks.reach(Stage::Setup)?;
        self.agree_on_network()?;
        while let Some((request, _serving)) = next_request(self.client, self.seat)? {
            self.serve(request)?;
            tracing::info!(session = hex::encode(self.id), ?request, "served");
        }
        Ok(())
    }

    fn agree_on_network(&self) -> Result<(), PartyError> {
        let need: Need = hear(self.helper)?;
        if need.description {
            say(self.helper, &Description(self.shared.network.bytes().to_vec()))?;
        }
        let verdict: Verdict = hear(self.helper)?;
        let own = self.shared.network.hash();
        if [verdict.client, verdict.server, verdict.helper].iter().any(|hash| *hash != own) {
            return Err(PartyError::mismatch(&verdict));
        }
        if verdict.upload {
            let upload = self.shared.serving.upload(&self.epoch.file.key());
            say_upload(self.helper, upload)?;
        }
        say(self.client, &ModelKey(self.epoch.file.bytes()))
    }

    fn serve(&mut self, request: Request) -> Result<(), PartyError> {
        match request {
            Request::Fresh { batch, comparison } => {
                let job = self.job(batch, comparison)?;
                say(self.helper, &Grant(request))?;
                let config = &self.shared.config;
                let mut spool = Spool::new(config.state.clone(), config.memory_mib);
                let id = self.next_bundle()?;
                self.prepare(&job, &id, &mut spool)?;
                let source =
                    spool.into_source().map_err(|e| PartyError::Mpc(MpcError::Keeping(e)))?;
                say(self.client, &Ready)?;
                self.infer(&job, ServerBundle::new(source))?;
            }
            Request::Prepare { batch, comparison, count } => {
                let job = self.job(batch, comparison)?;
                let store = self.check_room(count)?;
                say(self.helper, &Grant(request))?;
                for _ in 0..count {
                    let id = self.next_bundle()?;
                    let mut writer = self.shared.store.writer(&id)?;
                    self.prepare(&job, &id, &mut writer)?;
                    self.shared.store.add(writer, &self.entry(&job, store))?;
                    say(self.client, &Ready)?;
                }
            }
            Request::Stored { bundle } => {
                let (job, bundle) = self.take(&bundle)?;
                self.shared.hooks.reach(Stage::Taken)?;
                say(self.client, &Ready)?;
                self.infer(&job, bundle)?;
            }
            Request::Compare => return self.compare(),
        }
        let between = traffic_since(&mut self.traffic, self.helper.meter().snapshot());
        let party = self.shared.config.share_usage.then(|| PartyReport::since(&mut self.cpu));
        say(self.client, &Report { party, helper_link: Some(between) })
    }

    fn job(&self, batch: u32, comparison: hushwire_mpc::Comparison) -> Result<Job, PartyError> {
        let most = self.shared.config.max_batch;
        if !(1..=most).contains(&batch) {
            let text = format!("a batch of {batch}; the server takes 1 to {most} samples");
            return Err(PartyError::Limit(text));
        }
        Ok(Job::new(self.shared.network.program().clone(), batch as usize, comparison))
    }

    /// Gives up the halves of bundles whose other halves the client's store lacks, and tells which
    /// are left.
    fn compare(&mut self) -> Result<(), PartyError> {
        let ledger = &self.shared.store;
        discard_useless(ledger, &self.epoch.file, self.shared.config.stored_days)?;
        // Only what is there before the client lists its halves can be without the other.
        let found: HashSet<BundleId> = ledger.ready()?.into_iter().map(|(id, _)| id).collect();
        say(self.client, &Ready)?;
        let Halves { store, bundles } = hear(self.client)?;
        let listed: HashSet<BundleId> = bundles.into_iter().collect();
        let own = |entry: &Entry| entry.owner == self.owner && entry.store == store;
        let alone = |id: &BundleId| found.contains(id) && !listed.contains(id);
        ledger.discard(|id, entry| own(entry) && alone(id))?;
        let both = ledger.ready()?.into_iter().filter(|(_, entry)| own(entry));
        let bundles = both.map(|(id, _)| id).collect();
        self.store = Some(store);
        say(self.client, &Halves { store, bundles })
    }

    /// The client's store, if there is room for so many more bundles of this client.
    fn check_room(&self, count: u32) -> Result<[u8; 16], PartyError> {
        let (peer, what) = (Role::Client, "the request");
        let reason = "its bundles were not compared before".to_owned();
        let store = self.store.ok_or(PartyError::Malformed { peer, what, reason })?;
        let stored = self.shared.store.ready()?;
        let own = stored.iter().filter(|(_, entry)| entry.owner == self.owner).count() as u64;
        let most = u64::from(self.shared.config.max_stored);
        if own + u64::from(count) > most {
            let text = format!("{count} more bundles; {own} of at most {most} are in store");
            return Err(PartyError::Limit(text));
        }
        Ok(store)
    }

    fn entry(&self, job: &Job, store: [u8; 16]) -> Entry {
        Entry {
            owner: self.owner.clone(),
            store,
            network: self.shared.network.hash(),
            weights: self.epoch.file.weights,
            batch: job.batch as u32,
            comparison: job.comparison,
            created: now(),
            state: State::Ready,
        }
    }

    /// Names the bundle that is made next.
    fn next_bundle(&mut self) -> Result<BundleId, PartyError> {
        self.shared.hooks.reach(Stage::Offline)?;
        let id = BundleId::new(&self.id, self.bundles);
        self.bundles += 1;
        Ok(id)
    }

    fn prepare(&self, job: &Job, id: &BundleId, sink: &mut dyn Sink) -> Result<(), PartyError> {
        let prepared = server::prepare(job, &id.key(&self.k12), self.helper, self.client, sink);
        prepared.map_err(|e| PartyError::in_program(e, &job.program))
    }

    fn infer(&self, job: &Job, bundle: ServerBundle) -> Result<(), PartyError> {
        self.shared.hooks.reach(Stage::Online)?;
        let done = self.shared.serving.infer(job, bundle, self.client);
        done.map_err(|e| PartyError::in_program(e, &job.program))
    }

    fn take(&self, id: &BundleId) -> Result<(Job, ServerBundle), PartyError> {
        let unfit = |reason: &str| PartyError::Bundle { id: *id, reason: reason.to_owned() };
        let (entry, records) = self.shared.store.take(id, &self.owner, |entry: &Entry| {
            if entry.network != self.shared.network.hash() {
                return Err(unfit("it was made for another network"));
            }
            if entry.weights != self.epoch.file.weights {
                return Err(unfit("the model has new weights"));
            }
            Ok(())
        })?;
        let program = self.shared.network.program();
        let job = Job::new(program.clone(), entry.batch as usize, entry.comparison);
        Ok((job, ServerBundle::new(records)))
    }
}
