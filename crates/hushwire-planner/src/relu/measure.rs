//! What a plan changes in a network's output, measured and estimated.

use hushwire_graph::{Graph, Model, NodeId, Op, Tensor};
use hushwire_plan::Plan;
use hushwire_train::{Mode, Net, Pass, Sensitivity};

use super::PlanError;
use super::screen::Sums;
use super::sites::{ChoiceSite, Choices, sites, with_choices};

/// Elements of all values of the samples that are processed together, at most.
const ELEMENTS: usize = 1 << 26;

/// A network with calibration images.
///
/// Losses are relative: the squared distance of the plan's output to the original's over the squared
/// length of the latter, both without the mean over the classes, which says nothing.
pub struct Measure {
    net: Net,
    /// The network with normalisations that have the original's moments, if plans are measured with
    /// weights that match them.
    matched: Option<Net>,
    pass: Pass,
    images: Tensor,
    exact: Plan,
    sites: Vec<ChoiceSite>,
    /// The node whose value is compared.
    end: NodeId,
    reference: Vec<f32>,
    /// Sum of squares of the reference.
    scale: f64,
}

/// What is known around a plan.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// The plan's own loss, measured.
    pub loss: f64,
    /// For each channel of each site what every candidate would add to it if this channel alone
    /// changed, estimated.
    pub added: Vec<Vec<f64>>,
    /// How far every candidate takes the output from where the activation itself would take it,
    /// other channels being as the plan says: never negative.
    pub distance: Vec<Vec<f64>>,
}

impl Measure {
    /// Runs the original network over the images `[N, ...]`. Plans are measured with the moments of
    /// layers `matched` on these images ([`hushwire_train::match_moments`]), or with the weights as
    /// they are.
    ///
    /// # Errors
    /// Images that do not fit, outputs that are not finite or all the same, networks without ReLUs.
    pub fn new(model: &Model, images: Tensor, matched: bool) -> Result<Measure, PlanError> {
        let graph = &model.graph;
        if images.batch() == 0 || images.shape[1..] != graph.input_shape().0[..] {
            return Err(PlanError::Images { expected: graph.input_shape().to_string() });
        }
        let sites = sites(graph);
        if sites.is_empty() {
            return Err(PlanError::NoSites);
        }
        let mut measure = Measure {
            net: Net::new(model, None)?,
            matched: None,
            pass: Pass::default(),
            exact: Plan::exact(graph),
            end: end(graph),
            images,
            sites,
            reference: Vec::new(),
            scale: 0.0,
        };
        let mut reference = Vec::new();
        for (first, count) in measure.batches() {
            measure.forward(first, count);
            let mut output = measure.pass.value(measure.end).to_vec();
            measure.centre(&mut output);
            reference.extend(output);
        }
        measure.scale = reference.iter().map(|x| f64::from(*x).powi(2)).sum();
        measure.reference = reference;
        if matched {
            let mut net = Net::new(model, None)?;
            net.unfold(&measure.images.data);
            measure.matched = Some(net);
        }
        if measure.scale > 0.0 && measure.scale.is_finite() {
            Ok(measure)
        } else {
            Err(PlanError::Output)
        }
    }

    /// What can be chosen.
    pub fn sites(&self) -> &[ChoiceSite] {
        &self.sites
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.images.batch()
    }

    /// The plan that some choices make; without any the original network's.
    pub fn plan(&self, choices: Option<&Choices>) -> Plan {
        match choices {
            Some(choices) => with_choices(&self.exact, &self.sites, choices),
            None => self.exact.clone(),
        }
    }

    /// Puts a plan's gates in their places.
    fn set_plan(&mut self, plan: &Plan) -> Result<(), PlanError> {
        match &mut self.matched {
            None => self.net.set_plan(plan)?,
            Some(net) => {
                net.set_plan(plan)?;
                net.settle(&self.images.data);
                self.net = Net::new(&net.to_model(), Some(plan))?;
            }
        }
        Ok(())
    }

    /// The loss of a plan, measured; `done` hears of every batch of images.
    ///
    /// # Errors
    /// A plan that does not fit.
    pub fn loss(&mut self, plan: &Plan, done: &mut dyn FnMut(usize)) -> Result<f64, PlanError> {
        self.set_plan(plan)?;
        let mut loss = 0.0;
        for (first, count) in self.batches() {
            self.forward(first, count);
            let difference = self.difference(first, count);
            loss += difference.iter().map(|d| f64::from(*d).powi(2)).sum::<f64>();
            done(count);
        }
        Ok(loss / self.scale)
    }

    /// The loss of a plan, measured, and what every choice for a single channel would add to it, to
    /// second order: with the difference d of the outputs and their derivative J by a site's value,
    /// a change c of the value adds 2 d.Jc + |Jc|^2. The latter is the mean of (v.Jc)^2 over random
    /// directions v, one for each image, drawn from `seed`.
    ///
    /// # Errors
    /// A plan that does not fit.
    pub fn estimate(
        &mut self,
        plan: &Plan,
        seed: u64,
        done: &mut dyn FnMut(usize),
    ) -> Result<Estimate, PlanError> {
        self.set_plan(plan)?;
        let new = || self.sites.iter().map(Sums::new).collect::<Vec<Sums>>();
        let (mut toward, mut along) = (new(), new());
        let mut random = fastrand::Rng::with_seed(seed);
        let mut loss = 0.0;
        for (first, count) in self.batches() {
            self.forward(first, count);
            let mut difference = self.difference(first, count);
            loss += difference.iter().map(|d| f64::from(*d).powi(2)).sum::<f64>();
            if difference.iter().any(|d| *d != 0.0) {
                difference.iter_mut().for_each(|d| *d *= 2.0);
                self.each_site(&difference, |i, site, seen| toward[i].add(site, seen));
            }
            let direction = self.direction(&mut random);
            self.each_site(&direction, |i, site, seen| along[i].add(site, seen));
            done(count);
        }
        let (scale, images, matched) = (self.scale, self.images(), self.matched.is_some());
        let (mut added, mut distance) = (Vec::new(), Vec::new());
        for ((site, toward), along) in self.sites.iter().zip(&toward).zip(&along) {
            let effects = |sums: &Sums| sums.effects(site, images, matched);
            for (toward, along) in effects(toward).iter().zip(effects(along)) {
                let both = toward.iter().zip(&along);
                added.push(both.map(|(t, a)| (t.first + a.squared) / scale).collect());
                distance.push(along.iter().map(|effect| effect.distance / scale).collect());
            }
        }
        Ok(Estimate { loss: loss / scale, added, distance })
    }

    /// Carries a random direction of the output back to every site of a plan, another one for each
    /// image.
    ///
    /// # Errors
    /// A plan that does not fit.
    pub(super) fn directions(
        &mut self,
        plan: &Plan,
        seed: u64,
        done: &mut dyn FnMut(usize),
        mut f: impl FnMut(usize, &ChoiceSite, Sensitivity<'_>),
    ) -> Result<(), PlanError> {
        self.directions_after(plan, seed, done, |_| (), |(), i, site, seen| f(i, site, seen))
    }

    /// As [`directions`](Self::directions); `look` sees the pre-activations of all sites before, and
    /// `f` what it makes of them.
    pub(super) fn directions_after<S>(
        &mut self,
        plan: &Plan,
        seed: u64,
        done: &mut dyn FnMut(usize),
        mut look: impl FnMut(&[&[f32]]) -> S,
        mut f: impl FnMut(&S, usize, &ChoiceSite, Sensitivity<'_>),
    ) -> Result<(), PlanError> {
        self.set_plan(plan)?;
        let mut random = fastrand::Rng::with_seed(seed);
        for (first, count) in self.batches() {
            self.forward(first, count);
            let inputs = self.sites.iter().map(|site| self.net.graph().node(site.node).inputs[0]);
            let seen = look(&inputs.map(|input| self.pass.value(input)).collect::<Vec<_>>());
            let direction = self.direction(&mut random);
            self.each_site(&direction, |i, site, now| f(&seen, i, site, now));
            done(count);
        }
        Ok(())
    }

    /// A random direction for every image of the batch that just went forward.
    fn direction(&self, random: &mut fastrand::Rng) -> Vec<f32> {
        let len = self.pass.value(self.end).len();
        let mut direction: Vec<f32> = (0..len).map(|_| normal(random)).collect();
        self.centre(&mut direction);
        direction
    }

    /// Carries a gradient of the output back to every site.
    fn each_site(
        &mut self,
        gradient: &[f32],
        mut f: impl FnMut(usize, &ChoiceSite, Sensitivity<'_>),
    ) {
        let sites = &self.sites;
        self.pass.sensitivities(&self.net, self.end, gradient, &mut |node, seen| {
            if let Some(i) = sites.iter().position(|site| site.node == node) {
                f(i, &sites[i], seen);
            }
        });
    }

    /// The batches of images: first one and count.
    fn batches(&self) -> Vec<(usize, usize)> {
        let graph = self.net.graph();
        let elements: usize = graph.nodes.iter().map(|node| node.shape.len()).sum();
        let (images, size) = (self.images(), (ELEMENTS / elements).clamp(1, 64));
        (0..images).step_by(size).map(|first| (first, size.min(images - first))).collect()
    }

    fn forward(&mut self, first: usize, count: usize) {
        let len = self.images.sample_len();
        let images = &self.images.data[first * len..(first + count) * len];
        self.pass.input(&self.net, count).copy_from_slice(images);
        self.pass.forward_between(&self.net, Mode::Test, NodeId(0), self.end);
    }

    /// How the output of the batch that just went forward differs from the original's.
    fn difference(&self, first: usize, count: usize) -> Vec<f32> {
        let mut output = self.pass.value(self.end).to_vec();
        self.centre(&mut output);
        let len = output.len() / count;
        let reference = &self.reference[first * len..(first + count) * len];
        output.iter_mut().zip(reference).for_each(|(x, r)| *x -= r);
        output
    }

    /// Takes the mean over the classes away, at every position.
    fn centre(&self, values: &mut [f32]) {
        let shape = &self.net.graph().node(self.end).shape.0;
        let (classes, len) = (shape[0], shape.iter().product::<usize>());
        let positions = len / classes;
        for sample in values.chunks_exact_mut(len) {
            let mut means = vec![0.0; positions];
            for class in sample.chunks_exact(positions) {
                means.iter_mut().zip(class).for_each(|(mean, x)| *mean += x / classes as f32);
            }
            for class in sample.chunks_exact_mut(positions) {
                class.iter_mut().zip(&means).for_each(|(x, mean)| *x -= mean);
            }
        }
    }
}

/// The node whose value is compared: the output, or what it only resizes or reorders.
fn end(graph: &Graph) -> NodeId {
    let mut end = graph.output;
    while let Op::Resize(_) | Op::Reshape | Op::Transpose { .. } = graph.node(end).op {
        end = graph.node(end).inputs[0];
    }
    end
}

/// A normal deviate, near enough: mean 0, variance 1.
fn normal(random: &mut fastrand::Rng) -> f32 {
    (0..12).map(|_| random.f32()).sum::<f32>() - 6.0
}
