//! What a report is about, measured.

use std::fmt::Write;

use anyhow::{Context, Result};
use hushwire_data::{Sample, Split};
use hushwire_fixed::Settings;
use hushwire_fixed::program::{Op, Program};
use hushwire_graph::{Executor, Graph, Hooks, Node, NodeId, Tensor};
use hushwire_mpc::cost::{Message, Prediction};
use hushwire_mpc::{Comparison, Job};
use hushwire_net::Phase;
use hushwire_plan::float::{GateHooks, Observed};
use hushwire_plan::{ChannelGate, Gate, Plan, SiteKind};
use hushwire_profile::Hosts;
use serde::Serialize;

use super::{Args, Entry};
use crate::args::{Choice, Link};
use crate::evaluation::{Evaluation, Measured};
use crate::forecast::Forecast;
use crate::images::{self, CALIBRATION_IMAGES};
use crate::network::Network;
use crate::output::Table;
use crate::progress;

/// The name of the plan that replaces nothing.
pub const EXACT: &str = "exact";

/// Where bytes go.
pub const KINDS: [&str; 5] =
    ["linear layers", "activations", "max pools", "truncations", "input and output"];

/// Kinds of choices of channels, as the page tells them apart.
pub const SIZES: [&str; 8] =
    ["each element", "2 to 4", "5 to 16", "17 to 64", "above 64", "identity", "zero", "clusters"];

/// Everything on the page.
pub struct Study {
    /// The network's file.
    pub model: String,
    /// What was measured on.
    pub data: String,
    /// What accuracy is called.
    pub measure: &'static str,
    /// What seconds are predicted for.
    pub predicted_for: String,
    /// The exact plan, then the others.
    pub rows: Vec<Row>,
    /// Names of the layers with activations.
    pub layers: Vec<String>,
}

/// One plan.
#[derive(Serialize)]
pub struct Row {
    /// Its name.
    pub label: String,
    /// Accuracy or mean IoU, 0 to 1.
    pub accuracy: f64,
    /// Sign decisions of one inference.
    pub decisions: u64,
    /// How signs are compared.
    pub comparison: Comparison,
    /// Bytes of the phases, on all links.
    pub offline_bytes: u64,
    /// As well.
    pub online_bytes: u64,
    /// Predicted seconds, both phases.
    pub seconds: f64,
    /// Bytes of both phases by kind, as in [`KINDS`].
    pub bytes_by_kind: [u64; 5],
    /// For each layer with an activation the share of its channels by kind, as in [`SIZES`].
    #[serde(skip)]
    pub sizes: Vec<[f64; 8]>,
    /// For some layers: its index, height and width of its maps, and for each place the share of the
    /// channels that pass it on for the sample image.
    #[serde(skip)]
    pub maps: Vec<GateMap>,
}

impl Row {
    /// Bytes of both phases.
    pub fn bytes(&self) -> u64 {
        self.offline_bytes + self.online_bytes
    }
}

impl Study {
    /// Measures all plans.
    pub fn new(args: &Args, network: &Network) -> Result<Study> {
        let graph = &network.model.graph;
        let preprocess = images::preprocess(graph, &network.path)?;
        let calibration = images::calibration(graph, &preprocess, &args.data, CALIBRATION_IMAGES)?;
        let samples: Result<Vec<Sample>, _> =
            args.data.load(Split::Test, Some(args.limit))?.collect();
        let samples = samples?;
        let first = samples.first().with_context(|| format!("{} has no images", args.data))?;
        let sample = images::batch(graph, vec![images::input_of(&preprocess, first)?]);
        let hosts = match args.comparison.forecast.link {
            Link::Loopback => Hosts::One,
            Link::Line(_) => Hosts::Three,
        };
        let forecast = Forecast::new(&args.comparison.forecast, hosts)?;
        let bar = progress::bar(
            args.json.json,
            Some(samples.len() * (args.plans.len() + 1)),
            "measuring",
        );
        let mut study = Study {
            model: network.path.display().to_string(),
            data: format!("{} test images of {}", samples.len(), args.data),
            measure: "",
            predicted_for: format!("{}, {}", forecast.processor(), args.comparison.forecast.link),
            rows: Vec::new(),
            layers: names(graph),
        };
        for entry in std::iter::once(None).chain(args.plans.iter().map(Some)) {
            let tuned = entry.and_then(|e| e.model.as_deref()).map(Network::load).transpose()?;
            let network = tuned.as_ref().unwrap_or(network);
            let planned = network.plan(
                entry.map(|e: &Entry| e.plan.as_path()),
                &Settings::default(),
                || Ok(calibration.clone()),
            )?;
            let batch = network.usual_batch();
            let measured = Measured::Fixed(&planned.program);
            let mut evaluation = Evaluation::new(network, preprocess.clone(), batch, measured);
            for group in samples.chunks(batch * rayon::current_num_threads()) {
                evaluation.add(group)?;
                bar.inc(group.len() as u64);
            }
            let counts = evaluation.finish();
            study.measure = counts.measure;
            let mut job = Job::new(planned.program.clone(), 1, Comparison::Digits);
            job.comparison = match args.comparison.comparison {
                Choice::Auto => forecast.faster(&job),
                Choice::Dcf => Comparison::Dcf,
                Choice::Digits => Comparison::Digits,
            };
            let prediction = Prediction::new(&job);
            study.rows.push(Row {
                label: entry.map_or(EXACT, |e| &e.label).to_owned(),
                accuracy: counts.accuracy,
                decisions: decisions(&planned.program),
                comparison: job.comparison,
                offline_bytes: prediction.total(Phase::Offline),
                online_bytes: prediction.total(Phase::Online),
                seconds: forecast.times(&job).total(),
                bytes_by_kind: by_kind(&planned.program, &planned.plan, &prediction),
                sizes: sizes(graph, &planned.plan),
                maps: maps(network, &planned.plan, &sample)?,
            });
        }
        bar.finish_and_clear();
        Ok(study)
    }

    /// The numbers as comma-separated values.
    pub fn csv(&self) -> String {
        let kinds = KINDS.map(|kind| format!("{} bytes", kind)).join(",");
        let mut text = format!(
            "plan,{},decisions,comparison,offline bytes,online bytes,predicted seconds,{kinds}\n",
            self.measure
        );
        for row in &self.rows {
            let comparison = format!("{:?}", row.comparison).to_lowercase();
            let kinds = row.bytes_by_kind.map(|bytes| bytes.to_string()).join(",");
            let label = row.label.replace('"', "\"\"");
            let _ = writeln!(
                text,
                "\"{label}\",{:.4},{},{comparison},{},{},{:.6},{kinds}",
                row.accuracy, row.decisions, row.offline_bytes, row.online_bytes, row.seconds
            );
        }
        text
    }

    /// The numbers for people.
    pub fn table(&self) -> Table {
        let heads = ["plan", self.measure, "decisions", "offline", "online", "predicted"];
        let mut table = Table::new(&heads);
        for row in &self.rows {
            table.row([
                row.label.clone(),
                format!("{:.2}%", 100.0 * row.accuracy),
                crate::output::grouped(row.decisions),
                crate::output::bytes(row.offline_bytes),
                crate::output::bytes(row.online_bytes),
                crate::output::seconds(row.seconds),
            ]);
        }
        table
    }
}

fn names(graph: &Graph) -> Vec<String> {
    graph.activation_sites().into_iter().map(|id| graph.node(id).name.clone()).collect()
}

fn decisions(program: &Program) -> u64 {
    let gates = program.gates();
    gates
        .map(|(op, g)| (g.members.decisions(program.values[op].len) * g.function.knots()) as u64)
        .sum()
}

fn by_kind(program: &Program, plan: &Plan, prediction: &Prediction) -> [u64; 5] {
    let kind = |op: usize| {
        let name = program.values[op].name.as_str();
        let at = |kind| plan.site(name, kind).is_some();
        match &program.ops[op] {
            Op::Linear(_) => 0,
            Op::Gate(_) if at(SiteKind::Activation) => 1,
            Op::Gate(_) if at(SiteKind::MaxPool) => 2,
            Op::Gate(_) => 3,
            _ => 4,
        }
    };
    let mut bytes = [0; 5];
    for phase in [Phase::Offline, Phase::Online] {
        prediction.phase(phase).iter().for_each(|m: &Message| bytes[kind(m.op)] += m.framed());
    }
    bytes
}

/// What each layer's channels choose.
fn sizes(graph: &Graph, plan: &Plan) -> Vec<[f64; 8]> {
    let class = |gate: ChannelGate| match gate {
        ChannelGate::Identity => 5,
        ChannelGate::Zero => 6,
        ChannelGate::Patch(h, w) => match u32::from(h) * u32::from(w) {
            0..=1 => 0,
            2..=4 => 1,
            5..=16 => 2,
            17..=64 => 3,
            _ => 4,
        },
    };
    let of_layer = |id: NodeId| {
        let gate = plan.site(&graph.node(id).name, SiteKind::Activation).map(|site| &site.gate);
        let mut shares = [0.0; 8];
        match gate {
            None | Some(Gate::Exact | Gate::Piecewise(_) | Gate::Polynomial(_)) => {
                shares[0] = 1.0;
            }
            Some(Gate::Identity) => shares[5] = 1.0,
            Some(Gate::Zero) => shares[6] = 1.0,
            Some(Gate::Patches(channels)) => {
                let share = 1.0 / channels.len() as f64;
                channels.iter().for_each(|gate| shares[class(*gate)] += share);
            }
            Some(Gate::Clusters(clusters)) => {
                let share = 1.0 / clusters.of_channel.len() as f64;
                for cluster in &clusters.of_channel {
                    let gate = clusters.list[*cluster as usize].gate;
                    let shared = matches!(gate, ChannelGate::Patch(..));
                    shares[if shared { 7 } else { class(gate) }] += share;
                }
            }
            Some(_) => shares[7] = 1.0,
        }
        shares
    };
    graph.activation_sites().into_iter().map(of_layer).collect()
}

/// Layers whose gates are shown, at most.
const SHOWN: usize = 6;

/// A layer's index, height and width, and the share of its channels whose gate is open, place by place.
type GateMap = (usize, [usize; 2], Vec<f32>);

/// The gate maps of some layers.
fn maps(network: &Network, plan: &Plan, sample: &Tensor) -> Result<Vec<GateMap>> {
    let graph = &network.model.graph;
    let sites = graph.activation_sites();
    let spatial = |id: &NodeId| graph.node(*id).shape.as_chw().is_some_and(|[_, h, w]| h * w > 1);
    let shown: Vec<usize> = (0..sites.len()).filter(|i| spatial(&sites[*i])).collect();
    let step = shown.len().div_ceil(SHOWN).max(1);
    let mut ignore = |_: Observed<'_>| {};
    let mut watch = Watch {
        gates: GateHooks::new(graph, plan, &mut ignore),
        graph,
        plan,
        open: vec![None; graph.nodes.len()],
    };
    Executor::new(&network.model).run_with(sample, &mut watch)?;
    let mut maps = Vec::new();
    for index in shown.into_iter().step_by(step) {
        let id = sites[index];
        let ([_, h, w], Some(open)) =
            (graph.node(id).shape.as_chw().unwrap_or([0; 3]), watch.open[id.0].take())
        else {
            continue;
        };
        maps.push((index, [h, w], open));
    }
    Ok(maps)
}

/// Runs a plan's gates and notes which of them are open.
struct Watch<'a, 'o> {
    gates: GateHooks<'o>,
    graph: &'a Graph,
    plan: &'a Plan,
    open: Vec<Option<Vec<f32>>>,
}

impl Hooks for Watch<'_, '_> {
    fn replace(&mut self, id: NodeId, node: &Node, inputs: &[&Tensor]) -> Option<Tensor> {
        let replaced = self.gates.replace(id, node, inputs);
        let planned = self.plan.site(&node.name, SiteKind::Activation);
        if let (Some(planned), Some([channels, h, w])) =
            (planned, self.graph.node(id).shape.as_chw())
        {
            // What a shared gate leaves of its input is open; others are where the input is positive.
            let alone = matches!(planned.gate, Gate::Exact | Gate::Piecewise(_));
            let value = replaced.as_ref().filter(|_| !alone).unwrap_or(inputs[0]);
            let is_open = |v: f32| if alone { v > 0.0 } else { v != 0.0 };
            let mut open = vec![0.0; h * w];
            for map in value.data.chunks_exact(h * w).take(channels) {
                let share = 1.0 / channels as f32;
                let places = open.iter_mut().zip(map).filter(|(_, v)| is_open(**v));
                places.for_each(|(open, _)| *open += share);
            }
            self.open[id.0] = Some(open);
        }
        replaced
    }
}
