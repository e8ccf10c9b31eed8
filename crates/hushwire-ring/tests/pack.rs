//! Packing at every width.

use hushwire_ring::{PackError, Word, pack, pack_into, packed_len, unpack};
use proptest::prelude::*;

/// Bit by bit, as the format says.
fn reference<W: Word>(values: &[W], bits: u32) -> Vec<u8> {
    let mut out = vec![0; packed_len(values.len(), bits)];
    for (i, value) in values.iter().enumerate() {
        for j in 0..bits {
            let at = i * bits as usize + j as usize;
            out[at / 8] |= ((value.to_u64() >> j & 1) as u8) << (at % 8);
        }
    }
    out
}

fn check<W: Word>(values: &[u64], prefix: &[u8]) {
    let values: Vec<W> = values.iter().map(|&v| W::from_u64(v)).collect();
    for bits in 1..=W::BITS {
        let mut bytes = prefix.to_vec();
        pack(&values, bits, &mut bytes);
        let (head, body) = bytes.split_at(prefix.len());
        assert_eq!(head, prefix);
        assert_eq!(body, reference(&values, bits), "{bits} bits");

        let (first, second) = values.split_at(values.len() / 16 * 8);
        let mut parts = vec![0xa5; body.len()];
        let (head, tail) = parts.split_at_mut(packed_len(first.len(), bits));
        pack_into(first, bits, head);
        pack_into(second, bits, tail);
        assert_eq!(body, parts, "{bits} bits, in two parts");

        let mut read = vec![W::ZERO; values.len()];
        assert_eq!(unpack(body, bits, &mut read), Ok(()));
        let mask = W::from_u64(u64::MAX >> (64 - bits));
        assert!(read.iter().zip(&values).all(|(r, v)| *r == v.and(mask)), "{bits} bits");

        let mut longer = body.to_vec();
        longer.push(0);
        let got = longer.len();
        assert_eq!(
            unpack(&longer, bits, &mut read),
            Err(PackError::Length { expected: got - 1, got })
        );
        if !(values.len() * bits as usize).is_multiple_of(8) {
            let mut padded = body.to_vec();
            *padded.last_mut().expect("not empty") |= 0x80;
            assert_eq!(unpack(&padded, bits, &mut read), Err(PackError::Padding));
        }
    }
    let mut read = vec![W::ZERO; 1];
    for bits in [0, W::BITS + 1] {
        assert_eq!(unpack(&[0], bits, &mut read), Err(PackError::Width { bits, word: W::BITS }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_width_round_trips(
        values in proptest::collection::vec(any::<u64>(), 0..150),
        prefix in proptest::collection::vec(any::<u8>(), 0..9),
    ) {
        check::<u32>(&values, &prefix);
        check::<u64>(&values, &prefix);
    }

    #[test]
    fn any_bytes_are_refused_or_read(
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
        bits in 0..70_u32,
        count in 0..60_usize,
    ) {
        let mut values = vec![0_u64; count];
        if unpack(&bytes, bits, &mut values).is_ok() {
            let mut again = vec![];
            pack(&values, bits, &mut again);
            prop_assert_eq!(again, bytes);
        }
    }
}
