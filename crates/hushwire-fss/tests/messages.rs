//! What the parties receive: exact lengths, refusal of everything else, uniform bits.

use hushwire_fss::digits::{Shape, Tables};
use hushwire_fss::{FssError, Prf, Stream, dcf, digits};
use hushwire_ring::Bits;
use proptest::prelude::*;

/// Streams of P0, P1 and the helper's two, for one session.
fn streams(session: u64) -> [Stream; 4] {
    let stream = |pair: u8| Prf::new([pair; 16]).derive(&session.to_le_bytes()).stream(0);
    [stream(1), stream(2), stream(1), stream(2)]
}

fn shape(width: u32) -> Shape {
    Shape::new(width).expect("width in range")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_ways_compare(
        width in 1..=32_u32,
        values in proptest::collection::vec(any::<(u64, u64)>(), 0..150),
        session in any::<u64>(),
    ) {
        let (public, secret): (Vec<u64>, Vec<u64>) = values.into_iter().unzip();
        let count = secret.len();
        let mask = (1 << width) - 1;
        let expected = Bits::from_fn(count, |i| public[i] & mask < secret[i] & mask);

        let [mut p0, mut p1, mut d0, mut d1] = streams(session);
        let message = digits::deal(shape(width), &mut d0, &mut d1, &secret);
        let client = Tables::client(shape(width), count, &mut p0).look_up(&public);
        let server = Tables::server(shape(width), count, &mut p1, &message);
        let server = server.expect("the helper's message").look_up(&public);
        let (from_client, from_server) = (client.message(), server.message());
        let a = client.combine(&from_server).expect("the server's message");
        let b = server.combine(&from_client).expect("the client's message");
        prop_assert!(a.xor(&b) == expected);

        let [mut p0, mut p1, mut d0, mut d1] = streams(session);
        let message = dcf::deal(width, &mut d0, &mut d1, &secret).expect("width in range");
        let client = dcf::Keys::client(width, count, &mut p0, &message).expect("the message");
        let server = dcf::Keys::server(width, count, &mut p1, &message).expect("the message");
        prop_assert!(client.eval(&public).xor(&server.eval(&public)) == expected);
    }

    #[test]
    fn parts_of_a_layer_are_parts_of_the_whole(
        width in 1..=32_u32,
        values in proptest::collection::vec(any::<(u64, u64)>(), 1..300),
        cut in 0..5_usize,
        session in any::<u64>(),
    ) {
        let (public, secret): (Vec<u64>, Vec<u64>) = values.into_iter().unzip();
        let count = secret.len();
        let cut = (cut * 64).min(count / 64 * 64);
        let shape = shape(width);
        let moved = || {
            let [mut p0, mut p1, mut d0, mut d1] = streams(session);
            for stream in [&mut p0, &mut d0] {
                stream.seek(shape.client_stream_len(cut));
            }
            for stream in [&mut p1, &mut d1] {
                stream.seek(shape.server_stream_len(cut));
            }
            [p0, p1, d0, d1]
        };
        let [mut p0, mut p1, mut d0, mut d1] = streams(session);
        let message = digits::deal(shape, &mut d0, &mut d1, &secret);
        let client = Tables::client(shape, count, &mut p0).look_up(&public);
        let server = Tables::server(shape, count, &mut p1, &message);
        let server = server.expect("the helper's message").look_up(&public);
        let [from_client, from_server] = [client.message(), server.message()];
        let whole = client.combine(&from_server).expect("the server's message");

        let [mut p0, mut p1, mut d0, mut d1] = moved();
        let part = digits::deal(shape, &mut d0, &mut d1, &secret[cut..]);
        prop_assert_eq!(&part, &message[shape.message_len(cut)..]);
        let client = Tables::client(shape, count - cut, &mut p0).look_up(&public[cut..]);
        let server = Tables::server(shape, count - cut, &mut p1, &part);
        let server = server.expect("the helper's message").look_up(&public[cut..]);
        prop_assert_eq!(client.message(), &from_client[shape.opening_len(cut)..]);
        prop_assert_eq!(server.message(), &from_server[shape.opening_len(cut)..]);
        let part = client.combine(&server.message()).expect("the server's message");
        prop_assert!(part == Bits::from_fn(count - cut, |i| whole.get(cut + i)));

        let [mut p0, _, mut d0, mut d1] = streams(session);
        let message = dcf::deal(width, &mut d0, &mut d1, &secret).expect("width in range");
        let keys = dcf::Keys::client(width, count, &mut p0, &message).expect("the message");
        let whole = keys.eval(&public);
        let [mut p0, _, mut d0, mut d1] = streams(session);
        for stream in [&mut p0, &mut d0, &mut d1] {
            stream.seek(dcf::stream_len(cut));
        }
        let part = dcf::deal(width, &mut d0, &mut d1, &secret[cut..]).expect("width in range");
        let start = dcf::message_len(width, cut).expect("width in range");
        prop_assert_eq!(&part, &message[start..]);
        let keys = dcf::Keys::client(width, count - cut, &mut p0, &part).expect("the message");
        let part = keys.eval(&public[cut..]);
        prop_assert!(part == Bits::from_fn(count - cut, |i| whole.get(cut + i)));
    }

    #[test]
    fn bytes_of_a_peer_never_panic(
        width in 0..70_u32,
        count in 0..70_usize,
        bytes in proptest::collection::vec(any::<u8>(), 0..700),
    ) {
        let [mut p0, mut p1, ..] = streams(0);
        let _ = dcf::Keys::server(width, count, &mut p1, &bytes);
        if let Ok(shape) = Shape::new(width) {
            let _ = Tables::server(shape, count, &mut p1, &bytes);
            let opening = Tables::client(shape, count, &mut p0).look_up(&vec![0; count]);
            let _ = opening.combine(&bytes);
        }
    }
}

#[test]
fn lengths_are_exact_to_the_bit() {
    let bits = |bits: usize| bits.div_ceil(8);
    // Width, opened bits, products: 60 bits of tables and 15 of products for 16.
    for (width, sent, opened, products) in [(4, 15, 0, 0), (16, 60, 6, 15), (15, 52, 6, 15)] {
        let shape = shape(width);
        assert_eq!(shape.opened_planes(), opened);
        assert_eq!(shape.product_planes(), products);
        for count in [0, 1, 7, 64, 1000] {
            assert_eq!(shape.message_len(count), bits((sent + products) * count));
            assert_eq!(shape.opening_len(count), bits(opened * count));
        }
    }
    for count in [0, 1, 7, 64, 1000] {
        assert_eq!(dcf::message_len(3, count), Ok(bits(8 * count)));
        assert_eq!(dcf::message_len(7, count), Ok(16 * count));
        assert_eq!(dcf::message_len(16, count), Ok(bits((9 * 129 + 128) * count)));
    }
}

#[test]
fn unsupported_widths_are_refused() {
    for width in [0, digits::MAX_WIDTH + 1] {
        let error = FssError::Width { width, max: digits::MAX_WIDTH };
        assert_eq!(Shape::new(width), Err(error));
    }
    for width in [0, dcf::MAX_WIDTH + 1] {
        let error = FssError::Width { width, max: dcf::MAX_WIDTH };
        assert_eq!(dcf::message_len(width, 1), Err(error));
    }
}

#[test]
fn other_lengths_and_padding_are_refused() {
    // 75 * 3 bits leave 7 bits of padding, 6 * 3 opened bits 6, 9 * 3 value bits 5.
    let secret = [1, 2, 3];
    let [mut p0, mut p1, mut d0, mut d1] = streams(1);
    let message = digits::deal(shape(16), &mut d0, &mut d1, &secret);
    let server =
        |bytes: &[u8], p1: &mut Stream| Tables::server(shape(16), 3, p1, bytes).map(|_| ());
    assert_eq!(server(&message, &mut p1), Ok(()));
    for bytes in [&message[1..], &[&message[..], &[0]].concat()] {
        assert!(matches!(server(bytes, &mut p1), Err(FssError::Length { .. })));
    }
    let mut padded = message.clone();
    padded[message.len() - 1] |= 0x80;
    assert!(matches!(server(&padded, &mut p1), Err(FssError::Padding { .. })));

    let open = |p0: &mut Stream| Tables::client(shape(16), 3, p0).look_up(&[1, 1, 1]);
    assert!(matches!(open(&mut p0).combine(&[0, 0]), Err(FssError::Length { .. })));
    assert!(matches!(open(&mut p0).combine(&[0, 0, 0x80]), Err(FssError::Padding { .. })));

    let keys = dcf::deal(16, &mut d0, &mut d1, &secret).expect("width in range");
    let load = |bytes: &[u8], p0: &mut Stream| dcf::Keys::client(16, 3, p0, bytes).map(|_| ());
    assert_eq!(load(&keys, &mut p0), Ok(()));
    assert!(matches!(load(&keys[1..], &mut p0), Err(FssError::Length { .. })));
    let mut padded = keys.clone();
    padded[9 * 3 * 16 + 3] |= 0x80;
    assert!(matches!(load(&padded, &mut p0), Err(FssError::Padding { .. })));
}

/// Pearson's statistic of `counts` against the uniform distribution.
fn chi_square(counts: &[usize]) -> f64 {
    let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    counts.iter().map(|&n| (n as f64 - expected).powi(2) / expected).sum()
}

/// Counts of each 5-bit window of the message over many sessions with the same secret.
fn windows(bits: usize, message: impl Fn(u64) -> Vec<u8>) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; 32]; bits / 5];
    for session in 0..4096 {
        let message = message(session);
        for (i, counts) in counts.iter_mut().enumerate() {
            let window = (0..5).fold(0, |window, j| {
                let at = i * 5 + j;
                window << 1 | usize::from(message[at / 8] >> (at % 8) & 1)
            });
            counts[window] += 1;
        }
    }
    counts
}

#[test]
fn what_the_server_is_dealt_is_uniform_whatever_the_secret() {
    // 31 degrees of freedom: 87 is exceeded with probability 1e-7 per window.
    for secret in [0x0000, 0xa7f3] {
        let tables = windows(75, |session| {
            let [.., mut d0, mut d1] = streams(session);
            digits::deal(shape(16), &mut d0, &mut d1, &[secret])
        });
        // Four gates of two levels fill the byte of value bits: no padding.
        let keys = windows(4 * (2 * 129 + 128), |session| {
            let [.., mut d0, mut d1] = streams(session);
            dcf::deal(9, &mut d0, &mut d1, &[secret & 0x1ff; 4]).expect("width in range")
        });
        for (i, counts) in tables.iter().chain(&keys).enumerate() {
            let statistic = chi_square(counts);
            assert!(statistic < 87.0, "secret {secret:#x}, window {i}: {statistic}");
        }
    }
}

#[test]
fn what_the_parties_open_is_uniform_whatever_the_values() {
    for (public, secret) in [(0, 0xffff), (0x1234, 0x1234)] {
        for server in [false, true] {
            let mut counts = vec![0; 64];
            for session in 0..8192 {
                let [mut p0, mut p1, mut d0, mut d1] = streams(session);
                let message = digits::deal(shape(16), &mut d0, &mut d1, &[secret]);
                let tables = if server {
                    Tables::server(shape(16), 1, &mut p1, &message).expect("the message")
                } else {
                    Tables::client(shape(16), 1, &mut p0)
                };
                counts[usize::from(tables.look_up(&[public]).message()[0])] += 1;
            }
            // 63 degrees of freedom: exceeded with probability 1e-7.
            let statistic = chi_square(&counts);
            assert!(statistic < 134.0, "{public:#x} {secret:#x}: {statistic}");
        }
    }
}
