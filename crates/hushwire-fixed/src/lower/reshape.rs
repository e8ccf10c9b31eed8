//! Operations that only move elements, and resizing.

use super::builder::Builder;
use crate::program::{FILL, Local, Op as Step, Tap, ValueId};
use hushwire_graph::{Interpolation, Node, Op, Resize};

/// Bits of interpolation weights where fewer are not exact.
const TAP_BITS: u32 = 8;

/// Lowers a concatenation, pad, slice or transposition to a selection of elements.
pub(super) fn lower(build: &mut Builder, node: &Node, inputs: &[(ValueId, &[usize])]) -> ValueId {
    let values: Vec<ValueId> = inputs.iter().map(|i| i.0).collect();
    let (factors, step) = build.align(&values);
    let sources: Vec<ValueId> = values
        .iter()
        .zip(factors)
        .map(|(&v, k)| build.combine(&node.name, vec![(v, k)], 0, step))
        .collect();
    let dims = &node.shape.0;
    let (mut map, mut fill) = (Vec::with_capacity(node.shape.len()), 0);
    let input = inputs[0].1;
    for_each_index(dims, |at| {
        map.push(match &node.op {
            Op::Concat { axis } => concatenated(at, *axis, inputs),
            Op::Pad { before, .. } => {
                let inside = at
                    .iter()
                    .zip(before)
                    .zip(input)
                    .all(|((&i, &b), &size)| i >= b && i - b < size);
                if inside { flat(at.iter().zip(before).map(|(i, b)| i - b), input) } else { FILL }
            }
            Op::Slice { start, step, .. } => {
                flat(at.iter().zip(start).zip(step).map(|((i, s), k)| s + i * k), input)
            }
            Op::Transpose { perm } => {
                let mut source = vec![0; perm.len()];
                perm.iter().zip(at).for_each(|(&p, &i)| source[p] = i);
                flat(source.into_iter(), input)
            }
            other => unreachable!("{} does not only move elements", other.kind()),
        });
    });
    if let Op::Pad { value, .. } = &node.op {
        fill = (f64::from(*value) / step).round() as i64;
    }
    build.gather(&node.name, sources, map, fill, step)
}

fn concatenated(at: &[usize], axis: usize, inputs: &[(ValueId, &[usize])]) -> u32 {
    let (mut base, mut along) = (0, at[axis]);
    for (_, dims) in inputs {
        if along < dims[axis] {
            let inner = at.iter().enumerate().map(|(a, &i)| if a == axis { along } else { i });
            return base + flat(inner, dims);
        }
        along -= dims[axis];
        base += dims.iter().product::<usize>() as u32;
    }
    unreachable!("the graph's shapes were checked: the parts fill the axis")
}

/// Row-major index.
fn flat(at: impl Iterator<Item = usize>, dims: &[usize]) -> u32 {
    at.zip(dims).fold(0, |index, (i, size)| index * size + i) as u32
}

/// Calls `visit` with every multi-index of a tensor in row-major order.
fn for_each_index(dims: &[usize], mut visit: impl FnMut(&[usize])) {
    let mut at = vec![0; dims.len()];
    for _ in 0..dims.iter().product::<usize>() {
        visit(&at);
        for axis in (0..dims.len()).rev() {
            at[axis] += 1;
            if at[axis] < dims[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
}

/// Lowers spatial resampling.
pub(super) fn resize(
    build: &mut Builder,
    node: &Node,
    resize: &Resize,
    source: ValueId,
    dims: [usize; 3],
) -> ValueId {
    let [channels, height, width] = dims;
    let output = [node.shape.0[1], node.shape.0[2]];
    let taps = |axis: usize| resize.taps(axis, dims[axis + 1], output[axis]);
    let (rows, columns) = (taps(0), taps(1));
    let step = build.step(source);
    if let Interpolation::Nearest(_) = resize.interpolation {
        let map = (0..channels)
            .flat_map(|c| {
                let columns = &columns;
                rows.iter().flat_map(move |r| {
                    columns.iter().map(move |t| ((c * height + r.first) * width + t.first) as u32)
                })
            })
            .collect();
        return build.gather(&node.name, vec![source], map, 0, step);
    }
    let bits = (0..=TAP_BITS)
        .find(|&bits| rows.iter().chain(&columns).all(|t| exact(f64::from(t.weight), bits)))
        .unwrap_or(TAP_BITS);
    let quantise = |axis: usize| -> Vec<Tap> {
        taps(axis)
            .iter()
            .map(|t| {
                let next_weight = (f64::from(t.weight) * f64::from(1u32 << bits)).round() as u32;
                let weight = (1 << bits) - next_weight;
                Tap { at: t.first as u32, next: t.second as u32, weight, next_weight }
            })
            .collect()
    };
    let op = Step::Local(Local::Interpolate {
        source,
        channels,
        input: [height, width],
        rows: quantise(0),
        columns: quantise(1),
    });
    build.push(&node.name, op, node.shape.len(), step / f64::from(1u32 << (2 * bits)))
}

/// Whether a weight is a multiple of 2^-bits, up to the rounding of single precision.
fn exact(weight: f64, bits: u32) -> bool {
    let scaled = weight * f64::from(1u32 << bits);
    (scaled - scaled.round()).abs() < 1e-4
}
