//! Links within a process: two byte pipes under the same framing as TLS.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::link::Link;
use crate::sync::{lock, wait_for};
use crate::transport::{Abort, Lifeline, Sink, Source, Transport, WireFrame, next_wait};
use crate::{LinkOptions, Role};

/// Bytes a pipe holds, like a socket's buffer.
const CAPACITY: usize = 4 << 20;

/// Two linked ends in this process: one for `a`, one for `b`.
///
/// # Panics
/// If the system has no threads left.
pub fn memory_pair(a: Role, b: Role, options: &LinkOptions) -> (Link, Link) {
    join(a, b, options, &Tap::none())
}

fn join(a: Role, b: Role, options: &LinkOptions, tap: &Tap) -> (Link, Link) {
    let (forth, back) = (Arc::<Pipe>::default(), Arc::<Pipe>::default());
    let end = |own: Role, peer: Role, out: &Arc<Pipe>, into: &Arc<Pipe>| {
        let lifeline = Arc::<Lifeline>::default();
        let transport = Transport {
            source: Box::new(PipeSource {
                pipe: Arc::clone(into),
                lifeline: Arc::clone(&lifeline),
            }),
            sink: Box::new(PipeSink {
                pipe: Arc::clone(out),
                timeout: options.timeout,
                own,
                tap: tap.clone(),
            }),
            abort: Arc::new(PipeAbort { out: Arc::clone(out), into: Arc::clone(into) }),
            lifeline,
        };
        Link::start(own, peer, options.clone(), transport)
            .expect("an in-memory link needs two threads")
    };
    (end(a, b, &forth, &back), end(b, a, &back, &forth))
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Orderly,
    Broken,
}

#[derive(Default)]
struct PipeState {
    bytes: VecDeque<u8>,
    end: Option<End>,
    reader_gone: bool,
}

#[derive(Default)]
struct Pipe {
    state: Mutex<PipeState>,
    changed: Condvar,
}

impl Pipe {
    fn end(&self, end: End) {
        lock(&self.state).end.get_or_insert(end);
        self.changed.notify_all();
    }

    fn leave(&self) {
        lock(&self.state).reader_gone = true;
        self.changed.notify_all();
    }

    fn write(&self, mut bytes: &[u8], timeout: Duration) -> io::Result<()> {
        let mut state = lock(&self.state);
        let mut since = Instant::now();
        while !bytes.is_empty() {
            if state.reader_gone || state.end.is_some() {
                return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the peer is gone"));
            }
            let room = CAPACITY.saturating_sub(state.bytes.len());
            if room == 0 {
                let waited = since.elapsed();
                if waited >= timeout {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                state = wait_for(&self.changed, state, timeout - waited);
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(room));
            state.bytes.extend(now);
            bytes = later;
            since = Instant::now();
            self.changed.notify_all();
        }
        Ok(())
    }
}

struct PipeSource {
    pipe: Arc<Pipe>,
    lifeline: Arc<Lifeline>,
}

impl Source for PipeSource {
    fn read(&mut self, buffer: &mut [u8], patience: Option<Duration>) -> io::Result<usize> {
        let mut state = lock(&self.pipe.state);
        let since = Instant::now();
        loop {
            if self.lifeline.is_cut() || state.reader_gone {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            if !state.bytes.is_empty() {
                let full = state.bytes.len() >= CAPACITY;
                let read = state.bytes.read(buffer)?;
                if full {
                    self.pipe.changed.notify_all();
                }
                return Ok(read);
            }
            match state.end {
                Some(End::Orderly) => return Ok(0),
                Some(End::Broken) => {
                    let message = "the peer ended without closing the link";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                }
                None => {
                    let wait = next_wait(since, patience)?;
                    state = wait_for(&self.pipe.changed, state, wait);
                }
            }
        }
    }
}

impl Drop for PipeSource {
    fn drop(&mut self) {
        self.pipe.leave();
    }
}

struct PipeSink {
    pipe: Arc<Pipe>,
    timeout: Duration,
    own: Role,
    tap: Tap,
}

impl Sink for PipeSink {
    fn write(&mut self, frames: &[WireFrame<'_>]) -> io::Result<()> {
        for frame in frames {
            if self.tap.divert(self.own, frame, &self.pipe, self.timeout)? {
                continue;
            }
            self.pipe.write(&frame.header, self.timeout)?;
            self.pipe.write(frame.payload, self.timeout)?;
        }
        Ok(())
    }

    fn finish(&mut self, goodbye: bool) -> io::Result<()> {
        self.pipe.end(if goodbye { End::Orderly } else { End::Broken });
        Ok(())
    }
}

impl Drop for PipeSink {
    fn drop(&mut self) {
        self.pipe.end(End::Broken);
    }
}

struct PipeAbort {
    out: Arc<Pipe>,
    into: Arc<Pipe>,
}

impl Abort for PipeAbort {
    fn abort(&self) {
        self.out.end(End::Broken);
        self.into.leave();
    }
}

#[cfg(not(feature = "test-support"))]
use untapped::Tap;
#[cfg(not(feature = "test-support"))]
mod untapped {
    use super::{Duration, Pipe, Role, WireFrame, io};

    /// Nobody listens in.
    #[derive(Clone)]
    pub(super) struct Tap;

    impl Tap {
        pub(super) fn none() -> Tap {
            Tap
        }

        pub(super) fn divert(
            &self,
            _from: Role,
            _frame: &WireFrame<'_>,
            _pipe: &Pipe,
            _timeout: Duration,
        ) -> io::Result<bool> {
            Ok(false)
        }
    }
}

#[cfg(feature = "test-support")]
use tapped::Tap;
#[cfg(feature = "test-support")]
pub use tapped::{Interceptor, Tapped, Verdict, memory_pair_with};
#[cfg(feature = "test-support")]
mod tapped {
    use super::{Arc, Duration, End, Mutex, Pipe, Role, WireFrame, io, join, lock};
    use crate::{Header, Link, LinkOptions, decode_header};

    /// A frame on its way.
    #[derive(Debug)]
    pub struct Tapped {
        /// Who sent it.
        pub from: Role,
        /// Its header.
        pub header: Header,
        /// All its bytes, header included.
        pub bytes: Vec<u8>,
    }

    /// What becomes of a frame.
    #[derive(Debug)]
    pub enum Verdict {
        /// It is delivered.
        Forward,
        /// It disappears.
        Swallow,
        /// These bytes are delivered in its place: any number of frames, or none, or garbage.
        Replace(Vec<u8>),
        /// These bytes are delivered, and then the connection breaks as if the sender had died.
        Cut(Vec<u8>),
    }

    /// Sees every frame in both directions and decides what is delivered.
    pub type Interceptor = Box<dyn FnMut(Tapped) -> Verdict + Send>;

    /// [`memory_pair`](crate::memory_pair) with someone on the line, for fault tests.
    ///
    /// # Panics
    /// If the system has no threads left.
    pub fn memory_pair_with(
        a: Role,
        b: Role,
        options: &LinkOptions,
        interceptor: Interceptor,
    ) -> (Link, Link) {
        join(a, b, options, &Tap(Some(Arc::new(Mutex::new(interceptor)))))
    }

    #[derive(Clone)]
    pub(super) struct Tap(Option<Arc<Mutex<Interceptor>>>);

    impl Tap {
        pub(super) fn none() -> Tap {
            Tap(None)
        }

        /// Whether the frame has been dealt with.
        pub(super) fn divert(
            &self,
            from: Role,
            frame: &WireFrame<'_>,
            pipe: &Pipe,
            timeout: Duration,
        ) -> io::Result<bool> {
            let Some(interceptor) = &self.0 else { return Ok(false) };
            let header = decode_header(&frame.header).map_err(io::Error::other)?;
            let bytes = [&frame.header, frame.payload].concat();
            let verdict = lock(interceptor)(Tapped { from, header, bytes });
            match verdict {
                Verdict::Forward => return Ok(false),
                Verdict::Swallow => {}
                Verdict::Replace(bytes) => pipe.write(&bytes, timeout)?,
                Verdict::Cut(bytes) => {
                    pipe.write(&bytes, timeout)?;
                    pipe.end(End::Broken);
                }
            }
            Ok(true)
        }
    }
}
