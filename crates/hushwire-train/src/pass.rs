//! A batch on its way through a network and back.

use crate::net::{Conv, Dense, Kernel, Net, Norm};
use crate::ops::conv::Targets;
use crate::ops::gate::Site;
use crate::ops::norm::Moments;
use crate::ops::rectified::Setting;
use crate::ops::{affine, conv, dense, elementwise, norm};
use hushwire_graph::NodeId;

/// Which moments normalisations use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The batch's own.
    Train,
    /// The running ones.
    Test,
    /// The batch's own are measured, but nothing is normalised: layers add their biases instead.
    Measure,
}

/// The values of a batch at every node, and what the way back needs to know; kept from batch to
/// batch, so that memory is taken from the system once.
#[derive(Default)]
pub struct Pass {
    batch: usize,
    pub(crate) values: Vec<Vec<f32>>,
    states: Vec<State>,
    spare: Spare,
    /// Names the random numbers that sites add.
    seed: u64,
}

/// What a node leaves behind for the way back.
#[derive(Default)]
struct State {
    /// Decisions of gates.
    open: Vec<bool>,
    /// Places of maxima.
    at: Vec<u32>,
    /// A layer's result before its normalisation, and the batch's moments.
    raw: Vec<f32>,
    moments: Moments,
    /// A site's setting, and how many of its inputs were out of its range.
    setting: Setting,
    outside: usize,
}

/// An activation in a batch, and how much what follows depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Sensitivity<'a> {
    /// The pre-activations.
    pub input: &'a [f32],
    /// The activation's value, or that of the gate in its place.
    pub value: &'a [f32],
    /// The gradient with respect to the value.
    pub gradient: &'a [f32],
}

/// Buffers to be written over.
#[derive(Default)]
struct Spare(Vec<Vec<f32>>);

impl Spare {
    /// A buffer of this length with any contents: the smallest that is long enough.
    fn take(&mut self, len: usize) -> Vec<f32> {
        let fitting = self.0.iter().enumerate().filter(|(_, b)| b.capacity() >= len);
        let best = fitting.min_by_key(|(_, b)| b.capacity()).map(|(i, _)| i);
        let mut buffer = best.map(|i| self.0.swap_remove(i)).unwrap_or_default();
        buffer.resize(len, 0.0);
        buffer
    }

    fn give(&mut self, buffer: Vec<f32>) {
        self.0.push(buffer);
    }
}

impl Pass {
    /// The place for a batch of inputs, one sample after the other; their contents are what they
    /// were before, or zero.
    pub fn input(&mut self, net: &Net, batch: usize) -> &mut [f32] {
        let nodes = net.graph().nodes.len();
        self.batch = batch;
        self.values.resize_with(nodes, Vec::new);
        self.states.resize_with(nodes, State::default);
        let input = &mut self.values[net.graph().input.0];
        input.resize(batch * net.graph().input_shape().len(), 0.0);
        input
    }

    /// Names the random numbers that [perturbations](crate::Perturbation) draw from now on.
    pub fn seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// For every site with a range how many inputs of the batch were out of it.
    pub fn outside(&self) -> impl Iterator<Item = (NodeId, usize)> + '_ {
        let states = self.states.iter().enumerate();
        states.filter(|(_, s)| s.outside > 0).map(|(id, s)| (NodeId(id), s.outside))
    }

    /// Carries the batch through the network and gives the value of its output.
    pub fn forward(&mut self, net: &Net, mode: Mode) -> &[f32] {
        let output = net.graph().output;
        self.forward_between(net, mode, NodeId(0), output);
        self.value(output)
    }

    /// The value of a node for the whole batch, once it has been computed.
    pub fn value(&self, node: NodeId) -> &[f32] {
        &self.values[node.0]
    }

    /// Computes the values of the nodes from `first` to `last`, in a batch whose earlier values are
    /// there: after a change to what `first` does, nothing before it need be computed again.
    pub fn forward_between(&mut self, net: &Net, mode: Mode, first: NodeId, last: NodeId) {
        for id in first.0..=last.0 {
            let (node, kernel) = net.at(id);
            if matches!(kernel, Kernel::Input) {
                continue;
            }
            let mut value = std::mem::take(&mut self.values[id]);
            value.resize(self.batch * node.shape.len(), 0.0);
            let (earlier, state) = self.states.split_at_mut(id);
            let state = &mut state[0];
            let inputs: Vec<&[f32]> =
                node.inputs.iter().map(|i| self.values[i.0].as_slice()).collect();
            if let Kernel::Site(Site::Rectified(site)) = kernel {
                // The halves of a product of two odd numbers are as good as random.
                let seed = (self.seed ^ id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let (range, seed) = (site.range(inputs[0]), (seed >> 32) as u32);
                state.setting = Setting { range, seed, training: mode == Mode::Train };
            }
            compute(net, kernel, &inputs, node.shape.len(), &mut value, (state, earlier), mode);
            self.values[id] = value;
        }
    }

    /// Carries the gradient of the output's value back and adds the gradients of the parameters to
    /// `to`, which has a buffer for each.
    pub fn backward(&mut self, net: &Net, gradient: &[f32], to: &mut [Vec<f32>]) {
        self.back(net, net.graph().output, gradient, Some(to), &mut |_, _| {});
    }

    /// Carries the gradient of the value of `from` back, without those of parameters, and shows the
    /// gradient of every activation's value on its way.
    pub fn sensitivities(
        &mut self,
        net: &Net,
        from: NodeId,
        gradient: &[f32],
        see: &mut dyn FnMut(NodeId, Sensitivity<'_>),
    ) {
        self.back(net, from, gradient, None, see);
    }

    fn back(
        &mut self,
        net: &Net,
        from: NodeId,
        gradient: &[f32],
        mut to: Option<&mut [Vec<f32>]>,
        see: &mut dyn FnMut(NodeId, Sensitivity<'_>),
    ) {
        let mut flow: Vec<Option<Vec<f32>>> = vec![None; self.values.len()];
        let mut last = self.spare.take(gradient.len());
        last.copy_from_slice(gradient);
        flow[from.0] = Some(last);
        for id in (0..=from.0).rev() {
            let Some(g) = flow[id].take() else { continue };
            let (node, kernel) = net.at(id);
            if let Kernel::Site(_) = kernel {
                let (input, value) = (&self.values[node.inputs[0].0], &self.values[id]);
                see(NodeId(id), Sensitivity { input, value, gradient: &g });
            }
            let to = to.as_deref_mut();
            Back { net, pass: self, flow: &mut flow, to }.node(id, g);
        }
    }

    /// Takes the batch's moments into the running ones.
    pub fn settle(&self, net: &mut Net) {
        for (kernel, state) in net.kernels.iter_mut().zip(&self.states) {
            let norm = match kernel {
                Kernel::Conv(conv) => conv.norm.as_mut(),
                Kernel::Dense(dense) => dense.norm.as_mut(),
                _ => None,
            };
            if let Some(norm) = norm {
                norm.observe(&state.moments, self.batch * norm.extents.positions);
            }
        }
    }

    /// The moments of the results of normalised layers, by node.
    pub(crate) fn moments(&self) -> impl Iterator<Item = &Moments> {
        self.states.iter().map(|state| &state.moments)
    }
}

/// Computes a node's value.
fn compute(
    net: &Net,
    kernel: &Kernel,
    inputs: &[&[f32]],
    len: usize,
    to: &mut [f32],
    (state, earlier): (&mut State, &[State]),
    mode: Mode,
) {
    let param = |i: usize| net.params[i].values.as_slice();
    let x = inputs[0];
    match kernel {
        Kernel::Input => {}
        Kernel::Conv(layer) => {
            let Conv { geometry, packed, bias, norm, .. } = &**layer;
            let run = |bias: Option<&[f32]>, to: &mut [f32]| {
                conv::forward(geometry, packed, bias, x, to);
            };
            layer_value(net, bias.map(param), norm.as_ref(), to, state, mode, run);
        }
        Kernel::Dense(Dense { features, weight, bias, norm }) => {
            let run = |bias: Option<&[f32]>, to: &mut [f32]| {
                dense::forward(param(*weight), bias, *features, x, to);
            };
            layer_value(net, bias.map(param), norm.as_ref(), to, state, mode, run);
        }
        Kernel::Affine { extents, scale, shift } => {
            affine::forward(*extents, scale.map(param), shift.map(param), x, to);
        }
        Kernel::Site(site) => {
            state.open.resize(x.len() / len * site.decisions(), false);
            state.outside = site
                .forward(len, state.setting, x, to, &mut state.open, |node| &earlier[node].open);
        }
        Kernel::MaxPool(windows) => {
            state.at.resize(to.len(), 0);
            windows.maximum(x, to, &mut state.at);
        }
        Kernel::AveragePool(windows) => windows.average(x, to),
        Kernel::Add => elementwise::sum(x, inputs[1], to),
        Kernel::Sub => elementwise::difference(x, inputs[1], to),
        Kernel::Move(moves) => {
            moves.iter().zip(inputs).for_each(|(movement, x)| movement.forward(x, to));
        }
        Kernel::Reshape => to.copy_from_slice(x),
        Kernel::Resize(resampling) => resampling.forward(x, to),
    }
}

/// The value of a layer that `run(bias, to)` computes, with its normalisation if it has one.
fn layer_value(
    net: &Net,
    bias: Option<&[f32]>,
    norm: Option<&Norm>,
    to: &mut [f32],
    state: &mut State,
    mode: Mode,
    run: impl Fn(Option<&[f32]>, &mut [f32]),
) {
    let Some(layer) = norm else { return run(bias, to) };
    state.raw.resize(to.len(), 0.0);
    run(None, &mut state.raw);
    if mode != Mode::Test {
        norm::moments(layer.extents, &state.raw, &mut state.moments);
    }
    if mode == Mode::Measure {
        let bias = bias.unwrap_or(&[]);
        return norm::shift(layer.extents, bias, &state.raw, to);
    }
    let moments = if mode == Mode::Train { &state.moments } else { &layer.running };
    let line = [layer.scale, layer.shift].map(|i| net.params[i].values.as_slice());
    norm::forward(layer.extents, moments, Norm::EPSILON, line, &state.raw, to);
}

/// The way back.
struct Back<'a> {
    net: &'a Net,
    pass: &'a mut Pass,
    /// Gradients of the values, as far as their readers have been visited.
    flow: &'a mut [Option<Vec<f32>>],
    /// Gradients of the parameters, if they are wanted.
    to: Option<&'a mut [Vec<f32>]>,
}

impl Back<'_> {
    /// From the gradient of a node's value to those of its inputs and parameters.
    fn node(&mut self, id: usize, mut g: Vec<f32>) {
        let net = self.net;
        let (node, kernel) = net.at(id);
        let first = node.inputs.first().map_or(id, |input| input.0);
        let wanted = net.needed[first];
        match kernel {
            Kernel::Input => {}
            Kernel::Conv(layer) => {
                self.norm(id, layer.norm.as_ref(), layer.bias, &mut g);
                return self.conv(first, layer, wanted, g);
            }
            Kernel::Dense(layer) => {
                self.norm(id, layer.norm.as_ref(), layer.bias, &mut g);
                return self.dense(first, layer, wanted, g);
            }
            Kernel::Affine { extents, scale, shift } => {
                let x = &self.pass.values[first];
                if let (Some(i), Some(to)) = (*shift, self.to.as_deref_mut()) {
                    affine::shift(*extents, &g, &mut to[i]);
                }
                if let Some(i) = *scale {
                    if let Some(to) = self.to.as_deref_mut() {
                        affine::scale(*extents, x, &g, &mut to[i]);
                    }
                    affine::input(*extents, &net.params[i].values, &mut g);
                }
                return self.pass_on(first, g);
            }
            Kernel::Site(site) => {
                let (x, state) = (&self.pass.values[first], &self.pass.states[id]);
                site.backward(node.shape.len(), state.setting, x, &state.open, &mut g);
                return self.pass_on(first, g);
            }
            Kernel::Reshape => return self.pass_on(first, g),
            Kernel::Add | Kernel::Sub => {
                let second = node.inputs[1].0;
                let mut copy = self.pass.spare.take(g.len());
                copy.copy_from_slice(&g);
                if matches!(kernel, Kernel::Sub) {
                    elementwise::negate(&mut copy);
                }
                self.pass_on(second, copy);
                return self.pass_on(first, g);
            }
            Kernel::MaxPool(windows) => {
                let mut to = self.input_buffer(first);
                windows.maximum_gradient(&self.pass.states[id].at, &g, &mut to);
                self.pass_on(first, to);
            }
            Kernel::AveragePool(windows) => {
                let mut to = self.input_buffer(first);
                windows.average_gradient(&g, &mut to);
                self.pass_on(first, to);
            }
            Kernel::Resize(resampling) => {
                let mut to = self.input_buffer(first);
                resampling.backward(&g, &mut to);
                self.pass_on(first, to);
            }
            Kernel::Move(moves) => {
                for (movement, input) in moves.iter().zip(&node.inputs) {
                    let mut to = self.input_buffer(input.0);
                    movement.backward(&g, &mut to);
                    self.pass_on(input.0, to);
                }
            }
        }
        self.pass.spare.give(g);
    }

    fn input_buffer(&mut self, input: usize) -> Vec<f32> {
        let len = self.pass.values[input].len();
        self.pass.spare.take(len)
    }

    /// Adds a gradient to what flows to a node already.
    fn pass_on(&mut self, to: usize, g: Vec<f32>) {
        if !self.net.needed[to] {
            return self.pass.spare.give(g);
        }
        match &mut self.flow[to] {
            Some(sum) => {
                elementwise::add(sum, &g);
                self.pass.spare.give(g);
            }
            empty => *empty = Some(g),
        }
    }

    /// Through a layer's normalisation, or else its bias.
    fn norm(&mut self, id: usize, norm: Option<&Norm>, bias: Option<usize>, g: &mut [f32]) {
        match (norm, bias) {
            (Some(layer), _) => {
                let state = &self.pass.states[id];
                let scale = self.net.params[layer.scale].values.as_slice();
                let mut unused = [vec![0.0; scale.len()], vec![0.0; scale.len()]];
                let targets = match self.to.as_deref_mut() {
                    Some(to) => {
                        // The shift comes right behind the scale.
                        let (front, back) = to.split_at_mut(layer.shift);
                        [front[layer.scale].as_mut_slice(), back[0].as_mut_slice()]
                    }
                    None => unused.each_mut().map(Vec::as_mut_slice),
                };
                let (extents, moments) = (layer.extents, &state.moments);
                norm::backward(extents, moments, Norm::EPSILON, scale, &state.raw, g, targets);
            }
            (None, Some(bias)) => {
                let Some(to) = self.to.as_deref_mut().map(|to| &mut to[bias]) else { return };
                let positions = self.net.at(id).0.shape.len() / to.len();
                if positions == 1 {
                    dense::bias(g, to);
                } else {
                    conv::bias(g, positions, to);
                }
            }
            (None, None) => {}
        }
    }

    fn conv(&mut self, first: usize, layer: &Conv, wanted: bool, g: Vec<f32>) {
        let pass = &mut *self.pass;
        let len = pass.values[first].len();
        let add = self.flow[first].is_some();
        let mut input =
            wanted.then(|| self.flow[first].take().unwrap_or_else(|| pass.spare.take(len)));
        let place = input.as_deref_mut().map(|input| (input, add));
        match (self.to.as_deref_mut(), place) {
            (Some(to), input) => {
                let mut spare = pass.spare.take(0);
                let weight = &mut to[layer.weight];
                let targets = Targets { input, weight, spare: &mut spare };
                conv::backward(&layer.geometry, &layer.packed, &pass.values[first], &g, targets);
                pass.spare.give(spare);
            }
            (None, Some(input)) => {
                conv::backward_input(&layer.geometry, &layer.packed, &g, input);
            }
            (None, None) => {}
        }
        pass.spare.give(g);
        if wanted {
            self.flow[first] = input;
        }
    }

    fn dense(&mut self, first: usize, layer: &Dense, wanted: bool, g: Vec<f32>) {
        let pass = &mut *self.pass;
        let x = &pass.values[first];
        if let Some(to) = self.to.as_deref_mut() {
            dense::weight(layer.features, x, &g, &mut to[layer.weight]);
        }
        if wanted {
            let add = self.flow[first].is_some();
            let len = x.len();
            let mut input = self.flow[first].take().unwrap_or_else(|| pass.spare.take(len));
            let weight = &self.net.params[layer.weight].values;
            dense::input(weight, layer.features, &g, &mut input, add);
            self.flow[first] = Some(input);
        }
        pass.spare.give(g);
    }
}
