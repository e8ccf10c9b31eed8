//! Flags that several commands share, each defined once.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use hushwire_fixed::Settings;
use hushwire_minimax::Construction;
use hushwire_mpc::{Comparison, Job};
use hushwire_planner::polynomial::Fitting;
use hushwire_profile::Hosts;
use serde::{Deserialize, Serialize};

use crate::forecast::Forecast;

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

/// How composite polynomials are made for layers.
#[derive(Args, Clone)]
pub struct FittingArgs {
    /// Images whose largest activations decide about ranges
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = positive)]
    pub range_images: usize,
    /// A layer's range is this many times its largest input on those images
    #[arg(long, value_name = "X", default_value_t = 1.25)]
    pub margin: f64,
    /// How the polynomials' stages were computed
    #[arg(long, value_enum, default_value_t = ConstructionArg::Weighted)]
    pub construction: ConstructionArg,
}

impl FittingArgs {
    /// What the flags say.
    pub fn fitting(&self) -> Result<Fitting> {
        if !(1.0..=1e6).contains(&self.margin) {
            bail!("--margin {}: a range must hold what was seen; give 1 or more", self.margin);
        }
        Ok(Fitting { construction: self.construction.into(), margin: self.margin })
    }
}

/// A construction of composite polynomials.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ConstructionArg {
    /// Every stage is minimax for the sign on the range where the one before left its output
    Uniform,
    /// The last stage minimises the error of ReLU instead: more precise at equal cost
    Weighted,
}

impl From<ConstructionArg> for Construction {
    fn from(arg: ConstructionArg) -> Construction {
        match arg {
            ConstructionArg::Uniform => Construction::Uniform,
            ConstructionArg::Weighted => Construction::Weighted,
        }
    }
}

/// How signs are compared, and what this is chosen for.
#[derive(Args, Clone)]
pub struct ComparisonArgs {
    /// How signs are compared
    #[arg(long, value_enum, default_value_t = Choice::Auto)]
    pub comparison: Choice,
    #[command(flatten)]
    pub forecast: ForecastArgs,
}

/// What times are predicted from.
#[derive(Args, Clone)]
pub struct ForecastArgs {
    /// The line between the parties: `loopback`, `lan` (1 ms, 1 Gbit/s), `wan` (40 ms, 100 Mbit/s),
    /// or a round-trip time in milliseconds and a bandwidth in Mbit/s, such as `20,100`. Processes
    /// on this machine are slowed down to it
    #[arg(long, value_name = "LINE", default_value = "loopback")]
    pub link: Link,
    /// The machine's profile, as `hushwire profile` writes it [default: a built-in one]
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
}

/// A way to compare signs, or the choice of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Choice {
    /// Distributed comparison functions: one round trip per layer, large keys offline
    Dcf,
    /// Digit tables: two round trips per layer, fewest bytes
    Digits,
    /// Whichever is predicted to be faster, offline and online together
    Auto,
}

/// What joins two parties.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Link {
    /// The machine's own loopback interface, as fast as it is.
    Loopback,
    /// A line.
    Line(Line),
}

/// A line between two parties.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Round-trip time in milliseconds.
    pub rtt_ms: f64,
    /// Bandwidth of each direction in 10^6 bits per second.
    pub mbit: f64,
}

impl FromStr for Link {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "loopback" => return Ok(Link::Loopback),
            "lan" => return Ok(Link::Line(Line::LAN)),
            "wan" => return Ok(Link::Line(Line::WAN)),
            _ => {}
        }
        let parse = |text: &str| text.trim().parse::<f64>().ok();
        let numbers = text.split_once(',').and_then(|(a, b)| Some((parse(a)?, parse(b)?)));
        match numbers {
            Some((rtt_ms, mbit)) if (0.0..=60_000.0).contains(&rtt_ms) && mbit > 0.0 => {
                Ok(Link::Line(Line { rtt_ms, mbit }))
            }
            _ => Err(format!(
                "`{text}` is no line: expected loopback, lan, wan, or a round-trip time of 0 to \
                 60000 milliseconds and a positive bandwidth in Mbit/s, such as 20,100"
            )),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Link::Loopback => f.write_str("the loopback interface"),
            Link::Line(Line { rtt_ms, mbit }) => {
                write!(f, "a line of {rtt_ms} ms and {mbit} Mbit/s")
            }
        }
    }
}

impl Link {
    /// The line to emulate, if any.
    pub fn emulated(self) -> Option<Line> {
        match self {
            Link::Loopback => None,
            Link::Line(line) => Some(line),
        }
    }
}

impl Line {
    /// A local network.
    pub const LAN: Line = Line { rtt_ms: 1.0, mbit: 1000.0 };

    /// A line across a continent.
    pub const WAN: Line = Line { rtt_ms: 40.0, mbit: 100.0 };
}

impl ComparisonArgs {
    /// The comparison for a job, given as one with any comparison, whose parties run on this machine.
    pub fn choose(&self, job: &Job) -> Result<Comparison> {
        match self.comparison {
            Choice::Dcf => Ok(Comparison::Dcf),
            Choice::Digits => Ok(Comparison::Digits),
            Choice::Auto => Ok(Forecast::new(&self.forecast, Hosts::One)?.faster(job)),
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
