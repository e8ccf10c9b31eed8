//! How parties talk: time-outs, limits, a line to emulate.

use std::time::Duration;

use hushwire_net::{Emulation, LinkOptions, TlsOptions};

use super::LineConfig;
use super::error::{ConfigError, field};

pub(crate) fn check_line(line: Option<LineConfig>) -> Result<(), ConfigError> {
    let Some(LineConfig { rtt_ms, mbit }) = line else { return Ok(()) };
    if !(0.0..=60_000.0).contains(&rtt_ms) {
        return Err(field("link.rtt_ms", format!("{rtt_ms} ms; 0 to 60000 are possible")));
    }
    if mbit.is_some_and(|rate| rate.is_nan() || rate <= 0.0) {
        return Err(field("link.mbit", "must be positive; leave it out for no limit"));
    }
    Ok(())
}

pub(crate) fn tls(timeout_seconds: u64, line: Option<LineConfig>, sessions: usize) -> TlsOptions {
    let timeout = Duration::from_secs(timeout_seconds);
    let emulation = line.map(|line| Emulation {
        rtt: Duration::from_secs_f64(line.rtt_ms / 1e3),
        mbit_per_s: line.mbit,
    });
    let defaults = TlsOptions::default();
    TlsOptions {
        link: LinkOptions { timeout, emulation, ..LinkOptions::default() },
        // A party that waits for us while we wait for another must hear of it in time.
        connect_timeout: timeout / 2,
        handshake_timeout: timeout.min(defaults.handshake_timeout),
        max_handshakes: defaults.max_handshakes.max(2 * sessions),
    }
}
