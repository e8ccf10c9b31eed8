//! What a link carried, exactly.
//!
//! Messages count when the caller sends or receives them, so the numbers depend on the protocol and
//! not on timing.
//!
//! **Rounds.** Within one phase, the messages a party receives form runs, separated by messages it
//! sends; `rounds` is the number of runs. So the first message received begins a round, and so does
//! each message received after having sent. A layer in which the server speaks and the client answers
//! is one round for either. The messages on the critical path of two parties that take turns are the
//! sum of their rounds.
//!
//! Offline and online, several messages of one step travel together: the parts of a layer, sent
//! without waiting for answers. So only the first message of a step begins a round there, until a
//! message of the setup phase says that something else begins.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::sync::lock;
use crate::{Label, Phase};

/// Messages and bytes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Messages.
    pub messages: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// Bytes of their frames, headers included; what TLS and TCP add is not counted.
    pub framed_bytes: u64,
}

impl AddAssign for Volume {
    fn add_assign(&mut self, other: Volume) {
        self.messages += other.messages;
        self.payload_bytes += other.payload_bytes;
        self.framed_bytes += other.framed_bytes;
    }
}

/// Both directions of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTraffic {
    /// What this party sent.
    pub sent: Volume,
    /// What this party received.
    pub received: Volume,
}

/// The traffic of one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseTraffic {
    /// What this party sent.
    pub sent: Volume,
    /// What this party received.
    pub received: Volume,
    /// Rounds; see the module's documentation.
    pub rounds: u64,
    /// The same by step.
    pub steps: BTreeMap<u32, StepTraffic>,
}

/// The traffic of one link as one party sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Keys, programs, masked weights.
    pub setup: PhaseTraffic,
    /// Correlated randomness.
    pub offline: PhaseTraffic,
    /// From the input to the result.
    pub online: PhaseTraffic,
}

impl Traffic {
    /// The traffic of `phase`.
    pub fn phase(&self, phase: Phase) -> &PhaseTraffic {
        match phase {
            Phase::Setup => &self.setup,
            Phase::Offline => &self.offline,
            Phase::Online => &self.online,
        }
    }

    fn phase_mut(&mut self, phase: Phase) -> &mut PhaseTraffic {
        match phase {
            Phase::Setup => &mut self.setup,
            Phase::Offline => &mut self.offline,
            Phase::Online => &mut self.online,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    traffic: Traffic,
    /// Phases in which the last thing this party did was to receive.
    receiving: [bool; Phase::ALL.len()],
    /// Steps of which messages were received since the last of the setup phase.
    begun: BTreeSet<(Phase, u32)>,
}

/// Counts the messages of one link.
#[derive(Debug, Default)]
pub struct Meter {
    state: Mutex<State>,
}

impl Meter {
    /// Everything counted so far.
    pub fn snapshot(&self) -> Traffic {
        lock(&self.state).traffic.clone()
    }

    /// Starts again from zero; the first message received begins a round.
    pub fn reset(&self) {
        *lock(&self.state) = State::default();
    }

    pub(crate) fn sent(&self, label: Label, volume: Volume) {
        let mut state = lock(&self.state);
        state.receiving[label.phase as usize] = false;
        if label.phase == Phase::Setup {
            state.begun.clear();
        }
        let phase = state.traffic.phase_mut(label.phase);
        phase.sent += volume;
        phase.steps.entry(label.step).or_default().sent += volume;
    }

    pub(crate) fn received(&self, label: Label, volume: Volume) {
        let mut state = lock(&self.state);
        let later_part = if label.phase == Phase::Setup {
            state.begun.clear();
            false
        } else {
            !state.begun.insert((label.phase, label.step))
        };
        let continues =
            later_part || std::mem::replace(&mut state.receiving[label.phase as usize], true);
        let phase = state.traffic.phase_mut(label.phase);
        phase.rounds += u64::from(!continues);
        phase.received += volume;
        phase.steps.entry(label.step).or_default().received += volume;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Volume = Volume { messages: 1, payload_bytes: 10, framed_bytes: 26 };

    fn online(step: u32) -> Label {
        Label { phase: Phase::Online, step }
    }

    #[test]
    fn a_layer_is_one_round_for_either_party() {
        let (client, server) = (Meter::default(), Meter::default());
        for layer in 0..5 {
            server.sent(online(layer), ONE);
            client.received(online(layer), ONE);
            client.sent(online(layer), ONE);
            server.received(online(layer), ONE);
        }
        assert_eq!(client.snapshot().online.rounds, 5);
        assert_eq!(server.snapshot().online.rounds, 5);
    }

    #[test]
    fn the_parts_of_a_layer_travel_together() {
        let meter = Meter::default();
        for layer in [1, 2] {
            for _part in 0..5 {
                meter.received(online(layer), ONE);
                meter.sent(online(layer), ONE);
            }
        }
        assert_eq!(meter.snapshot().online.rounds, 2);
        // Another inference.
        meter.sent(Label { phase: Phase::Setup, step: 0 }, ONE);
        meter.received(online(1), ONE);
        assert_eq!(meter.snapshot().online.rounds, 3);
    }

    #[test]
    fn messages_in_a_run_are_one_round_and_phases_are_apart() {
        let meter = Meter::default();
        meter.received(online(0), ONE);
        meter.received(online(1), ONE);
        meter.sent(Label { phase: Phase::Offline, step: 0 }, ONE);
        meter.received(online(2), ONE);
        let traffic = meter.snapshot();
        assert_eq!(traffic.online.rounds, 1);
        assert_eq!(traffic.online.received.payload_bytes, 30);
        assert_eq!(traffic.offline.rounds, 0);
        assert_eq!(traffic.phase(Phase::Offline).sent, ONE);
        meter.reset();
        assert_eq!(meter.snapshot(), Traffic::default());
    }
}
