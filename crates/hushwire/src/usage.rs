//! What private inferences took, summed up.

use hushwire_party::{Bytes, Outcome, PartiesReport, PartyReport, PhaseReport, Prepared};
use serde::Serialize;

use crate::output::{Table, bytes, grouped, seconds};

/// Phases and parties over one or more inferences.
#[derive(Debug, Default, Serialize)]
pub struct Usage {
    /// Agreeing on the network, masked weights.
    pub setup: Phase,
    /// Before the input is looked at.
    pub offline: Phase,
    /// From the input to the logits.
    pub online: Phase,
    /// The processes.
    pub parties: Parties,
}

/// One phase.
#[derive(Debug, Default, Serialize)]
pub struct Phase {
    /// At the client.
    pub seconds: f64,
    /// Round trips between client and server.
    pub rounds: u64,
    /// Bytes on the links, frame headers included.
    pub bytes: Routes,
}

/// Bytes by route: from party to party, 0 the client, 1 the server, 2 the helper.
#[derive(Debug, Default, Serialize)]
pub struct Routes {
    #[serde(flatten)]
    routes: Bytes,
    /// All together.
    pub total: u64,
}

/// The three processes; nothing is known of one that keeps its usage to itself.
#[derive(Debug, Default, Serialize)]
pub struct Parties {
    client: Party,
    server: Party,
    helper: Party,
}

#[derive(Debug, Default, Serialize)]
struct Party {
    peak_memory_bytes: Option<u64>,
    cpu_seconds: Option<f64>,
}

impl Usage {
    /// Adds an inference.
    pub fn add(&mut self, outcome: &Outcome) {
        self.setup.add(&outcome.setup);
        self.offline.add(&outcome.offline);
        self.online.add(&outcome.online);
        self.parties.add(&outcome.parties);
    }

    /// Adds stored preprocessing.
    pub fn add_prepared(&mut self, prepared: &Prepared) {
        self.setup.add(&prepared.setup);
        self.offline.add(&prepared.offline);
        self.parties.add(&prepared.parties);
    }

    /// As people read it.
    pub fn table(&self) -> String {
        let heads = ["", "time", "rounds", "p0 to p1", "p1 to p0", "p0 to p2", "p2 to p0"];
        let heads: Vec<&str> = heads.into_iter().chain(["p1 to p2", "p2 to p1", "total"]).collect();
        let mut table = Table::new(&heads);
        let phases = [("setup", &self.setup), ("offline", &self.offline), ("online", &self.online)];
        for (name, phase) in phases {
            let b = &phase.bytes.routes;
            let routes = [b.p0_p1, b.p1_p0, b.p0_p2, b.p2_p0, b.p1_p2, b.p2_p1];
            let first = [name.to_owned(), seconds(phase.seconds), phase.rounds.to_string()];
            let total = std::iter::once(bytes(phase.bytes.total));
            table.row(first.into_iter().chain(routes.map(grouped)).chain(total));
        }
        table.to_string()
    }
}

impl Phase {
    fn add(&mut self, phase: &PhaseReport) {
        self.seconds += phase.seconds;
        self.rounds += phase.rounds;
        self.bytes.routes += phase.bytes;
        self.bytes.total = self.bytes.routes.total();
    }
}

impl Parties {
    fn add(&mut self, report: &PartiesReport) {
        self.client.add(&report.client);
        if let Some(server) = &report.server {
            self.server.add(server);
        }
        if let Some(helper) = &report.helper {
            self.helper.add(helper);
        }
    }
}

impl Party {
    fn add(&mut self, report: &PartyReport) {
        self.peak_memory_bytes = self.peak_memory_bytes.max(report.peak_memory_bytes);
        *self.cpu_seconds.get_or_insert(0.0) += report.cpu_seconds;
    }
}
