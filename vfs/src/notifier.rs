//! Tells the kernel what changed behind its back: the queue of pending invalidations and the thread
//! that sends them.
//!
//! A remote change is published in the tables first; the kernel hears of it afterwards, from one
//! thread that holds no lock, because `inval_entry` waits for the directory's kernel lock while a
//! request on that directory is unanswered. A notice is *pending* from its arrival until the kernel
//! call has returned. Within that span the kernel may carry the old dentry elsewhere:
//!
//! - RENAME moves the old dentry to the new name, so a rename that touches a pending name makes the
//!   target pending too;
//! - a RENAME may also fall between publication and the arrival of the notice, so recent renames
//!   are kept as a trail, and an arriving notice follows it. A superfluous invalidation costs one
//!   LOOKUP; a missing one serves old content for a day.
//!
//! Pages are never invalidated: that call waits for reads which may wait for the network. The queue
//! needs no length limit of its own: it holds each name or inode at most once, so the table's limit
//! bounds it, and blocking a sender here could deadlock.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread;

use freehold_engine::{Ino, Notice};
use parking_lot::{Condvar, Mutex};

use crate::limits::MAX_RENAME_TRAIL;

/// One thing the kernel must drop from its caches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Inval {
    /// The dentry, positive or negative, of `name` in the directory.
    Entry { dir: Ino, name: Vec<u8> },
    /// The attributes of an inode; its pages stay.
    Attributes(Ino),
    /// The cached listing of a directory.
    Listing(Ino),
}

/// Carries invalidations to the kernel; each transport has one.
pub(crate) trait KernelNotify: Send {
    /// Sends one invalidation and returns once the kernel has acted on it.
    fn send(&self, inval: &Inval) -> io::Result<()>;
}

/// The pending set and the trail of recent renames.
#[derive(Debug, Default)]
pub(crate) struct InvalQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    order: VecDeque<Inval>,
    queued: BTreeSet<Inval>,
    in_flight: Option<Inval>,
    trail: VecDeque<Moved>,
    phase: Phase,
}

#[derive(Debug)]
struct Moved {
    from: Inval,
    to: Inval,
}

/// Whether notices still reach the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Armed,
    /// Notices are dropped: an unmount is under way, when a notification could make the process
    /// unkillable.
    Disarmed,
    Closed,
}

impl InvalQueue {
    /// Queues what a published change makes stale.
    pub(crate) fn publish(&self, notice: Notice) {
        let mut state = self.state.lock();
        match notice {
            Notice::Entry { parent, name } => {
                let entry = Inval::Entry { dir: parent, name };
                for followed in state.follow(&entry) {
                    state.push(followed);
                }
                state.push(entry);
                // An entry the kernel does not know leaves the cached listing alone, so the listing
                // is always dropped too.
                state.push(Inval::Listing(parent));
            }
            Notice::Attr { ino } | Notice::Detached { ino } => state.push(Inval::Attributes(ino)),
            Notice::Listing { dir } => state.push(Inval::Listing(dir)),
        }
        self.changed.notify_all();
    }

    /// Records that a local RENAME carried the kernel's dentry from one name to another, and queues
    /// the target if the source is pending. Called after the tables have changed and before the
    /// reply, so that the kernel still holds both directories and the target's invalidation waits
    /// for the move.
    pub(crate) fn renamed(&self, from: (Ino, &[u8]), to: (Ino, &[u8])) {
        let entry = |(dir, name): (Ino, &[u8])| Inval::Entry { dir, name: name.to_vec() };
        let (from, to) = (entry(from), entry(to));
        let mut state = self.state.lock();
        if state.is_pending(&from) {
            state.push(to.clone());
            self.changed.notify_all();
        }
        if state.trail.len() == MAX_RENAME_TRAIL {
            state.trail.pop_front();
        }
        state.trail.push_back(Moved { from, to });
    }

    /// Waits for the next invalidation; `None` once the queue is closed.
    fn next(&self) -> Option<Inval> {
        let mut state = self.state.lock();
        loop {
            if state.phase == Phase::Closed {
                return None;
            }
            if let Some(inval) = state.order.pop_front() {
                state.queued.remove(&inval);
                state.in_flight = Some(inval.clone());
                return Some(inval);
            }
            self.changed.wait(&mut state);
        }
    }

    fn sent(&self) {
        self.state.lock().in_flight = None;
        self.changed.notify_all();
    }

    /// Blocks until everything published so far has reached the kernel or was dropped by an
    /// unmount.
    pub(crate) fn drain(&self) {
        let mut state = self.state.lock();
        while state.phase == Phase::Armed && !(state.order.is_empty() && state.in_flight.is_none()) {
            self.changed.wait(&mut state);
        }
    }

    /// Drops what is queued and everything that comes until [`Self::rearm`].
    pub(crate) fn disarm(&self) {
        self.enter(Phase::Disarmed);
    }

    /// Takes notices again, after an unmount was refused.
    pub(crate) fn rearm(&self) {
        self.enter(Phase::Armed);
    }

    /// Ends the sending thread.
    pub(crate) fn close(&self) {
        self.enter(Phase::Closed);
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.state.lock();
        if state.phase != Phase::Closed {
            state.phase = phase;
        }
        if phase != Phase::Armed {
            state.order.clear();
            state.queued.clear();
        }
        self.changed.notify_all();
    }
}

impl State {
    fn push(&mut self, inval: Inval) {
        if self.phase == Phase::Armed && self.queued.insert(inval.clone()) {
            self.order.push_back(inval);
        }
    }

    fn is_pending(&self, inval: &Inval) -> bool {
        self.queued.contains(inval) || self.in_flight.as_ref() == Some(inval)
    }

    /// The names to which recent renames may have carried the dentry of `start`, oldest first.
    fn follow(&self, start: &Inval) -> Vec<Inval> {
        let mut reached = vec![start.clone()];
        for moved in &self.trail {
            if reached.contains(&moved.from) && !reached.contains(&moved.to) {
                reached.push(moved.to.clone());
            }
        }
        reached.remove(0);
        reached
    }
}

/// Starts the thread that sends what `queue` collects. It ends when the queue is closed.
pub(crate) fn spawn(
    queue: Arc<InvalQueue>,
    kernel: Box<dyn KernelNotify>,
) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name("freehold-notify".into()).spawn(move || {
        while let Some(inval) = queue.next() {
            if let Err(error) = kernel.send(&inval) {
                // The mount is going away, or the kernel is too old for this notification; either
                // way nothing can be retried.
                tracing::debug!(%error, "the kernel did not take an invalidation");
            }
            queue.sent();
        }
    })
}

#[cfg(test)]
#[path = "notifier/tests.rs"]
mod tests;
