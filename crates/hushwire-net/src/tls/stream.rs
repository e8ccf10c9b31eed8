//! A TLS connection as a link's transport.
//!
//! A rustls connection is one object for both directions. It sits behind a lock that is held only
//! while bytes are encrypted or decrypted, never while the socket is read or written, so a blocked
//! reader does not hold up the writer, nor the other way round.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::Connection;

use crate::sync::lock;
use crate::transport::{Abort, Lifeline, Sink, Source, TICK, Transport, WireFrame, next_wait};

/// Encrypted bytes read at once.
const READ_BUFFER: usize = 256 << 10;

/// Encrypted bytes collected before they are written.
const WRITE_BUFFER: usize = 256 << 10;

struct Shared {
    connection: Mutex<Connection>,
    socket: TcpStream,
}

/// Takes a connection whose handshake is complete.
pub(super) fn transport(
    mut connection: Connection,
    socket: TcpStream,
    timeout: Duration,
) -> io::Result<Transport> {
    // Zero would mean no limit at all.
    socket.set_write_timeout(Some(timeout.max(Duration::from_millis(1))))?;
    socket.set_read_timeout(Some(TICK))?;
    connection.set_buffer_limit(Some(WRITE_BUFFER));
    let shared = Arc::new(Shared { connection: Mutex::new(connection), socket });
    let lifeline = Arc::<Lifeline>::default();
    Ok(Transport {
        source: Box::new(TlsSource {
            shared: Arc::clone(&shared),
            lifeline: Arc::clone(&lifeline),
            buffer: vec![0; READ_BUFFER],
            start: 0,
            end: 0,
            wait: TICK,
        }),
        sink: Box::new(TlsSink { shared: Arc::clone(&shared), encrypted: Vec::new() }),
        abort: Arc::new(TlsAbort { shared }),
        lifeline,
    })
}

struct TlsSource {
    shared: Arc<Shared>,
    lifeline: Arc<Lifeline>,
    buffer: Vec<u8>,
    /// The part of the buffer not yet decrypted.
    start: usize,
    end: usize,
    /// The socket's read time-out.
    wait: Duration,
}

impl Source for TlsSource {
    fn read(&mut self, out: &mut [u8], patience: Option<Duration>) -> io::Result<usize> {
        let since = Instant::now();
        loop {
            if let Some(read) = self.decrypt(out)? {
                return Ok(read);
            }
            self.fill(since, patience)?;
        }
    }
}

impl TlsSource {
    /// Decrypts as much as fits and is there; `None` if the socket must be read first.
    fn decrypt(&mut self, out: &mut [u8]) -> io::Result<Option<usize>> {
        let mut connection = lock(&self.shared.connection);
        let mut filled = 0;
        while let Some(rest) = out.get_mut(filled..)
            && !rest.is_empty()
        {
            match connection.reader().read(rest) {
                // The peer's goodbye.
                Ok(0) => return Ok(Some(filled)),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut waiting = self.buffer.get(self.start..self.end).unwrap_or_default();
                    if waiting.is_empty() {
                        break;
                    }
                    self.start += connection.read_tls(&mut waiting)?;
                    connection.process_new_packets().map_err(io::Error::other)?;
                }
                Err(_) if filled > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok((filled > 0 || out.is_empty()).then_some(filled))
    }

    /// Reads the socket into the empty buffer.
    fn fill(&mut self, since: Instant, patience: Option<Duration>) -> io::Result<()> {
        loop {
            if self.lifeline.is_cut() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let wait = next_wait(since, patience)?;
            // The last stretch of a caller's patience; otherwise it stays as it is.
            if wait != self.wait {
                self.shared.socket.set_read_timeout(Some(wait))?;
                self.wait = wait;
            }
            match (&self.shared.socket).read(&mut self.buffer) {
                Ok(0) => {
                    // Tells the connection that the socket has ended; reading it then says how.
                    lock(&self.shared.connection).read_tls(&mut io::empty())?;
                    return Ok(());
                }
                Ok(read) => {
                    (self.start, self.end) = (0, read);
                    return Ok(());
                }
                Err(error) if is_pause(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

struct TlsSink {
    shared: Arc<Shared>,
    encrypted: Vec<u8>,
}

impl TlsSink {
    /// Writes what `encrypt` leaves in the connection.
    fn write_tls<T>(
        &mut self,
        encrypt: impl FnOnce(&mut Connection) -> io::Result<T>,
    ) -> io::Result<T> {
        self.encrypted.clear();
        let value = {
            let mut connection = lock(&self.shared.connection);
            let value = encrypt(&mut connection)?;
            while connection.wants_write() {
                connection.write_tls(&mut self.encrypted)?;
            }
            value
        };
        // The system's word for the end of the write time-out is "would block".
        (&self.shared.socket).write_all(&self.encrypted).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        })?;
        Ok(value)
    }
}

impl Sink for TlsSink {
    fn write(&mut self, frames: &[WireFrame<'_>]) -> io::Result<()> {
        let parts = frames.iter().flat_map(|frame| [frame.header.as_slice(), frame.payload]);
        let mut slices: Vec<IoSlice<'_>> =
            parts.filter(|part| !part.is_empty()).map(IoSlice::new).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let written = self.write_tls(|connection| connection.writer().write_vectored(rest))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    fn finish(&mut self, goodbye: bool) -> io::Result<()> {
        if goodbye {
            self.write_tls(|connection| {
                connection.send_close_notify();
                Ok(())
            })?;
        }
        self.shared.socket.shutdown(Shutdown::Write).or_else(ignore_unconnected)
    }
}

struct TlsAbort {
    shared: Arc<Shared>,
}

impl Abort for TlsAbort {
    fn abort(&self) {
        // The only failure is that there is nothing left to shut down.
        let _ = self.shared.socket.shutdown(Shutdown::Both);
    }
}

fn ignore_unconnected(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotConnected { Ok(()) } else { Err(error) }
}
