//! Flags that several commands share, each defined once.

use std::sync::Arc;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use hushwire_fixed::Settings;
use hushwire_mpc::cost::Prediction;
use hushwire_mpc::{Comparison, Job};
use hushwire_net::Phase;
use serde::{Deserialize, Serialize};

/// A network and how it is made private.
#[derive(Args, Clone)]
pub struct NetworkArgs {
    /// The network, an ONNX file
    pub model: PathBuf,
    /// The activation plan, as `hushwire calibrate` writes it. Without one every activation is
    /// computed exactly and the number formats are calibrated on the spot
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
}

/// How the result is printed.
#[derive(Args, Clone, Copy)]
pub struct JsonArg {
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub json: bool,
}

/// How signs are compared, and the line that this is chosen for.
#[derive(Args, Clone, Copy)]
pub struct ComparisonArgs {
    /// How signs are compared
    #[arg(long, value_enum, default_value_t = Choice::Auto)]
    pub comparison: Choice,
    /// The line between the parties: round-trip time in milliseconds and bandwidth in Mbit/s, such
    /// as `20,100`. Processes on this machine are slowed down to it [default: no emulation; `auto`
    /// then assumes 0.05,10000]
    #[arg(long, value_name = "RTT_MS,MBIT")]
    pub link: Option<Line>,
}

/// A way to compare signs, or the choice of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Choice {
    /// Distributed comparison functions: one round trip per layer, large keys offline
    Dcf,
    /// Digit tables: two round trips per layer, fewest bytes
    Digits,
    /// Whichever is predicted to be faster on the line
    Auto,
}

/// A line between two parties.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Round-trip time in milliseconds.
    pub rtt_ms: f64,
    /// Bandwidth of each direction in 10^6 bits per second.
    pub mbit: f64,
}

/// What two processes on one machine have.
const LOOPBACK: Line = Line { rtt_ms: 0.05, mbit: 10_000.0 };

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |text: &str| text.trim().parse::<f64>().ok();
        let numbers = text.split_once(',').and_then(|(a, b)| Some((parse(a)?, parse(b)?)));
        match numbers {
            Some((rtt_ms, mbit)) if (0.0..=60_000.0).contains(&rtt_ms) && mbit > 0.0 => {
                Ok(Line { rtt_ms, mbit })
            }
            _ => Err(format!(
                "`{text}` is no line: expected a round-trip time of 0 to 60000 milliseconds and a \
                 positive bandwidth in Mbit/s, such as 20,100"
            )),
        }
    }
}

impl Line {
    /// A local network: 1 ms, 1 Gbit/s.
    pub const LAN: Line = Line { rtt_ms: 1.0, mbit: 1000.0 };

    /// Across a continent: 40 ms, 100 Mbit/s.
    pub const WAN: Line = Line { rtt_ms: 40.0, mbit: 100.0 };

    /// Seconds that the messages of an inference take at least.
    pub fn seconds(&self, prediction: &Prediction) -> f64 {
        let bytes = prediction.total(Phase::Offline) + prediction.total(Phase::Online);
        bytes as f64 * 8.0 / (self.mbit * 1e6) + prediction.rounds as f64 * self.rtt_ms / 1e3
    }
}

impl ComparisonArgs {
    /// The line, emulated or assumed.
    pub fn line(&self) -> Line {
        self.link.unwrap_or(LOOPBACK)
    }

    /// The comparison for a job, given as one with any comparison.
    pub fn choose(&self, job: &Job) -> Comparison {
        match self.comparison {
            Choice::Dcf => Comparison::Dcf,
            Choice::Digits => Comparison::Digits,
            Choice::Auto => {
                let time = |comparison| {
                    let job = Job::new(Arc::clone(&job.program), job.batch, comparison);
                    self.line().seconds(&Prediction::new(&job))
                };
                let dcf_is_faster = time(Comparison::Dcf) < time(Comparison::Digits);
                if dcf_is_faster { Comparison::Dcf } else { Comparison::Digits }
            }
        }
    }
}

/// How finely calibration represents values.
#[derive(Args, Clone, Copy)]
pub struct SettingsArgs {
    /// Bits of magnitude of the largest activation seen
    #[arg(long, value_name = "BITS", default_value_t = Settings::default().activation_bits,
          value_parser = clap::value_parser!(i32).range(2..=24))]
    pub activation_bits: i32,
    /// Bits of magnitude of the largest weight of each layer
    #[arg(long, value_name = "BITS", default_value_t = Settings::default().weight_bits,
          value_parser = clap::value_parser!(i32).range(2..=24))]
    pub weight_bits: i32,
    /// Extra bits for values larger than any seen
    #[arg(long, value_name = "BITS", default_value_t = Settings::default().headroom,
          value_parser = clap::value_parser!(i32).range(0..=8))]
    pub headroom: i32,
    /// Bits of each value, from the top, that a sign decision looks at
    #[arg(long, value_name = "BITS", default_value_t = Settings::default().window_bits,
          value_parser = clap::value_parser!(u32).range(2..=32))]
    pub window_bits: u32,
}

impl SettingsArgs {
    /// As calibration takes them.
    pub fn settings(&self) -> Settings {
        Settings {
            activation_bits: self.activation_bits,
            weight_bits: self.weight_bits,
            headroom: self.headroom,
            window_bits: self.window_bits,
            // A user who asks for weight bits gets them where the ring allows it.
            least_weight_bits: Settings::default().least_weight_bits.min(self.weight_bits),
            ..Settings::default()
        }
    }
}

/// Parses a number that must not be zero.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".to_owned()),
        Ok(number) => Ok(number),
        Err(e) => Err(format!("{e}")),
    }
}
