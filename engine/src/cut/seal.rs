//! One file's content becomes a sealed body: cut, compressed, sealed, put into the cache, named.
//!
//! One piece is in memory at a time. A piece that is part of a version as it is, or whose plain
//! content this device sealed before, is not sealed again: its manifest entry is used once more. So
//! an edit in a large file reads, seals and later uploads what was edited and one manifest path.

use super::known::{Known, Manifests};
use crate::FsError;
use freehold_crypto::{Cek, ChunkPayload, Compression, SealedChunk, VaultKeyring};
use freehold_model::{ChunkId, Entropy};
use freehold_store::{CacheStore, Pin, StoreError};
use freehold_vault::compress::maybe_compress;
use freehold_vault::manifest::{BuildError, Builder, ManifestEntry, Node};
use freehold_vault::profile::Profile;
use freehold_vault::{Body, Chunked};
use std::borrow::Cow;

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
pub(crate) trait Snapshot {
    /// The version that shows exactly in this range, and the offset in it, if one does.
    fn clean_run(&self, offset: u64, len: u64) -> Option<(Chunked, u64)>;

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

/// A sealed content.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// What the record will hold.
    pub(crate) body: Body,
    /// Entries of pieces that were sealed for it.
    pub(crate) entries: Vec<ManifestEntry>,
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
        let mut buffer = Vec::new();
        for (offset, len) in profile.pieces(size) {
            let piece = match self.unchanged(&manifests, snapshot, offset, len) {
                Some(piece) => piece,
                None => {
                    buffer.resize(usize::try_from(len).map_err(|_| CutError::TooLong)?, 0);
                    snapshot.read(offset, &mut buffer).map_err(CutError::Read)?;
                    self.piece(&manifests, offset, &buffer, pinned, &mut entries)?
                }
            };
            // Over the pieces' own hashes, so that unchanged ones need not be read. Devices cut
            // equal contents alike: the profile follows from the size.
            plain_hash.update(&piece.h);
            plain_hash.update(&piece.plain_len.to_be_bytes());
            builder.push(piece).map_err(build_error)?;
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

    /// The entry of a piece that is, unread, exactly a piece of a version.
    fn unchanged(
        &self,
        manifests: &Manifests<'_>,
        snapshot: &dyn Snapshot,
        offset: u64,
        len: u64,
    ) -> Option<ManifestEntry> {
        let (content, at) = snapshot.clean_run(offset, len)?;
        manifests.entry_of(&content, at).filter(|entry| u64::from(entry.plain_len) == len)
    }

    /// The entry of a piece with this content: one known already, or a newly sealed one.
    fn piece(
        &self,
        manifests: &Manifests<'_>,
        offset: u64,
        plain: &[u8],
        pinned: &mut Vec<ChunkId>,
        entries: &mut Vec<ManifestEntry>,
    ) -> Result<ManifestEntry, CutError> {
        let h = self.keyring.dedup_hash(plain);
        let before = manifests.entry_before(offset).filter(|old| old.h == h);
        let again =
            before.or_else(|| self.known.find(&h)).filter(|old| old.plain_len as usize == plain.len());
        if let Some(piece) = again {
            return Ok(piece);
        }
        let sealed = self.keyring.seal_chunk(&maybe_compress(plain));
        keep(self.cache, &sealed.id, &sealed.bytes, pinned)?;
        let piece = entry(sealed, h, plain.len());
        if entries.len() < ENTRIES_MAX {
            entries.push(piece.clone());
        }
        Ok(piece)
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
