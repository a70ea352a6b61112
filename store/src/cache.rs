//! The client's chunk cache: ciphertext below a cap, the least recently used segment goes first.
//!
//! A pinned chunk may be the only copy there is, so eviction carries pinned chunks over to the
//! newest segment, flushes, and only then removes the old file; pins survive a restart in the file
//! of marks. If marks are lost to damage, everything is pinned until the engine says otherwise:
//! keeping too much is repairable, losing is not. Any other loss of the cache costs a download.
//! Chunks somebody wants at hand, because a user keeps their file on this device, are *kept*: they go
//! last too, but the owner says anew after each start which they are. What leaves, and how, is in
//! `cache/evict.rs`.

mod evict;

use crate::disk::{Disk, OsDisk};
use crate::error::StoreError;
use crate::index::{Entry, Index, Location, MemoryIndex};
use crate::limits;
use crate::log::{Flush, Log};
use crate::marks::{Mark, Marks};
use crate::record::Key;
use crate::recovery::Recovery;
use crate::segment::Kind;
use freehold_model::{ChunkId, VaultTag};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a cache is bounded.
#[derive(Clone, Copy, Debug)]
pub struct CacheOptions {
    /// Bytes on disk above which unpinned chunks are evicted.
    pub cap_bytes: u64,
    /// Bytes a segment may reach: the unit of eviction.
    pub segment_bytes: u64,
}

impl CacheOptions {
    /// A cache of that cap, with segments of the usual size.
    #[must_use]
    pub const fn with_cap(cap_bytes: u64) -> Self {
        Self { cap_bytes, segment_bytes: limits::CACHE_SEGMENT_BYTES }
    }
}

/// Whether a chunk may be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// It must stay until it is unpinned.
    Pinned,
    /// It may go; a pin it already has stays.
    Evictable,
}

/// The client's chunk cache.
pub struct CacheStore {
    log: Log,
    marks: Marks,
    cap_bytes: AtomicU64,
    /// Locked before `index` where both are needed.
    pins: Mutex<HashSet<ChunkId>>,
    index: RwLock<MemoryIndex>,
    last_used: Mutex<Usage>,
    kept: RwLock<Kept>,
    /// One eviction at a time.
    eviction: Mutex<()>,
    evictions: AtomicU64,
    /// Bytes taken in since the disk was asked how much room is left.
    unwatched_bytes: AtomicU64,
}

/// What the owner wants at hand.
#[derive(Default)]
struct Kept {
    ids: HashSet<ChunkId>,
    /// The owner has not said yet: nothing is evicted for the cap's sake until then.
    is_awaited: bool,
}

#[derive(Default)]
struct Usage {
    clock: u64,
    by_segment: BTreeMap<u32, u64>,
}

impl CacheStore {
    /// Opens or creates the cache in a directory.
    ///
    /// # Errors
    /// `InUse`, `Format`, or `Io` when the directory cannot be read or written.
    pub fn open(path: &Path, options: CacheOptions) -> Result<(Self, Recovery), StoreError> {
        Self::open_on(Arc::new(OsDisk::open(path)?), options)
    }

    /// Opens or creates the cache on any disk.
    ///
    /// # Errors
    /// `Format`, or `Io` when the disk cannot be read or written.
    pub fn open_on(disk: Arc<dyn Disk>, options: CacheOptions) -> Result<(Self, Recovery), StoreError> {
        let mut index = MemoryIndex::default();
        let (log, recovery) =
            Log::open(Arc::clone(&disk), Kind::Cache, options.segment_bytes, &mut |entries| {
                for (key, location) in entries {
                    index.insert(*key, *location);
                }
            })?;
        let (marks, found) = Marks::open(disk)?;
        let mut pins = HashSet::new();
        for mark in &found.marks {
            match mark {
                Mark::Pinned(key) => pins.insert(key.id),
                Mark::Unpinned(key) => pins.remove(&key.id),
                Mark::Damaged(..) => false,
            };
        }
        if !found.is_whole {
            tracing::warn!("marks of the cache are damaged: every chunk stays until it is unpinned");
            index.for_each(&mut |key, _| {
                pins.insert(key.id);
            });
            marks.replace(|| pin_marks(&pins))?;
        }
        let cache = Self {
            log,
            marks,
            cap_bytes: AtomicU64::new(options.cap_bytes),
            pins: Mutex::new(pins),
            index: RwLock::new(index),
            last_used: Mutex::default(),
            kept: RwLock::default(),
            eviction: Mutex::new(()),
            evictions: AtomicU64::new(0),
            unwatched_bytes: AtomicU64::new(0),
        };
        Ok((cache, recovery))
    }

    /// Takes a chunk in; durable after [`CacheStore::sync`].
    ///
    /// # Errors
    /// `Damaged` when the bytes do not hash to the id, `TooLarge`, `NoSpace` when the disk is full
    /// even after evicting, `ReadOnly` once a write failed.
    pub fn put(&self, id: ChunkId, bytes: &[u8], pin: Pin) -> Result<(), StoreError> {
        if blake3::hash(bytes).as_bytes() != id.as_bytes() {
            return Err(StoreError::Damaged);
        }
        self.put_sealed(id, bytes, pin)
    }

    /// As [`Self::put`], for whoever has just made the id of these bytes: it is not made once more.
    ///
    /// # Errors
    /// As there, but for `Damaged`.
    pub fn put_sealed(&self, id: ChunkId, bytes: &[u8], pin: Pin) -> Result<(), StoreError> {
        match pin {
            Pin::Evictable if self.contains(&id) => Ok(()),
            Pin::Evictable => self.store(id, bytes),
            Pin::Pinned => {
                // The pin comes first, so that an eviction under way sees it; and a copy somebody
                // will rely on is read back rather than believed.
                let was_pinned = self.pins.lock().contains(&id);
                self.pin(&[id])?;
                if self.get(&id).is_some() {
                    return Ok(());
                }
                let stored = self.store(id, bytes);
                if stored.is_err() && !was_pinned {
                    self.unpin(&[id])?;
                }
                stored
            }
        }
    }

    /// The whole chunk, verified; a wrong one is dropped and `None`, as is one that is not here.
    #[must_use]
    pub fn get(&self, id: &ChunkId) -> Option<Vec<u8>> {
        self.read(id, |location| self.read_whole(id, location))
    }

    /// Part of a chunk, cut at its end and *not* verified: the chunk's frames are, when opened.
    #[must_use]
    pub fn get_range(&self, id: &ChunkId, range: Range<u32>) -> Option<Vec<u8>> {
        self.read(id, |location| self.log.read_part(location, range.clone()))
    }

    /// As [`Self::get_range`], for a reader that is not likely to come back for `done`: the system need not
    /// keep that in memory, where what the reader made of it mostly is.
    #[must_use]
    pub fn get_range_once(&self, id: &ChunkId, range: Range<u32>, done: Range<u32>) -> Option<Vec<u8>> {
        self.read(id, |location| {
            let bytes = self.log.read_part(location, range.clone())?;
            self.log.release(location, done.clone());
            Ok(bytes)
        })
    }

    /// Parts of the chunk are read again and again: the system may fetch all of it into memory.
    pub fn will_need(&self, id: &ChunkId) {
        if let Some(location) = self.find(id) {
            self.log.will_need(location);
        }
    }

    /// Bytes of a chunk that is here.
    #[must_use]
    pub fn len_bytes(&self, id: &ChunkId) -> Option<u32> {
        self.find(id).map(|location| location.len_bytes)
    }

    /// Whether the chunk is here, as far as the index knows.
    #[must_use]
    pub fn contains(&self, id: &ChunkId) -> bool {
        self.find(id).is_some()
    }

    /// Forbids evicting these chunks; durable after [`CacheStore::sync`].
    ///
    /// # Errors
    /// `NoSpace` or `Io` when the pins cannot be noted on disk; they hold until a restart then.
    pub fn pin(&self, ids: &[ChunkId]) -> Result<(), StoreError> {
        self.marks.append(|| {
            let mut pins = self.pins.lock();
            ids.iter().filter(|id| pins.insert(**id)).map(|id| Mark::Pinned(key(*id))).collect()
        })
    }

    /// Allows evicting these chunks again.
    ///
    /// # Errors
    /// `NoSpace` or `Io` when that cannot be noted on disk; they are pinned again after a restart.
    pub fn unpin(&self, ids: &[ChunkId]) -> Result<(), StoreError> {
        self.marks.append(|| {
            let mut pins = self.pins.lock();
            ids.iter().filter(|id| pins.remove(id)).map(|id| Mark::Unpinned(key(*id))).collect()
        })?;
        if self.marks.len() > 2 * self.pins.lock().len() + limits::MARKS_SLACK {
            self.marks.replace(|| pin_marks(&self.pins.lock()))?;
        }
        Ok(())
    }

    /// All pinned chunks, sorted: what the engine compares with what it still needs.
    #[must_use]
    pub fn pinned(&self) -> Vec<ChunkId> {
        let mut ids: Vec<_> = self.pins.lock().iter().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Says that the owner will tell which chunks to keep, and until then nothing shall go for the cap's sake.
    pub fn await_kept(&self) {
        self.kept.write().is_awaited = true;
    }

    /// Sets which chunks are kept: they are evicted no more than pinned ones. Forgotten at a restart.
    pub fn set_kept(&self, ids: HashSet<ChunkId>) {
        *self.kept.write() = Kept { ids, is_awaited: false };
    }

    /// Keeps these chunks as well.
    pub fn keep(&self, ids: impl IntoIterator<Item = ChunkId>) {
        self.kept.write().ids.extend(ids);
    }

    /// How many segments were evicted so far: whether a chunk that was here may be gone.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// Makes every chunk and pin taken in so far durable.
    ///
    /// # Errors
    /// `ReadOnly` when the disk did not keep them; never to be retried.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.log.sync()?;
        self.marks.sync().map_err(|error| {
            tracing::error!(%error, "the disk did not keep the cache's marks");
            self.log.fail();
            StoreError::ReadOnly
        })
    }

    /// Bytes that may still be written to the disk, what is never filled left aside.
    ///
    /// # Errors
    /// `Io` when the disk does not say.
    pub fn room_bytes(&self) -> Result<u64, StoreError> {
        self.log.room_bytes()
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// Changes the cap; takes effect at the next put or trim.
    pub fn set_cap(&self, cap_bytes: u64) {
        self.cap_bytes.store(cap_bytes, Ordering::Relaxed);
    }

    /// Appends a chunk, evicting where the disk or the cap asks for it.
    fn store(&self, id: ChunkId, bytes: &[u8]) -> Result<(), StoreError> {
        let key = key(id);
        let append = || self.log.append(&[(key, bytes)], Flush::Later);
        let locations = match append() {
            Err(StoreError::NoSpace) if self.evict_one()? => append()?,
            other => other?,
        };
        for location in locations {
            self.index.write().insert(key, location);
            self.touch(location.segment);
        }
        self.keep_within_bounds(bytes.len() as u64)
    }

    fn find(&self, id: &ChunkId) -> Option<Location> {
        match self.index.read().find(&key(*id)) {
            Some(Entry::Good(location)) => Some(location),
            Some(Entry::Damaged(_)) | None => None,
        }
    }

    /// Reads where the index says, once more if an eviction moved the chunk meanwhile.
    fn read(
        &self,
        id: &ChunkId,
        attempt: impl Fn(Location) -> Result<Vec<u8>, StoreError>,
    ) -> Option<Vec<u8>> {
        let mut location = self.find(id)?;
        loop {
            let error = match attempt(location) {
                Ok(bytes) => {
                    self.touch(location.segment);
                    return Some(bytes);
                }
                Err(error) => error,
            };
            let current = self.find(id)?;
            if current == location && !error.is_damage() {
                tracing::warn!(%error, "a cached chunk could not be read now");
                return None;
            }
            if current == location {
                self.drop_damaged(&key(*id), location, &error);
                return None;
            }
            location = current;
        }
    }

    /// Forgets a chunk whose bytes are wrong; those of a pinned one are kept, as they may be the only
    /// ones there are.
    fn drop_damaged(&self, key: &Key, at: Location, error: &StoreError) {
        let is_pinned = self.pins.lock().contains(&key.id);
        let mut index = self.index.write();
        if is_pinned {
            index.set_damaged(key, at);
            tracing::error!(chunk = ?key.id, %error, "a pinned chunk is damaged; its bytes are kept");
        } else {
            index.remove(key, at);
            tracing::warn!(chunk = ?key.id, %error, "a cached chunk is damaged and dropped");
        }
    }

    fn touch(&self, segment: u32) {
        let mut usage = self.last_used.lock();
        usage.clock += 1;
        let now = usage.clock;
        usage.by_segment.insert(segment, now);
    }

    /// Reads and verifies a chunk.
    fn read_whole(&self, id: &ChunkId, at: Location) -> Result<Vec<u8>, StoreError> {
        let bytes = self.log.read(at)?;
        let right = blake3::hash(&bytes).as_bytes() == id.as_bytes();
        if right { Ok(bytes) } else { Err(StoreError::Damaged) }
    }
}

impl std::fmt::Debug for CacheStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheStore").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// The cache knows no vaults: all its chunks are filed under one tag.
fn key(id: ChunkId) -> Key {
    Key { tag: VaultTag::from_bytes([0; 16]), id }
}

fn pin_marks(pins: &HashSet<ChunkId>) -> Vec<Mark> {
    pins.iter().map(|id| Mark::Pinned(key(*id))).collect()
}
