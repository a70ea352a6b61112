//! Reading and writing file bodies.
//!
//! Small writes stay in memory until the next flush, large ones are sealed to staging at once; both
//! are visible to readers when the call returns. A read of local bytes answers on the caller's
//! thread; one of missing chunks answers after the fetch, from the fetcher's.

use crate::body::clean::Blocked;
use crate::body::extents::Stretch;
use crate::body::part::PartRead;
use crate::body::{Piece, Source};
use crate::journal::Loc;
use crate::volume::Volume;
use crate::{FetchError, FsError, Ino, Kind, limits};
use bytes::Bytes;
use freehold_model::ChunkId;
use freehold_vault::record;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// What a read hands its result to; called exactly once, from any thread, with no lock held.
pub type ReadDone = Box<dyn FnOnce(Result<Bytes, FsError>) + Send>;

/// A read that waits for chunks.
struct Reading {
    ino: Ino,
    stretches: Vec<Stretch>,
    /// The reader does not read on: a part of a chunk will do.
    is_jump: bool,
    deadline: Instant,
    /// How often chunks may still be found missing.
    attempts: u32,
}

/// What `fallocate` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preallocate {
    /// Reserve, and grow the file to the end of the range (mode 0).
    Grow,
    /// Reserve, keep the size (`FALLOC_FL_KEEP_SIZE`).
    KeepSize,
    /// Make the range read as zeroes, keep the size (`FALLOC_FL_PUNCH_HOLE`, `ZERO_RANGE | KEEP_SIZE`).
    Punch,
    /// Make the range read as zeroes, grow if it ends past the end (`FALLOC_FL_ZERO_RANGE`).
    ZeroRange,
}

impl Volume {
    /// Reads up to `len` bytes: exactly to the file's end or `len`, holes as zeroes.
    ///
    /// `done` runs at once, on this thread, when the bytes are on this device; otherwise after the
    /// fetch or at the deadline, on another thread.
    pub fn read(self: &Arc<Self>, ino: Ino, offset: u64, len: u32, deadline: Instant, done: ReadDone) {
        let (stretches, size) = match self.stretches(ino, offset, len) {
            Ok(found) => found,
            Err(error) => return done(Err(error)),
        };
        let range = offset..offset.saturating_add(u64::from(len)).min(size).max(offset);
        match self.reader.read(&stretches) {
            Ok(bytes) => {
                done(Ok(bytes.into()));
                let more = {
                    let mut readahead = self.readahead.lock();
                    if readahead.is_idle() { return } else { readahead.read(ino, &range, size) }
                };
                self.fetch_ahead(&stretches, &more, deadline);
            }
            Err(Blocked::Failed(error)) => done(Err(error)),
            Err(Blocked::Missing(ids)) => {
                let (more, is_jump) = self.readahead.lock().missed(ino, &range, size);
                self.fetch_ahead(&stretches, &more, deadline);
                let reading = Reading { ino, stretches, is_jump, deadline, attempts: limits::READ_ATTEMPTS };
                self.fetch(reading, ids, done);
            }
        }
    }

    fn stretches(&self, ino: Ino, offset: u64, len: u32) -> Result<(Vec<Stretch>, u64), FsError> {
        let tables = self.lock_nodes(&[ino])?;
        let node = tables.node(ino)?;
        match node.kind() {
            Kind::File => {}
            Kind::Dir => return Err(FsError::IsDir),
            _ => return Err(FsError::Invalid),
        }
        let len = u64::from(len).min(node.body.size.saturating_sub(offset));
        Ok((node.body.extents.stretches(offset, len), node.body.size))
    }

    /// Reads, or fetches what is missing and reads again: each level of a manifest may add to it.
    fn attempt(self: &Arc<Self>, reading: Reading, done: ReadDone) {
        match self.reader.read(&reading.stretches) {
            Ok(bytes) => done(Ok(bytes.into())),
            Err(Blocked::Failed(error)) => done(Err(error)),
            Err(Blocked::Missing(ids)) => self.fetch(reading, ids, done),
        }
    }

    fn fetch(self: &Arc<Self>, mut reading: Reading, missing: Vec<ChunkId>, done: ReadDone) {
        let (Some(source), true) = (self.source(), reading.attempts > 0) else {
            return done(Err(FsError::Unreachable));
        };
        reading.attempts -= 1;
        let volume = Arc::clone(self);
        if reading.is_jump
            && let Some(part) = self.part_of(&reading.stretches)
        {
            return source.want_parts(
                part.parts(),
                reading.deadline,
                Box::new(move |came| volume.part_came(&part, came, reading, done)),
            );
        }
        source.want(
            missing,
            reading.deadline,
            Box::new(move |fetched| match fetched {
                Ok(()) => {
                    volume.fetched(reading.ino);
                    volume.attempt(reading, done);
                }
                Err(error) => done(Err(error.into())),
            }),
        );
    }

    /// Answers with the part; where nobody had it, or it is not what was asked for, whole chunks do.
    fn part_came(
        self: &Arc<Self>,
        part: &PartRead,
        came: Result<Vec<Bytes>, FetchError>,
        reading: Reading,
        done: ReadDone,
    ) {
        let opened = match came.as_deref() {
            Ok([header, frames]) => part.open(header, frames),
            _ => None,
        };
        match opened {
            Some(bytes) => done(Ok(bytes.into())),
            None => self.attempt(reading, done),
        }
    }

    /// The part of one chunk that a read of a clean range comes to, if it is a little of a large one
    /// that was not asked for lately.
    fn part_of(&self, stretches: &[Stretch]) -> Option<PartRead> {
        let [Stretch { len, source: Some(Source::Clean { content, offset }), .. }] = stretches else {
            return None;
        };
        let record::Body::Chunked(chunked) = &**content else { return None };
        self.reader.clean.as_ref()?.part(chunked, *offset..offset + len)
    }

    /// More of a file is here than before: somebody has to count.
    fn fetched(&self, ino: Ino) {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
        self.tables.lock().hydration.doubt(ino);
    }

    /// Asks for the chunks of a range of the file that the last stretch of a read belongs to.
    fn fetch_ahead(&self, stretches: &[Stretch], range: &Range<u64>, deadline: Instant) {
        let (Some(clean), Some(source), false) = (&self.reader.clean, self.source(), range.is_empty()) else {
            return;
        };
        let Some(Stretch { offset: at, source: Some(Source::Clean { content, offset }), .. }) =
            stretches.last()
        else {
            return;
        };
        let record::Body::Chunked(chunked) = &**content else { return };
        let start = (offset + range.start).saturating_sub(*at);
        let after = clean.missing_after(chunked, start, range.end - range.start, limits::READAHEAD_CHUNKS);
        if !after.is_empty() {
            source.want(after, deadline, Box::new(|_| {}));
        }
    }

    /// Writes all of `bytes`; the file grows as needed. Times are the caller's business.
    ///
    /// # Errors
    /// `NotFound`, `IsDir`, `Invalid`, `FileTooBig`, `NoSpace`, `Io`.
    pub fn write(&self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<(), FsError> {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= limits::CONTENT_BYTES_MAX);
        end.ok_or(FsError::FileTooBig)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let pieces = self.pieces(ino, bytes)?;
        {
            let mut tables = self.lock_nodes(&[ino])?;
            let body = &mut tables.change_body(ino)?.body;
            let mut at = offset;
            for piece in pieces {
                let len = u64::from(piece.len());
                body.show(at, len, Source::Piece { piece, skip: 0 });
                at += len;
            }
        }
        let unflushed = self.in_memory.load(Ordering::Relaxed);
        if unflushed > limits::UNFLUSHED_BYTES_MAX && self.local.is_some() {
            // A failure poisons the files involved, whose fsync then tells; this write itself is in.
            drop(self.flush());
        } else if unflushed > limits::UNFLUSHED_BYTES_SOFT {
            self.ticker.hurry();
        }
        Ok(())
    }

    /// Makes pieces of written bytes: in memory, or sealed in staging.
    fn pieces(&self, ino: Ino, bytes: &[u8]) -> Result<Vec<Arc<Piece>>, FsError> {
        let runs = bytes.chunks(limits::PIECE_BYTES_MAX);
        let Some(local) = &self.local else {
            return Ok(runs
                .map(|run| Piece::in_memory(Bytes::copy_from_slice(run), &self.in_memory))
                .collect());
        };
        local.space.admit(bytes.len() as u64 + limits::CHANGE_BYTES)?;
        if bytes.len() <= limits::INLINE_WRITE_BYTES_MAX {
            return Ok(vec![Piece::in_memory(Bytes::copy_from_slice(bytes), &self.in_memory)]);
        }
        let runs: Vec<&[u8]> = runs.collect();
        let mut locs: Vec<Loc> = Vec::with_capacity(runs.len());
        let stored = local.staging.append_all(&runs, |_, loc| locs.push(loc)).and_then(|()| {
            let piece = |(run, loc): (&&[u8], Loc)| {
                Ok(Piece::stored(loc, u32::try_from(run.len()).map_err(|_| FsError::Invalid)?))
            };
            runs.iter().zip(locs).map(piece).collect::<Result<Vec<_>, FsError>>()
        });
        if matches!(stored, Err(FsError::Io))
            && let Some(node) = self.lock_nodes(&[ino])?.nodes.get_mut(ino)
        {
            node.poisoned = true;
        }
        stored
    }

    /// Sets the size: cuts, or grows by a hole.
    ///
    /// # Errors
    /// `NotFound`, `IsDir`, `Invalid`, `FileTooBig`, `Io`.
    pub fn truncate(&self, ino: Ino, size: u64) -> Result<(), FsError> {
        if size > limits::CONTENT_BYTES_MAX {
            return Err(FsError::FileTooBig);
        }
        let mut tables = self.lock_nodes(&[ino])?;
        if tables.node(ino)?.body.size == size && tables.node(ino)?.kind() == Kind::File {
            return Ok(());
        }
        tables.change_body(ino)?.body.set_size(size);
        Ok(())
    }

    /// Reserves or zeroes a range. What is reserved is room on the disk below at this moment.
    ///
    /// # Errors
    /// `NotFound`, `IsDir`, `Invalid`, `FileTooBig`, `NoSpace`, `Io`.
    pub fn preallocate(&self, ino: Ino, offset: u64, len: u64, how: Preallocate) -> Result<(), FsError> {
        let end = offset.checked_add(len).filter(|end| *end <= limits::CONTENT_BYTES_MAX);
        let end = end.ok_or(FsError::FileTooBig)?;
        if let (Some(local), Preallocate::Grow | Preallocate::KeepSize) = (&self.local, how) {
            local.space.check(len)?;
        }
        let mut tables = self.lock_nodes(&[ino])?;
        let size = tables.node(ino)?.body.size;
        let grows = matches!(how, Preallocate::Grow | Preallocate::ZeroRange) && end > size;
        let zeroes = matches!(how, Preallocate::Punch | Preallocate::ZeroRange) && offset < size;
        if !grows && !zeroes {
            return Ok(());
        }
        let body = &mut tables.change_body(ino)?.body;
        if zeroes {
            body.clear(offset, len);
        }
        if grows {
            body.set_size(end);
        }
        Ok(())
    }

    /// Copies a range by sharing extents and says how many bytes: no data moves.
    ///
    /// # Errors
    /// `NotFound`, `IsDir`, `FileTooBig`, `Io`; `Invalid` when the ranges overlap in one file.
    pub fn copy_range(
        &self,
        from: Ino,
        from_offset: u64,
        to: Ino,
        to_offset: u64,
        len: u64,
    ) -> Result<u64, FsError> {
        let mut tables = self.lock_nodes(&[from, to])?;
        let source = tables.node(from)?;
        let len = len.min(source.body.size.saturating_sub(from_offset));
        let end = to_offset.checked_add(len).filter(|end| *end <= limits::CONTENT_BYTES_MAX);
        let end = end.ok_or(FsError::FileTooBig)?;
        if from == to && from_offset < end && to_offset < from_offset + len {
            return Err(FsError::Invalid);
        }
        if len == 0 {
            return Ok(0);
        }
        let stretches = source.body.extents.stretches(from_offset, len);
        let body = &mut tables.change_body(to)?.body;
        body.clear(to_offset, len);
        for stretch in stretches {
            if let Some(source) = stretch.source {
                body.show(to_offset + (stretch.offset - from_offset), stretch.len, source);
            }
        }
        if end > body.size {
            body.set_size(end);
        }
        Ok(len)
    }
}
