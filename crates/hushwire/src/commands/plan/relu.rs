//! `hushwire plan relu`

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use hushwire_data::Source;
use hushwire_fixed::{Program, Settings, lower};
use hushwire_graph::Graph;
use hushwire_mpc::cost::Prediction;
use hushwire_mpc::{Comparison, Job};
use hushwire_net::Phase;
use hushwire_plan::{Grouping as Resolved, Plan, SiteKind};
use hushwire_planner::relu::{
    self, ChoiceSite, Costs, Decider, Measure, Options, Progress, Search, Step,
};
use hushwire_profile::Hosts;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use crate::args::{Choice, ComparisonArgs, JsonArg, Link, positive};
use crate::forecast::Forecast;
use crate::images;
use crate::network::Network;
use crate::output::{self, Table, grouped};
use crate::{files, progress};

/// Choose patches that share a ReLU's decision, within a budget
///
/// Every channel of every activation gets the patch size, or identity or zero, with which the
/// network's output changes least for what the whole may cost. Losses are estimated from gradients
/// on calibration images; plans are measured on all of these images on the way from exact gates
/// down to the budget. A search that was interrupted goes on when the same command is given again.
#[derive(clap::Args)]
pub struct Args {
    /// The network, an ONNX file
    model: PathBuf,
    /// Calibration images: mnist:DIR, cifar10:DIR, imagenet:DIR or voc:DIR; of the training split
    /// where there is one. Labels are not looked at
    #[arg(long, value_name = "KIND:DIR")]
    data: Source,
    /// What the plan may cost, as a share of what exact gates cost
    #[arg(long, value_name = "SHARE", value_parser = share)]
    budget: f64,
    /// What costs: sign decisions, all bytes sent, or predicted seconds; of both phases
    #[arg(long, value_enum, default_value_t = Objective::Decisions)]
    objective: Objective,
    /// Which activations share a decision
    #[arg(long, value_enum, default_value_t = Grouping::Patches)]
    grouping: Grouping,
    /// Who decides for a cluster of channels; with `member` its channels copy a prototype
    #[arg(long, value_enum, default_value_t = Decision::Mean)]
    decision: Decision,
    /// How many calibration images
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = positive)]
    calibration: usize,
    /// Rounds in which some channels choose again at the budget
    #[arg(long, value_name = "N", default_value_t = Options::default().rounds)]
    rounds: usize,
    /// Measure plans with the network's weights as they are, not as `plan match` and `tune` adjust
    /// them first
    #[arg(long)]
    as_is: bool,
    /// Where to write the plan
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    comparison: ComparisonArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// What a budget is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Sign decisions of activations
    Decisions,
    /// Bytes on all links
    Bytes,
    /// Predicted seconds, in whole nanoseconds
    Seconds,
}

/// Which activations share a decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grouping {
    /// Patches of a channel's map; every channel has its own size, or is passed or zero
    Patches,
    /// The same patch everywhere: the straw man
    Uniform,
    /// Clusters of channels, at every location
    Channels,
    /// Clusters of channels, over square patches
    Blocks,
    /// The same, and channels may copy decisions of earlier layers
    Across,
}

/// Who decides for a cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Decision {
    /// The mean of its channels
    Mean,
    /// One of its channels, the prototype
    Member,
    /// Its channels, weighted by how much the output depends on them
    Form,
}

/// Of the search: what an older one has reached is of no use to a newer one.
const VERSION: u32 = 2;

/// How often a plan is made that costs less, if the one before cost too much.
const TRIES: usize = 6;

/// By how much more than its excess a plan that costs too much is made cheaper.
const CHEAPER: f64 = 0.995;

/// Sides of the patches that blocks may have.
const BLOCKS: [usize; 4] = [1, 2, 4, 8];

/// What was found.
#[derive(Serialize)]
struct Report {
    model: String,
    calibration: String,
    objective: Objective,
    grouping: Grouping,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Decision>,
    /// The cost with exact gates, and with the plan's.
    exact: f64,
    cost: f64,
    share: f64,
    /// The loss that the last estimates predicted for the plan, if they did, and the one measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted: Option<f64>,
    measured: f64,
    decisions: u64,
    exact_decisions: u64,
    steps: Vec<Step>,
    seconds: f64,
    output: String,
}

/// The measurement file: what a search has reached, and which search it was.
#[derive(Serialize, Deserialize)]
struct Saved {
    /// Hash of everything that decides about the search.
    search: String,
    progress: Progress,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        Ok(_) => Err("a share between 0 and 1 is needed, such as 0.06".to_owned()),
        Err(e) => Err(format!("{e}")),
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    let network = Network::load(&args.model)?;
    let graph = &network.model.graph;
    let preprocess = images::preprocess(graph, &network.path)?;
    let (images, origin) = images::calibration(graph, &preprocess, &args.data, args.calibration)?;
    let exact = match args.objective {
        Objective::Decisions => None,
        _ => {
            Some(network.calibrate(None, &Settings::default(), (images.clone(), String::new()))?)
        }
    };
    let mut measure = Measure::new(&network.model, images.clone(), !args.as_is)?;
    let costs = match &exact {
        None => Costs::decisions(measure.sites()),
        Some(exact) => {
            let predict = predictor(args, &network, exact.program.clone())?;
            Costs::predicted(&exact.plan, graph, measure.sites(), predict)?
        }
    };
    let budget = args.budget * costs.exact - costs.fixed;
    if budget < 0.0 {
        bail!(
            "without any activation the network still costs {:.1}% of what it costs with exact \
             gates: a budget of {:.1}% cannot be met",
            100.0 * costs.fixed / costs.exact,
            100.0 * args.budget
        );
    }
    let bar = progress::bar(args.json.json, None, "images measured");
    let mut allowed = budget;
    let mut tries = 0;
    // Costs of elements leave out what sums over patches do to number formats, and how messages are
    // packed: a plan that costs too much as a whole is made cheaper.
    let (Found { plan, measured, steps }, cost) = loop {
        let found = find(args, &network, &mut measure, &costs, allowed as u64, &bar)?;
        let cost = match &exact {
            Some(exact) => {
                let calibrated = (images.clone(), String::new());
                let plan = Some(found.plan.clone());
                let whole = network.calibrate(plan, &Settings::default(), calibrated)?.plan;
                predictor(args, &network, exact.program.clone())?(&whole)?
            }
            None => decisions(&measure, graph, &found.plan) as f64,
        };
        tries += 1;
        if cost <= args.budget * costs.exact || tries == TRIES {
            break (found, cost);
        }
        allowed *= CHEAPER * budget / (cost - costs.fixed).max(budget);
    };
    bar.finish_and_clear();
    if cost > args.budget * costs.exact {
        output::note("warning: the plan costs more than the budget");
    }
    files::write(&args.output, plan.to_text().as_bytes())?;
    let clusters = !matches!(args.grouping, Grouping::Patches | Grouping::Uniform);
    let last = steps.iter().rev().find(|step| step.accepted);
    let report = Report {
        model: network.path.display().to_string(),
        calibration: origin,
        objective: args.objective,
        grouping: args.grouping,
        decision: clusters.then_some(args.decision),
        exact: costs.exact,
        cost,
        share: cost / costs.exact,
        predicted: last.map(|step| step.predicted),
        measured,
        decisions: decisions(&measure, graph, &plan) as u64,
        exact_decisions: decisions(&measure, graph, &measure.plan(None)) as u64,
        steps,
        seconds: started.elapsed().as_secs_f64(),
        output: args.output.display().to_string(),
    };
    output::report(&report, args.json.json, human)
}

/// A plan, and how it was found.
struct Found {
    plan: Plan,
    measured: f64,
    steps: Vec<Step>,
}

/// Decisions of a plan at the sites that can be planned.
fn decisions(measure: &Measure, graph: &Graph, plan: &Plan) -> usize {
    let of = |site: &ChoiceSite| {
        let shape = &graph.node(site.node).shape;
        let planned = plan.site(&site.name, SiteKind::Activation);
        planned.map_or(0, |p| Resolved::resolve(&p.gate, &shape.0).decisions(shape.len()))
    };
    measure.sites().iter().map(of).sum()
}

/// A plan whose choices cost at most `budget`.
fn find(
    args: &Args,
    network: &Network,
    measure: &mut Measure,
    costs: &Costs,
    budget: u64,
    bar: &ProgressBar,
) -> Result<Found> {
    let mut done = |images: usize| bar.inc(images as u64);
    let (plan, measured) = match args.grouping {
        Grouping::Patches => return search(args, network, measure, costs, budget, bar),
        Grouping::Uniform => {
            let plan = relu::uniform(measure, costs, budget)?;
            let measured = measure.loss(&plan, &mut done)?;
            (plan, measured)
        }
        Grouping::Channels | Grouping::Blocks | Grouping::Across => {
            let channels = args.grouping == Grouping::Channels;
            let patches = if channels { &BLOCKS[..1] } else { &BLOCKS[..] };
            let decider = match args.decision {
                Decision::Mean => Decider::Mean,
                Decision::Member => Decider::Member,
                Decision::Form => Decider::Form,
            };
            let (plan, loss) = relu::cluster(measure, costs, budget, patches, decider, &mut done)?;
            if args.grouping == Grouping::Across {
                relu::across(measure, plan, loss, &mut done)?
            } else {
                (plan, loss)
            }
        }
    };
    Ok(Found { plan, measured, steps: Vec::new() })
}

/// The search for patches, from where an earlier run left off.
fn search(
    args: &Args,
    network: &Network,
    measure: &mut Measure,
    costs: &Costs,
    budget: u64,
    bar: &ProgressBar,
) -> Result<Found> {
    let options = Options { rounds: args.rounds, ..Options::default() };
    let identity = identity(args, network, &options, costs)?;
    let file = files::beside(&args.output, ".measured.json");
    let saved = read_progress(&file, &identity);
    let mut search = Search::new(measure, costs, budget, options, saved);
    bar.set_position((search.progress().steps.len() * args.calibration) as u64);
    while search.advance(&mut |images| bar.inc(images as u64))? {
        if let Some(step) = search.progress().steps.last() {
            let share = (step.cost as f64 + costs.fixed) / costs.exact;
            bar.set_message(format!("cost {:.2}%, loss {:.4}", 100.0 * share, step.measured));
        }
        let saved = Saved { search: identity.clone(), progress: search.progress().clone() };
        files::write(&file, serde_json::to_string(&saved)?.as_bytes())?;
    }
    let Progress { choices, steps, .. } = search.progress().clone();
    let choices = choices.context("the search took no step")?;
    let last = steps.iter().rev().find(|step| step.accepted);
    let measured = last.map_or(0.0, |step| step.measured);
    Ok(Found { plan: measure.plan(Some(&choices)), measured, steps })
}

/// Predicts what plans cost, in the objective's units.
fn predictor<'n>(
    args: &Args,
    network: &'n Network,
    exact: Arc<Program>,
) -> Result<impl FnMut(&Plan) -> Result<f64> + 'n> {
    let hosts = match args.comparison.forecast.link {
        Link::Loopback => Hosts::One,
        Link::Line(_) => Hosts::Three,
    };
    let forecast = Forecast::new(&args.comparison.forecast, hosts)?;
    let comparison = match args.comparison.comparison {
        Choice::Dcf => Comparison::Dcf,
        Choice::Digits => Comparison::Digits,
        Choice::Auto => forecast.faster(&Job::new(exact, 1, Comparison::Digits)),
    };
    let objective = args.objective;
    Ok(move |plan: &Plan| {
        let job = Job::new(Arc::new(lower(&network.model.graph, plan)?), 1, comparison);
        Ok(match objective {
            Objective::Seconds => 1e9 * forecast.times(&job).total(),
            _ => {
                let prediction = Prediction::new(&job);
                (prediction.total(Phase::Offline) + prediction.total(Phase::Online)) as f64
            }
        })
    })
}

/// What decides about a search, so that only the same one goes on.
fn identity(args: &Args, network: &Network, options: &Options, costs: &Costs) -> Result<String> {
    let settings = serde_json::to_string(&(
        args.data.to_string(),
        args.calibration,
        args.budget,
        args.objective,
        args.as_is,
        VERSION,
        options,
        format!("{costs:?}"),
    ))?;
    let network = files::hash(&network.model.to_onnx());
    Ok(files::hash(format!("{network} {settings}").as_bytes()))
}

/// What an earlier run of the same search has reached.
fn read_progress(file: &Path, identity: &str) -> Option<Progress> {
    let saved: Saved = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    if saved.search != identity {
        return None;
    }
    Some(saved.progress)
}

fn human(report: &Report) -> String {
    let mut text = format!("{}, {}\n", report.model, report.calibration);
    let mut table = Table::new(&["step", "budget", "predicted loss", "measured", "gap", ""]);
    for (i, step) in report.steps.iter().enumerate() {
        table.row([
            (i + 1).to_string(),
            grouped(step.budget),
            format!("{:.4}", step.predicted),
            format!("{:.4}", step.measured),
            format!("{:.3}%", 100.0 * step.gap),
            if step.accepted { "taken" } else { "left" }.to_owned(),
        ]);
    }
    if !report.steps.is_empty() {
        let _ = writeln!(text, "{table}");
    }
    let _ = writeln!(
        text,
        "{} of {} decisions ({:.2}%)",
        grouped(report.decisions),
        grouped(report.exact_decisions),
        100.0 * report.decisions as f64 / report.exact_decisions as f64
    );
    let unit = match report.objective {
        Objective::Decisions => "decisions",
        Objective::Bytes => "bytes",
        Objective::Seconds => "predicted nanoseconds",
    };
    let _ = writeln!(
        text,
        "{:.2}% of the exact plan's {unit}; the outputs' relative distortion is {:.4}",
        100.0 * report.share,
        report.measured
    );
    let _ = writeln!(text, "{}", output::seconds(report.seconds));
    let _ = write!(text, "wrote {}", report.output);
    text
}
