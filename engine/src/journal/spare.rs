//! The spare: the next journal segment, written with zeroes before anything needs it.
//!
//! A flush that makes a file longer waits for the file system's own journal as well: on ext4,
//! `fdatasync` behind 4,600 appended bytes takes 186 us, behind as many written over zeroes 85 us.
//! So the file of the next segment is made ahead of time, filled and flushed under a name of its
//! own. It becomes a segment by getting its header, then its name; batches written inside it change
//! bytes and nothing else.
//!
//! ```text
//! flush thread   create "spare" ─> zeroes, flush ─> zeroes, flush ─> ready
//! next segment                                                       header, flush ─> rename, flush the names
//! ```
//!
//! Nothing that counts is in a spare. A failure to prepare one is forgotten, and a full disk takes it
//! back first: without one, a segment grows as it is written. docs/adr/0024 has the alternatives.

use crate::limits;
use freehold_store::{Disk, DiskFile};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;

/// What a spare is called until it is a segment.
pub(crate) const NAME: &str = "spare";

/// A file of zeroes on the disk.
pub(crate) struct Room {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) len_bytes: u64,
}

#[derive(Default)]
struct State {
    /// How long the next one is to be; 0 while none is wanted.
    wanted_bytes: u64,
    file: Option<Arc<dyn DiskFile>>,
    /// Zeroes on the disk so far.
    filled_bytes: u64,
}

impl State {
    fn is_ready(&self) -> bool {
        self.file.is_some() && self.wanted_bytes > 0 && self.filled_bytes >= self.wanted_bytes
    }
}

/// At most one spare. One thread prepares it; anyone may take it or give it up.
pub(crate) struct Spare {
    disk: Arc<dyn Disk>,
    state: Mutex<State>,
}

impl Spare {
    /// Wants a small one for the first segment. What an earlier run left is removed.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        if disk.list()?.iter().any(|name| name == NAME) {
            disk.remove(NAME)?;
        }
        let state = State { wanted_bytes: limits::SPARE_BYTES_MIN, ..State::default() };
        Ok(Self { disk, state: Mutex::new(state) })
    }

    /// Asks for the next spare; whether none was asked for before.
    pub(crate) fn want(&self, len_bytes: u64) -> bool {
        let mut state = self.state.lock();
        let is_new = state.wanted_bytes == 0;
        if is_new {
            state.wanted_bytes = len_bytes;
        }
        is_new
    }

    /// How long the spare is to be that is not ready yet.
    pub(crate) fn missing(&self) -> Option<u64> {
        let state = self.state.lock();
        (state.wanted_bytes > 0 && !state.is_ready()).then_some(state.wanted_bytes)
    }

    /// Writes and flushes the next zeroes; whether more are missing.
    ///
    /// # Errors
    /// As the disk says. Nothing is left of the spare then.
    pub(crate) fn fill(&self) -> io::Result<bool> {
        let filled = self.try_fill();
        if filled.is_err() && !self.give_up() {
            // It could not even be created, perhaps for what was left of one.
            self.discard();
        }
        filled
    }

    fn try_fill(&self) -> io::Result<bool> {
        let Some(file) = self.begin()? else { return Ok(false) };
        let (start, end) = {
            let state = self.state.lock();
            (state.filled_bytes, state.wanted_bytes.min(state.filled_bytes + limits::SPARE_STEP_BYTES))
        };
        let zeroes = vec![0; usize::try_from(end.saturating_sub(start)).map_err(io::Error::other)?];
        file.write_all_at(start, &zeroes)?;
        file.sync_data()?;
        let mut state = self.state.lock();
        // It may have been given up meanwhile.
        if !state.file.as_ref().is_some_and(|current| Arc::ptr_eq(current, &file)) {
            return Ok(false);
        }
        state.filled_bytes = end;
        Ok(!state.is_ready())
    }

    /// The file to fill, created when there is none.
    fn begin(&self) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let mut state = self.state.lock();
        if state.wanted_bytes == 0 || state.is_ready() {
            return Ok(None);
        }
        if state.file.is_none() {
            (state.file, state.filled_bytes) = (Some(self.disk.create(NAME)?), 0);
        }
        Ok(state.file.clone())
    }

    /// Whether [`take`](Self::take) has one to give.
    pub(crate) fn is_ready(&self) -> bool {
        self.state.lock().is_ready()
    }

    /// Hands the spare over, if it is ready; none is wanted from here on.
    pub(crate) fn take(&self) -> Option<Room> {
        let mut state = self.state.lock();
        if !state.is_ready() {
            return None;
        }
        let State { file, filled_bytes, .. } = std::mem::take(&mut *state);
        file.map(|file| Room { file, len_bytes: filled_bytes })
    }

    /// Gives the blocks of the spare back; whether there was one.
    pub(crate) fn give_up(&self) -> bool {
        let mut state = self.state.lock();
        let had_one = state.file.take().is_some();
        if had_one {
            // Under the lock, like creation: the name is this one's and not already the next one's.
            self.discard();
        }
        had_one
    }

    /// Removes the file of a spare that nobody has.
    pub(crate) fn discard(&self) {
        match self.disk.remove(NAME) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!(%error, "a spare segment of the journal could not be removed");
            }
            _ => {}
        }
    }
}
