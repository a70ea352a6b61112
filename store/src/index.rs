//! Where each chunk lies: derived from the segments, never the only copy of anything.
//!
//! [`Index`] is the seam for an index on disk; [`MemoryIndex`] keeps about 60 bytes for each chunk: of a million small
//! files that is a good part of what the daemon takes. Callers lock it only around map operations, never over I/O.

use crate::record::Key;
use freehold_model::{ChunkId, VaultTag};
use hashbrown::HashTable;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

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

/// The index in memory: records one behind the other, and a hash table of their numbers.
///
/// A table of the records themselves would have room for up to twice as many.
#[derive(Debug, Default)]
pub(crate) struct MemoryIndex {
    records: Records,
    /// Numbers of records, by the hashes of their keys.
    numbers: HashTable<u32>,
    tags: Tags,
    hasher: RandomState,
}

/// A chunk and where it lies.
#[derive(Clone, Copy, Debug)]
struct Record {
    id: ChunkId,
    tag: TagNumber,
    segment: u32,
    /// The highest bit says that it is damaged: a segment is shorter than 16 GiB.
    offset_units: u32,
    len_bytes: u32,
}

const DAMAGED: u32 = 1 << 31;

impl Record {
    fn new(id: ChunkId, tag: TagNumber, at: Location) -> Self {
        let Location { segment, offset_units, len_bytes } = at;
        Self { id, tag, segment, offset_units: offset_units & !DAMAGED, len_bytes }
    }

    fn location(&self) -> Location {
        let Self { segment, len_bytes, .. } = *self;
        Location { segment, offset_units: self.offset_units & !DAMAGED, len_bytes }
    }

    fn entry(&self) -> Entry {
        let is_damaged = self.offset_units & DAMAGED != 0;
        if is_damaged { Entry::Damaged(self.location()) } else { Entry::Good(self.location()) }
    }
}

/// Records in a row that grows without a copy.
#[derive(Debug, Default)]
struct Records {
    /// All but the last are full.
    pages: Vec<Vec<Record>>,
}

/// Records of one page: 48 KiB.
const PAGE: usize = 1024;

impl Records {
    fn len(&self) -> usize {
        self.pages.last().map_or(0, |last| (self.pages.len() - 1) * PAGE + last.len())
    }

    fn get(&self, number: u32) -> Option<&Record> {
        self.pages.get(number as usize / PAGE)?.get(number as usize % PAGE)
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut Record> {
        self.pages.get_mut(number as usize / PAGE)?.get_mut(number as usize % PAGE)
    }

    /// Adds a record; its number.
    fn push(&mut self, record: Record) -> u32 {
        let number = u32::try_from(self.len()).expect("200 GB of memory would be full before");
        match self.pages.last_mut().filter(|last| last.len() < PAGE) {
            Some(last) => last.push(record),
            None => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(record);
                self.pages.push(page);
            }
        }
        number
    }

    /// Takes the last record off.
    fn pop(&mut self) -> Option<Record> {
        let record = self.pages.last_mut()?.pop();
        self.pages.pop_if(|last| last.is_empty());
        record
    }
}

/// Which of the [`Tags`].
type TagNumber = u32;

/// The tags there are: far fewer than chunks.
#[derive(Debug, Default)]
struct Tags {
    numbers: HashMap<VaultTag, TagNumber>,
    tags: Vec<VaultTag>,
}

impl Tags {
    fn find(&self, tag: &VaultTag) -> Option<TagNumber> {
        // The cache has one.
        if self.tags.first() == Some(tag) { Some(0) } else { self.numbers.get(tag).copied() }
    }

    fn number_of(&mut self, tag: VaultTag) -> TagNumber {
        self.find(&tag).unwrap_or_else(|| {
            let number = TagNumber::try_from(self.tags.len()).expect("there are fewer tags than chunks");
            self.tags.push(tag);
            self.numbers.insert(tag, number);
            number
        })
    }
}

impl MemoryIndex {
    fn number(&self, key: &Key) -> Option<u32> {
        let tag = self.tags.find(&key.tag)?;
        let is_it =
            |number: &u32| self.records.get(*number).is_some_and(|at| at.tag == tag && at.id == key.id);
        self.numbers.find(self.hasher.hash_one((tag, key.id)), is_it).copied()
    }

    /// Takes a record out; the last one gets its number.
    fn take_out(&mut self, number: u32) {
        let (records, hasher) = (&mut self.records, &self.hasher);
        let (Some(gone), Some(last)) = (records.get(number).copied(), records.pop()) else { return };
        let hash = |record: &Record| hasher.hash_one((record.tag, record.id));
        if let Ok(entry) = self.numbers.find_entry(hash(&gone), |at| *at == number) {
            entry.remove();
        }
        // Nothing is there when it was the last one itself.
        if let Some(place) = records.get_mut(number) {
            *place = last;
            let moved = u32::try_from(records.len()).expect("it had a number");
            if let Some(entry) = self.numbers.find_mut(hash(&last), |at| *at == moved) {
                *entry = number;
            }
        }
    }
}

impl Index for MemoryIndex {
    fn insert(&mut self, key: Key, location: Location) {
        let tag = self.tags.number_of(key.tag);
        let record = Record::new(key.id, tag, location);
        if let Some(known) = self.number(&key).and_then(|number| self.records.get_mut(number)) {
            *known = record;
            return;
        }
        let (number, records, hasher) = (self.records.push(record), &self.records, &self.hasher);
        let hash = |record: &Record| hasher.hash_one((record.tag, record.id));
        self.numbers.insert_unique(hash(&record), number, |number| records.get(*number).map_or(0, hash));
    }

    fn find(&self, key: &Key) -> Option<Entry> {
        self.records.get(self.number(key)?).map(Record::entry)
    }

    fn set_damaged(&mut self, key: &Key, location: Location) -> bool {
        let record = self.number(key).and_then(|number| self.records.get_mut(number));
        let good = record.filter(|record| record.entry() == Entry::Good(location));
        good.map(|record| record.offset_units |= DAMAGED).is_some()
    }

    fn remove(&mut self, key: &Key, location: Location) -> bool {
        let number = self.number(key);
        let there = number.filter(|number| self.records.get(*number).map(Record::location) == Some(location));
        there.map(|number| self.take_out(number)).is_some()
    }

    fn for_each(&self, visit: &mut dyn FnMut(&Key, Entry)) {
        for record in self.records.pages.iter().flatten() {
            if let Some(tag) = self.tags.tags.get(record.tag as usize) {
                visit(&Key { tag: *tag, id: record.id }, record.entry());
            }
        }
    }

    fn len(&self) -> usize {
        self.records.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::crash::Draw;
    use std::collections::BTreeMap;

    /// Few enough that draws meet again, and more than a page.
    fn key(draw: &mut Draw) -> Key {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&(draw.next() as u16 % 4_000).to_be_bytes());
        Key { tag: VaultTag::from_bytes([draw.next() as u8 % 3; 16]), id: ChunkId::from_bytes(id) }
    }

    fn location(draw: &mut Draw) -> Location {
        Location { segment: draw.next() as u32 % 2, offset_units: draw.next() as u32 % 2, len_bytes: 7 }
    }

    #[test]
    fn it_knows_what_a_map_would_know() {
        let (mut draw, mut index, mut map) = (Draw(1), MemoryIndex::default(), BTreeMap::new());
        for round in 0..60_000 {
            let (key, at) = (key(&mut draw), location(&mut draw));
            // It grows, and then it shrinks.
            let removes = if round < 30_000 { 4 } else { 9 };
            match draw.next() % 12 {
                0 => {
                    let expected = map.get(&key) == Some(&Entry::Good(at));
                    assert_eq!(index.set_damaged(&key, at), expected);
                    if expected {
                        map.insert(key, Entry::Damaged(at));
                    }
                }
                draw if draw <= removes => {
                    let is_there =
                        [Entry::Good(at), Entry::Damaged(at)].map(Some).contains(&map.get(&key).copied());
                    assert_eq!(index.remove(&key, at), is_there);
                    if is_there {
                        map.remove(&key);
                    }
                }
                _ => {
                    index.insert(key, at);
                    map.insert(key, Entry::Good(at));
                }
            }
            assert_eq!(index.find(&key), map.get(&key).copied());
            assert_eq!(index.len(), map.len());
        }
        let mut all = BTreeMap::new();
        index.for_each(&mut |key, entry| assert_eq!(all.insert(*key, entry), None));
        assert_eq!(all, map);
    }
}
