//! Parties that die, stall, panic, lie or are not who they should be.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{World, at, images, log};
use hushwire_net::{
    AGREE_STEP, Identity, NetError, PeerCertificate, Phase, Role, TlsOptions, connect,
};
use hushwire_party::{
    Action, Client, ClientConfig, Helper, Hooks, Network, PartyError, Server, Stage,
};

const STAGES: [Stage; 3] = [Stage::Setup, Stage::Offline, Stage::Online];

/// Acts once, at this stage.
fn once(stage: Stage, action: Action) -> Hooks {
    let done = AtomicBool::new(false);
    at(move |reached| {
        let now = reached == stage && !done.swap(true, Ordering::SeqCst);
        if now { action } else { Action::Continue }
    })
}

/// A session in which `role` acts so at `stage` fails at the client, soon; the next one works.
fn session_fails(role: Role, stage: Stage, action: Action, within: Duration, timeout: u64) {
    log();
    let mut world = World::small();
    world.timeout = timeout;
    let of = |r: Role| if r == role { once(stage, action) } else { Hooks::default() };
    let running = world.start_with(of(Role::Server), of(Role::Helper));
    let input = images(&world.model, 1, 3).data;
    let start = Instant::now();
    let session = Client::connect_with(world.client_config(&running), of(Role::Client));
    let result = session.and_then(|mut client| client.infer(&input));
    let error = result.expect_err("the session fails");
    println!("{role} {action:?} at {stage:?}, after {:?}: {error}", start.elapsed());
    assert!(start.elapsed() < within, "{:?}", start.elapsed());
    world.one_inference(&running);
    running.stop();
}

#[test]
fn a_party_that_dies_costs_its_session_only() {
    for role in Role::ALL {
        for stage in STAGES {
            // The helper has no online phase.
            if (role, stage) != (Role::Helper, Stage::Online) {
                session_fails(role, stage, Action::Die, Duration::from_secs(5), 20);
            }
        }
    }
}

#[test]
fn a_party_that_panics_costs_its_session_only() {
    for role in [Role::Server, Role::Helper] {
        for stage in [Stage::Setup, Stage::Offline] {
            session_fails(role, stage, Action::Panic, Duration::from_secs(5), 20);
        }
    }
}

#[test]
fn a_party_that_stalls_is_given_up_within_the_time_out() {
    let action = Action::Stall(Duration::from_secs(4));
    std::thread::scope(|scope| {
        for role in [Role::Server, Role::Helper] {
            for stage in [Stage::Setup, Stage::Offline] {
                scope.spawn(move || {
                    session_fails(role, stage, action, Duration::from_millis(2500), 2);
                });
            }
        }
    });
}

#[test]
fn shutting_down_waits_for_nobody_idle() {
    log();
    let world = World::small();
    let running = world.start();
    let mut idle = world.connect(&running).unwrap();
    let (key, certificate) = hushwire_party::identity_files(&world.path("client"));
    let identity = Identity::load(&key, &certificate).unwrap();
    let pin = PeerCertificate::load(&world.certificate("helper")).unwrap();
    let (peer, options) = ((Role::Helper, &pin), TlsOptions::default());
    let guest =
        connect(running.helper.addr(), Role::Client, &identity, peer, [1; 16], &options).unwrap();
    hushwire_net::agree(&guest, Role::Client, &[1; 16]).unwrap();
    let start = Instant::now();
    running.stop();
    let input = images(&world.model, 1, 3).data;
    let error = idle.infer(&input).unwrap_err();
    assert!(matches!(error, PartyError::Net { .. }), "{error}");
    // It may be told why first.
    while guest.recv_bounded(Phase::Setup, 0, 1 << 10).is_ok() {}
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn nonsense_costs_its_session_only() {
    log();
    let mut world = World::small();
    world.timeout = 4;
    let running = world.start();
    let (key, certificate) = hushwire_party::identity_files(&world.path("client"));
    let identity = Identity::load(&key, &certificate).unwrap();
    let options = TlsOptions::default();
    let messages = [
        (Phase::Setup, 0, vec![]),
        (Phase::Setup, 0, vec![1, 255, 255, 255, 255, 255]),
        (Phase::Setup, 0, vec![200; 100]),
        (Phase::Setup, 0, vec![1; 1 << 20]),
        (Phase::Online, 7, vec![1; 10]),
        (Phase::Setup, AGREE_STEP, vec![0; 32]),
    ];
    let parties = [(Role::Server, running.server.addr()), (Role::Helper, running.helper.addr())];
    for (role, addr) in parties {
        let certificate = world.certificate(if role == Role::Server { "server" } else { "helper" });
        let pin = PeerCertificate::load(&certificate).unwrap();
        for (i, (phase, step, bytes)) in messages.iter().enumerate() {
            let session = [i as u8; 16];
            let link =
                connect(addr, Role::Client, &identity, (role, &pin), session, &options).unwrap();
            // Some of it is refused before we have finished.
            let _ = link.send(*phase, *step, bytes.clone());
            // It is told why, or cut off; it does not hang.
            let start = Instant::now();
            while link.recv_bounded(Phase::Setup, 0, 1 << 16).is_ok() {}
            assert!(start.elapsed() < Duration::from_secs(5));
        }
    }
    world.one_inference(&running);
    running.stop();
}

#[test]
fn a_server_that_shows_two_networks_is_found_out() {
    log();
    let world = World::small();
    let mut other = world.model.clone();
    other.graph.metadata.dataset = Some("another".into());
    let plan = common::plan(&other);
    let shown = Network::new(&other.graph, &plan).unwrap();
    let lying = Hooks { shown_to_client: Some(Arc::clone(&shown)), ..Hooks::default() };
    let running = world.start_with(lying, Hooks::default());
    let error = world.connect(&running).unwrap_err();
    let own = Network::new(&world.model.graph, &world.plan).unwrap().hash();
    let text = error.to_string();
    assert!(text.contains(&own.to_string()) && text.contains(&shown.hash().to_string()), "{text}");
    assert!(text.contains("shows client and helper different networks"), "{text}");
    running.stop();
}

#[test]
fn a_pinned_network_must_be_served() {
    log();
    let world = World::small();
    let running = world.start();
    let own = Network::new(&world.model.graph, &world.plan).unwrap().hash();
    let with = |network: String| {
        let config = ClientConfig { network: Some(network), ..world.client_config(&running) };
        Client::connect(config)
    };
    assert!(matches!(with("00".repeat(32)), Err(PartyError::OtherNetwork { .. })));
    assert!(matches!(with("zz".into()), Err(PartyError::Config(_))));
    with(own.to_string()).unwrap().close().unwrap();
    running.stop();
}

#[test]
fn strangers_are_turned_away() {
    log();
    let mut world = World::small();
    world.timeout = 4;
    let running = world.start();
    let config = ClientConfig { identity: world.path("stranger"), ..world.client_config(&running) };
    let error = Client::connect(config).unwrap_err();
    let refused = |error: &PartyError| {
        matches!(error, PartyError::Net { source: NetError::RefusedByPeer { .. }, .. })
    };
    assert!(refused(&error), "{error}");
    let mut config = world.client_config(&running);
    config.server.certificate = world.certificate("stranger");
    let error = Client::connect(config).unwrap_err();
    let untrusted = matches!(error, PartyError::Net { source: NetError::UntrustedPeer { .. }, .. });
    assert!(untrusted, "{error}");
    world.one_inference(&running);
    running.stop();
}

#[test]
fn a_server_whose_helper_does_not_trust_it_says_so() {
    log();
    let world = World::small();
    let mut config = world.helper_config();
    config.servers = vec![world.certificate("stranger")];
    let helper = Helper::start(config).unwrap();
    let config = world.server_config(&helper);
    let server = Server::start_with(config, &world.model, &world.plan, Hooks::default()).unwrap();
    let running = common::Running { helper, server };
    let error = world.connect(&running).unwrap_err();
    assert!(matches!(&error, PartyError::Refused { peer: Role::Server, .. }), "{error}");
    assert!(error.to_string().contains("the helper does not trust its certificate"), "{error}");
    running.stop();
}

#[test]
fn a_helper_that_is_not_there_is_named() {
    log();
    let mut world = World::small();
    world.timeout = 2;
    let running = world.start();
    let mut config = world.client_config(&running);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    config.helper.address = free.local_addr().unwrap().to_string();
    drop(free);
    let start = Instant::now();
    let error = Client::connect(config.clone()).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(4));
    assert!(error.to_string().contains(&config.helper.address), "{error}");
    world.one_inference(&running);
    running.stop();
}

#[test]
fn too_many_sessions_are_declined() {
    log();
    let mut world = World::small();
    world.max_sessions = 1;
    let running = world.start();
    let first = world.connect(&running).unwrap();
    let error = world.connect(&running).unwrap_err();
    assert!(error.to_string().contains("declined"), "{error}");
    first.close().unwrap();
    running.stop();
}
