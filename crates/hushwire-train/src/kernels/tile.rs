//! The two register tiles that all convolutions come down to, for whichever instruction set the
//! machine has ([pulp] chooses at run time). Convolutions are what training spends its time on.

use bytemuck::cast_slice;
use pulp::{Arch, Simd, WithSimd};

/// Lanes of the widest vector: widths are multiples of it, whatever the machine.
pub(super) const LANES: usize = 16;

/// Rows of weights that [`correlate`] computes at a time; packed weights come in panels of them.
pub(super) fn panel_rows() -> usize {
    struct Rows;
    impl WithSimd for Rows {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            if S::REGISTER_COUNT >= 32 { 8 } else { 4 }
        }
    }
    Arch::new().dispatch(Rows)
}

/// One panel of correlations with shifted copies of the input:
/// `out[r * width + q] = sum over k of panel[k * rows + r] * input[offsets[k] + q]`.
///
/// # Panics
/// If `rows` is none of 1, 2, 4, 8, `width` no multiple of [`LANES`], or an element lies outside
/// its slice.
pub(super) fn correlate(
    rows: usize,
    panel: &[f32],
    offsets: &[u32],
    input: &[f32],
    width: usize,
    out: &mut [f32],
) {
    assert!(width.is_multiple_of(LANES), "whole vectors");
    let kernel = Correlate { panel, offsets, input, width, out };
    let arch = Arch::new();
    match rows {
        8 => arch.dispatch(Rows::<8>(kernel)),
        4 => arch.dispatch(Rows::<4>(kernel)),
        2 => arch.dispatch(Rows::<2>(kernel)),
        1 => arch.dispatch(Rows::<1>(kernel)),
        other => unreachable!("panels have 1, 2, 4 or 8 rows, not {other}"),
    }
}

struct Correlate<'a> {
    panel: &'a [f32],
    offsets: &'a [u32],
    input: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

struct Rows<'a, const R: usize>(Correlate<'a>);

impl<const R: usize> WithSimd for Rows<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = self.0.width;
        let mut q = 0;
        while q + 3 * S::F32_LANES <= width {
            self.tile::<S, 3>(simd, q);
            q += 3 * S::F32_LANES;
        }
        if q + 2 * S::F32_LANES <= width {
            self.tile::<S, 2>(simd, q);
        } else if q < width {
            self.tile::<S, 1>(simd, q);
        }
    }
}

impl<const R: usize> Rows<'_, R> {
    /// `R` rows by `V` vectors from column `q`, the sums in registers.
    #[inline(always)]
    fn tile<S: Simd, const V: usize>(&mut self, simd: S, q: usize) {
        let Correlate { panel, offsets, input, width, ref mut out } = self.0;
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for (&offset, weights) in offsets.iter().zip(panel.as_chunks::<R>().0) {
            let from = offset as usize + q;
            let x: &[S::f32s] = cast_slice(&input[from..from + V * S::F32_LANES]);
            let x: &[S::f32s; V] = x.try_into().unwrap_or_else(|_| unreachable!("V vectors"));
            for (sums, &weight) in sums.iter_mut().zip(weights) {
                let weight = simd.splat_f32s(weight);
                for (sum, &x) in sums.iter_mut().zip(x) {
                    *sum = simd.mul_add_f32s(weight, x, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let to = r * width + q;
            out[to..to + V * S::F32_LANES].copy_from_slice(cast_slice(sums));
        }
    }
}

/// Most rows and shifts that [`outer`] takes at a time.
pub(super) const OUTER: [usize; 2] = [4, 6];

/// Correlations of rows with shifted copies of the input, over several samples:
/// `sums[t][o] += sum over s, q of g[s * g_stride + rows[o] + q] * x[s * x_stride + shifts[t] + q]`
/// for `o < rows.len()`, `t < shifts.len()`, `q < width`.
///
/// # Panics
/// If there are more rows or shifts than [`OUTER`], `width` is no multiple of [`LANES`], or an
/// element lies outside its slice.
pub(super) fn outer(
    samples: usize,
    rows: &[usize],
    shifts: &[u32],
    (g, g_stride): (&[f32], usize),
    (x, x_stride): (&[f32], usize),
    width: usize,
    sums: &mut [[f32; OUTER[0]]; OUTER[1]],
) {
    assert!(width.is_multiple_of(LANES) && samples > 0, "whole vectors of some samples");
    let last = |stride: usize, start: usize| (samples - 1) * stride + start + width;
    assert!(rows.iter().all(|row| last(g_stride, *row) <= g.len()), "rows end within the slice");
    let inside = shifts.iter().all(|shift| last(x_stride, *shift as usize) <= x.len());
    assert!(inside, "shifts end within the slice");
    let kernel = Outer { samples, g, g_stride, x, x_stride, width };
    let (mut o, most) = (0, panel_rows() / 2);
    while o < rows.len() {
        let left = rows.len() - o;
        let count = if left >= 4 && most >= 4 { 4 } else { left.min(2) };
        match count {
            4 => kernel.rows::<4>(rows, o, shifts, sums),
            2 => kernel.rows::<2>(rows, o, shifts, sums),
            _ => kernel.rows::<1>(rows, o, shifts, sums),
        }
        o += count;
    }
}

#[derive(Clone, Copy)]
struct Outer<'a> {
    samples: usize,
    g: &'a [f32],
    g_stride: usize,
    x: &'a [f32],
    x_stride: usize,
    width: usize,
}

impl Outer<'_> {
    fn rows<const O: usize>(
        self,
        rows: &[usize],
        o: usize,
        shifts: &[u32],
        sums: &mut [[f32; OUTER[0]]; OUTER[1]],
    ) {
        let rows: [usize; O] = std::array::from_fn(|i| rows[o + i]);
        let mut t = 0;
        while t < shifts.len() {
            match shifts.len() - t {
                6.. => t += self.tile::<O, 6>(rows, o, shifts, t, sums),
                3.. => t += self.tile::<O, 3>(rows, o, shifts, t, sums),
                _ => t += self.tile::<O, 1>(rows, o, shifts, t, sums),
            }
        }
    }

    fn tile<const O: usize, const T: usize>(
        self,
        rows: [usize; O],
        o: usize,
        shifts: &[u32],
        t: usize,
        sums: &mut [[f32; OUTER[0]]; OUTER[1]],
    ) -> usize {
        let shifts: [usize; T] = std::array::from_fn(|i| shifts[t + i] as usize);
        let tile = Arch::new().dispatch(OuterTile { outer: self, rows, shifts });
        for (sums, tile) in sums[t..].iter_mut().zip(tile) {
            sums[o..].iter_mut().zip(tile).for_each(|(sum, x)| *sum += x);
        }
        T
    }
}

/// `O` rows by `T` shifts, the sums in registers; all elements are known to lie in their slices.
struct OuterTile<'a, const O: usize, const T: usize> {
    outer: Outer<'a>,
    rows: [usize; O],
    shifts: [usize; T],
}

impl<const O: usize, const T: usize> WithSimd for OuterTile<'_, O, T> {
    type Output = [[f32; O]; T];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [[f32; O]; T] {
        let Outer { samples, g, g_stride, x, x_stride, width } = self.outer;
        let mut sums = [[simd.splat_f32s(0.0); O]; T];
        // Loops, no closures: what is not inlined here is not compiled for the instruction set.
        for s in 0..samples {
            let mut from_g = [g.as_ptr(); O];
            for (from, row) in from_g.iter_mut().zip(self.rows) {
                *from = g[s * g_stride + row..].as_ptr();
            }
            let mut from_x = [x.as_ptr(); T];
            for (from, shift) in from_x.iter_mut().zip(self.shifts) {
                *from = x[s * x_stride + shift..].as_ptr();
            }
            for q in (0..width).step_by(S::F32_LANES) {
                #[expect(unsafe_code, reason = "loads without a check of bounds for each")]
                // SAFETY: `outer` found `width` elements, a multiple of the lanes of every
                // instruction set, from the start of each row and shift of each sample; `q` is a
                // multiple of the lanes below `width`.
                unsafe {
                    let mut g = [simd.splat_f32s(0.0); O];
                    for (g, from) in g.iter_mut().zip(from_g) {
                        *g = from.add(q).cast::<S::f32s>().read_unaligned();
                    }
                    for (sums, from) in sums.iter_mut().zip(from_x) {
                        let x = from.add(q).cast::<S::f32s>().read_unaligned();
                        for (sum, &g) in sums.iter_mut().zip(&g) {
                            *sum = simd.mul_add_f32s(g, x, *sum);
                        }
                    }
                }
            }
        }
        let mut totals = [[0.0; O]; T];
        for (totals, sums) in totals.iter_mut().zip(sums) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = simd.reduce_sum_f32s(sum);
            }
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + seed * 101) % 64) as f32 - 31.5).collect()
    }

    #[test]
    fn correlations_are_sums_over_shifts() {
        for rows in [1, 2, 4, 8] {
            for width in [16, 32, 48, 80] {
                let offsets = [0, 5, 1, 40, 17];
                let (panel, input) = (noise(rows * offsets.len(), 1), noise(40 + width, 2));
                let mut out = vec![f32::NAN; rows * width];
                correlate(rows, &panel, &offsets, &input, width, &mut out);
                for r in 0..rows {
                    for q in 0..width {
                        let terms = offsets.iter().enumerate();
                        // Small multiples of a quarter: exact in any order.
                        let sum: f32 =
                            terms.map(|(k, &o)| panel[k * rows + r] * input[o as usize + q]).sum();
                        assert_eq!(out[r * width + q], sum, "{rows} rows, width {width}");
                    }
                }
            }
        }
    }

    #[test]
    fn outer_products_are_sums_over_samples_and_positions() {
        let (samples, width) = (3, 48);
        let (g, x) = (noise(3 * 300, 3), noise(3 * 200, 4));
        for o in 1..=OUTER[0] {
            for t in 1..=OUTER[1] {
                let rows: Vec<usize> = (0..o).map(|i| i * 61).collect();
                let offsets: Vec<u32> = (0..t as u32).map(|i| i * 23 + i % 2).collect();
                let mut sums = [[0.25; OUTER[0]]; OUTER[1]];
                outer(samples, &rows, &offsets, (&g, 300), (&x, 200), width, &mut sums);
                for i in 0..OUTER[0] {
                    for j in 0..OUTER[1] {
                        let mut sum = 0.25;
                        if i < o && j < t {
                            for s in 0..samples {
                                for q in 0..width {
                                    let x = x[s * 200 + offsets[j] as usize + q];
                                    sum += g[s * 300 + rows[i] + q] * x;
                                }
                            }
                        }
                        assert_eq!(sums[j][i], sum, "{o} x {t}");
                    }
                }
            }
        }
    }
}
