//! The listening side.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection};

use super::handshake::{Handshake, Hello};
use super::{Fingerprint, Identity, PeerCertificate, SessionId, TlsOptions, config, stream};
use crate::link::Link;
use crate::sync::lock;
use crate::{NetError, Role};

/// Waits for trusted parties. Handshakes run in threads of their own, so a slow or silent client
/// delays nobody else.
pub struct Listener {
    addr: SocketAddr,
    arrivals: Mutex<Receiver<Result<Incoming, NetError>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the handshake threads need.
struct Desk {
    own: Role,
    fingerprint: Fingerprint,
    config: Arc<ServerConfig>,
    trusted: Vec<(Role, PeerCertificate)>,
    options: TlsOptions,
    running: AtomicUsize,
    stop: Arc<AtomicBool>,
}

impl Listener {
    /// Listens as the party `own`. A peer is welcome in the roles that its certificate is listed
    /// with.
    ///
    /// # Errors
    /// [`NetError::Bind`] if the address cannot be used, [`NetError::Identity`] if the identity
    /// cannot.
    pub fn bind(
        addr: impl ToSocketAddrs,
        own: Role,
        identity: &Identity,
        trusted: Vec<(Role, PeerCertificate)>,
        options: &TlsOptions,
    ) -> Result<Listener, NetError> {
        let certificates = trusted.iter().map(|(_, certificate)| certificate.clone()).collect();
        let config = config::server(identity, certificates)?;
        let bind = |source| NetError::Bind { source };
        let socket = TcpListener::bind(addr).map_err(bind)?;
        let addr = socket.local_addr().map_err(bind)?;
        let stop = Arc::<AtomicBool>::default();
        let desk = Arc::new(Desk {
            own,
            fingerprint: identity.fingerprint(),
            config,
            trusted,
            options: options.clone(),
            running: AtomicUsize::new(0),
            stop: Arc::clone(&stop),
        });
        let (sender, arrivals) = sync_channel(options.max_handshakes.max(1));
        let thread = thread::Builder::new()
            .name(format!("listen {}", own.index()))
            .spawn(move || desk.run(&socket, &sender))
            .map_err(|source| NetError::Spawn { source })?;
        Ok(Listener { addr, arrivals: Mutex::new(arrivals), stop, thread: Some(thread) })
    }

    /// The address in use, with the port the system chose if none was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next party that has proved who it is, waiting at most `timeout`; `None` if nobody came.
    ///
    /// # Errors
    /// Why a client was turned away: [`NetError::UntrustedPeer`], [`NetError::WrongRole`],
    /// [`NetError::HandshakeTimeout`] and so on. The listener goes on; call again.
    pub fn accept(&self, timeout: Duration) -> Result<Option<Incoming>, NetError> {
        match lock(&self.arrivals).recv_timeout(timeout) {
            Ok(arrival) => arrival.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                let source = io::Error::other("the listening socket failed");
                Err(NetError::Bind { source })
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // The thread waits for a connection: give it one.
        let ip = match self.addr.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let addr = SocketAddr::new(ip, self.addr.port());
        let woken = TcpStream::connect_timeout(&addr, Duration::from_secs(1)).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            // A panic there has been reported already.
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn run(self: Arc<Desk>, socket: &TcpListener, sender: &SyncSender<Result<Incoming, NetError>>) {
        loop {
            let accepted = socket.accept();
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            let (client, addr) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Usually a client that left again, or too many open files: go on, not in haste.
                    tracing::warn!(%error, "cannot accept a connection");
                    thread::sleep(Duration::from_millis(20));
                    continue;
                }
            };
            if self.running.fetch_add(1, Ordering::AcqRel) >= self.options.max_handshakes {
                self.running.fetch_sub(1, Ordering::AcqRel);
                tracing::warn!(%addr, "too many handshakes at once, turned away");
                continue;
            }
            let (desk, sender) = (Arc::clone(&self), sender.clone());
            let spawned = thread::Builder::new().name("handshake".into()).spawn(move || {
                let arrival = desk.greet(client, addr);
                desk.running.fetch_sub(1, Ordering::AcqRel);
                if let Err(error) = &arrival {
                    tracing::warn!(%addr, %error, "handshake failed");
                }
                // If nobody collects arrivals the connection is dropped, and the peer sees that.
                let _ = sender.try_send(arrival);
            });
            if let Err(error) = spawned {
                self.running.fetch_sub(1, Ordering::AcqRel);
                tracing::warn!(%addr, %error, "no thread for a handshake");
            }
        }
    }

    fn greet(&self, socket: TcpStream, addr: SocketAddr) -> Result<Incoming, NetError> {
        let connection = ServerConnection::new(Arc::clone(&self.config))
            .map_err(|source| NetError::Handshake { addr, source })?;
        let timeout = self.options.handshake_timeout;
        let mut handshake =
            Handshake::run(connection.into(), socket, addr, self.fingerprint, timeout)?;
        let hello = handshake.hear()?;
        let certificate = handshake
            .peer()
            .ok_or(NetError::Hello { addr, reason: "the peer has no certificate".into() })?;
        let mut roles = self.trusted.iter().filter(|(_, pin)| pin.is(certificate.der()));
        if !roles.clone().any(|(role, _)| *role == hello.role) {
            let expected = roles.next().map_or(self.own, |(role, _)| *role);
            return Err(NetError::WrongRole { addr, expected, got: hello.role });
        }
        Ok(Incoming { handshake, hello, certificate, own: self.own, options: self.options.clone() })
    }
}

/// A trusted party that asks for a session.
pub struct Incoming {
    handshake: Handshake,
    hello: Hello,
    certificate: PeerCertificate,
    own: Role,
    options: TlsOptions,
}

impl Incoming {
    /// Who asks.
    pub fn peer(&self) -> Role {
        self.hello.role
    }

    /// The session asked for.
    pub fn session(&self) -> SessionId {
        self.hello.session
    }

    /// The certificate the peer has proved to own.
    pub fn certificate(&self) -> &PeerCertificate {
        &self.certificate
    }

    /// The peer's address.
    pub fn addr(&self) -> SocketAddr {
        self.handshake.addr
    }

    /// Agrees to the session.
    ///
    /// # Errors
    /// [`NetError::Connection`] or [`NetError::HandshakeTimeout`] if the peer has gone.
    pub fn accept(mut self) -> Result<Link, NetError> {
        self.answer(true)?;
        let Handshake { connection, socket, addr, .. } = self.handshake;
        let transport = stream::transport(connection, socket, self.options.link.timeout)
            .map_err(|source| NetError::Connection { addr, source })?;
        Link::start(self.own, self.hello.role, self.options.link, transport)
    }

    /// Declines the session.
    ///
    /// # Errors
    /// As [`accept`](Incoming::accept).
    pub fn refuse(mut self) -> Result<(), NetError> {
        self.answer(false)
    }

    fn answer(&mut self, accepted: bool) -> Result<(), NetError> {
        self.handshake.restart();
        self.handshake.say(Hello { role: self.own, session: self.hello.session, accepted })
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming")
            .field("peer", &self.hello.role)
            .field("session", &hex::encode(self.hello.session))
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}
