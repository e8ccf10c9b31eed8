//! Runs: step after step, from any of them on.

use std::path::Path;
use std::time::Instant;

use rand::Rng;
use rand::seq::SliceRandom;
use rand_distr::{Beta, Distribution};
use serde::Serialize;
use serde_json::Value;

use crate::checkpoint::State;
use crate::loss::{self, Outcome, Targets};
use crate::random::{Use, stream};
use crate::{Images, Mode, Net, Pass, Recipe, TrainError};

/// Rows of the loss curve per epoch.
const ROWS: usize = 10;
/// Most elements of all values of a batch that is processed at once, where samples do not depend
/// on each other.
const ELEMENTS: usize = 1 << 28;

/// A network being trained.
pub struct Trainer<'d> {
    net: Net,
    teacher: Option<Net>,
    images: &'d Images,
    recipe: Recipe,
    run: String,
    step: usize,
    velocities: Vec<Vec<f32>>,
    curve: Vec<Row>,
    /// Of the steps since the last row, and since the epoch began.
    recent: [Outcome; 2],
    /// Spent before this process took over.
    earlier: f64,
    started: Instant,
    work: Work,
}

/// Buffers that are written anew in each step.
#[derive(Default)]
struct Work {
    pass: Pass,
    teacher: Pass,
    gradients: Vec<Vec<f32>>,
    /// The order of the images, and the epoch it is for.
    order: Vec<usize>,
    order_of: Option<usize>,
    inputs: Vec<f32>,
}

/// A row of the loss curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Steps done.
    pub step: usize,
    /// Passes over the images done.
    pub epoch: f64,
    /// The learning rate.
    pub rate: f64,
    /// Mean loss since the last row.
    pub loss: f64,
    /// Share of the training images classified right since the last row, as they were changed.
    pub accuracy: f64,
    /// Share of held-back images classified right; at the ends of epochs, where it was measured.
    pub test_accuracy: Option<f64>,
    /// Seconds spent so far.
    pub seconds: f64,
}

impl Row {
    const FIELDS: usize = 7;

    fn to_numbers(self) -> [f64; Self::FIELDS] {
        let test = self.test_accuracy.unwrap_or(f64::NAN);
        [self.step as f64, self.epoch, self.rate, self.loss, self.accuracy, test, self.seconds]
    }

    fn from_numbers(n: &[f64; Self::FIELDS]) -> Self {
        let [step, epoch, rate, loss, accuracy, test, seconds] = *n;
        let test_accuracy = (!test.is_nan()).then_some(test);
        Self { step: step as usize, epoch, rate, loss, accuracy, test_accuracy, seconds }
    }
}

/// What decides about a run's steps beside the recipe.
#[derive(Clone, Debug, Serialize)]
pub struct Origin {
    /// Hash of the network it begins with.
    pub network: String,
    /// Hash of the plan.
    pub plan: Option<String>,
    /// The data set.
    pub data: String,
}

impl<'d> Trainer<'d> {
    /// Begins a run; `teacher` is the network to learn from if the recipe distils.
    ///
    /// # Errors
    /// When the recipe makes no sense, there are too few images, or the teacher does not fit.
    pub fn new(
        net: Net,
        teacher: Option<Net>,
        images: &'d Images,
        recipe: Recipe,
        origin: &Origin,
    ) -> Result<Self, TrainError> {
        recipe.check()?;
        if images.len() < recipe.batch {
            return Err(TrainError::TooFew { found: images.len(), batch: recipe.batch });
        }
        if let Some(teacher) = &teacher {
            let ends = |net: &Net| {
                let graph = net.graph();
                format!("{} to {}", graph.input_shape(), graph.output_shape())
            };
            let (teacher, network) = (ends(teacher), ends(&net));
            if teacher != network {
                return Err(TrainError::Teacher { teacher, network });
            }
        }
        let run = serde_json::json!({
            "network": origin.network,
            "plan": origin.plan,
            "data": origin.data,
            "images": images.len(),
            "normalised": net.has_norms(),
            "recipe": recipe,
        });
        let mut net = net;
        if let Some(how) = &recipe.polynomial {
            net.rectify(how);
        }
        let zeros = || net.params().iter().map(|p| vec![0.0; p.values.len()]).collect();
        let work = Work { gradients: zeros(), ..Work::default() };
        Ok(Self {
            run: run.to_string(),
            step: 0,
            velocities: zeros(),
            curve: Vec::new(),
            recent: [Outcome::default(); 2],
            earlier: 0.0,
            started: Instant::now(),
            net,
            teacher: teacher.filter(|_| recipe.distillation.share > 0.0),
            images,
            recipe,
            work,
        })
    }

    /// The network as it is now.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// The loss curve so far.
    pub fn curve(&self) -> &[Row] {
        &self.curve
    }

    /// Steps done.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Steps of an epoch: images that do not fill a batch are left for another epoch's order.
    pub fn steps_per_epoch(&self) -> usize {
        self.images.len() / self.recipe.batch
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> usize {
        self.recipe.epochs * self.steps_per_epoch()
    }

    /// Mean loss and share of right answers since the present epoch began.
    pub fn recent(&self) -> (f64, f64) {
        let per_epoch = self.steps_per_epoch();
        let steps = match self.step % per_epoch {
            0 if self.step > 0 => per_epoch,
            steps => steps,
        };
        self.recent[1].mean(steps * self.recipe.batch)
    }

    /// Seconds spent in this run, in whatever processes.
    pub fn seconds(&self) -> f64 {
        self.earlier + self.started.elapsed().as_secs_f64()
    }

    /// Takes one step.
    ///
    /// # Errors
    /// When the loss is no number any more.
    ///
    /// # Panics
    /// If all steps are done.
    pub fn advance(&mut self) -> Result<(), TrainError> {
        assert!(self.step < self.steps(), "{} steps are all", self.steps());
        let per_epoch = self.steps_per_epoch();
        let (epoch, within) = (self.step / per_epoch, self.step % per_epoch);
        if within == 0 {
            self.recent[1] = Outcome::default();
        }
        let outcome = self.descend(epoch, within * self.recipe.batch);
        if !outcome.loss.is_finite() {
            return Err(TrainError::Diverged { step: self.step });
        }
        self.step += 1;
        for recent in &mut self.recent {
            recent.loss += outcome.loss;
            recent.right += outcome.right;
        }
        let row = |within: usize| within * ROWS / per_epoch;
        if row(within + 1) > row(within) {
            self.add_row();
        }
        Ok(())
    }

    fn add_row(&mut self) {
        let since = self.step - self.curve.last().map_or(0, |row| row.step);
        let (loss, accuracy) = self.recent[0].mean(since * self.recipe.batch);
        self.recent[0] = Outcome::default();
        let (step, epoch) = (self.step, self.step as f64 / self.steps_per_epoch() as f64);
        let (rate, seconds) = (self.rate(), self.seconds());
        self.curve.push(Row { step, epoch, rate, loss, accuracy, test_accuracy: None, seconds });
    }

    /// The learning rate of the next step.
    fn rate(&self) -> f64 {
        let done = self.step as f64 / self.steps_per_epoch() as f64;
        self.recipe.descent.rate_at(done, self.recipe.epochs as f64)
    }

    /// The batch from `first` in the epoch's order, forward and backward, and a step downhill.
    fn descend(&mut self, epoch: usize, first: usize) -> Outcome {
        let Recipe { batch, seed, augmentation, mixup, smoothing, .. } = self.recipe;
        let work = &mut self.work;
        if work.order_of != Some(epoch) {
            work.order = (0..self.images.len()).collect();
            work.order.shuffle(&mut stream(seed, Use::Order, [epoch as u64, 0]));
            work.order_of = Some(epoch);
        }
        let chosen = &work.order[first..first + batch];
        let labels: Vec<usize> = chosen.iter().map(|&i| self.images.label(i)).collect();
        let len = self.net.graph().input_shape().len();
        work.inputs.resize(batch * len, 0.0);
        let place = [epoch as u64, first as u64];
        self.images.augmented(chosen, &augmentation, seed, place, &mut work.inputs);
        let share = share(mixup, seed, self.step);
        // The order is random, so the next one is a random other image.
        let others: Vec<usize> = (0..batch).map(|n| labels[(n + 1) % batch]).collect();
        if let Some(share) = share {
            mix(&mut work.inputs, len, share);
        }

        work.gradients.iter_mut().for_each(|g| g.fill(0.0));
        work.pass.seed(stream(seed, Use::Perturbing, [self.step as u64, 0]).next_u64());
        let mut outcome = Outcome::default();
        let at_once = self.net.samples_at_once(batch);
        for start in (0..batch).step_by(at_once) {
            let samples = start..(start + at_once).min(batch);
            let inputs = &work.inputs[samples.start * len..samples.end * len];
            let teacher = self.teacher.as_ref().map(|teacher| {
                work.teacher.input(teacher, samples.len()).copy_from_slice(inputs);
                work.teacher.forward(teacher, Mode::Test)
            });
            let targets = Targets {
                labels: &labels[samples.clone()],
                mixed: share.map(|share| (&others[samples.clone()], share)),
                smoothing,
                teacher: teacher.map(|logits| (logits, self.recipe.distillation)),
                whole: batch,
            };
            work.pass.input(&self.net, samples.len()).copy_from_slice(inputs);
            let logits = work.pass.forward(&self.net, Mode::Train);
            let mut gradient = vec![0.0; logits.len()];
            let part = loss::evaluate(logits, logits.len() / samples.len(), targets, &mut gradient);
            outcome.loss += part.loss;
            outcome.right += part.right;
            work.pass.backward(&self.net, &gradient, &mut work.gradients);
            work.pass.settle(&mut self.net);
        }
        let rate = self.rate();
        let work = &self.work;
        self.recipe.descent.step(rate, &mut self.net.params, &work.gradients, &mut self.velocities);
        self.net.pack();
        outcome
    }

    /// Share of images classified right, without any change to them; at the end of an epoch it
    /// becomes part of the curve.
    pub fn test(&mut self, images: &Images) -> f64 {
        let accuracy = accuracy(&self.net, images, &mut self.work.pass);
        if let Some(row) = self.curve.last_mut().filter(|row| row.step == self.step) {
            row.test_accuracy = Some(accuracy);
        }
        accuracy
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&mut self, path: &Path) -> Result<(), TrainError> {
        let mut state = State { run: self.run.clone(), ..State::default() };
        for (param, velocity) in self.net.params.iter().zip(&self.velocities) {
            state.values.insert(format!("value/{}", param.name), param.values.clone());
            state.values.insert(format!("velocity/{}", param.name), velocity.clone());
        }
        for (layer, norm) in self.net.norms() {
            let (mean, variance) = (norm.running.mean.clone(), norm.running.variance.clone());
            state.values.insert(format!("mean/{layer}"), mean);
            state.values.insert(format!("variance/{layer}"), variance);
        }
        let recent = self.recent.iter().flat_map(|o| [o.loss, o.right as f64]);
        let progress = [self.step as f64, self.seconds()].into_iter().chain(recent);
        state.numbers.insert("progress".to_owned(), progress.collect());
        let curve = self.curve.iter().flat_map(|row| row.to_numbers());
        state.numbers.insert("curve".to_owned(), curve.collect());
        state.save(path)
    }

    /// Goes on from a checkpoint of the same run.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or belongs to another run.
    pub fn resume(&mut self, path: &Path) -> Result<(), TrainError> {
        let state = State::load(path)?;
        if let Some(difference) = difference(&state.run, &self.run) {
            return Err(TrainError::OtherRun { path: path.to_owned(), difference });
        }
        let restored = self.restore(state);
        restored.map_err(|reason| TrainError::Checkpoint { path: path.to_owned(), reason })
    }

    fn restore(&mut self, mut state: State) -> Result<(), String> {
        for (param, velocity) in self.net.params.iter_mut().zip(&mut self.velocities) {
            let len = velocity.len();
            param.values = state.take(&format!("value/{}", param.name), len)?;
            *velocity = state.take(&format!("velocity/{}", param.name), len)?;
        }
        for (layer, norm) in self.net.norms() {
            let channels = norm.extents.channels;
            norm.running.mean = state.take(&format!("mean/{layer}"), channels)?;
            norm.running.variance = state.take(&format!("variance/{layer}"), channels)?;
        }
        let &[step, seconds, ref recent @ ..] = state.numbers("progress")? else {
            return Err("'progress' is empty".to_owned());
        };
        for (to, from) in self.recent.iter_mut().zip(recent.as_chunks::<2>().0) {
            *to = Outcome { loss: from[0], right: from[1] as usize };
        }
        let curve = state.numbers("curve")?.as_chunks().0;
        self.curve = curve.iter().map(Row::from_numbers).collect();
        (self.step, self.earlier) = (step as usize, seconds);
        if self.step > self.steps() {
            return Err(format!("{} of {} steps are done", self.step, self.steps()));
        }
        self.started = Instant::now();
        self.net.pack();
        Ok(())
    }
}

impl Outcome {
    /// Mean loss and share of right answers of `count` samples.
    fn mean(self, count: usize) -> (f64, f64) {
        let count = count.max(1) as f64;
        (self.loss / count, self.right as f64 / count)
    }
}

/// How well a network does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Share of images that it classifies right.
    pub accuracy: f64,
    /// Inputs that were out of their gate's range, over all gates and images.
    pub outside: usize,
    /// For each image whether it is classified right.
    pub right: Vec<bool>,
}

/// Share of images that a network classifies right.
pub fn accuracy(net: &Net, images: &Images, pass: &mut Pass) -> f64 {
    measure(net, images, pass).accuracy
}

/// How well a network does on some images.
pub fn measure(net: &Net, images: &Images, pass: &mut Pass) -> Measured {
    let order: Vec<usize> = (0..images.len()).collect();
    let mut measured = Measured::default();
    for chosen in order.chunks(net.samples_at_once(128)) {
        images.inputs(chosen, pass.input(net, chosen.len()));
        let logits = pass.forward(net, Mode::Test);
        let classes = logits.len() / chosen.len();
        let found = logits.chunks_exact(classes).map(|l| hushwire_data::argmax(l, classes)[0]);
        let right = found.zip(chosen).map(|(found, &i)| found == images.label(i));
        measured.right.extend(right);
        measured.outside += pass.outside().map(|(_, count)| count).sum::<usize>();
    }
    let right = measured.right.iter().filter(|right| **right).count();
    measured.accuracy = right as f64 / images.len() as f64;
    measured
}

impl Net {
    /// Samples of a batch that are processed together: all, where they depend on each other.
    fn samples_at_once(&self, batch: usize) -> usize {
        let elements: usize = self.graph().nodes.iter().map(|node| node.shape.len()).sum();
        if self.has_norms() { batch } else { (ELEMENTS / elements).clamp(1, batch) }
    }
}

/// The share of an image's own values when it is mixed.
fn share(mixup: f32, seed: u64, step: usize) -> Option<f32> {
    let beta = Beta::new(mixup, mixup).ok()?;
    Some(beta.sample(&mut stream(seed, Use::Mixing, [step as u64, 0])))
}

/// Mixes every sample with the one after it, the last with the first.
fn mix(inputs: &mut [f32], len: usize, share: f32) {
    let first = inputs[..len].to_vec();
    let others = inputs.len() - len;
    for i in 0..inputs.len() {
        let other = if i < others { inputs[i + len] } else { first[i - others] };
        inputs[i] = share * inputs[i] + (1.0 - share) * other;
    }
}

/// What two runs' descriptions differ in.
fn difference(theirs: &str, ours: &str) -> Option<String> {
    if theirs == ours {
        return None;
    }
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let (theirs, ours) = (parse(theirs), parse(ours));
    let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (theirs, ours) = (fields(&theirs), fields(&ours));
    let mut different = Vec::new();
    for (key, value) in &ours {
        let (here, there) = (fields(value), theirs.get(key).map(fields).unwrap_or_default());
        let inner = here.iter().filter(|(key, value)| there.get(*key) != Some(value));
        let inner: Vec<String> = inner.map(|(inner, _)| format!("{key} ({inner})")).collect();
        match theirs.get(key) {
            Some(other) if other == value => {}
            Some(_) if !inner.is_empty() => different.extend(inner),
            _ => different.push(key.clone()),
        }
    }
    Some(if different.is_empty() { "version".to_owned() } else { different.join(" and ") })
}
