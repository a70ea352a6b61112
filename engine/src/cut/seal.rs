//! One file's content becomes a sealed body: cut, compressed, sealed, put into the cache, named.
//!
//! One piece a thread is in memory at a time. A piece that is part of a version as it is, or whose plain
//! content this device sealed before, is not sealed again: its manifest entry is used once more. So
//! an edit in a large file reads, seals and later uploads what was edited and one manifest path.

use super::known::{Known, Manifests};
use crate::FsError;
use crate::body::ahead::AheadPiece;
use freehold_crypto::{Cek, ChunkPayload, Compression, SealedChunk, VaultKeyring};
use freehold_model::{ChunkId, Entropy};
use freehold_store::{CacheStore, Pin, StoreError};
use freehold_vault::compress::maybe_compress;
use freehold_vault::manifest::{BuildError, Builder, ManifestEntry, Node};
use freehold_vault::profile::Profile;
use freehold_vault::{Body, Chunked};
use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

/// New entries remembered of one file: as many as [`Known`] holds.
const ENTRIES_MAX: usize = 65_536;

/// Pieces that are sealed side by side before the next are looked at.
const WINDOW_PIECES: usize = 64;

/// Threads that seal one file: each holds a piece and its sealed form.
const THREADS_MAX: usize = 4;

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
    /// The version that shows exactly in this range, and the offset in it, if one does.
    fn clean_run(&self, offset: u64, len: u64) -> Option<(Chunked, u64)>;

    /// The piece of exactly this range, if it was sealed while the file was still being written.
    fn sealed_ahead(&self, offset: u64, len: u64) -> Option<AheadPiece>;

    /// Fills the buffer.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FsError>;

    /// Brings chunks into the cache.
    fn fetch(&self, chunks: &[ChunkId]) -> Result<(), FsError>;
}

/// What sealing works with.
pub(crate) struct Sealer<'a> {
    pub(crate) keyring: &'a VaultKeyring,
    pub(crate) cache: &'a CacheStore,
    pub(crate) known: &'a Known,
    pub(crate) entropy: &'a mut dyn Entropy,
}

/// How a piece comes to its manifest entry.
enum Plan {
    Ready(Made),
    /// It is read, and sealed unless it is what stood there before.
    Seal {
        offset: u64,
        len: u64,
        before: Option<ManifestEntry>,
    },
}

/// A piece's entry; its chunk is pinned for it when it is new.
#[derive(Clone)]
struct Made {
    entry: ManifestEntry,
    is_new: bool,
}

/// What several threads seal with.
#[derive(Clone, Copy)]
struct Bench<'a> {
    keyring: &'a VaultKeyring,
    cache: &'a CacheStore,
    known: &'a Known,
}

/// A sealed content.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// What the record will hold.
    pub(crate) body: Body,
    /// Entries of pieces that were sealed for it.
    pub(crate) entries: Vec<ManifestEntry>,
}

impl Bench<'_> {
    /// The entries of some pieces, in order; what must be read and sealed is, side by side.
    ///
    /// New chunks are named in `pinned`, also on an error.
    fn make(
        self,
        window: &[Plan],
        snapshot: &dyn Snapshot,
        pinned: &mut Vec<ChunkId>,
    ) -> Result<Vec<Made>, CutError> {
        let work = window.iter().filter(|plan| matches!(plan, Plan::Seal { .. })).count();
        let helpers = available_parallelism().map_or(1, NonZeroUsize::get).min(THREADS_MAX).min(work);
        let results: Vec<OnceLock<Result<Made, CutError>>> = window.iter().map(|_| OnceLock::new()).collect();
        let next = AtomicUsize::new(0);
        let run = || {
            let mut buffer = Vec::new();
            while let Some((plan, result)) =
                Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| window.get(at).zip(results.get(at)))
            {
                // Each place is taken by one thread.
                let _ = result.set(self.follow(plan, snapshot, &mut buffer));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..helpers {
                scope.spawn(run);
            }
            run();
        });
        let results = results.into_iter().filter_map(OnceLock::into_inner);
        let (made, failed): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
        let made: Vec<Made> = made.into_iter().flatten().collect();
        pinned.extend(made.iter().filter(|made| made.is_new).map(|made| made.entry.chunk));
        match failed.into_iter().next() {
            Some(Err(error)) => Err(error),
            _ => Ok(made),
        }
    }

    fn follow(self, plan: &Plan, snapshot: &dyn Snapshot, buffer: &mut Vec<u8>) -> Result<Made, CutError> {
        match plan {
            Plan::Ready(made) => Ok(made.clone()),
            Plan::Seal { offset, len, before } => {
                buffer.resize(usize::try_from(*len).map_err(|_| CutError::TooLong)?, 0);
                snapshot.read(*offset, buffer).map_err(CutError::Read)?;
                self.piece(buffer, before.as_ref())
            }
        }
    }

    /// The entry of a piece with this content: one known already, or that of a newly sealed chunk.
    fn piece(self, plain: &[u8], before: Option<&ManifestEntry>) -> Result<Made, CutError> {
        let h = self.keyring.dedup_hash(plain);
        let again = before.filter(|old| old.h == h).cloned().or_else(|| self.known.find(&h));
        if let Some(entry) = again.filter(|old| old.plain_len as usize == plain.len()) {
            return Ok(Made { entry, is_new: false });
        }
        let sealed = self.keyring.seal_chunk(&maybe_compress(plain));
        keep(self.cache, &sealed.id, &sealed.bytes, &mut Vec::new())?;
        Ok(Made { entry: entry(sealed, h, plain.len()), is_new: true })
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
        let profile = Profile::choose(size);
        if profile == Profile::Inline {
            let mut bytes = vec![0; usize::try_from(size).map_err(|_| CutError::TooLong)?];
            snapshot.read(0, &mut bytes).map_err(CutError::Read)?;
            return Ok(Sealed { body: Body::Inline(bytes), entries: Vec::new() });
        }
        let manifests = Manifests::new(self.cache, snapshot, previous);
        let cek = self.cek(previous);
        let (keyring, cache) = (self.keyring, self.cache);
        let mut new_nodes = Vec::new();
        let mut builder = Builder::new(|_: &Node, plain: &[u8]| {
            let payload = ChunkPayload { compression: Compression::None, body: Cow::Borrowed(plain) };
            let sealed = keyring.seal_chunk(&payload);
            if !manifests.has_node(&sealed.id) {
                keep(cache, &sealed.id, &sealed.bytes, &mut new_nodes)?;
            }
            Ok(entry(sealed, keyring.dedup_hash(plain), plain.len()))
        });
        let mut plain_hash = keyring.content_hasher();
        let mut entries = Vec::new();
        let mut pieces = profile.pieces(size).peekable();
        while pieces.peek().is_some() {
            let window: Vec<Plan> = pieces
                .by_ref()
                .take(WINDOW_PIECES)
                .map(|(offset, len)| plan(&manifests, snapshot, offset, len))
                .collect();
            for made in self.bench().make(&window, snapshot, pinned)? {
                if made.is_new {
                    remember(&mut entries, &made.entry);
                }
                // Over the pieces' own hashes, so that unchanged ones need not be read. Devices cut
                // equal contents alike: the profile follows from the size.
                plain_hash.update(&made.entry.h);
                plain_hash.update(&made.entry.plain_len.to_be_bytes());
                builder.push(made.entry).map_err(build_error)?;
            }
        }
        let root = builder.finish().map_err(build_error);
        pinned.append(&mut new_nodes);
        let sealed = cek.seal_root(&root?.plain);
        keep(cache, &sealed.id, &sealed.bytes, pinned)?;
        let body = Body::Chunked(Chunked {
            size,
            profile: profile.number(),
            root: sealed.id,
            root_salt: sealed.salt,
            cek,
            plain_hash: plain_hash.finish(),
        });
        Ok(Sealed { body, entries })
    }

    const fn bench(&self) -> Bench<'_> {
        Bench { keyring: self.keyring, cache: self.cache, known: self.known }
    }

    /// Seals a piece of a file that is still being written. Its chunk is pinned, unless a version has it.
    ///
    /// # Errors
    /// [`CutError`].
    pub(crate) fn ahead(&self, plain: &[u8]) -> Result<AheadPiece, CutError> {
        let Made { entry, is_new } = self.bench().piece(plain, None)?;
        Ok(AheadPiece { entry, is_named: !is_new })
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

/// How a piece comes to its manifest entry: it has one, or is read and sealed unless it equals this one.
fn plan(manifests: &Manifests<'_>, snapshot: &dyn Snapshot, offset: u64, len: u64) -> Plan {
    if let Some(AheadPiece { entry, is_named }) = snapshot.sealed_ahead(offset, len)
        && (is_named || manifests.pins(&entry.chunk))
    {
        return Plan::Ready(Made { entry, is_new: !is_named });
    }
    // A piece that is, unread, exactly a piece of a version.
    let unchanged = snapshot.clean_run(offset, len).and_then(|(content, at)| {
        manifests.entry_of(&content, at).filter(|entry| u64::from(entry.plain_len) == len)
    });
    match unchanged {
        Some(entry) => Plan::Ready(Made { entry, is_new: false }),
        None => Plan::Seal { offset, len, before: manifests.entry_before(offset) },
    }
}

fn remember(entries: &mut Vec<ManifestEntry>, piece: &ManifestEntry) {
    if entries.len() < ENTRIES_MAX {
        entries.push(piece.clone());
    }
}

fn entry(sealed: SealedChunk, h: [u8; 16], plain_len: usize) -> ManifestEntry {
    let plain_len = u32::try_from(plain_len).expect("profiles cut pieces far below 4 GiB");
    ManifestEntry { chunk: sealed.id, key: sealed.key, h, plain_len }
}

fn keep(cache: &CacheStore, id: &ChunkId, bytes: &[u8], pinned: &mut Vec<ChunkId>) -> Result<(), CutError> {
    cache.put(*id, bytes, Pin::Pinned).map_err(|error| match error {
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
