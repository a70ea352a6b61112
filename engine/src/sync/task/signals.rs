//! What the loop hears from the rest of the engine, and what it tells whoever watches.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;

/// Reasons to look.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    pub(super) wake: Notify,
    pub(super) pull: AtomicBool,
    pub(super) look_again: AtomicBool,
    pub(super) meet: AtomicBool,
    /// Tickets handed out to those who wait for a fresh answer of the server.
    pub(super) asked: AtomicU64,
}

impl Signals {
    /// Something of this device is ready to travel.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// There may be new commits.
    pub(crate) fn pull(&self) {
        self.pull.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Versions that were put aside may be there now.
    pub(crate) fn look_again(&self) {
        self.look_again.store(true, Ordering::Release);
        self.pull();
    }

    /// The account or the server may have changed.
    pub(crate) fn meet(&self) {
        self.meet.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Asks the server afresh; the answer is there once [`Progress::answered`] reaches the ticket.
    pub(crate) fn ask(&self) -> u64 {
        let ticket = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.look_again();
        ticket
    }
}

/// How far sync is, for whoever watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The highest ticket whose answer is applied.
    pub(crate) answered: u64,
    /// Number of the newest commit applied.
    pub(crate) applied: u64,
    /// Number of the newest commit the server had when it was asked last.
    pub(crate) head: u64,
    /// Versions put aside until their chunks are near.
    pub(crate) deferred: u64,
}
