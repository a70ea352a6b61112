//! Keeps pinned files on this device, and gives up those that nobody wants here.
//!
//! A pass looks at every file that a wish counts for. Of a pinned one, the chunks its manifest names
//! are kept before they are fetched, level by level, so that a cache smaller than the file does not
//! drop its beginning while its end comes. A pass that finds nothing changed costs a look at the
//! wishes. What could not be had is tried again by the next pass.

use crate::body::walk::walk;
use crate::transfer::download::Downloads;
use crate::{Ino, PinMode, Volume};
use freehold_api::control::Pinned;
use freehold_model::ChunkId;
use freehold_model::limits::BATCH_ITEMS_MAX;
use freehold_net::Class;
use freehold_store::CacheStore;
use freehold_vault::Chunked;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// How long after a change elsewhere a pinned file begins to come, at the latest.
const PASS_EVERY: Duration = Duration::from_secs(5);

/// How long a batch of chunks may take.
const BATCH_TIMEOUT: Duration = Duration::from_secs(120);

/// Files brought together: a batch of requests is full with them.
const FILES_AT_ONCE: usize = 256;

/// Passes that a file nobody wants here stays after it was last found whole: a minute.
const STAYS_FOR: u32 = 12;

/// Keeps what is pinned here.
pub(crate) struct Hydrator {
    volume: Arc<Volume>,
    cache: Arc<CacheStore>,
    downloads: Arc<Downloads>,
    changed: Notify,
    counts: Mutex<Pinned>,
}

/// What the passes remember.
#[derive(Default)]
struct Seen {
    /// Pinned files that were whole, by the version that was.
    whole: BTreeMap<Ino, ChunkId>,
    /// Pinned files of the last pass, by version: what the kept chunks belong to.
    pinned: BTreeMap<Ino, ChunkId>,
    evictions: u64,
    /// Files nobody wants here, and for how many passes they have been.
    unwanted: BTreeMap<Ino, u32>,
}

impl Hydrator {
    pub(crate) fn new(volume: Arc<Volume>, cache: Arc<CacheStore>, downloads: Arc<Downloads>) -> Arc<Self> {
        // Until the first pass has told which chunks pinned files need, the cache gives up none.
        cache.await_kept();
        Arc::new(Self { volume, cache, downloads, changed: Notify::new(), counts: Mutex::default() })
    }

    /// Looks at once instead of at the next pass.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    /// How far it is.
    pub(crate) fn counts(&self) -> Pinned {
        *self.counts.lock()
    }

    /// Passes until dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut seen = Seen::default();
        let mut is_first = true;
        loop {
            self.pass(&mut seen, is_first).await;
            is_first = false;
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(PASS_EVERY) => {}
            }
        }
    }

    async fn pass(self: &Arc<Self>, seen: &mut Seen, is_first: bool) {
        let this = Arc::clone(self);
        let surveyed = tokio::task::spawn_blocking(move || {
            (this.volume.wished(PinMode::Always), this.volume.wished(PinMode::Never))
        });
        let Ok((pinned, unwanted)) = surveyed.await else { return };
        let evictions = self.cache.evictions();
        let by_version: BTreeMap<Ino, ChunkId> =
            pinned.iter().map(|(ino, chunked)| (*ino, chunked.root)).collect();
        if is_first || by_version != seen.pinned {
            self.rebuild_kept(pinned.clone()).await;
        }
        if std::mem::replace(&mut seen.evictions, evictions) != evictions {
            seen.whole.clear();
        }
        seen.whole.retain(|ino, root| by_version.get(ino) == Some(root));
        seen.pinned = by_version;
        let open: Vec<(Ino, Chunked)> =
            pinned.into_iter().filter(|(ino, _)| !seen.whole.contains_key(ino)).collect();
        self.count(seen.pinned.len(), &open);
        for group in open.chunks(FILES_AT_ONCE) {
            seen.whole.extend(self.complete(group.to_vec()).await);
        }
        let still: Vec<_> = open.into_iter().filter(|(ino, _)| !seen.whole.contains_key(ino)).collect();
        self.count(seen.pinned.len(), &still);
        self.give_up(seen, unwanted).await;
    }

    fn count(&self, files: usize, open: &[(Ino, Chunked)]) {
        *self.counts.lock() = Pinned {
            files: files as u64,
            missing_files: open.len() as u64,
            missing_bytes: open.iter().map(|(_, chunked)| chunked.size).sum(),
        };
    }

    /// Says anew which chunks are kept: all that pinned files name, as far as that is known.
    async fn rebuild_kept(self: &Arc<Self>, pinned: Vec<(Ino, Chunked)>) {
        let this = Arc::clone(self);
        let rebuilt = tokio::task::spawn_blocking(move || {
            let mut ids = HashSet::new();
            for (_, chunked) in &pinned {
                walk(&this.cache, chunked, &mut |id, _| ids.extend([id]));
            }
            this.cache.set_kept(ids);
        });
        // It ends early only when the daemon does.
        drop(rebuilt.await);
    }

    /// Fetches what is missing of some files; those that are whole then, by version.
    async fn complete(self: &Arc<Self>, files: Vec<(Ino, Chunked)>) -> BTreeMap<Ino, ChunkId> {
        let files = Arc::new(files);
        let mut whole = BTreeMap::new();
        loop {
            let (this, looked) = (Arc::clone(self), Arc::clone(&files));
            let look = tokio::task::spawn_blocking(move || this.look(&looked));
            let Ok((found, missing)) = look.await else { return whole };
            whole.extend(found);
            if missing.is_empty() {
                break;
            }
            let missing: Vec<ChunkId> = missing.into_iter().collect();
            let mut is_stuck = false;
            for batch in missing.chunks(BATCH_ITEMS_MAX) {
                is_stuck |= !self.fetch(batch).await;
            }
            if is_stuck {
                break;
            }
        }
        self.volume.look_again(whole.keys().copied());
        whole
    }

    /// Which files are whole, and what is missing of the others, as far as can be seen. All they name is
    /// kept from here on.
    fn look(&self, files: &[(Ino, Chunked)]) -> (BTreeMap<Ino, ChunkId>, BTreeSet<ChunkId>) {
        let (mut whole, mut missing) = (BTreeMap::new(), BTreeSet::new());
        for (ino, chunked) in files {
            let mut ids = Vec::new();
            let is_known = walk(&self.cache, chunked, &mut |id, _| ids.push(id));
            self.cache.keep(ids.iter().copied());
            let before = missing.len();
            missing.extend(ids.into_iter().filter(|id| !self.cache.contains(id)));
            if is_known && missing.len() == before {
                whole.insert(*ino, chunked.root);
            }
        }
        (whole, missing)
    }

    async fn fetch(&self, ids: &[ChunkId]) -> bool {
        let (told, hear) = oneshot::channel();
        // Nobody hears it only when this future was dropped.
        let done = Box::new(move |result: Result<(), crate::FetchError>| told.send(result).unwrap_or(()));
        self.downloads.want(ids, Instant::now() + BATCH_TIMEOUT, Class::Bulk, done);
        matches!(hear.await, Ok(Ok(())))
    }

    /// Gives up files nobody wants here, once they have been here for a while.
    async fn give_up(self: &Arc<Self>, seen: &mut Seen, unwanted: Vec<(Ino, Chunked)>) {
        let here = unwanted.into_iter().filter(|(_, chunked)| self.cache.contains(&chunked.root));
        let before = std::mem::take(&mut seen.unwanted);
        seen.unwanted = here.map(|(ino, _)| (ino, before.get(&ino).map_or(0, |passes| passes + 1))).collect();
        let due: Vec<Ino> =
            seen.unwanted.iter().filter(|(_, passes)| **passes >= STAYS_FOR).map(|(ino, _)| *ino).collect();
        if due.is_empty() {
            return;
        }
        let this = Arc::clone(self);
        let given_up = tokio::task::spawn_blocking(move || {
            for ino in due {
                if this.volume.evict(ino).is_err() {
                    tracing::warn!("the content of a file that is to be online only could not be given up");
                }
            }
        });
        // It ends early only when the daemon does.
        drop(given_up.await);
    }
}
