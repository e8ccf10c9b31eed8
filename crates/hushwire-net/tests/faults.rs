//! Someone on the line.

mod common;

use common::hasty;
use hushwire_net::{
    FRAME_HEADER_LEN, FrameDecoder, FrameError, Header, Label, Link, NetError, Phase, ReadError,
    Role, Tapped, Verdict, decode_header, memory_pair_with,
};
use proptest::prelude::*;

/// Links on which the client's first frame meets this fate.
fn with_first(fate: impl FnOnce(Tapped) -> Verdict + Send + 'static) -> (Link, Link) {
    let mut fate = Some(fate);
    let interceptor = move |frame: Tapped| match fate.take_if(|_| frame.from == Role::Client) {
        Some(fate) => fate(frame),
        None => Verdict::Forward,
    };
    memory_pair_with(Role::Client, Role::Server, &hasty(300), Box::new(interceptor))
}

/// What the server says to two messages of which the first meets this fate.
fn receive(fate: impl FnOnce(Tapped) -> Verdict + Send + 'static) -> Result<Vec<u8>, NetError> {
    let (client, server) = with_first(fate);
    let _ = client.send(Phase::Online, 0, vec![9; 40]);
    let _ = client.send(Phase::Online, 1, vec![9; 40]);
    let first = server.recv(Phase::Online, 0, 40)?;
    server.recv(Phase::Online, 1, 40)?;
    Ok(first)
}

fn frame_error(outcome: Result<Vec<u8>, NetError>) -> FrameError {
    match outcome {
        Err(NetError::Frame { peer: Role::Client, source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_frame_left_alone_arrives() {
    assert_eq!(receive(|_| Verdict::Forward).unwrap(), [9; 40]);
    assert_eq!(receive(|frame| Verdict::Replace(frame.bytes)).unwrap(), [9; 40]);
}

#[test]
fn replayed_frames_are_refused() {
    let error = frame_error(receive(|f| Verdict::Replace([&*f.bytes, &*f.bytes].concat())));
    assert_eq!(error, FrameError::Sequence { expected: 1, got: 0 });
}

#[test]
fn lost_frames_are_noticed() {
    let error = frame_error(receive(|_| Verdict::Swallow));
    assert_eq!(error, FrameError::Sequence { expected: 0, got: 1 });
}

#[test]
fn oversized_frames_are_refused_before_they_are_read() {
    let error = frame_error(receive(|mut frame| {
        frame.bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        Verdict::Replace(frame.bytes)
    }));
    assert_eq!(error, FrameError::TooLarge { len: u32::MAX, max: 1 << 20 });
}

#[test]
fn a_peer_that_dies_in_the_middle_of_a_message_is_noticed() {
    for keep in [1, FRAME_HEADER_LEN, FRAME_HEADER_LEN + 20] {
        let error = receive(move |frame| Verdict::Cut(frame.bytes[..keep].to_vec())).unwrap_err();
        assert!(matches!(error, NetError::Disconnected { at, .. } if at.step == 0), "{error}");
    }
}

#[test]
fn a_truncated_frame_swallows_the_next_and_is_noticed() {
    let outcome = receive(|frame| Verdict::Replace(frame.bytes[..30].to_vec()));
    assert!(outcome.is_err());
}

#[test]
fn every_flipped_header_bit_is_noticed() {
    for bit in 0..8 * FRAME_HEADER_LEN {
        let outcome = receive(move |mut frame| {
            frame.bytes[bit / 8] ^= 1 << (bit % 8);
            Verdict::Replace(frame.bytes)
        });
        assert!(outcome.is_err(), "bit {bit}");
    }
}

#[test]
fn flipped_payload_bits_are_tls_s_business() {
    let outcome = receive(|mut frame| {
        frame.bytes[FRAME_HEADER_LEN] ^= 1;
        Verdict::Replace(frame.bytes)
    });
    assert_eq!(outcome.unwrap()[0], 8);
}

fn header() -> impl Strategy<Value = Header> {
    (0..3usize, any::<u32>(), any::<bool>(), 0..5000u32, any::<u32>()).prop_map(
        |(phase, step, more, len, sequence)| Header {
            label: Label { phase: Phase::ALL[phase], step },
            more,
            len: if more { len.max(1) } else { len },
            sequence,
        },
    )
}

proptest! {
    #[test]
    fn headers_survive(header in header()) {
        prop_assert_eq!(decode_header(&header.encode()), Ok(header));
    }

    #[test]
    fn hostile_bytes_give_errors(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = FrameDecoder::new(100);
        let mut rest = bytes.as_slice();
        while let Ok(Some(frame)) = decoder.read_frame(&mut rest) {
            prop_assert!(frame.payload.len() <= 100);
        }
    }

    #[test]
    fn a_mutated_stream_gives_frames_in_order_or_an_error(
        lens in prop::collection::vec(0..50usize, 1..6),
        at in any::<prop::sample::Index>(),
        mutation in 1..=255u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Vec::new();
        for (sequence, len) in (0..).zip(&lens) {
            let label = Label { phase: Phase::Offline, step: sequence };
            let header = Header { label, more: false, len: *len as u32, sequence };
            bytes.extend(header.encode());
            bytes.resize(bytes.len() + len, 3);
        }
        let index = at.index(bytes.len());
        bytes[index] ^= mutation;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let mut rest = bytes.as_slice();
        let mut decoder = FrameDecoder::new(100);
        let mut expected = 0;
        loop {
            match decoder.read_frame(&mut rest) {
                Ok(Some(frame)) => {
                    prop_assert_eq!(frame.header.sequence, expected);
                    expected += 1;
                }
                Ok(None) | Err(ReadError::Frame(_)) => break,
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            }
        }
        prop_assert!(expected as usize <= lens.len());
    }
}
