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

pub(crate) mod frame;
pub(crate) mod item;
pub(crate) mod replay;
pub(crate) mod seal;
pub(crate) mod segment;
pub(crate) mod space;
pub(crate) mod staging;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod writer;

pub(crate) use seal::Sealer;
pub(crate) use segment::{Segment, SegmentKind, Segments};

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
    pub(crate) fn read(&self, sealer: &Sealer) -> Result<Vec<u8>, crate::FsError> {
        let len = usize::try_from(self.sealed_len).map_err(|_| crate::FsError::Damaged)?;
        if len > crate::limits::SEALED_PIECE_BYTES_MAX {
            return Err(crate::FsError::Damaged);
        }
        let mut sealed = vec![0; len];
        match self.segment.file.read_exact_at(self.offset, &mut sealed) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(crate::FsError::Damaged);
            }
            Err(_) => return Err(crate::FsError::Io),
        }
        sealer.open_piece(&self.segment, self.offset, &sealed).ok_or(crate::FsError::Damaged)
    }
}
