//! A link: one connection between two parties within a session.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use crate::cutter::Cutter;
use crate::error::Fault;
use crate::frame::framed_len_with;
use crate::inbox::{Inbox, NoFrame};
use crate::meter::Volume;
use crate::outbox::Outbox;
use crate::sync::lock;
use crate::transport::{Abort, Lifeline, Transport};
use crate::{Label, LinkOptions, Meter, NetError, Phase, Role};

/// One bidirectional connection between two parties within a session.
///
/// Sending queues; receiving names what it expects. All methods take `&self` and may be called from
/// several threads, though the order of messages is then the callers' business.
///
/// [`close`](Link::close) ends a link in good order. A link that is dropped hands over what is
/// queued, within the linger time and in the background, and the peer sees the connection as lost.
pub struct Link {
    own: Role,
    peer: Role,
    options: LinkOptions,
    meter: Arc<Meter>,
    outbox: Arc<Outbox>,
    inbox: Arc<Inbox>,
    /// Held while a message is received, so that its frames stay together.
    receiving: Mutex<()>,
    abort: Arc<dyn Abort>,
    lifeline: Arc<Lifeline>,
}

impl Link {
    pub(crate) fn start(
        own: Role,
        peer: Role,
        options: LinkOptions,
        transport: Transport,
    ) -> Result<Link, NetError> {
        let Transport { source, sink, abort, lifeline } = transport;
        let inbox = Inbox::new(source, options.frame_limit(), options.recv_queue);
        let inbox = Arc::new(inbox);
        let outbox = Arc::new(Outbox::new(sink, &options));
        let link = Link {
            own,
            peer,
            meter: Arc::default(),
            outbox: Arc::clone(&outbox),
            inbox: Arc::clone(&inbox),
            receiving: Mutex::new(()),
            abort: Arc::clone(&abort),
            lifeline: Arc::clone(&lifeline),
            options,
        };
        let name = |what: &str| format!("{what} {}-{}", own.index(), peer.index());
        let spawn = |name: String, body: Box<dyn FnOnce() + Send>| {
            let spawned = thread::Builder::new().name(name).spawn(body);
            spawned.map(drop).map_err(|source| NetError::Spawn { source })
        };
        let reader = {
            let (inbox, outbox) = (Arc::clone(&inbox), Arc::clone(&outbox));
            let (abort, lifeline) = (Arc::clone(&abort), Arc::clone(&lifeline));
            move || {
                // Whoever has stopped speaking has stopped listening: nothing sent would be read.
                let fault = inbox.run(&lifeline);
                let lost = !matches!(fault, Fault::Closed);
                outbox.fail(fault);
                if lost {
                    abort.abort();
                }
            }
        };
        spawn(name("read"), Box::new(reader))?;
        let writer = move || {
            // A peer that takes nothing is given up. If the connection is lost the reader finds out
            // by itself, after what the peer sent before.
            if let Some(fault @ Fault::Stalled(_)) = outbox.run() {
                inbox.fail(fault);
                lifeline.cut();
                abort.abort();
            }
        };
        spawn(name("write"), Box::new(writer))?;
        Ok(link)
    }

    /// The party at this end.
    pub fn own(&self) -> Role {
        self.own
    }

    /// The party at the other end.
    pub fn peer(&self) -> Role {
        self.peer
    }

    /// The link's counters.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The limits and time-outs in force.
    pub fn options(&self) -> &LinkOptions {
        &self.options
    }

    /// Queues a message. It waits only while the queue is full.
    ///
    /// # Errors
    /// An error of the connection, possibly caused by an earlier message: [`NetError::Closed`],
    /// [`NetError::Disconnected`], [`NetError::Timeout`] if the peer takes nothing,
    /// [`NetError::Frame`] or [`NetError::Unusable`].
    pub fn send(&self, phase: Phase, step: u32, payload: Vec<u8>) -> Result<(), NetError> {
        let at = Label { phase, step };
        let volume = self.volume(payload.len());
        self.outbox.send(at, payload).map_err(|fault| fault.into_error(self.peer, at))?;
        self.meter.sent(at, volume);
        Ok(())
    }

    /// Receives a message of exactly `len` bytes.
    ///
    /// # Errors
    /// [`NetError::UnexpectedMessage`] if another message comes, [`NetError::LengthMismatch`] if its
    /// length is another, [`NetError::Timeout`] if nothing comes, or an error of the connection.
    /// After any of these but a time-out before the first byte, the link cannot be used again.
    pub fn recv(&self, phase: Phase, step: u32, len: usize) -> Result<Vec<u8>, NetError> {
        let (peer, at) = (self.peer, Label { phase, step });
        let mismatch =
            |got, unfinished| NetError::LengthMismatch { peer, at, expected: len, got, unfinished };
        self.receive(at, |got, unfinished| {
            if got > len || (!unfinished && got < len) {
                return Err(mismatch(got, unfinished));
            }
            Ok(len)
        })
    }

    /// Receives a message of at most `max_len` bytes.
    ///
    /// # Errors
    /// As [`recv`](Link::recv), with [`NetError::TooLong`] for the length.
    pub fn recv_bounded(
        &self,
        phase: Phase,
        step: u32,
        max_len: usize,
    ) -> Result<Vec<u8>, NetError> {
        let (peer, at) = (self.peer, Label { phase, step });
        self.receive(at, |got, _| {
            if got > max_len {
                return Err(NetError::TooLong { peer, at, max: max_len, got });
            }
            Ok(max_len.min(2 * got))
        })
    }

    /// Waits until everything sent has been handed to the transport.
    ///
    /// # Errors
    /// [`NetError::Timeout`] if the peer takes nothing, or an error of the connection; they name the
    /// last message sent.
    pub fn flush(&self) -> Result<(), NetError> {
        self.outbox.flush().map_err(|fault| fault.into_error(self.peer, self.outbox.last()))
    }

    /// Sends what is queued, tells the peer that nothing follows, and ends the link. The peer need
    /// not have closed its end.
    ///
    /// # Errors
    /// An error of the connection if not everything could be handed over; it names the last message
    /// sent.
    pub fn close(self) -> Result<(), NetError> {
        let patience = self.options.timeout.max(self.options.linger);
        self.outbox.drain(Instant::now() + patience, true);
        let ended = self.outbox.wait_ended(Instant::now() + patience);
        match ended {
            // Both ends may close: the peer's end was its goodbye, not a loss.
            Ok(()) | Err(Fault::Closed) => Ok(()),
            Err(fault) => Err(fault.into_error(self.peer, self.outbox.last())),
        }
    }

    /// Ends the link at once, as a crash would: nothing queued is delivered, and the peer sees the
    /// connection as lost.
    pub fn abort(self) {
        self.sever();
    }

    /// Ends the link at once, as [`abort`](Link::abort) does, while others may be using it: whoever
    /// sends or receives gets an error without delay.
    pub fn sever(&self) {
        self.cutter().cut();
    }

    /// What severs the link from elsewhere, without keeping it.
    pub fn cutter(&self) -> Cutter {
        Cutter {
            outbox: Arc::clone(&self.outbox),
            inbox: Arc::clone(&self.inbox),
            abort: Arc::clone(&self.abort),
            lifeline: Arc::clone(&self.lifeline),
        }
    }

    fn volume(&self, len: usize) -> Volume {
        let framed_bytes = framed_len_with(len, self.options.frame_limit());
        Volume { messages: 1, payload_bytes: len as u64, framed_bytes }
    }

    /// Receives the frames of one message. `check` sees the length so far and whether more is to
    /// come, and says how much room to make.
    fn receive(
        &self,
        at: Label,
        check: impl Fn(usize, bool) -> Result<usize, NetError>,
    ) -> Result<Vec<u8>, NetError> {
        let _alone = lock(&self.receiving);
        let mut message = Vec::new();
        let mut frames = 0;
        loop {
            let frame = match self.inbox.next(self.options.timeout) {
                Ok(frame) => frame,
                Err(NoFrame::Fault(fault)) => return Err(fault.into_error(self.peer, at)),
                Err(NoFrame::Stalled(waited)) => {
                    let error = NetError::Timeout { peer: self.peer, at, waited };
                    return Err(if frames == 0 { error } else { self.spoil(error) });
                }
            };
            frames += 1;
            let got = frame.header.label;
            if got != at {
                let error = NetError::UnexpectedMessage { peer: self.peer, expected: at, got };
                return Err(self.spoil(error));
            }
            let more = frame.header.more;
            let len = message.len() + frame.payload.len();
            let room = check(len, more).map_err(|error| self.spoil(error))?;
            if frames == 1 && !more {
                message = frame.payload;
            } else {
                if message.capacity() < len {
                    message.reserve_exact(room.max(len) - message.len());
                }
                message.extend_from_slice(&frame.payload);
            }
            if !more {
                break;
            }
        }
        let framed_bytes = message.len() as u64 + frames * crate::FRAME_HEADER_LEN as u64;
        let volume = Volume { messages: 1, payload_bytes: message.len() as u64, framed_bytes };
        self.meter.received(at, volume);
        Ok(message)
    }

    /// Makes the link unusable after an error in the middle of a message.
    fn spoil(&self, error: NetError) -> NetError {
        let fault = Fault::Misused(error.to_string());
        self.inbox.discard();
        self.inbox.fail(fault.clone());
        self.outbox.fail(fault);
        error
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let until = Instant::now() + self.options.linger;
        self.lifeline.linger(until);
        self.outbox.drain(until, false);
        self.inbox.discard();
    }
}
