//! Ending a link from another thread than those that use it.

use std::fmt;
use std::sync::Arc;

use crate::error::Fault;
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::transport::{Abort, Lifeline};

/// Severs a link that someone else owns.
pub struct Cutter {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) abort: Arc<dyn Abort>,
    pub(crate) lifeline: Arc<Lifeline>,
}

impl Cutter {
    /// Ends the link at once; see [`Link::sever`](crate::Link::sever).
    pub fn cut(&self) {
        let fault = Fault::Lost("the link was ended on this side".into());
        self.lifeline.cut();
        // The reader may be waiting for room and notice nothing of the connection.
        self.inbox.fail(fault.clone());
        self.outbox.fail(fault);
        self.outbox.stop();
        self.abort.abort();
    }
}

impl fmt::Debug for Cutter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cutter")
    }
}
