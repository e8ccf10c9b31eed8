//! A slower, longer line than the one at hand.
//!
//! Every frame leaves when the line has finished the frames before it (serialisation at the
//! bandwidth) and arrives half a round-trip time later. Frames travel while others are serialised,
//! as on a real line: the delay is paid once per direction change, not once per frame.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The line to emulate, in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Emulation {
    /// The round-trip time; each direction delays by half of it.
    pub rtt: Duration,
    /// The bandwidth of each direction in 10^6 bits per second; unlimited if absent.
    pub mbit_per_s: Option<f64>,
}

/// When the frames of one direction arrive.
#[derive(Debug)]
pub(crate) struct DelayLine {
    delay: Duration,
    seconds_per_byte: f64,
    free_at: Option<Instant>,
}

impl DelayLine {
    pub(crate) fn new(emulation: Emulation) -> DelayLine {
        let seconds_per_byte = match emulation.mbit_per_s {
            Some(rate) if rate > 0.0 => 8e-6 / rate,
            _ => 0.0,
        };
        DelayLine { delay: emulation.rtt / 2, seconds_per_byte, free_at: None }
    }

    /// The arrival of a frame of `bytes` handed over at `sent`; frames must come in order.
    pub(crate) fn arrival(&mut self, sent: Instant, bytes: usize) -> Instant {
        let start = self.free_at.map_or(sent, |free| free.max(sent));
        let free = start + Duration::from_secs_f64(bytes as f64 * self.seconds_per_byte);
        self.free_at = Some(free);
        free + self.delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_queue_for_the_line_but_share_the_delay() {
        let emulation = Emulation { rtt: Duration::from_millis(40), mbit_per_s: Some(8.0) };
        let mut line = DelayLine::new(emulation);
        let start = Instant::now();
        let ms = |instant: Instant| (instant - start).as_millis();
        assert_eq!(ms(line.arrival(start, 10_000)), 30);
        assert_eq!(ms(line.arrival(start, 10_000)), 40);
        assert_eq!(ms(line.arrival(start + Duration::from_millis(100), 1_000)), 121);
    }
}
