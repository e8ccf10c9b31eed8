//! The helper, P2, as a process.

mod cache;
mod room;
mod session;

use std::sync::Arc;

use hushwire_net::{Incoming, Listener, Role, agree};

use crate::config::{ConfigFile as _, load_certificates, load_identity};
use crate::seats::Seat;
use crate::service::{self, Host};
use crate::wire::farewell;
use crate::{Handle, HelperConfig, Hooks, PartyError};
use cache::Cache;
use room::{Guest, Room};

/// Deals correlated randomness.
#[derive(Debug)]
pub struct Helper;

/// What the helper's sessions share.
struct Shared {
    config: HelperConfig,
    hooks: Hooks,
    room: Room,
    cache: Cache,
}

impl Helper {
    /// Begins to help.
    ///
    /// # Errors
    /// A configuration or state directory that cannot be used; an address that cannot be listened
    /// at.
    pub fn start(config: HelperConfig) -> Result<Handle, PartyError> {
        Helper::start_with(config, Hooks::default())
    }

    /// Begins to help, with storage of the caller's.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(config: HelperConfig, hooks: Hooks) -> Result<Handle, PartyError> {
        config.check()?;
        let identity = load_identity(&config.identity)?;
        let of = |role| move |certificate| (role, certificate);
        let servers = load_certificates("servers", &config.servers)?;
        let clients = load_certificates("clients", &config.clients)?;
        let trusted = servers.into_iter().map(of(Role::Server));
        let trusted = trusted.chain(clients.into_iter().map(of(Role::Client))).collect();
        let tls = config.tls();
        let limit = config.cache_mib.saturating_mul(1 << 20);
        let cache = Cache::open(config.state.join("weights"), limit, Arc::clone(&hooks.storage))?;
        let listener =
            Listener::bind(config.listen.as_str(), Role::Helper, &identity, trusted, &tls)?;
        tracing::info!(addr = %listener.local_addr(), "helping");
        // Each session has two guests.
        let places = 2 * config.max_sessions;
        let room = Room::new(tls.link.timeout / 2);
        service::serve(listener, places, Arc::new(Shared { config, hooks, room, cache }))
    }
}

impl Host for Shared {
    const NAME: &'static str = "helper";

    /// Receives one of a session's two guests. The thread of the first waits for the second and
    /// then runs the session.
    fn session(&self, incoming: Incoming, seat: &Seat) -> Result<(), PartyError> {
        let id = incoming.session();
        let certificate = incoming.certificate().fingerprint();
        let link = incoming.accept()?;
        seat.watch(&link);
        let key = farewell(agree(&link, Role::Helper, &id).map_err(Into::into), &[&link])?;
        let Some((client, server)) = self.room.meet(id, Guest { link, certificate, key })? else {
            return Ok(());
        };
        // The second guest's own seat is free by now.
        seat.watch(&client.link);
        seat.watch(&server.link);
        let outcome = session::run(self, seat, id, &client, &server);
        farewell(outcome, &[&client.link, &server.link])?;
        // Whoever has left before need not be told.
        let _ = (client.link.close(), server.link.close());
        Ok(())
    }

    fn stop(&self) {
        self.room.close();
    }
}
