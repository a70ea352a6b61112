//! Reading bytes of a version: from the record, or through its manifest and the chunk cache.
//!
//! Nothing here waits. Either all that is needed is on this device, or the answer names the chunks
//! that are missing, all of the range that one level of the manifest can tell. A chunk whose seal
//! does not open is checked against its id: a wrong one is dropped by the cache and counts as
//! missing, a right one is damage made by its author.

use crate::body::cache::{Key, PlainCache};
use crate::body::part::{PartRead, PartlyRead};
use crate::{FsError, limits};
use freehold_crypto::limits::{CHUNK_HEADER_LEN, FRAME_LEN};
use freehold_crypto::{ChunkKey, ChunkOpener, Compression, open_chunk};
use freehold_model::ChunkId;
use freehold_store::CacheStore;
use freehold_vault::compress;
use freehold_vault::manifest::{Child, ManifestEntry, Node, Target};
use freehold_vault::record::{Body, Chunked};
use lru::LruCache;
use parking_lot::Mutex;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// From this many frames on a read of a chunk is a long one.
const MANY_FRAMES: usize = 4;

/// Why a read could not be answered at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// These chunks are not on this device.
    Missing(Vec<ChunkId>),
    /// It never will be.
    Failed(FsError),
}

impl From<FsError> for Blocked {
    fn from(error: FsError) -> Self {
        Self::Failed(error)
    }
}

/// Reads versions through the chunk cache.
pub(crate) struct CleanReader {
    chunks: Arc<CacheStore>,
    nodes: Mutex<LruCache<ChunkId, Arc<Node>>>,
    openers: Mutex<LruCache<ChunkId, Arc<Opener>>>,
    partly_read: PartlyRead,
}

impl CleanReader {
    pub(crate) fn new(chunks: Arc<CacheStore>) -> Self {
        let capacity = NonZeroUsize::new(limits::MANIFEST_CACHE_NODES_MAX).unwrap_or(NonZeroUsize::MIN);
        let openers = NonZeroUsize::new(limits::OPENERS_MAX).unwrap_or(NonZeroUsize::MIN);
        Self {
            chunks,
            nodes: Mutex::new(LruCache::new(capacity)),
            openers: Mutex::new(LruCache::new(openers)),
            partly_read: PartlyRead::new(),
        }
    }

    /// Appends a range of a version to `out`.
    ///
    /// # Errors
    /// `Missing`; `Failed(Damaged)` when the version does not have the range, or does not open.
    pub(crate) fn read(
        &self,
        body: &Body,
        range: Range<u64>,
        plain: &PlainCache,
        out: &mut Vec<u8>,
    ) -> Result<(), Blocked> {
        match body {
            Body::Inline(bytes) => {
                let range = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
                let part = range.and_then(|(start, end)| bytes.get(start..end));
                out.extend_from_slice(part.ok_or(FsError::Damaged)?);
                Ok(())
            }
            Body::Chunked(chunked) => {
                if range.end > chunked.size || range.start > range.end {
                    return Err(FsError::Damaged.into());
                }
                let mut pieces = Vec::new();
                let root = self.root(chunked)?;
                self.pieces(&root, &range, 0, &mut pieces)?;
                self.fill(&pieces, plain, out)
            }
        }
    }

    /// The chunks of a version that follow an offset and are not on this device, at most `max`.
    pub(crate) fn missing_after(&self, chunked: &Chunked, offset: u64, len: u64, max: usize) -> Vec<ChunkId> {
        let range = offset..offset.saturating_add(len).min(chunked.size);
        let mut pieces = Vec::new();
        let found = self.root(chunked).and_then(|root| self.pieces(&root, &range, 0, &mut pieces));
        let mut ids = match found {
            Err(Blocked::Missing(ids)) => ids,
            Err(Blocked::Failed(_)) => Vec::new(),
            Ok(()) => pieces.into_iter().map(|piece| piece.entry.chunk).collect(),
        };
        ids.retain(|id| !self.chunks.contains(id));
        ids.truncate(max);
        ids
    }

    /// The read of part of one chunk that would do for a range, where the manifest is here, the chunk is
    /// not, and the range is a little of it.
    pub(crate) fn part(&self, chunked: &Chunked, range: Range<u64>) -> Option<PartRead> {
        let mut pieces = Vec::new();
        let root = self.root(chunked).ok()?;
        self.pieces(&root, &range, 0, &mut pieces).ok()?;
        let piece = pieces.pop().filter(|_| pieces.is_empty())?;
        let is_wanted = !self.chunks.contains(&piece.entry.chunk) && self.partly_read.suits(&piece);
        is_wanted.then(|| PartRead::new(piece))
    }

    fn root(&self, chunked: &Chunked) -> Result<Arc<Node>, Blocked> {
        self.node(&chunked.root, || {
            let sealed = self.chunk(&chunked.root)?;
            let plain =
                chunked.cek.root_key(&chunked.root_salt).open(&sealed).map_err(|_| FsError::Damaged)?;
            Ok(Node::decode_root(&plain, chunked.size).map_err(|_| FsError::Damaged)?)
        })
    }

    fn child(&self, parent: &Node, child: &Child) -> Result<Arc<Node>, Blocked> {
        self.node(&child.node.chunk, || {
            let plain = self.whole(&child.node)?;
            Ok(parent.decode_child(child, &plain).map_err(|_| FsError::Damaged)?)
        })
    }

    fn node(&self, id: &ChunkId, load: impl FnOnce() -> Result<Node, Blocked>) -> Result<Arc<Node>, Blocked> {
        if let Some(node) = self.nodes.lock().get(id) {
            return Ok(Arc::clone(node));
        }
        let node = Arc::new(load()?);
        self.nodes.lock().put(*id, Arc::clone(&node));
        Ok(node)
    }

    /// Collects the pieces of a range; a missing inner node does not hide its missing neighbours.
    fn pieces(
        &self,
        node: &Node,
        range: &Range<u64>,
        base: u64,
        found: &mut Vec<Piece>,
    ) -> Result<(), Blocked> {
        let mut missing = Vec::new();
        let within = range.start.saturating_sub(base)..range.end.saturating_sub(base);
        for located in node.locate(within) {
            let start = base + located.start;
            match located.target {
                Target::Piece(entry) => {
                    let from = range.start.max(start) - start;
                    let to = range.end.min(start + located.len_bytes) - start;
                    found.push(Piece { entry: entry.clone(), range: narrow(from)?..narrow(to)? });
                }
                Target::Child(child) => {
                    let walked =
                        self.child(node, child).and_then(|below| self.pieces(&below, range, start, found));
                    match walked {
                        Err(Blocked::Missing(ids)) => missing.extend(ids),
                        other => other?,
                    }
                }
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(Blocked::Missing(missing)) }
    }

    fn fill(&self, pieces: &[Piece], plain: &PlainCache, out: &mut Vec<u8>) -> Result<(), Blocked> {
        let missing: Vec<ChunkId> =
            pieces.iter().map(|piece| piece.entry.chunk).filter(|id| !self.chunks.contains(id)).collect();
        if !missing.is_empty() {
            return Err(Blocked::Missing(missing));
        }
        pieces.iter().try_for_each(|piece| self.piece(piece, plain, out))
    }

    /// Appends part of one chunk.
    fn piece(&self, piece: &Piece, plain: &PlainCache, out: &mut Vec<u8>) -> Result<(), Blocked> {
        let opener = self.opener(&piece.entry)?;
        let before = out.len();
        match self.open_piece(piece, &opener, plain, out) {
            Err(Blocked::Failed(_)) if opener.is_guessed => {
                out.truncate(before);
                let opener = self.read_opener(&piece.entry)?;
                self.open_piece(piece, &opener, plain, out)
            }
            other => other,
        }
    }

    fn open_piece(
        &self,
        piece: &Piece,
        opener: &Opener,
        plain: &PlainCache,
        out: &mut Vec<u8>,
    ) -> Result<(), Blocked> {
        let id = piece.entry.chunk;
        if opener.frames.compression() != Compression::None {
            let whole = plain.get_or(Key::Chunk(id), || self.whole(&piece.entry))?;
            let part = whole.get(piece.range.start as usize..piece.range.end as usize);
            out.extend_from_slice(part.ok_or(FsError::Damaged)?);
            return Ok(());
        }
        let frames = opener.frames.frames_of(piece.range.clone()).map_err(|_| self.judge(&id))?;
        if frames.len() >= MANY_FRAMES {
            return self.open_run(piece, &opener.frames, frames, out);
        }
        if opener.uses.fetch_add(1, Ordering::Relaxed) == 1 {
            // Asked for a second time: what follows will be elsewhere in it as well.
            self.chunks.will_need(&id);
        }
        let first = frames.start;
        let mut bytes = Vec::with_capacity(FRAME_LEN * frames.len());
        for frame in frames {
            let opened = plain.get_or(Key::Frame(id, frame), || {
                let sealed = self.stored(&id, opener.frames.sealed_range(frame..frame + 1))?;
                opener.frames.open_frames(frame, &sealed).map_err(|_| self.judge(&id))
            })?;
            bytes.extend_from_slice(&opened);
        }
        let skip = piece.range.start as usize - first as usize * FRAME_LEN;
        let part = bytes.get(skip..skip + piece.range.len());
        out.extend_from_slice(part.ok_or(FsError::Damaged)?);
        Ok(())
    }

    /// A long read: the kernel keeps what it brings, so it is one read and one opening, and nothing is
    /// kept here. A frame of which the rest is read next stays in the system's memory.
    fn open_run(
        &self,
        piece: &Piece,
        opener: &ChunkOpener,
        frames: Range<u32>,
        out: &mut Vec<u8>,
    ) -> Result<(), Blocked> {
        let id = piece.entry.chunk;
        let is_whole =
            piece.range.end == piece.entry.plain_len || (piece.range.end as usize).is_multiple_of(FRAME_LEN);
        let done = opener.sealed_range(frames.start..frames.end - u32::from(!is_whole));
        let sealed = opener.sealed_range(frames);
        let narrow =
            |range: Range<usize>| Ok::<_, FsError>(narrow(range.start as u64)?..narrow(range.end as u64)?);
        let sealed = self.chunks.get_range_once(&id, narrow(sealed)?, narrow(done)?);
        let sealed = sealed.ok_or_else(|| Blocked::Missing(vec![id]))?;
        let opened = opener.open_range(piece.range.clone(), &sealed).map_err(|_| self.judge(&id))?;
        out.extend_from_slice(&opened);
        Ok(())
    }

    /// What opens a chunk's frames. Its header is read only where it does not follow from the length,
    /// and then once.
    fn opener(&self, entry: &ManifestEntry) -> Result<Arc<Opener>, Blocked> {
        let id = entry.chunk;
        // Two versions may claim different keys for one chunk; each is answered for its own.
        if let Some(known) = self.openers.lock().get(&id).filter(|known| known.key == entry.key) {
            return Ok(Arc::clone(known));
        }
        let stored_len = self.chunks.len_bytes(&id).ok_or_else(|| Blocked::Missing(vec![id]))?;
        let guessed = ChunkOpener::of_uncompressed(&entry.key, entry.plain_len)
            .filter(|opener| opener.sealed_len() == stored_len as usize);
        match guessed {
            Some(opener) => Ok(self.keep_opener(entry, opener, true)),
            None => self.read_opener(entry),
        }
    }

    fn read_opener(&self, entry: &ManifestEntry) -> Result<Arc<Opener>, Blocked> {
        let header = self.stored(&entry.chunk, 0..CHUNK_HEADER_LEN)?;
        let opener = ChunkOpener::new(&entry.key, &header).map_err(|_| self.judge(&entry.chunk))?;
        Ok(self.keep_opener(entry, opener, false))
    }

    fn keep_opener(&self, entry: &ManifestEntry, frames: ChunkOpener, is_guessed: bool) -> Arc<Opener> {
        let (key, uses) = (entry.key.clone(), AtomicU32::new(0));
        let opener = Arc::new(Opener { key, frames, is_guessed, uses });
        self.openers.lock().put(entry.chunk, Arc::clone(&opener));
        opener
    }

    /// The plain content of a whole chunk.
    fn whole(&self, entry: &ManifestEntry) -> Result<Vec<u8>, Blocked> {
        let sealed = self.chunk(&entry.chunk)?;
        let payload = open_chunk(&entry.key, &sealed).map_err(|_| FsError::Damaged)?;
        Ok(compress::unfold(payload, entry.plain_len).map_err(|_| FsError::Damaged)?)
    }

    fn chunk(&self, id: &ChunkId) -> Result<Vec<u8>, Blocked> {
        self.chunks.get(id).ok_or_else(|| Blocked::Missing(vec![*id]))
    }

    fn stored(&self, id: &ChunkId, range: Range<usize>) -> Result<Vec<u8>, Blocked> {
        let range = narrow(range.start as u64)?..narrow(range.end as u64)?;
        self.chunks.get_range(id, range).ok_or_else(|| Blocked::Missing(vec![*id]))
    }

    /// What it means that a chunk does not open: the cache checks it against its id.
    fn judge(&self, id: &ChunkId) -> Blocked {
        match self.chunks.get(id) {
            Some(_) => Blocked::Failed(FsError::Damaged),
            None => Blocked::Missing(vec![*id]),
        }
    }
}

/// What opens the frames of one chunk.
struct Opener {
    key: ChunkKey,
    frames: ChunkOpener,
    /// The header was not read but follows from the length; no frame opens if that was wrong.
    is_guessed: bool,
    /// Short reads so far.
    uses: AtomicU32,
}

/// Part of one chunk's plain content.
pub(crate) struct Piece {
    pub(crate) entry: ManifestEntry,
    pub(crate) range: Range<u32>,
}

fn narrow(value: u64) -> Result<u32, FsError> {
    u32::try_from(value).map_err(|_| FsError::Damaged)
}
