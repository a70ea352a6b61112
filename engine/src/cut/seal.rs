//! One file's content becomes a sealed body: cut, compressed, sealed, put into the cache, named.
//!
//! Where it is cut, [`super::plan`] says; while the next pieces are cut, other threads seal those before. A piece
//! that is part of a version as it is, or whose plain content this device sealed before, is not sealed again: its
//! manifest entry is used once more. So an edit in a large file reads, seals and later uploads what was edited and one
//! manifest path.

use super::cutting::{Cutting, Shape};
use super::known::{Known, Manifests, Moved};
use super::plan::{Plan, Walk, Window};
use super::threads::while_doing;
use crate::FsError;
use crate::body::ahead::AheadPiece;
use freehold_crypto::{Cek, ChunkKey, ChunkPayload, Compression, VaultKeyring, open_chunk};
use freehold_model::{ChunkId, Entropy};
use freehold_store::{CacheStore, Pin, StoreError};
use freehold_vault::compress::{maybe_compress, unfold};
use freehold_vault::limits::INLINE_BYTES_MAX;
use freehold_vault::manifest::{BuildError, Builder, ManifestEntry, Node};
use freehold_vault::{Body, Chunked};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// New entries remembered of one file: as many as [`Known`] holds.
const ENTRIES_MAX: usize = 65_536;

/// Why a file was not cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CutError {
    /// Its content could not be read.
    #[error("read the changed file: {0}")]
    Read(FsError),
    /// The disk has no room for its sealed pieces.
    #[error("keep the sealed pieces of a changed file: the disk is full")]
    NoSpace,
    /// The cache did not take a sealed piece.
    #[error("keep the sealed pieces of a changed file: the cache does not take them")]
    Cache,
    /// It is longer than the format holds.
    #[error("the file is longer than the format holds")]
    TooLong,
}

/// The content being cut, at one moment.
pub(crate) trait Snapshot: Sync {
    /// How it was written.
    fn shape(&self) -> Shape;

    /// The run at an offset, at most `max` bytes of it.
    fn run_at(&self, offset: u64, max: u64) -> Run;

    /// The piece that begins here, if it was sealed while the file was still being written.
    fn sealed_ahead(&self, offset: u64) -> Option<AheadPiece>;

    /// Fills the buffer.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FsError>;

    /// Brings chunks into the cache.
    fn fetch(&self, chunks: &[ChunkId]) -> Result<(), FsError>;
}

/// Bytes of one kind in a row.
pub(crate) struct Run {
    pub(crate) len: u64,
    /// The version that shows here and the offset in it, unless the bytes are new.
    pub(crate) clean: Option<(Chunked, u64)>,
}

/// What sealing works with.
pub(crate) struct Sealer<'a> {
    pub(crate) cutting: &'a Cutting,
    pub(crate) keyring: &'a VaultKeyring,
    pub(crate) cache: &'a CacheStore,
    pub(crate) known: &'a Known,
    pub(crate) entropy: &'a mut dyn Entropy,
}

/// A piece's entry; its chunk is pinned for it when it is new.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) entry: ManifestEntry,
    pub(super) is_new: bool,
}

/// What several threads seal with.
#[derive(Clone, Copy)]
pub(super) struct Bench<'a> {
    keyring: &'a VaultKeyring,
    cache: &'a CacheStore,
    known: &'a Known,
    moved: Option<&'a Moved>,
}

/// Memory that a thread uses again for every piece.
#[derive(Default)]
struct Room {
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

/// A sealed content.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// What the record will hold.
    pub(crate) body: Body,
    /// Entries of pieces that were sealed for it.
    pub(crate) entries: Vec<ManifestEntry>,
    /// Where the pieces begin that were sealed ahead and are in it.
    pub(crate) ahead: BTreeSet<u64>,
}

impl Bench<'_> {
    /// The entries of some pieces, in order; what must be sealed is, side by side, while this thread does
    /// something else first.
    ///
    /// New chunks are named in `pinned`, also on an error.
    fn make<T>(
        self,
        window: &Window,
        snapshot: &dyn Snapshot,
        pinned: &mut Vec<ChunkId>,
        meanwhile: impl FnOnce() -> T,
    ) -> (Result<Vec<Made>, CutError>, T) {
        let plans = &window.plans;
        let work = plans.iter().filter(|plan| plan.is_work()).count();
        let results: Vec<OnceLock<Result<Made, CutError>>> = plans.iter().map(|_| OnceLock::new()).collect();
        let next = AtomicUsize::new(0);
        let run = || {
            let mut room = Room::default();
            while let Some((plan, result)) =
                Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| plans.get(at).zip(results.get(at)))
            {
                // Each place is taken by one thread.
                let _ = result.set(self.follow(plan, &window.bytes, snapshot, &mut room));
            }
        };
        let other = while_doing(work, run, meanwhile);
        let results = results.into_iter().filter_map(OnceLock::into_inner);
        let (made, failed): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
        let made: Vec<Made> = made.into_iter().flatten().collect();
        pinned.extend(made.iter().filter(|made| made.is_new).map(|made| made.entry.chunk));
        match failed.into_iter().next() {
            Some(Err(error)) => (Err(error), other),
            _ => (Ok(made), other),
        }
    }

    /// `bytes` are those of the window.
    fn follow(
        self,
        plan: &Plan,
        bytes: &[u8],
        snapshot: &dyn Snapshot,
        room: &mut Room,
    ) -> Result<Made, CutError> {
        let Room { plain: buffer, sealed } = room;
        match plan {
            Plan::Ready(made) => Ok(made.clone()),
            Plan::Cut { plain, before } => {
                let plain = bytes.get(plain.clone()).expect("a window has the bytes of its pieces");
                self.piece(plain, before.as_ref(), sealed)
            }
            Plan::Read { offset, len, before } => {
                buffer.resize(usize::try_from(*len).map_err(|_| CutError::TooLong)?, 0);
                snapshot.read(*offset, buffer).map_err(CutError::Read)?;
                self.piece(buffer, before.as_ref(), sealed)
            }
        }
    }

    /// The entry of a piece with this content: one known already, or that of a newly sealed chunk. `room` is for its
    /// bytes.
    fn piece(
        self,
        plain: &[u8],
        before: Option<&ManifestEntry>,
        room: &mut Vec<u8>,
    ) -> Result<Made, CutError> {
        let h = self.keyring.dedup_hash(plain);
        let moved = || self.moved.and_then(Moved::get).and_then(|moved| moved.get(&h));
        let is_alike = |old: &ManifestEntry| old.plain_len as usize == plain.len();
        let of_version = || before.filter(|old| old.h == h).or_else(moved).cloned();
        let again = self.known.find(&h).filter(is_alike);
        let again = again.or_else(|| of_version().filter(is_alike).filter(|old| self.holds(old, &h)));
        if let Some(entry) = again {
            return Ok(Made { entry, is_new: false });
        }
        let (id, key) = self.keyring.seal_chunk_into(&maybe_compress(plain), room);
        keep(self.cache, &id, room, &mut Vec::new())?;
        Ok(Made { entry: entry((id, key), h, plain.len()), is_new: true })
    }

    /// Whether the chunk of a version's entry is here and holds what has that hash: another device may have written
    /// the entry, and what it says is not believed.
    fn holds(self, entry: &ManifestEntry, h: &[u8; 16]) -> bool {
        let sealed = self.cache.get(&entry.chunk);
        let opened = sealed.and_then(|sealed| open_chunk(&entry.key, &sealed).ok());
        let plain = opened.and_then(|payload| unfold(payload, entry.plain_len).ok());
        plain.is_some_and(|plain| self.keyring.dedup_hash(&plain) == *h)
    }

    /// Seals a piece of a file that is still being written. Its chunk is pinned, unless a version has it. `room` is
    /// for its bytes.
    pub(super) fn ahead(self, plain: &[u8], room: &mut Vec<u8>) -> Result<AheadPiece, CutError> {
        let Made { entry, is_new } = self.piece(plain, None, room)?;
        Ok(AheadPiece { entry, is_named: !is_new })
    }
}

impl Sealer<'_> {
    /// Seals `size` bytes. `previous` is the file's content before.
    ///
    /// New chunks are pinned in the cache and named in `pinned`, also on an error.
    ///
    /// # Errors
    /// [`CutError`].
    pub(crate) fn seal(
        &mut self,
        size: u64,
        previous: Option<&Chunked>,
        snapshot: &dyn Snapshot,
        pinned: &mut Vec<ChunkId>,
    ) -> Result<Sealed, CutError> {
        if size <= INLINE_BYTES_MAX as u64 {
            let mut bytes = vec![0; usize::try_from(size).map_err(|_| CutError::TooLong)?];
            snapshot.read(0, &mut bytes).map_err(CutError::Read)?;
            return Ok(Sealed { body: Body::Inline(bytes), entries: Vec::new(), ahead: BTreeSet::new() });
        }
        let moved = Moved::new();
        let manifests = Manifests::new(self.cache, snapshot, previous, &moved);
        let cek = self.cek(previous);
        let (keyring, cache) = (self.keyring, self.cache);
        let mut new_nodes = Vec::new();
        let mut builder = Builder::new(|_: &Node, plain: &[u8]| {
            let payload = ChunkPayload { compression: Compression::None, body: Cow::Borrowed(plain) };
            let sealed = keyring.seal_chunk(&payload);
            if !manifests.has_node(&sealed.id) {
                keep(cache, &sealed.id, &sealed.bytes, &mut new_nodes)?;
            }
            Ok(entry((sealed.id, sealed.key), keyring.dedup_hash(plain), plain.len()))
        });
        let mut plain_hash = keyring.content_hasher();
        let mut entries = Vec::new();
        let mut walk = Walk::new(self.cutting, size, previous, snapshot, &manifests);
        let mut window = walk.window(Vec::new())?;
        let mut room = Vec::new();
        while !window.plans.is_empty() {
            let bench = self.bench(Some(&moved));
            let (made, next) = bench.make(&window, snapshot, pinned, || walk.window(room));
            for made in made? {
                if made.is_new {
                    remember(&mut entries, &made.entry);
                }
                // Over the pieces' own hashes, so that unchanged ones need not be read. Devices cut
                // equal contents alike as long as they choose the same profile.
                plain_hash.update(&made.entry.h);
                plain_hash.update(&made.entry.plain_len.to_be_bytes());
                builder.push(made.entry).map_err(build_error)?;
            }
            room = std::mem::replace(&mut window, next?).bytes;
        }
        let root = builder.finish().map_err(build_error);
        pinned.append(&mut new_nodes);
        let sealed = cek.seal_root(&root?.plain);
        keep(cache, &sealed.id, &sealed.bytes, pinned)?;
        let body = Body::Chunked(Chunked {
            size,
            profile: walk.profile().number(),
            root: sealed.id,
            root_salt: sealed.salt,
            cek,
            plain_hash: plain_hash.finish(),
        });
        Ok(Sealed { body, entries, ahead: walk.taken_ahead() })
    }

    const fn bench<'a>(&'a self, moved: Option<&'a Moved>) -> Bench<'a> {
        Bench { keyring: self.keyring, cache: self.cache, known: self.known, moved }
    }

    /// What pieces of a file are sealed with that is still being written.
    pub(super) fn ahead_bench(&self) -> Bench<'_> {
        self.bench(None)
    }

    /// A file keeps its key as long as nobody who has it was shut out. Which generation an old key is
    /// from is not written down, so after a rotation every version takes a new one: it seals the
    /// root alone, so that costs nothing.
    fn cek(&mut self, previous: Option<&Chunked>) -> Cek {
        match previous {
            Some(content) if self.keyring.current_generation() == 1 => content.cek.clone(),
            _ => Cek::random(self.entropy),
        }
    }
}

fn remember(entries: &mut Vec<ManifestEntry>, piece: &ManifestEntry) {
    if entries.len() < ENTRIES_MAX {
        entries.push(piece.clone());
    }
}

fn entry((chunk, key): (ChunkId, ChunkKey), h: [u8; 16], plain_len: usize) -> ManifestEntry {
    let plain_len = u32::try_from(plain_len).expect("profiles cut pieces far below 4 GiB");
    ManifestEntry { chunk, key, h, plain_len }
}

fn keep(cache: &CacheStore, id: &ChunkId, bytes: &[u8], pinned: &mut Vec<ChunkId>) -> Result<(), CutError> {
    cache.put_sealed(*id, bytes, Pin::Pinned).map_err(|error| match error {
        StoreError::NoSpace => CutError::NoSpace,
        error => {
            tracing::error!(%error, "the chunk cache does not take a sealed piece");
            CutError::Cache
        }
    })?;
    pinned.push(*id);
    Ok(())
}

fn build_error(error: BuildError<CutError>) -> CutError {
    match error {
        BuildError::Seal(error) => error,
        BuildError::Piece | BuildError::Empty | BuildError::TooLong => CutError::TooLong,
    }
}
