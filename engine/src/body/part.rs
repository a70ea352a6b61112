//! Reading a little of a large chunk that is not here: its header and the frames of the range, nothing
//! else.
//!
//! What a holder sends of a part cannot be checked against the chunk's id, but it opens under the
//! chunk's key or it does not: every frame is authenticated together with its place and the header.
//! A chunk that is asked for a second time is fetched whole, and so is one that turns out to be
//! compressed, where no range makes sense.

use crate::body::clean::Piece;
use crate::limits;
use freehold_crypto::limits::{CHUNK_HEADER_LEN, FRAME_LEN, TAG_LEN};
use freehold_crypto::{ChunkOpener, Compression};
use freehold_model::ChunkId;
use lru::LruCache;
use parking_lot::Mutex;
use std::num::NonZeroUsize;
use std::ops::Range;

/// Bytes of a stored chunk, cut at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkPart {
    /// The chunk.
    pub chunk: ChunkId,
    /// Which bytes of it.
    pub range: Range<u32>,
}

/// Chunks of which a part was read lately.
pub(crate) struct PartlyRead(Mutex<LruCache<ChunkId, ()>>);

impl PartlyRead {
    pub(crate) fn new() -> Self {
        let capacity = NonZeroUsize::new(limits::PARTLY_READ_MAX).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(capacity)))
    }

    /// Whether a part is all that should be fetched for a piece; the next time it will not be.
    pub(crate) fn suits(&self, piece: &Piece) -> bool {
        let len = piece.entry.plain_len;
        let is_little = len >= limits::PART_OF_BYTES && piece.range.len() <= (len / 4) as usize;
        is_little && self.0.lock().put(piece.entry.chunk, ()).is_none()
    }
}

/// A range of one chunk on its way.
pub(crate) struct PartRead {
    piece: Piece,
    frames: Range<u32>,
}

impl PartRead {
    pub(crate) fn new(piece: Piece) -> Self {
        let frame_len = FRAME_LEN as u32;
        let frames = piece.range.start / frame_len..piece.range.end.div_ceil(frame_len);
        Self { piece, frames }
    }

    /// What to ask for: the header, and the frames as they lie in a chunk that is not compressed.
    pub(crate) fn parts(&self) -> Vec<ChunkPart> {
        let (header, sealed) = (CHUNK_HEADER_LEN as u32, (FRAME_LEN + TAG_LEN) as u32);
        let frames = header + self.frames.start * sealed..header + self.frames.end * sealed;
        [0..header, frames].map(|range| ChunkPart { chunk: self.piece.entry.chunk, range }).into()
    }

    /// Opens what came; `None` where that is not the range.
    pub(crate) fn open(&self, header: &[u8], frames: &[u8]) -> Option<Vec<u8>> {
        let opener = ChunkOpener::new(&self.piece.entry.key, header).ok()?;
        if opener.compression() != Compression::None {
            return None;
        }
        opener.open_range(self.piece.range.clone(), frames).ok()
    }
}
