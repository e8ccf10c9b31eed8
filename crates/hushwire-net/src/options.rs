//! Limits and time-outs of a link.

use std::time::Duration;

use crate::{DEFAULT_MAX_FRAME, Emulation};

/// Limits and time-outs of a link. Both ends should agree on `max_frame`.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkOptions {
    /// How long to wait for a peer without any progress.
    pub timeout: Duration,
    /// How long a closed or dropped link may take to hand over what is queued and to see the peer's
    /// end.
    pub linger: Duration,
    /// Payload bytes of a frame at most, sent and accepted; between 1 and 2^32 - 1.
    pub max_frame: usize,
    /// Bytes queued for sending before [`Link::send`](crate::Link::send) waits.
    pub send_queue: usize,
    /// Bytes received and not asked for before the link stops reading.
    pub recv_queue: usize,
    /// A slower line to emulate, in the sending direction; set it at both ends.
    pub emulation: Option<Emulation>,
}

impl Default for LinkOptions {
    fn default() -> LinkOptions {
        LinkOptions {
            timeout: Duration::from_secs(30),
            linger: Duration::from_secs(5),
            max_frame: DEFAULT_MAX_FRAME,
            send_queue: 64 << 20,
            recv_queue: 64 << 20,
            emulation: None,
        }
    }
}

impl LinkOptions {
    /// The frame limit, kept within what a header can say.
    pub(crate) fn frame_limit(&self) -> usize {
        self.max_frame.clamp(1, u32::MAX as usize)
    }
}
