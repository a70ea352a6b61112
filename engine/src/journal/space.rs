//! The reservation: why a full disk stops writers and never the journal.
//!
//! A file of allocated but unused blocks is kept on the disk. Writes and creates are admitted only
//! while it exists and room is left besides it; when something fills the disk all the same, the
//! file is given up and its blocks carry the journal through deletes, renames and flushes. It is
//! allocated again, and writers are let in again, once there is room. A spare journal segment is
//! prepared only where there is plenty, and given up before anybody hears that the disk is full.

use crate::journal::spare::Spare;
use crate::{FsError, limits};
use freehold_store::Disk;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;

const NAME: &str = "reserve";

/// Whether an error says that the disk or the quota is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

struct State {
    held: bool,
    /// Free bytes when last asked, less what was admitted since.
    free_bytes: u64,
    /// Bytes admitted since the disk was last asked.
    since_bytes: u64,
}

impl State {
    fn has_room(&self, len: u64) -> bool {
        self.held && self.free_bytes >= len.saturating_add(limits::RESERVE_MARGIN_BYTES)
    }
}

/// Admits writes against the free space of the disk.
pub(crate) struct Space {
    disk: Arc<dyn Disk>,
    reserve_bytes: u64,
    state: Mutex<State>,
    /// The next journal segment. Locked after the state.
    pub(crate) spare: Spare,
}

impl Space {
    /// Takes the reservation if there is room for it.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let total = disk.space()?.total_bytes;
        let reserve_bytes = (total / 50).clamp(limits::RESERVE_BYTES_MIN, limits::RESERVE_BYTES_MAX);
        let state = State { held: false, free_bytes: 0, since_bytes: u64::MAX };
        let spare = Spare::open(Arc::clone(&disk))?;
        let space = Self { disk, reserve_bytes, state: Mutex::new(state), spare };
        // Left over from an earlier run, it is counted neither as free nor as held.
        if space.disk.list()?.iter().any(|name| name == NAME) {
            space.disk.remove(NAME)?;
        }
        space.take(&mut space.state.lock());
        Ok(space)
    }

    /// Whether `len` more bytes may be written.
    ///
    /// # Errors
    /// `NoSpace`.
    pub(crate) fn admit(&self, len: u64) -> Result<(), FsError> {
        let mut state = self.state.lock();
        if state.since_bytes >= limits::SPACE_SAMPLE_BYTES
            || state.free_bytes < len.saturating_add(limits::RESERVE_MARGIN_BYTES)
            || !state.held
        {
            self.sample(&mut state);
        }
        if !state.held {
            self.take(&mut state);
        }
        if !state.has_room(len) && self.spare.give_up() {
            self.sample(&mut state);
        }
        if !state.has_room(len) {
            return Err(FsError::NoSpace);
        }
        state.free_bytes -= len;
        state.since_bytes = state.since_bytes.saturating_add(len);
        Ok(())
    }

    /// Whether `len` bytes could be written now, without taking them.
    ///
    /// # Errors
    /// `NoSpace`.
    pub(crate) fn check(&self, len: u64) -> Result<(), FsError> {
        let mut state = self.state.lock();
        self.sample(&mut state);
        if state.has_room(len) { Ok(()) } else { Err(FsError::NoSpace) }
    }

    /// Prepares more of the spare, if one is wanted and there is plenty of room; whether more of it is
    /// missing. A failure costs nothing but time.
    pub(crate) fn prepare(&self) -> bool {
        let Some(len) = self.spare.missing() else { return false };
        if self.check(len.saturating_mul(limits::SPARE_SHARE)).is_err() {
            return false;
        }
        self.spare.fill().unwrap_or_else(|error| {
            tracing::debug!(%error, "the next segment of the journal was not prepared");
            false
        })
    }

    /// Runs a disk write; when the disk is full, gives the spare up, then the reservation, and tries
    /// again after each.
    pub(crate) fn write<T>(&self, mut write: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let tried = match write() {
            Err(error) if is_full(&error) && self.spare.give_up() => write(),
            done => done,
        };
        match tried {
            Err(error) if is_full(&error) => {
                let mut state = self.state.lock();
                if !std::mem::take(&mut state.held) {
                    return Err(error);
                }
                self.disk.remove(NAME)?;
                drop(state);
                write()
            }
            done => done,
        }
    }

    /// Total bytes of the disk and bytes a writer can still take.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let mut state = self.state.lock();
        self.sample(&mut state);
        let total = self.disk.space().map_or(0, |space| space.total_bytes);
        let free = if state.held { state.free_bytes } else { 0 };
        (total, free.saturating_sub(limits::RESERVE_MARGIN_BYTES))
    }

    fn sample(&self, state: &mut State) {
        // A disk that cannot say counts as full: refusing a write is better than losing one.
        state.free_bytes = self.disk.space().map_or(0, |space| space.free_bytes);
        state.since_bytes = 0;
    }

    fn take(&self, state: &mut State) {
        self.sample(state);
        if state.free_bytes < self.reserve_bytes + limits::RESERVE_MARGIN_BYTES {
            return;
        }
        let taken = self.disk.create(NAME).and_then(|file| file.reserve(self.reserve_bytes));
        match taken {
            Ok(()) => state.held = true,
            // Another writer was faster; the next admission tries again.
            Err(_) => drop(self.disk.remove(NAME)),
        }
        self.sample(state);
    }
}
