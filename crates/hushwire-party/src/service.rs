//! What listening parties have in common: an accept loop, a bounded number of session threads, and
//! an orderly end.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hushwire_net::{Incoming, Listener, NetError};

use crate::PartyError;

/// How long shutting down may go unnoticed.
const TICK: Duration = Duration::from_millis(100);

/// A running server or helper. Dropping it shuts it down and waits.
#[derive(Debug)]
pub struct Handle {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    /// The address in use, with the port the system chose if none was given.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes no more sessions. Those that run go on to their end.
    pub fn shutdown(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Waits until the party has ended: after [`shutdown`](Self::shutdown), when its sessions have.
    /// A session whose client is silent ends with the configured time-out.
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

/// Serves arrivals, each in a thread of its own, at most `limit` at once; more are declined.
pub(crate) fn serve(
    name: &'static str,
    listener: Listener,
    limit: usize,
    session: impl Fn(Incoming) -> Result<(), PartyError> + Send + Sync + 'static,
) -> Result<Handle, PartyError> {
    let addr = listener.local_addr();
    let stop = Arc::<AtomicBool>::default();
    let stopped = Arc::clone(&stop);
    let session = Arc::new(session);
    let body = move || {
        let places = Arc::new(Places::default());
        while !stopped.load(Ordering::Acquire) {
            match listener.accept(TICK) {
                Ok(Some(incoming)) => begin(name, incoming, limit, &places, &session),
                Ok(None) => {}
                Err(error @ NetError::Bind { .. }) => {
                    tracing::error!(%error, "{name} ends");
                    break;
                }
                // The listener has logged why it turned someone away.
                Err(_) => {}
            }
        }
        drop(listener);
        places.wait_empty();
    };
    let thread = thread::Builder::new().name(name.into()).spawn(body).map_err(no_thread)?;
    Ok(Handle { addr, stop, thread: Some(thread) })
}

fn no_thread(error: std::io::Error) -> PartyError {
    PartyError::System { what: "a thread", reason: error.to_string() }
}

fn begin(
    name: &'static str,
    incoming: Incoming,
    limit: usize,
    places: &Arc<Places>,
    session: &Arc<impl Fn(Incoming) -> Result<(), PartyError> + Send + Sync + 'static>,
) {
    let (peer, addr) = (incoming.peer(), incoming.addr());
    let Some(place) = places.take(limit) else {
        tracing::warn!(%peer, %addr, limit, "declined a session: all places are taken");
        // If the peer has gone, so has its request.
        let _ = incoming.refuse();
        return;
    };
    let session = Arc::clone(session);
    let spawned = thread::Builder::new().name(format!("{name} session")).spawn(move || {
        let id = hex::encode(incoming.session());
        let certificate = incoming.certificate().fingerprint();
        let outcome = catch_unwind(AssertUnwindSafe(|| session(incoming)));
        let outcome = outcome.unwrap_or_else(|panic| Err(PartyError::Panic(text_of(&*panic))));
        match outcome {
            Ok(()) => tracing::info!(session = id, %peer, %certificate, "session ended"),
            Err(error) => {
                tracing::warn!(session = id, %peer, %certificate, %error, "session failed");
            }
        }
        drop(place);
    });
    if let Err(error) = spawned {
        tracing::warn!(%peer, %addr, %error, "no thread for a session");
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

/// Sessions that run.
#[derive(Default)]
struct Places {
    taken: Mutex<usize>,
    freed: Condvar,
}

struct Place(Arc<Places>);

impl Places {
    fn take(self: &Arc<Places>, limit: usize) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if *taken >= limit {
            return None;
        }
        *taken += 1;
        Some(Place(Arc::clone(self)))
    }

    fn wait_empty(&self) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_while(taken, |taken| *taken > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.freed.notify_all();
    }
}
