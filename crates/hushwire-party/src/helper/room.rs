//! Where the first guest of a session waits for the second.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hushwire_net::{Fingerprint, Link, Role, SessionId, SharedKey};

use crate::PartyError;
use crate::wire::refuse;

/// A client or a server, and the key agreed on with it.
pub(super) struct Guest {
    pub(super) link: Link,
    pub(super) certificate: Fingerprint,
    pub(super) key: SharedKey,
}

/// The waiting room. The number of session threads bounds it.
pub(super) struct Room {
    waiting: Mutex<Waiting>,
    patience: Duration,
}

#[derive(Default)]
struct Waiting {
    guests: HashMap<SessionId, (Role, Sender<Guest>)>,
    closed: bool,
}

impl Room {
    pub(super) fn new(patience: Duration) -> Room {
        Room { waiting: Mutex::default(), patience }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends away those who wait, and all who come.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.guests.clear();
    }

    /// Brings client and server of a session together: gives both to the one who came first.
    pub(super) fn meet(
        &self,
        id: SessionId,
        guest: Guest,
    ) -> Result<Option<(Guest, Guest)>, PartyError> {
        let role = guest.link.peer();
        let arrivals = {
            let mut waiting = self.waiting();
            if waiting.closed {
                drop(waiting);
                return Err(sent_away(&guest, PartyError::Stopping));
            }
            match waiting.guests.get(&id) {
                Some((other, _)) if *other == role => {
                    drop(waiting);
                    let error = PartyError::Limit("the session has begun already".into());
                    return Err(sent_away(&guest, error));
                }
                Some(_) => {
                    if let Some((_, first)) = waiting.guests.remove(&id) {
                        // The first waits until it finds itself removed.
                        let _ = first.send(guest);
                    }
                    return Ok(None);
                }
                None => {
                    let (sender, arrivals) = channel();
                    waiting.guests.insert(id, (role, sender));
                    arrivals
                }
            }
        };
        let Some(other) = self.wait(&id, &arrivals) else {
            let absent = if role == Role::Client { Role::Server } else { Role::Client };
            let closed = self.waiting().closed;
            let error = PartyError::Absent { absent, waited: self.patience };
            return Err(sent_away(&guest, if closed { PartyError::Stopping } else { error }));
        };
        Ok(Some(if role == Role::Client { (guest, other) } else { (other, guest) }))
    }

    fn wait(&self, id: &SessionId, arrivals: &Receiver<Guest>) -> Option<Guest> {
        if let Ok(guest) = arrivals.recv_timeout(self.patience) {
            return Some(guest);
        }
        // Whoever came in the last moment has removed the entry and left itself in the channel.
        self.waiting().guests.remove(id);
        arrivals.try_recv().ok()
    }
}

/// Tells a guest why it is sent away.
fn sent_away(guest: &Guest, error: PartyError) -> PartyError {
    refuse(&guest.link, &error);
    error
}
