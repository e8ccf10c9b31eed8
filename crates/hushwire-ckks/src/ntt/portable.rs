//! The transform in plain integers.

use super::{Exit, GROUP, NttTable};

/// Values at the roots, unreduced words, from coefficients to which `offset` is added.
pub(super) fn forward(table: &NttTable, x: &mut [u64], offset: u64) {
    let m = &table.modulus;
    x.iter_mut().for_each(|x| *x += offset);
    let mut half = table.n / 2;
    let mut node = 1;
    while half > 0 {
        for block in x.chunks_exact_mut(2 * half) {
            let (left, right) = block.split_at_mut(half);
            let w = table.twiddles[node];
            node += 1;
            for (x, y) in left.iter_mut().zip(right) {
                let t = m.mul_lazy(*y, w);
                let u = if table.lazy { *x } else { (*x).min(x.wrapping_sub(2 * m.q)) };
                *x = u + t;
                *y = u + 2 * m.q - t;
            }
        }
        half /= 2;
    }
    for group in x.as_chunks_mut::<16>().0 {
        *group = GROUP.map(|from| group[from]);
    }
}

/// Coefficients from values at the roots, both reduced.
pub(super) fn inverse(table: &NttTable, x: &mut [u64], exit: &Exit) {
    assert_eq!(x.len(), table.n, "length of a transform");
    let m = &table.modulus;
    for group in x.as_chunks_mut::<16>().0 {
        let stored = *group;
        for (value, place) in stored.into_iter().zip(GROUP) {
            group[place] = value;
        }
    }
    let mut half = 1;
    while half < table.n / 2 {
        for (i, block) in x.chunks_exact_mut(2 * half).enumerate() {
            let (left, right) = block.split_at_mut(half);
            let w = table.inverses[table.n / (2 * half) + i];
            for (x, y) in left.iter_mut().zip(right) {
                let (sum, difference) = (*x + *y, *x + 2 * m.q - *y);
                *x = sum.min(sum.wrapping_sub(2 * m.q));
                *y = m.mul_lazy(difference, w);
            }
        }
        half *= 2;
    }
    let (left, right) = x.split_at_mut(half);
    for (x, y) in left.iter_mut().zip(right) {
        let (sum, difference) = (*x + *y, *x + 2 * m.q - *y);
        *x = m.add(m.mul_factor(sum, exit.sum), exit.half);
        *y = m.add(m.mul_factor(difference, exit.difference), exit.half);
    }
}
