//! Bundles of which one side lost its half, bundles that are too old, and a server that mixes them
//! up.

#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod common;

use common::{World, files, images, log, sizes};
use hushwire_mpc::{Comparison, Sink, Source};
use hushwire_net::{NetError, Role};
use hushwire_party::{BundleId, Client, ClientConfig, Entry, Hooks, PartyError, Store, StoreError};

fn open(world: &World, state: &str) -> Store {
    Store::open(&world.path(state).join("bundles"), Hooks::default().storage).unwrap()
}

fn fits(_: &Entry) -> Result<(), StoreError> {
    Ok(())
}

/// Takes every bundle out of a store and puts what `change` makes of it into a new one.
fn rewrite(
    world: &World,
    state: &str,
    change: impl Fn(BundleId, Entry) -> Option<(BundleId, Entry)>,
) {
    let (dir, aside) = (world.path(state).join("bundles"), world.path("aside"));
    let (old, new) = (open(world, state), open(world, "aside"));
    for (id, entry) in old.ready().unwrap() {
        let (_, mut taken) = old.take(&id, &entry.owner, fits).unwrap();
        if let Some((id, entry)) = change(id, entry) {
            let bytes: Vec<u8> = std::iter::from_fn(|| taken.take(1).ok()).map(|b| b[0]).collect();
            let mut writer = new.writer(&id).unwrap();
            writer.put(&bytes).unwrap();
            new.add(writer, &entry).unwrap();
        }
    }
    drop((old, new));
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::rename(aside.join("bundles"), dir).unwrap();
}

#[test]
fn halves_without_the_other_are_given_up_on_both_sides() {
    log();
    let world = World::small();
    let running = world.start();
    let mut client = world.connect(&running).unwrap();
    let ids = client.prepare(1, 8).unwrap().ids;
    client.close().unwrap();
    running.stop();
    assert_eq!(open(&world, "client-state").discard(|id, _| ids[..3].contains(id)).unwrap(), 3);
    assert_eq!(open(&world, "server-state").discard(|id, _| ids[3..7].contains(id)).unwrap(), 4);

    let running = world.start();
    let mut client = world.connect(&running).unwrap();
    assert_eq!(sizes(&client.stored().unwrap()), [(ids[7], 1)]);
    for state in ["client-state", "server-state"] {
        assert_eq!(files(&world.path(state).join("bundles"), "bundle").len(), 1);
    }
    // There is room again for all but one.
    client.prepare(1, 7).unwrap();
    let input = images(&world.model, 1, 4).data;
    world.check(&input, &client.infer_stored(&ids[7], &input).unwrap().logits);
    client.close().unwrap();
    running.stop();
}

#[test]
fn a_store_speaks_for_itself_alone() {
    log();
    let world = World::small();
    let running = world.start();
    let mut client = world.connect(&running).unwrap();
    let id = client.prepare(1, 1).unwrap().ids[0];
    client.close().unwrap();
    // The same client on another machine has nothing stored there.
    let config = ClientConfig { state: world.path("elsewhere"), ..world.client_config(&running) };
    let mut client = Client::connect(config).unwrap();
    assert!(client.stored().unwrap().is_empty());
    client.close().unwrap();
    let mut client = world.connect(&running).unwrap();
    let input = images(&world.model, 1, 4).data;
    world.check(&input, &client.infer_stored(&id, &input).unwrap().logits);
    client.close().unwrap();
    running.stop();
}

#[test]
fn old_bundles_are_given_up() {
    log();
    let world = World::small();
    let running = world.start();
    let mut client = world.connect(&running).unwrap();
    let ids = client.prepare(1, 2).unwrap().ids;
    client.close().unwrap();
    running.stop();
    let days = |days: u64| days * 24 * 60 * 60;
    rewrite(&world, "server-state", |id, entry| {
        let age = if id == ids[0] { days(31) } else { days(29) };
        Some((id, Entry { created: entry.created - age, ..entry }))
    });
    let running = world.start();
    assert_eq!(files(&world.path("server-state/bundles"), "bundle").len(), 1);
    let mut client = world.connect(&running).unwrap();
    assert_eq!(sizes(&client.stored().unwrap()), [(ids[1], 1)]);
    client.close().unwrap();
    running.stop();
}

#[test]
fn a_server_that_answers_with_wrong_lengths_is_found_out() {
    log();
    let world = World::small();
    let running = world.start();
    let mut ids = Vec::new();
    for comparison in [Comparison::Digits, Comparison::Dcf] {
        let config = ClientConfig { comparison, ..world.client_config(&running) };
        let mut client = Client::connect(config).unwrap();
        ids.push(client.prepare(1, 1).unwrap().ids[0]);
        client.close().unwrap();
    }
    running.stop();
    // It answers as the second bundle says where the client means the first.
    rewrite(&world, "server-state", |id, entry| (id == ids[1]).then_some((ids[0], entry)));
    let running = world.start();
    let mut client = world.connect(&running).unwrap();
    let input = images(&world.model, 1, 4).data;
    let error = client.infer_stored(&ids[0], &input).unwrap_err();
    let wrong = matches!(
        &error,
        PartyError::Net { source: NetError::LengthMismatch { peer: Role::Server, .. }, .. }
    );
    assert!(wrong, "{error}");
    assert!(error.to_string().contains("layer"), "{error}");
    drop(client);
    world.one_inference(&running);
    running.stop();
}
