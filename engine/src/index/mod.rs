//! The index: the materialised state, one sealed row per node, behind one writer thread.
//!
//! SQLite holds what the journal has said so far, so that a start reads rows instead of history and
//! old journal segments can go. Rows are sealed items under opaque keys; the number of the last
//! applied batch is written in the same transaction. The index is never on the path of a write: the
//! flush leaves its items in a map (the last state of a row wins) and the writer takes the whole map
//! for one transaction. Rows are read beside it, by another connection: whoever waits for one waits for no
//! transaction. When it cannot write (a full disk), the map waits and the journal keeps its
//! segments. Losing the file loses nothing the journal or the server does not have.

mod db;
mod reader;
mod scan;
#[cfg(test)]
mod tests;

use crate::journal::Sealer;
use crate::journal::item::{Item, NodeImage};
use db::Db;
pub(crate) use db::IndexError;
use freehold_crypto::VaultKeyring;
use freehold_model::codec::{from_slice, to_vec};
use freehold_model::{FileId, RecordId};
use parking_lot::{Condvar, Mutex};
use reader::Reader;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::limits;

/// The tables of the index; the numbers bind sealed rows to their table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Table {
    /// Node images by record id.
    Nodes = 1,
    /// Sync state by number.
    Meta = 2,
    /// Signed commits on their way, by hash.
    Outbox = 3,
    /// Pinned chunks by record id.
    Pins = 4,
}

type RowKey = (Table, Vec<u8>);

/// Encoded rows to write; `None` removes.
type Unwritten = BTreeMap<RowKey, Option<Vec<u8>>>;

/// What the writer does in one round.
struct Work {
    rows: Arc<Unwritten>,
    batch: u64,
    wants_sync: bool,
    stop: bool,
}

#[derive(Default)]
struct State {
    rows: Unwritten,
    /// Those of the transaction under way.
    writing: Arc<Unwritten>,
    submitted: u64,
    applied: u64,
    durable: u64,
    wants_sync: bool,
    failed: bool,
    stop: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The index of one volume.
pub(crate) struct Index {
    shared: Arc<Shared>,
    reader: Arc<Reader>,
    keyring: Arc<VaultKeyring>,
    thread: Option<JoinHandle<()>>,
}

/// What opening the index found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded {
    /// The last batch its rows contain; 0 for a new index.
    pub(crate) applied: u64,
    /// Whether the file was new, or unreadable and set aside.
    pub(crate) is_new: bool,
}

/// Takes the rows of an index, one at a time: all of them at once may be more than memory holds.
pub(crate) trait Rows {
    /// Rows come that contain the batches up to this one.
    fn begin(&mut self, applied: u64);

    /// A row; those of nodes after all others.
    fn row(&mut self, item: Item);

    /// What came so far does not count.
    fn restart(&mut self);
}

impl Index {
    /// Opens or creates the index and hands over all rows.
    ///
    /// # Errors
    /// When the file can be neither read nor replaced.
    pub(crate) fn open(
        path: &Path,
        sealer: Arc<Sealer>,
        keyring: Arc<VaultKeyring>,
        rows: &mut dyn Rows,
    ) -> Result<(Self, Loaded), IndexError> {
        let (db, loaded) = Db::open_or_replace(path, Arc::clone(&sealer), rows)?;
        let reader = Arc::new(Reader::open(path, sealer)?);
        let state = State {
            submitted: loaded.applied,
            applied: loaded.applied,
            durable: loaded.applied,
            ..State::default()
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let (worker, idle) = (Arc::clone(&shared), Arc::clone(&reader));
        let thread = std::thread::Builder::new()
            .name("freehold-index".into())
            .spawn(move || worker.run(db, &idle))
            .map_err(|_| IndexError::Disk)?;
        Ok((Self { shared, reader, keyring, thread: Some(thread) }, loaded))
    }

    /// Leaves the items of a durable batch to the writer.
    pub(crate) fn submit(&self, batch: u64, items: &[Item]) {
        let rows: Vec<_> = items.iter().filter_map(|item| self.row(item)).collect();
        let mut state = self.shared.state.lock();
        let was_idle = state.rows.is_empty() && state.applied >= state.submitted;
        for (key, row) in rows {
            if key.0 == Table::Nodes && row.is_none() {
                state.rows.insert((Table::Pins, key.1.clone()), None);
            }
            state.rows.insert(key, row);
        }
        state.submitted = state.submitted.max(batch);
        // A writer that lets rows gather finds these as well; waking it costs more than they do.
        if was_idle {
            self.shared.changed.notify_all();
        }
    }

    /// The images of nodes, as they were submitted last; those there are. Nobody may submit one of them
    /// meanwhile. Blocks for the disk.
    ///
    /// # Errors
    /// `Disk`, `Damaged`.
    pub(crate) fn nodes(&self, files: &[FileId]) -> Result<Vec<NodeImage>, IndexError> {
        let mut keys: Vec<Vec<u8>> = files.iter().map(|file| self.record_key(file)).collect();
        let mut found = Vec::new();
        {
            let state = self.shared.state.lock();
            take_unwritten(&state.rows, &mut keys, &mut found);
            take_unwritten(&state.writing, &mut keys, &mut found);
        }
        // Whatever is in neither was committed before. In the order of the file.
        keys.sort_unstable();
        found.extend(self.reader.nodes(&keys)?);
        let images = found.iter().map(|row| match from_slice(row) {
            Ok(Item::Node(image)) => Ok(image),
            _ => Err(IndexError::Damaged),
        });
        images.collect()
    }

    /// The last batch that is in the database file for good: older journal state may go.
    pub(crate) fn durable(&self) -> u64 {
        self.shared.state.lock().durable
    }

    /// Waits until everything submitted is in the database file; false when it cannot be written.
    pub(crate) fn sync(&self) -> bool {
        let mut state = self.shared.state.lock();
        let target = state.submitted;
        state.wants_sync = true;
        state.failed = false;
        self.shared.changed.notify_all();
        while state.durable < target && !state.failed && !state.stop {
            self.shared.changed.wait(&mut state);
        }
        state.durable >= target
    }

    fn record_key(&self, file: &FileId) -> Vec<u8> {
        let id: RecordId = self.keyring.record_id(file);
        id.as_bytes().to_vec()
    }

    /// The row an item stands for.
    fn row(&self, item: &Item) -> Option<(RowKey, Option<Vec<u8>>)> {
        let encoded = || Some(to_vec(item));
        match item {
            Item::Node(image) => Some(((Table::Nodes, self.record_key(&image.file)), encoded())),
            Item::Gone(file) => Some(((Table::Nodes, self.record_key(file)), None)),
            Item::Meta { key, value } => {
                let row = if value.is_empty() { None } else { encoded() };
                Some(((Table::Meta, key.to_be_bytes().to_vec()), row))
            }
            Item::Outbox { hash, .. } => Some(((Table::Outbox, hash.as_bytes().to_vec()), encoded())),
            Item::OutboxGone(hash) => Some(((Table::Outbox, hash.as_bytes().to_vec()), None)),
            Item::Pins { file, chunks } => {
                let row = if chunks.is_empty() { None } else { encoded() };
                Some(((Table::Pins, self.record_key(file)), row))
            }
            // Bodies that are not clean live in the journal until they are cut.
            Item::Body(_) | Item::BodyGone { .. } => None,
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.shared.state.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl State {
    /// Whether somebody waits.
    const fn is_asked(&self) -> bool {
        self.wants_sync || self.stop
    }
}

/// Finds the nodes that are among rows not written yet, and leaves the other keys.
fn take_unwritten(rows: &Unwritten, keys: &mut Vec<Vec<u8>>, found: &mut Vec<Vec<u8>>) {
    keys.retain(|key| match rows.get(&(Table::Nodes, key.clone())) {
        Some(row) => {
            found.extend(row.clone());
            false
        }
        None => true,
    });
}

impl Shared {
    /// The writer: takes all rows at once, one transaction each round.
    fn run(&self, mut db: Db, reader: &Reader) {
        loop {
            let Work { rows, batch, wants_sync, stop } = self.next();
            let written = rows.is_empty() || db.apply(&rows, batch).is_ok();
            // Most of it beside the readers; the rest, with none of them, is short.
            let synced = written
                && (wants_sync || stop)
                && db.fold().is_ok()
                && reader.while_idle(|| db.checkpoint()).is_ok();
            let mut state = self.state.lock();
            let rows = std::mem::take(&mut state.writing);
            if written {
                state.applied = state.applied.max(batch);
            } else {
                tracing::warn!("the local index cannot be written; the journal keeps what it lacks");
                for (key, row) in rows.iter() {
                    state.rows.entry(key.clone()).or_insert_with(|| row.clone());
                }
            }
            if synced {
                state.durable = state.durable.max(batch);
            }
            state.failed = !written || (wants_sync && !synced);
            let done = stop && (state.rows.is_empty() || state.failed);
            self.changed.notify_all();
            if done {
                return;
            }
            if state.failed {
                self.changed.wait_for(&mut state, limits::INDEX_RETRY);
            }
        }
    }

    /// Waits for work.
    fn next(&self) -> Work {
        let mut state = self.state.lock();
        while state.rows.is_empty() && !state.is_asked() && state.applied >= state.submitted {
            self.changed.wait(&mut state);
        }
        // Let a burst gather: one transaction for many batches.
        let until = Instant::now() + limits::INDEX_GATHER;
        while !state.is_asked() && !self.changed.wait_until(&mut state, until).timed_out() {}
        let wants_sync = std::mem::take(&mut state.wants_sync);
        let rows = Arc::new(std::mem::take(&mut state.rows));
        state.writing = Arc::clone(&rows);
        Work { rows, batch: state.submitted, wants_sync, stop: state.stop }
    }
}
