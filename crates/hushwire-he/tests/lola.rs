//! Operations of LoLa's layouts for networks with more layers than its own, by its rules.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use hushwire_he::Counts;

/// The first layer: the client sends one ciphertext for each weight of a window.
fn windows(weights: u64) -> Counts {
    Counts { plain_products: weights, additions: weights, ..squared(1) }
}

/// A layer that reads a whole vector of `period` slots, of which a ciphertext has `copies`: as many rows at
/// a time, each summed up by rotations, and squared where it is.
fn rows(rows: u64, period: u64, copies: u64) -> Counts {
    let ciphertexts = rows.div_ceil(copies);
    let rotations = ciphertexts * u64::from(period.ilog2());
    Counts {
        plain_products: ciphertexts,
        rotations,
        additions: rotations + ciphertexts,
        ..squared(ciphertexts)
    }
}

/// A layer that reads what [`rows`] has left, `copies` elements in each ciphertext: `reads` ciphertexts
/// for all of its rows together, whose sums are added up over the copies.
fn interleaved(rows: u64, reads: u64, copies: u64) -> Counts {
    let rotations = rows * u64::from(copies.ilog2());
    Counts { plain_products: reads, rotations, additions: reads + rotations, ..Counts::default() }
}

fn squared(ciphertexts: u64) -> Counts {
    Counts { products: ciphertexts, rescalings: ciphertexts, ..Counts::default() }
}

/// Rotations, products, plain products, rescalings and additions.
fn numbers(c: Counts) -> [u64; 5] {
    [c.rotations, c.products, c.plain_products, c.rescalings, c.additions]
}

#[test]
fn the_rules_are_those_of_the_program_for_mnist() {
    // The same numbers as in `layouts`, where the program is built and runs.
    assert_eq!(numbers(windows(25)), [0, 1, 25, 1, 25]);
    assert_eq!(numbers(rows(100, 1024, 8)), [130, 13, 13, 13, 143]);
    assert_eq!(numbers(interleaved(10, 10 * 13, 8)), [30, 0, 130, 0, 160]);
}

#[test]
fn three_convolutions_of_the_cifar_10_network() {
    // 5 x 5 of stride 2 to 32 x 16 x 16; 4 x 4 of stride 2 to 64 x 8 x 8; 3 x 3 to 128 x 8 x 8; means
    // over 2 x 2 and 10 rows. 16,384 slots have 8,192 elements twice, and neighbours of a row of
    // pixels share a ciphertext of the second layer: 14 in all columns and 22 in all rows of pixels.
    let layers = [
        windows(5 * 5 * 3),
        rows(64 * 8 * 8, 8192, 2),
        interleaved(128 * 8 * 8, 128 * 64 * 14 * 22, 2) + squared(128 * 8 * 8),
        interleaved(10, 10 * 128 * 8 * 8, 1),
    ];
    let expected = [
        [0, 1, 75, 1, 75],
        [26_624, 2048, 2048, 2048, 28_672],
        [8192, 8192, 2_523_136, 8192, 2_531_328],
        [0, 0, 81_920, 0, 81_920],
    ];
    assert_eq!(layers.map(numbers), expected);
    let all = layers.into_iter().fold(Counts::default(), |sum, layer| sum + layer);
    assert_eq!((all.rotations, all.total()), (34_816, 5_304_472));
}
