//! What listening parties have in common: an accept loop, a bounded number of session threads, and
//! an orderly end.

use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hushwire_net::{Incoming, Listener, NetError};

use crate::PartyError;
use crate::seats::{Seat, Seats};

/// How long shutting down may go unnoticed.
const TICK: Duration = Duration::from_millis(50);

/// How long someone waits for a place: a session that its client has left frees its own a moment later.
const PATIENCE: Duration = Duration::from_millis(500);

/// A running server or helper. Dropping it shuts it down and waits.
pub struct Handle {
    addr: SocketAddr,
    stop: Box<dyn Fn() + Send + Sync>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.addr)
    }
}

impl Handle {
    /// The address in use, with the port the system chose if none was given.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes no more sessions and ends those that wait for a request or are being set up. A request
    /// that is being served is served to its end, and its session ends then.
    pub fn shutdown(&self) {
        (self.stop)();
    }

    /// Waits until the party has ended: after [`shutdown`](Self::shutdown), when its sessions have.
    /// A request whose client or helper is silent ends with the configured time-out.
    pub fn join(mut self) {
        self.wait();
    }

    fn wait(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported already.
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shutdown();
        self.wait();
    }
}

/// A listening party.
pub(crate) trait Host: Send + Sync + 'static {
    /// What its log calls it.
    const NAME: &'static str;

    /// Holds the session that someone asks for.
    fn session(&self, incoming: Incoming, seat: &Seat) -> Result<(), PartyError>;

    /// Ends whatever waits for something else than a link.
    fn stop(&self) {}
}

/// Serves arrivals, each in a thread of its own, at most `limit` at once; more are declined.
pub(crate) fn serve<H: Host>(
    listener: Listener,
    limit: usize,
    host: Arc<H>,
) -> Result<Handle, PartyError> {
    let addr = listener.local_addr();
    let seats = Arc::<Seats>::default();
    let stop = {
        let (seats, host) = (Arc::clone(&seats), Arc::clone(&host));
        move || {
            seats.stop();
            host.stop();
        }
    };
    let body = move || {
        while !seats.is_stopping() {
            match listener.accept(TICK) {
                Ok(Some(incoming)) => begin(incoming, limit, &seats, &host),
                Ok(None) => {}
                Err(error @ NetError::Bind { .. }) => {
                    tracing::error!(%error, "{} ends", H::NAME);
                    break;
                }
                // The listener has logged why it turned someone away.
                Err(_) => {}
            }
        }
        drop(listener);
        seats.wait_empty();
    };
    let thread = thread::Builder::new().name(H::NAME.into()).spawn(body).map_err(no_thread)?;
    Ok(Handle { addr, stop: Box::new(stop), thread: Some(thread) })
}

fn no_thread(error: std::io::Error) -> PartyError {
    PartyError::System { what: "a thread", reason: error.to_string() }
}

fn begin<H: Host>(incoming: Incoming, limit: usize, seats: &Arc<Seats>, host: &Arc<H>) {
    let (peer, addr) = (incoming.peer(), incoming.addr());
    let Some(seat) = seats.take(limit, PATIENCE) else {
        tracing::warn!(%peer, %addr, limit, "declined a session: all places are taken");
        // If the peer has gone, so has its request.
        let _ = incoming.refuse();
        return;
    };
    let host = Arc::clone(host);
    let spawned = thread::Builder::new().name(format!("{} session", H::NAME)).spawn(move || {
        let id = hex::encode(incoming.session());
        let certificate = incoming.certificate().fingerprint();
        let outcome = catch_unwind(AssertUnwindSafe(|| host.session(incoming, &seat)));
        let outcome = outcome.unwrap_or_else(|panic| Err(PartyError::Panic(text_of(&*panic))));
        match outcome {
            Ok(()) => tracing::info!(session = id, %peer, %certificate, "session ended"),
            Err(error) if seat.is_stopping() => {
                tracing::info!(session = id, %peer, %certificate, %error, "session cut off");
            }
            Err(error) => {
                tracing::warn!(session = id, %peer, %certificate, %error, "session failed");
            }
        }
    });
    if let Err(error) = spawned {
        tracing::warn!(%peer, %addr, %error, "no thread for a session");
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}
