//! One run of written bytes, shared by every extent that shows part of it.
//!
//! A piece starts in memory and moves to a sealed place on disk once; extents hold it by reference
//! and never notice. When the last extent drops it, the bytes on disk become garbage of their
//! segment.

use crate::FsError;
use crate::journal::Loc;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the bytes of a piece are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Not on disk yet.
    Memory(Bytes),
    /// On its way to a place on disk: until it is there the bytes at hand are what readers get.
    Leaving(Bytes, Loc),
    /// Sealed on disk.
    Stored(Loc),
    /// Damaged or lost with a failed disk.
    Lost,
}

impl Place {
    const fn is_in_memory(&self) -> bool {
        matches!(self, Self::Memory(_) | Self::Leaving(..))
    }
}

/// Bytes of all pieces of a volume that are in memory.
pub(crate) type Gauge = Arc<AtomicUsize>;

/// One run of written bytes.
#[derive(Debug)]
pub(crate) struct Piece {
    len: u32,
    place: Mutex<Place>,
    in_memory: Option<Gauge>,
}

impl Piece {
    /// A piece in memory, counted by the gauge until it is stored or dropped.
    pub(crate) fn in_memory(bytes: Bytes, gauge: &Gauge) -> Arc<Self> {
        let len = u32::try_from(bytes.len()).expect("pieces are cut below 4 GiB");
        gauge.fetch_add(bytes.len(), Ordering::Relaxed);
        Arc::new(Self { len, place: Mutex::new(Place::Memory(bytes)), in_memory: Some(Arc::clone(gauge)) })
    }

    /// A piece on disk.
    pub(crate) fn stored(loc: Loc, len: u32) -> Arc<Self> {
        Arc::new(Self { len, place: Mutex::new(Place::Stored(loc)), in_memory: None })
    }

    /// A piece whose bytes are gone.
    pub(crate) fn lost(len: u32) -> Arc<Self> {
        Arc::new(Self { len, place: Mutex::new(Place::Lost), in_memory: None })
    }

    /// Bytes of the piece.
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// Where the bytes are.
    pub(crate) fn place(&self) -> Place {
        self.place.lock().clone()
    }

    /// Whether the bytes are gone.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(*self.place.lock(), Place::Lost)
    }

    /// Moves the piece.
    pub(crate) fn set_place(&self, to: Place) {
        let mut place = self.place.lock();
        let (before, after) = (place.is_in_memory(), to.is_in_memory());
        *place = to;
        if let (true, false, Some(gauge)) = (before, after, &self.in_memory) {
            gauge.fetch_sub(self.len as usize, Ordering::Relaxed);
        }
    }

    /// Where the piece lies on disk.
    ///
    /// # Errors
    /// `Damaged` for a lost piece, `Io` for one that is not on disk.
    pub(crate) fn loc(&self) -> Result<Loc, FsError> {
        match &*self.place.lock() {
            Place::Stored(loc) | Place::Leaving(_, loc) => Ok(loc.clone()),
            Place::Lost => Err(FsError::Damaged),
            Place::Memory(_) => Err(FsError::Io),
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.set_place(Place::Lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Segment;
    use freehold_store::{Disk, OsDisk};

    #[test]
    fn a_piece_on_its_way_has_a_place_and_still_its_bytes() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let disk = OsDisk::open(dir.path()).expect("an empty directory");
        let file = disk.create("segment").expect("a fresh name");
        let segment = Arc::new(Segment { number: 1, kind: crate::journal::SegmentKind::Journal, file });
        let gauge = Gauge::default();
        let bytes = Bytes::from_static(b"written");
        let piece = Piece::in_memory(bytes.clone(), &gauge);
        let loc = Loc { segment, offset: 7, sealed_len: 9 };
        piece.set_place(Place::Leaving(bytes.clone(), loc.clone()));
        assert_eq!(piece.loc().expect("named by the journal").offset, 7);
        assert!(matches!(piece.place(), Place::Leaving(at_hand, _) if at_hand == bytes));
        // The write failed: they stay counted.
        piece.set_place(Place::Memory(bytes));
        assert_eq!(gauge.load(Ordering::Relaxed), 7);
        piece.set_place(Place::Stored(loc));
        assert_eq!(gauge.load(Ordering::Relaxed), 0);
    }
}
