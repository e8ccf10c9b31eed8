//! From a socket to an authenticated connection, within a deadline.
//!
//! After the TLS handshake the connecting side says hello and the listening side answers:
//!
//! ```text
//! offset 0..4    4        5     6       7         8..24
//!        "hush"  version  role  answer  reserved  session
//! ```

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::{AlertDescription, CertificateError, Connection};

use super::SessionId;
use super::config::ALPN;
use super::pin::{Fingerprint, PeerCertificate, Untrusted};
use crate::{NetError, Role};

/// The version of the hello and of everything above it.
const PROTOCOL_VERSION: u8 = 1;
const MAGIC: &[u8; 4] = b"hush";
const HELLO_LEN: usize = 24;

/// Who speaks, and about what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) role: Role,
    pub(super) session: SessionId,
    /// In an answer: whether the session is welcome. True when asking.
    pub(super) accepted: bool,
}

impl Hello {
    fn encode(&self) -> [u8; HELLO_LEN] {
        let mut bytes = [0; HELLO_LEN];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = PROTOCOL_VERSION;
        bytes[5] = self.role.to_byte();
        bytes[6] = u8::from(!self.accepted);
        bytes[8..].copy_from_slice(&self.session);
        bytes
    }

    fn decode(bytes: &[u8; HELLO_LEN]) -> Result<Hello, String> {
        let [m0, m1, m2, m3, version, role, answer, reserved, session @ ..] = *bytes;
        if [m0, m1, m2, m3] != *MAGIC {
            return Err("the peer does not say hello as a hushwire party does".into());
        }
        if version != PROTOCOL_VERSION {
            return Err(format!(
                "protocol version {version}, expected {PROTOCOL_VERSION}: use the same release"
            ));
        }
        let role = Role::from_byte(role).ok_or_else(|| format!("unknown role {role}"))?;
        if answer > 1 || reserved != 0 {
            return Err("unknown flags".into());
        }
        Ok(Hello { role, session, accepted: answer == 0 })
    }
}

/// A connection during its handshake.
pub(super) struct Handshake {
    pub(super) connection: Connection,
    pub(super) socket: TcpStream,
    pub(super) addr: SocketAddr,
    pub(super) own: Fingerprint,
    timeout: Duration,
    until: Instant,
}

impl Handshake {
    /// Completes the TLS handshake.
    pub(super) fn run(
        connection: Connection,
        socket: TcpStream,
        addr: SocketAddr,
        own: Fingerprint,
        timeout: Duration,
    ) -> Result<Handshake, NetError> {
        let until = Instant::now() + timeout;
        let mut handshake = Handshake { connection, socket, addr, own, timeout, until };
        let failed = |source| NetError::Connection { addr, source };
        handshake.socket.set_nodelay(true).map_err(failed)?;
        let outcome = {
            let mut timed = Timed { socket: &handshake.socket, until };
            // It also returns when the socket would block, here at the deadline.
            match handshake.connection.complete_io(&mut timed) {
                Ok(_) if handshake.connection.is_handshaking() => {
                    Err(io::ErrorKind::TimedOut.into())
                }
                outcome => outcome.map(drop),
            }
        };
        if let Err(error) = outcome {
            handshake.part();
            return Err(handshake.explain(&error));
        }
        if handshake.connection.alpn_protocol() != Some(ALPN) {
            return Err(NetError::Hello {
                addr,
                reason: "the peer speaks another protocol".into(),
            });
        }
        Ok(handshake)
    }

    /// The certificate the peer has proved to own.
    pub(super) fn peer(&self) -> Option<PeerCertificate> {
        let der = self.connection.peer_certificates()?.first()?;
        Some(PeerCertificate::from_der(der.clone().into_owned()))
    }

    pub(super) fn say(&mut self, hello: Hello) -> Result<(), NetError> {
        let mut timed = Timed { socket: &self.socket, until: self.until };
        let mut send = || {
            self.connection.writer().write_all(&hello.encode())?;
            while self.connection.wants_write() {
                self.connection.write_tls(&mut timed)?;
            }
            Ok(())
        };
        send().map_err(|error| self.explain(&error))
    }

    pub(super) fn hear(&mut self) -> Result<Hello, NetError> {
        let mut bytes = [0; HELLO_LEN];
        let mut timed = Timed { socket: &self.socket, until: self.until };
        let mut receive = || {
            let mut filled = 0;
            while filled < HELLO_LEN {
                match self.connection.reader().read(&mut bytes[filled..]) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.connection.read_tls(&mut timed)?;
                        self.connection.process_new_packets().map_err(io::Error::other)?;
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        receive().map_err(|error| self.explain(&error))?;
        let addr = self.addr;
        Hello::decode(&bytes).map_err(|reason| NetError::Hello { addr, reason })
    }

    /// Starts the clock again, for a peer that was kept waiting.
    pub(super) fn restart(&mut self) {
        self.until = Instant::now() + self.timeout;
    }

    /// Lets the peer read our alert: closing a socket with unread bytes would destroy it.
    fn part(&mut self) {
        let until = self.until.min(Instant::now() + Duration::from_secs(1));
        let mut timed = Timed { socket: &self.socket, until };
        while self.connection.wants_write() {
            if self.connection.write_tls(&mut timed).is_err() {
                break;
            }
        }
        let mut sink = [0; 1024];
        // Whatever goes wrong here, the connection is over.
        let _ = self.socket.shutdown(Shutdown::Write);
        for _ in 0..64 {
            if !matches!(timed.read(&mut sink), Ok(1..)) {
                break;
            }
        }
    }

    fn explain(&self, error: &io::Error) -> NetError {
        let addr = self.addr;
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
            return NetError::HandshakeTimeout { addr, waited: self.timeout };
        }
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let Some(tls) = tls else {
            let source = io::Error::new(error.kind(), error.to_string());
            return NetError::Connection { addr, source };
        };
        match tls {
            rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
                if let Some(Untrusted(presented)) = other.0.downcast_ref() {
                    return NetError::UntrustedPeer { addr, presented: *presented };
                }
            }
            rustls::Error::AlertReceived(
                AlertDescription::CertificateUnknown
                | AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::CertificateRequired,
            ) => return NetError::RefusedByPeer { addr, own: self.own },
            _ => {}
        }
        NetError::Handshake { addr, source: tls.clone() }
    }
}

/// A socket whose every operation ends by a deadline.
struct Timed<'a> {
    socket: &'a TcpStream,
    until: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
