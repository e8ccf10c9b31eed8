//! Calibration: number formats from the values that a few images produce.
//!
//! Every format follows from the largest magnitude seen, so that formats depend on the network and
//! not on how its weights happen to be scaled. What the images did not show is covered by headroom:
//! a value may be 2^headroom times the largest seen before a gate's width is exceeded.

use crate::Weights;
use crate::lower::{LowerError, exp2, lower, pools_before_activations};
use crate::program::{Op as Step, Program, ValueId};
use hushwire_graph::{Activation, ExecError, Executor, Model, NodeId, Op, Tensor};
use hushwire_plan::float::{GateHooks, Observed};
use hushwire_plan::{
    CheckError, Format, Gate, InputFormat, LayerFormat, Numbers, Piecewise, Plan, Site, SiteKind,
    Window,
};
use hushwire_ring::Word;

/// How finely values are represented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bits of magnitude of the largest activation seen: its ulp is 2^-activation_bits of that.
    pub activation_bits: i32,
    /// Bits of magnitude of the largest weight of a layer.
    pub weight_bits: i32,
    /// Extra bits for values larger than any seen.
    pub headroom: i32,
    /// Compared bits of every gate, where its width has that many.
    pub window_bits: u32,
    /// The widest ring that is filled without giving up weight bits; 32-bit lanes are twice as fast
    /// as 64-bit ones.
    pub preferred_ring: u32,
    /// Weight bits that are kept even if the ring gets wider than preferred.
    pub least_weight_bits: i32,
    /// Error of the outputs, in percent of their size, above which weights get more bits than these
    /// settings give them: networks whose channels have weights of very different sizes need it.
    pub tolerance_percent: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            activation_bits: 12,
            weight_bits: 11,
            headroom: 2,
            window_bits: 13,
            preferred_ring: 32,
            least_weight_bits: 8,
            tolerance_percent: 2,
        }
    }
}

/// Why calibration failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// The plan does not fit the network.
    #[error(transparent)]
    Plan(#[from] CheckError),
    /// The float executor refused the images.
    #[error("the calibration images do not run: {0}")]
    Images(#[from] ExecError),
    /// No images were given.
    #[error("calibration needs at least one image")]
    NoImages,
    /// A value was infinite or no number.
    #[error("{node}: the calibration images give a value that is not finite")]
    NotFinite {
        /// Name of the node.
        node: String,
    },
    /// The calibrated plan cannot be lowered.
    #[error(transparent)]
    Lower(#[from] LowerError),
}

/// Samples that run through the float executor together.
const BATCH: usize = 16;

/// Fills in the number formats of `plan` for `model` from `images` (`[N, ...]`).
///
/// # Errors
/// A plan that does not fit, no images or unfit ones, values that are not finite, activations
/// without a secure gate.
pub fn calibrate(
    model: &Model,
    plan: &Plan,
    images: &Tensor,
    settings: &Settings,
) -> Result<Plan, CalibrateError> {
    plan.check(&model.graph)?;
    let ranges = Ranges::measure(model, plan, images)?;
    let mut best = format(model, plan, &ranges, settings)?;
    let sample = Sample::new(model, plan, images)?;
    let mut error = sample.error(model, &best)?;
    for extra in 1..=MOST_EXTRA_BITS {
        if error * 100.0 <= f64::from(settings.tolerance_percent) {
            break;
        }
        let weight_bits = settings.weight_bits + extra;
        let finer = Settings { weight_bits, least_weight_bits: weight_bits, ..*settings };
        let candidate = format(model, plan, &ranges, &finer)?;
        let improved = sample.error(model, &candidate)?;
        if improved < error {
            (best, error) = (candidate, improved);
        }
    }
    Ok(best)
}

/// Weight bits that are added at most where outputs are not precise enough.
const MOST_EXTRA_BITS: i32 = 5;

/// Samples on which the precision of the outputs is measured.
const SAMPLES: usize = 4;

/// A few images and what the plan makes of them in floating point.
struct Sample {
    input: Vec<f32>,
    batch: usize,
    output: Vec<f32>,
}

impl Sample {
    fn new(model: &Model, plan: &Plan, images: &Tensor) -> Result<Sample, CalibrateError> {
        let batch = images.batch().min(SAMPLES);
        let input = images.data[..batch * images.sample_len()].to_vec();
        let shape = model.graph.input_shape().with_batch(batch);
        let mut ignore = |_: Observed<'_>| {};
        let mut hooks = GateHooks::new(&model.graph, plan, &mut ignore);
        let output =
            Executor::new(model).run_with(&Tensor::new(shape, input.clone()), &mut hooks)?.data;
        Ok(Sample { input, batch, output })
    }

    /// Root of the mean square of the fixed-point outputs' errors, relative to the outputs'.
    fn error(&self, model: &Model, plan: &Plan) -> Result<f64, CalibrateError> {
        let program = lower(&model.graph, plan)?;
        let output = if program.ring <= u32::BITS {
            self.run::<u32>(model, &program)
        } else {
            self.run::<u64>(model, &program)
        };
        let square = |x: f32| f64::from(x) * f64::from(x);
        let size: f64 = self.output.iter().map(|x| square(*x)).sum();
        let error: f64 = output.iter().zip(&self.output).map(|(a, b)| square(a - b)).sum();
        Ok(if error == 0.0 { 0.0 } else { (error / size).sqrt() })
    }

    fn run<W: Word>(&self, model: &Model, program: &Program) -> Vec<f32> {
        let weights = Weights::<W>::quantise(program, &model.params);
        crate::Executor::new(program, &weights).run(self.batch, &self.input).0
    }
}

/// The plan with number formats as the settings say.
fn format(
    model: &Model,
    plan: &Plan,
    ranges: &Ranges,
    settings: &Settings,
) -> Result<Plan, CalibrateError> {
    let mut formats = Formats { model, plan, settings, ranges, spare: Vec::new() };
    let mut calibrated = formats.plan();
    let (mut program, mut need) = minimal_ring(model, &mut calibrated)?;
    let unsaved = calibrated.clone();
    // Where a gate needs more than the preferred ring, the layers that feed it give up weight bits.
    while need > settings.preferred_ring {
        if !formats.save_bits(&program) {
            // It does not fit: bits that were given up would be lost for nothing.
            return Ok(unsaved);
        }
        calibrated = formats.plan();
        (program, need) = minimal_ring(model, &mut calibrated)?;
    }
    Ok(calibrated)
}

/// Sets the ring to the least that the plan's program fits in.
fn minimal_ring(model: &Model, plan: &mut Plan) -> Result<(Program, u32), CalibrateError> {
    let Some(numbers) = plan.numbers.as_mut() else { return Err(LowerError::NotCalibrated.into()) };
    numbers.ring = 64;
    let program = lower(&model.graph, plan)?;
    let need = needs(&program).map(|(_, bits)| bits).max().unwrap_or(8).max(8);
    if let Some(numbers) = plan.numbers.as_mut() {
        numbers.ring = need;
    }
    Ok((program, need))
}

/// Bits that each gate and the output need.
fn needs(program: &Program) -> impl Iterator<Item = (ValueId, u32)> + '_ {
    program.ops.iter().filter_map(|op| match op {
        Step::Gate(g) => Some((g.source, g.truncate + g.width)),
        Step::Curve(c) => Some((c.source, c.truncate + c.width)),
        Step::Polynomial(p) => Some((p.source, p.truncate + p.width)),
        Step::Open { source, truncate, width } => Some((*source, truncate + width)),
        _ => None,
    })
}

/// Largest magnitudes per node: of its value, and of its deciding forms if it has any.
struct Ranges {
    value: Vec<f64>,
    form: Vec<Option<f64>>,
}

impl Ranges {
    fn measure(model: &Model, plan: &Plan, images: &Tensor) -> Result<Ranges, CalibrateError> {
        let nodes = model.graph.nodes.len();
        let mut ranges = Ranges { value: vec![0.0; nodes], form: vec![None; nodes] };
        if images.batch() == 0 || images.is_empty() {
            return Err(CalibrateError::NoImages);
        }
        let executor = Executor::new(model);
        let len = images.sample_len();
        for chunk in images.data.chunks(BATCH * len) {
            let shape = model.graph.input_shape().with_batch(chunk.len() / len);
            let mut broken = None;
            let mut observe = |seen: Observed<'_>| {
                let (id, largest) = match &seen {
                    Observed::Value(id, t) => (*id, magnitude(&t.data)),
                    Observed::Forms(id, forms) => (*id, magnitude(forms)),
                    // The values themselves tell whether that does harm.
                    Observed::Outside(..) => return,
                };
                if !largest.is_finite() {
                    broken.get_or_insert(id);
                }
                match seen {
                    Observed::Value(..) => ranges.value[id.0] = ranges.value[id.0].max(largest),
                    Observed::Forms(..) => {
                        let form = ranges.form[id.0].get_or_insert(0.0);
                        *form = form.max(largest);
                    }
                    Observed::Outside(..) => {}
                }
            };
            let mut hooks = GateHooks::new(&model.graph, plan, &mut observe);
            executor.run_with(&Tensor::new(shape, chunk.to_vec()), &mut hooks)?;
            if let Some(id) = broken {
                let node = model.graph.node(id).name.clone();
                return Err(CalibrateError::NotFinite { node });
            }
        }
        Ok(ranges)
    }
}

/// Largest magnitude; NaN counts as infinite.
fn magnitude(values: &[f32]) -> f64 {
    values
        .iter()
        .fold(0.0f64, |m, &v| if v.is_nan() { f64::INFINITY } else { m.max(v.abs().into()) })
}

struct Formats<'a> {
    model: &'a Model,
    plan: &'a Plan,
    settings: &'a Settings,
    ranges: &'a Ranges,
    /// Weight bits given up, by node name.
    spare: Vec<(String, i32)>,
}

impl Formats<'_> {
    /// The plan with formats for everything; the ring is left for the program to tell.
    fn plan(&self) -> Plan {
        let graph = &self.model.graph;
        let s = self.settings;
        let swapped = pools_before_activations(graph, self.plan);
        let input_range = self.ranges.value[graph.input.0];
        let input_bits = s.activation_bits - exponent(input_range);
        let mut layers = Vec::new();
        let mut sites: Vec<Site> = Vec::new();
        // Per node: fractional bits of its units (fractional after averages), and whether it is a
        // wire. This mirrors lowering.
        let mut units = vec![0.0f64; graph.nodes.len()];
        let mut wire = vec![false; graph.nodes.len()];
        for (id, node) in graph.iter() {
            let finest = node.inputs.iter().map(|i| units[i.0]).fold(f64::NEG_INFINITY, f64::max);
            let weighted =
                matches!(node.op, Op::Conv(_) | Op::Gemm(_) | Op::Affine { scale: Some(_), .. });
            let mut input_units = finest;
            if let (true, false) = (weighted, node.inputs.first().is_none_or(|i| wire[i.0])) {
                let source = node.inputs[0];
                let format = self.wire_format(source);
                input_units = f64::from(format.fractional_bits);
                let name = &graph.node(source).name;
                if !sites.iter().any(|s| s.kind == SiteKind::Wire && s.node == *name) {
                    let mut site = Site::uncalibrated(name, SiteKind::Wire, Gate::Exact);
                    site.format = Some(format);
                    sites.push(site);
                }
            }
            wire[id.0] = node.inputs.iter().all(|i| wire[i.0]);
            units[id.0] = match &node.op {
                Op::Input => f64::from(input_bits),
                _ if weighted => {
                    let bits = self.accumulator_bits(id, input_units);
                    wire[id.0] = false;
                    layers.push(LayerFormat { node: node.name.clone(), fractional_bits: bits });
                    f64::from(bits)
                }
                Op::Activation(activation) => {
                    let site = self.activation_site(id, *activation);
                    let bits = site.format.map_or(0, |f| f.fractional_bits);
                    let passes = swapped.contains(&id) || site.gate == Gate::Identity;
                    sites.push(site);
                    if passes {
                        finest
                    } else {
                        wire[id.0] = true;
                        f64::from(bits)
                    }
                }
                Op::MaxPool(_) => {
                    let source = node.inputs[0];
                    let behind = swapped.contains(&source).then(|| graph.node(source).inputs[0]);
                    let range = self.ranges.value[behind.unwrap_or(source).0];
                    // A wire is compared in its own units: nothing is lost.
                    let own = self.settings.activation_bits - exponent(range);
                    let bits =
                        if wire[source.0] { (finest.floor() as i32).min(own + 2) } else { own };
                    let mut site = Site::uncalibrated(&node.name, SiteKind::MaxPool, Gate::Exact);
                    site.format =
                        Some(self.format(bits, 2.0 * range, 2.0 * range, Some(2.0 * range)));
                    sites.push(site);
                    if behind.is_some() {
                        wire[id.0] = true;
                        let activation = &graph.node(source).name;
                        let format =
                            sites.iter().find(|s| s.node == *activation).and_then(|s| s.format);
                        format.map_or(finest, |f| f64::from(f.fractional_bits))
                    } else {
                        finest.max(f64::from(bits))
                    }
                }
                Op::AveragePool(pool) => finest + ((pool.kernel[0] * pool.kernel[1]) as f64).log2(),
                _ => finest,
            };
        }
        let name = &graph.node(graph.output).name;
        let range = self.ranges.value[graph.output.0];
        let mut output = Site::uncalibrated(name, SiteKind::Output, Gate::Exact);
        let bits = s.activation_bits - exponent(range) + s.headroom;
        output.format = Some(self.format(bits, range, range, None));
        sites.push(output);
        let input = InputFormat { fractional_bits: input_bits, range: input_range };
        Plan {
            version: self.plan.version,
            architecture: self.plan.architecture.clone(),
            numbers: Some(Numbers { ring: 64, input }),
            layers,
            sites,
        }
    }

    /// The format of a gate with inputs to `range` and deciding forms to `form`, of which numbers to
    /// `decided` must be told apart from zero as finely as the settings say.
    fn format(&self, bits: i32, range: f64, form: f64, decided: Option<f64>) -> Format {
        let s = self.settings;
        let magnitude = (bits + exponent(range) + s.headroom).max(1);
        // Bits of a form, its sign included.
        let form_bits = (bits + exponent(form) + s.headroom + 1).max(2);
        let width = (magnitude + 2).max(form_bits) as u32;
        let window = decided.map(|decided| {
            let fine = (bits + exponent(decided) + s.headroom + 1).clamp(2, form_bits) as u32;
            let low = fine.saturating_sub(s.window_bits.max(2));
            Window { low, bits: form_bits as u32 - low }
        });
        Format { fractional_bits: bits, width, range, window }
    }

    fn wire_format(&self, id: NodeId) -> Format {
        let range = self.ranges.value[id.0];
        self.format(self.settings.activation_bits - exponent(range), range, range, None)
    }

    fn activation_site(&self, id: NodeId, activation: Activation) -> Site {
        let node = self.model.graph.node(id);
        let gate = self
            .plan
            .site(&node.name, SiteKind::Activation)
            .map_or(Gate::Exact, |s| s.gate.clone());
        let (input, output) = (self.ranges.value[node.inputs[0].0], self.ranges.value[id.0]);
        if let Gate::Piecewise(function) = &gate {
            let format = Some(self.curve_format(function, input, output));
            return Site { node: node.name.clone(), kind: SiteKind::Activation, gate, format };
        }
        let bits = self.settings.activation_bits - exponent(output);
        // A clip is computed from its lower bound upwards, and also compared with its upper bound.
        let shift = match activation {
            Activation::Clip { min, max } => {
                let bound = if max == f32::MAX { 0.0 } else { f64::from(max) - f64::from(min) };
                f64::from(min.max(-1e30)).abs() + bound
            }
            _ => 0.0,
        };
        let (range, decides) = match gate {
            Gate::Identity | Gate::Zero => (input, false),
            // Formats hold all that the polynomial is made for, whether images show it or not.
            Gate::Polynomial(polynomial) => (input.max(polynomial.range), false),
            _ => (input + shift, true),
        };
        let form = self.ranges.form[id.0].unwrap_or(range);
        // Far from its clip an activation only needs to be known to be far.
        let told_apart = match activation {
            Activation::Clip { .. } if gate == Gate::Exact => output.min(form),
            _ => form,
        };
        let format = self.format(bits, range, form, decides.then_some(told_apart));
        Site { node: node.name.clone(), kind: SiteKind::Activation, gate, format: Some(format) }
    }

    /// The format of the output of a piecewise polynomial for inputs and outputs of these magnitudes.
    fn curve_format(&self, function: &Piecewise, input: f64, output: f64) -> Format {
        let s = self.settings;
        let bits = (s.activation_bits - exponent(output)).min(function.accumulator_bits);
        let kept = (bits + exponent(output) + s.headroom).max(1) + 2;
        let farthest = function.knots.iter().fold(0.0f64, |m, knot| m.max(knot.abs()));
        let form = input * exp2(s.headroom) + farthest;
        let form_bits = (function.input_bits + exponent(form) + 1).max(2);
        let width = kept.max(form_bits - (function.accumulator_bits - bits)) as u32;
        let window = (!function.knots.is_empty()).then(|| {
            let low = (form_bits as u32).saturating_sub(s.window_bits.max(2));
            Window { low, bits: form_bits as u32 - low }
        });
        Format { fractional_bits: bits, width, range: input, window }
    }

    /// Fractional bits of a weighted layer's accumulator.
    fn accumulator_bits(&self, id: NodeId, input_units: f64) -> i32 {
        let node = self.model.graph.node(id);
        let weight = match &node.op {
            Op::Conv(c) => c.weight,
            Op::Gemm(g) => g.weight,
            Op::Affine { scale: Some(scale), .. } => *scale,
            other => unreachable!("{} has no weights", other.kind()),
        };
        let largest = magnitude(&self.model.params[weight].data);
        let spare = self.spare.iter().find(|(n, _)| *n == node.name).map_or(0, |(_, bits)| *bits);
        let bits = self.settings.weight_bits - spare - exponent(largest);
        (input_units + f64::from(bits)).floor() as i32
    }

    /// Takes weight bits from the layers before the gates that need too wide a ring; false if there
    /// is nothing to take.
    fn save_bits(&mut self, program: &Program) -> bool {
        let s = self.settings;
        let most = s.weight_bits - s.least_weight_bits;
        let mut saved = false;
        for (source, need) in needs(program) {
            let Some(excess) = need.checked_sub(s.preferred_ring).filter(|e| *e > 0) else {
                continue;
            };
            let mut pending = vec![source];
            while let Some(value) = pending.pop() {
                match &program.ops[value] {
                    Step::Linear(_) => {
                        let name = &program.values[value].name;
                        let at =
                            self.spare.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
                                self.spare.push((name.clone(), 0));
                                self.spare.len() - 1
                            });
                        let bits = &mut self.spare[at].1;
                        let wanted = (*bits + excess as i32).min(most);
                        saved |= wanted > *bits;
                        *bits = wanted;
                    }
                    Step::Local(_) | Step::AddParam { .. } => {
                        pending.extend(program.ops[value].sources());
                    }
                    _ => {}
                }
            }
        }
        saved
    }
}

/// The least e with x < 2^e; 0 for 0.
fn exponent(x: f64) -> i32 {
    if x <= 0.0 { 0 } else { x.log2().floor() as i32 + 1 }
}
