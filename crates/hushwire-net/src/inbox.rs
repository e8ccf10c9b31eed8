//! The receiving side of a link: a queue of frames, bounded in bytes, and a thread that fills it.
//!
//! Waking a thread takes longer than anything else in a small message's life, so while small
//! messages are asked for as they come, the receiver reads the transport itself and the thread steps
//! aside. It comes back when nobody has asked for a while, and at once for bulk, so that data is
//! taken off the line and a dead peer is noticed while the owner computes. Exactly one of the two
//! reads at any time; `State::reading` says whether someone does.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::error::Fault;
use crate::frame::{FRAME_HEADER_LEN, Frame, FrameDecoder, ReadError};
use crate::sync::{lock, wait, wait_for};
use crate::transport::{Lifeline, Source};

/// Bytes read ahead of the frame in progress; larger payloads are read in place.
const READ_AHEAD: usize = 64 << 10;

/// Frames above this size are the thread's business.
const SMALL: usize = 64 << 10;

/// How long the thread leaves the transport to a receiver that does not come back.
const ASIDE: Duration = Duration::from_millis(10);

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
    /// Someone reads the transport.
    reading: bool,
    /// The receiver waits for the thread.
    receiver_waits: bool,
    /// The thread waits for room in the queue.
    reader_waits: bool,
    /// When a receiver last asked for small frames as they came.
    asked: Option<Instant>,
}

pub(crate) struct Inbox {
    state: Mutex<State>,
    /// Wakes the receiver.
    arrived: Condvar,
    /// Wakes the thread.
    turn: Condvar,
    intake: Mutex<Intake>,
    /// Bytes read from the transport.
    progress: Arc<AtomicU64>,
    capacity: usize,
}

/// Held by whoever has set `State::reading`.
struct Intake {
    reader: io::BufReader<Patient>,
    decoder: FrameDecoder,
}

impl Inbox {
    pub(crate) fn new(source: Box<dyn Source>, max_frame: usize, capacity: usize) -> Inbox {
        let progress = Arc::<AtomicU64>::default();
        let patient = Patient { source, patience: None, progress: Arc::clone(&progress) };
        Inbox {
            state: Mutex::default(),
            arrived: Condvar::new(),
            turn: Condvar::new(),
            intake: Mutex::new(Intake {
                reader: io::BufReader::with_capacity(READ_AHEAD, patient),
                decoder: FrameDecoder::new(max_frame),
            }),
            progress,
            capacity,
        }
    }

    /// The next frame. Frames that arrived before a fault come first. One receiver at a time.
    pub(crate) fn next(&self, timeout: Duration) -> Result<Frame, NoFrame> {
        let mut state = lock(&self.state);
        let mut seen = self.progress.load(Ordering::Relaxed);
        let mut since = Instant::now();
        loop {
            if let Some(frame) = state.frames.pop_front() {
                state.bytes -= cost(&frame);
                if state.reader_waits {
                    self.turn.notify_one();
                }
                return Ok(frame);
            }
            if let Some(fault) = &state.fault {
                return Err(NoFrame::Fault(fault.clone()));
            }
            if !state.reading {
                state.reading = true;
                drop(state);
                return self.read_now(timeout);
            }
            let waited = since.elapsed();
            if waited < timeout {
                state.receiver_waits = true;
                state = wait_for(&self.arrived, state, timeout - waited);
                state.receiver_waits = false;
            } else {
                let now = self.progress.load(Ordering::Relaxed);
                if now == seen {
                    return Err(NoFrame::Stalled(waited));
                }
                (seen, since) = (now, Instant::now());
            }
        }
    }

    /// Records why the link ended; the first reason counts.
    pub(crate) fn fail(&self, fault: Fault) {
        let mut state = lock(&self.state);
        state.fault.get_or_insert(fault);
        self.arrived.notify_all();
        self.turn.notify_all();
    }

    /// Reads on without keeping anything.
    pub(crate) fn discard(&self) {
        let mut state = lock(&self.state);
        state.discarding = true;
        state.frames.clear();
        state.bytes = 0;
        self.turn.notify_all();
    }

    /// The reader thread; why it ended.
    pub(crate) fn run(&self, lifeline: &Lifeline) -> Fault {
        loop {
            if let Err(fault) = self.take_turn() {
                return fault;
            }
            let outcome = lock(&self.intake).read(None);
            let outcome = match outcome {
                Ok(_) if lifeline.is_cut() => {
                    Err(Fault::Lost("the link was ended on this side".into()))
                }
                outcome => outcome,
            };
            let mut state = lock(&self.state);
            state.reading = false;
            match outcome {
                Ok(frame) => self.push(&mut state, frame),
                Err(fault) => {
                    drop(state);
                    self.fail(fault);
                }
            }
        }
    }

    /// Reads a frame in the receiver's own thread.
    fn read_now(&self, timeout: Duration) -> Result<Frame, NoFrame> {
        let outcome = {
            let mut intake = lock(&self.intake);
            if intake.comes(timeout) { intake.read(Some(timeout)).map(Some) } else { Ok(None) }
        };
        let mut state = lock(&self.state);
        state.reading = false;
        match outcome {
            Ok(Some(frame)) => {
                self.note(&mut state, &frame);
                Ok(frame)
            }
            Ok(None) => Err(NoFrame::Stalled(timeout)),
            Err(fault) => {
                let fault = state.fault.get_or_insert(fault).clone();
                self.turn.notify_all();
                Err(NoFrame::Fault(fault))
            }
        }
    }

    /// After a frame that someone waited for: who is to read the next?
    fn note(&self, state: &mut State, frame: &Frame) {
        state.asked = (frame.payload.len() <= SMALL).then(Instant::now);
        if state.asked.is_none() {
            self.turn.notify_one();
        }
    }

    /// Waits until the thread is to read: there is room, and no receiver does it.
    fn take_turn(&self) -> Result<(), Fault> {
        let mut state = lock(&self.state);
        loop {
            if let Some(fault) = &state.fault {
                return Err(fault.clone());
            }
            if state.discarding && !state.reading {
                break;
            }
            let aside = state.asked.map_or(ASIDE, |asked| asked.elapsed());
            if state.bytes >= self.capacity {
                state.reader_waits = true;
                state = wait(&self.turn, state);
                state.reader_waits = false;
            } else if state.reading || aside < ASIDE {
                state = wait_for(&self.turn, state, ASIDE.saturating_sub(aside).max(ASIDE / 2));
            } else {
                break;
            }
        }
        state.asked = None;
        state.reading = true;
        Ok(())
    }

    fn push(&self, state: &mut State, frame: Frame) {
        if state.discarding {
            return;
        }
        state.bytes += cost(&frame);
        if state.receiver_waits {
            self.note(state, &frame);
            self.arrived.notify_one();
        }
        state.frames.push_back(frame);
    }
}

impl Intake {
    /// Whether anything, be it the end, comes in time.
    fn comes(&mut self, timeout: Duration) -> bool {
        self.reader.get_mut().patience = Some(timeout);
        !matches!(self.reader.fill_buf(), Err(error) if error.kind() == io::ErrorKind::TimedOut)
    }

    fn read(&mut self, patience: Option<Duration>) -> Result<Frame, Fault> {
        self.reader.get_mut().patience = patience;
        match self.decoder.read_frame(&mut self.reader) {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err(Fault::Closed),
            Err(ReadError::Frame(error)) => Err(Fault::Frame(error)),
            Err(ReadError::Io(error)) => Err(match (error.kind(), patience) {
                (io::ErrorKind::TimedOut, Some(patience)) => Fault::Stalled(patience),
                _ => Fault::Lost(error.to_string()),
            }),
        }
    }
}

/// What a frame takes of the queue: its payload, its header and the bookkeeping about it.
fn cost(frame: &Frame) -> usize {
    frame.payload.len() + 4 * FRAME_HEADER_LEN
}

/// A source read with the patience of whoever reads now.
struct Patient {
    source: Box<dyn Source>,
    patience: Option<Duration>,
    progress: Arc<AtomicU64>,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer, self.patience)?;
        self.progress.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
