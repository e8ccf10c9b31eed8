//! The float executor: the reference for every other way of running a graph.

mod conv;
mod elementwise;
pub(crate) mod gemm;
mod movement;
mod pool;
mod resize;

use rayon::prelude::*;

use crate::{ExecError, Model, Node, NodeId, Op, Tensor};

/// Runs a model in floating point. Intermediate values live until their last reader is done.
pub struct Executor<'m> {
    model: &'m Model,
    /// For each node the last node that reads it; itself if none does.
    last_reader: Vec<NodeId>,
    /// Elements per sample of the largest value.
    largest: usize,
}

/// Elements of the largest value when nobody watches: then a batch is run in parts, so that what
/// one node writes is still in the cache when the next one reads it.
const PART: usize = 1 << 19;

/// Buffers of values no longer needed, to be written over.
#[derive(Default)]
struct Spare(Vec<Vec<f32>>);

impl Spare {
    /// A tensor of this shape with any contents.
    fn take(&mut self, shape: Vec<usize>) -> Tensor {
        let len = shape.iter().product();
        let fitting = self.0.iter().position(|buffer| buffer.capacity() >= len);
        let mut data = fitting.map(|i| self.0.swap_remove(i)).unwrap_or_default();
        data.resize(len, 0.0);
        Tensor { shape, data }
    }

    fn give(&mut self, tensor: Option<Tensor>) {
        self.0.extend(tensor.map(|tensor| tensor.data));
    }
}

/// Looks at values, or puts others in their place, while a graph runs.
pub trait Hooks {
    /// Called before a node is computed. `Some` is taken as its value: it must have the node's
    /// shape with the batch of the inputs.
    fn replace(&mut self, _id: NodeId, _node: &Node, _inputs: &[&Tensor]) -> Option<Tensor> {
        None
    }

    /// Called with every value, the input's and replaced ones included, in the order of the ids.
    fn observe(&mut self, _id: NodeId, _value: &Tensor) {}
}

struct NoHooks;

impl Hooks for NoHooks {}

struct Observe<'f>(&'f mut dyn FnMut(NodeId, &Tensor));

impl Hooks for Observe<'_> {
    fn observe(&mut self, id: NodeId, value: &Tensor) {
        (self.0)(id, value);
    }
}

impl<'m> Executor<'m> {
    /// Prepares to run a valid model (see [`Model::validate`]; imported models are valid).
    pub fn new(model: &'m Model) -> Self {
        let mut last_reader: Vec<NodeId> = model.graph.iter().map(|(id, _)| id).collect();
        for (id, node) in model.graph.iter() {
            for input in &node.inputs {
                last_reader[input.0] = id;
            }
        }
        last_reader[model.graph.output.0] = NodeId(usize::MAX);
        let largest = model.graph.nodes.iter().map(|node| node.shape.len()).max().unwrap_or(0);
        Self { model, last_reader, largest }
    }

    /// The value of the graph's output for a batch of inputs `[N, ...]`; any `N`.
    ///
    /// # Errors
    /// If the input's shape after the batch is not the graph's.
    pub fn run(&self, input: &Tensor) -> Result<Tensor, ExecError> {
        let threads = rayon::current_num_threads();
        let part = (PART / self.largest.max(1)).next_multiple_of(threads).max(threads);
        let mut spare = Spare::default();
        if input.batch() <= part {
            return self.run_part(input, &mut NoHooks, &mut spare);
        }
        self.check_input(input)?;
        let mut output = Tensor::zeros(&self.model.graph.output_shape().with_batch(input.batch()));
        let (input_len, output_len) = (input.sample_len(), output.sample_len());
        let parts = input.data.chunks(part * input_len);
        for (from, to) in parts.zip(output.data.chunks_mut(part * output_len)) {
            let mut shape = input.shape.clone();
            shape[0] = from.len() / input_len;
            let result =
                self.run_part(&Tensor::new(shape, from.to_vec()), &mut NoHooks, &mut spare)?;
            to.copy_from_slice(&result.data);
            spare.give(Some(result));
        }
        Ok(output)
    }

    /// As [`run`](Self::run), showing every value to `observe`.
    ///
    /// # Errors
    /// If the input's shape after the batch is not the graph's.
    pub fn run_observed(
        &self,
        input: &Tensor,
        observe: &mut dyn FnMut(NodeId, &Tensor),
    ) -> Result<Tensor, ExecError> {
        self.run_with(input, &mut Observe(observe))
    }

    /// As [`run`](Self::run), with hooks that see every value and may replace it.
    ///
    /// # Errors
    /// If the shape of the input or of a replacement is wrong.
    pub fn run_with(&self, input: &Tensor, hooks: &mut dyn Hooks) -> Result<Tensor, ExecError> {
        self.run_part(input, hooks, &mut Spare::default())
    }

    fn check_input(&self, input: &Tensor) -> Result<(), ExecError> {
        let expected = self.model.graph.input_shape();
        let whole = input.shape.iter().product::<usize>() == input.data.len();
        if input.shape.get(1..) == Some(&expected.0[..]) && whole {
            return Ok(());
        }
        Err(ExecError::InputShape { expected: expected.0.clone(), got: input.shape.clone() })
    }

    fn run_part(
        &self,
        input: &Tensor,
        hooks: &mut dyn Hooks,
        spare: &mut Spare,
    ) -> Result<Tensor, ExecError> {
        self.check_input(input)?;
        let graph = &self.model.graph;
        let batch = input.batch();
        let mut values: Vec<Option<Tensor>> = vec![None; graph.nodes.len()];
        for (id, node) in graph.iter() {
            let value = self.value(id, node, input, &values, hooks, spare)?;
            debug_assert_eq!(value.shape, node.shape.with_batch(batch));
            hooks.observe(id, &value);
            values[id.0] = Some(value);
            for read in &node.inputs {
                if self.last_reader[read.0] == id {
                    spare.give(values[read.0].take());
                }
            }
            if id == graph.output {
                break;
            }
        }
        let output = values[graph.output.0].take();
        Ok(output.expect("the output is kept until the end"))
    }

    fn value(
        &self,
        id: NodeId,
        node: &Node,
        input: &Tensor,
        values: &[Option<Tensor>],
        hooks: &mut dyn Hooks,
        spare: &mut Spare,
    ) -> Result<Tensor, ExecError> {
        let read = |i: &NodeId| values[i.0].as_ref().expect("values live until the last reader");
        let inputs: Vec<&Tensor> = node.inputs.iter().map(read).collect();
        let Some(replaced) = hooks.replace(id, node, &inputs) else {
            let is_input = id == self.model.graph.input;
            return Ok(if is_input { input.clone() } else { self.compute(node, &inputs, spare) });
        };
        let expected = node.shape.with_batch(input.batch());
        if replaced.shape == expected && replaced.sample_len() * input.batch() == replaced.len() {
            Ok(replaced)
        } else {
            Err(ExecError::HookShape { node: id, expected, got: replaced.shape })
        }
    }

    /// One operator; the shapes are known to fit. Every operator writes all of its result.
    fn compute(&self, node: &Node, inputs: &[&Tensor], spare: &mut Spare) -> Tensor {
        let params = &self.model.params;
        let mut out = spare.take(node.shape.with_batch(inputs[0].batch()));
        match &node.op {
            // Only node 0 is an input, and it is not computed.
            Op::Input => {}
            Op::Conv(conv) => {
                let bias = conv.bias.map(|id| params[id].data.as_slice());
                conv::run(conv, &params[conv.weight], bias, inputs[0], &mut out);
            }
            Op::Gemm(gemm) => {
                let bias = gemm.bias.map(|id| params[id].data.as_slice());
                gemm::dense(&params[gemm.weight], bias, inputs[0], &mut out);
            }
            Op::Affine { scale, shift } => {
                let scale = scale.map(|id| &params[id]);
                let shift = shift.map(|id| &params[id]);
                elementwise::affine(scale, shift, inputs[0], &mut out);
            }
            Op::Activation(activation) => elementwise::activate(*activation, inputs[0], &mut out),
            Op::MaxPool(pool) => pool::max(pool, inputs[0], &mut out),
            Op::AveragePool(pool) => pool::average(pool, inputs[0], &mut out),
            Op::Add => elementwise::combine(inputs[0], inputs[1], &mut out, |a, b| a + b),
            Op::Sub => elementwise::combine(inputs[0], inputs[1], &mut out, |a, b| a - b),
            Op::Concat { axis } => movement::concat(*axis, inputs, &mut out),
            Op::Pad { before, value, .. } => movement::pad(before, *value, inputs[0], &mut out),
            Op::Slice { start, step, .. } => movement::slice(start, step, inputs[0], &mut out),
            Op::Reshape => out.data.copy_from_slice(&inputs[0].data),
            Op::Transpose { perm } => movement::transpose(perm, inputs[0], &mut out),
            Op::Resize(resize) => resize::run(resize, inputs[0], &mut out),
        }
        out
    }
}

/// Calls `f(n, output)` for every sample `n` of `out`, in parallel.
fn for_each_sample(out: &mut Tensor, f: impl Fn(usize, &mut [f32]) + Sync) {
    let len = out.sample_len().max(1);
    out.data.par_chunks_mut(len).enumerate().for_each(|(n, sample)| f(n, sample));
}

/// Calls `f(plane, output)` for every channel of every sample of `out` `[N, C, H, W]`, in
/// parallel; planes count through channels, then samples.
fn for_each_plane(out: &mut Tensor, f: impl Fn(usize, &mut [f32]) + Sync) {
    let len = out.shape.iter().skip(2).product::<usize>().max(1);
    out.data.par_chunks_mut(len).enumerate().for_each(|(plane, values)| f(plane, values));
}
