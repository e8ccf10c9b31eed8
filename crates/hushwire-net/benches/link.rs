//! Latency and throughput of links on this machine, in memory and over TLS on the loopback
//! interface: `cargo bench -p hushwire-net`.

use std::thread;
use std::time::{Duration, Instant};

use hushwire_net::{
    Identity, Link, LinkOptions, Listener, Phase, Role, TlsOptions, connect, memory_pair,
};

const ROUNDS: u32 = 20_000;
const MESSAGE: usize = 1 << 20;
const MESSAGES: u32 = 2_000;

fn main() {
    let (client, server) = memory_pair(Role::Client, Role::Server, &LinkOptions::default());
    report("memory", &client, &server);
    let (client, server) = tls_pair();
    report("tls", &client, &server);
}

fn report(name: &str, client: &Link, server: &Link) {
    let mut times = ping_pong(client, server);
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e6;
    println!("{name:>8}: round trip of 64 bytes: median {:.1} us, 90% {:.1} us", at(50), at(90));
    let one = throughput(&[(client, server)]);
    println!("{name:>8}: one direction {one:.2} GB/s");
    let both = throughput(&[(client, server), (server, client)]);
    println!("{name:>8}: both directions at once {both:.2} GB/s each");
}

fn ping_pong(client: &Link, server: &Link) -> Vec<Duration> {
    thread::scope(|scope| {
        scope.spawn(|| {
            for step in 0..ROUNDS {
                let ping = server.recv(Phase::Online, step, 64).expect("ping");
                server.send(Phase::Online, step, ping).expect("pong");
            }
        });
        let round = |step| {
            let start = Instant::now();
            client.send(Phase::Online, step, vec![0; 64]).expect("ping");
            client.recv(Phase::Online, step, 64).expect("pong");
            start.elapsed()
        };
        (0..ROUNDS).map(round).collect()
    })
}

fn throughput(directions: &[(&Link, &Link)]) -> f64 {
    let start = Instant::now();
    thread::scope(|scope| {
        for (from, to) in directions {
            scope.spawn(|| {
                for _ in 0..MESSAGES {
                    from.send(Phase::Offline, 0, vec![1; MESSAGE]).expect("send");
                }
            });
            scope.spawn(|| {
                for _ in 0..MESSAGES {
                    to.recv(Phase::Offline, 0, MESSAGE).expect("receive");
                }
            });
        }
    });
    f64::from(MESSAGES) * MESSAGE as f64 / start.elapsed().as_secs_f64() / 1e9
}

fn tls_pair() -> (Link, Link) {
    let make = |name| Identity::generate(name).expect("an identity");
    let (client, server) = (make("client"), make("server"));
    let options = TlsOptions::default();
    let trusted = vec![(Role::Client, client.certificate().clone())];
    let listener = Listener::bind("127.0.0.1:0", Role::Server, &server, trusted, &options)
        .expect("a free port");
    thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            let peer = (Role::Server, server.certificate());
            connect(listener.local_addr(), Role::Client, &client, peer, [0; 16], &options)
        });
        let incoming = listener.accept(Duration::from_secs(5)).expect("a peer").expect("in time");
        let accepted = incoming.accept().expect("a link");
        (connecting.join().expect("no panic").expect("a link"), accepted)
    })
}
