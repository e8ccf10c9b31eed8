//! Where a party meets the world beyond its configuration, and where tests make it fail.

use std::fmt;
use std::sync::Arc;

use crate::files::{Disk, Storage};
use crate::{Network, PartyError};

/// A party's storage and, with the feature `test-support`, its failures.
#[derive(Clone)]
pub struct Hooks {
    /// How bundles and masked weights are written to disk.
    pub storage: Arc<dyn Storage>,
    /// Called at every stage of a session.
    #[cfg(feature = "test-support")]
    pub at: Option<Arc<dyn Fn(Stage) -> Action + Send + Sync>>,
    /// A server lies to its clients: it shows them this network instead of its own.
    #[cfg(feature = "test-support")]
    pub shown_to_client: Option<Arc<Network>>,
}

impl Default for Hooks {
    fn default() -> Hooks {
        Hooks {
            storage: Arc::new(Disk),
            #[cfg(feature = "test-support")]
            at: None,
            #[cfg(feature = "test-support")]
            shown_to_client: None,
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooks")
    }
}

/// A moment in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The links are up.
    Setup,
    /// A bundle is about to be made.
    Offline,
    /// The input is about to be sent, or received.
    Online,
    /// A stored bundle has been taken and not yet used.
    Taken,
}

/// What a test makes a party do at a stage.
#[cfg(feature = "test-support")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on.
    Continue,
    /// End as a killed process would: the links are cut and nothing is said.
    Die,
    /// Panic.
    Panic,
    /// Stop for this long.
    Stall(std::time::Duration),
}

#[cfg(feature = "test-support")]
impl Hooks {
    /// Comes by a stage.
    pub(crate) fn reach(&self, stage: Stage) -> Result<(), PartyError> {
        match self.at.as_ref().map_or(Action::Continue, |at| at(stage)) {
            Action::Continue => {}
            Action::Die => return Err(PartyError::Killed),
            Action::Panic => panic!("a test asked for it at {stage:?}"),
            Action::Stall(time) => std::thread::sleep(time),
        }
        Ok(())
    }

    /// What a server shows its clients.
    pub(crate) fn shown<'a>(&'a self, own: &'a Arc<Network>) -> &'a Arc<Network> {
        self.shown_to_client.as_ref().unwrap_or(own)
    }
}

#[cfg(not(feature = "test-support"))]
impl Hooks {
    /// Comes by a stage.
    pub(crate) fn reach(&self, _: Stage) -> Result<(), PartyError> {
        Ok(())
    }

    /// What a server shows its clients.
    pub(crate) fn shown<'a>(&self, own: &'a Arc<Network>) -> &'a Arc<Network> {
        own
    }
}
