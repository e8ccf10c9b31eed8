//! Both comparisons against the plain one.

use hushwire_ring::Bits;

use crate::{Prf, Stream, dcf, digits};

fn streams(seed: u8) -> [Stream; 4] {
    let stream = |key| Prf::new([key; 16]).derive(&[seed]).stream(9);
    [stream(1), stream(1), stream(2), stream(2)]
}

fn by_digits(width: u32, public: &[&[u64]], secret: &[u64], seed: u8) -> Vec<Bits> {
    let shape = digits::Shape::new(width).expect("width in range");
    let shape = shape.at_knots(public.len()).expect("a few knots");
    let [mut p0, mut d0, mut p1, mut d1] = streams(seed);
    let message = digits::deal(shape, &mut d0, &mut d1, secret);
    assert_eq!(message.len(), shape.message_len(secret.len()));
    let client = digits::Tables::client(shape, secret.len(), &mut p0);
    let server = digits::Tables::server(shape, secret.len(), &mut p1, &message).expect("shape");
    let (client, server) = (client.look_up_at(public), server.look_up_at(public));
    let (from_client, from_server) = (client.message(), server.message());
    assert_eq!(from_client.len(), shape.opening_len(secret.len()));
    let out = client.combine_at(&from_server).expect("shape");
    let theirs = server.combine_at(&from_client).expect("shape");
    out.iter().zip(&theirs).map(|(a, b)| a.xor(b)).collect()
}

fn by_dcf(width: u32, public: &[&[u64]], secret: &[u64], seed: u8) -> Vec<Bits> {
    let [mut p0, mut d0, mut p1, mut d1] = streams(seed);
    let message = dcf::deal(width, &mut d0, &mut d1, secret).expect("width in range");
    assert_eq!(Ok(message.len()), dcf::message_len(width, secret.len()));
    let client = dcf::Keys::client(width, secret.len(), &mut p0, &message).expect("shape");
    let server = dcf::Keys::server(width, secret.len(), &mut p1, &message).expect("shape");
    let (client, server) = (client.eval_at(public), server.eval_at(public));
    client.iter().zip(&server).map(|(a, b)| a.xor(b)).collect()
}

fn check(width: u32, public: &[u64], secret: &[u64], seed: u8) {
    check_at(width, &[public], secret, seed);
}

fn check_at(width: u32, knots: &[&[u64]], secret: &[u64], seed: u8) {
    let mask = (1 << width) - 1;
    let less =
        |public: &&[u64]| Bits::from_fn(public.len(), |i| public[i] & mask < secret[i] & mask);
    let expected: Vec<Bits> = knots.iter().map(less).collect();
    assert!(by_dcf(width, knots, secret, seed) == expected, "dcf, {width} bits");
    if width <= digits::MAX_WIDTH {
        assert!(by_digits(width, knots, secret, seed) == expected, "digits, {width} bits");
    }
}

#[test]
fn one_secret_at_many_knots() {
    let mut stream = Prf::new([6; 16]).stream(0);
    for (width, knots) in [(3, 2), (4, 63), (7, 5), (8, 10), (12, 17), (13, 2), (32, 3)] {
        for count in [1, 64, 130] {
            let secret = stream.words::<u64>(count);
            let mut public: Vec<Vec<u64>> = (0..knots).map(|_| stream.words(count)).collect();
            for (knot, public) in public.iter_mut().enumerate() {
                let near = |i: usize| secret[i].wrapping_add((i as u64 % 5).wrapping_sub(2));
                (knot % 3..count).step_by(3).for_each(|i| public[i] = near(i));
            }
            let knots: Vec<&[u64]> = public.iter().map(Vec::as_slice).collect();
            check_at(width, &knots, &secret, width as u8);
        }
    }
    let shape = digits::Shape::new(8).expect("width in range");
    for knots in [0, digits::MAX_KNOTS + 1] {
        let error = crate::FssError::Knots { knots, max: digits::MAX_KNOTS };
        assert_eq!(shape.at_knots(knots), Err(error));
    }
}

#[test]
fn every_pair_of_small_values() {
    for width in 1..=8 {
        let pairs = 0..1_u64 << (2 * width);
        let public: Vec<u64> = pairs.clone().map(|i| i >> width).collect();
        let secret: Vec<u64> = pairs.map(|i| i & ((1 << width) - 1)).collect();
        check(width, &public, &secret, width as u8);
    }
}

#[test]
fn random_and_close_values_of_every_width() {
    let mut stream = Prf::new([5; 16]).stream(0);
    for width in 1..=63 {
        for count in [0, 1, 63, 64, 200] {
            let mut public = stream.words::<u64>(count);
            let secret = stream.words::<u64>(count);
            for i in (0..count).step_by(2) {
                public[i] = secret[i].wrapping_add((i as u64 / 2 % 3).wrapping_sub(1));
            }
            check(width, &public, &secret, width as u8);
        }
    }
}
