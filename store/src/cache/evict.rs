//! What leaves the cache: whole segments, the least recently used first.
//!
//! A segment goes when the cap or the disk asks for room, or when its owner has given up enough of its
//! chunks. What must stay of it is copied to the newest segment and flushed before the old file is
//! removed, so there is no moment at which a pinned chunk is nowhere on disk.

use super::{CacheStore, key};
use crate::error::StoreError;
use crate::index::{Entry, Index, Location};
use crate::limits;
use crate::log::Flush;
use crate::record::{Key, span_bytes};
use freehold_model::ChunkId;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::Ordering;

/// A segment that is to go, and what lies in it.
struct Victim {
    number: u32,
    chunks: Vec<(Key, Location)>,
}

/// What of a victim is carried over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Survivors {
    /// Pinned and kept chunks.
    Wanted,
    /// Everything the index still knows.
    All,
}

/// Bytes of one segment.
#[derive(Clone, Copy, Default)]
struct Share {
    used: u64,
    wanted: u64,
}

impl CacheStore {
    /// Evicts until the cap holds, or only segments that are mostly pinned or kept are left.
    ///
    /// # Errors
    /// `NoSpace`, `ReadOnly` or `Io` when pinned chunks cannot be carried over.
    pub fn trim(&self) -> Result<(), StoreError> {
        if self.kept.read().is_awaited {
            return Ok(());
        }
        while self.bytes() > self.cap_bytes.load(Ordering::Relaxed) && self.evict_one()? {}
        Ok(())
    }

    /// After `taken` bytes came in: evicts what cap and disk ask for.
    pub(super) fn keep_within_bounds(&self, taken: u64) -> Result<(), StoreError> {
        if self.bytes() > self.cap_bytes.load(Ordering::Relaxed) {
            self.trim()?;
        }
        let unwatched = self.unwatched_bytes.fetch_add(taken, Ordering::Relaxed) + taken;
        if unwatched < self.log.segment_bytes() {
            return Ok(());
        }
        self.unwatched_bytes.store(0, Ordering::Relaxed);
        self.make_room()
    }

    /// Evicts while other programs are about to run out of disk: below the low mark, up to the high
    /// one.
    fn make_room(&self) -> Result<(), StoreError> {
        let space = self.log.space()?;
        let low = (space.total_bytes / limits::LOW_SHARE).clamp(limits::LOW_BYTES_MIN, limits::LOW_BYTES_MAX);
        let high = low.saturating_add(low / 2);
        if space.free_bytes >= low || self.kept.read().is_awaited {
            return Ok(());
        }
        while self.log.space()?.free_bytes < high && self.evict_one()? {}
        Ok(())
    }

    /// Gives up chunks: those that are neither pinned nor kept are not here afterwards. Their room
    /// returns at once where they were an eighth of a segment or more, else with the segment.
    ///
    /// # Errors
    /// `NoSpace`, `ReadOnly` or `Io` when the neighbours cannot be carried over; the chunks are given up
    /// all the same.
    pub fn forget(&self, ids: &[ChunkId]) -> Result<(), StoreError> {
        let _one = self.eviction.lock();
        let mut touched = BTreeSet::new();
        {
            let (pins, kept) = (self.pins.lock(), self.kept.read());
            let mut index = self.index.write();
            for id in ids.iter().filter(|id| !pins.contains(id) && !kept.ids.contains(id)) {
                if let Some(Entry::Good(at)) = index.find(&key(*id)) {
                    index.remove(&key(*id), at);
                    touched.insert(at.segment);
                }
            }
        }
        let (active, damaged) = (self.log.active_number(), self.damaged_segments());
        let shares = self.shares();
        // The bytes of a damaged pinned chunk may be the only ones there are: its segment stays.
        let may_go = |number: &u32| Some(*number) != active && !damaged.contains(number);
        for number in touched.into_iter().filter(may_go) {
            let used = shares.get(&number).map_or(0, |share| share.used);
            if used <= self.log.segment_bytes() / 8 * 7 {
                self.evict(&self.victim(number), Survivors::All)?;
            }
        }
        Ok(())
    }

    /// Evicts the least recently used segment that is at most half wanted; false if there is none.
    pub(super) fn evict_one(&self) -> Result<bool, StoreError> {
        let _one = self.eviction.lock();
        while let Some(victim) = self.choose_victim() {
            if self.evict(&victim, Survivors::Wanted)? {
                self.evictions.fetch_add(1, Ordering::Relaxed);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes a segment, unless a chunk that must survive turns out to be damaged: then it stays.
    fn evict(&self, victim: &Victim, survivors: Survivors) -> Result<bool, StoreError> {
        let mut carried = HashSet::new();
        loop {
            let staying: Vec<_> = {
                let (pins, kept) = (self.pins.lock(), self.kept.read());
                let mut index = self.index.write();
                let staying: Vec<_> = victim
                    .chunks
                    .iter()
                    .filter(|(key, at)| {
                        let survives = survivors == Survivors::All
                            || pins.contains(&key.id)
                            || kept.ids.contains(&key.id);
                        survives && !carried.contains(key) && index.find(key) == Some(Entry::Good(*at))
                    })
                    .copied()
                    .collect();
                if staying.is_empty() {
                    for (key, at) in &victim.chunks {
                        index.remove(key, *at);
                    }
                }
                staying
            };
            if staying.is_empty() {
                break;
            }
            for (key, at) in staying {
                if !self.carry_over(key, at)? {
                    return Ok(false);
                }
                carried.insert(key);
            }
            self.log.sync()?;
        }
        self.last_used.lock().by_segment.remove(&victim.number);
        self.log.remove(victim.number)?;
        Ok(true)
    }

    /// Copies a chunk to the newest segment; false when its bytes are wrong.
    fn carry_over(&self, key: Key, at: Location) -> Result<bool, StoreError> {
        let bytes = match self.read_whole(&key.id, at) {
            Err(error) if error.is_damage() => {
                self.drop_damaged(&key, at, &error);
                // Only the bytes of a pinned chunk are worth more than their room.
                return Ok(!self.pins.lock().contains(&key.id));
            }
            other => other?,
        };
        for location in self.log.append(&[(key, &bytes)], Flush::Later)? {
            self.index.write().insert(key, location);
            self.touch(location.segment);
        }
        Ok(true)
    }

    fn choose_victim(&self) -> Option<Victim> {
        let active = self.log.active_number();
        let damaged = self.damaged_segments();
        let number = {
            let usage = self.last_used.lock();
            self.shares()
                .iter()
                .filter(|(number, _)| Some(**number) != active && !damaged.contains(number))
                .filter(|(_, share)| share.wanted * 2 <= share.used)
                .map(|(number, _)| *number)
                .min_by_key(|number| (usage.by_segment.get(number).copied(), *number))?
        };
        Some(self.victim(number))
    }

    fn damaged_segments(&self) -> HashSet<u32> {
        let mut damaged = HashSet::new();
        self.index.read().for_each(&mut |_, entry| {
            if let Entry::Damaged(at) = entry {
                damaged.insert(at.segment);
            }
        });
        damaged
    }

    /// Bytes in use and wanted, by segment; segments nobody uses any more included.
    fn shares(&self) -> BTreeMap<u32, Share> {
        let mut shares: BTreeMap<u32, Share> =
            self.log.numbers().into_iter().map(|number| (number, Share::default())).collect();
        let (pins, kept) = (self.pins.lock(), self.kept.read());
        self.index.read().for_each(&mut |key, entry| {
            if let Entry::Good(at) = entry {
                let share = shares.entry(at.segment).or_default();
                share.used += span_bytes(at.len_bytes);
                if pins.contains(&key.id) || kept.ids.contains(&key.id) {
                    share.wanted += span_bytes(at.len_bytes);
                }
            }
        });
        shares
    }

    fn victim(&self, number: u32) -> Victim {
        let mut chunks = Vec::new();
        self.index.read().for_each(&mut |key, entry| {
            if let Entry::Good(at) = entry
                && at.segment == number
            {
                chunks.push((*key, at));
            }
        });
        Victim { number, chunks }
    }
}
