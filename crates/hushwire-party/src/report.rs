//! What an inference took: time, messages, memory.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use hushwire_fixed::Program;
use hushwire_mpc::op_of_step;
use hushwire_net::{Phase, PhaseTraffic, StepTraffic, Traffic, Volume};
use serde::{Deserialize, Serialize};

/// The result of an inference and what it took.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The logits of the batch, sample after sample.
    pub logits: Vec<f32>,
    /// Since the session began, or since the report before.
    pub setup: PhaseReport,
    /// Preprocessing; empty when stored preprocessing was used.
    pub offline: PhaseReport,
    /// From the input to the logits.
    pub online: PhaseReport,
    /// What the processes used.
    pub parties: PartiesReport,
}

/// Framed bytes between two parties, in each direction. TLS and TCP add a little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// Client to server.
    pub p0_p1: u64,
    /// Server to client.
    pub p1_p0: u64,
    /// Client to helper.
    pub p0_p2: u64,
    /// Helper to client.
    pub p2_p0: u64,
    /// Server to helper.
    pub p1_p2: u64,
    /// Helper to server.
    pub p2_p1: u64,
}

impl Bytes {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.p0_p1 + self.p1_p0 + self.p0_p2 + self.p2_p0 + self.p1_p2 + self.p2_p1
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Bytes) {
        self.p0_p1 += other.p0_p1;
        self.p1_p0 += other.p1_p0;
        self.p0_p2 += other.p0_p2;
        self.p2_p0 += other.p2_p0;
        self.p1_p2 += other.p1_p2;
        self.p2_p1 += other.p2_p1;
    }
}

/// One phase as the client saw it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PhaseReport {
    /// Wall-clock seconds at the client.
    pub seconds: f64,
    /// Runs of messages that the client received from the server, so round trips online.
    pub rounds: u64,
    /// Framed bytes.
    pub bytes: Bytes,
    /// The same by operation of the program, in order; not for the setup phase.
    pub layers: Vec<LayerReport>,
}

/// Traffic of one operation.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Name of the graph node.
    pub name: String,
    /// Position in the program.
    pub op: usize,
    /// Framed bytes.
    pub bytes: Bytes,
}

/// What the three processes used.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PartiesReport {
    /// The client's.
    pub client: PartyReport,
    /// The server's; absent when it does not share it.
    pub server: Option<PartyReport>,
    /// The helper's; absent when it took no part or does not share it.
    pub helper: Option<PartyReport>,
}

/// What a process used. A process that serves several sessions counts them together, so server and
/// helper share it only if their configuration says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartyReport {
    /// Most memory the process ever had, in bytes; absent where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// Processor time of the process since the report before, in seconds.
    pub cpu_seconds: f64,
}

impl PartyReport {
    /// The counters since `*mark`, which moves on.
    pub(crate) fn since(mark: &mut f64) -> PartyReport {
        let now = cpu_seconds();
        let cpu_seconds = now - std::mem::replace(mark, now);
        PartyReport { peak_memory_bytes: peak_memory(), cpu_seconds }
    }
}

/// Processor time of this process so far.
pub(crate) fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Most memory this process ever had, in bytes; nothing where the system does not tell.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// What a link carried since `*mark`, which moves on.
pub(crate) fn traffic_since(mark: &mut Traffic, now: Traffic) -> Traffic {
    let difference = Traffic {
        setup: phase_difference(&now.setup, &mark.setup),
        offline: phase_difference(&now.offline, &mark.offline),
        online: phase_difference(&now.online, &mark.online),
    };
    *mark = now;
    difference
}

fn difference(a: Volume, b: Volume) -> Volume {
    Volume {
        messages: a.messages - b.messages,
        payload_bytes: a.payload_bytes - b.payload_bytes,
        framed_bytes: a.framed_bytes - b.framed_bytes,
    }
}

fn phase_difference(now: &PhaseTraffic, before: &PhaseTraffic) -> PhaseTraffic {
    let step = |(step, traffic): (&u32, &StepTraffic)| {
        let earlier = before.steps.get(step).copied().unwrap_or_default();
        let traffic = StepTraffic {
            sent: difference(traffic.sent, earlier.sent),
            received: difference(traffic.received, earlier.received),
        };
        (traffic != StepTraffic::default()).then_some((*step, traffic))
    };
    PhaseTraffic {
        sent: difference(now.sent, before.sent),
        received: difference(now.received, before.received),
        rounds: now.rounds - before.rounds,
        steps: now.steps.iter().filter_map(step).collect(),
    }
}

/// The traffic of the three links: client-server and client-helper as the client saw them,
/// server-helper as the server did.
pub(crate) struct Links {
    pub(crate) server: Traffic,
    pub(crate) helper: Traffic,
    pub(crate) between: Traffic,
}

impl Links {
    /// The report of a phase.
    pub(crate) fn phase(&self, phase: Phase, seconds: f64, program: &Program) -> PhaseReport {
        let parts = [&self.server, &self.helper, &self.between].map(|t| t.phase(phase));
        let mut bytes = Bytes::default();
        let mut layers: BTreeMap<usize, Bytes> = BTreeMap::new();
        for (link, part) in parts.iter().enumerate() {
            bytes += on_link(link, part.sent, part.received);
            for (step, traffic) in part.steps.iter().filter(|_| phase != Phase::Setup) {
                let layer = layers.entry(op_of_step(*step)).or_default();
                *layer += on_link(link, traffic.sent, traffic.received);
            }
        }
        let name = |op: usize| program.values.get(op).map_or("unknown", |v| &v.name).to_owned();
        let layers =
            layers.into_iter().map(|(op, bytes)| LayerReport { name: name(op), op, bytes });
        PhaseReport { seconds, rounds: parts[0].rounds, bytes, layers: layers.collect() }
    }
}

/// Traffic of one of the three links, in the order of [`Links`]' fields.
fn on_link(link: usize, sent: Volume, received: Volume) -> Bytes {
    let (sent, received) = (sent.framed_bytes, received.framed_bytes);
    match link {
        0 => Bytes { p0_p1: sent, p1_p0: received, ..Bytes::default() },
        1 => Bytes { p0_p2: sent, p2_p0: received, ..Bytes::default() },
        _ => Bytes { p1_p2: sent, p2_p1: received, ..Bytes::default() },
    }
}
