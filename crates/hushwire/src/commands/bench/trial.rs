//! One network run by three processes of its own, so that times and peak memory are those of the
//! parties and of nothing else.
//!
//! The program starts itself as the client, which starts server and helper. The client reads its
//! task from a line of standard input, writes a line of standard output for every repetition, and
//! ends when standard input does: no process outlives the one that measures.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use hushwire_mpc::Comparison;
use hushwire_party::{Outcome, PhaseReport};
use hushwire_plan::Plan;
use serde::{Deserialize, Serialize};

use crate::args::Line;
use crate::images;
use crate::local::{self, Parties, PrivateFolder};
use crate::output;

/// Repetitions at least, unless they take too long.
const REPETITIONS: usize = 5;

/// After this time no repetition is begun.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the parties run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    /// The network, an ONNX file.
    pub model: PathBuf,
    /// The calibrated plan, a file.
    pub plan: PathBuf,
    /// How signs are compared.
    pub comparison: Comparison,
    /// The line between them, if not the machine's own.
    pub line: Option<Line>,
}

/// One inference.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Repetition {
    /// Agreeing on the network, masked weights; only the first repetition has one.
    pub setup: Phase,
    /// Preprocessing.
    pub offline: Phase,
    /// From the input to the logits.
    pub online: Phase,
    /// Peak memory of the process that took most, where the system tells.
    pub peak_bytes: Option<u64>,
}

/// One phase of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Phase {
    /// At the client.
    pub seconds: f64,
    /// Over all links, frame headers included.
    pub bytes: u64,
    /// The same by operation of the program.
    pub of_ops: Vec<(usize, u64)>,
}

/// All repetitions.
pub(super) struct Measured(Vec<Repetition>);

impl Measured {
    /// The first repetition: its bytes are those of all.
    pub fn first(&self) -> &Repetition {
        &self.0[0]
    }

    /// Seconds of the fastest repetition, by what `of` sums.
    pub fn seconds(&self, of: impl Fn(&Repetition) -> f64) -> f64 {
        self.0.iter().map(of).fold(f64::INFINITY, f64::min)
    }

    /// Peak memory of the process that took most.
    pub fn peak_bytes(&self) -> Result<u64> {
        let peak = self.0.iter().filter_map(|repetition| repetition.peak_bytes).max();
        peak.context("this system does not tell how much memory a process took")
    }
}

/// Runs a task in three processes.
pub(super) fn run(task: &Task) -> Result<Measured> {
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let mut command = Command::new(program);
    let command = command.arg("trial").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = Running(command.spawn().context("cannot start a process to measure")?);
    let stdin = client.0.stdin.take();
    let mut stdin = stdin.ok_or_else(|| anyhow!("the process to measure has no input"))?;
    writeln!(stdin, "{}", serde_json::to_string(task)?)?;
    let stdout = client.0.stdout.take();
    let stdout = stdout.ok_or_else(|| anyhow!("the process to measure has no output"))?;
    let mut repetitions = Vec::new();
    for line in BufReader::new(stdout).lines() {
        repetitions.push(serde_json::from_str(&line?)?);
    }
    if !client.0.wait()?.success() || repetitions.is_empty() {
        bail!("the process to measure failed; its own message says why");
    }
    Ok(Measured(repetitions))
}

/// A child that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Its input ends, and with it the process.
        self.0.stdin.take();
        let _ = self.0.wait();
    }
}

/// The other side of [`run`]: the client.
pub fn serve() -> Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let task: Task = serde_json::from_str(&line).context("standard input has no task")?;
    let folder = PrivateFolder::new()?;
    let path = folder.path().to_owned();
    std::thread::spawn(move || {
        // Whatever stops the reading, nobody is there any more.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = std::fs::remove_dir_all(path);
        std::process::exit(1);
    });
    repeat(&task, folder)
}

fn repeat(task: &Task, folder: PrivateFolder) -> Result<()> {
    let plan = Plan::from_bytes(&read(&task.plan)?)?;
    let mut parties = Parties::start(
        folder,
        &local::Task {
            model: &task.model,
            plan: &plan,
            comparison: task.comparison,
            line: task.line,
            batch: 1,
        },
    )?;
    let input = images::random(parties.graph()?, 1)?.concat();
    let start = Instant::now();
    for repetition in 0..REPETITIONS {
        // While the first prepares, masked weights may still be on their way.
        if repetition > 1 && start.elapsed() > PATIENCE {
            break;
        }
        let report = Repetition::from(&parties.infer(&input)?);
        output::print(serde_json::to_string(&report)?)?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

impl From<&Outcome> for Repetition {
    fn from(outcome: &Outcome) -> Repetition {
        let parties = &outcome.parties;
        let others = [parties.server, parties.helper].into_iter().flatten();
        let all = others.chain([parties.client]);
        Repetition {
            setup: Phase::from(&outcome.setup),
            offline: Phase::from(&outcome.offline),
            online: Phase::from(&outcome.online),
            peak_bytes: all.filter_map(|party| party.peak_memory_bytes).max(),
        }
    }
}

impl From<&PhaseReport> for Phase {
    fn from(report: &PhaseReport) -> Phase {
        Phase {
            seconds: report.seconds,
            bytes: report.bytes.total(),
            of_ops: report.layers.iter().map(|layer| (layer.op, layer.bytes.total())).collect(),
        }
    }
}
