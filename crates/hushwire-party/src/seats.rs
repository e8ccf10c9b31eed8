//! The sessions of a listening party: how many there are, and how they are ended.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hushwire_net::{Cutter, Link};

/// The sessions that run, up to a limit.
#[derive(Default)]
pub(crate) struct Seats {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    stopping: bool,
    taken: HashMap<u64, Sitting>,
    next: u64,
}

#[derive(Default)]
struct Sitting {
    links: Vec<Cutter>,
    serving: bool,
}

/// A session's seat; free again when dropped.
pub(crate) struct Seat {
    seats: Arc<Seats>,
    number: u64,
}

/// A request is being served: the session is not ended now.
pub(crate) struct Serving<'a>(&'a Seat);

impl Seats {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat, unless `limit` are taken, and still are after `patience`, or the party is about to end.
    pub(crate) fn take(self: &Arc<Seats>, limit: usize, patience: Duration) -> Option<Seat> {
        let full = |state: &mut State| !state.stopping && state.taken.len() >= limit;
        let waited = self.freed.wait_timeout_while(self.lock(), patience, full);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.stopping || state.taken.len() >= limit {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.taken.insert(number, Sitting::default());
        Some(Seat { seats: Arc::clone(self), number })
    }

    /// Gives no more seats and ends the sessions that do not serve a request right now; the others
    /// end by themselves after it.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        self.freed.notify_all();
        for sitting in state.taken.values().filter(|sitting| !sitting.serving) {
            sitting.links.iter().for_each(Cutter::cut);
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    pub(crate) fn wait_empty(&self) {
        let waited = self.freed.wait_while(self.lock(), |state| !state.taken.is_empty());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Seat {
    /// Has the link severed when the party ends.
    pub(crate) fn watch(&self, link: &Link) {
        let mut state = self.seats.lock();
        let stopping = state.stopping;
        if let Some(sitting) = state.taken.get_mut(&self.number) {
            sitting.links.push(link.cutter());
        }
        if stopping {
            link.sever();
        }
    }

    /// Marks the session as serving; `None` if the party is about to end.
    pub(crate) fn serving(&self) -> Option<Serving<'_>> {
        let mut state = self.seats.lock();
        if state.stopping {
            return None;
        }
        state.taken.get_mut(&self.number)?.serving = true;
        Some(Serving(self))
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.seats.is_stopping()
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if let Some(sitting) = self.0.seats.lock().taken.get_mut(&self.0.number) {
            sitting.serving = false;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().taken.remove(&self.number);
        self.seats.freed.notify_all();
    }
}
