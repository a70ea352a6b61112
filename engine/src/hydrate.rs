//! Keeps pinned files on this device, and gives up those that nobody wants here.
//!
//! A pass looks at every file that a wish counts for. Of a pinned one, the chunks its manifest names
//! are kept before they are fetched, level by level, so that a cache smaller than the file does not
//! drop its beginning while its end comes. Where nothing was left to do and nothing changed since, a pass
//! does nothing. What could not be had is tried again by the next pass.

use crate::body::walk::walk;
use crate::transfer::download::Downloads;
use crate::{FsError, Ino, PinMode, Volume};
use freehold_api::control::Pinned;
use freehold_model::ChunkId;
use freehold_model::limits::BATCH_ITEMS_MAX;
use freehold_net::Class;
use freehold_store::CacheStore;
use freehold_vault::Chunked;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// How long after a change elsewhere a pinned file begins to come, at the latest.
const PASS_EVERY: Duration = Duration::from_secs(5);

/// Looking at all files with a wish takes at most one part of so many of the time.
const SURVEY_SHARE: u32 = 8;

/// How long one pass goes on fetching before it looks at the wishes again.
const PASS_TIME: Duration = Duration::from_secs(30);

/// How often, at most, it is said anew which chunks are kept: chunks of files that are not pinned any more
/// stay for so long, and a walk of all manifests is not free.
const TELL_EVERY: Duration = Duration::from_secs(60);

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
    /// When it was last said which chunks are kept.
    told_at: Option<Instant>,
    /// Pinned files that were whole, by the version that was.
    whole: BTreeMap<Ino, ChunkId>,
    /// Pinned files of the last pass, by version: what the kept chunks belong to.
    pinned: BTreeMap<Ino, ChunkId>,
    /// A file left them, or changed, since the kept chunks were said anew.
    is_stale: bool,
    /// Files nobody wants here, by version, and for how many passes they have been.
    unwanted: BTreeMap<Ino, (ChunkId, u32)>,
    /// Changes of the tree, evictions and arrivals as they were when nothing was left to do.
    is_done_with: Option<(u64, u64, u64)>,
    /// How long the last look at all files with a wish took.
    surveyed_in: Duration,
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

    /// Keeps what is here of a file, or of everything below a folder, from now on; the rest comes with the
    /// next pass. Blocks.
    ///
    /// # Errors
    /// `Io` when a row cannot be read.
    pub(crate) fn keep(&self, ino: Ino) -> Result<(), FsError> {
        for file in self.volume.files_below(ino)? {
            let chunked = self.volume.lock_nodes(&[file])?.chunked(file);
            if let Some(chunked) = chunked {
                let mut ids = Vec::new();
                walk(&self.cache, &chunked, &mut |id, _| ids.push(id));
                self.cache.keep(ids);
            }
        }
        Ok(())
    }

    /// Passes until dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut seen = Seen::default();
        loop {
            self.pass(&mut seen).await;
            // A look at a million files is not taken every few seconds.
            let pause = PASS_EVERY.max(seen.surveyed_in * SURVEY_SHARE);
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn pass(self: &Arc<Self>, seen: &mut Seen) {
        let arrivals = self.volume.arrivals.load(Ordering::Relaxed);
        let state = (self.volume.lock().changes(), self.cache.evictions(), arrivals);
        if seen.is_done_with == Some(state) {
            return;
        }
        seen.is_done_with = None;
        let (this, surveying) = (Arc::clone(self), Instant::now());
        let surveyed = tokio::task::spawn_blocking(move || {
            Ok::<_, FsError>((this.volume.wished(PinMode::Always)?, this.volume.wished(PinMode::Never)?))
        });
        // A row that could not be read has been logged; the next pass tries again.
        let Ok(Ok((pinned, unwanted))) = surveyed.await else { return };
        seen.surveyed_in = surveying.elapsed();
        let begun = Instant::now();
        let by_version: BTreeMap<Ino, ChunkId> =
            pinned.iter().map(|(ino, chunked)| (*ino, chunked.root)).collect();
        seen.is_stale |= seen.pinned.iter().any(|(ino, root)| by_version.get(ino) != Some(root));
        if seen.told_at.is_none_or(|at| seen.is_stale && at.elapsed() >= TELL_EVERY) {
            let this = Arc::clone(self);
            if !matches!(tokio::task::spawn_blocking(move || this.tell()).await, Ok(Ok(()))) {
                return;
            }
            (seen.told_at, seen.is_stale) = (Some(Instant::now()), false);
        }
        seen.whole.retain(|ino, root| by_version.get(ino) == Some(root));
        seen.pinned = by_version;
        let open: Vec<(Ino, Chunked)> =
            pinned.into_iter().filter(|(ino, _)| !seen.whole.contains_key(ino)).collect();
        self.count(seen.pinned.len(), &open);
        for group in open.chunks(FILES_AT_ONCE) {
            let (whole, is_stuck) = self.complete(group.to_vec()).await;
            seen.whole.extend(whole);
            // The next pass knows what was pinned and changed meanwhile.
            if is_stuck || begun.elapsed() > PASS_TIME {
                break;
            }
        }
        let still: Vec<_> = open.into_iter().filter(|(ino, _)| !seen.whole.contains_key(ino)).collect();
        self.count(seen.pinned.len(), &still);
        self.give_up(seen, unwanted).await;
        if still.is_empty() && seen.unwanted.is_empty() && !seen.is_stale {
            seen.is_done_with = Some(state);
        }
    }

    fn count(&self, files: usize, open: &[(Ino, Chunked)]) {
        *self.counts.lock() = Pinned {
            files: files as u64,
            missing_files: open.len() as u64,
            missing_bytes: open.iter().map(|(_, chunked)| chunked.size).sum(),
        };
    }

    /// Says anew which chunks are kept: all that pinned files name, as far as that is known. Blocks.
    ///
    /// # Errors
    /// `Io` when a row cannot be read; what was kept still is.
    pub(crate) fn tell(&self) -> Result<(), FsError> {
        let mut ids = HashSet::new();
        for (_, chunked) in self.volume.wished(PinMode::Always)? {
            walk(&self.cache, &chunked, &mut |id, _| ids.extend([id]));
        }
        self.cache.set_kept(ids);
        Ok(())
    }

    /// Fetches what is missing of some files; those that are whole then, by version, and whether something
    /// could not be had.
    async fn complete(self: &Arc<Self>, files: Vec<(Ino, Chunked)>) -> (BTreeMap<Ino, ChunkId>, bool) {
        let files = Arc::new(files);
        let (mut whole, mut is_stuck) = (BTreeMap::new(), false);
        while !is_stuck {
            let (this, looked) = (Arc::clone(self), Arc::clone(&files));
            let look = tokio::task::spawn_blocking(move || this.look(&looked));
            let Ok((found, missing)) = look.await else { return (whole, true) };
            whole.extend(found);
            if missing.is_empty() {
                break;
            }
            let missing: Vec<ChunkId> = missing.into_iter().collect();
            for batch in missing.chunks(BATCH_ITEMS_MAX) {
                is_stuck |= !self.fetch(batch).await;
            }
        }
        self.volume.look_again(whole.keys().copied());
        (whole, is_stuck)
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
        let passes = |ino: &Ino, root: ChunkId| match before.get(ino) {
            Some((same, passes)) if *same == root => passes + 1,
            _ => 0,
        };
        seen.unwanted =
            here.map(|(ino, chunked)| (ino, (chunked.root, passes(&ino, chunked.root)))).collect();
        let due: Vec<Ino> = seen
            .unwanted
            .iter()
            .filter(|(_, (_, passes))| *passes >= STAYS_FOR)
            .map(|(ino, _)| *ino)
            .collect();
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
