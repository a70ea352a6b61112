//! A small append-only file of facts about chunks that segments cannot hold.
//!
//! Segments are never rewritten, so what changes later is noted here: a record found damaged (node
//! store), a chunk pinned or unpinned (cache). Entries are 64 bytes each with their own CRC, so one
//! wrong entry hides no other; wrong entries at the end are a torn write, anywhere else the reader
//! is told that facts are missing.

use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;
use crate::index::Location;
use crate::record::Key;
use freehold_model::codec::{DecodeError, Reader, Writer};
use parking_lot::Mutex;
use std::sync::Arc;

const FILE: &str = "marks";
const NEW_FILE: &str = "marks.new";
const MAGIC: &[u8; 2] = b"MK";
const VERSION: u8 = 1;
const MARK_BYTES: usize = 64;
const CHECKED_BYTES: usize = 60;

/// One fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The record at this place is not its chunk any more.
    Damaged(Key, Location),
    /// The chunk must not be evicted.
    Pinned(Key),
    /// The chunk may be evicted again.
    Unpinned(Key),
}

/// The file of marks.
pub(crate) struct Marks {
    disk: Arc<dyn Disk>,
    file: Mutex<Open>,
}

struct Open {
    file: Arc<dyn DiskFile>,
    end: u64,
}

/// What the file held when it was opened.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) marks: Vec<Mark>,
    /// False when a wrong entry lies before a right one: some fact is lost.
    pub(crate) is_whole: bool,
}

impl Marks {
    /// Opens or creates the file and reads all of it.
    ///
    /// # Errors
    /// `Io` when that is not possible.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> Result<(Self, Found), StoreError> {
        let names = disk.list().map_err(StoreError::io("list the store's directory"))?;
        if !names.iter().any(|name| name == FILE) {
            let file = disk.create(FILE).map_err(StoreError::io("create the file of marks"))?;
            disk.sync_dir().map_err(StoreError::io("flush the store's directory"))?;
            let marks = Self { disk, file: Mutex::new(Open { file, end: 0 }) };
            return Ok((marks, Found { marks: Vec::new(), is_whole: true }));
        }
        let file = disk.open(FILE).map_err(StoreError::io("open the file of marks"))?;
        let len_bytes = file.len_bytes().map_err(StoreError::io("read the file of marks"))?;
        let mut bytes = vec![0; usize::try_from(len_bytes).map_err(|_| StoreError::TooLarge)?];
        file.read_exact_at(0, &mut bytes).map_err(StoreError::io("read the file of marks"))?;
        let decoded: Vec<_> = bytes.chunks_exact(MARK_BYTES).map(decode).collect();
        let whole_entries = decoded.iter().rposition(Result::is_ok).map_or(0, |last| last.saturating_add(1));
        let marks: Vec<Mark> = decoded.iter().filter_map(|mark| mark.as_ref().ok()).copied().collect();
        let is_whole = marks.len() == whole_entries;
        let end = (whole_entries * MARK_BYTES) as u64;
        file.set_len(end).map_err(StoreError::io("cut the file of marks"))?;
        Ok((Self { disk, file: Mutex::new(Open { file, end }) }, Found { marks, is_whole }))
    }

    /// Makes a change and adds the marks that say so, in one order for all callers; durable after
    /// [`Marks::sync`].
    ///
    /// # Errors
    /// `NoSpace` or `Io`; nothing was added then.
    pub(crate) fn append(&self, change: impl FnOnce() -> Vec<Mark>) -> Result<(), StoreError> {
        let mut open = self.file.lock();
        let bytes = encode(&change());
        if let Err(error) = open.file.write_all_at(open.end, &bytes) {
            open.file.set_len(open.end).map_err(StoreError::io("cut the file of marks"))?;
            return Err(StoreError::io("write the file of marks")(error));
        }
        open.end += bytes.len() as u64;
        Ok(())
    }

    /// Makes all marks durable.
    ///
    /// # Errors
    /// `Io`, never to be retried.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let file = Arc::clone(&self.file.lock().file);
        file.sync_data().map_err(StoreError::io("flush the file of marks"))
    }

    /// Number of marks in the file.
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.file.lock().end).unwrap_or(usize::MAX) / MARK_BYTES
    }

    /// Replaces the file by one that holds only these marks, durably. No mark is added meanwhile.
    ///
    /// # Errors
    /// `NoSpace` or `Io`; the old file stays then.
    pub(crate) fn replace(&self, live: impl FnOnce() -> Vec<Mark>) -> Result<(), StoreError> {
        let mut open = self.file.lock();
        let names = self.disk.list().map_err(StoreError::io("list the store's directory"))?;
        if names.iter().any(|name| name == NEW_FILE) {
            self.disk.remove(NEW_FILE).map_err(StoreError::io("remove an unfinished file"))?;
        }
        let file = self.disk.create(NEW_FILE).map_err(StoreError::io("create the file of marks"))?;
        let bytes = encode(&live());
        file.write_all_at(0, &bytes).map_err(StoreError::io("write the file of marks"))?;
        file.sync_data().map_err(StoreError::io("flush the file of marks"))?;
        self.disk.rename(NEW_FILE, FILE).map_err(StoreError::io("replace the file of marks"))?;
        *open = Open { file, end: bytes.len() as u64 };
        self.disk.sync_dir().map_err(StoreError::io("flush the store's directory"))
    }
}

fn encode(marks: &[Mark]) -> Vec<u8> {
    let mut out = Vec::with_capacity(marks.len() * MARK_BYTES);
    for mark in marks {
        let (op, key, segment, offset_units) = match mark {
            Mark::Damaged(key, at) => (1, key, at.segment, at.offset_units),
            Mark::Pinned(key) => (2, key, 0, 0),
            Mark::Unpinned(key) => (3, key, 0, 0),
        };
        let mut entry = Writer::with_capacity(MARK_BYTES);
        entry.raw(MAGIC).u8(VERSION).u8(op).u32(segment).u32(offset_units);
        entry.put(&key.tag).put(&key.id);
        let check = crc32fast::hash(entry.as_slice());
        entry.u32(check);
        out.extend_from_slice(entry.as_slice());
    }
    out
}

fn decode(bytes: &[u8]) -> Result<Mark, DecodeError> {
    let checked = bytes.get(..CHECKED_BYTES).ok_or(DecodeError::Truncated)?;
    let check = bytes.get(CHECKED_BYTES..).ok_or(DecodeError::Truncated)?;
    if Reader::new(check).u32()? != crc32fast::hash(checked) {
        return Err(DecodeError::Invalid("mark check"));
    }
    let mut input = Reader::new(checked);
    input.expect(MAGIC, "mark magic")?;
    input.expect(&[VERSION], "mark version")?;
    let op = input.u8()?;
    let (segment, offset_units) = (input.u32()?, input.u32()?);
    let key = Key { tag: input.get()?, id: input.get()? };
    input.finish()?;
    match op {
        // Marks name a place; the length is the index's business.
        1 => Ok(Mark::Damaged(key, Location { segment, offset_units, len_bytes: 0 })),
        2 => Ok(Mark::Pinned(key)),
        3 => Ok(Mark::Unpinned(key)),
        _ => Err(DecodeError::Unknown("mark")),
    }
}
