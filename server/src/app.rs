//! What every request shares: store, keys, clock, throttles, event channel.

use crate::clock::{Clock, micros};
use crate::db::MetaStore;
use crate::keys::ServerKeys;
use crate::limits;
use crate::throttle::Throttle;
use freehold_api::{Event, Kdf};
use freehold_model::AccountId;
use freehold_trust::KdfParams;
use std::sync::Arc;
use tokio::sync::{broadcast, watch};

/// The server's state.
pub struct App {
    pub(crate) store: Arc<dyn MetaStore>,
    pub(crate) keys: ServerKeys,
    pub(crate) clock: Clock,
    pub(crate) login_throttle: Throttle,
    pub(crate) network_throttle: Throttle,
    events: broadcast::Sender<Pushed>,
    stopping: watch::Sender<bool>,
}

/// An event with its audience.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pushed {
    /// Whose devices hear it; everybody's when nothing.
    pub(crate) account: Option<AccountId>,
    /// What happened.
    pub(crate) event: Event,
    /// Where.
    pub(crate) origin: Origin,
}

/// Which server an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This one.
    Here,
    /// Another one over the same database.
    Elsewhere,
}

impl App {
    /// A server over a store.
    #[must_use]
    pub fn new(store: Arc<dyn MetaStore>, keys: ServerKeys, clock: Clock) -> Self {
        let login_refill = micros(limits::LOGIN_REFILL_SECONDS);
        let network_refill = micros(limits::NETWORK_REFILL_SECONDS);
        Self {
            store,
            keys,
            clock,
            login_throttle: Throttle::new(limits::LOGIN_BURST, login_refill, limits::BUCKETS_MAX),
            network_throttle: Throttle::new(limits::NETWORK_BURST, network_refill, limits::BUCKETS_MAX),
            events: broadcast::Sender::new(limits::EVENTS_BEHIND_MAX),
            stopping: watch::Sender::new(false),
        }
    }

    /// The server's clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The server's keys.
    #[must_use]
    pub const fn keys(&self) -> &ServerKeys {
        &self.keys
    }

    /// Tells listeners; nobody listening is fine, since events only hurry clients along.
    pub(crate) fn push(&self, account: Option<AccountId>, event: Event) {
        let _ = self.events.send(Pushed { account, event, origin: Origin::Here });
    }

    /// Tells listeners what happened at another server.
    pub(crate) fn push_from_elsewhere(&self, account: Option<AccountId>, event: Event) {
        let _ = self.events.send(Pushed { account, event, origin: Origin::Elsewhere });
    }

    /// Starts listening to events.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Pushed> {
        self.events.subscribe()
    }

    /// Ends every event connection.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Turns true when the server stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// Parameters as messages carry them.
pub(crate) const fn kdf_message(params: KdfParams) -> Kdf {
    Kdf { m_kib: params.m_kib(), t: params.t(), p: params.p() }
}
