//! The connecting side.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::handshake::{Handshake, Hello};
use super::{Identity, PeerCertificate, SessionId, TlsOptions, config, stream};
use crate::link::Link;
use crate::{NetError, Role};

/// How long to wait before trying again to reach a listener.
const RETRY: Duration = Duration::from_millis(50);

/// Connects to the party `peer`, which must have the given certificate, and asks for a session.
/// Until the deadline it tries again while nobody listens; any other failure is final.
///
/// # Errors
/// [`NetError::Connect`] if nobody listens until the deadline, [`NetError::UntrustedPeer`] and
/// [`NetError::RefusedByPeer`] if one side does not trust the other,
/// [`NetError::HandshakeTimeout`], [`NetError::Handshake`], [`NetError::Hello`],
/// [`NetError::WrongRole`], [`NetError::SessionRefused`], or [`NetError::Identity`].
pub fn connect(
    addr: impl ToSocketAddrs,
    own: Role,
    identity: &Identity,
    peer: (Role, &PeerCertificate),
    session: SessionId,
    options: &TlsOptions,
) -> Result<Link, NetError> {
    let (peer, certificate) = peer;
    let config = config::client(identity, certificate.clone())?;
    let (socket, addr) = reach(addr, options.connect_timeout)?;
    let failed = |source| NetError::Handshake { addr, source };
    // The name is neither sent nor checked: the certificate is pinned.
    let name = ServerName::from(addr.ip());
    let connection = ClientConnection::new(config, name).map_err(failed)?;
    let own_print = identity.fingerprint();
    let timeout = options.handshake_timeout;
    let mut handshake = Handshake::run(connection.into(), socket, addr, own_print, timeout)?;
    handshake.say(Hello { role: own, session, accepted: true })?;
    let answer = handshake.hear()?;
    if answer.role != peer {
        return Err(NetError::WrongRole { addr, expected: peer, got: answer.role });
    }
    if !answer.accepted || answer.session != session {
        return Err(NetError::SessionRefused { peer });
    }
    let Handshake { connection, socket, .. } = handshake;
    let transport = stream::transport(connection, socket, options.link.timeout)
        .map_err(|source| NetError::Connection { addr, source })?;
    Link::start(own, peer, options.link.clone(), transport)
}

fn reach(addr: impl ToSocketAddrs, timeout: Duration) -> Result<(TcpStream, SocketAddr), NetError> {
    let until = Instant::now() + timeout;
    let mut last: Option<SocketAddr> = None;
    loop {
        let mut error = None;
        match addr.to_socket_addrs() {
            Ok(candidates) => {
                for candidate in candidates {
                    let left = until.saturating_duration_since(Instant::now());
                    let left = left.max(Duration::from_millis(1));
                    last = Some(candidate);
                    match TcpStream::connect_timeout(&candidate, left) {
                        Ok(socket) => return Ok((socket, candidate)),
                        Err(failure) => error = Some(failure),
                    }
                }
            }
            Err(failure) => error = Some(failure),
        }
        if Instant::now() + RETRY >= until {
            let source = error.unwrap_or_else(|| std::io::ErrorKind::AddrNotAvailable.into());
            let addr = last.map_or_else(|| "an unknown address".into(), |a| a.to_string());
            return Err(NetError::Connect { addr, waited: timeout, source });
        }
        thread::sleep(RETRY);
    }
}
