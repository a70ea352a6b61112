//! Chunks: the sealed pieces of file contents and of manifests.
//!
//! A chunk's key is a keyed hash of exactly what is sealed, header included, so one key never meets
//! two plaintexts or two headers and no random nonce is needed; equal content under one vault key
//! seals to equal bytes, which is the vault's own deduplication. The id is a plain hash of the
//! ciphertext, so any node verifies it with no key. Layout in `docs/format.md`.

mod opener;
#[cfg(test)]
mod tests;

pub use opener::ChunkOpener;

use crate::error::OpenError;
use crate::kdf::prf;
use crate::limits::{CHUNK_BODY_BYTES_MAX, CHUNK_HEADER_LEN, FRAME_LEN, SUITE, TAG_LEN};
use crate::padded;
use crate::secret::Secret32;
use crate::stream::{FramePlace, Frames};
use freehold_model::ChunkId;
use freehold_model::padding::padme;
use std::borrow::Cow;

pub(crate) const MAGIC: [u8; 4] = *b"FHC1";
const FLAG_ZSTD: u8 = 0x01;

/// The size class of a chunk: the body's Padmé length, then the length field. The field stands
/// outside the class because bodies of a power of two, which fixed profiles cut, cost nothing then;
/// inside it would push each 256 KiB piece into the next class, 3.1 % more.
pub(crate) const fn size_class(len_bytes: u64) -> u64 {
    padme(len_bytes.saturating_sub(padded::LENGTH_LEN as u64)) + padded::LENGTH_LEN as u64
}

/// The key that opens one chunk. It stands in the chunk's manifest entry.
#[derive(PartialEq, Eq)]
pub struct ChunkKey(Secret32);

impl ChunkKey {
    /// Wraps the bytes of a manifest entry.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret32::from_bytes(bytes))
    }

    /// The bytes, for a manifest entry.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    pub(crate) const fn secret(&self) -> &Secret32 {
        &self.0
    }
}

/// Manifest entries are cloned with their keys; each copy is erased on its own drop.
impl Clone for ChunkKey {
    fn clone(&self) -> Self {
        Self(self.0.duplicate())
    }
}

impl std::fmt::Debug for ChunkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkKey(..)")
    }
}

/// What was done to a chunk's body before sealing. Storage nodes see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// The body is the plain content, so byte ranges of it can be opened alone.
    None,
    /// The body is one zstd frame.
    Zstd,
}

impl Compression {
    const fn flags(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Zstd => FLAG_ZSTD,
        }
    }

    const fn from_flags(flags: u8) -> Option<Self> {
        match flags {
            0 => Some(Self::None),
            FLAG_ZSTD => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// What a chunk carries: the body as it is sealed, and how it was compressed.
#[derive(Clone, PartialEq, Eq)]
pub struct ChunkPayload<'a> {
    /// How the body was compressed.
    pub compression: Compression,
    /// The body.
    pub body: Cow<'a, [u8]>,
}

/// Plaintext stays out of logs.
impl std::fmt::Debug for ChunkPayload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChunkPayload({:?}, {} bytes)", self.compression, self.body.len())
    }
}

/// A sealed chunk, its name and its key.
#[derive(Debug)]
pub struct SealedChunk {
    /// BLAKE3 of `bytes`.
    pub id: ChunkId,
    /// Opens `bytes`.
    pub key: ChunkKey,
    /// What is stored.
    pub bytes: Vec<u8>,
}

/// Opens a whole chunk.
///
/// # Errors
/// `Refused` when any byte, the length or the padding is not exactly as it was sealed.
pub fn open_chunk(key: &ChunkKey, sealed: &[u8]) -> Result<ChunkPayload<'static>, OpenError> {
    let (header, frames) = sealed.split_at_checked(CHUNK_HEADER_LEN).ok_or(OpenError::Refused)?;
    let opener = ChunkOpener::new(key, header)?;
    if sealed.len() != opener.sealed_len() {
        return Err(OpenError::Refused);
    }
    let body = padded::unpad(size_class, opener.open_frames(0, frames)?)?;
    Ok(ChunkPayload { compression: opener.compression(), body: Cow::Owned(body) })
}

fn header(compression: Compression, padded_len: u32) -> [u8; CHUNK_HEADER_LEN] {
    let mut header = [0; CHUNK_HEADER_LEN];
    header[..4].copy_from_slice(&MAGIC);
    header[4] = SUITE;
    header[5] = compression.flags();
    header[6..8].copy_from_slice(&(FRAME_LEN as u16).to_be_bytes());
    header[8..].copy_from_slice(&padded_len.to_be_bytes());
    header
}

/// Header and padding of a body about to be sealed: what the key is made from, beside the body.
pub(crate) struct Encoding<'a> {
    header: [u8; CHUNK_HEADER_LEN],
    body: &'a [u8],
    tail: Vec<u8>,
}

impl<'a> Encoding<'a> {
    /// # Panics
    /// When the body is over the largest chunk: profiles never cut one.
    pub(crate) fn new(compression: Compression, body: &'a [u8]) -> Self {
        assert!(body.len() <= CHUNK_BODY_BYTES_MAX, "profiles cut no chunk over the limit");
        let tail = padded::tail(size_class, body.len());
        let padded_len = u32::try_from(body.len() + tail.len()).expect("the body was bounded above");
        Self { header: header(compression, padded_len), body, tail }
    }

    /// A keyed hash of the header and the padded plaintext.
    pub(crate) fn hash<const N: usize>(&self, key: &Secret32) -> [u8; N] {
        prf(key, &[&self.header, self.body, &self.tail])
    }

    /// Seals into a buffer, whose content is replaced. `key` must be derived from [`hash`](Self::hash) and from
    /// nothing less.
    pub(crate) fn seal_into(&self, key: &Secret32, sealed: &mut Vec<u8>) -> ChunkId {
        let padded_len = self.body.len() + self.tail.len();
        let frame_count = padded_len.div_ceil(FRAME_LEN);
        let frames = Frames::new(key);
        sealed.clear();
        sealed.reserve(CHUNK_HEADER_LEN + padded_len + frame_count * TAG_LEN);
        sealed.extend_from_slice(&self.header);
        for index in 0..frame_count {
            let start = sealed.len();
            let frame = index * FRAME_LEN..padded_len.min((index + 1) * FRAME_LEN);
            self.append_plain(frame, sealed);
            let place = FramePlace { index: index as u32, last: index + 1 == frame_count };
            let tag = frames.seal(place, &self.header, &mut sealed[start..]);
            sealed.extend_from_slice(&tag);
        }
        ChunkId::from_bytes(*blake3::hash(sealed).as_bytes())
    }

    /// Appends a range of the padded plaintext, which is never built as one buffer.
    fn append_plain(&self, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
        let split = self.body.len();
        out.extend_from_slice(&self.body[range.start.min(split)..range.end.min(split)]);
        out.extend_from_slice(&self.tail[range.start.max(split) - split..range.end.max(split) - split]);
    }
}
