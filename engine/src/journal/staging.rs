//! Staging: segments of sealed pieces, written as the bytes arrive.
//!
//! Append-only. A piece's place is taken under a short lock, its bytes are written without one, so
//! writers of different files do not wait for each other's disk writes. Nothing here is durable
//! until [`Staging::sync`], which the flush calls before the batch that names the pieces.

use crate::journal::space::{Space, is_full};
use crate::journal::{Loc, Sealer, Segment, SegmentKind, Segments};
use crate::tables::OsEntropy;
use crate::{FsError, limits};
use freehold_model::Entropy;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Appends pieces to the current staging segment.
pub(crate) struct Staging {
    sealer: Arc<Sealer>,
    segments: Arc<Mutex<Segments>>,
    space: Arc<Space>,
    state: Mutex<State>,
}

/// Bytes a sealed piece draws, its nonce: `core/crypto/src/local.rs`. A wrong number costs calls, nothing else.
const NONCE_BYTES: usize = 24;

/// Random bytes of several pieces, drawn from the system in one call.
struct Drawn {
    bytes: Vec<u8>,
    used: usize,
}

impl Drawn {
    fn of(len: usize) -> Self {
        let mut bytes = vec![0; len];
        OsEntropy.fill(&mut bytes);
        Self { bytes, used: 0 }
    }
}

impl Entropy for Drawn {
    fn fill(&mut self, buffer: &mut [u8]) {
        match self.bytes.get(self.used..self.used + buffer.len()) {
            Some(drawn) => buffer.copy_from_slice(drawn),
            None => OsEntropy.fill(buffer),
        }
        self.used += buffer.len();
    }
}

#[derive(Default)]
struct State {
    current: Option<(Arc<Segment>, u64)>,
    unsynced: BTreeMap<u64, Arc<Segment>>,
    /// Segments nobody is likely to read soon, once they are synced.
    done_with: BTreeSet<u64>,
}

impl Staging {
    pub(crate) fn new(sealer: Arc<Sealer>, segments: Arc<Mutex<Segments>>, space: Arc<Space>) -> Self {
        Self { sealer, segments, space, state: Mutex::new(State::default()) }
    }

    /// Seals and writes one piece.
    ///
    /// # Errors
    /// `Io`, `NoSpace`.
    pub(crate) fn append(&self, plain: &[u8]) -> Result<Loc, FsError> {
        let mut place = None;
        self.append_all(&[plain], |_, loc| place = Some(loc))?;
        place.ok_or(FsError::Io)
    }

    /// Seals and writes pieces, runs of them with one write each, and says of each, by its number, where
    /// it lies.
    ///
    /// # Errors
    /// `Io`, `NoSpace`: pieces whose place was not told are not there.
    pub(crate) fn append_all(
        &self,
        pieces: &[impl AsRef<[u8]>],
        mut placed: impl FnMut(usize, Loc),
    ) -> Result<(), FsError> {
        let mut rest = pieces;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |piece: &&_| {
                bytes += Sealer::sealed_piece_len(AsRef::<[u8]>::as_ref(*piece).len());
                bytes <= limits::STAGING_WRITE_BYTES
            };
            let (run, after) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            rest = after;
            let first = pieces.len() - rest.len() - run.len();
            for (index, loc) in (first..).zip(self.append_run(run)?) {
                placed(index, loc);
            }
        }
        Ok(())
    }

    fn append_run(&self, run: &[impl AsRef<[u8]>]) -> Result<Vec<Loc>, FsError> {
        let mut locs = Vec::with_capacity(run.len());
        let total: usize = run.iter().map(|piece| Sealer::sealed_piece_len(piece.as_ref().len())).sum();
        let (segment, offset) = self.claim(total as u64)?;
        let mut sealed = Vec::with_capacity(total);
        let mut entropy = Drawn::of(run.len() * NONCE_BYTES);
        for piece in run {
            let (start, at) = (sealed.len(), offset + sealed.len() as u64);
            self.sealer.seal_piece_into(&segment, at, piece.as_ref(), &mut entropy, &mut sealed);
            let sealed_len = u32::try_from(sealed.len() - start).map_err(|_| FsError::Invalid)?;
            locs.push(Loc { segment: Arc::clone(&segment), offset: at, sealed_len });
        }
        assert_eq!(sealed.len(), total, "sealed pieces have the length that was claimed for them");
        self.space.write(|| segment.file.write_all_at(offset, &sealed)).map_err(|error| {
            // The place stays a gap nothing refers to; later pieces go to a fresh segment.
            self.abandon(&segment);
            if is_full(&error) { FsError::NoSpace } else { FsError::Io }
        })?;
        // A sync that ran since the claim may have taken the segment off the list before these bytes
        // were there. Whoever flushes an extent that shows them comes after this line.
        self.state.lock().unsynced.insert(segment.number, Arc::clone(&segment));
        Ok(locs)
    }

    fn claim(&self, len: u64) -> Result<(Arc<Segment>, u64), FsError> {
        let mut state = self.state.lock();
        let fits = state.current.as_ref().is_some_and(|(_, end)| *end + len <= limits::STAGING_SEGMENT_BYTES);
        if !fits {
            let created = self.space.write(|| self.segments.lock().create(SegmentKind::Staging));
            let segment =
                created.map_err(|error| if is_full(&error) { FsError::NoSpace } else { FsError::Io })?;
            state.current = Some((segment, 0));
        }
        let Some((segment, end)) = &mut state.current else { return Err(FsError::Io) };
        let claimed = (Arc::clone(segment), *end);
        *end += len;
        state.unsynced.insert(claimed.0.number, Arc::clone(&claimed.0));
        Ok(claimed)
    }

    /// Lets no further piece into a segment.
    pub(crate) fn abandon(&self, segment: &Arc<Segment>) {
        let mut state = self.state.lock();
        if state.current.as_ref().is_some_and(|(current, _)| current.number == segment.number) {
            state.current = None;
        }
    }

    /// Makes every piece appended so far durable.
    ///
    /// # Errors
    /// The segments whose flush failed: their unsynced bytes may be gone.
    pub(crate) fn sync(&self) -> Result<(), Vec<Arc<Segment>>> {
        let unsynced = std::mem::take(&mut self.state.lock().unsynced);
        let mut failed = Vec::new();
        for segment in unsynced.into_values() {
            if segment.file.sync_data().is_err() {
                failed.push(segment);
            } else if self.state.lock().done_with.remove(&segment.number) {
                segment.file.drop_cached();
            }
        }
        failed.iter().for_each(|segment| self.abandon(segment));
        if failed.is_empty() { Ok(()) } else { Err(failed) }
    }

    /// A full segment whose bytes were sealed for sending already is not likely to be read soon: the
    /// system need not keep it in memory, at once or as soon as it is synced.
    pub(crate) fn done_with(&self, segment: &Arc<Segment>) {
        let mut state = self.state.lock();
        if state.unsynced.contains_key(&segment.number) {
            state.done_with.insert(segment.number);
        } else {
            segment.file.drop_cached();
        }
    }

    /// The segment that takes the next piece.
    pub(crate) fn current(&self) -> Option<u64> {
        self.state.lock().current.as_ref().map(|(segment, _)| segment.number)
    }
}
