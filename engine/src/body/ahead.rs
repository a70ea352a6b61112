//! Pieces of a body that were sealed while a program was still writing it.
//!
//! A large file is mostly written from front to back. What lies well behind the place where it grows is
//! sealed at once, so that little is left to do when the file is closed and other devices get it sooner.
//! A change below takes back what was sealed there, and a body that is changed like that again and again
//! is left alone until it is cut. All of this is in memory only: after a restart the cut seals everything.

use crate::body::{ExtentMap, Source};
use crate::limits::{AHEAD_BYTES_MIN, AHEAD_JOB_PIECES, AHEAD_LAG_BYTES, AHEAD_PIECES_MAX, AHEAD_WASTED_MAX};
use freehold_vault::limits::FIXED_BLOCK_BYTES;
use freehold_vault::manifest::ManifestEntry;
use std::collections::{BTreeMap, BTreeSet};

/// Blocks looked at in one search, so that the tables are not held for long.
const LOOKED_AT_MAX: u64 = 256;

/// A sealed piece.
#[derive(Clone, Debug)]
pub(crate) struct AheadPiece {
    pub(crate) entry: ManifestEntry,
    /// A version names it: that version's pin or its place on nodes keeps the chunk.
    pub(crate) is_named: bool,
}

/// Pieces by the offset where they begin.
pub(crate) type AheadPieces = BTreeMap<u64, AheadPiece>;

/// What is sealed of one body, and what is being sealed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ahead {
    sealed: AheadPieces,
    /// Offsets of pieces being sealed that were not changed since.
    sealing: BTreeSet<u64>,
    /// Where the search goes on.
    next: u64,
    /// The end of the written byte that is furthest in.
    head: u64,
    /// Pieces sealed in vain.
    wasted: usize,
}

impl Ahead {
    /// Notes that a range was written, cut off or made a hole.
    pub(crate) fn changed(&mut self, offset: u64, len: u64) {
        if self.next <= offset || (self.sealed.is_empty() && self.sealing.is_empty()) {
            return;
        }
        let end = offset.saturating_add(len);
        let first = offset / FIXED_BLOCK_BYTES * FIXED_BLOCK_BYTES;
        let in_vain: Vec<u64> = self.sealed.range(first..end).map(|(at, _)| *at).collect();
        for at in in_vain {
            self.sealed.remove(&at);
            self.wasted += 1;
        }
        let still: Vec<u64> = self.sealing.range(first..end).copied().collect();
        for at in still {
            self.sealing.remove(&at);
        }
    }

    /// Notes that the body ends here now.
    pub(crate) fn cut_to(&mut self, size: u64) {
        self.changed(size, u64::MAX);
        self.head = self.head.min(size);
        self.next = self.next.min(size / FIXED_BLOCK_BYTES * FIXED_BLOCK_BYTES);
    }

    /// Notes how far bytes were written.
    pub(crate) fn written_to(&mut self, end: u64) {
        self.head = self.head.max(end);
    }

    /// The next pieces to seal, by offset; each is all written bytes. Empty while there is nothing to do.
    pub(crate) fn begin(&mut self, extents: &ExtentMap) -> Vec<u64> {
        let is_worth_it = self.head >= AHEAD_BYTES_MIN
            && self.wasted < AHEAD_WASTED_MAX
            && self.sealed.len() < AHEAD_PIECES_MAX
            && self.sealing.is_empty();
        if !is_worth_it {
            return Vec::new();
        }
        let mut found = Vec::new();
        for _ in 0..LOOKED_AT_MAX {
            let end = self.next + FIXED_BLOCK_BYTES;
            if found.len() == AHEAD_JOB_PIECES || end + AHEAD_LAG_BYTES > self.head {
                break;
            }
            if !self.sealed.contains_key(&self.next) && is_written(extents, self.next) {
                found.push(self.next);
            }
            self.next = end;
        }
        self.sealing.extend(&found);
        found
    }

    /// Keeps what was sealed and not changed meanwhile.
    pub(crate) fn keep(&mut self, pieces: Vec<(u64, AheadPiece)>) {
        for (offset, piece) in pieces {
            if self.sealing.remove(&offset) {
                self.sealed.insert(offset, piece);
            } else {
                self.wasted += 1;
            }
        }
        self.sealing.clear();
    }

    /// Seals nothing more of this body before it is cut.
    pub(crate) fn give_up(&mut self) {
        self.sealing.clear();
        self.wasted = AHEAD_WASTED_MAX;
    }

    /// What is sealed.
    pub(crate) const fn sealed(&self) -> &AheadPieces {
        &self.sealed
    }

    /// The body was cut, and is written on: a version names everything that is sealed.
    pub(crate) fn named(&mut self) {
        self.wasted = 0;
        self.sealed.values_mut().for_each(|piece| piece.is_named = true);
    }
}

/// Whether a block is nothing but bytes written here.
fn is_written(extents: &ExtentMap, offset: u64) -> bool {
    let stretches = extents.stretches(offset, FIXED_BLOCK_BYTES);
    stretches.iter().all(|stretch| matches!(stretch.source, Some(Source::Piece { .. })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Piece;
    use crate::body::piece::Gauge;
    use bytes::Bytes;
    use freehold_crypto::ChunkKey;
    use freehold_model::ChunkId;

    const BLOCK: u64 = FIXED_BLOCK_BYTES;

    fn write(ahead: &mut Ahead, extents: &mut ExtentMap, offset: u64, len: u64) {
        let bytes = Bytes::from(vec![1; usize::try_from(len).expect("small")]);
        let piece = Piece::in_memory(bytes, &Gauge::default());
        extents.insert(offset, len, Source::Piece { piece, skip: 0 });
        ahead.changed(offset, len);
        ahead.written_to(offset + len);
    }

    fn piece() -> AheadPiece {
        let entry = ManifestEntry {
            chunk: ChunkId::from_bytes([1; 32]),
            key: ChunkKey::from_bytes([1; 32]),
            h: [1; 16],
            plain_len: u32::try_from(BLOCK).expect("small"),
        };
        AheadPiece { entry, is_named: false }
    }

    fn grown(blocks: u64) -> (Ahead, ExtentMap) {
        let (mut ahead, mut extents) = (Ahead::default(), ExtentMap::default());
        for at in 0..blocks {
            write(&mut ahead, &mut extents, at * BLOCK, BLOCK);
        }
        (ahead, extents)
    }

    #[test]
    fn what_lies_behind_the_growing_end_is_sealed_in_order_and_once() {
        let blocks = (AHEAD_BYTES_MIN + AHEAD_LAG_BYTES) / BLOCK;
        let (mut ahead, extents) = grown(blocks);
        let mut all = Vec::new();
        loop {
            let job = ahead.begin(&extents);
            if job.is_empty() {
                break;
            }
            assert!(job.len() <= AHEAD_JOB_PIECES);
            assert!(ahead.begin(&extents).is_empty(), "one job at a time");
            ahead.keep(job.iter().map(|at| (*at, piece())).collect());
            all.extend(job);
        }
        let expected: Vec<u64> = (0..AHEAD_BYTES_MIN / BLOCK).map(|at| at * BLOCK).collect();
        assert_eq!(all, expected);
        assert_eq!(ahead.sealed().keys().copied().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_small_file_is_left_to_the_cut() {
        let (mut ahead, extents) = grown(AHEAD_BYTES_MIN / BLOCK - 1);
        assert!(ahead.begin(&extents).is_empty());
    }

    #[test]
    fn a_change_takes_back_what_was_sealed_or_is_being_sealed_there() {
        let (mut ahead, mut extents) = grown(64);
        let job = ahead.begin(&extents);
        write(&mut ahead, &mut extents, BLOCK + 1, 1);
        ahead.keep(job.iter().map(|at| (*at, piece())).collect());
        assert!(ahead.sealed().contains_key(&0));
        assert!(!ahead.sealed().contains_key(&BLOCK), "changed while it was being sealed");
        write(&mut ahead, &mut extents, 3 * BLOCK - 1, 2);
        assert!(!ahead.sealed().contains_key(&(2 * BLOCK)), "its last byte changed");
        assert!(!ahead.sealed().contains_key(&(3 * BLOCK)), "its first byte changed");
        assert!(ahead.sealed().contains_key(&(4 * BLOCK)));
        ahead.changed(0, u64::MAX);
        assert!(ahead.sealed().is_empty());
    }

    #[test]
    fn a_body_that_keeps_changing_below_is_left_alone() {
        let (mut ahead, mut extents) = grown(64);
        for at in 0..=AHEAD_WASTED_MAX as u64 {
            let job = ahead.begin(&extents);
            ahead.keep(job.iter().map(|at| (*at, piece())).collect());
            write(&mut ahead, &mut extents, at % 4 * BLOCK, 1);
            ahead.next = 0;
        }
        assert!(ahead.begin(&extents).is_empty());
        ahead.named();
        assert!(!ahead.begin(&extents).is_empty(), "the cut begins anew");
    }

    #[test]
    fn holes_and_parts_of_a_version_are_left_to_the_cut() {
        let (mut ahead, mut extents) = grown(64);
        extents.clear(BLOCK + 5, 1);
        let job = ahead.begin(&extents);
        assert!(job.contains(&0) && !job.contains(&BLOCK) && job.contains(&(2 * BLOCK)));
    }
}
