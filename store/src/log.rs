//! The append-only log of segments both stores are made of.
//!
//! One segment at a time is open at the tail; when the next record does not fit, the segment gets
//! its index and footer, is flushed and never written again. A failed flush is never retried: the
//! kernel has already marked the lost pages clean, so the log turns read-only until a restart,
//! which re-reads the tail from the hardware. A write that found the disk full is cut off again and
//! leaves the log as it was. Opening an existing log is in `log/open.rs`.

mod open;

use crate::disk::{Disk, DiskFile, Space};
use crate::error::StoreError;
use crate::index::Location;
use crate::limits;
use crate::record::{ALIGN_BYTES, HEADER_BYTES, Header, Key, Salt, align, span_bytes};
use crate::segment::{self, Kind, SEGMENT_HEADER_BYTES, SegmentHeader};
use lru::LruCache;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether an append returns before or after its bytes are on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    Now,
    Later,
}

/// Told what each segment holds while a log is opened.
pub(crate) type Visitor<'a> = dyn FnMut(&[(Key, Location)]) + 'a;

/// The segments of one directory.
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    kind: Kind,
    segment_bytes: u64,
    files: Mutex<LruCache<u32, Arc<dyn DiskFile>>>,
    /// Held over writes and flushes: there is one tail.
    tail: Mutex<Tail>,
    sizes: Mutex<BTreeMap<u32, u64>>,
    failed: AtomicBool,
}

struct Tail {
    active: Option<Active>,
    next_number: u32,
}

/// The segment being written.
struct Active {
    number: u32,
    salt: Salt,
    file: Arc<dyn DiskFile>,
    /// Bytes handed to the system.
    end: u64,
    /// Bytes known to be on stable storage.
    flushed: u64,
    /// Up to here the system was asked to write out.
    released: u64,
    /// Bytes allocated ahead.
    reserved: u64,
    entries: Vec<(Key, Location)>,
}

/// Records that go to the end of the open segment in one write, and where they will lie.
#[derive(Default)]
struct Run<'a> {
    headers: Vec<u8>,
    payloads: Vec<&'a [u8]>,
    entries: Vec<(Key, Location)>,
    /// Bytes of all, padding included.
    len_bytes: u64,
}

impl Log {
    /// Appends records and says where they lie.
    ///
    /// # Errors
    /// `NoSpace` leaves the log as it was; `ReadOnly` once anything else failed.
    pub(crate) fn append(&self, items: &[(Key, &[u8])], flush: Flush) -> Result<Vec<Location>, StoreError> {
        let mut tail = self.tail.lock();
        if self.is_read_only() {
            return Err(StoreError::ReadOnly);
        }
        let result = self.append_to(&mut tail, items, flush);
        if let Err(error) = &result {
            self.roll_back(&mut tail, error);
        }
        result
    }

    /// Makes everything appended so far durable; appends may go on meanwhile.
    ///
    /// # Errors
    /// `ReadOnly` when the flush fails or one failed before.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let (number, file, end) = {
            let tail = self.tail.lock();
            if self.is_read_only() {
                return Err(StoreError::ReadOnly);
            }
            match &tail.active {
                Some(active) if active.flushed < active.end => {
                    (active.number, Arc::clone(&active.file), active.end)
                }
                // Sealed segments were flushed when they were sealed.
                _ => return Ok(()),
            }
        };
        self.flush(&*file)?;
        if let Some(active) = &mut self.tail.lock().active
            && active.number == number
        {
            active.flushed = active.flushed.max(end);
        }
        Ok(())
    }

    /// Reads a whole payload, unverified.
    ///
    /// # Errors
    /// `Io` when the segment is gone or unreadable.
    pub(crate) fn read(&self, at: Location) -> Result<Vec<u8>, StoreError> {
        let len = usize::try_from(at.len_bytes).map_err(|_| StoreError::TooLarge)?;
        let mut payload = Vec::with_capacity(len);
        self.file(at.segment)?
            .append_exact_at(at.offset_bytes() + HEADER_BYTES, len, &mut payload)
            .map_err(StoreError::io("read a chunk"))?;
        Ok(payload)
    }

    /// Reads part of a payload after checking that the record there is the one meant.
    ///
    /// # Errors
    /// `Damaged` when the header names something else, `Io` when the segment cannot be read.
    pub(crate) fn read_range(
        &self,
        key: &Key,
        at: Location,
        range: Range<u32>,
    ) -> Result<Vec<u8>, StoreError> {
        let mut header = [0; HEADER_BYTES as usize];
        self.file(at.segment)?
            .read_exact_at(at.offset_bytes(), &mut header)
            .map_err(StoreError::io("read a chunk"))?;
        if !Header::names(&header, key, at.len_bytes) {
            return Err(StoreError::Damaged);
        }
        self.read_part(at, range)
    }

    /// Reads part of a payload for somebody who can tell whether it is the one meant.
    ///
    /// # Errors
    /// `Io` when the segment cannot be read.
    pub(crate) fn read_part(&self, at: Location, range: Range<u32>) -> Result<Vec<u8>, StoreError> {
        let (start, end) = (range.start.min(at.len_bytes), range.end.min(at.len_bytes));
        let len = usize::try_from(end.saturating_sub(start)).map_err(|_| StoreError::TooLarge)?;
        let mut bytes = Vec::with_capacity(len);
        self.file(at.segment)?
            .append_exact_at(at.offset_bytes() + HEADER_BYTES + u64::from(start), len, &mut bytes)
            .map_err(StoreError::io("read a chunk"))?;
        Ok(bytes)
    }

    /// All of a payload is likely to be read soon.
    pub(crate) fn will_need(&self, at: Location) {
        if let Ok(file) = self.file(at.segment) {
            file.will_need(at.offset_bytes() + HEADER_BYTES, at.len_bytes.into());
        }
    }

    /// A part of a payload was read and is not likely to be read again soon.
    pub(crate) fn release(&self, at: Location, range: Range<u32>) {
        if let Ok(file) = self.file(at.segment) {
            let len = range.end.min(at.len_bytes).saturating_sub(range.start);
            file.release(at.offset_bytes() + HEADER_BYTES + u64::from(range.start), len.into());
        }
    }

    /// Removes a sealed segment's file.
    ///
    /// # Errors
    /// `Io` when the system refuses.
    pub(crate) fn remove(&self, number: u32) -> Result<(), StoreError> {
        self.disk.remove(&segment::file_name(number)).map_err(StoreError::io("remove a segment"))?;
        self.files.lock().pop(&number);
        self.sizes.lock().remove(&number);
        Ok(())
    }

    /// Number of the segment being written.
    pub(crate) fn active_number(&self) -> Option<u32> {
        self.tail.lock().active.as_ref().map(|active| active.number)
    }

    /// Bytes of all segments, headers and footers included.
    pub(crate) fn bytes(&self) -> u64 {
        self.sizes.lock().values().sum()
    }

    /// Numbers of all segments, oldest first.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.sizes.lock().keys().copied().collect()
    }

    /// Number of segments.
    pub(crate) fn segments(&self) -> u64 {
        self.sizes.lock().len() as u64
    }

    /// Whether an earlier failure forbids writing.
    pub(crate) fn is_read_only(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Forbids writing from here on.
    pub(crate) fn fail(&self) {
        if !self.failed.swap(true, Ordering::AcqRel) {
            tracing::error!("a write to the store failed: it is read-only until restarted");
        }
    }

    /// Bytes a segment may reach.
    pub(crate) const fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Room on the disk.
    ///
    /// # Errors
    /// `Io` when the system does not say.
    pub(crate) fn space(&self) -> Result<Space, StoreError> {
        self.disk.space().map_err(StoreError::io("ask for free space"))
    }

    /// Bytes the store may still take before it refuses.
    ///
    /// # Errors
    /// `Io` when the system does not say.
    pub(crate) fn room_bytes(&self) -> Result<u64, StoreError> {
        let space = self.space()?;
        let kept =
            (space.total_bytes / limits::FREE_SHARE).clamp(limits::FREE_BYTES_MIN, limits::FREE_BYTES_MAX);
        Ok(space.free_bytes.saturating_sub(kept))
    }

    fn append_to(
        &self,
        tail: &mut Tail,
        items: &[(Key, &[u8])],
        flush: Flush,
    ) -> Result<Vec<Location>, StoreError> {
        let mut total_bytes = 0;
        for (_, payload) in items {
            if payload.len() > limits::CHUNK_BYTES_MAX {
                return Err(StoreError::TooLarge);
            }
            total_bytes += align(HEADER_BYTES + payload.len() as u64);
        }
        if self.room_bytes()? < total_bytes {
            return Err(StoreError::NoSpace);
        }
        let created_s = u32::try_from(self.disk.unix_now()).unwrap_or(u32::MAX);
        let mut locations = Vec::with_capacity(items.len());
        let mut run = Run::default();
        for (key, payload) in items {
            let len_bytes = u32::try_from(payload.len()).map_err(|_| StoreError::TooLarge)?;
            let active = self.active_for(tail, &mut run, span_bytes(len_bytes))?;
            locations.push(run.add(active, *key, len_bytes, payload, created_s));
            if run.len_bytes >= limits::WRITE_BYTES as u64 {
                self.write(active, &mut run)?;
            }
        }
        if let Some(active) = &mut tail.active {
            self.write(active, &mut run)?;
            if flush == Flush::Now {
                self.flush(&*active.file)?;
                // What was just stored is seldom read soon, and memory used again costs less than fresh.
                active.file.release(active.flushed, active.end - active.flushed);
                active.flushed = active.end;
                active.released = active.end;
            } else if active.end - active.released >= limits::WRITE_BYTES as u64 {
                // Written out meanwhile, the flush that comes has little left to wait for.
                active.file.release(active.released, active.end - active.released);
                active.released = active.end;
            }
        }
        Ok(locations)
    }

    /// The open segment, a new one where the span does not fit any more behind the run, which is written then.
    fn active_for<'a>(
        &self,
        tail: &'a mut Tail,
        run: &mut Run<'_>,
        span_bytes: u64,
    ) -> Result<&'a mut Active, StoreError> {
        let is_full = |active: &Active| {
            let used = active.end + run.len_bytes;
            used + span_bytes > self.segment_bytes && used > SEGMENT_HEADER_BYTES
        };
        if let Some(full) = tail.active.as_mut().filter(|active| is_full(active)) {
            self.write(full, run)?;
            self.seal(tail)?;
        }
        if tail.active.is_none() {
            tail.active = Some(self.create_segment(tail.next_number)?);
            tail.next_number += 1;
        }
        Ok(tail.active.as_mut().expect("one was just made if there was none"))
    }

    fn create_segment(&self, number: u32) -> Result<Active, StoreError> {
        let name = segment::file_name(number);
        let mut salt = Salt::default();
        self.disk.fill_random(&mut salt).map_err(StoreError::io("draw random bytes"))?;
        let header = SegmentHeader { kind: self.kind, number, created_s: self.disk.unix_now(), salt };
        let file = self.disk.create(&name).map_err(StoreError::io("create a segment"))?;
        if let Err(error) = file.write_all_at(0, &header.encode()) {
            // The number must stay free: the next attempt creates the same file.
            self.disk.remove(&name).map_err(StoreError::io("remove an unfinished segment"))?;
            return Err(StoreError::io("write a segment's header")(error));
        }
        self.flush(&*file)?;
        self.disk.sync_dir().map_err(|error| self.flush_failed(&error))?;
        self.files.lock().put(number, Arc::clone(&file));
        self.sizes.lock().insert(number, SEGMENT_HEADER_BYTES);
        Ok(Active {
            number,
            salt,
            file,
            end: SEGMENT_HEADER_BYTES,
            flushed: SEGMENT_HEADER_BYTES,
            released: SEGMENT_HEADER_BYTES,
            reserved: SEGMENT_HEADER_BYTES,
            entries: Vec::new(),
        })
    }

    /// Hands a run to the system in one write; it is empty then.
    fn write(&self, active: &mut Active, run: &mut Run<'_>) -> Result<(), StoreError> {
        if run.len_bytes == 0 {
            return Ok(());
        }
        let end = active.end + run.len_bytes;
        if self.kind == Kind::Node && end > active.reserved {
            let ahead = end.next_multiple_of(limits::RESERVE_STEP_BYTES).min(self.segment_bytes);
            // Allocation ahead only saves time; whether there is room shows in the write.
            if active.file.reserve(ahead.max(end)).is_ok() {
                active.reserved = ahead.max(end);
            }
        }
        active.file.write_parts_at(active.end, &run.parts()).map_err(StoreError::io("write a segment"))?;
        active.end = end;
        active.entries.append(&mut run.entries);
        *run = Run::default();
        self.sizes.lock().insert(active.number, end);
        Ok(())
    }

    /// Ends the open segment with its index and footer, and flushes it.
    fn seal(&self, tail: &mut Tail) -> Result<(), StoreError> {
        let Some(active) = &mut tail.active else { return Ok(()) };
        let seal = segment::encode_seal(active.number, active.end, &active.entries);
        active.file.write_all_at(active.end, &seal).map_err(StoreError::io("seal a segment"))?;
        let len_bytes = active.end + seal.len() as u64;
        // Gives back what was allocated ahead.
        active.file.set_len(len_bytes).map_err(StoreError::io("seal a segment"))?;
        self.flush(&*active.file)?;
        self.sizes.lock().insert(active.number, len_bytes);
        tail.active = None;
        Ok(())
    }

    /// After a failed append: a full disk is undone, anything else ends writing.
    fn roll_back(&self, tail: &mut Tail, error: &StoreError) {
        let undone = match (&mut tail.active, error) {
            (_, StoreError::TooLarge) | (None, StoreError::NoSpace) => true,
            (Some(active), StoreError::NoSpace) => {
                active.reserved = active.end;
                active.file.set_len(active.end).is_ok()
            }
            _ => false,
        };
        if !undone {
            self.fail();
        }
    }

    fn flush(&self, file: &dyn DiskFile) -> Result<(), StoreError> {
        file.sync_data().map_err(|error| self.flush_failed(&error))
    }

    fn flush_failed(&self, error: &std::io::Error) -> StoreError {
        tracing::error!(%error, "the disk did not keep what was written to it");
        self.fail();
        StoreError::ReadOnly
    }

    /// The open handle of a segment; opened outside every lock when it is not at hand.
    fn file(&self, number: u32) -> Result<Arc<dyn DiskFile>, StoreError> {
        if let Some(file) = self.files.lock().get(&number) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&segment::file_name(number)).map_err(StoreError::io("open a segment"))?;
        self.files.lock().put(number, Arc::clone(&file));
        Ok(file)
    }
}

impl<'a> Run<'a> {
    /// Adds a record that will lie in the open segment and says where.
    fn add(
        &mut self,
        active: &Active,
        key: Key,
        len_bytes: u32,
        payload: &'a [u8],
        created_s: u32,
    ) -> Location {
        let at = active.end + self.len_bytes;
        let location = Location {
            segment: active.number,
            offset_units: u32::try_from(at / ALIGN_BYTES).expect("a segment is shorter than 32 GiB"),
            len_bytes,
        };
        let header = Header { key, len_bytes, created_s, first_of_group: at == active.flushed };
        self.headers.extend_from_slice(&header.encode(&active.salt));
        self.payloads.push(payload);
        self.entries.push((key, location));
        self.len_bytes += span_bytes(len_bytes);
        location
    }

    /// Headers, payloads and padding as they lie behind one another.
    fn parts(&self) -> Vec<&[u8]> {
        const PADDING: [u8; ALIGN_BYTES as usize] = [0; ALIGN_BYTES as usize];
        let mut parts = Vec::with_capacity(3 * self.payloads.len());
        for (header, payload) in self.headers.chunks_exact(HEADER_BYTES as usize).zip(&self.payloads) {
            let padding = payload.len().next_multiple_of(PADDING.len()) - payload.len();
            parts.extend([header, *payload, PADDING.get(..padding).unwrap_or_default()]);
        }
        parts
    }
}
