//! File bodies: where each byte of a file comes from.
//!
//! A body is an extent map. Bytes written here and not yet cut into chunks are *pieces*, in memory
//! or sealed in the journal or a staging segment; bytes of a numbered or uploaded version are
//! *clean*, found through the version's manifest in the chunk cache or fetched; everything else is
//! a hole and reads as zeroes.

pub(crate) mod extents;
pub(crate) mod piece;

pub(crate) use extents::{ExtentMap, Source};
pub(crate) use piece::Piece;

/// The content of one file, as this device sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub(crate) extents: ExtentMap,
    pub(crate) size: u64,
}
