//! The index: the materialised state, one sealed row per node, behind one writer thread.
//!
//! SQLite holds what the journal has said so far, so that a start reads rows instead of history and
//! old journal segments can go. Rows are sealed items under opaque keys; the number of the last
//! applied batch is written in the same transaction. The index is never on the path of a write: the
//! flush leaves its items in a map (the last state of a row wins) and the writer takes the whole map
//! for one transaction. When it cannot write (a full disk), the map waits and the journal keeps its
//! segments. Losing the file loses nothing the journal or the server does not have.

mod db;
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
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
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
    rows: Unwritten,
    reads: Vec<Read>,
    batch: u64,
    wants_sync: bool,
    stop: bool,
}

/// Rows somebody waits for.
struct Read {
    keys: Vec<Vec<u8>>,
    answer: Sender<Result<Vec<Vec<u8>>, IndexError>>,
}

#[derive(Default)]
struct State {
    rows: Unwritten,
    reads: Vec<Read>,
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
        let (db, loaded) = Db::open_or_replace(path, sealer, rows)?;
        let state = State {
            submitted: loaded.applied,
            applied: loaded.applied,
            durable: loaded.applied,
            ..State::default()
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("freehold-index".into())
            .spawn(move || worker.run(db))
            .map_err(|_| IndexError::Disk)?;
        Ok((Self { shared, keyring, thread: Some(thread) }, loaded))
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

    /// The images of nodes, as they were submitted last; those there are. Blocks for a transaction.
    ///
    /// # Errors
    /// `Disk`, `Damaged`.
    pub(crate) fn nodes(&self, files: &BTreeSet<FileId>) -> Result<Vec<NodeImage>, IndexError> {
        let mut keys: Vec<Vec<u8>> = files.iter().map(|file| self.record_key(file)).collect();
        let (answer, rows) = channel();
        let mut found = Vec::new();
        {
            let mut state = self.shared.state.lock();
            take_unwritten(&state.rows, &mut keys, &mut found);
            if keys.is_empty() {
                drop(answer);
            } else {
                // After the rows on their way to the file now.
                state.reads.push(Read { keys, answer });
            }
        }
        self.shared.changed.notify_all();
        // Nobody answers where nothing was missing.
        found.extend(rows.recv().unwrap_or_else(|_| Ok(Vec::new()))?);
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
        self.wants_sync || self.stop || !self.reads.is_empty()
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

/// Rows of nodes: those that could not be written as they are here, the others from the file.
fn read(db: &Db, unwritten: Option<&Unwritten>, mut keys: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, IndexError> {
    let mut found = Vec::new();
    if let Some(rows) = unwritten {
        take_unwritten(rows, &mut keys, &mut found);
    }
    found.extend(db.nodes(&keys)?);
    Ok(found)
}

impl Shared {
    /// The writer: takes all rows at once, one transaction each round.
    fn run(&self, mut db: Db) {
        loop {
            let Work { rows, reads, batch, wants_sync, stop } = self.next();
            let written = rows.is_empty() || db.apply(&rows, batch).is_ok();
            for Read { keys, answer } in reads {
                let read = read(&db, if written { None } else { Some(&rows) }, keys);
                // Whoever asked may have given up.
                drop(answer.send(read));
            }
            let synced = written && (wants_sync || stop) && db.checkpoint().is_ok();
            let mut state = self.state.lock();
            if written {
                state.applied = state.applied.max(batch);
            } else {
                tracing::warn!("the local index cannot be written; the journal keeps what it lacks");
                for (key, row) in rows {
                    state.rows.entry(key).or_insert(row);
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
        let (wants_sync, reads) = (std::mem::take(&mut state.wants_sync), std::mem::take(&mut state.reads));
        let rows = std::mem::take(&mut state.rows);
        Work { rows, reads, batch: state.submitted, wants_sync, stop: state.stop }
    }
}
