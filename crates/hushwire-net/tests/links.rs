//! What holds for links of either kind.

#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{hasty, on_both};
use hushwire_net::{
    Emulation, FRAME_HEADER_LEN, LinkOptions, NetError, Phase, Role, agree, framed_len,
};

#[test]
fn messages_of_all_sizes_arrive_and_are_metered_exactly() {
    on_both(&LinkOptions::default(), |client, server| {
        let sizes = [0, 1, 1000, 16 << 10, (16 << 10) + 1, 1 << 20, (1 << 20) + 1, 150_000_000];
        for (step, len) in (0u32..).zip(sizes) {
            let message: Vec<u8> =
                (0..len).map(|i| (i as u32).wrapping_mul(31).wrapping_add(step) as u8).collect();
            client.send(Phase::Online, step, message.clone()).unwrap();
            assert!(server.recv(Phase::Online, step, len).unwrap() == message);
            let sent = client.meter().snapshot().online.steps[&step].sent;
            assert_eq!((sent.messages, sent.payload_bytes), (1, len as u64));
            assert_eq!(sent.framed_bytes, framed_len(len));
        }
        assert_eq!(framed_len(1 << 20), (1 << 20) + FRAME_HEADER_LEN as u64);
        assert_eq!(framed_len((1 << 20) + 1), (1 << 20) + 1 + 2 * FRAME_HEADER_LEN as u64);
        let (sent, received) = (client.meter().snapshot(), server.meter().snapshot());
        assert_eq!(sent.online.sent, received.online.received);
        let json = serde_json::to_value(&sent).unwrap();
        assert_eq!(json["online"]["steps"]["1"]["sent"]["payload_bytes"], 1);
        client.close().unwrap();
        server.close().unwrap();
    });
}

#[test]
fn both_directions_at_once() {
    const LEN: usize = 30_000_000;
    let options = LinkOptions { recv_queue: 1 << 20, send_queue: 1 << 20, ..Default::default() };
    on_both(&options, |client, server| {
        thread::scope(|scope| {
            for link in [&client, &server] {
                scope.spawn(|| {
                    for step in 0..4 {
                        link.send(Phase::Offline, step, vec![step as u8; LEN]).unwrap();
                    }
                });
                scope.spawn(|| {
                    for step in 0..4 {
                        let got = link.recv(Phase::Offline, step, LEN).unwrap();
                        assert!(got.iter().all(|&b| b == step as u8));
                    }
                });
            }
        });
    });
}

#[test]
fn many_small_messages_keep_their_order() {
    on_both(&LinkOptions::default(), |client, server| {
        thread::scope(|scope| {
            scope.spawn(|| {
                for step in 0..20_000u32 {
                    client.send(Phase::Online, step, step.to_le_bytes().to_vec()).unwrap();
                }
                client.flush().unwrap();
            });
            for step in 0..20_000u32 {
                assert_eq!(server.recv(Phase::Online, step, 4).unwrap(), step.to_le_bytes());
            }
        });
    });
}

#[test]
fn rounds_count_direction_changes() {
    on_both(&LinkOptions::default(), |client, server| {
        client.send(Phase::Online, 0, vec![0; 8]).unwrap();
        server.recv(Phase::Online, 0, 8).unwrap();
        for step in 1..=3 {
            server.send(Phase::Online, step, vec![0; 8]).unwrap();
            client.recv(Phase::Online, step, 8).unwrap();
            client.send(Phase::Online, step, vec![0; 8]).unwrap();
            server.recv(Phase::Online, step, 8).unwrap();
        }
        assert_eq!(client.meter().snapshot().online.rounds, 3);
        assert_eq!(server.meter().snapshot().online.rounds, 4);
    });
}

#[test]
fn mismatches_name_expected_and_got() {
    on_both(&hasty(2000), |client, server| {
        client.send(Phase::Online, 4, vec![1; 10]).unwrap();
        let error = server.recv(Phase::Online, 5, 10).unwrap_err();
        let NetError::UnexpectedMessage { peer: Role::Client, expected, got } = error else {
            panic!("{error}");
        };
        assert_eq!((expected.step, got.step), (5, 4));
        // Out of step is out of use.
        let error = server.recv(Phase::Online, 4, 10).unwrap_err();
        assert!(matches!(error, NetError::Unusable { .. }), "{error}");
    });
    on_both(&hasty(2000), |client, server| {
        client.send(Phase::Offline, 4, vec![1; 10]).unwrap();
        let error = server.recv(Phase::Online, 4, 10).unwrap_err();
        assert!(error.to_string().contains("online step 4"), "{error}");
        assert!(error.to_string().contains("offline step 4"), "{error}");
    });
    for (len, asked) in [(10, 11), (11, 10), (0, 1), (1, 0), (5 << 20, 1 << 20)] {
        on_both(&hasty(2000), |client, server| {
            client.send(Phase::Online, 0, vec![1; len]).unwrap();
            let error = server.recv(Phase::Online, 0, asked).unwrap_err();
            assert!(
                matches!(error, NetError::LengthMismatch { expected, got, .. }
                    if expected == asked && got <= len && (got > asked) == (len > asked)),
                "{error}"
            );
        });
    }
    on_both(&hasty(2000), |client, server| {
        client.send(Phase::Online, 0, vec![1; 10]).unwrap();
        client.send(Phase::Online, 7, vec![2; 10 << 20]).unwrap();
        client.send(Phase::Online, 1, vec![1; 11]).unwrap();
        assert_eq!(server.recv_bounded(Phase::Online, 0, 10).unwrap().len(), 10);
        let long = server.recv_bounded(Phase::Online, 7, 1 << 30).unwrap();
        assert!(long.len() == 10 << 20 && long.capacity() <= 20 << 20);
        let error = server.recv_bounded(Phase::Online, 1, 10).unwrap_err();
        assert!(matches!(error, NetError::TooLong { max: 10, got: 11, .. }), "{error}");
    });
}

#[test]
fn a_silent_peer_times_out_in_time_and_does_no_harm() {
    on_both(&hasty(150), |client, server| {
        let start = Instant::now();
        let error = client.recv(Phase::Online, 7, 1).unwrap_err();
        assert!(matches!(error, NetError::Timeout { peer: Role::Server, at, .. } if at.step == 7));
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(150) && waited < Duration::from_millis(600));
        server.send(Phase::Online, 7, vec![1]).unwrap();
        assert_eq!(client.recv(Phase::Online, 7, 1).unwrap(), [1]);
    });
}

#[test]
fn a_peer_that_takes_nothing_is_noticed() {
    let options = LinkOptions { send_queue: 1 << 20, recv_queue: 1 << 20, ..hasty(200) };
    on_both(&options, |client, _server| {
        let start = Instant::now();
        let error = loop {
            match client.send(Phase::Offline, 0, vec![0; 1 << 19]) {
                Ok(()) => assert!(start.elapsed() < Duration::from_secs(10)),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, NetError::Timeout { .. }), "{error}");
    });
}

#[test]
fn a_close_is_seen_after_everything_sent() {
    on_both(&hasty(5000), |client, server| {
        client.send(Phase::Online, 0, vec![5; 3 << 20]).unwrap();
        client.close().unwrap();
        assert_eq!(server.recv(Phase::Online, 0, 3 << 20).unwrap().len(), 3 << 20);
        let error = server.recv(Phase::Online, 1, 1).unwrap_err();
        assert!(matches!(error, NetError::Closed { peer: Role::Client, .. }), "{error}");
        server.close().unwrap();
    });
}

#[test]
fn a_dropped_link_delivers_and_is_seen_as_lost() {
    on_both(&hasty(5000), |client, server| {
        client.send(Phase::Online, 0, vec![5; 3 << 20]).unwrap();
        drop(client);
        assert_eq!(server.recv(Phase::Online, 0, 3 << 20).unwrap().len(), 3 << 20);
        let start = Instant::now();
        let error = server.recv(Phase::Online, 1, 1).unwrap_err();
        assert!(matches!(error, NetError::Disconnected { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_killed_peer_is_noticed_by_receivers_and_senders() {
    on_both(&hasty(20_000), |client, server| {
        thread::scope(|scope| {
            let waiting = scope.spawn(|| server.recv(Phase::Online, 3, 10));
            thread::sleep(Duration::from_millis(50));
            let start = Instant::now();
            client.abort();
            let error = waiting.join().unwrap().unwrap_err();
            assert!(matches!(error, NetError::Disconnected { at, .. } if at.step == 3), "{error}");
            assert!(start.elapsed() < Duration::from_secs(1));
        });
        // What is sent waits in a queue, so a sender may hear of it a moment later.
        let start = Instant::now();
        while server.send(Phase::Online, 4, vec![1]).is_ok() {
            assert!(start.elapsed() < Duration::from_secs(1));
            thread::sleep(Duration::from_millis(1));
        }
    });
}

#[test]
fn a_severed_link_lets_go_of_receivers_and_senders() {
    let options = LinkOptions { send_queue: 1 << 20, ..LinkOptions::default() };
    for (sending, receiving) in [(false, true), (true, false), (true, true)] {
        on_both(&options, |client, server| {
            let start = Instant::now();
            thread::scope(|scope| {
                if receiving {
                    scope.spawn(|| {
                        let error = client.recv(Phase::Online, 0, 1).unwrap_err();
                        assert!(matches!(error, NetError::Disconnected { .. }), "{error}");
                    });
                }
                if sending {
                    // More than all buffers on the way hold.
                    scope.spawn(|| {
                        let piece = || client.send(Phase::Online, 0, vec![0; 1 << 20]);
                        let error = (0..).find_map(|_| piece().err()).unwrap();
                        assert!(matches!(error, NetError::Disconnected { .. }), "{error}");
                    });
                }
                thread::sleep(Duration::from_millis(100));
                client.sever();
            });
            assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
            // What had arrived may come first.
            while server.recv_bounded(Phase::Online, 0, 1 << 20).is_ok() {}
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        });
    }
}

#[test]
fn both_ends_agree_on_a_key() {
    on_both(&LinkOptions::default(), |client, server| {
        let session = [3; 16];
        let (a, b) = thread::scope(|scope| {
            let a = scope.spawn(|| agree(&client, Role::Client, &session).unwrap());
            let b = agree(&server, Role::Server, &session).unwrap();
            (a.join().unwrap(), b)
        });
        assert!(a.same_as(&b));
        assert_eq!(a.derive("mask"), b.derive("mask"));
        assert_ne!(a.derive("mask"), a.derive("other"));
        assert_eq!(client.meter().snapshot().setup.sent.payload_bytes, 32);
        assert!(!format!("{a:?}").contains(char::is_numeric));
    });
}

#[test]
fn keys_differ_with_the_session() {
    on_both(&LinkOptions::default(), |client, server| {
        let (a, b) = thread::scope(|scope| {
            let a = scope.spawn(|| agree(&client, Role::Client, &[1; 16]).unwrap());
            let b = agree(&server, Role::Server, &[2; 16]).unwrap();
            (a.join().unwrap(), b)
        });
        assert!(!a.same_as(&b));
    });
}

#[test]
fn a_degenerate_public_key_is_refused() {
    on_both(&LinkOptions::default(), |client, server| {
        server.send(Phase::Setup, hushwire_net::AGREE_STEP, vec![0; 32]).unwrap();
        let error = agree(&client, Role::Client, &[1; 16]).unwrap_err();
        assert!(matches!(error, NetError::KeyAgreement { .. }), "{error}");
    });
}

#[test]
fn emulated_bandwidth_is_accurate() {
    let emulation = Emulation { rtt: Duration::from_millis(10), mbit_per_s: Some(100.0) };
    let options = LinkOptions { emulation: Some(emulation), ..LinkOptions::default() };
    on_both(&options, |client, server| {
        near(0.805, || {
            client.send(Phase::Offline, 0, vec![1; 10_000_000]).unwrap();
            server.recv(Phase::Offline, 0, 10_000_000).unwrap();
        });
    });
}

#[test]
fn emulated_delay_is_accurate() {
    let emulation = Emulation { rtt: Duration::from_millis(40), mbit_per_s: None };
    let options = LinkOptions { emulation: Some(emulation), ..LinkOptions::default() };
    on_both(&options, |client, server| {
        near(0.8, || {
            for step in 0..20 {
                client.send(Phase::Online, step, vec![1; 100]).unwrap();
                server.recv(Phase::Online, step, 100).unwrap();
                server.send(Phase::Online, step, vec![1; 100]).unwrap();
                client.recv(Phase::Online, step, 100).unwrap();
            }
        });
        // Messages in one direction travel together.
        let start = Instant::now();
        for step in 0..20 {
            client.send(Phase::Online, step, vec![1; 100]).unwrap();
        }
        for step in 0..20 {
            server.recv(Phase::Online, step, 100).unwrap();
        }
        assert!(start.elapsed() < Duration::from_millis(200));
    });
}

/// Whether the work takes this long to within 5%: never less, and not always more, which a busy
/// machine is forgiven, the tests beside this one among what it is busy with.
fn near(seconds: f64, work: impl Fn()) {
    let mut took = Vec::new();
    for _ in 0..15 {
        let start = Instant::now();
        work();
        let off = start.elapsed().as_secs_f64() / seconds - 1.0;
        assert!(off > -0.05, "{} s too fast for {seconds} s", off * seconds);
        if off < 0.05 {
            return;
        }
        took.push(start.elapsed());
    }
    panic!("{took:?} instead of {seconds} s");
}

#[cfg(target_os = "linux")]
#[test]
fn the_threads_of_dropped_links_end() {
    let before = threads();
    for _ in 0..10 {
        on_both(&LinkOptions::default(), |client, server| {
            client.send(Phase::Online, 0, vec![1; 100]).unwrap();
            drop(client);
            drop(server);
        });
    }
    let until = Instant::now() + Duration::from_secs(10);
    // Other tests of this process have threads too, but not forty more.
    while threads() > before + 20 {
        assert!(Instant::now() < until, "{} threads are left", threads() - before);
        thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(target_os = "linux")]
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}
