//! A plan's gates: shared sign decisions. The gradient passes where the gate was open and does not
//! reach the decision (`out = gate * x`, `g = gate * g`).

use hushwire_graph::{Activation, Shape};
use hushwire_plan::{ChannelGate, Copied, Decision, Gate, Grouping, Piecewise};
use rayon::prelude::*;

use super::elementwise::CHUNK;
use super::part;
use super::rectified::{Rectified, Setting};

/// What an activation site does to a batch.
#[derive(Clone, Debug)]
pub(crate) enum Site {
    /// The function itself.
    Function(Activation),
    /// Nothing.
    Identity,
    /// Zero.
    Zero,
    /// Patches that share a decision, one choice per channel.
    Patches(Patches),
    /// Groups with forms of their own.
    Groups(Groups),
    /// A piecewise polynomial of each element.
    Piecewise(Piecewise),
    /// ReLU by a composite polynomial, or with something added; a batch has a setting.
    Rectified(Box<Rectified>),
}

/// Rectangular patches on maps.
#[derive(Clone, Debug)]
pub(crate) struct Patches {
    channels: Vec<ChannelGate>,
    map: [usize; 2],
    /// Decisions of a sample.
    decisions: usize,
}

/// Groups in compressed rows: form `f` has the terms `starts[f]..starts[f + 1]`.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    starts: Vec<u32>,
    terms: Vec<(u32, f32)>,
    /// For each element what decides for it.
    elements: Vec<Decision>,
    /// Decisions of earlier sites.
    copied: Vec<Source>,
}

/// A decision of an earlier site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// The site's node.
    pub node: usize,
    /// Which of its decisions of a sample, and how many there are.
    pub decision: usize,
    /// How many there are.
    pub of: usize,
}

impl Site {
    /// The gate of a plan at an activation whose value has this shape; the plan must have been
    /// checked against the graph. `source` finds the decisions it copies.
    pub(crate) fn new(
        activation: Activation,
        gate: &Gate,
        shape: &Shape,
        source: impl Fn(&Copied) -> Source,
    ) -> Self {
        match gate {
            Gate::Exact => Self::Function(activation),
            Gate::Piecewise(function) => Self::Piecewise(function.rounded()),
            Gate::Polynomial(polynomial) => {
                let rectifier = polynomial.rectifier();
                let rectifier =
                    rectifier.unwrap_or_else(|e| unreachable!("the plan was checked: {e}"));
                Self::Rectified(Box::new(Rectified::new(rectifier, polynomial.range)))
            }
            Gate::Patches(channels) => Self::Patches(Patches::new(channels, shape)),
            other => match Grouping::resolve(other, &shape.0) {
                Grouping::Each => Self::Function(activation),
                Grouping::AllIdentity => Self::Identity,
                Grouping::AllZero => Self::Zero,
                Grouping::Mixed { decisions, forms, copied } => {
                    let mut groups = Groups {
                        starts: vec![0],
                        terms: Vec::new(),
                        elements: decisions,
                        copied: copied.iter().map(source).collect(),
                    };
                    for form in forms {
                        groups.terms.extend(form.0.iter().map(|&(i, k)| (i, k as f32)));
                        groups.starts.push(groups.terms.len() as u32);
                    }
                    Self::Groups(groups)
                }
            },
        }
    }

    /// Decisions of a sample that the backward direction needs: its own, then those it copies.
    pub(crate) fn decisions(&self) -> usize {
        match self {
            Self::Patches(patches) => patches.decisions,
            Self::Groups(groups) => groups.own() + groups.copied.len(),
            _ => 0,
        }
    }

    /// The value of the site for pre-activations `x`, with `len` elements per sample; `open` gets
    /// the decisions, [`decisions`](Self::decisions) per sample; `earlier` gives those of other sites.
    /// Gives how many pre-activations are out of the site's range, if it has one.
    pub(crate) fn forward<'a>(
        &self,
        len: usize,
        setting: Setting,
        x: &[f32],
        to: &mut [f32],
        open: &mut [bool],
        earlier: impl Fn(usize) -> &'a [bool],
    ) -> usize {
        match self {
            Self::Rectified(site) => return site.forward(setting, x, to),
            Self::Function(activation) => super::activation::forward(*activation, x, to),
            Self::Identity => to.copy_from_slice(x),
            Self::Zero => to.fill(0.0),
            Self::Patches(patches) => {
                samples(len, x, to, open, patches.decisions, |x, to, open| {
                    patches.decide(x, open);
                    to.copy_from_slice(x);
                    patches.apply(open, to);
                })
            }
            Self::Groups(groups) => {
                for (k, source) in groups.copied.iter().enumerate() {
                    let taken =
                        earlier(source.node).iter().skip(source.decision).step_by(source.of);
                    let all = groups.own() + groups.copied.len();
                    let own = open.iter_mut().skip(groups.own() + k).step_by(all);
                    own.zip(taken).for_each(|(own, taken)| *own = *taken);
                }
                samples(len, x, to, open, self.decisions(), |x, to, open| {
                    groups.decide(x, open);
                    to.copy_from_slice(x);
                    groups.apply(open, to);
                });
            }
            Self::Piecewise(function) => {
                let chunks = to.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK));
                chunks.for_each(|(to, x)| {
                    for (to, x) in to.iter_mut().zip(x) {
                        *to = function.eval(f64::from(*x)) as f32;
                    }
                });
            }
        }
        0
    }

    /// Turns the gradient `g` of the site's value into that of the pre-activations `x`.
    pub(crate) fn backward(
        &self,
        len: usize,
        setting: Setting,
        x: &[f32],
        open: &[bool],
        g: &mut [f32],
    ) {
        match self {
            Self::Rectified(site) => site.backward(setting, x.len() / len, x, g),
            Self::Function(activation) => super::activation::backward(*activation, x, g),
            Self::Identity => {}
            Self::Zero => g.fill(0.0),
            Self::Patches(patches) => {
                self.shared(len, open, g, |open, g| patches.apply(open, g));
            }
            Self::Groups(groups) => self.shared(len, open, g, |open, g| groups.apply(open, g)),
            Self::Piecewise(function) => {
                let chunks = g.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK));
                chunks.for_each(|(g, x)| {
                    for (g, x) in g.iter_mut().zip(x) {
                        *g *= function.derivative(f64::from(*x)) as f32;
                    }
                });
            }
        }
    }

    /// Calls `apply(open, g)` for every sample.
    fn shared(
        &self,
        len: usize,
        open: &[bool],
        g: &mut [f32],
        apply: impl Fn(&[bool], &mut [f32]) + Sync,
    ) {
        let decisions = self.decisions();
        g.par_chunks_mut(len).enumerate().for_each(|(n, g)| {
            apply(&open[n * decisions..(n + 1) * decisions], g);
        });
    }
}

/// Calls `f(x, to, open)` for every sample, part by part.
fn samples(
    len: usize,
    x: &[f32],
    to: &mut [f32],
    open: &mut [bool],
    decisions: usize,
    f: impl Fn(&[f32], &mut [f32], &mut [bool]) + Sync,
) {
    let size = part(x.len() / len);
    let parts = x.par_chunks(size * len).zip(to.par_chunks_mut(size * len));
    let run = |(x, to): (&[f32], &mut [f32]), open: &mut [bool]| {
        let mut open = open;
        for (x, to) in x.chunks_exact(len).zip(to.chunks_exact_mut(len)) {
            let (first, rest) = std::mem::take(&mut open).split_at_mut(decisions);
            f(x, to, first);
            open = rest;
        }
    };
    if decisions == 0 {
        parts.for_each(|part| run(part, &mut []));
    } else {
        parts.zip(open.par_chunks_mut(size * decisions)).for_each(|(part, open)| run(part, open));
    }
}

impl Patches {
    fn new(channels: &[ChannelGate], shape: &Shape) -> Self {
        let map = match shape.0[..] {
            [_, height, width] => [height, width],
            _ => [1, shape.0.iter().skip(1).product()],
        };
        let patches = |gate: &ChannelGate| match *gate {
            ChannelGate::Patch(h, w) => map[0].div_ceil(h.into()) * map[1].div_ceil(w.into()),
            ChannelGate::Identity | ChannelGate::Zero => 0,
        };
        let decisions = channels.iter().map(patches).sum();
        Self { channels: channels.to_vec(), map, decisions }
    }

    /// The signs of the patches' sums.
    fn decide(&self, x: &[f32], open: &mut [bool]) {
        let [height, width] = self.map;
        let mut line = vec![0.0; width];
        let mut next = open.iter_mut();
        for (gate, map) in self.channels.iter().zip(x.chunks_exact(height * width)) {
            let ChannelGate::Patch(h, w) = *gate else { continue };
            for rows in map.chunks(usize::from(h) * width) {
                let mut rows = rows.chunks_exact(width);
                line.copy_from_slice(rows.next().unwrap_or(&[]));
                for row in rows {
                    line.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                }
                for (patch, open) in line.chunks(w.into()).zip(next.by_ref()) {
                    *open = patch.iter().sum::<f32>() >= 0.0;
                }
            }
        }
    }

    /// Clears the patches whose gate is closed.
    fn apply(&self, open: &[bool], values: &mut [f32]) {
        let [height, width] = self.map;
        let mut line = vec![0.0; width];
        let mut open = open.iter();
        for (gate, map) in self.channels.iter().zip(values.chunks_exact_mut(height * width)) {
            let (h, w) = match *gate {
                ChannelGate::Identity => continue,
                ChannelGate::Zero => {
                    map.fill(0.0);
                    continue;
                }
                ChannelGate::Patch(h, w) => (usize::from(h), usize::from(w)),
            };
            for rows in map.chunks_mut(h * width) {
                for (factors, open) in line.chunks_mut(w).zip(open.by_ref()) {
                    factors.fill(if *open { 1.0 } else { 0.0 });
                }
                for row in rows.chunks_exact_mut(width) {
                    row.iter_mut().zip(&line).for_each(|(x, factor)| *x *= factor);
                }
            }
        }
    }
}

impl Groups {
    /// Decisions that are not copied.
    fn own(&self) -> usize {
        self.starts.len() - 1
    }

    fn decide(&self, x: &[f32], open: &mut [bool]) {
        for (ends, open) in self.starts.windows(2).zip(open) {
            let terms = &self.terms[ends[0] as usize..ends[1] as usize];
            *open = terms.iter().map(|&(i, k)| k * x[i as usize]).sum::<f32>() >= 0.0;
        }
    }

    fn apply(&self, open: &[bool], values: &mut [f32]) {
        for (value, element) in values.iter_mut().zip(&self.elements) {
            match element {
                Decision::Group(g) if open[*g as usize] => {}
                Decision::Copied(k) if open[self.own() + *k as usize] => {}
                Decision::Identity => {}
                Decision::Group(_) | Decision::Copied(_) | Decision::Zero => *value = 0.0,
            }
        }
    }
}
