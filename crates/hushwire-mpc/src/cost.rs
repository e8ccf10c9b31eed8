//! Exact prediction of what an inference sends, from the program alone.

use crate::curve::CurveLayout;
use crate::gate::schedule::{Messages, round_trips};
use crate::job::{Job, Kind, step};
use crate::keys::MaskedWeights;
use crate::layout::GateLayout;
use hushwire_fixed::program::Op;
use hushwire_net::{Phase, Role, framed_len};
use hushwire_ring::packed_len;
use serde::Serialize;

/// One message of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who sends.
    pub from: Role,
    /// Who receives.
    pub to: Role,
    /// The operation it belongs to.
    pub op: usize,
    /// Its step number within the phase.
    pub step: u32,
    /// Payload in bytes.
    pub payload: usize,
}

impl Message {
    /// Bytes on the link, frame headers included.
    pub fn framed(&self) -> u64 {
        framed_len(self.payload)
    }
}

/// What an inference sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Prediction {
    /// Messages of the offline phase.
    pub offline: Vec<Message>,
    /// Messages of the online phase.
    pub online: Vec<Message>,
    /// Round trips of the online phase: gates, and the one of input and output.
    pub rounds: usize,
    /// Masked weights from server to helper, once per key of the model, in bytes on the link.
    pub upload_bytes: u64,
}

impl Prediction {
    /// The messages of `job`.
    pub fn new(job: &Job) -> Prediction {
        let mut prediction = Prediction {
            upload_bytes: framed_len(MaskedWeights::<u64>::message_len(job)),
            rounds: 1,
            ..Prediction::default()
        };
        let (client, server, helper) = (Role::Client, Role::Server, Role::Helper);
        for (op, operation) in job.program.ops.iter().enumerate() {
            let message =
                |from, to, kind, payload| Message { from, to, op, step: step(op, kind), payload };
            let elements = packed_len(job.len(op), job.program.ring);
            match operation {
                Op::Input => {
                    prediction.online.push(message(client, server, Kind::said(0), elements));
                }
                Op::Linear(_) => {
                    for count in job.pieces(job.len(op)) {
                        let payload = packed_len(count, job.program.ring);
                        prediction.offline.push(message(helper, server, Kind::Material, payload));
                    }
                }
                Op::Gate(gate) => {
                    prediction.gate(&GateLayout::parts(job, op, gate));
                }
                Op::Curve(curve) => prediction.gate(&CurveLayout::parts(job, op, curve)),
                Op::Open { width, .. } => {
                    let payload = packed_len(job.len(op), *width);
                    prediction.online.push(message(server, client, Kind::said(0), payload));
                }
                // Composite polynomials are refused before anything is sent.
                Op::AddParam { .. } | Op::Local(_) | Op::Polynomial(_) => {}
            }
        }
        prediction
    }

    /// Adds the messages of a gate, whose parts travel together.
    fn gate(&mut self, parts: &[impl Messages]) {
        let (client, server, helper) = (Role::Client, Role::Server, Role::Helper);
        for part in parts {
            let message = |from, to, kind, payload| {
                let step = step(part.op(), kind);
                Message { from, to, op: part.op(), step, payload }
            };
            let offline = &mut self.offline;
            offline.push(message(helper, server, Kind::Material, part.dealt_len()));
            if part.keys_len() > 0 {
                offline.push(message(helper, client, Kind::Keys, part.keys_len()));
                offline.push(message(helper, server, Kind::Keys, part.keys_len()));
            }
            offline.push(message(client, server, Kind::Masked, part.masked_len()));
            for (number, payload) in (0..).map_while(|n| Some((n, part.online_len(n)?))) {
                let (from, to) = if number % 2 == 0 { (server, client) } else { (client, server) };
                self.online.push(message(from, to, Kind::said(number), payload));
            }
        }
        self.rounds += round_trips(parts);
    }

    /// Messages of a phase.
    pub fn phase(&self, phase: Phase) -> &[Message] {
        match phase {
            Phase::Setup => &[],
            Phase::Offline => &self.offline,
            Phase::Online => &self.online,
        }
    }

    /// Bytes on the link from one party to another in a phase, frame headers included.
    pub fn bytes(&self, phase: Phase, from: Role, to: Role) -> u64 {
        let of_route = self.phase(phase).iter().filter(|m| m.from == from && m.to == to);
        of_route.map(Message::framed).sum()
    }

    /// Bytes on all links in a phase, frame headers included.
    pub fn total(&self, phase: Phase) -> u64 {
        self.phase(phase).iter().map(Message::framed).sum()
    }
}
