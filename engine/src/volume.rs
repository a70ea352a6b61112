//! The local state of one vault, as the mount and the sync tasks use it.
//!
//! The tables sit behind one lock that is never held across I/O. Bytes go to pieces first; the
//! extent map then changes under the lock, so a reader sees a write whole or not at all.

use crate::body::piece::Place;
use crate::body::{Piece, Source};
use crate::tables::{OsEntropy, Tables, TablesGuard};
use crate::{FsError, Ino, Kind, Notice, StatFs, Time, limits};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What a read hands its result to; called exactly once, from any thread.
pub type ReadDone = Box<dyn FnOnce(Result<Bytes, FsError>) + Send>;

type Notify = Box<dyn Fn(Notice) + Send + Sync>;

/// Where the volume gets the time from.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Time;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time { secs: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() }
    }
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

/// The local state of one vault. Cheap to share: hold it in an `Arc`.
pub struct Volume {
    tables: Mutex<Tables>,
    clock: Box<dyn Clock>,
    notify: Mutex<Option<Arc<Notify>>>,
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Volume").finish_non_exhaustive()
    }
}

impl Volume {
    /// A volume that lives in memory only, with an empty root owned by `uid` and `gid`: for tests
    /// of the layers above.
    #[must_use]
    pub fn in_memory(uid: u32, gid: u32, clock: Box<dyn Clock>) -> Arc<Self> {
        let tables = Tables::new(uid, gid, clock.now(), Box::new(OsEntropy));
        Arc::new(Self { tables: Mutex::new(tables), clock, notify: Mutex::new(None) })
    }

    /// Locks the tables and reads the clock for the changes to come. Never hold it across I/O.
    pub fn lock(&self) -> TablesGuard<'_> {
        let mut tables = self.tables.lock();
        tables.now = self.clock.now();
        TablesGuard(tables)
    }

    /// Sets who hears of remote changes; see [`Notice`].
    pub fn set_notify(&self, notify: Box<dyn Fn(Notice) + Send + Sync>) {
        *self.notify.lock() = Some(Arc::new(notify));
    }

    /// Reads up to `len` bytes: exactly to the file's end or `len`, holes as zeroes.
    ///
    /// `done` runs at once, on this thread, when the bytes are on this device; otherwise after the
    /// fetch or at the deadline, on another thread.
    pub fn read(self: &Arc<Self>, ino: Ino, offset: u64, len: u32, deadline: Instant, done: ReadDone) {
        let _ = deadline;
        done(self.read_local(ino, offset, len));
    }

    fn read_local(&self, ino: Ino, offset: u64, len: u32) -> Result<Bytes, FsError> {
        let stretches = {
            let tables = self.tables.lock();
            let node = tables.node(ino)?;
            if node.kind == Kind::Dir {
                return Err(FsError::IsDir);
            }
            let len = u64::from(len).min(node.body.size.saturating_sub(offset));
            node.body.extents.stretches(offset, len)
        };
        let mut read = BytesMut::new();
        for stretch in stretches {
            let len = usize::try_from(stretch.len).map_err(|_| FsError::Invalid)?;
            match stretch.source {
                None => read.resize(read.len() + len, 0),
                Some(Source::Piece { piece, skip }) => {
                    let Place::Memory(bytes) = piece.place();
                    let skip = usize::try_from(skip).map_err(|_| FsError::Invalid)?;
                    read.extend_from_slice(bytes.get(skip..skip + len).ok_or(FsError::Damaged)?);
                }
            }
        }
        Ok(read.freeze())
    }

    /// Writes all of `bytes`; the file grows as needed. Times are the caller's business.
    ///
    /// # Errors
    /// `NotFound`, `IsDir`, `FileTooBig`, `NoSpace`, `Io`.
    pub fn write(&self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<(), FsError> {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= limits::FILE_BYTES_MAX);
        let end = end.ok_or(FsError::FileTooBig)?;
        let pieces: Vec<Arc<Piece>> = bytes
            .chunks(limits::PIECE_BYTES_MAX)
            .map(|run| Piece::in_memory(Bytes::copy_from_slice(run)))
            .collect();
        let mut tables = self.tables.lock();
        let node = tables.change_file(ino)?;
        let mut at = offset;
        for piece in pieces {
            let len = u64::from(piece.len());
            node.body.extents.insert(at, len, Source::Piece { piece, skip: 0 });
            at += len;
        }
        node.body.size = node.body.size.max(end);
        Ok(())
    }

    /// Sets the size: cuts, or grows by a hole.
    ///
    /// # Errors
    /// `NotFound`, `IsDir`, `Invalid`, `FileTooBig`.
    pub fn truncate(&self, ino: Ino, size: u64) -> Result<(), FsError> {
        if size > limits::CONTENT_BYTES_MAX {
            return Err(FsError::FileTooBig);
        }
        let mut tables = self.tables.lock();
        let body = &mut tables.change_file(ino)?.body;
        body.extents.clear(size, u64::MAX - size);
        body.size = size;
        Ok(())
    }

    /// Reserves or zeroes a range.
    ///
    /// # Errors
    /// `NotFound`, `IsDir`, `Invalid`, `FileTooBig`, `NoSpace`.
    pub fn preallocate(&self, ino: Ino, offset: u64, len: u64, how: Preallocate) -> Result<(), FsError> {
        let end = offset.checked_add(len).filter(|end| *end <= limits::CONTENT_BYTES_MAX);
        let end = end.ok_or(FsError::FileTooBig)?;
        let mut tables = self.tables.lock();
        let body = &mut tables.change_file(ino)?.body;
        if matches!(how, Preallocate::Punch | Preallocate::ZeroRange) {
            body.extents.clear(offset, len);
        }
        if matches!(how, Preallocate::Grow | Preallocate::ZeroRange) {
            body.size = body.size.max(end);
        }
        Ok(())
    }

    /// Copies a range by sharing extents and says how many bytes: no data moves.
    ///
    /// # Errors
    /// `NotFound`, `IsDir`, `FileTooBig`; `Invalid` when the ranges overlap in one file.
    pub fn copy_range(&self, from: Ino, from_offset: u64, to: Ino, to_offset: u64, len: u64) -> Result<u64, FsError> {
        let mut tables = self.tables.lock();
        let source = tables.node(from)?;
        let len = len.min(source.body.size.saturating_sub(from_offset));
        let end = to_offset.checked_add(len).filter(|end| *end <= limits::FILE_BYTES_MAX);
        let end = end.ok_or(FsError::FileTooBig)?;
        if from == to && from_offset < end && to_offset < from_offset + len {
            return Err(FsError::Invalid);
        }
        let stretches = source.body.extents.stretches(from_offset, len);
        let body = &mut tables.change_file(to)?.body;
        body.extents.clear(to_offset, len);
        for stretch in stretches {
            if let Some(source) = stretch.source {
                body.extents.insert(to_offset + (stretch.offset - from_offset), stretch.len, source);
            }
        }
        body.size = body.size.max(end);
        Ok(len)
    }

    /// Makes everything that happened before the call durable, the whole volume in one group commit.
    ///
    /// `Some(ino)` also answers, once, for writes of that node that failed since its last `fsync`.
    /// A volume in memory has nothing below it and succeeds.
    ///
    /// # Errors
    /// `Io` when bytes or names may be missing on disk; `NotFound` for an unknown node.
    pub fn fsync(&self, ino: Option<Ino>) -> Result<(), FsError> {
        ino.map_or(Ok(()), |ino| self.tables.lock().node(ino).map(|_| ()))
    }

    /// Totals for `statfs`.
    #[must_use]
    pub fn statfs(&self) -> StatFs {
        let files = self.tables.lock().node_count() as u64;
        let free = limits::NODES_MAX as u64 - files.min(limits::NODES_MAX as u64);
        StatFs { block_bytes: 4096, blocks: 0, free: 0, files, files_free: free, name_max: 255 }
    }
}
