//! The tables' side of sending: what waits, what goes in a commit, what the server has for good.
//!
//! A body is cut first, which gives the record a new content; records are handed out in batches, in
//! the order of their oldest unsent change, so that a directory never travels after its entries. A
//! file without any version waits for its cut, and the deletion of what it replaced waits with it:
//! no other device ever sees the old one gone and the new one empty.

use crate::journal::item::Item;
use crate::tables::Tables;
use crate::tables::node::{Node, record_time};
use crate::{Ino, Kind, Notice, Time, limits};
use freehold_model::{ChunkId, CommitHash, FileId, VersionHash};
use freehold_vault::Profile;
use freehold_vault::record::{self, Record};
use std::collections::BTreeSet;
use std::ops::Range;

/// One record of a batch.
#[derive(Clone, Debug)]
pub struct BatchRecord {
    /// The node.
    pub file: FileId,
    /// Its state.
    pub record: Record,
    /// The versions this state supersedes.
    pub supersedes: Vec<VersionHash>,
    writes: u64,
}

/// Records for one commit.
#[derive(Clone, Debug)]
pub struct Batch {
    /// At least one record.
    pub records: Vec<BatchRecord>,
    /// Every own dot up to this one is in this batch or was in an earlier one.
    pub covers: u64,
    /// The own write counter when the batch was taken.
    taken_at: u64,
}

/// A commit that was built and signed from a batch.
#[derive(Clone, Debug)]
pub struct SignedCommit {
    /// Its hash.
    pub hash: CommitHash,
    /// Its bytes.
    pub commit: Vec<u8>,
    /// Whatever must travel with it (sealed records, reference lists), as the transfer encodes it.
    pub payload: Vec<u8>,
    /// The version of each record of the batch.
    pub versions: Vec<(FileId, VersionHash)>,
}

/// A signed commit on its way.
#[derive(Clone, Debug)]
pub struct OutboxEntry {
    /// Its hash.
    pub hash: CommitHash,
    /// Its bytes.
    pub commit: Vec<u8>,
    /// What must travel with it, as the transfer encoded it.
    pub payload: Vec<u8>,
    /// The journal segment it was written to.
    pub(crate) segment: u64,
}

impl OutboxEntry {
    pub(crate) fn item(&self) -> Item {
        Item::Outbox { hash: self.hash, commit: self.commit.clone(), payload: self.payload.clone() }
    }
}

/// What is not on the server for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Files with bytes that are in no version.
    pub dirty_bodies: usize,
    /// Bytes of those files.
    pub dirty_bytes: u64,
    /// Records with changes that are in no commit.
    pub dirty_records: usize,
    /// Nodes with versions that are not placed.
    pub unplaced: usize,
    /// When the oldest byte that is in no version was written, in milliseconds since 1970.
    pub oldest_write_ms: Option<u64>,
}

/// Names a cut: which body, at which of its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutToken {
    pub(crate) ino: Ino,
    pub(crate) writes: u64,
    pub(crate) mtime: Time,
}

/// What became of a finished cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutOutcome {
    /// The version is in the record.
    Installed,
    /// The version is in the record, and newer bytes wait for the next cut.
    InstalledWithNewer,
    /// The file is gone; the chunks serve nobody.
    Gone,
}

impl Node {
    /// Whether the record must wait for the body's first version.
    fn is_held(&self) -> bool {
        self.body.is_dirty() && !self.sync.is_known() && !self.sync.has_version && !self.is_deleted()
    }

    /// Whether the record has a change that will travel. A file that was unlinked before any other
    /// device heard of it lives on here for those who have it open, and nowhere else.
    fn is_unsent(&self) -> bool {
        self.sync.dirty_since != 0 && (!self.is_deleted() || self.sync.is_known())
    }
}

impl Tables {
    /// A dirty body that is due for cutting.
    pub(crate) fn due_for_cut(&self, now_ms: u64, force: bool) -> Option<Ino> {
        let quiet = u64::try_from(limits::CUT_QUIET.as_millis()).unwrap_or(u64::MAX);
        let flood = u64::try_from(limits::CUT_FLOOD.as_millis()).unwrap_or(u64::MAX);
        let busy = u64::try_from(limits::CUT_BUSY.as_millis()).unwrap_or(u64::MAX);
        self.uncut.iter().copied().find(|ino| {
            self.nodes.get(*ino).is_some_and(|node| {
                let body = &node.body;
                let of_flood = body.is_closed && body.may_wait && !self.burst.is_over(now_ms);
                let due = force
                    || body.is_closed && !of_flood
                    || now_ms.saturating_sub(body.last_write_ms) >= if of_flood { flood } else { quiet }
                    || now_ms.saturating_sub(body.first_write_ms) >= busy;
                due && !body.in_cut && !body.is_damaged() && !node.is_deleted()
            })
        })
    }

    /// A body that is still being written, a range of it to seal, and what that is cut by: `choose` says it for a file
    /// whose content before was cut by a profile.
    pub(crate) fn due_ahead(
        &mut self,
        choose: impl Fn(Option<Profile>) -> Profile,
    ) -> Option<(Ino, Range<u64>, Profile)> {
        for ino in &self.uncut {
            let Some(node) = self.nodes.get_mut(*ino) else { continue };
            if node.body.is_closed || node.body.in_cut {
                continue;
            }
            let before = node.record.newest_content().and_then(|content| match &content.body {
                record::Body::Chunked(chunked) => Profile::from_number(chunked.profile),
                record::Body::Inline(_) => None,
            });
            let (body, profile) = (&mut node.body, choose(before));
            if let Some(range) = body.ahead.begin(&body.extents, profile) {
                return Some((*ino, range, profile));
            }
        }
        None
    }

    /// A program closed a file; whether its body is due for cutting now.
    pub(crate) fn closed(&mut self, ino: Ino) -> bool {
        if !self.uncut.contains(&ino) {
            return false;
        }
        let Some(node) = self.nodes.get_mut(ino).filter(|node| node.body.is_dirty()) else { return false };
        let is_due = self.burst.close(self.now.millis());
        node.body.is_closed = true;
        node.body.may_wait = !is_due;
        is_due
    }

    /// Installs a version made from a snapshot of a body.
    pub(crate) fn finish_cut(
        &mut self,
        token: &CutToken,
        content: record::Body,
        pins: Vec<ChunkId>,
        notices: &mut BTreeSet<Notice>,
    ) -> CutOutcome {
        let Some(node) = self.nodes.get_mut(token.ino) else { return CutOutcome::Gone };
        node.body.in_cut = false;
        let mut ahead = std::mem::take(&mut node.body.ahead);
        if node.is_deleted() {
            return CutOutcome::Gone;
        }
        let target = self.successor(token.ino);
        let stamp = self.stamp();
        let Some(node) = self.nodes.get_mut(token.ino) else { return CutOutcome::Gone };
        let is_whole = node.body.writes == token.writes;
        // An edit on an old base makes its version there; the merge then keeps both contents.
        let mut fork = match (&node.body.base, target == token.ino) {
            (Some(base), _) => (**base).clone(),
            (None, _) => node.record.clone(),
        };
        if fork.set_content(content, record_time(token.mtime), stamp).is_err() {
            return CutOutcome::Gone;
        }
        let own = fork.contents().iter().find(|own| own.stamp.dot == stamp.dot).cloned();
        let Some(own) = own else { return CutOutcome::Gone };
        if is_whole {
            node.body.settle(&own);
        } else {
            node.body.shown = Some(own.stamp.dot);
            ahead.named();
            node.body.ahead = ahead;
            node.body.first_write_ms = self.now.millis();
            node.body.base =
                (node.body.base.is_some() || target != token.ino).then(|| Box::new(fork.clone()));
        }
        if is_whole {
            self.uncut.remove(&token.ino);
        }
        self.dirty.insert(token.ino);
        self.install(target, &fork, stamp, pins, notices);
        if target != token.ino {
            self.reap(token.ino);
        }
        if is_whole { CutOutcome::Installed } else { CutOutcome::InstalledWithNewer }
    }

    /// Merges a record with a new own content into the node that shows the file.
    fn install(
        &mut self,
        ino: Ino,
        fork: &Record,
        stamp: freehold_model::Stamp,
        pins: Vec<ChunkId>,
        notices: &mut BTreeSet<Notice>,
    ) {
        let Ok(node) = self.change_record(ino, stamp) else { return };
        // Both sides of the merge are this node's own records; only a hostile one could not merge,
        // and those were refused when they came in.
        let Ok(merged) = node.record.merge(fork) else { return };
        let old = std::mem::replace(&mut node.record, merged);
        node.sync.has_version = true;
        node.sync.pins.extend(pins);
        let item = Item::Pins { file: node.file(), chunks: node.sync.pins.clone() };
        let is_conflict = node.record.contents().len() > 1;
        self.pending.push(item);
        self.follow_content(ino, old, notices);
        if is_conflict || !self.is_plain {
            self.show_or_leave(notices);
        }
    }

    /// Takes records for a commit, oldest change first; `None` when none may travel.
    pub(crate) fn take_batch(&mut self, max_entries: usize, max_bytes: usize) -> Option<Batch> {
        let mut order: Vec<(u64, Ino)> = Vec::new();
        for ino in &self.waiting {
            let Some(node) = self.nodes.get(*ino).filter(|node| node.is_unsent()) else { continue };
            order.push((node.sync.dirty_since, *ino));
        }
        order.sort_unstable();
        let (mut records, mut bytes, mut covers) = (Vec::new(), 0, self.write_seq);
        for (since, ino) in order {
            let Some(node) = self.nodes.get(ino) else { continue };
            let waits_for = node.sync.replaced_by.and_then(|by| self.nodes.get(by));
            let is_held = node.sync.in_batch || node.is_held() || waits_for.is_some_and(Node::is_held);
            let len = if is_held { 0 } else { node.record.to_bytes().len() };
            if is_held || records.len() >= max_entries || (bytes + len > max_bytes && !records.is_empty()) {
                covers = covers.min(since - 1);
                continue;
            }
            bytes += len;
            records.push(BatchRecord {
                file: node.file(),
                record: node.record.clone(),
                supersedes: node.sync.heads.clone(),
                writes: node.sync.writes,
            });
            if let Some(node) = self.nodes.get_mut(ino) {
                node.sync.in_batch = true;
            }
        }
        (!records.is_empty()).then_some(Batch { records, covers, taken_at: self.write_seq })
    }

    /// Gives a batch back that was not committed.
    pub(crate) fn return_batch(&mut self, batch: &Batch) {
        for record in &batch.records {
            if let Some(node) = self.by_file.get(&record.file).and_then(|ino| self.nodes.get_mut(*ino)) {
                node.sync.in_batch = false;
            }
        }
    }

    /// Notes a signed commit: it is on its way, and its records have new heads.
    pub(crate) fn commit_written(&mut self, batch: &Batch, signed: SignedCommit) {
        for (file, version) in &signed.versions {
            let Some(sent) = batch.records.iter().find(|record| record.file == *file) else { continue };
            let Some(ino) = self.by_file.get(file).copied() else { continue };
            let Some(node) = self.nodes.get_mut(ino) else { continue };
            let sync = &mut node.sync;
            sync.in_batch = false;
            // Changes since then have later dots than any in the batch.
            sync.dirty_since = if sync.writes == sent.writes { 0 } else { batch.taken_at + 1 };
            sync.heads.retain(|head| !sent.supersedes.contains(head));
            sync.heads.reserve_exact(1);
            sync.heads.push(*version);
            sync.unplaced.push(*version);
            sync.replaced_by = None;
            self.by_version.insert(*version, *file);
            self.dirty.insert(ino);
        }
        self.op += 1;
        let SignedCommit { hash, commit, payload, .. } = signed;
        let entry = OutboxEntry { hash, commit, payload, segment: 0 };
        self.pending.push(entry.item());
        self.outbox.push(entry);
    }

    /// Notes that the server numbered a commit.
    pub(crate) fn commit_numbered(&mut self, hash: CommitHash) {
        if let Some(index) = self.outbox.iter().position(|known| known.hash == hash) {
            self.outbox.remove(index);
            self.pending.push(Item::OutboxGone(hash));
            self.op += 1;
        }
    }

    /// Notes versions whose chunks the policy's nodes hold; the chunks that need no pin any more.
    pub(crate) fn versions_placed(&mut self, versions: &[VersionHash]) -> Vec<ChunkId> {
        let mut free = Vec::new();
        for version in versions {
            let Some(ino) = self.by_version.get(version).and_then(|file| self.by_file.get(file)).copied()
            else {
                continue;
            };
            let Some(node) = self.nodes.get_mut(ino) else { continue };
            let Some(index) = node.sync.unplaced.iter().position(|known| known == version) else { continue };
            // An older version that was superseded meanwhile is of no interest any more.
            for done in node.sync.unplaced.drain(..=index) {
                self.by_version.remove(&done);
            }
            self.op += 1;
            self.dirty.insert(ino);
            if !node.sync.is_waiting() && !node.sync.pins.is_empty() {
                free.append(&mut node.sync.pins);
                self.pending.push(Item::Pins { file: node.file(), chunks: Vec::new() });
            }
            self.update_waiting(ino);
        }
        free
    }

    /// The chunks that versions of this device need pinned until they are placed.
    pub(crate) fn pins(&self) -> BTreeSet<ChunkId> {
        self.nodes.open().flat_map(|node| node.sync.pins.iter().copied()).collect()
    }

    /// Keeps the list of waiting nodes true.
    pub(crate) fn update_waiting(&mut self, ino: Ino) {
        let waits = self.nodes.get(ino).is_some_and(|node| node.sync.is_waiting() || node.body.is_dirty());
        if waits {
            self.waiting.insert(ino)
        } else {
            self.waiting.remove(&ino)
        };
    }

    /// What is not on the server for good.
    #[must_use]
    pub fn pending(&self) -> Pending {
        let mut pending = Pending::default();
        for node in self.waiting.iter().filter_map(|ino| self.nodes.get(*ino)) {
            if node.body.is_dirty() && !node.is_deleted() {
                pending.dirty_bodies += 1;
                pending.dirty_bytes += node.body.size;
                let oldest = pending.oldest_write_ms.unwrap_or(u64::MAX);
                pending.oldest_write_ms = Some(oldest.min(node.body.first_write_ms));
            }
            pending.dirty_records += usize::from(node.is_unsent());
            pending.unplaced += usize::from(!node.sync.unplaced.is_empty());
        }
        pending
    }

    /// The sync state of a node, for the status attributes.
    #[must_use]
    pub fn sync_state(&self, ino: Ino) -> Option<crate::NodeState> {
        let node = self.nodes.peek(ino)?;
        Some(if node.kind() == Kind::File && node.body.is_damaged() {
            crate::NodeState::Damaged
        } else if node.sync.is_waiting() || node.body.is_dirty() {
            crate::NodeState::Waiting
        } else {
            crate::NodeState::Synced
        })
    }

    /// Versions of a node that nothing known supersedes.
    #[must_use]
    pub fn heads(&self, file: &FileId) -> &[VersionHash] {
        let node = self.by_file.get(file).and_then(|ino| self.nodes.get(*ino));
        node.map(|node| &*node.sync.heads).or_else(|| self.asleep.heads(file)).unwrap_or_default()
    }

    /// Every node's file id with its heads, in no order: what the heads root is made from.
    pub fn all_heads(&self) -> impl Iterator<Item = (FileId, Vec<VersionHash>)> {
        let heads = self.by_file.iter().map(|(file, ino)| (*file, self.nodes.heads(*ino)));
        let asleep = self.asleep.all_heads().map(|(file, heads)| (*file, heads.to_vec()));
        heads.chain(asleep).filter(|(_, heads)| !heads.is_empty())
    }

    /// Starts another life of this device: unsent changes go out again under it.
    ///
    /// Commits on their way were signed by the old life and are forgotten; their records are due
    /// again, under a new stamp, so that no dot of the old life that a clone may have used counts.
    pub(crate) fn begin_incarnation(&mut self, incarnation: u32) {
        self.author.incarnation = incarnation;
        self.write_seq = 0;
        self.op += 1;
        for entry in std::mem::take(&mut self.outbox) {
            self.pending.push(Item::OutboxGone(entry.hash));
        }
        let unsent: Vec<Ino> = self.waiting.iter().copied().collect();
        for ino in unsent {
            let Some(node) = self.nodes.get_mut(ino).filter(|node| node.sync.is_waiting()) else { continue };
            let unplaced = std::mem::take(&mut node.sync.unplaced);
            node.sync.heads.retain(|head| !unplaced.contains(head));
            node.sync.in_batch = false;
            node.sync.dirty_since = 0;
            for version in &unplaced {
                self.by_version.remove(version);
            }
            self.write_again(ino);
        }
    }

    /// Commits on their way, in the order they were written.
    #[must_use]
    pub fn outbox(&self) -> &[OutboxEntry] {
        &self.outbox
    }

    /// Sets the name a device has in conflict names: the label of its certificate.
    pub fn set_label(&mut self, device: freehold_model::DeviceId, label: String) {
        self.labels.insert(device, label);
    }

    /// The file id of a node.
    #[must_use]
    pub fn file_id(&self, ino: Ino) -> Option<FileId> {
        self.nodes.get(ino).map(Node::file)
    }

    /// Every write in any record here.
    #[must_use]
    pub const fn seen(&self) -> &freehold_model::VersionVector {
        &self.seen
    }
}
