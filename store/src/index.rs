//! Where each chunk lies: derived from the segments, never the only copy of anything.
//!
//! [`Index`] is the seam for an index on disk; [`MemoryIndex`] keeps about 100 bytes for each
//! chunk. Callers lock it only around map operations, never over I/O.

use crate::record::Key;
use std::collections::HashMap;

/// Where one record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Location {
    /// Number of the segment.
    pub(crate) segment: u32,
    /// Offset of the header, in units of eight bytes.
    pub(crate) offset_units: u32,
    /// Bytes of the payload.
    pub(crate) len_bytes: u32,
}

impl Location {
    /// Offset of the record's header in its segment.
    pub(crate) fn offset_bytes(&self) -> u64 {
        u64::from(self.offset_units) * crate::record::ALIGN_BYTES
    }
}

/// What the index knows about a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The bytes were right when last looked at.
    Good(Location),
    /// A read found them wrong; they are kept, but no longer served or counted as present.
    Damaged(Location),
}

/// Where each chunk lies.
pub(crate) trait Index: Send + Sync {
    /// Files a chunk at a place, replacing what was known.
    fn insert(&mut self, key: Key, location: Location);

    /// What is known about a chunk.
    fn find(&self, key: &Key) -> Option<Entry>;

    /// Marks the chunk damaged if it still lies there; true when it did.
    fn set_damaged(&mut self, key: &Key, location: Location) -> bool;

    /// Forgets the chunk if it still lies there; true when it did.
    fn remove(&mut self, key: &Key, location: Location) -> bool;

    /// Calls back for every chunk, in no order.
    fn for_each(&self, visit: &mut dyn FnMut(&Key, Entry));

    /// Chunks known, damaged ones included.
    fn len(&self) -> usize;
}

/// The index as a hash table in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryIndex {
    entries: HashMap<Key, Entry>,
}

impl Index for MemoryIndex {
    fn insert(&mut self, key: Key, location: Location) {
        self.entries.insert(key, Entry::Good(location));
    }

    fn find(&self, key: &Key) -> Option<Entry> {
        self.entries.get(key).copied()
    }

    fn set_damaged(&mut self, key: &Key, location: Location) -> bool {
        match self.entries.get_mut(key) {
            Some(entry) if *entry == Entry::Good(location) => {
                *entry = Entry::Damaged(location);
                true
            }
            _ => false,
        }
    }

    fn remove(&mut self, key: &Key, location: Location) -> bool {
        let same = matches!(
            self.entries.get(key),
            Some(Entry::Good(at) | Entry::Damaged(at)) if *at == location
        );
        if same {
            self.entries.remove(key);
        }
        same
    }

    fn for_each(&self, visit: &mut dyn FnMut(&Key, Entry)) {
        for (key, entry) in &self.entries {
            visit(key, *entry);
        }
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}
