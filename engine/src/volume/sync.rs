//! The face towards the remote half: cuts, batches, commits, remote records, sync state.
//!
//! Everything here is durable when it returns only where it says so. Notices go out after the lock
//! is dropped, on the caller's thread.

use crate::body::ahead::AheadPiece;
use crate::body::clean::Blocked;
use crate::body::extents::ExtentMap;
use crate::body::{Ahead, AheadPieces, Source};
use crate::journal::item::Item;
use crate::journal::{Segment, SegmentKind};
use crate::tables::remote::RemoteVersion;
use crate::tables::sync::{Batch, CutOutcome, CutToken, OutboxEntry, Pending, SignedCommit};
use crate::volume::Volume;
use crate::volume::meta::MetaKey;
use crate::{FsError, Ino, Time};
use freehold_model::{ChunkId, CommitHash, FileId, VersionHash};
use freehold_vault::Profile;
use freehold_vault::record;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// A snapshot of a body that is due for cutting.
pub struct CutJob {
    /// Hand it back to [`Volume::finish_cut`] or [`Volume::drop_cut`].
    pub token: CutToken,
    /// The file.
    pub file: FileId,
    /// Its size in the snapshot.
    pub size: u64,
    /// The modification time of this content.
    pub mtime: Time,
    /// The content before, if the file has one: its key and unchanged parts can be used again.
    pub previous: Option<record::Content>,
    /// Pieces of the snapshot that are sealed already.
    pub(crate) ahead: AheadPieces,
    /// What they are cut by.
    pub(crate) ahead_profile: Option<Profile>,
    /// It was changed behind its growing end again and again.
    pub(crate) is_rewritten: bool,
    /// Reads the snapshot.
    pub reader: BodyReader,
}

/// Bytes of a body that can be sealed while it is still being written.
pub(crate) struct AheadJob {
    pub(crate) ino: Ino,
    /// Where they lie.
    pub(crate) range: Range<u64>,
    /// What they are cut by.
    pub(crate) profile: Profile,
    /// Reads them as they were.
    pub(crate) reader: BodyReader,
}

impl std::fmt::Debug for CutJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CutJob").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Where a run of a snapshot comes from.
#[derive(Clone, Debug)]
pub enum RunKind {
    /// Zeroes.
    Hole,
    /// Bytes written on this device.
    Dirty,
    /// Part of a version: where it lies on a chunk border of that version, its chunk can be named
    /// again without reading it.
    Clean {
        /// The version.
        content: Arc<record::Body>,
        /// Offset in it.
        offset: u64,
    },
}

/// Reads a snapshot of a body, whatever is written meanwhile.
pub struct BodyReader {
    volume: Arc<Volume>,
    extents: ExtentMap,
    size: u64,
}

impl std::fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyReader").field("size", &self.size).finish_non_exhaustive()
    }
}

impl BodyReader {
    /// Bytes of the snapshot.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// The newest of the staging segments that it reads a range from.
    pub(crate) fn newest_segment(&self, offset: u64, len: u64) -> Option<Arc<Segment>> {
        let stretches = self.extents.stretches(offset, len).into_iter();
        let places = stretches.filter_map(|stretch| match stretch.source {
            Some(Source::Piece { piece, .. }) => piece.loc().ok(),
            _ => None,
        });
        let staged = places.filter(|loc| loc.segment.kind == SegmentKind::Staging);
        staged.map(|loc| loc.segment).max_by_key(|segment| segment.number)
    }

    /// Fills the buffer from an offset of the snapshot.
    ///
    /// # Errors
    /// `Err(Ok(ids))` names chunks to fetch first; `Err(Err(..))` is final: `Damaged`, `Io`, or
    /// `Invalid` past the end.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Result<Vec<ChunkId>, FsError>> {
        let len = buffer.len() as u64;
        if offset.checked_add(len).is_none_or(|end| end > self.size) {
            return Err(Err(FsError::Invalid));
        }
        match self.volume.reader.fill(&self.extents.stretches(offset, len), buffer) {
            Ok(()) => Ok(()),
            Err(Blocked::Missing(ids)) => Err(Ok(ids)),
            Err(Blocked::Failed(error)) => Err(Err(error)),
        }
    }

    /// The runs of a range, in order, as (offset, length, kind).
    #[must_use]
    pub fn runs(&self, offset: u64, len: u64) -> Vec<(u64, u64, RunKind)> {
        let len = len.min(self.size.saturating_sub(offset));
        let stretches = self.extents.stretches(offset, len).into_iter();
        stretches
            .map(|stretch| {
                let kind = match stretch.source {
                    None => RunKind::Hole,
                    Some(Source::Piece { .. }) => RunKind::Dirty,
                    Some(Source::Clean { content, offset }) => RunKind::Clean { content, offset },
                };
                (stretch.offset, stretch.len, kind)
            })
            .collect()
    }
}

/// What became of remote versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyOutcome {
    /// Records that no honest device wrote; they were left out.
    pub refused: Vec<FileId>,
}

impl Volume {
    /// The next body to cut: quiet for 2 s, kept busy for 30 s, or any dirty one when forced.
    #[must_use]
    pub fn next_cut(self: &Arc<Self>, force: bool) -> Option<CutJob> {
        let mut tables = self.lock();
        let now = tables.now.millis();
        let ino = tables.due_for_cut(now, force)?;
        let node = tables.nodes.get_mut(ino)?;
        node.body.in_cut = true;
        let extents = node.body.extents.clone();
        let (size, mtime) = (node.body.size, node.mtime);
        Some(CutJob {
            token: CutToken { ino, writes: node.body.writes, mtime },
            file: node.file(),
            size,
            mtime,
            previous: node.record.newest_content().cloned(),
            ahead: node.body.ahead.sealed().clone(),
            ahead_profile: node.body.ahead.profile(),
            is_rewritten: node.body.ahead.is_rewritten(),
            reader: BodyReader { volume: Arc::clone(self), extents, size },
        })
    }

    /// Bytes to seal of a body that is still being written, cut as `choose` says for the profile of its content
    /// before; hand what comes of it to [`keep_ahead`](Self::keep_ahead) or [`drop_ahead`](Self::drop_ahead).
    pub(crate) fn next_ahead(
        self: &Arc<Self>,
        choose: impl Fn(Option<Profile>) -> Profile,
    ) -> Option<AheadJob> {
        let mut tables = self.lock();
        let (ino, range, profile) = tables.due_ahead(choose)?;
        let body = &tables.nodes.get(ino)?.body;
        // Only what is read: copying the whole map for every few pieces of a large file adds up.
        let mut extents = ExtentMap::default();
        for stretch in body.extents.stretches(range.start, range.end - range.start) {
            if let Some(source) = stretch.source {
                extents.insert(stretch.offset, stretch.len, source);
            }
        }
        let reader = BodyReader { volume: Arc::clone(self), extents, size: body.size };
        Some(AheadJob { ino, range, profile, reader })
    }

    /// Keeps sealed pieces for the cut, as far as nothing was written there meanwhile. Their chunks must
    /// be in the cache, pinned.
    pub(crate) fn keep_ahead(&self, ino: Ino, pieces: Vec<(u64, AheadPiece)>) {
        if let Some(node) = self.lock().nodes.get_mut(ino) {
            node.body.ahead.keep(pieces);
        }
    }

    /// Notes which pieces sealed ahead are in the version that a job makes; say it before that is installed.
    pub(crate) fn taken_ahead(&self, token: &CutToken, offsets: BTreeSet<u64>) {
        if let Some(node) = self.lock().nodes.get_mut(token.ino) {
            node.body.ahead.taken(offsets);
        }
    }

    /// Notes that a segment was read for sending: what fills it need not stay in memory.
    pub(crate) fn done_with(&self, segment: &Arc<Segment>) {
        if let Some(local) = &self.local {
            local.staging.done_with(segment);
        }
    }

    /// Leaves the rest of a body to its cut.
    pub(crate) fn drop_ahead(&self, ino: Ino) {
        if let Some(node) = self.lock().nodes.get_mut(ino) {
            node.body.ahead.give_up();
        }
    }

    /// Installs the version cut from a job's snapshot.
    ///
    /// Every chunk it names that no node holds must be in the chunk cache, pinned, and the cache
    /// synced: the written bytes may be forgotten from here on. `pins` are those chunks; they stay
    /// pinned until the version is placed.
    pub fn finish_cut(&self, token: &CutToken, content: record::Body, pins: Vec<ChunkId>) -> CutOutcome {
        let mut notices = BTreeSet::new();
        let outcome = self.lock().finish_cut(token, content, pins, &mut notices);
        self.tell(notices);
        self.show_again();
        outcome
    }

    /// Gives a job back that could not be finished; the body stays due. What was sealed of it ahead is
    /// forgotten with the pins.
    pub fn drop_cut(&self, token: &CutToken) {
        if let Some(node) = self.tables.lock().nodes.get_mut(token.ino) {
            node.body.in_cut = false;
            node.body.ahead = Ahead::default();
        }
    }

    /// What is not on the server for good.
    #[must_use]
    pub fn pending(&self) -> Pending {
        self.tables.lock().pending()
    }

    /// Takes records for one commit, oldest change first; `None` when none may travel.
    ///
    /// Batches must be committed in the order they were taken.
    #[must_use]
    pub fn take_batch(&self, max_entries: usize, max_bytes: usize) -> Option<Batch> {
        self.lock().take_batch(max_entries, max_bytes)
    }

    /// Gives a batch back that will not be committed.
    pub fn return_batch(&self, batch: &Batch) {
        self.lock().return_batch(batch);
    }

    /// Stores a signed commit and the sync state that goes with it; durable on return.
    ///
    /// # Errors
    /// `Io`, `NoSpace`: not durable, so not a byte of it may leave; the state is written again by a
    /// later flush, so ask [`fsync`](Self::fsync) before sending.
    pub fn commit_written(
        &self,
        batch: &Batch,
        signed: SignedCommit,
        meta: Vec<(MetaKey, Vec<u8>)>,
    ) -> Result<(), FsError> {
        {
            let mut tables = self.lock();
            tables.commit_written(batch, signed);
            set_meta(&mut tables, meta);
        }
        self.flush()
    }

    /// Commits on their way, in the order they were written.
    #[must_use]
    pub fn outbox(&self) -> Vec<OutboxEntry> {
        self.tables.lock().outbox().to_vec()
    }

    /// Notes that the server numbered a commit: it leaves the outbox.
    pub fn commit_numbered(&self, hash: CommitHash) {
        self.lock().commit_numbered(hash);
    }

    /// Notes versions that are numbered and whose chunks the policy's nodes hold. Chunks that still wait to be
    /// uploaded stay pinned: another file uses them as well.
    pub fn versions_placed(&self, versions: &[VersionHash], is_waiting: impl Fn(&ChunkId) -> bool) {
        let mut free = self.lock().versions_placed(versions);
        free.retain(|chunk| !is_waiting(chunk));
        if let Some(local) = &self.local
            && !free.is_empty()
            && local.chunks.unpin(&free).is_err()
        {
            tracing::warn!("chunks that are placed could not be unpinned; they stay on this device");
        }
    }

    /// Merges remote versions, stores sync state with them, and tells the mount.
    ///
    /// Both become durable together, with the next flush; until then a crash forgets both.
    ///
    /// # Errors
    /// `Io` when the row of a file that sleeps cannot be read; nothing was merged then.
    pub fn apply_remote(
        &self,
        versions: Vec<RemoteVersion>,
        meta: Vec<(MetaKey, Vec<u8>)>,
    ) -> Result<ApplyOutcome, FsError> {
        let files: BTreeSet<FileId> = versions.iter().map(|version| version.record.file()).collect();
        let _awake = self.wake(files.iter())?;
        let mut notices = BTreeSet::new();
        let refused = {
            let mut tables = self.lock();
            let refused = tables.apply(versions, &mut notices);
            set_meta(&mut tables, meta);
            refused
        };
        self.tell(notices);
        self.show_again();
        Ok(ApplyOutcome { refused })
    }

    /// Shows names again: after a remote change that concerns files that slept, and after local changes in
    /// a tree with conflicts, where removing one of two files of one name gives the plain name to the other.
    pub(crate) fn show_again(&self) {
        // One at a time: waking everything twice over helps nobody, and who comes too late is seen by the next
        // round of the flush thread.
        let Some(_turn) = self.showing.try_lock() else { return };
        if !self.tables.lock().needs_show {
            return;
        }
        // A row that could not be read has been logged; the next round tries again.
        let Ok(_awake) = self.wake_all() else { return };
        let mut notices = BTreeSet::new();
        {
            let mut tables = self.lock();
            if tables.needs_show {
                tables.show_or_leave(&mut notices);
            }
        }
        self.tell(notices);
    }

    /// A value of sync state.
    #[must_use]
    pub fn meta(&self, key: MetaKey) -> Option<Vec<u8>> {
        self.tables.lock().meta.get(&key.number()).cloned()
    }

    /// The parts of the list of held deletions.
    pub(crate) fn held_parts(&self) -> Vec<(u16, Vec<u8>)> {
        let tables = self.tables.lock();
        let parts =
            tables.meta.iter().filter_map(|(key, value)| Some((MetaKey::held_part(*key)?, value.clone())));
        parts.collect()
    }

    /// Sets values of sync state; durable with the next flush.
    pub fn set_meta(&self, meta: Vec<(MetaKey, Vec<u8>)>) {
        set_meta(&mut self.lock(), meta);
    }

    /// The device and incarnation whose dots new writes carry, and the last dot's number.
    #[must_use]
    pub fn author(&self) -> (crate::Author, u64) {
        let tables = self.tables.lock();
        (tables.author, tables.write_seq)
    }

    /// Starts another life: the server or a peer knows commits of this device that it does not know
    /// itself. The write counter starts again; unsent changes keep their stamps and go out again.
    ///
    /// # Errors
    /// `Io`, `NoSpace` when that may not be durable.
    pub fn begin_incarnation(&self, incarnation: u32, meta: Vec<(MetaKey, Vec<u8>)>) -> Result<(), FsError> {
        {
            let mut tables = self.lock();
            tables.begin_incarnation(incarnation);
            set_meta(&mut tables, meta);
        }
        self.flush()
    }
}

fn set_meta(tables: &mut crate::tables::Tables, meta: Vec<(MetaKey, Vec<u8>)>) {
    for (key, value) in meta {
        let key = key.number();
        if value.is_empty() {
            tables.meta.remove(&key);
        } else {
            tables.meta.insert(key, value.clone());
        }
        tables.op += 1;
        tables.pending.push(Item::Meta { key, value });
    }
}
