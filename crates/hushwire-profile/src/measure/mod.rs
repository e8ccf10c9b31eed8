//! Measuring a machine.

mod convolutions;
mod gates;
mod links;
mod networks;

use crate::profile::{Links, Machine, Ns, Profile};
use hushwire_fixed::{CalibrateError, LowerError};
use hushwire_graph::GraphError;
use hushwire_mpc::MpcError;
use hushwire_net::{IdentityError, NetError};
use hushwire_ring::{Ring, Word};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Why a machine could not be measured. The networks and links are this crate's own, so most of
/// these mean that the machine lacks memory, threads or a loopback interface.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// No thread could be started.
    #[error("no thread can be started: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// A link over the loopback interface failed.
    #[error("a link on the loopback interface: {0}")]
    Link(#[from] NetError),
    /// No certificate could be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A party failed.
    #[error(transparent)]
    Party(#[from] MpcError),
    /// A network is not valid.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A network could not be calibrated.
    #[error(transparent)]
    Calibrate(#[from] CalibrateError),
    /// A network could not be lowered.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// What a thread did ended in a panic.
    #[error("a party panicked")]
    Panic,
}

impl Profile {
    /// Measures this machine; takes about a minute, in which it should be otherwise idle. `progress`
    /// is told what comes next.
    ///
    /// # Errors
    /// A machine that lacks memory, threads or a loopback interface.
    pub fn measure(mut progress: impl FnMut(&str)) -> Result<Profile, MeasureError> {
        progress("links over TLS");
        let links = links::measure()?;
        progress("convolutions in 32-bit words");
        let narrow = convolutions::measure::<u32>(whole::<u32>())?;
        progress("convolutions in 64-bit words");
        let middle = convolutions::measure::<u64>(Ring::new(52).unwrap_or(whole::<u64>()))?;
        let wide_convolution = convolutions::measure::<u64>(whole::<u64>())?;
        progress("gates in 32-bit words");
        let operation_ns = Ns::from_seconds(gates::operation()?);
        let keep_ns = Ns::from_seconds(on_one_core(gates::keep)?.0);
        let u32 = gates::measure::<u32>(narrow)?;
        progress("gates in 64-bit words");
        let u64 = gates::measure::<u64>(middle)?;
        let machine = Machine::this();
        Ok(Profile { operation_ns, keep_ns, machine, links, u32, u64, wide_convolution })
    }
}

/// The ring of all bits of a word.
fn whole<W: Word>() -> Ring {
    Ring::new(W::BITS).unwrap_or_else(|| unreachable!("words are rings"))
}

impl Machine {
    /// The machine that this program runs on.
    fn this() -> Machine {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Machine { processor: processor().unwrap_or_else(|| "unknown".to_owned()), cores }
    }
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(name.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// Seconds of processor time of `clock` so far.
fn processor_time(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Runs on one core of its own, and gives the processor time that it took beside the result. Waiting
/// takes none.
fn on_one_core<T: Send>(run: impl FnOnce() -> T + Send) -> Result<(T, f64), MeasureError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    Ok(pool.install(|| {
        let start = processor_time(ClockId::ThreadCPUTime);
        let result = run();
        (result, processor_time(ClockId::ThreadCPUTime) - start)
    }))
}

/// Seconds of the fastest of several repetitions: other processes only ever make them slower.
fn fastest(mut run: impl FnMut()) -> f64 {
    const PATIENCE: Duration = Duration::from_millis(100);
    let begun = Instant::now();
    let (mut best, mut repetitions) = (f64::INFINITY, 0);
    while repetitions < 3 || begun.elapsed() < PATIENCE {
        let start = processor_time(ClockId::ThreadCPUTime);
        run();
        best = best.min(processor_time(ClockId::ThreadCPUTime) - start);
        repetitions += 1;
    }
    best
}
