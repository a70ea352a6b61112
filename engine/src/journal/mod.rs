//! The sealed journal and staging: the truth on disk.
//!
//! The journal is state-based. A *batch* is everything that changed since the last one, taken in
//! one piece under the tables' lock: full records with local attributes, changes of extent maps,
//! sync state. Replay applies batches in order, the last state of a node wins, so what is recovered
//! is always a state that existed.
//!
//! ```text
//! write ──> Piece in memory ─┬─ flush ──> data frame in the journal (small batches)
//!                            └─ flush ──> staging segment (large batches)
//! write > 64 KiB ──────────────────────> staging segment, at once
//! flush: staging fdatasync ──> frames of the batch ──> journal fdatasync
//! ```
//!
//! Ordered mode follows from that order: no durable batch names bytes that are not durable. One
//! `fdatasync` serves every caller that waits. After a failed flush the segment is never written or
//! trusted again; the next batch opens a new one and repeats the state of everything involved.
//!
//! Bytes written over bytes are durable sooner than ones that make a file longer, so the flush thread
//! writes the next segment full of zeroes beforehand: [`spare`].

pub(crate) mod frame;
pub(crate) mod item;
pub(crate) mod replay;
pub(crate) mod seal;
pub(crate) mod segment;
pub(crate) mod space;
pub(crate) mod spare;
pub(crate) mod staging;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod writer;

pub(crate) use seal::Sealer;
pub(crate) use segment::{Segment, SegmentKind, Segments};

use crate::FsError;
use freehold_crypto::LocalKey;
use std::sync::Arc;

/// Where a sealed piece lies; holding it keeps the segment from being deleted.
#[derive(Clone, Debug)]
pub(crate) struct Loc {
    pub(crate) segment: Arc<Segment>,
    /// Offset of the sealed bytes in the segment.
    pub(crate) offset: u64,
    /// Length of the sealed bytes.
    pub(crate) sealed_len: u32,
}

impl Loc {
    /// Reads and opens the piece.
    pub(crate) fn read(&self, sealer: &Sealer) -> Result<Vec<u8>, FsError> {
        let len = usize::try_from(self.sealed_len).map_err(|_| FsError::Damaged)?;
        if len > crate::limits::SEALED_PIECE_BYTES_MAX {
            return Err(FsError::Damaged);
        }
        let mut plain = vec![0; len.checked_sub(LocalKey::OVERHEAD).ok_or(FsError::Damaged)?];
        self.read_into(sealer, &mut plain)?;
        Ok(plain)
    }

    /// Reads the piece and opens it where it is to be; `plain` has its length.
    pub(crate) fn read_into(&self, sealer: &Sealer, plain: &mut [u8]) -> Result<(), FsError> {
        let sealed_len = Sealer::sealed_piece_len(plain.len());
        if u64::from(self.sealed_len) != sealed_len as u64 {
            return Err(FsError::Damaged);
        }
        let (mut head, mut tag) = ([0; LocalKey::HEAD], [0; LocalKey::TAG]);
        let body = self.offset + head.len() as u64;
        self.read_at(self.offset, &mut head)?;
        self.read_at(body, plain)?;
        self.read_at(body + plain.len() as u64, &mut tag)?;
        sealer.open_piece(&self.segment, self.offset, &head, plain, &tag).ok_or(FsError::Damaged)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FsError> {
        self.segment.file.read_exact_at(offset, buffer).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => FsError::Damaged,
            _ => FsError::Io,
        })
    }
}
