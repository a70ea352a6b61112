//! One run of written bytes, shared by every extent that shows part of it.
//!
//! A piece starts in memory and moves to a sealed place on disk once; extents hold it by reference
//! and never notice. When the last extent drops it, the bytes on disk become garbage of their
//! segment.

use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;

/// Where the bytes of a piece are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Not on disk yet.
    Memory(Bytes),
}

/// One run of written bytes.
#[derive(Debug)]
pub(crate) struct Piece {
    len: u32,
    place: Mutex<Place>,
}

impl Piece {
    /// A piece in memory.
    pub(crate) fn in_memory(bytes: Bytes) -> Arc<Self> {
        let len = u32::try_from(bytes.len()).expect("pieces are cut below 4 GiB");
        Arc::new(Self { len, place: Mutex::new(Place::Memory(bytes)) })
    }

    /// Bytes of the piece.
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// Where the bytes are.
    pub(crate) fn place(&self) -> Place {
        self.place.lock().clone()
    }
}
