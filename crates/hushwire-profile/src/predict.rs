//! How long an inference takes.

use crate::Profile;
use crate::schedule::{Schedule, Steps};
use crate::simulate::{self, Stage};
use hushwire_mpc::Job;
use hushwire_mpc::cost::Prediction;
use serde::Serialize;

/// The line between any two parties.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Round-trip time in seconds, beside what sending and receiving take.
    pub rtt: f64,
    /// Bytes that each direction carries in a second.
    pub bytes_per_second: f64,
}

impl Line {
    /// As fast as the machine takes it.
    pub const LOOPBACK: Line = Line { rtt: 0.0, bytes_per_second: f64::INFINITY };
}

/// Where the parties run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// All on one machine like the profile's.
    One,
    /// Each on one of its own.
    Three,
}

/// Predicted seconds at the client.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Times {
    /// Preprocessing.
    pub offline: f64,
    /// From the input to the logits.
    pub online: f64,
}

impl Times {
    /// Both phases.
    pub fn total(&self) -> f64 {
        self.offline + self.online
    }
}

impl Profile {
    /// How long `job` takes.
    pub fn predict(&self, job: &Job, line: &Line, hosts: Hosts) -> Times {
        let prediction = Prediction::new(job);
        let schedule = Schedule::new(job, &prediction, self);
        let stage = Stage {
            cores: self.machine.cores,
            shared: hosts == Hosts::One,
            delay: if line.rtt > 0.0 {
                line.rtt / 2.0 + self.links.timer_ns.times(1.0)
            } else {
                0.0
            },
            wake: self.links.wake_ns.times(1.0),
            seconds_per_byte: line.bytes_per_second.recip(),
            per_message: self.links.message_ns.times(1.0),
            per_byte: self.links.byte_ns.times(1.0),
        };
        let seconds = |steps: Steps| simulate::run(&stage, &steps)[0];
        Times { offline: seconds(schedule.offline()), online: seconds(schedule.online()) }
    }
}
