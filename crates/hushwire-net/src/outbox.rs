//! The sending side of a link: a queue bounded in bytes and a thread that writes it.
//!
//! A small message that finds nothing before it is written by the caller itself, which saves waking
//! the thread; everything else is queued.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::emulate::DelayLine;
use crate::error::Fault;
use crate::frame::Header;
use crate::options::LinkOptions;
use crate::sync::{lock, wait, wait_for};
use crate::transport::{Sink, WireFrame};
use crate::{Label, Phase};

/// Messages up to this size may be written by the thread that sends them.
const INLINE_MAX: usize = 16 << 10;

/// Bytes written in one go when several messages wait.
const BATCH: usize = 1 << 20;

struct Outgoing {
    label: Label,
    payload: Vec<u8>,
    sent: Instant,
}

#[derive(Clone, Copy, PartialEq)]
enum Ending {
    /// Messages are taken.
    Open,
    /// Write what is queued, by then; say goodbye or not.
    Drain { until: Instant, goodbye: bool },
    /// Write nothing more.
    Now,
}

struct State {
    queue: VecDeque<Outgoing>,
    /// Bytes queued or being written.
    bytes: usize,
    /// Bytes written since the start: the measure of progress.
    written: u64,
    /// The last message taken.
    last: Label,
    /// Someone holds the writer.
    busy: bool,
    fault: Option<Fault>,
    ending: Ending,
    /// How the writer thread ended.
    ended: Option<Result<(), Fault>>,
}

pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Wakes the writer thread.
    work: Condvar,
    /// Wakes those who wait for room or for the end.
    room: Condvar,
    writer: Mutex<Writer>,
    capacity: usize,
    timeout: Duration,
    inline: bool,
}

struct Writer {
    sink: Box<dyn Sink>,
    sequence: u32,
    max_frame: usize,
    line: Option<DelayLine>,
}

impl Outbox {
    pub(crate) fn new(sink: Box<dyn Sink>, options: &LinkOptions) -> Outbox {
        Outbox {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                bytes: 0,
                written: 0,
                last: Label { phase: Phase::Setup, step: 0 },
                busy: false,
                fault: None,
                ending: Ending::Open,
                ended: None,
            }),
            work: Condvar::new(),
            room: Condvar::new(),
            writer: Mutex::new(Writer {
                sink,
                sequence: 0,
                max_frame: options.frame_limit(),
                line: options.emulation.map(DelayLine::new),
            }),
            capacity: options.send_queue,
            timeout: options.timeout,
            inline: options.emulation.is_none(),
        }
    }

    /// Queues a message, waiting for room at most the time-out without progress.
    pub(crate) fn send(&self, label: Label, payload: Vec<u8>) -> Result<(), Fault> {
        let len = payload.len();
        let state = lock(&self.state);
        let mut state =
            self.wait_until(state, |s| s.bytes == 0 || s.bytes + len <= self.capacity)?;
        state.bytes += len;
        state.last = label;
        let message = Outgoing { label, payload, sent: Instant::now() };
        if !self.inline || state.busy || !state.queue.is_empty() || len > INLINE_MAX {
            state.queue.push_back(message);
            if !state.busy {
                self.work.notify_one();
            }
            return Ok(());
        }
        state.busy = true;
        drop(state);
        let outcome = lock(&self.writer).write(&[message], self);
        let mut state = lock(&self.state);
        self.settle(&mut state, outcome);
        state.fault.clone().map_or(Ok(()), Err)
    }

    /// The last message taken.
    pub(crate) fn last(&self) -> Label {
        lock(&self.state).last
    }

    /// Waits until everything queued is written.
    pub(crate) fn flush(&self) -> Result<(), Fault> {
        let state = lock(&self.state);
        self.wait_until(state, |s| s.queue.is_empty() && !s.busy).map(drop)
    }

    /// Records why the link ended and stops the writer; the first reason counts.
    pub(crate) fn fail(&self, fault: Fault) {
        let mut state = lock(&self.state);
        state.fault.get_or_insert(fault);
        self.notify_all();
    }

    /// Lets the writer finish what is queued, by `until`, and end, telling the peer so or not.
    pub(crate) fn drain(&self, until: Instant, goodbye: bool) {
        let mut state = lock(&self.state);
        if state.ending == Ending::Open {
            state.ending = Ending::Drain { until, goodbye };
        }
        self.notify_all();
    }

    /// Ends the writer at once.
    pub(crate) fn stop(&self) {
        lock(&self.state).ending = Ending::Now;
        self.notify_all();
    }

    /// Waits until the writer has ended, at most until `until`.
    pub(crate) fn wait_ended(&self, until: Instant) -> Result<(), Fault> {
        let mut state = lock(&self.state);
        loop {
            if let Some(outcome) = &state.ended {
                return outcome.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::Stalled(self.timeout));
            }
            state = wait_for(&self.room, state, left);
        }
    }

    /// The writer thread; the fault that ended it, if any.
    pub(crate) fn run(&self) -> Option<Fault> {
        loop {
            let mut state = lock(&self.state);
            let done = |s: &State| s.fault.is_some() || s.ending == Ending::Now;
            while !done(&state)
                && (state.busy || state.queue.is_empty() && state.ending == Ending::Open)
            {
                state = wait(&self.work, state);
            }
            if done(&state) || state.queue.is_empty() {
                return self.end(state);
            }
            let batch = take_batch(&mut state.queue);
            state.busy = true;
            drop(state);
            let outcome = lock(&self.writer).write(&batch, self);
            self.settle(&mut lock(&self.state), outcome);
        }
    }

    fn end(&self, state: MutexGuard<'_, State>) -> Option<Fault> {
        // A goodbye is answered with a goodbye.
        let goodbye = match &state.fault {
            None => matches!(state.ending, Ending::Drain { goodbye: true, .. }),
            Some(fault) => matches!(fault, Fault::Closed),
        };
        drop(state);
        let outcome = lock(&self.writer).sink.finish(goodbye);
        let mut state = lock(&self.state);
        if let Err(error) = outcome {
            state.fault.get_or_insert(Fault::Lost(error.to_string()));
        }
        state.queue.clear();
        state.ended = Some(state.fault.clone().map_or(Ok(()), Err));
        self.room.notify_all();
        state.fault.clone()
    }

    /// Gives the writer back.
    fn settle(&self, state: &mut State, outcome: io::Result<usize>) {
        state.busy = false;
        match outcome {
            Ok(unaccounted) => {
                state.bytes -= unaccounted;
                state.written += unaccounted as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                state.fault.get_or_insert(Fault::Stalled(self.timeout));
            }
            Err(error) => {
                state.fault.get_or_insert(Fault::Lost(error.to_string()));
            }
        }
        if !state.queue.is_empty() || state.ending != Ending::Open || state.fault.is_some() {
            self.work.notify_one();
        }
        self.room.notify_all();
    }

    fn wait_until<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        ready: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'a, State>, Fault> {
        let mut written = state.written;
        let mut since = None;
        loop {
            if let Some(fault) = &state.fault {
                return Err(fault.clone());
            }
            if ready(&state) {
                return Ok(state);
            }
            let start = *since.get_or_insert_with(Instant::now);
            let waited = start.elapsed();
            if state.written != written {
                written = state.written;
                since = None;
            } else if waited >= self.timeout {
                return Err(Fault::Stalled(waited));
            } else {
                state = wait_for(&self.room, state, self.timeout - waited);
            }
        }
    }

    /// Waits for a frame's arrival on an emulated line; an error if the link ends first.
    fn hold_until(&self, due: Instant) -> io::Result<()> {
        let mut state = lock(&self.state);
        loop {
            let now = Instant::now();
            let late = matches!(state.ending, Ending::Drain { until, .. } if now >= until);
            if late || state.ending == Ending::Now || state.fault.is_some() {
                return Err(io::Error::other("the link ended before this was delivered"));
            }
            if now >= due {
                return Ok(());
            }
            state = wait_for(&self.work, state, due - now);
        }
    }

    /// Accounts for bytes written while a batch is in progress.
    fn progressed(&self, bytes: usize) {
        let mut state = lock(&self.state);
        state.bytes -= bytes;
        state.written += bytes as u64;
        self.room.notify_all();
    }

    fn notify_all(&self) {
        self.work.notify_all();
        self.room.notify_all();
    }
}

fn take_batch(queue: &mut VecDeque<Outgoing>) -> Vec<Outgoing> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(message) = queue.pop_front_if(|m| bytes == 0 || bytes + m.payload.len() <= BATCH)
    {
        bytes += message.payload.len().max(1);
        batch.push(message);
    }
    batch
}

impl Writer {
    /// Writes the messages; the payload bytes not yet accounted for.
    fn write(&mut self, messages: &[Outgoing], outbox: &Outbox) -> io::Result<usize> {
        let mut frames = Vec::with_capacity(messages.len());
        let mut pending = 0;
        for message in messages {
            let mut rest = message.payload.as_slice();
            loop {
                let (payload, after) = rest.split_at(rest.len().min(self.max_frame));
                let more = !after.is_empty();
                let header = self.header(message.label, payload.len(), more);
                if let Some(line) = &mut self.line {
                    let due = line.arrival(message.sent, header.len() + payload.len());
                    outbox.hold_until(due)?;
                }
                frames.push(WireFrame { header, payload });
                pending += payload.len();
                if self.line.is_some() || pending >= BATCH {
                    self.sink.write(&frames)?;
                    frames.clear();
                    outbox.progressed(std::mem::take(&mut pending));
                }
                if !more {
                    break;
                }
                rest = after;
            }
        }
        if !frames.is_empty() {
            self.sink.write(&frames)?;
        }
        Ok(pending)
    }

    fn header(&mut self, label: Label, len: usize, more: bool) -> [u8; crate::FRAME_HEADER_LEN] {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        // `max_frame` fits in 32 bits, see `LinkOptions::frame_limit`.
        Header { label, more, len: len as u32, sequence }.encode()
    }
}
