//! Where the first guest of a session waits for the second.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hushwire_net::{Link, Role, SessionId, SharedKey};

use crate::PartyError;
use crate::wire::refuse;

/// A client or a server, and the key agreed on with it.
pub(super) struct Guest {
    pub(super) link: Link,
    pub(super) key: SharedKey,
}

/// The waiting room. The number of session threads bounds it.
pub(super) struct Room {
    waiting: Mutex<HashMap<SessionId, (Role, Sender<Guest>)>>,
    patience: Duration,
}

impl Room {
    pub(super) fn new(patience: Duration) -> Room {
        Room { waiting: Mutex::default(), patience }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<SessionId, (Role, Sender<Guest>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
            match waiting.get(&id) {
                Some((other, _)) if *other == role => {
                    drop(waiting);
                    let error = PartyError::Limit("the session has begun already".into());
                    refuse(&guest.link, &error.to_string());
                    return Err(error);
                }
                Some(_) => {
                    if let Some((_, first)) = waiting.remove(&id) {
                        // The first waits until it finds itself removed.
                        let _ = first.send(guest);
                    }
                    return Ok(None);
                }
                None => {
                    let (sender, arrivals) = channel();
                    waiting.insert(id, (role, sender));
                    arrivals
                }
            }
        };
        let Some(other) = self.wait(&id, &arrivals) else {
            let absent = if role == Role::Client { Role::Server } else { Role::Client };
            let error = PartyError::Absent { absent, waited: self.patience };
            refuse(&guest.link, &error.to_string());
            return Err(error);
        };
        Ok(Some(if role == Role::Client { (guest, other) } else { (other, guest) }))
    }

    fn wait(&self, id: &SessionId, arrivals: &Receiver<Guest>) -> Option<Guest> {
        if let Ok(guest) = arrivals.recv_timeout(self.patience) {
            return Some(guest);
        }
        // Whoever came in the last moment has removed the entry and left itself in the channel.
        self.waiting().remove(id);
        arrivals.try_recv().ok()
    }
}
