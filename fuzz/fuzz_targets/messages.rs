//! Messages of the protocol whose lengths are public: packed words, bits, comparison material and
//! the upload of masked weights.

#![no_main]

use std::sync::LazyLock;

use hushwire_fss::digits::{Shape, Tables};
use hushwire_fss::{Prf, dcf, digits};
use hushwire_fuzz::{network, program};
use hushwire_mpc::{Comparison, Job, MaskedWeights};
use hushwire_ring::{Bits, pack, packed_len, unpack};
use libfuzzer_sys::fuzz_target;

static JOB: LazyLock<Job> = LazyLock::new(|| Job::new(program(&network()), 1, Comparison::Digits));

/// The first byte says what follows, the next two how wide and how many.
fn message(kind: u8, width: u8, count: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind, width, count], bytes].concat()
}

fn seeds() -> Vec<Vec<u8>> {
    let (p0, p1) = (Prf::new([1; 16]), Prf::new([2; 16]));
    let secret = [3, 1, 4, 1, 5];
    let shape = Shape::new(11).expect("the width is in range");
    let tables = digits::deal(shape, &mut p0.stream(0), &mut p1.stream(0), &secret);
    let keys = dcf::deal(11, &mut p0.stream(0), &mut p1.stream(0), &secret)
        .expect("the width is in range");
    let upload = vec![0; MaskedWeights::<u64>::message_len(&JOB)];
    vec![
        message(0, 17, 5, &[0; 11]),
        message(1, 0, 5, &[21]),
        message(2, 11, 5, &tables),
        message(3, 11, 5, &keys),
        message(4, 0, 0, &upload),
    ]
}

fuzz_target!(init: hushwire_fuzz::seed(seeds()), |data: &[u8]| {
    let &[kind, width, count, ref bytes @ ..] = data else { return };
    let (width, count) = (u32::from(width), usize::from(count));
    let mut own = Prf::new([2; 16]).stream(0);
    match kind {
        0 if (1..=64).contains(&width) => {
            let mut words = vec![0u64; count];
            if unpack(bytes, width, &mut words).is_ok() {
                // Packing is canonical: nothing else reads as the same words.
                let mut again = Vec::with_capacity(packed_len(count, width));
                pack(&words, width, &mut again);
                assert_eq!(again, bytes);
            }
        }
        1 => {
            if let Ok(bits) = Bits::from_bytes(count, bytes) {
                let mut again = Vec::new();
                bits.to_bytes(&mut again);
                assert_eq!(again, bytes);
            }
        }
        2 => {
            let Ok(shape) = Shape::new(width) else { return };
            let Ok(tables) = Tables::server(shape, count, &mut own, bytes) else { return };
            let _ = tables.look_up(&vec![0; count]);
        }
        3 => {
            let _ = dcf::Keys::server(width, count, &mut own, bytes);
        }
        _ => {
            if let Ok(masked) = MaskedWeights::<u64>::from_bytes(&JOB, bytes) {
                // What follows the last weight is the caller's to refuse.
                let again = masked.to_bytes(&JOB);
                assert_eq!(again, bytes[..again.len()]);
            }
        }
    }
});
