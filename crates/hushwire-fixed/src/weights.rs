//! A network's parameters as integers of the program's ring.

use crate::program::{Linear, Op, Program};
use hushwire_graph::{ParamId, Params};
use hushwire_ring::{Ring, Word, conv2d_mod, gemm_mod};
use std::fmt;
use zeroize::Zeroize;

/// The secret integers of one operation.
struct Layer<W: Word> {
    /// Weights of a linear layer, or the constant of an addition.
    values: Vec<W>,
    /// One number per output channel, in units of the accumulator.
    bias: Option<Vec<W>>,
}

/// The integer parameters of every weighted operation of a program. Secret: not printed, wiped when
/// dropped.
pub struct Weights<W: Word> {
    layers: Vec<Option<Layer<W>>>,
}

impl<W: Word> fmt::Debug for Weights<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Weights({} layers)", self.layers.iter().flatten().count())
    }
}

impl<W: Word> Drop for Weights<W> {
    fn drop(&mut self) {
        for layer in self.layers.iter_mut().flatten() {
            layer.values.zeroize();
            layer.bias.zeroize();
        }
    }
}

impl<W: Word> Weights<W> {
    /// Rounds the parameters to the program's formats.
    pub fn quantise(program: &Program, params: &Params) -> Weights<W> {
        let round = |p: usize, factor: f64| -> Vec<W> {
            let scaled = |&x: &f32| W::from_i64((f64::from(x) * factor).round() as i64);
            params[ParamId(p)].data.iter().map(scaled).collect()
        };
        let layers = program.ops.iter().enumerate().map(|(i, op)| {
            let step = program.values[i].step;
            match op {
                Op::Linear(l) => Some(Layer {
                    values: round(l.weight.0, program.values[l.source].step / step),
                    bias: l.bias.map(|b| round(b.0, step.recip())),
                }),
                Op::AddParam { param, .. } => {
                    Some(Layer { values: round(param.0, step.recip()), bias: None })
                }
                _ => None,
            }
        });
        Weights { layers: layers.collect() }
    }

    /// The weights of linear layer `op`, or the constant of addition `op`.
    ///
    /// # Panics
    /// If the operation has no parameters: the caller walks the same program.
    pub fn values(&self, op: usize) -> &[W] {
        self.layers[op]
            .as_ref()
            .map_or_else(|| panic!("operation {op} has no weights"), |l| &l.values)
    }

    /// The bias of linear layer `op`, if it has one.
    pub fn bias(&self, op: usize) -> Option<&[W]> {
        self.layers[op].as_ref()?.bias.as_deref()
    }
}

/// Applies a linear layer, without bias, to a batch, modulo the ring: bits above it are garbage.
pub fn apply_linear<W: Word>(
    ring: Ring,
    linear: &Linear,
    batch: usize,
    weights: &[W],
    input: &[W],
) -> Vec<W> {
    let shape = &linear.shape;
    let mut out = vec![W::ZERO; batch * shape.output_len()];
    let one_pixel = shape.in_h * shape.in_w == 1 && shape.kernel == [1, 1] && shape.groups == 1;
    if one_pixel {
        let (inputs, outputs) = (shape.in_channels, shape.out_channels);
        gemm_mod(ring, batch, inputs, outputs, weights, input, &mut out);
    } else {
        conv2d_mod(ring, shape, batch, weights, input, &mut out);
    }
    out
}

/// Adds one number per output channel to a batch of a linear layer's outputs.
pub fn add_bias<W: Word>(linear: &Linear, bias: &[W], out: &mut [W]) {
    let map = linear.shape.out_h() * linear.shape.out_w();
    for (plane, &b) in out.chunks_exact_mut(map).zip(bias.iter().cycle()) {
        plane.iter_mut().for_each(|x| *x = x.wrapping_add(b));
    }
}

/// Adds a secret constant of `values` (each repeated `repeat` times) to every sample.
pub fn add_param<W: Word>(values: &[W], repeat: usize, data: &mut [W]) {
    for (chunk, &v) in data.chunks_exact_mut(repeat).zip(values.iter().cycle()) {
        chunk.iter_mut().for_each(|x| *x = x.wrapping_add(v));
    }
}
