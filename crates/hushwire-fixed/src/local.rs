//! Public linear operations on one party's part of a value.
//!
//! Arithmetic wraps in the machine word, of which the ring's bits are the low ones.

use crate::program::{FILL, Local, PoolShape, Tap, ValueId};
use hushwire_ring::Word;

/// Applies `local` to a batch.
///
/// `value` gives a party's part of a source (`batch` samples), `lens` its length per sample.
/// `constants` says whether this party adds public constants: exactly one holder of parts does (the
/// server; the clear executor, which holds everything, does too).
pub fn apply<'a, W: Word>(
    local: &Local,
    batch: usize,
    len: usize,
    constants: bool,
    value: impl Fn(ValueId) -> &'a [W],
    lens: impl Fn(ValueId) -> usize,
) -> Vec<W> {
    match local {
        Local::Combine { terms, constant } => {
            let start = if constants { W::from_i64(*constant) } else { W::ZERO };
            let mut out = vec![start; batch * len];
            for &(id, factor) in terms {
                accumulate(&mut out, value(id), factor);
            }
            out
        }
        Local::Gather { sources, map, fill } => {
            let fill = if constants { W::from_i64(*fill) } else { W::ZERO };
            let parts: Vec<_> = sources.iter().map(|&s| (value(s), lens(s))).collect();
            gather(&parts, map, fill, batch)
        }
        Local::SumPool { source, shape } => {
            let map = shape.input[0] * shape.input[1];
            let mut out = Vec::with_capacity(batch * len);
            for plane in value(*source).chunks_exact(map) {
                sum_windows(shape, plane, &mut out);
            }
            out
        }
        Local::Scale { source, factors } => value(*source)
            .chunks_exact(len)
            .flat_map(|sample| {
                sample.iter().zip(factors).map(|(&x, &k)| x.wrapping_mul(W::from_i64(k)))
            })
            .collect(),
        Local::Interpolate { source, channels: _, input, rows, columns } => {
            let mut out = Vec::with_capacity(batch * len);
            for plane in value(*source).chunks_exact(input[0] * input[1]) {
                interpolate(plane, input[1], rows, columns, &mut out);
            }
            out
        }
    }
}

fn accumulate<W: Word>(out: &mut [W], x: &[W], factor: i64) {
    // The common factors are 1 and -1; a product would cost a 64-bit multiplication each.
    match factor {
        1 => out.iter_mut().zip(x).for_each(|(o, &x)| *o = o.wrapping_add(x)),
        -1 => out.iter_mut().zip(x).for_each(|(o, &x)| *o = o.wrapping_sub(x)),
        _ => {
            let k = W::from_i64(factor);
            out.iter_mut().zip(x).for_each(|(o, &x)| *o = o.wrapping_add(x.wrapping_mul(k)));
        }
    }
}

fn gather<W: Word>(parts: &[(&[W], usize)], map: &[u32], fill: W, batch: usize) -> Vec<W> {
    let mut out = Vec::with_capacity(batch * map.len());
    if let [(source, len)] = parts {
        for sample in source.chunks_exact(*len) {
            out.extend(map.iter().map(|&i| if i == FILL { fill } else { sample[i as usize] }));
        }
        return out;
    }
    let total = parts.iter().map(|(_, len)| len).sum();
    let mut joined = Vec::with_capacity(total);
    for n in 0..batch {
        joined.clear();
        for (source, len) in parts {
            joined.extend_from_slice(&source[n * len..(n + 1) * len]);
        }
        out.extend(map.iter().map(|&i| if i == FILL { fill } else { joined[i as usize] }));
    }
    out
}

fn sum_windows<W: Word>(shape: &PoolShape, plane: &[W], out: &mut Vec<W>) {
    let [height, width] = shape.input;
    // The part of a window that lies on the map.
    let span = |o: usize, axis: usize, size: usize| {
        let start = o * shape.stride[axis];
        let first = start.saturating_sub(shape.before[axis]);
        let end = (start + shape.kernel[axis]).saturating_sub(shape.before[axis]).min(size);
        first.min(end)..end
    };
    for oy in 0..shape.output[0] {
        for ox in 0..shape.output[1] {
            let columns = span(ox, 1, width);
            let mut sum = W::ZERO;
            for y in span(oy, 0, height) {
                for &x in &plane[y * width..][columns.clone()] {
                    sum = sum.wrapping_add(x);
                }
            }
            out.push(sum);
        }
    }
}

fn interpolate<W: Word>(
    plane: &[W],
    width: usize,
    rows: &[Tap],
    columns: &[Tap],
    out: &mut Vec<W>,
) {
    let mut blended = vec![W::ZERO; width];
    for row in rows {
        let (a, b) = (&plane[row.at as usize * width..], &plane[row.next as usize * width..]);
        let (wa, wb) = (W::from_u64(row.weight.into()), W::from_u64(row.next_weight.into()));
        for ((o, &a), &b) in blended.iter_mut().zip(a).zip(b) {
            *o = a.wrapping_mul(wa).wrapping_add(b.wrapping_mul(wb));
        }
        out.extend(columns.iter().map(|t| {
            let (a, b) = (blended[t.at as usize], blended[t.next as usize]);
            a.wrapping_mul(W::from_u64(t.weight.into()))
                .wrapping_add(b.wrapping_mul(W::from_u64(t.next_weight.into())))
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(local: &Local, batch: usize, len: usize, sources: &[(&[u32], usize)]) -> Vec<u32> {
        apply(local, batch, len, true, |v| sources[v].0, |v| sources[v].1)
    }

    #[test]
    fn combine_adds_multiples_and_the_constant() {
        let local = Local::Combine { terms: vec![(0, 1), (1, -1), (0, 3)], constant: -2 };
        let out = run(&local, 1, 2, &[(&[5, 7], 2), (&[1, 2], 2)]);
        assert_eq!(out, [5 - 1 + 15 - 2, 7 - 2 + 21 - 2]);
    }

    #[test]
    fn gather_concatenates_per_sample() {
        let local = Local::Gather { sources: vec![0, 1], map: vec![2, FILL, 0], fill: 9 };
        let out = run(&local, 2, 3, &[(&[1, 2, 3, 4], 2), (&[10, 20], 1)]);
        assert_eq!(out, [10, 9, 1, 20, 9, 3]);
    }

    #[test]
    fn sum_pool_ignores_what_lies_off_the_map() {
        let shape = PoolShape {
            channels: 1,
            input: [3, 3],
            kernel: [2, 2],
            stride: [2, 2],
            before: [1, 1],
            output: [2, 2],
        };
        let out =
            run(&Local::SumPool { source: 0, shape }, 1, 4, &[(&[1, 2, 3, 4, 5, 6, 7, 8, 9], 9)]);
        assert_eq!(out, [1, 2 + 3, 4 + 7, 5 + 6 + 8 + 9]);
    }

    #[test]
    fn interpolation_weighs_two_neighbours_on_each_axis() {
        let tap = |at, next, weight| Tap { at, next, weight, next_weight: 2 - weight };
        let taps = vec![tap(0, 0, 2), tap(0, 1, 1), tap(1, 1, 2)];
        let local = Local::Interpolate {
            source: 0,
            channels: 1,
            input: [2, 2],
            rows: taps.clone(),
            columns: taps,
        };
        let out = run(&local, 1, 9, &[(&[0, 4, 8, 12], 4)]);
        assert_eq!(out, [0, 8, 16, 16, 24, 32, 32, 40, 48]);
    }
}
