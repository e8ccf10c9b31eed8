//! The receiving side of a link: a thread that reads frames into a queue bounded in bytes.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::error::Fault;
use crate::frame::{FRAME_HEADER_LEN, Frame, FrameDecoder, ReadError};
use crate::sync::{lock, wait, wait_for};
use crate::transport::Lifeline;

/// Bytes read ahead of the frame in progress; larger payloads are read in place.
const READ_AHEAD: usize = 64 << 10;

/// Why no frame came.
pub(crate) enum NoFrame {
    /// Nothing arrived for this long.
    Stalled(Duration),
    /// Nothing will arrive.
    Fault(Fault),
}

#[derive(Default)]
struct State {
    frames: VecDeque<Frame>,
    bytes: usize,
    fault: Option<Fault>,
    /// The owner is gone: frames are read only to see the peer's end.
    discarding: bool,
    receiver_waits: bool,
    reader_waits: bool,
}

pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
    room: Condvar,
    /// Bytes read from the transport: the measure of progress.
    progress: AtomicU64,
    capacity: usize,
}

impl Inbox {
    pub(crate) fn new(capacity: usize) -> Inbox {
        Inbox {
            state: Mutex::default(),
            arrived: Condvar::new(),
            room: Condvar::new(),
            progress: AtomicU64::new(0),
            capacity,
        }
    }

    /// The next frame. Frames that arrived before a fault come first.
    pub(crate) fn next(&self, timeout: Duration) -> Result<Frame, NoFrame> {
        let mut state = lock(&self.state);
        let mut seen = self.progress.load(Ordering::Relaxed);
        let mut since = Instant::now();
        loop {
            if let Some(frame) = state.frames.pop_front() {
                state.bytes -= cost(&frame);
                if state.reader_waits {
                    self.room.notify_one();
                }
                return Ok(frame);
            }
            if let Some(fault) = &state.fault {
                return Err(NoFrame::Fault(fault.clone()));
            }
            let waited = since.elapsed();
            if waited >= timeout {
                let now = self.progress.load(Ordering::Relaxed);
                if now == seen {
                    return Err(NoFrame::Stalled(waited));
                }
                seen = now;
                since = Instant::now();
                continue;
            }
            state.receiver_waits = true;
            state = wait_for(&self.arrived, state, timeout - waited);
            state.receiver_waits = false;
        }
    }

    /// Records why the link ended; the first reason counts.
    pub(crate) fn fail(&self, fault: Fault) {
        let mut state = lock(&self.state);
        state.fault.get_or_insert(fault);
        self.arrived.notify_all();
        self.room.notify_all();
    }

    /// Reads on without keeping anything.
    pub(crate) fn discard(&self) {
        let mut state = lock(&self.state);
        state.discarding = true;
        state.frames.clear();
        state.bytes = 0;
        self.arrived.notify_all();
        self.room.notify_all();
    }

    /// The reader thread; why it ended.
    pub(crate) fn run(
        self: &Arc<Inbox>,
        source: Box<dyn Read + Send>,
        max_frame: usize,
        lifeline: &Lifeline,
    ) -> Fault {
        let counted = Counted { source, inbox: Arc::clone(self) };
        let mut reader = io::BufReader::with_capacity(READ_AHEAD, counted);
        let mut decoder = FrameDecoder::new(max_frame);
        let fault = loop {
            match decoder.read_frame(&mut reader) {
                Ok(Some(frame)) => self.push(frame, lifeline),
                Ok(None) => break Fault::Closed,
                Err(ReadError::Frame(error)) => break Fault::Frame(error),
                Err(ReadError::Io(error)) => break Fault::Lost(error.to_string()),
            }
            if lifeline.is_cut() {
                break Fault::Lost("the link was ended on this side".into());
            }
        };
        self.fail(fault.clone());
        fault
    }

    fn push(&self, frame: Frame, lifeline: &Lifeline) {
        let mut state = lock(&self.state);
        let cost = cost(&frame);
        while !state.discarding
            && state.fault.is_none()
            && !lifeline.is_cut()
            && state.bytes > 0
            && state.bytes + cost > self.capacity
        {
            state.reader_waits = true;
            state = wait(&self.room, state);
            state.reader_waits = false;
        }
        if state.discarding {
            return;
        }
        state.bytes += cost;
        state.frames.push_back(frame);
        if state.receiver_waits {
            self.arrived.notify_one();
        }
    }
}

/// What a frame takes of the queue: its payload, its header and the bookkeeping about it.
fn cost(frame: &Frame) -> usize {
    frame.payload.len() + 4 * FRAME_HEADER_LEN
}

/// Counts the bytes read from a source.
struct Counted {
    source: Box<dyn Read + Send>,
    inbox: Arc<Inbox>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.inbox.progress.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
