//! Links over TLS on the loopback interface.

use super::{Links, MeasureError, Ns, processor_time};
use hushwire_net::{
    Emulation, Identity, Link, LinkOptions, Listener, NetError, Phase, Role, TlsOptions, connect,
};
use rustix::time::ClockId;
use std::thread;
use std::time::{Duration, Instant};

/// Small messages to and fro, many without a pause and few with one.
const MANY: u32 = 3000;
const FEW: u32 = 300;

/// Longer than a core that has nothing to do looks out for work before it halts.
const PAUSE: Duration = Duration::from_millis(1);

/// The round-trip time of a line that is emulated.
const RTT: Duration = Duration::from_millis(1);

/// Bytes and number of large messages.
const LARGE: usize = 1 << 16;
const COUNT: u32 = 1 << 12;

/// Measures small messages to and fro, then large ones.
pub(super) fn measure() -> Result<Links, MeasureError> {
    let line = Emulation { rtt: RTT, mbit_per_s: None };
    let (client, server) = pair(Some(line))?;
    let far = ping_pong(&client, &server, FEW, PAUSE)?;
    client.abort();
    server.abort();
    let (client, server) = pair(None)?;
    let busy = ping_pong(&client, &server, MANY, Duration::ZERO)?;
    let idle = ping_pong(&client, &server, FEW, PAUSE)?;
    let start = processor_time(ClockId::ProcessCPUTime);
    push(&client, &server)?;
    let work = processor_time(ClockId::ProcessCPUTime) - start;
    client.abort();
    server.abort();
    // A round trip is two messages, each sent and received.
    let bytes = f64::from(COUNT) * LARGE as f64;
    Ok(Links {
        message_ns: Ns::from_seconds(busy / 4.0),
        wake_ns: Ns::from_seconds((idle - busy) / 2.0),
        timer_ns: Ns::from_seconds((far - RTT.as_secs_f64() - idle) / 2.0),
        byte_ns: Ns::from_seconds(work / bytes / 2.0),
    })
}

/// Seconds of a round trip where both sides are busy for a while before they speak: meanwhile the
/// other side falls asleep. That time does not count.
///
/// Of all round trips a quarter are shorter: other work on the machine only ever makes them longer.
fn ping_pong(
    client: &Link,
    server: &Link,
    rounds: u32,
    pause: Duration,
) -> Result<f64, MeasureError> {
    thread::scope(|scope| {
        let echo = || -> Result<(), NetError> {
            (0..rounds).try_for_each(|step| {
                let ping = server.recv(Phase::Online, step, 64)?;
                spin(pause);
                server.send(Phase::Online, step, ping)
            })
        };
        let echoing = scope.spawn(echo);
        let mut times = Vec::with_capacity(rounds as usize);
        for step in 0..rounds {
            spin(pause);
            let start = Instant::now();
            client.send(Phase::Online, step, vec![0; 64])?;
            client.recv(Phase::Online, step, 64)?;
            times.push((start.elapsed().saturating_sub(pause)).as_secs_f64());
        }
        echoing.join().map_err(|_| MeasureError::Panic)??;
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 4])
    })
}

/// Is busy for a while.
fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Sends large messages in one direction.
fn push(from: &Link, to: &Link) -> Result<(), MeasureError> {
    thread::scope(|scope| {
        let send = || (0..COUNT).try_for_each(|_| from.send(Phase::Offline, 0, vec![1; LARGE]));
        let sending = scope.spawn(send);
        for _ in 0..COUNT {
            to.recv(Phase::Offline, 0, LARGE)?;
        }
        Ok(sending.join().map_err(|_| MeasureError::Panic)??)
    })
}

/// Client and server, joined by a line or by the loopback interface alone.
fn pair(emulation: Option<Emulation>) -> Result<(Link, Link), MeasureError> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let (client, server) = (Identity::generate("client")?, Identity::generate("server")?);
    let link = LinkOptions { emulation, ..LinkOptions::default() };
    let options = TlsOptions { link, ..TlsOptions::default() };
    let trusted = vec![(Role::Client, client.certificate().clone())];
    let listener = Listener::bind("127.0.0.1:0", Role::Server, &server, trusted, &options)?;
    thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            let peer = (Role::Server, server.certificate());
            connect(listener.local_addr(), Role::Client, &client, peer, [0; 16], &options)
        });
        let incoming = listener.accept(PATIENCE)?.ok_or(MeasureError::Panic)?;
        let accepted = incoming.accept()?;
        Ok((connecting.join().map_err(|_| MeasureError::Panic)??, accepted))
    })
}
