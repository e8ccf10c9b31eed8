//! Masked weights: what the helper keeps, and the keys that mask them.

mod common;

use common::{Running, World, files, images, log, model};
use hushwire_fixed::Settings;
use hushwire_graph::Params;
use hushwire_party::{Client, Helper, Hooks, Server};

/// More than half of the smallest cache.
fn large(seed: u64) -> World {
    let mut world = World::new(model(40, 32, seed));
    world.cache_mib = 1;
    world
}

#[test]
fn the_oldest_masked_weights_make_room() {
    log();
    let mut world = large(1);
    let other = large(2);
    let masked = world.path("helper-state/weights");
    let mut running = world.start();
    let mut sent = Vec::new();
    // The other network's graph differs in its metadata, so it has a place of its own.
    for turn in ["one", "one", "two", "one"] {
        world.server_state = turn;
        let mut served = if turn == "one" { world.model.clone() } else { other.model.clone() };
        served.graph.metadata.dataset = Some(turn.into());
        let before = std::mem::replace(&mut world.model, served);
        world.plan = common::plan(&world.model);
        let Running { helper, server } = running;
        drop(server);
        running = world.serve_with(helper, Hooks::default());
        sent.push(world.setup_bytes(&running).0);
        world.model = if turn == "one" { world.model } else { before };
        assert_eq!(files(&masked, "masked").len(), 1, "two do not fit");
    }
    running.stop();
    let kept = 1 << 19;
    assert!(sent[0] > kept && sent[2] > kept && sent[3] > kept, "{sent:?}");
    assert!(sent[1] < kept, "{sent:?}");
}

#[test]
fn a_successor_takes_the_place_of_its_predecessor() {
    log();
    let world = World::small();
    let running = world.start();
    let (first, _) = world.setup_bytes(&running);
    let masked = || files(&world.path("helper-state/weights"), "masked");
    let before = std::fs::read(&masked()[0]).unwrap();
    let Running { helper, server } = running;
    drop(server);
    // Without its file the server makes a new key.
    std::fs::remove_file(world.path("server-state/model.key")).unwrap();
    let running = world.serve_with(helper, Hooks::default());
    let (second, _) = world.setup_bytes(&running);
    assert_eq!(first, second, "both upload");
    assert_eq!(masked().len(), 1);
    let after = std::fs::read(&masked()[0]).unwrap();
    assert_eq!(before.len(), after.len());
    assert_ne!(before, after);
    running.stop();
}

#[test]
fn another_server_does_not_get_at_masked_weights() {
    log();
    let world = World::small();
    let mut config = world.helper_config();
    config.servers.push(world.certificate("stranger"));
    let running = world.serve_with(Helper::start(config).unwrap(), Hooks::default());
    let (first, _) = world.setup_bytes(&running);
    let Running { helper, server } = running;
    drop(server);
    // It has stolen the key, so it announces the same hash.
    std::fs::create_dir(world.path("stolen")).unwrap();
    let key = |state: &str| world.path(state).join("model.key");
    std::fs::copy(key("server-state"), key("stolen")).unwrap();
    let mut config = world.server_config(&helper);
    (config.identity, config.state) = (world.path("stranger"), world.path("stolen"));
    let server = Server::start_with(config, &world.model, &world.plan, Hooks::default()).unwrap();
    let running = Running { helper, server };
    let mut config = world.client_config(&running);
    config.server.certificate = world.certificate("stranger");
    let mut client = Client::connect(config).unwrap();
    let outcome = client.infer(&images(&world.model, 1, 3).data).unwrap();
    assert_eq!(outcome.setup.bytes.p1_p2, first, "it must upload as the first one did");
    client.close().unwrap();
    assert_eq!(files(&world.path("helper-state/weights"), "masked").len(), 2);
    running.stop();
}

#[test]
fn keys_are_bound_to_the_integers_they_mask() {
    log();
    let mut world = World::small();
    let key = |world: &World| {
        world.start().stop();
        std::fs::read(world.path("server-state/model.key")).unwrap()
    };
    let first = key(&world);
    let weight = |world: &mut World| {
        let mut tensors: Vec<_> = world.model.params.iter().map(|(_, t)| t.clone()).collect();
        tensors[0].data[0] = tensors[0].data[0].next_up();
        world.model.params = Params::new(tensors);
    };
    weight(&mut world);
    assert!(key(&world) == first, "other numbers, the same integers");
    let coarse = Settings { weight_bits: 10, ..Settings::default() };
    let plan = std::mem::replace(&mut world.plan, common::plan_with(&world.model, &coarse));
    let second = key(&world);
    assert!(second != first, "the same numbers, other integers");
    world.plan = plan;
    assert!(![first, second].contains(&key(&world)), "keys do not come back");
}
