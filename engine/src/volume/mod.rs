//! The local state of one vault, as the mount and the sync tasks use it.
//!
//! The tables sit behind one lock that is never held across I/O. Bytes go to pieces first; the
//! extent map then changes under the lock, so a reader sees a write whole or not at all. A thread
//! of the volume's own flushes once a second; `fsync` flushes at once.

pub(crate) mod batch;
pub(crate) mod conflicts;
mod flush;
pub(crate) mod hydration;
mod io;
mod load;
pub(crate) mod meta;
mod open;
mod readahead;
mod sync;
#[cfg(test)]
mod tests;
pub(crate) mod wake;

pub use io::{Preallocate, ReadDone};
pub use open::VolumeOptions;
pub(crate) use sync::AheadJob;
pub use sync::{ApplyOutcome, BodyReader, CutJob, RunKind};

use crate::body::part::ChunkPart;
use crate::body::piece::Gauge;
use crate::body::read::Reader;
use crate::index::Index;
use crate::journal::space::Space;
use crate::journal::staging::Staging;
use crate::journal::{Sealer, Segments};
use crate::tables::{Tables, TablesGuard};
use crate::{FetchError, Notice, StatFs, Time, limits};
use bytes::Bytes;
use flush::Flusher;
use freehold_model::ChunkId;
use freehold_store::CacheStore;
use open::Ticker;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where the volume gets the time from.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Time;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time { secs: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() }
    }
}

/// What a [`ChunkSource`] tells when it is done.
pub type FetchDone = Box<dyn FnOnce(Result<(), FetchError>) + Send>;

/// What a [`ChunkSource`] hands parts of chunks to, in the order asked for.
pub type PartsDone = Box<dyn FnOnce(Result<Vec<Bytes>, FetchError>) + Send>;

/// Brings chunks to this device.
pub trait ChunkSource: Send + Sync {
    /// Fetches the chunks into the chunk cache and then calls `done`, from any thread: at the latest
    /// at the deadline, with `Unreachable`. Must not block and must not call back under a lock.
    fn want(&self, chunks: Vec<ChunkId>, deadline: Instant, done: FetchDone);

    /// As [`Self::want`], for parts of chunks, which go to `done` and not into the cache. They are not
    /// verified. A source that brings whole chunks only answers `Unreachable`.
    fn want_parts(&self, parts: Vec<ChunkPart>, deadline: Instant, done: PartsDone) {
        let (_, _) = (parts, deadline);
        done(Err(FetchError::Unreachable));
    }
}

type Notify = Box<dyn Fn(Notice) + Send + Sync>;

/// Everything on disk; a volume in memory has none of it.
pub(crate) struct Local {
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) segments: Arc<Mutex<Segments>>,
    pub(crate) space: Arc<Space>,
    pub(crate) staging: Staging,
    pub(crate) flusher: Mutex<Flusher>,
    pub(crate) index: Option<Index>,
    pub(crate) chunks: Arc<CacheStore>,
}

/// The local state of one vault. Hold it in an `Arc`.
pub struct Volume {
    pub(crate) tables: Mutex<Tables>,
    pub(crate) local: Option<Local>,
    pub(crate) reader: Reader,
    pub(crate) in_memory: Gauge,
    clock: Box<dyn Clock>,
    source: Mutex<Option<Arc<dyn ChunkSource>>>,
    notify: Mutex<Option<Arc<Notify>>>,
    when_closed: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
    /// Held by whoever shows the whole tree.
    showing: Mutex<()>,
    /// How often content came that was missing.
    pub(crate) arrivals: AtomicU64,
    sweep: Mutex<hydration::Sweep>,
    readahead: Mutex<readahead::Readahead>,
    ticker: Ticker,
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Volume").finish_non_exhaustive()
    }
}

impl Volume {
    /// Locks the tables and reads the clock for the changes to come. Never hold it across I/O.
    pub fn lock(&self) -> TablesGuard<'_> {
        let now = self.clock.now();
        #[cfg(test)]
        self.rest_at_once();
        let mut tables = self.tables.lock();
        tables.now = now;
        TablesGuard(tables)
    }

    /// Nothing may depend on which nodes are packed or asleep: in tests nearly all of them are, at any time.
    #[cfg(test)]
    fn rest_at_once(&self) {
        let no_flush = self.local.as_ref().map(|local| local.flusher.try_lock());
        if let Some(None) = no_flush {
            return;
        }
        let mut tables = self.tables.lock();
        let surplus = tables.nodes.surplus();
        tables.pack(2 * surplus);
        let crowd = tables.nodes.crowd();
        tables.rest(2 * crowd);
    }

    /// Sets who hears of remote changes; see [`Notice`].
    pub fn set_notify(&self, notify: Box<dyn Fn(Notice) + Send + Sync>) {
        *self.notify.lock() = Some(Arc::new(notify));
    }

    /// Sets who brings missing chunks. Without one, a read of a missing chunk is `Unreachable`.
    pub fn set_source(&self, source: Arc<dyn ChunkSource>) {
        *self.source.lock() = Some(source);
    }

    /// Sets who hears that a changed file was closed.
    pub(crate) fn when_closed(&self, hook: Box<dyn Fn() + Send + Sync>) {
        *self.when_closed.lock() = Some(Arc::from(hook));
    }

    /// A program closed a file: what it wrote is whole, and travels without waiting for quiet.
    pub fn closed(&self, ino: crate::Ino) {
        let is_due = self.lock().closed(ino);
        let hook = self.when_closed.lock().clone();
        if let Some(hook) = hook.filter(|_| is_due) {
            hook();
        }
    }

    /// The time of the volume's clock.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Hands notices over, with no lock held.
    pub(crate) fn tell(&self, notices: BTreeSet<Notice>) {
        let notify = self.notify.lock().clone();
        if let Some(notify) = notify {
            notices.into_iter().for_each(|notice| notify(notice));
        }
    }

    pub(crate) fn source(&self) -> Option<Arc<dyn ChunkSource>> {
        self.source.lock().clone()
    }

    /// Totals for `statfs`.
    #[must_use]
    pub fn statfs(&self) -> StatFs {
        let files = self.tables.lock().node_count() as u64;
        let (total, free) = self.local.as_ref().map_or((0, 0), |local| local.space.totals());
        StatFs {
            block_bytes: 4096,
            blocks: total / 4096,
            free: free / 4096,
            files,
            files_free: (limits::NODES_MAX as u64).saturating_sub(files),
            name_max: 255,
        }
    }
}
