//! Links in memory.

use std::time::{Duration, Instant};

use hushwire_net::{LinkOptions, NetError, Phase, Role, framed_len, memory_pair};

#[test]
fn messages_of_all_sizes_arrive() {
    let (client, server) = memory_pair(Role::Client, Role::Server, &LinkOptions::default());
    for (step, len) in
        [0, 1, 1000, 16 << 10, 1 << 20, (1 << 20) + 1, 200_000_000].into_iter().enumerate()
    {
        let message: Vec<u8> = (0..len).map(|i| (i * 31 + step) as u8).collect();
        client.send(Phase::Online, step as u32, message.clone()).unwrap();
        assert!(server.recv(Phase::Online, step as u32, len).unwrap() == message);
        let sent = client.meter().snapshot().online.steps[&(step as u32)].sent;
        assert_eq!(sent.framed_bytes, framed_len(len));
    }
    assert_eq!(client.meter().snapshot().online.sent, server.meter().snapshot().online.received);
    client.close().unwrap();
    server.close().unwrap();
}

#[test]
fn a_silent_peer_times_out() {
    let options = LinkOptions { timeout: Duration::from_millis(100), ..LinkOptions::default() };
    let (client, _server) = memory_pair(Role::Client, Role::Server, &options);
    let start = Instant::now();
    let error = client.recv(Phase::Online, 7, 1).unwrap_err();
    assert!(matches!(error, NetError::Timeout { peer: Role::Server, .. }), "{error}");
    assert!(start.elapsed() < Duration::from_millis(400));
}
