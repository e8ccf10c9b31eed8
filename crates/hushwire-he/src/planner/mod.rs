//! The representation planner: which layout each value of a network has.
//!
//! For a chain of layers the least cost of everything up to a value, given the value's layout, is that
//! of the value before plus that of the layer in between, so dynamic programming finds the best plan
//! over all candidate layouts. Networks with several paths are treated in the same way, with the
//! layouts of all values that are still read as the state. Costs are those measured on a machine, at
//! the level at which each operation runs.

mod candidates;
mod search;
mod stage;

use hushwire_graph::Graph;
use serde::Serialize;

use crate::costs::CostTable;
use crate::network::{Network, Product};
use crate::plan::{EncryptedPlan, Objective, Placement, StagePlan, VERSION, ValuePlan};
use crate::program::Program;
use crate::ranges::Ranges;
use crate::schedule::{Schedule, TooDeep};
use crate::{Counts, Split, assemble};

/// Degrees that are tried, as log2, and the modulus bits that 128-bit security allows each.
pub(crate) const DEGREES: [(u32, f64); 4] = [(13, 218.0), (14, 438.0), (15, 881.0), (16, 1747.0)];

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanningError {
    /// The network is too deep for every parameter set.
    #[error(
        "the network takes {levels} multiplicative levels{}; the largest ring that was tried has room for \
         a modulus of {limit:.0} bits: fewer activations between input and result, polynomials of less \
         depth in their places or a larger ring would fit",
        modulus(*bits)
    )]
    TooDeep {
        /// Levels: affine maps and products one after the other.
        levels: usize,
        /// Bits of the modulus QP at the largest degree.
        bits: f64,
        /// Bits that are secure there.
        limit: f64,
    },
    /// No combination of layouts works.
    #[error("no layouts were found for {value}: {reason}")]
    NoLayout {
        /// The value that has none.
        value: String,
        /// Why.
        reason: String,
    },
}

/// Words for a modulus, if there are primes that make one.
fn modulus(bits: f64) -> String {
    if bits.is_finite() { format!(" and a modulus of {bits:.0} bits") } else { String::new() }
}

/// What the plan is made for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// One image soon, or many.
    pub objective: Objective,
    /// Costs of operations.
    pub costs: CostTable,
    /// Most memory of the encrypted values of a batch, in bytes.
    pub memory: u64,
    /// The degree as log2; the cheapest if absent.
    pub log_degree: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            objective: Objective::Latency,
            costs: CostTable::built_in(),
            memory: 8 << 30,
            log_degree: None,
        }
    }
}

/// How far the planner is: rings are tried one after the other, in each of them value by value.
#[derive(Clone, Copy, Debug)]
pub struct Planning<'a> {
    /// log2 of the ring's degree.
    pub log_degree: u32,
    /// The value whose layouts are looked for.
    pub value: &'a str,
    /// Values that have theirs, and of how many.
    pub done: usize,
    /// All values.
    pub of: usize,
}

/// A plan and what it is expected to take.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The plan.
    pub plan: EncryptedPlan,
    /// Its program.
    pub program: Program,
    /// Expected seconds of one run in one thread, encryption and decryption included.
    pub seconds: f64,
    /// Bits of relative precision that values keep.
    pub precision: f64,
}

/// A line of a plan's table.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The value that is computed.
    pub value: String,
    /// The linear layers in it.
    pub layers: Vec<String>,
    /// Its layout.
    pub layout: String,
    /// Its ciphertexts.
    pub ciphertexts: usize,
    /// The level of its layer.
    pub level: usize,
    /// The operations.
    pub counts: Counts,
}

impl Planned {
    /// Expected seconds per image.
    pub fn seconds_per_image(&self) -> f64 {
        self.seconds / self.program.batch() as f64
    }

    /// The plan as a table, value by value.
    pub fn lines(&self, network: &Network) -> Vec<Line> {
        let values = self.plan.values.iter().zip(&self.program.values).zip(&network.values);
        let line =
            |((planned, value), source): ((&ValuePlan, &crate::ProgramValue), &crate::Value)| {
                Line {
                    value: value.name.clone(),
                    layers: source
                        .stage
                        .as_ref()
                        .map_or_else(Vec::new, |stage| stage.layers.clone()),
                    layout: planned.layout.to_string(),
                    ciphertexts: value.ciphertexts(),
                    level: value.stage.as_ref().map_or(value.level, |stage| stage.level),
                    counts: value.counts(),
                }
            };
        values.map(line).collect()
    }
}

/// Finds the best plan.
///
/// # Errors
/// If the network is too deep, or has no layouts.
pub fn plan(
    network: &Network,
    graph: &Graph,
    ranges: &Ranges,
    settings: &Settings,
) -> Result<Planned, PlanningError> {
    plan_with(network, graph, ranges, settings, &mut |_| {})
}

/// As [`plan`], saying how far it is.
///
/// # Errors
/// As for [`plan`].
pub fn plan_with(
    network: &Network,
    graph: &Graph,
    ranges: &Ranges,
    settings: &Settings,
    told: &mut dyn FnMut(Planning<'_>),
) -> Result<Planned, PlanningError> {
    let mut best: Option<Planned> = None;
    let mut problem: Option<PlanningError> = None;
    let degrees = DEGREES.iter().filter(|(n, _)| settings.log_degree.is_none_or(|d| d == *n));
    let mut feasible = 0;
    for (log_degree, limit) in degrees {
        let found = Schedule::new(network, ranges, *log_degree, *limit)
            .map_err(|TooDeep { bits, limit, levels }| PlanningError::TooDeep {
                levels,
                bits,
                limit,
            })
            .and_then(|schedule| at_degree(network, graph, &schedule, settings, told));
        match found {
            Ok(planned) => {
                feasible += 1;
                let cheaper =
                    |known: &Planned| planned.seconds_per_image() < known.seconds_per_image();
                if best.as_ref().is_none_or(cheaper) {
                    best = Some(planned);
                }
            }
            Err(error) => problem = Some(error),
        }
        // In a larger ring every operation costs more than twice as much; it can only be better
        // where there are not enough slots.
        let fits = best.as_ref().is_some_and(|planned| {
            planned.program.values[1..].iter().all(|value| value.ciphertexts() == 1)
        });
        if fits || feasible == 2 {
            break;
        }
    }
    best.ok_or(problem.unwrap_or(PlanningError::NoLayout {
        value: network.output().name.clone(),
        reason: "the degree is none of 13 to 16".to_owned(),
    }))
}

fn at_degree(
    network: &Network,
    graph: &Graph,
    schedule: &Schedule,
    settings: &Settings,
    told: &mut dyn FnMut(Planning<'_>),
) -> Result<Planned, PlanningError> {
    let batched = batched(network, graph, schedule, settings);
    if let (Objective::Throughput, Ok(batched)) = (settings.objective, &batched) {
        let packed = packed(network, graph, schedule, settings, told);
        return match packed {
            Ok(packed) if packed.seconds_per_image() < batched.seconds_per_image() => Ok(packed),
            _ => Ok(batched.clone()),
        };
    }
    packed(network, graph, schedule, settings, told)
}

fn packed(
    network: &Network,
    graph: &Graph,
    schedule: &Schedule,
    settings: &Settings,
    told: &mut dyn FnMut(Planning<'_>),
) -> Result<Planned, PlanningError> {
    let search::Found { placements, stages, seconds } =
        search::search(network, schedule, &settings.costs, told)?;
    finish(network, graph, schedule, settings.objective, placements, stages, seconds)
}

/// One element per ciphertext.
fn batched(
    network: &Network,
    graph: &Graph,
    schedule: &Schedule,
    settings: &Settings,
) -> Result<Planned, PlanningError> {
    let no_layout =
        |value: &str, reason: String| PlanningError::NoLayout { value: value.to_owned(), reason };
    let bytes = batched_bytes(network, schedule);
    if bytes > settings.memory {
        let reason = format!("batched values take {bytes} bytes of memory");
        return Err(no_layout(&network.output().name, reason));
    }
    let degree = schedule.parameters.log_degree;
    let cost = |level: usize| settings.costs.at(degree, level + 1);
    let mut seconds = network.input().len() as f64 * cost(schedule.after[0]).encrypt;
    seconds +=
        network.output().len() as f64 * cost(schedule.after[network.values.len() - 1]).decrypt;
    for (i, value) in network.values.iter().enumerate() {
        let Some(stage) = &value.stage else { continue };
        let entries = assemble::batched_entries(stage).map_err(|e| no_layout(&value.name, e))?;
        let costs = cost(schedule.before[i]);
        let rescalings = (schedule.before[i] - schedule.after[i]) as f64;
        let product = if stage.product == Product::None { 0.0 } else { costs.product };
        let each = product + rescalings * costs.rescaling + costs.addition;
        seconds += entries as f64 * costs.multiple + value.len() as f64 * each;
    }
    let stages =
        (0..network.values.len()).map(|_| (Vec::new(), Split { giant: 1, centred: false }));
    let placements = vec![Placement::Batched; network.values.len()];
    finish(network, graph, schedule, settings.objective, placements, stages.collect(), seconds)
}

/// Bytes of the largest two neighbouring values in batches.
fn batched_bytes(network: &Network, schedule: &Schedule) -> u64 {
    let bytes = |i: usize| {
        let primes = schedule.before[i] as u64 + 1;
        (network.values[i].len() as u64 * primes * (2 * 8)) << schedule.parameters.log_degree
    };
    (1..network.values.len()).map(|i| bytes(i - 1) + bytes(i)).max().unwrap_or(0)
}

fn finish(
    network: &Network,
    graph: &Graph,
    schedule: &Schedule,
    objective: Objective,
    placements: Vec<Placement>,
    stages: Vec<(Vec<usize>, Split)>,
    seconds: f64,
) -> Result<Planned, PlanningError> {
    let choices = placements.into_iter().zip(stages);
    let mut values = Vec::with_capacity(network.values.len());
    for (i, (value, (layout, (folds, split)))) in network.values.iter().zip(choices).enumerate() {
        let level = schedule.before[i];
        values.push(ValuePlan {
            name: value.name.clone(),
            layout,
            level: schedule.after[i],
            log_scale: schedule.log_scales[i],
            stage: value.stage.as_ref().map(|_| StagePlan { level, folds, split }),
            counts: None,
        });
    }
    let mut plan = EncryptedPlan {
        version: VERSION,
        architecture: hushwire_plan::architecture_hash(graph),
        objective,
        flood: schedule.flood,
        parameters: schedule.parameters.clone(),
        values,
        sites: network.sites.clone(),
    };
    let program = crate::assemble(network, &plan).map_err(|e| PlanningError::NoLayout {
        value: network.output().name.clone(),
        reason: e.to_string(),
    })?;
    for (planned, value) in plan.values.iter_mut().zip(&program.values) {
        planned.counts = value.stage.as_ref().map(|_| value.counts());
    }
    Ok(Planned { plan, program, seconds, precision: schedule.precision })
}
