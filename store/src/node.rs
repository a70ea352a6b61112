//! The storage node's store: acknowledged means on stable storage, and nothing is ever deleted.
//!
//! Writers queue their batches; whoever finds no one writing takes the whole queue, writes it and
//! flushes once, then wakes the others. So the number of flushes follows the disk's speed, not the
//! number of clients, and no timer waits for company. The index learns of a chunk only after the
//! flush, hence `has` never promises what a power cut could take back.

use crate::disk::{Disk, OsDisk};
use crate::error::StoreError;
use crate::index::{Entry, Index, Location, MemoryIndex};
use crate::limits;
use crate::log::{Flush, Log};
use crate::marks::{Mark, Marks};
use crate::record::Key;
use crate::recovery::Recovery;
use crate::segment::Kind;
use bytes::Bytes;
use freehold_model::{ChunkId, VaultTag};
use parking_lot::{Condvar, Mutex, RwLock};
use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// How a node store is laid out.
#[derive(Clone, Copy, Debug)]
pub struct NodeOptions {
    /// Bytes a segment may reach before the next one is begun.
    pub segment_bytes: u64,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self { segment_bytes: limits::NODE_SEGMENT_BYTES }
    }
}

/// What became of one chunk of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutStatus {
    /// It is on stable storage.
    Stored,
    /// It already was.
    Present,
    /// The bytes do not hash to the id.
    WrongId,
    /// It is longer than any chunk can be.
    TooLarge,
    /// The disk is as full as it may become.
    NoSpace,
    /// A write failed earlier; nothing is stored until a restart.
    ReadOnly,
}

/// Part of a stored chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Bytes of the whole chunk.
    pub total_bytes: u32,
    /// The bytes asked for, cut at the chunk's end.
    pub bytes: Bytes,
}

/// What the store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeStats {
    /// Chunks served.
    pub chunks: u64,
    /// Chunks set aside since their bytes are wrong.
    pub damaged: u64,
    /// Bytes of all segments.
    pub used_bytes: u64,
    /// Bytes it may still take.
    pub free_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Whether a failed write forbids more.
    pub read_only: bool,
}

/// The chunk store of a storage node.
pub struct NodeStore {
    log: Log,
    index: RwLock<MemoryIndex>,
    marks: Marks,
    queue: Mutex<Queue>,
    turn: Condvar,
    damaged: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Batch>>,
    is_led: bool,
    /// The leader panicked; nobody may wait for it.
    is_broken: bool,
}

/// What one caller wants written, and how it ended.
struct Batch {
    items: Vec<(Key, Bytes)>,
    outcome: OnceLock<PutStatus>,
}

impl NodeStore {
    /// Opens or creates the store in a directory.
    ///
    /// # Errors
    /// `InUse`, `Format`, or `Io` when the directory cannot be read or written.
    pub fn open(path: &Path, options: NodeOptions) -> Result<(Self, Recovery), StoreError> {
        Self::open_on(Arc::new(OsDisk::open(path)?), options)
    }

    /// Opens or creates the store on any disk.
    ///
    /// # Errors
    /// `Format`, or `Io` when the disk cannot be read or written.
    pub fn open_on(disk: Arc<dyn Disk>, options: NodeOptions) -> Result<(Self, Recovery), StoreError> {
        let mut index = MemoryIndex::default();
        let (log, recovery) =
            Log::open(Arc::clone(&disk), Kind::Node, options.segment_bytes, &mut |entries| {
                for (key, location) in entries {
                    index.insert(*key, *location);
                }
            })?;
        let (marks, found) = Marks::open(disk)?;
        let mut damaged = 0;
        for mark in &found.marks {
            if let Mark::Damaged(key, at) = mark
                && let Some(Entry::Good(location)) = index.find(key)
                && (location.segment, location.offset_units) == (at.segment, at.offset_units)
                && index.set_damaged(key, location)
            {
                damaged += 1;
            }
        }
        let store = Self {
            log,
            index: RwLock::new(index),
            marks,
            queue: Mutex::default(),
            turn: Condvar::new(),
            damaged: AtomicU64::new(damaged),
        };
        Ok((store, recovery))
    }

    /// Stores a batch and returns when all of it is on stable storage; one status for each item.
    ///
    /// Each id is recomputed from the bytes. A chunk that is set aside as damaged is stored anew.
    #[must_use]
    pub fn put_batch(&self, items: Vec<(VaultTag, ChunkId, Bytes)>) -> Vec<PutStatus> {
        let mut statuses = Vec::with_capacity(items.len());
        let mut fresh = Vec::new();
        for (tag, id, bytes) in items {
            let key = Key { tag, id };
            let status = if bytes.len() > limits::CHUNK_BYTES_MAX {
                Some(PutStatus::TooLarge)
            } else if blake3::hash(&bytes).as_bytes() != id.as_bytes() {
                Some(PutStatus::WrongId)
            } else if self.is_present(&key) {
                Some(PutStatus::Present)
            } else {
                fresh.push((key, bytes));
                None
            };
            statuses.push(status);
        }
        let outcome = if fresh.is_empty() { PutStatus::Stored } else { self.write_with_others(fresh) };
        statuses.into_iter().map(|status| status.unwrap_or(outcome)).collect()
    }

    /// Which of the chunks are on stable storage; one answer for each id.
    #[must_use]
    pub fn has(&self, tag: VaultTag, ids: &[ChunkId]) -> Vec<bool> {
        let index = self.index.read();
        ids.iter().map(|id| matches!(index.find(&Key { tag, id: *id }), Some(Entry::Good(_)))).collect()
    }

    /// Reads a chunk, or a range of it; `None` when it is not here.
    ///
    /// A whole chunk is hashed before it is returned. A part is not: the reader's own check of the
    /// chunk's frames does that.
    ///
    /// # Errors
    /// `Damaged` when the bytes on disk are wrong: they are set aside, and a later put replaces
    /// them. `Io` when this process could not read now, which says nothing about the bytes.
    pub fn get(
        &self,
        tag: VaultTag,
        id: ChunkId,
        range: Option<Range<u32>>,
    ) -> Result<Option<Slice>, StoreError> {
        let key = Key { tag, id };
        let entry = self.index.read().find(&key);
        let location = match entry {
            None => return Ok(None),
            Some(Entry::Damaged(_)) => return Err(StoreError::Damaged),
            Some(Entry::Good(location)) => location,
        };
        let read = match range {
            Some(range) if range.start > 0 || range.end < location.len_bytes => {
                self.log.read_range(&key, location, range)
            }
            _ => self.log.read(location).and_then(|bytes| {
                let right = blake3::hash(&bytes).as_bytes() == id.as_bytes();
                if right { Ok(bytes) } else { Err(StoreError::Damaged) }
            }),
        };
        match read {
            Ok(bytes) => Ok(Some(Slice { total_bytes: location.len_bytes, bytes: Bytes::from(bytes) })),
            Err(error) if error.is_damage() => {
                self.set_damaged(key, location, &error);
                Err(StoreError::Damaged)
            }
            Err(error) => Err(error),
        }
    }

    /// What the store holds.
    #[must_use]
    pub fn stats(&self) -> NodeStats {
        let damaged = self.damaged.load(Ordering::Relaxed);
        NodeStats {
            chunks: (self.index.read().len() as u64).saturating_sub(damaged),
            damaged,
            used_bytes: self.log.bytes(),
            free_bytes: self.log.room_bytes().unwrap_or(0),
            segments: self.log.segments(),
            read_only: self.log.is_read_only(),
        }
    }

    fn is_present(&self, key: &Key) -> bool {
        matches!(self.index.read().find(key), Some(Entry::Good(_)))
    }

    /// Queues the items and waits until a leader, perhaps this caller, has written them.
    fn write_with_others(&self, items: Vec<(Key, Bytes)>) -> PutStatus {
        let batch = Arc::new(Batch { items, outcome: OnceLock::new() });
        let mut queue = self.queue.lock();
        queue.waiting.push_back(Arc::clone(&batch));
        loop {
            if let Some(outcome) = batch.outcome.get() {
                return *outcome;
            }
            if queue.is_broken {
                return PutStatus::ReadOnly;
            }
            if queue.is_led {
                self.turn.wait(&mut queue);
                continue;
            }
            queue.is_led = true;
            let group = next_group(&mut queue.waiting);
            drop(queue);
            let lead = Lead { store: self, is_done: false };
            let outcome = self.write_group(&group);
            for written in &group {
                // Each batch is in one group, so nobody set it before.
                let _ = written.outcome.set(outcome);
            }
            lead.finish();
            queue = self.queue.lock();
        }
    }

    /// Writes and flushes a group, then tells the index.
    fn write_group(&self, group: &[Arc<Batch>]) -> PutStatus {
        // Two callers may have brought the same chunk, or an earlier group just stored it.
        let mut seen = HashSet::new();
        let fresh: Vec<(Key, &[u8])> = {
            let index = self.index.read();
            group
                .iter()
                .flat_map(|batch| &batch.items)
                .filter(|(key, _)| !matches!(index.find(key), Some(Entry::Good(_))))
                .filter(|(key, _)| seen.insert(*key))
                .map(|(key, bytes)| (*key, bytes.as_ref()))
                .collect()
        };
        match self.log.append(&fresh, Flush::Now) {
            Ok(locations) => {
                let mut index = self.index.write();
                for ((key, _), location) in fresh.iter().zip(locations) {
                    if matches!(index.find(key), Some(Entry::Damaged(_))) {
                        self.damaged.fetch_sub(1, Ordering::Relaxed);
                    }
                    index.insert(*key, location);
                }
                PutStatus::Stored
            }
            Err(StoreError::NoSpace) => PutStatus::NoSpace,
            Err(error) => {
                tracing::error!(%error, "chunks could not be stored");
                PutStatus::ReadOnly
            }
        }
    }

    /// Sets a record aside: counted as absent from here on, its bytes kept.
    fn set_damaged(&self, key: Key, location: Location, error: &StoreError) {
        if !self.index.write().set_damaged(&key, location) {
            return;
        }
        self.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(chunk = ?key.id, %error, "a stored chunk is damaged and set aside");
        let noted = self.marks.append(|| vec![Mark::Damaged(key, location)]).and_then(|()| self.marks.sync());
        if let Err(error) = noted {
            // The next read after a restart finds it again.
            tracing::warn!(%error, "the damage could not be noted on disk");
        }
    }
}

impl std::fmt::Debug for NodeStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeStore").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Takes batches up to a group's size, at least one.
fn next_group(waiting: &mut VecDeque<Arc<Batch>>) -> Vec<Arc<Batch>> {
    let (mut group, mut group_bytes) = (Vec::new(), 0);
    while let Some(batch) = waiting.front() {
        let batch_bytes: usize = batch.items.iter().map(|(_, bytes)| bytes.len()).sum();
        if !group.is_empty() && group_bytes + batch_bytes > limits::GROUP_BYTES {
            break;
        }
        group_bytes += batch_bytes;
        group.extend(waiting.pop_front());
    }
    group
}

/// Ends the leader's turn however it ends; a panic must not leave the others waiting.
struct Lead<'a> {
    store: &'a NodeStore,
    is_done: bool,
}

impl Lead<'_> {
    fn finish(mut self) {
        self.is_done = true;
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut queue = self.store.queue.lock();
        queue.is_led = false;
        if !self.is_done {
            queue.is_broken = true;
            self.store.log.fail();
        }
        drop(queue);
        self.store.turn.notify_all();
    }
}
