//! Opening a chunk, whole or frame by frame.
//!
//! A reader that wants 4 KiB of an uncompressed chunk fetches the 12-byte header and one frame:
//!
//! ```text
//! frames = opener.frames_of(4096..8192)            0..1
//! bytes  = opener.sealed_range(frames)             12..16412 of the stored chunk
//! plain  = opener.open_range(4096..8192, &bytes)   4096 bytes
//! ```

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{ChunkKey, Compression, MAGIC, header, size_class};
use crate::error::OpenError;
use crate::limits::{CHUNK_BYTES_MAX, CHUNK_HEADER_LEN, FRAME_LEN, SUITE, TAG_LEN};
use crate::padded::LENGTH_LEN;
use crate::stream::{FramePlace, Frames, SEALED_FRAME_LEN};
use freehold_model::codec::{DecodeError, Reader};
use std::ops::Range;

/// Opens frames of one chunk. Holds the expanded key, so many frames pay for it once.
pub struct ChunkOpener {
    frames: Frames,
    header: [u8; CHUNK_HEADER_LEN],
    compression: Compression,
    padded_len: u32,
}

impl ChunkOpener {
    /// Reads a chunk's header, its first [`CHUNK_HEADER_LEN`] bytes.
    ///
    /// The header is not yet authenticated; the first frame that opens authenticates it.
    ///
    /// # Errors
    /// `Refused` when these are not the header bytes of a chunk of this suite.
    pub fn new(key: &ChunkKey, header: &[u8]) -> Result<Self, OpenError> {
        let header: [u8; CHUNK_HEADER_LEN] = header.try_into().map_err(|_| OpenError::Refused)?;
        let (compression, padded_len) = parse(&header).ok().flatten().ok_or(OpenError::Refused)?;
        Ok(Self { frames: Frames::new(key.secret()), header, compression, padded_len })
    }

    /// As [`new`](Self::new), for a chunk nobody compressed: its header follows from the length of its
    /// body, so it need not be read. `None` when no chunk has such a body.
    ///
    /// The guess authenticates itself: of a chunk with another header no frame opens.
    #[must_use]
    pub fn of_uncompressed(key: &ChunkKey, body_len: u32) -> Option<Self> {
        let padded_len =
            u32::try_from(size_class(u64::from(body_len).checked_add(LENGTH_LEN as u64)?)).ok()?;
        Self::new(key, &header(Compression::None, padded_len)).ok()
    }

    /// How the body was compressed. Ranges make sense for `None` only.
    #[must_use]
    pub const fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes of the whole stored chunk.
    #[must_use]
    pub fn sealed_len(&self) -> usize {
        self.sealed_range(0..self.frame_count()).end
    }

    /// Frames of the chunk.
    #[must_use]
    pub const fn frame_count(&self) -> u32 {
        self.padded_len.div_ceil(FRAME_LEN as u32)
    }

    /// The frames that hold a byte range of the body.
    ///
    /// # Errors
    /// `Refused` when the range is reversed or ends outside the chunk.
    pub fn frames_of(&self, body: Range<u32>) -> Result<Range<u32>, OpenError> {
        let body_max = self.padded_len.saturating_sub(LENGTH_LEN as u32);
        if body.start > body.end || body.end > body_max {
            return Err(OpenError::Refused);
        }
        let first = body.start.checked_div(FRAME_LEN as u32).unwrap_or_default();
        Ok(first..body.end.div_ceil(FRAME_LEN as u32).max(first))
    }

    /// Where the frames lie in the stored chunk. Frames past the end take no bytes.
    #[must_use]
    pub fn sealed_range(&self, frames: Range<u32>) -> Range<usize> {
        self.sealed_offset(frames.start)..self.sealed_offset(frames.end)
    }

    /// Opens whole frames, `sealed` beginning with frame `first`.
    ///
    /// The last frame of the chunk also holds padding and the body's length.
    ///
    /// # Errors
    /// `Refused` when a frame is damaged, out of its place, cut short or past the end.
    pub fn open_frames(&self, first: u32, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut plain = Vec::with_capacity(sealed.len().min(CHUNK_BYTES_MAX));
        for (index, frame) in (first..).zip(sealed.chunks(SEALED_FRAME_LEN)) {
            self.open_frame(index, frame, &mut plain)?;
        }
        Ok(plain)
    }

    /// Opens a byte range of the body from the frames [`frames_of`](Self::frames_of) names.
    ///
    /// The caller bounds the range by the plaintext length in its manifest: the padding's zeros
    /// lie inside the last frame, and only a whole opening sees where the body ends.
    ///
    /// # Errors
    /// `Refused` when a frame does, or when `sealed` is not exactly those frames.
    pub fn open_range(&self, body: Range<u32>, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let frames = self.frames_of(body.clone())?;
        if self.sealed_range(frames.clone()).len() != sealed.len() {
            return Err(OpenError::Refused);
        }
        let mut plain = self.open_frames(frames.start, sealed)?;
        let skipped = (body.start as usize).saturating_sub((frames.start as usize).saturating_mul(FRAME_LEN));
        plain.drain(..skipped.min(plain.len()));
        plain.truncate(body.len());
        Ok(plain)
    }

    fn open_frame(&self, index: u32, frame: &[u8], plain: &mut Vec<u8>) -> Result<(), OpenError> {
        let (data, tag) = frame.split_last_chunk::<TAG_LEN>().ok_or(OpenError::Refused)?;
        let place = FramePlace { index, last: index.checked_add(1) == Some(self.frame_count()) };
        let start = plain.len();
        plain.extend_from_slice(data);
        let data = plain.get_mut(start..).ok_or(OpenError::Refused)?;
        self.frames.open(place, &self.header, data, tag)
    }

    fn sealed_offset(&self, frame: u32) -> usize {
        let frames = frame.min(self.frame_count()) as usize;
        let plain = frames.saturating_mul(FRAME_LEN).min(self.padded_len as usize);
        plain.saturating_add(frames.saturating_mul(TAG_LEN)).saturating_add(CHUNK_HEADER_LEN)
    }
}

impl std::fmt::Debug for ChunkOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChunkOpener({:?}, {} padded bytes)", self.compression, self.padded_len)
    }
}

/// `None` stands for well-formed fields of another suite or shape.
fn parse(header: &[u8]) -> Result<Option<(Compression, u32)>, DecodeError> {
    let mut input = Reader::new(header);
    input.expect(&MAGIC, "chunk magic")?;
    let (suite, flags) = (input.u8()?, input.u8()?);
    let (frame_len, padded_len) = (input.u16()?, input.u32()?);
    input.finish()?;
    let known = suite == SUITE && usize::from(frame_len) == FRAME_LEN;
    let canonical = padded_len >= LENGTH_LEN as u32
        && padded_len as usize <= CHUNK_BYTES_MAX
        && size_class(padded_len.into()) == u64::from(padded_len);
    Ok(Compression::from_flags(flags)
        .filter(|_| known && canonical)
        .map(|compression| (compression, padded_len)))
}
