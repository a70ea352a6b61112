//! The flush: group commit, its failures, and what may be deleted afterwards.
//!
//! One thread at a time flushes; whoever waits for the lock finds, once it has it, that the flush
//! before took its changes along. Lock order: flusher, then tables, then segments.

use crate::body::piece::Place;
use crate::journal::item::Item;
use crate::journal::writer::{JournalWriter, Written};
use crate::journal::{Segment, SegmentKind, Segments};
use crate::tables::Tables;
use crate::volume::batch::Snapshot;
use crate::volume::{Local, Volume};
use crate::{FsError, Ino, limits};
use freehold_model::codec::to_vec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// What the flushing thread owns.
pub(crate) struct Flusher {
    pub(crate) writer: JournalWriter,
    /// How far the tables had come at the last durable batch.
    pub(crate) flushed_op: u64,
    /// The last batch in each journal segment.
    pub(crate) last_batch: BTreeMap<u64, u64>,
}

impl Volume {
    /// Makes everything that happened before the call durable, the whole volume in one group commit.
    ///
    /// `Some(ino)` also answers, once, for writes of that node that failed since its last `fsync`.
    /// A volume in memory has nothing below it and succeeds.
    ///
    /// # Errors
    /// `Io` or `NoSpace` when bytes or names may be missing on disk; `NotFound` for an unknown node.
    pub fn fsync(&self, ino: Option<Ino>) -> Result<(), FsError> {
        let flushed = self.flush();
        let Some(ino) = ino else { return flushed };
        let mut tables = self.tables.lock();
        if tables.asleep.at(ino).is_some() {
            // What failed does not sleep.
            return flushed;
        }
        let poisoned = tables.node(ino)?.poisoned;
        if poisoned && let Some(node) = tables.nodes.get_mut(ino) {
            node.poisoned = false;
        }
        flushed?;
        if poisoned { Err(FsError::Io) } else { Ok(()) }
    }

    /// Writes a batch unless everything up to now is durable already.
    pub(crate) fn flush(&self) -> Result<(), FsError> {
        let Some(local) = &self.local else { return Ok(()) };
        let target = self.tables.lock().op;
        let mut flusher = local.flusher.lock();
        if flusher.flushed_op >= target {
            return Ok(());
        }
        self.flush_with(local, &mut flusher)
    }

    fn flush_with(&self, local: &Local, flusher: &mut Flusher) -> Result<(), FsError> {
        let (snapshot, idle) = {
            let mut tables = self.tables.lock();
            let snapshot = Snapshot::take(&mut tables, flusher.writer.opens_segment());
            (snapshot, idle_staging(local))
        };
        let op = snapshot.op;
        if snapshot.is_empty() {
            flusher.flushed_op = op;
            return Ok(());
        }
        match self.write_batch(local, flusher, &snapshot) {
            Ok((written, items)) => {
                flusher.flushed_op = op;
                flusher.last_batch.insert(written.segment, written.batch);
                if written.runs_out {
                    self.ticker.hurry();
                }
                snapshot.written(&mut self.tables.lock(), written.segment);
                if let Some(index) = &local.index {
                    index.submit(written.batch, &items);
                }
                remove_segments(local, idle);
                Ok(())
            }
            Err(error) => {
                tracing::error!(
                    "a flush of the journal failed; fsync reports it and the state is written again"
                );
                snapshot.failed(&mut self.tables.lock(), true);
                Err(error)
            }
        }
    }

    /// Pieces, then the batch. Small batches carry their pieces with them.
    fn write_batch(
        &self,
        local: &Local,
        flusher: &mut Flusher,
        snapshot: &Snapshot,
    ) -> Result<(Written, Vec<Item>), FsError> {
        let pieces = snapshot.pieces();
        let total: usize = pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        let is_small = total <= limits::FLUSH_INLINE_BYTES_MAX;
        if !is_small {
            let bytes: Vec<_> = pieces.iter().map(|(_, bytes)| bytes).collect();
            // What is placed stays placed, also when the disk is full before the last one.
            local.staging.append_all(&bytes, |index, loc| {
                if let Some((piece, _)) = pieces.get(index) {
                    piece.set_place(Place::Stored(loc));
                }
            })?;
        }
        if let Err(failed) = local.staging.sync() {
            self.rescue(local, &failed);
            return Err(FsError::Io);
        }
        let inline: Vec<_> =
            if is_small { pieces.iter().map(|(_, bytes)| bytes.clone()).collect() } else { Vec::new() };
        let (mut items, mut stored) = (Vec::new(), Vec::new());
        let written = flusher.writer.write(&inline, |locs| {
            // The items name the places, but nothing is there yet: whoever reads meanwhile gets the bytes.
            for ((piece, bytes), loc) in pieces.iter().zip(locs) {
                piece.set_place(Place::Leaving(bytes.clone(), loc.clone()));
            }
            stored = locs.to_vec();
            items = snapshot.items();
            items.iter().map(to_vec).collect()
        });
        match written {
            Ok(written) => {
                for ((piece, _), loc) in pieces.iter().zip(stored) {
                    piece.set_place(Place::Stored(loc));
                }
                Ok((written, items))
            }
            Err(error) => {
                // What went into the failed segment is not there; the bytes are still at hand.
                if is_small {
                    pieces.into_iter().for_each(|(piece, bytes)| piece.set_place(Place::Memory(bytes)));
                }
                Err(error)
            }
        }
    }

    /// After a failed staging flush: reads back what still can be read and stores it elsewhere. What
    /// cannot is lost, and reads of it say so. Every file with bytes there reports at its `fsync`.
    fn rescue(&self, local: &Local, failed: &[Arc<Segment>]) {
        let numbers: BTreeSet<u64> = failed.iter().map(|segment| segment.number).collect();
        let mut tables = self.tables.lock();
        let uncut: Vec<Ino> = tables.uncut.iter().copied().collect();
        for ino in uncut {
            let Some(node) = tables.nodes.get_mut(ino) else { continue };
            let mut touched = false;
            for piece in node.body.extents.pieces() {
                let Place::Stored(loc) = piece.place() else { continue };
                if !numbers.contains(&loc.segment.number) {
                    continue;
                }
                touched = true;
                let moved = loc.read(&local.sealer).and_then(|plain| local.staging.append(&plain));
                piece.set_place(moved.map_or(Place::Lost, Place::Stored));
            }
            if touched {
                node.poisoned = true;
                node.body.log.rewrite();
                tables.dirty.insert(ino);
                tables.op += 1;
            }
        }
    }

    /// What the flush thread does every interval: flush, prepare, compact, delete.
    pub(crate) fn tend(&self) {
        // A failure has been logged and poisoned what it touched; the next round tries again.
        if self.flush().is_err() {
            return;
        }
        self.prepare();
        self.show_again();
        let Some(local) = &self.local else { return };
        let segments = journal_segments(local);
        if segments.len() > limits::JOURNAL_SEGMENTS_MAX
            && let Some(oldest) = segments.first()
        {
            self.compact(local, *oldest);
            if self.flush().is_err() {
                return;
            }
        }
        self.collect(local);
        self.count_residence();
        self.rest(local);
    }

    /// Packs the nodes that too many are open of, and puts to sleep those that too many are packed of, a
    /// lock for each slice of them.
    fn rest(&self, local: &Local) {
        let surplus = self.tables.lock().nodes.surplus();
        for at in (0..surplus).step_by(limits::PACKED_AT_ONCE) {
            let _no_flush = local.flusher.lock();
            self.tables.lock().pack(limits::PACKED_AT_ONCE.min(surplus - at));
        }
        let crowd = self.tables.lock().nodes.crowd().min(limits::RESTED_PER_ROUND);
        for at in (0..crowd).step_by(limits::PACKED_AT_ONCE) {
            let _no_flush = local.flusher.lock();
            self.tables.lock().rest(limits::PACKED_AT_ONCE.min(crowd - at));
        }
    }

    /// Prepares the next journal segment, if one is wanted. A slow disk does it in several rounds.
    pub(crate) fn prepare(&self) {
        let Some(local) = &self.local else { return };
        let until = Instant::now() + limits::FLUSH_INTERVAL / 2;
        while local.space.prepare() && Instant::now() < until {}
    }

    /// Makes everything that is still live in a segment due again.
    fn compact(&self, local: &Local, segment: u64) {
        let mut tables = self.tables.lock();
        let tables = &mut *tables;
        let involved: BTreeSet<Ino> = tables.waiting.union(&tables.uncut).copied().collect();
        for ino in involved {
            let Some(node) = tables.nodes.get_mut(ino) else { continue };
            let mut live = node.sync.image_segment == segment;
            if node.body.log.segment == Some(segment) {
                node.body.log.rewrite();
                live = true;
            }
            for piece in node.body.extents.pieces() {
                if let Place::Stored(loc) = piece.place()
                    && loc.segment.number == segment
                    && let Ok(moved) = loc.read(&local.sealer).and_then(|plain| local.staging.append(&plain))
                {
                    piece.set_place(Place::Stored(moved));
                    node.body.log.rewrite();
                    live = true;
                }
            }
            if live {
                tables.dirty.insert(ino);
                tables.op += 1;
            }
        }
        let old = tables.outbox.iter().filter(|entry| entry.segment == segment);
        let again: Vec<Item> = old.map(crate::tables::sync::OutboxEntry::item).collect();
        tables.op += again.len() as u64;
        tables.pending.extend(again);
    }

    /// Deletes the oldest journal segments that nothing needs any more.
    fn collect(&self, local: &Local) {
        let Some(index) = &local.index else { return };
        let (removable, last) = {
            let flusher = local.flusher.lock();
            let floor = needed_from(&self.tables.lock(), flusher.writer.current());
            let segments = local.segments.lock();
            let old = segments.of(SegmentKind::Journal);
            let spent = old.take_while(|segment| segment.number < floor && !Segments::is_held(segment));
            let removable: Vec<u64> = spent.map(|segment| segment.number).collect();
            let last = removable.last().and_then(|newest| flusher.last_batch.range(..=newest).next_back());
            let last = last.map_or(0, |(_, batch)| *batch);
            (removable, last)
        };
        // Nothing is locked here: the index may take its time. What is spent stays spent.
        if removable.is_empty() || !(index.durable() >= last || index.sync()) {
            return;
        }
        let batches = &mut local.flusher.lock().last_batch;
        for segment in &removable {
            batches.remove(segment);
        }
        remove_segments(local, removable);
    }
}

/// The oldest journal segment whose state is not in the index or on the server for good.
fn needed_from(tables: &Tables, current: Option<u64>) -> u64 {
    let Some(current) = current else { return 0 };
    // Dirty ones too: that a body is clean again may not be durable yet.
    let inos = tables.waiting.iter().chain(&tables.uncut).chain(&tables.dirty);
    let nodes = inos.filter_map(|ino| tables.nodes.get(*ino));
    let states = nodes.flat_map(|node| {
        let image = node.sync.is_waiting().then_some(node.sync.image_segment).filter(|segment| *segment > 0);
        image.into_iter().chain(node.body.log.segment)
    });
    let outbox = tables.outbox.iter().map(|entry| entry.segment).filter(|segment| *segment > 0);
    states.chain(outbox).min().map_or(current, |oldest| oldest.min(current))
}

fn journal_segments(local: &Local) -> Vec<u64> {
    local.segments.lock().of(SegmentKind::Journal).map(|segment| segment.number).collect()
}

/// Staging segments no extent shows. Taken together with a snapshot: once that is durable, no
/// durable state needs them either.
fn idle_staging(local: &Local) -> Vec<u64> {
    let current = local.staging.current();
    let segments = local.segments.lock();
    let idle = segments.of(SegmentKind::Staging).filter(|segment| Some(segment.number) != current);
    idle.filter(|segment| !Segments::is_held(segment)).map(|segment| segment.number).collect()
}

fn remove_segments(local: &Local, numbers: Vec<u64>) {
    let mut segments = local.segments.lock();
    for number in numbers {
        if segments.remove(number).is_err() {
            tracing::warn!("a spent segment of the journal directory could not be removed");
        }
    }
}
