//! Pooling.

use super::builder::Builder;
use crate::program::{Function, Local, Members, Op, PoolShape, ValueId};
use hushwire_graph::{Node, Pool};
use hushwire_plan::Format;

/// Bits of the factors that make averages over cut windows comparable.
const DIVISOR_BITS: u32 = 8;

impl Builder {
    /// Means over windows: sums, with the divisor in the scale.
    pub(super) fn average_pool(
        &mut self,
        node: &Node,
        source: ValueId,
        dims: [usize; 3],
        pool: &Pool,
    ) -> ValueId {
        let [channels, height, width] = dims;
        let output = [node.shape.0[1], node.shape.0[2]];
        let shape = PoolShape {
            channels,
            input: [height, width],
            kernel: pool.kernel,
            stride: pool.stride,
            before: [pool.pads[0], pool.pads[1]],
            output,
        };
        let area = pool.kernel[0] * pool.kernel[1];
        let step = self.step(source) / area as f64;
        let counts: Vec<usize> = (0..output[0])
            .flat_map(|y| (0..output[1]).map(move |x| (y, x)))
            .map(|(y, x)| {
                let rows = covered(y, pool, 0, height);
                let columns = covered(x, pool, 1, width);
                rows * columns
            })
            .collect();
        let op = Op::Local(Local::SumPool { source, shape });
        let sum = self.push(&node.name, op, node.shape.len(), step);
        if counts.iter().all(|&n| n == area) {
            return sum;
        }
        let unit = f64::from(1u32 << DIVISOR_BITS);
        let factor = |n: &usize| (area as f64 / *n as f64 * unit).round() as i64;
        let plane: Vec<i64> = counts.iter().map(factor).collect();
        let factors = plane.repeat(channels);
        let op = Op::Local(Local::Scale { source: sum, factors });
        self.push(&node.name, op, node.shape.len(), step / unit)
    }

    /// Maxima over windows: max(a, b) = b + relu(a - b), along rows, then along columns.
    ///
    /// Where a window overhangs the map, the nearest element of it that is on the map stands in:
    /// an element twice in a maximum changes nothing.
    pub(super) fn max_pool(
        &mut self,
        node: &Node,
        source: ValueId,
        dims: [usize; 3],
        pool: &Pool,
        format: Format,
    ) -> Result<ValueId, String> {
        let [channels, height, width] = dims;
        let (out_h, out_w) = (node.shape.0[1], node.shape.0[2]);
        let step = self.step(source);
        let mut view =
            |offset: &dyn Fn(usize, usize) -> usize, value, rows: usize, planes: usize| {
                let map = (0..channels)
                    .flat_map(|c| {
                        (0..rows).flat_map(move |y| {
                            (0..out_w).map(move |x| (c * planes + offset(y, x)) as u32)
                        })
                    })
                    .collect();
                self.gather(&node.name, vec![value], map, 0, step)
            };
        let columns: Vec<ValueId> = (0..pool.kernel[1])
            .map(|j| {
                let at = |y: usize, x: usize| y * width + clamped(x, j, pool, 1, width);
                view(&at, source, height, height * width)
            })
            .collect();
        let across = self.maximum(node, columns, format)?;
        let step = self.step(across);
        let mut rows = Vec::with_capacity(pool.kernel[0]);
        for i in 0..pool.kernel[0] {
            let map = (0..channels)
                .flat_map(|c| {
                    (0..out_h).flat_map(move |y| {
                        let row = c * height + clamped(y, i, pool, 0, height);
                        (0..out_w).map(move |x| (row * out_w + x) as u32)
                    })
                })
                .collect();
            rows.push(self.gather(&node.name, vec![across], map, 0, step));
        }
        self.maximum(node, rows, format)
    }

    /// The maximum of equally long values by a tournament; the pairs of a level share one gate
    /// operation, so a level is one gate's rounds.
    fn maximum(
        &mut self,
        node: &Node,
        mut values: Vec<ValueId>,
        format: Format,
    ) -> Result<ValueId, String> {
        let name = &node.name;
        while values.len() > 1 {
            let len = self.len(values[0]);
            let odd = if values.len() % 2 == 1 { values.pop() } else { None };
            let pairs: Vec<(ValueId, ValueId)> =
                values.chunks_exact(2).map(|p| (p[0], p[1])).collect();
            let differences: Vec<_> =
                pairs.iter().map(|&(a, b)| self.sum(name, &[(a, 1), (b, -1)])).collect();
            let step = self.step(differences[0]);
            let all = (0..(len * pairs.len()) as u32).collect();
            let joined = match differences.as_slice() {
                [one] => *one,
                _ => self.gather(name, differences, all, 0, step),
            };
            let relu = self.gate(name, joined, format, |_| Function::Relu, Members::Each)?;
            let step = self.step(relu);
            values = Vec::with_capacity(pairs.len() + 1);
            for (i, (_, b)) in pairs.iter().enumerate() {
                let part = if pairs.len() == 1 {
                    relu
                } else {
                    let map = (i * len..(i + 1) * len).map(|e| e as u32).collect();
                    self.gather(name, vec![relu], map, 0, step)
                };
                values.push(self.sum(name, &[(*b, 1), (part, 1)]));
            }
            values.extend(odd);
        }
        Ok(values[0])
    }
}

/// First and last index on the map of window `o` along an axis.
fn span(o: usize, pool: &Pool, axis: usize, size: usize) -> (usize, usize) {
    let start = o * pool.stride[axis];
    let before = pool.pads[axis];
    let last = (start + pool.kernel[axis] - 1).saturating_sub(before).min(size - 1);
    (start.saturating_sub(before).min(last), last)
}

/// The index on the map of element `k` of window `o`, moved to the nearest that is on the map.
fn clamped(o: usize, k: usize, pool: &Pool, axis: usize, size: usize) -> usize {
    let (first, last) = span(o, pool, axis, size);
    (o * pool.stride[axis] + k).saturating_sub(pool.pads[axis]).clamp(first, last)
}

/// How many elements along an axis an average divides by.
fn covered(o: usize, pool: &Pool, axis: usize, size: usize) -> usize {
    if pool.count_include_pad {
        return pool.kernel[axis];
    }
    let (first, last) = span(o, pool, axis, size);
    last + 1 - first
}
