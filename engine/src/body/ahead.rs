//! Pieces of a body that were sealed while a program was still writing it.
//!
//! A large file is mostly written from front to back. What lies well behind the place where it grows is
//! sealed at once, so that little is left to do when the file is closed and other devices get it sooner. It is cut as
//! the whole will be: each job goes on at the last cut of the one before. A change below takes back what was sealed
//! there, and a body that is changed like that again and again is left alone until it is cut. Behind a hole the cuts
//! begin anew; the first few are not those of the whole then, and the cut passes them over. All of this is in
//! memory only: after a restart the cut seals everything.

use crate::body::{ExtentMap, Source};
use crate::limits::{AHEAD_JOB_BYTES, AHEAD_LAG_BYTES, AHEAD_PIECES_MAX, AHEAD_WASTED_MAX};
use freehold_vault::Profile;
use freehold_vault::limits::{FIXED_BLOCK_BYTES, SMALL_BYTES_MAX};
use freehold_vault::manifest::ManifestEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Stretches without enough written bytes passed over in one search, so that the tables are not held for long.
const PASSED_MAX: usize = 64;

/// Changes within the range of a job that are told apart; beyond that all of the job is in vain.
const SPOILED_MAX: usize = 64;

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
    /// What `sealed` is cut by, once something is.
    profile: Option<Profile>,
    /// What is being sealed.
    sealing: Option<Range<u64>>,
    /// What of it was changed since.
    spoiled: Vec<Range<u64>>,
    /// Where the search goes on: the last cut, or behind a hole.
    next: u64,
    /// The end of the written byte that is furthest in.
    head: u64,
    /// Pieces sealed in vain.
    wasted: usize,
    /// There was no room, or sealing failed.
    is_given_up: bool,
    /// Where the pieces begin that the cut under way has taken.
    taken: BTreeSet<u64>,
}

impl Ahead {
    /// Notes that a range was written, cut off or made a hole.
    pub(crate) fn changed(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len);
        if let Some(sealing) = self.sealing.clone().filter(|range| range.start < end && offset < range.end) {
            if self.spoiled.len() >= SPOILED_MAX {
                self.spoiled.clear();
                self.spoiled.push(sealing);
            } else if self.spoiled.last() != Some(&sealing) {
                self.spoiled.push(offset..end);
            }
        }
        if self.next <= offset || self.sealed.is_empty() {
            return;
        }
        let touched = self.sealed.range(..end).rev();
        let in_vain: Vec<u64> =
            touched.take_while(|(at, piece)| piece_end(**at, piece) > offset).map(|(at, _)| *at).collect();
        // One change, however many pieces it takes back.
        self.wasted += usize::from(!in_vain.is_empty());
        for at in in_vain {
            self.sealed.remove(&at);
        }
    }

    /// Notes that the body ends here now.
    pub(crate) fn cut_to(&mut self, size: u64) {
        let wasted = self.wasted;
        self.changed(size, u64::MAX - size);
        // A file that is begun anew is not one that is patched.
        self.wasted = wasted;
        self.head = self.head.min(size);
        if self.next > size {
            self.next = self.last_cut();
        }
    }

    /// Notes how far bytes were written.
    pub(crate) fn written_to(&mut self, end: u64) {
        self.head = self.head.max(end);
    }

    /// The next range to seal, all of it written bytes and enough for one piece. `None` while there is nothing to do.
    pub(crate) fn begin(&mut self, extents: &ExtentMap, profile: Profile) -> Option<Range<u64>> {
        let is_worth_it = self.head > SMALL_BYTES_MAX
            && self.wasted < AHEAD_WASTED_MAX
            && !self.is_given_up
            && self.sealed.len() < AHEAD_PIECES_MAX
            && self.sealing.is_none();
        if !is_worth_it {
            return None;
        }
        if self.profile != Some(profile) {
            *self = Self { head: self.head, wasted: self.wasted, profile: Some(profile), ..Self::default() };
        }
        // From any offset on this much has a whole piece in it.
        let enough = profile.rule().map_or(2 * FIXED_BLOCK_BYTES, |rule| rule.max_bytes() as u64);
        let job = AHEAD_JOB_BYTES.max(2 * enough);
        let limit = self.head.saturating_sub(AHEAD_LAG_BYTES);
        for _ in 0..PASSED_MAX {
            let end = limit.min(self.next.saturating_add(job));
            let run = written(extents, self.next..end)?;
            if run.end - run.start >= enough {
                self.next = run.start;
                self.sealing = Some(run.clone());
                return Some(run);
            }
            if run.end == limit {
                return None;
            }
            // A run that the end of the job cuts off is looked at again from its begin.
            self.next = if run.end == end && run.start > self.next { run.start } else { run.end };
        }
        None
    }

    /// Keeps what was sealed and not changed meanwhile.
    pub(crate) fn keep(&mut self, pieces: Vec<(u64, AheadPiece)>) {
        let spoiled = std::mem::take(&mut self.spoiled);
        if self.sealing.take().is_none() {
            return;
        }
        let is_spoiled =
            |offset: u64, end: u64| spoiled.iter().any(|range| range.start < end && offset < range.end);
        let mut in_vain = 0;
        for (offset, piece) in pieces {
            let end = piece_end(offset, &piece);
            self.next = end;
            if is_spoiled(offset, end) {
                in_vain += 1;
            } else {
                self.sealed.insert(offset, piece);
            }
        }
        self.wasted += usize::from(in_vain > 0);
        if self.next > self.head {
            self.next = self.last_cut();
        }
    }

    /// Seals nothing more of this body before it is cut.
    pub(crate) fn give_up(&mut self) {
        self.sealing = None;
        self.spoiled.clear();
        self.is_given_up = true;
    }

    /// What is sealed.
    pub(crate) const fn sealed(&self) -> &AheadPieces {
        &self.sealed
    }

    /// What is sealed is cut by this.
    pub(crate) fn profile(&self) -> Option<Profile> {
        self.profile.filter(|_| !self.sealed.is_empty())
    }

    /// Whether it was changed behind its growing end again and again.
    pub(crate) const fn is_rewritten(&self) -> bool {
        self.wasted >= AHEAD_WASTED_MAX
    }

    /// Notes which pieces a cut has taken that will be installed.
    pub(crate) fn taken(&mut self, offsets: BTreeSet<u64>) {
        self.taken = offsets;
    }

    /// The body was cut, and is written on: a version names the pieces that its cut had taken. Others have no pin
    /// that lasts.
    pub(crate) fn named(&mut self) {
        (self.wasted, self.is_given_up) = (0, false);
        let taken = std::mem::take(&mut self.taken);
        self.sealed.retain(|at, _| taken.contains(at));
        self.sealed.values_mut().for_each(|piece| piece.is_named = true);
    }

    fn last_cut(&self) -> u64 {
        self.sealed.last_key_value().map_or(0, |(at, piece)| piece_end(*at, piece))
    }
}

fn piece_end(offset: u64, piece: &AheadPiece) -> u64 {
    offset + u64::from(piece.entry.plain_len)
}

/// The first run of nothing but bytes written here in a range, which may be empty at its end; `None` for an empty range.
fn written(extents: &ExtentMap, range: Range<u64>) -> Option<Range<u64>> {
    let len = range.end.checked_sub(range.start).filter(|len| *len > 0)?;
    let mut run = range.end..range.end;
    for stretch in extents.stretches(range.start, len) {
        let end = stretch.offset + stretch.len;
        match (stretch.source, run.start == range.end) {
            (Some(Source::Piece { .. }), true) => run = stretch.offset..end,
            (Some(Source::Piece { .. }), false) => run.end = end,
            (_, true) => {}
            (_, false) => break,
        }
    }
    Some(run)
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
    const MIB: u64 = 1 << 20;

    fn write(ahead: &mut Ahead, extents: &mut ExtentMap, offset: u64, len: u64) {
        let bytes = Bytes::from(vec![1; usize::try_from(len).expect("small")]);
        let piece = Piece::in_memory(bytes, &Gauge::default());
        extents.insert(offset, len, Source::Piece { piece, skip: 0 });
        ahead.changed(offset, len);
        ahead.written_to(offset + len);
    }

    fn piece(len: u64) -> AheadPiece {
        let entry = ManifestEntry {
            chunk: ChunkId::from_bytes([1; 32]),
            key: ChunkKey::from_bytes([1; 32]),
            h: [1; 16],
            plain_len: u32::try_from(len).expect("small"),
        };
        AheadPiece { entry, is_named: false }
    }

    /// Pieces of 200,000 bytes in a range, as a chunker might cut them; the rest of it is left.
    fn cut(range: &Range<u64>) -> Vec<(u64, AheadPiece)> {
        let count = (range.end - range.start) / 200_000;
        (0..count).map(|at| (range.start + at * 200_000, piece(200_000))).collect()
    }

    fn grown(mib: u64) -> (Ahead, ExtentMap) {
        let (mut ahead, mut extents) = (Ahead::default(), ExtentMap::default());
        for at in 0..mib * MIB / BLOCK {
            write(&mut ahead, &mut extents, at * BLOCK, BLOCK);
        }
        (ahead, extents)
    }

    #[test]
    fn what_lies_behind_the_growing_end_is_sealed_in_order_each_job_from_the_last_cut_on() {
        let (mut ahead, extents) = grown(32);
        let mut next = 0;
        while let Some(job) = ahead.begin(&extents, Profile::Medium) {
            assert_eq!(job.start, next);
            assert!(job.end <= 32 * MIB - AHEAD_LAG_BYTES && job.end - job.start >= 512 * 1024);
            assert!(ahead.begin(&extents, Profile::Medium).is_none(), "one job at a time");
            let pieces = cut(&job);
            next = job.start + 200_000 * pieces.len() as u64;
            ahead.keep(pieces);
        }
        assert!(next > 29 * MIB, "{next}");
        assert_eq!(ahead.sealed().len() as u64, next / 200_000);
        assert_eq!(ahead.profile(), Some(Profile::Medium));
    }

    #[test]
    fn a_small_file_is_left_to_the_cut() {
        let (mut ahead, extents) = grown(16);
        assert_eq!(ahead.begin(&extents, Profile::Medium), None);
        assert_eq!(ahead.profile(), None);
    }

    #[test]
    fn a_change_takes_back_what_was_sealed_or_is_being_sealed_there() {
        let (mut ahead, mut extents) = grown(32);
        let job = ahead.begin(&extents, Profile::Medium).expect("enough");
        write(&mut ahead, &mut extents, 200_001, 1);
        ahead.keep(cut(&job));
        assert!(ahead.sealed().contains_key(&0));
        assert!(!ahead.sealed().contains_key(&200_000), "changed while it was being sealed");
        write(&mut ahead, &mut extents, 599_999, 2);
        assert!(!ahead.sealed().contains_key(&400_000), "its last byte changed");
        assert!(!ahead.sealed().contains_key(&600_000), "its first byte changed");
        assert!(ahead.sealed().contains_key(&800_000));
        ahead.changed(0, u64::MAX);
        assert!(ahead.sealed().is_empty());
    }

    #[test]
    fn what_is_cut_off_is_sealed_again_when_it_grows_again() {
        let (mut ahead, mut extents) = grown(32);
        let job = ahead.begin(&extents, Profile::Medium).expect("enough");
        ahead.cut_to(300_000);
        extents.clear(300_000, u64::MAX - 300_000);
        ahead.keep(cut(&job));
        assert_eq!(ahead.sealed().keys().copied().collect::<Vec<_>>(), [0]);
        for at in 0..32 * MIB / BLOCK {
            write(&mut ahead, &mut extents, 300_000 + at * BLOCK, BLOCK);
        }
        assert_eq!(ahead.begin(&extents, Profile::Medium).expect("enough").start, 200_000);
    }

    #[test]
    fn a_body_that_keeps_changing_below_is_left_alone() {
        let (mut ahead, mut extents) = grown(64);
        for _ in 0..=AHEAD_WASTED_MAX {
            if let Some(job) = ahead.begin(&extents, Profile::Medium) {
                ahead.keep(cut(&job));
                write(&mut ahead, &mut extents, job.start, 1);
                ahead.next = 0;
            }
        }
        assert!(ahead.is_rewritten());
        assert_eq!(ahead.begin(&extents, Profile::Medium), None);
        ahead.named();
        assert!(ahead.begin(&extents, Profile::Medium).is_some(), "the cut begins anew");
    }

    #[test]
    fn a_file_that_is_begun_anew_or_overwritten_once_is_not_one_that_is_patched() {
        let (mut ahead, mut extents) = grown(64);
        while let Some(job) = ahead.begin(&extents, Profile::Medium) {
            ahead.keep(cut(&job));
        }
        assert!(ahead.sealed().len() > 4 * AHEAD_WASTED_MAX);
        write(&mut ahead, &mut extents, MIB, 20 * MIB);
        ahead.cut_to(0);
        assert!(ahead.sealed().is_empty() && !ahead.is_rewritten());
    }

    #[test]
    fn holes_and_parts_of_a_version_are_left_to_the_cut() {
        let (mut ahead, mut extents) = grown(32);
        extents.clear(MIB, 5);
        extents.clear(MIB + 100_000, 1);
        let first = ahead.begin(&extents, Profile::Medium).expect("enough");
        assert_eq!(first, 0..MIB);
        ahead.keep(cut(&first));
        assert_eq!(ahead.begin(&extents, Profile::Medium).expect("enough").start, MIB + 100_001);
    }

    #[test]
    fn only_what_a_cut_has_taken_is_named_by_its_version() {
        let (mut ahead, extents) = grown(32);
        let job = ahead.begin(&extents, Profile::Medium).expect("enough");
        ahead.keep(cut(&job));
        ahead.taken([0, 400_000].into());
        ahead.named();
        assert_eq!(ahead.sealed().keys().copied().collect::<Vec<_>>(), [0, 400_000]);
        assert!(ahead.sealed().values().all(|piece| piece.is_named));
        ahead.named();
        assert!(ahead.sealed().is_empty(), "a cut that does not say what it took took nothing");
    }

    #[test]
    fn another_profile_begins_anew() {
        let (mut ahead, extents) = grown(64);
        let job = ahead.begin(&extents, Profile::Medium).expect("enough");
        ahead.keep(cut(&job));
        assert_eq!(ahead.begin(&extents, Profile::Fixed256K).expect("enough").start, 0);
        assert!(ahead.sealed().is_empty());
    }
}
