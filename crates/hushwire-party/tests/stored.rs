//! Preprocessing that is made ahead: used once or never.

mod common;

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{World, at, files, images, log, sizes};
use hushwire_net::Role;
use hushwire_party::{Action, Client, Hooks, PartyError, Stage, Storage, Store, StoreError};

fn dies_when_taken() -> Hooks {
    at(|stage| if stage == Stage::Taken { Action::Die } else { Action::Continue })
}

#[test]
fn bundles_outlive_restarts_and_work_once() {
    log();
    let world = World::small();
    let running = world.start();
    let mut client = world.connect(&running).unwrap();
    let prepared = client.prepare(2, 3).unwrap();
    assert_eq!(prepared.ids.len(), 3);
    assert!(prepared.offline.bytes.p2_p1 > 0);
    client.close().unwrap();
    running.stop();

    let running = world.start();
    let mut client = world.connect(&running).unwrap();
    let stored = client.stored().unwrap();
    assert_eq!(stored.len(), 3);
    let input = images(&world.model, 2, 4).data;
    for (id, entry) in &stored[..2] {
        assert_eq!(entry.batch, 2);
        let outcome = client.infer_stored(id, &input).unwrap();
        world.check(&input, &outcome.logits);
        assert_eq!(outcome.offline.bytes.total(), 0);
        assert!(outcome.parties.helper.is_none());
    }
    let spent = stored[0].0;
    let error = client.infer_stored(&spent, &input).unwrap_err();
    assert!(matches!(error, PartyError::Store(StoreError::Spent { .. })), "{error}");
    let (last, one) = (stored[2].0, images(&world.model, 1, 4).data);
    assert!(matches!(client.infer_stored(&last, &one), Err(PartyError::Bundle { .. })));
    assert_eq!(client.stored().unwrap().len(), 1, "another batch does not touch the bundle");
    client.close().unwrap();
    for party in ["client-state", "server-state"] {
        assert_eq!(files(&world.path(party).join("bundles"), "bundle").len(), 1);
    }
    running.stop();
}

#[test]
fn a_client_that_forgets_is_refused_by_the_server() {
    log();
    let world = World::small();
    let running = world.start();
    let mut client = world.connect(&running).unwrap();
    let id = client.prepare(1, 1).unwrap().ids[0];
    client.close().unwrap();
    // A copy of the client's state from before the inference: the client believes it is ready.
    let (state, copy) = (world.path("client-state/bundles"), world.path("copy/bundles"));
    std::fs::create_dir_all(&copy).unwrap();
    for file in std::fs::read_dir(&state).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let mut config = world.client_config(&running);
    config.state = world.path("copy");
    // It compares what it has with the server while the bundle is whole.
    let mut forgetful = Client::connect(config.clone()).unwrap();
    assert_eq!(sizes(&forgetful.stored().unwrap()), [(id, 1)]);
    let input = images(&world.model, 1, 4).data;
    let mut client = world.connect(&running).unwrap();
    world.check(&input, &client.infer_stored(&id, &input).unwrap().logits);
    client.close().unwrap();
    let error = forgetful.infer_stored(&id, &input).unwrap_err();
    assert!(matches!(&error, PartyError::Refused { peer: Role::Server, .. }), "{error}");
    assert!(error.to_string().contains("has been used"), "{error}");
    drop(forgetful);
    running.stop();
}

#[test]
fn a_crash_between_taking_and_using_spends_the_bundle() {
    log();
    for role in [Role::Client, Role::Server] {
        let world = World::small();
        let of = |r| if r == role { dies_when_taken() } else { Hooks::default() };
        let running = world.start_with(of(Role::Server), Hooks::default());
        let config = world.client_config(&running);
        let mut client = Client::connect_with(config.clone(), of(Role::Client)).unwrap();
        let id = client.prepare(1, 1).unwrap().ids[0];
        let input = images(&world.model, 1, 4).data;
        client.infer_stored(&id, &input).unwrap_err();
        drop(client);
        running.stop();
        let running = world.start();
        let mut client = world.connect(&running).unwrap();
        assert!(client.stored().unwrap().is_empty());
        let error = client.infer_stored(&id, &input).unwrap_err();
        assert!(matches!(error, PartyError::Store(StoreError::Spent { .. })), "{error}");
        client.close().unwrap();
        running.stop();
        if role == Role::Server {
            let dir = world.path("server-state/bundles");
            let store = Store::open(&dir, Hooks::default().storage).unwrap();
            assert!(store.ready().unwrap().is_empty());
            assert!(files(&dir, "bundle").is_empty());
        }
    }
}

#[test]
fn bundles_belong_to_weights() {
    log();
    let mut world = World::small();
    let running = world.start();
    let mut client = world.connect(&running).unwrap();
    let id = client.prepare(1, 1).unwrap().ids[0];
    client.close().unwrap();
    running.stop();
    // The same architecture and plan, other weights.
    world.model.params = common::model(3, 6, 77).params;
    let running = world.start();
    let input = images(&world.model, 1, 4).data;
    let mut client = world.connect(&running).unwrap();
    assert!(client.stored().unwrap().is_empty());
    let error = client.infer_stored(&id, &input).unwrap_err();
    assert!(matches!(error, PartyError::Store(StoreError::Spent { .. })), "{error}");
    world.check(&input, &client.infer(&input).unwrap().logits);
    client.close().unwrap();
    running.stop();
}

/// A disk with room for so many bytes.
#[derive(Debug)]
struct Small(AtomicU64);

impl Storage for Small {
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let room = self.0.load(Ordering::SeqCst) as usize;
        file.write_all(&bytes[..bytes.len().min(room)])?;
        if room < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.fetch_sub(bytes.len() as u64, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_the_session_cleanly() {
    log();
    let small = || Hooks { storage: Arc::new(Small(AtomicU64::new(1_000))), ..Hooks::default() };
    for role in [Role::Client, Role::Server] {
        let world = World::small();
        let of = |r| if r == role { small() } else { Hooks::default() };
        let running = world.start_with(of(Role::Server), Hooks::default());
        let mut client =
            Client::connect_with(world.client_config(&running), of(Role::Client)).unwrap();
        let error = client.prepare(1, 8).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("the disk is full") && text.contains(" bytes"), "{role}: {text}");
        drop(client);
        world.one_inference(&running);
        running.stop();
        let state = if role == Role::Client { "client-state" } else { "server-state" };
        let dir = world.path(state).join("bundles");
        let store = Store::open(&dir, Hooks::default().storage).unwrap();
        let ready = store.ready().unwrap().len();
        assert!(ready < 8);
        assert_eq!(files(&dir, "bundle").len(), ready);
        assert!(files(&dir, "partial").is_empty());
    }
}

#[test]
fn clients_share_a_state_directory_and_servers_do_not() {
    log();
    let world = World::small();
    let running = world.start();
    let input = images(&world.model, 1, 4).data;
    let mut clients: Vec<Client> = (0..2).map(|_| world.connect(&running).unwrap()).collect();
    for client in &mut clients {
        client.prepare(1, 2).unwrap();
    }
    for client in &mut clients {
        let stored = client.stored().unwrap();
        assert_eq!(stored.len(), 4, "each sees what the other made");
    }
    let ids: Vec<_> = clients[0].stored().unwrap().into_iter().map(|(id, _)| id).collect();
    std::thread::scope(|scope| {
        for (client, own) in clients.iter_mut().zip(ids.chunks(2)) {
            let (world, input) = (&world, &input);
            scope.spawn(move || {
                for id in own {
                    world.check(input, &client.infer_stored(id, input).unwrap().logits);
                }
            });
        }
    });
    assert!(clients[1].stored().unwrap().is_empty());
    let again = Store::open(&world.path("server-state/bundles"), Hooks::default().storage);
    assert!(matches!(again, Err(StoreError::InUse { .. })));
    drop(clients);
    running.stop();
}

/// Two clients on one store, one of which compares with the server while the other prepares.
#[test]
fn comparing_leaves_alone_what_is_under_way() {
    log();
    let world = World::small();
    let running = world.start();
    let done = std::sync::atomic::AtomicBool::new(false);
    let made = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let mut other = world.connect(&running).unwrap();
                other.stored().unwrap();
                other.close().unwrap();
            }
        });
        let made = world.connect(&running).and_then(|mut client| {
            let made = client.prepare(1, 8)?.ids.len();
            client.close().map(|()| made)
        });
        done.store(true, Ordering::SeqCst);
        made.unwrap()
    });
    let mut client = world.connect(&running).unwrap();
    let input = images(&world.model, 1, 4).data;
    let stored = client.stored().unwrap();
    assert_eq!(stored.len(), made, "none was given up");
    for (id, _) in stored {
        world.check(&input, &client.infer_stored(&id, &input).unwrap().logits);
    }
    client.close().unwrap();
    running.stop();
}
