//! What the link tests share.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "only tests use it")]

use std::thread;
use std::time::Duration;

use hushwire_net::{Identity, Link, LinkOptions, Listener, Role, TlsOptions, connect, memory_pair};

pub const SESSION: [u8; 16] = [7; 16];
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Options with a time-out that a test can wait for.
pub fn hasty(millis: u64) -> LinkOptions {
    LinkOptions { timeout: Duration::from_millis(millis), ..LinkOptions::default() }
}

/// Client and server over TLS on the loopback interface.
pub fn tls_pair(options: &LinkOptions) -> (Link, Link) {
    let options = TlsOptions { link: options.clone(), ..TlsOptions::default() };
    let (client, server) =
        (Identity::generate("client").unwrap(), Identity::generate("server").unwrap());
    let trusted = vec![(Role::Client, client.certificate().clone())];
    let listener = Listener::bind("127.0.0.1:0", Role::Server, &server, trusted, &options).unwrap();
    thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            let peer = (Role::Server, server.certificate());
            connect(listener.local_addr(), Role::Client, &client, peer, SESSION, &options).unwrap()
        });
        let incoming = listener.accept(PATIENCE).unwrap().unwrap();
        assert_eq!((incoming.peer(), incoming.session()), (Role::Client, SESSION));
        let accepted = incoming.accept().unwrap();
        (connecting.join().unwrap(), accepted)
    })
}

/// Runs a test over both kinds of link.
pub fn on_both(options: &LinkOptions, test: impl Fn(Link, Link)) {
    let (client, server) = memory_pair(Role::Client, Role::Server, options);
    test(client, server);
    let (client, server) = tls_pair(options);
    test(client, server);
}
