//! Someone on the line, below TLS: whatever happens to the bytes ends the session in a clear error
//! at both ends, in time, and the next session works.

#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod common;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Running, World, images, log};
use hushwire_party::{Client, Helper, Hooks, PartyError, Server};

const TIMEOUT: u64 = 2;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A bit of a TLS record is flipped.
    Flip,
    /// The connection ends in the middle of a record.
    Truncate,
    /// Nothing comes through any more.
    Stall,
    /// A record comes twice.
    Replay,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Line {
    ClientServer,
    ClientHelper,
    ServerHelper,
}

/// Whose bytes are tampered with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Caller,
    Listener,
}

/// Forwards connections; the first one is tampered with once it is armed.
struct Proxy {
    addr: SocketAddr,
    armed: Arc<AtomicBool>,
}

impl Proxy {
    fn new(target: SocketAddr, from: From, fault: Fault) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let armed = Arc::<AtomicBool>::default();
        let trigger = Arc::clone(&armed);
        // It lives as long as the test's process.
        thread::spawn(move || {
            for (number, caller) in listener.incoming().enumerate() {
                let caller = caller.unwrap();
                let Ok(callee) = TcpStream::connect(target) else { continue };
                let (a, b) = (caller.try_clone().unwrap(), callee.try_clone().unwrap());
                for (side, source, sink) in [(From::Caller, caller, callee), (From::Listener, b, a)]
                {
                    let fault = (number == 0 && side == from).then_some(fault);
                    let trigger = Arc::clone(&trigger);
                    thread::spawn(move || pump(source, sink, fault, &trigger));
                }
            }
        });
        Proxy { addr, armed }
    }
}

/// Forwards TLS records until one side ends.
fn pump(mut source: TcpStream, mut sink: TcpStream, fault: Option<Fault>, armed: &AtomicBool) {
    let mut fault = fault;
    let mut forward = || -> io::Result<()> {
        loop {
            let mut record = vec![0; 5];
            source.read_exact(&mut record)?;
            let len = usize::from(record[3]) << 8 | usize::from(record[4]);
            record.resize(5 + len, 0);
            source.read_exact(&mut record[5..])?;
            // Application data; the handshake's own records are sent in the clear or come first.
            let due = armed.load(Ordering::SeqCst) && record[0] == 23;
            match fault.take_if(|_| due) {
                None => sink.write_all(&record)?,
                Some(Fault::Flip) => {
                    record[5 + len / 2] ^= 4;
                    sink.write_all(&record)?;
                }
                Some(Fault::Truncate) => {
                    sink.write_all(&record[..5 + len / 2])?;
                    return source.shutdown(Shutdown::Both);
                }
                Some(Fault::Stall) => {
                    io::copy(&mut source, &mut io::sink())?;
                    // The silent end of a line that was cut somewhere: not even its end arrives.
                    thread::sleep(Duration::from_secs(4 * TIMEOUT));
                }
                Some(Fault::Replay) => sink.write_all(&[&*record, &*record].concat())?,
            }
        }
    };
    // However it ends, it ends here.
    let _ = forward();
    let _ = sink.shutdown(Shutdown::Write);
}

fn tampered(line: Line, from: From, fault: Fault, from_the_start: bool) {
    let mut world = World::small();
    world.timeout = TIMEOUT;
    // The next session gets a place only when the failed one has ended at server and helper.
    world.max_sessions = 1;
    let helper = Helper::start(world.helper_config()).unwrap();
    let mut config = world.server_config(&helper);
    let mut proxy = Proxy::new(helper.addr(), from, fault);
    if line == Line::ServerHelper {
        config.helper.address = proxy.addr.to_string();
    }
    let server = Server::start_with(config, &world.model, &world.plan, Hooks::default()).unwrap();
    let running = Running { helper, server };
    let mut config = world.client_config(&running);
    match line {
        Line::ClientServer => {
            proxy = Proxy::new(running.server.addr(), from, fault);
            config.server.address = proxy.addr.to_string();
        }
        Line::ClientHelper => config.helper.address = proxy.addr.to_string(),
        Line::ServerHelper => {}
    }
    proxy.armed.store(from_the_start, Ordering::SeqCst);
    let input = images(&world.model, 1, 3).data;
    let mut start = Instant::now();
    let session = || -> Result<(), PartyError> {
        let mut client = Client::connect(config.clone())?;
        proxy.armed.store(true, Ordering::SeqCst);
        start = Instant::now();
        // What comes too late for one inference is noticed in the next.
        client.infer(&input)?;
        start = Instant::now();
        client.infer(&input).map(drop)
    };
    let error = { session }().expect_err("the session fails");
    let took = start.elapsed();
    let what = format!("{fault:?} on {line:?} from {from:?} after {took:?}: {error}");
    println!("{what}");
    let clear = matches!(
        error,
        PartyError::Net { .. } | PartyError::GaveUp { .. } | PartyError::Refused { .. }
    );
    assert!(clear, "{what}");
    // In set-up, one wait may follow another.
    let most = Duration::from_secs(if from_the_start { 2 * TIMEOUT } else { TIMEOUT });
    assert!(took < most + Duration::from_secs(1), "{what}");
    let again = Instant::now();
    let mut client = loop {
        match Client::connect(config.clone()) {
            Ok(client) => break client,
            Err(error) => assert!(again.elapsed() < 2 * most, "{what}; then: {error}"),
        }
        // What came of this attempt waits at the helper for half the time-out.
        thread::sleep(Duration::from_millis(600 * TIMEOUT));
    };
    world.check(&input, &client.infer(&input).unwrap().logits);
    client.close().unwrap();
    running.stop();
}

fn all(from_the_start: bool) {
    log();
    thread::scope(|scope| {
        for line in [Line::ClientServer, Line::ClientHelper, Line::ServerHelper] {
            for from in [From::Caller, From::Listener] {
                for fault in [Fault::Flip, Fault::Truncate, Fault::Stall, Fault::Replay] {
                    scope.spawn(move || tampered(line, from, fault, from_the_start));
                }
            }
        }
    });
}

#[test]
fn tampering_with_an_inference_ends_its_session_only() {
    all(false);
}

#[test]
fn tampering_with_the_set_up_ends_its_session_only() {
    all(true);
}
