//! What a link needs from the bytes below it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::frame::FRAME_HEADER_LEN;

/// How often a blocked source looks whether the link has ended.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// A frame about to be written.
pub(crate) struct WireFrame<'a> {
    pub(crate) header: [u8; FRAME_HEADER_LEN],
    pub(crate) payload: &'a [u8],
}

/// The sending direction.
pub(crate) trait Sink: Send {
    /// Writes the frames, all of them, together where possible.
    fn write(&mut self, frames: &[WireFrame<'_>]) -> io::Result<()>;

    /// Ends this direction. With a goodbye the peer knows that nothing was lost.
    fn finish(&mut self, goodbye: bool) -> io::Result<()>;
}

/// The receiving direction.
///
/// It returns 0 after an orderly end, `UnexpectedEof` after any other, `ConnectionAborted` once the
/// lifeline is cut, and `TimedOut` if nothing comes for as long as the caller's patience lasts.
pub(crate) trait Source: Send {
    fn read(&mut self, buffer: &mut [u8], patience: Option<Duration>) -> io::Result<usize>;
}

/// How long to wait now, if someone has waited since `since`; `TimedOut` if it is enough.
pub(crate) fn next_wait(since: Instant, patience: Option<Duration>) -> io::Result<Duration> {
    let Some(patience) = patience else { return Ok(TICK) };
    let left = patience.saturating_sub(since.elapsed());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left.min(TICK)) }
}

/// Ends both directions at once from any thread.
pub(crate) trait Abort: Send + Sync {
    fn abort(&self);
}

/// A connected byte transport.
pub(crate) struct Transport {
    pub(crate) source: Box<dyn Source>,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) abort: Arc<dyn Abort>,
    pub(crate) lifeline: Arc<Lifeline>,
}

/// Whether the link still wants its source.
#[derive(Debug, Default)]
pub(crate) struct Lifeline {
    cut: AtomicBool,
    until: OnceLock<Instant>,
}

impl Lifeline {
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }

    /// Cuts itself at `until`; the first call counts.
    pub(crate) fn linger(&self, until: Instant) {
        self.until.get_or_init(|| until);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
            || self.until.get().is_some_and(|&until| Instant::now() >= until)
    }
}
