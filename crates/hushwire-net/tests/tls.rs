//! Who gets in.

#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, SESSION};
use hushwire_net::{Identity, Link, Listener, NetError, Phase, Role, TlsOptions, connect};

struct Hall {
    client: Identity,
    server: Identity,
    stranger: Identity,
    listener: Listener,
    options: TlsOptions,
}

fn hall() -> Hall {
    let [client, server, stranger] =
        ["client", "server", "stranger"].map(|name| Identity::generate(name).unwrap());
    let options =
        TlsOptions { handshake_timeout: Duration::from_millis(800), ..TlsOptions::default() };
    let trusted = vec![(Role::Client, client.certificate().clone())];
    let listener = Listener::bind("127.0.0.1:0", Role::Server, &server, trusted, &options).unwrap();
    Hall { client, server, stranger, listener, options }
}

impl Hall {
    fn connect(&self, role: Role, own: &Identity, server: &Identity) -> Result<Link, NetError> {
        let peer = (Role::Server, server.certificate());
        connect(self.listener.local_addr(), role, own, peer, SESSION, &self.options)
    }

    fn accept(&self) -> Result<Link, NetError> {
        self.listener.accept(PATIENCE)?.expect("someone comes").accept()
    }
}

/// Both sides at once.
fn meet(
    hall: &Hall,
    role: Role,
    own: &Identity,
    server: &Identity,
) -> (Result<Link, NetError>, Result<Link, NetError>) {
    thread::scope(|scope| {
        let connecting = scope.spawn(|| hall.connect(role, own, server));
        let accepted = hall.accept();
        (connecting.join().unwrap(), accepted)
    })
}

#[test]
fn an_unknown_client_is_told_so() {
    let hall = hall();
    let (client, server) = meet(&hall, Role::Client, &hall.stranger, &hall.server);
    let (client, server) = (client.err().unwrap(), server.err().unwrap());
    let print = hall.stranger.fingerprint();
    assert!(
        matches!(server, NetError::UntrustedPeer { presented, .. } if presented == print),
        "{server}"
    );
    assert!(matches!(client, NetError::RefusedByPeer { own, .. } if own == print), "{client}");
    assert!(client.to_string().contains(&print.to_string()));
}

#[test]
fn an_unknown_server_is_not_spoken_to() {
    let hall = hall();
    let (client, server) = meet(&hall, Role::Client, &hall.client, &hall.stranger);
    let (client, server) = (client.err().unwrap(), server.err().unwrap());
    let print = hall.server.fingerprint();
    assert!(
        matches!(client, NetError::UntrustedPeer { presented, .. } if presented == print),
        "{client}"
    );
    assert!(matches!(server, NetError::RefusedByPeer { own, .. } if own == print), "{server}");
}

#[test]
fn a_certificate_without_its_key_is_useless() {
    let hall = hall();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    hall.stranger.save(&path("key"), &path("unused")).unwrap();
    std::fs::write(path("certificate"), hall.client.certificate().to_pem()).unwrap();
    let thief = Identity::load(&path("key"), &path("certificate")).unwrap();
    assert!(hall.connect(Role::Client, &thief, &hall.server).is_err());
}

#[test]
fn a_trusted_party_in_another_role_is_refused() {
    let hall = hall();
    let (client, server) = meet(&hall, Role::Helper, &hall.client, &hall.server);
    let server = server.err().unwrap();
    assert!(
        matches!(server, NetError::WrongRole { expected: Role::Client, got: Role::Helper, .. }),
        "{server}"
    );
    assert!(client.is_err());
}

#[test]
fn a_session_can_be_declined() {
    let hall = hall();
    thread::scope(|scope| {
        let connecting = scope.spawn(|| hall.connect(Role::Client, &hall.client, &hall.server));
        hall.listener.accept(PATIENCE).unwrap().unwrap().refuse().unwrap();
        let error = connecting.join().unwrap().err().unwrap();
        assert!(matches!(error, NetError::SessionRefused { peer: Role::Server }), "{error}");
    });
}

#[test]
fn a_plaintext_client_is_turned_away() {
    let hall = hall();
    let mut socket = TcpStream::connect(hall.listener.local_addr()).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let error = hall.accept().err().unwrap();
    assert!(matches!(error, NetError::Handshake { .. }), "{error}");
    let mut answer = Vec::new();
    // An alert or nothing, and the end.
    let _ = socket.read_to_end(&mut answer);
    assert!(answer.len() < 64);
}

#[test]
fn silent_and_slow_clients_delay_nobody() {
    let hall = hall();
    let silent: Vec<TcpStream> =
        (0..5).map(|_| TcpStream::connect(hall.listener.local_addr()).unwrap()).collect();
    let mut slow = TcpStream::connect(hall.listener.local_addr()).unwrap();
    let start = Instant::now();
    slow.write_all(&[0x16]).unwrap();
    let (client, server) = meet(&hall, Role::Client, &hall.client, &hall.server);
    assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
    let (client, server) = (client.unwrap(), server.unwrap());
    client.send(Phase::Online, 0, vec![1]).unwrap();
    server.recv(Phase::Online, 0, 1).unwrap();
    // One byte now and then does not extend the time.
    for _ in 0..6 {
        let error = loop {
            slow.write_all(&[3]).ok();
            match hall.listener.accept(Duration::from_millis(50)) {
                Ok(None) => assert!(start.elapsed() < Duration::from_secs(4)),
                Ok(Some(incoming)) => panic!("{incoming:?}"),
                Err(error) => break error,
            }
        };
        let refused =
            matches!(error, NetError::HandshakeTimeout { .. } | NetError::Handshake { .. });
        assert!(refused, "{error}");
    }
    drop(silent);
}

#[test]
fn handshakes_at_once_are_bounded() {
    let mut hall = hall();
    hall.options.max_handshakes = 2;
    let trusted = vec![(Role::Client, hall.client.certificate().clone())];
    hall.listener =
        Listener::bind("127.0.0.1:0", Role::Server, &hall.server, trusted, &hall.options).unwrap();
    let addr = hall.listener.local_addr();
    let _held = [TcpStream::connect(addr).unwrap(), TcpStream::connect(addr).unwrap()];
    let mut third = TcpStream::connect(addr).unwrap();
    third.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert_eq!(third.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn connecting_waits_for_the_listener() {
    let Hall { client, server, listener, mut options, .. } = hall();
    let addr = listener.local_addr();
    drop(listener);
    options.connect_timeout = Duration::from_millis(200);
    let peer = (Role::Server, server.certificate());
    let error = connect(addr, Role::Client, &client, peer, SESSION, &options).err().unwrap();
    assert!(matches!(error, NetError::Connect { .. }), "{error}");
    options.connect_timeout = PATIENCE;
    thread::scope(|scope| {
        let connecting =
            scope.spawn(|| connect(addr, Role::Client, &client, peer, SESSION, &options));
        thread::sleep(Duration::from_millis(200));
        let trusted = vec![(Role::Client, client.certificate().clone())];
        let listener = Listener::bind(addr, Role::Server, &server, trusted, &options).unwrap();
        let _accepted = listener.accept(PATIENCE).unwrap().unwrap().accept().unwrap();
        connecting.join().unwrap().unwrap();
    });
}

#[test]
fn a_dropped_listener_frees_its_address() {
    let hall = hall();
    let addr = hall.listener.local_addr();
    drop(hall.listener);
    assert!(TcpStream::connect(addr).is_err());
}
