//! Where the pieces of a content are, and how each comes to its manifest entry.
//!
//! The walk goes from cut to cut. At each, a piece that was sealed ahead or that a version has there is taken as it is,
//! unread. Else bytes are read until the chunker cuts. A cut depends only on the bytes since the one before, so all
//! of this gives the cuts of the whole content: a patch in a large file is read and cut from the last cut before it to
//! the first one where the old cuts come again, most often the next.

use super::cutting::{Cutting, profile_of};
use super::held::Held;
use super::known::Manifests;
use super::seal::{CutError, Made, Run, Snapshot};
use crate::body::ahead::AheadPiece;
use freehold_vault::manifest::ManifestEntry;
use freehold_vault::{Chunked, Profile};
use std::collections::BTreeSet;
use std::ops::Range;

/// Pieces between two looks at the manifest.
const WINDOW_PIECES: usize = 64;

/// Bytes read ahead of the sealing threads, beside the piece that is being cut. Two windows are in memory.
const WINDOW_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of one read; a multiple of what staging seals in one piece, so that each is opened once.
const READ_BYTES: u64 = 256 * 1024;

/// How a piece comes to its manifest entry.
pub(super) enum Plan {
    /// It has one.
    Ready(Made),
    /// It was read to find its end and stands in the window's bytes; it is sealed unless it is what stood there before.
    Cut { plain: Range<usize>, before: Option<ManifestEntry> },
    /// It is to be read, and then as above.
    Read { offset: u64, len: u64, before: Option<ManifestEntry> },
}

impl Plan {
    /// Whether there is more to do than to take the entry.
    pub(super) const fn is_work(&self) -> bool {
        !matches!(self, Self::Ready(_))
    }
}

/// Pieces in a row.
pub(super) struct Window {
    pub(super) plans: Vec<Plan>,
    /// Among others those of the pieces that were read.
    pub(super) bytes: Vec<u8>,
}

/// The walk over one content.
pub(super) struct Walk<'a> {
    cutting: &'a Cutting,
    profile: Profile,
    /// Pieces sealed ahead were cut by another profile.
    ignores_ahead: bool,
    size: u64,
    snapshot: &'a dyn Snapshot,
    manifests: &'a Manifests<'a>,
    /// The cut that was reached.
    at: u64,
    /// What was read from there on, and the pieces before it.
    held: Held,
    /// Where pieces sealed ahead were taken.
    ahead: BTreeSet<u64>,
}

impl<'a> Walk<'a> {
    /// At the front. `previous` is the content before.
    pub(super) fn new(
        cutting: &'a Cutting,
        size: u64,
        previous: Option<&Chunked>,
        snapshot: &'a dyn Snapshot,
        manifests: &'a Manifests<'a>,
    ) -> Self {
        let shape = snapshot.shape();
        let profile = cutting.choose(size, previous, &shape);
        let ignores_ahead = shape.ahead != Some(profile);
        let (held, ahead) = (Held::default(), BTreeSet::new());
        Self { cutting, profile, ignores_ahead, size, snapshot, manifests, at: 0, held, ahead }
    }

    /// What is cut by.
    pub(super) const fn profile(&self) -> Profile {
        self.profile
    }

    /// The next pieces; none at the end. `room` is the memory of a window that is done with, or none.
    ///
    /// # Errors
    /// `Read`, `TooLong`.
    pub(super) fn window(&mut self, room: Vec<u8>) -> Result<Window, CutError> {
        let mut plans = Vec::new();
        while self.at < self.size && plans.len() < WINDOW_PIECES && self.held.cut_bytes() < WINDOW_BYTES {
            plans.push(self.next()?);
        }
        Ok(Window { plans, bytes: self.held.hand_over(room) })
    }

    /// Where the pieces sealed ahead begin that were taken.
    pub(super) fn taken_ahead(self) -> BTreeSet<u64> {
        self.ahead
    }

    fn next(&mut self) -> Result<Plan, CutError> {
        let block = self.block();
        if let Some(made) = self.sealed_ahead(block).or_else(|| self.unchanged(block)) {
            self.advance(u64::from(made.entry.plain_len));
            return Ok(Plan::Ready(made));
        }
        let (offset, before) = (self.at, self.manifests.entry_before(self.at));
        if before.is_none() {
            self.manifests.look_for_moved(self.at);
        }
        if let Some(len) = block {
            self.advance(len);
            return Ok(Plan::Read { offset, len, before });
        }
        let plain = self.cut()?;
        self.at += plain.len() as u64;
        Ok(Plan::Cut { plain, before })
    }

    /// The length of the piece here, where the content does not say it.
    fn block(&self) -> Option<u64> {
        match self.profile.rule() {
            Some(_) => None,
            None if self.profile == Profile::Fixed256K => {
                Some((self.size - self.at).min(freehold_vault::limits::FIXED_BLOCK_BYTES))
            }
            None => Some(self.size - self.at),
        }
    }

    /// The piece that was sealed here while the file was still being written.
    fn sealed_ahead(&mut self, block: Option<u64>) -> Option<Made> {
        if self.ignores_ahead {
            return None;
        }
        let AheadPiece { entry, is_named } = self.snapshot.sealed_ahead(self.at)?;
        let len = u64::from(entry.plain_len);
        let fits = block.map_or(len <= self.size - self.at, |block| len == block);
        if !fits || !(is_named || self.manifests.pins(&entry.chunk)) {
            return None;
        }
        self.ahead.insert(self.at);
        Some(Made { entry, is_new: !is_named })
    }

    /// The piece that a version has here, all of it, as it is.
    fn unchanged(&self, block: Option<u64>) -> Option<Made> {
        let left = self.size - self.at;
        let longest = self.profile.rule().map_or(left, |rule| left.min(rule.max_bytes() as u64));
        let Run { len, clean } = self.snapshot.run_at(self.at, block.unwrap_or(longest));
        let (content, at) = clean?;
        let entry = self.manifests.entry_of(&content, at)?;
        let piece = u64::from(entry.plain_len);
        let fits = match block {
            Some(block) => piece == block && len == block,
            None => piece <= len && self.ends_here_too(&content, at + piece, piece == left),
        };
        fits.then_some(Made { entry, is_new: false })
    }

    /// Whether the end of a version's piece is a cut of this content as well: cut by the same rule, and not only
    /// because that version ended there.
    fn ends_here_too(&self, content: &Chunked, end: u64, is_our_end: bool) -> bool {
        profile_of(content) == Some(self.profile) && (end < content.size || is_our_end)
    }

    /// Reads until the chunker cuts, or to the end; the piece.
    fn cut(&mut self) -> Result<Range<usize>, CutError> {
        let rule = self.profile.rule().ok_or(CutError::TooLong)?;
        let mut cutter = self.cutting.chunker.cutter(rule);
        let mut pushed = 0;
        loop {
            if let Some(taken) = cutter.push(self.held.open().get(pushed..).unwrap_or_default()) {
                return Ok(self.held.cut_off(pushed + taken));
            }
            pushed = self.held.open().len();
            if self.at + pushed as u64 >= self.size {
                return Ok(self.held.cut_off(pushed));
            }
            self.read_on()?;
        }
    }

    /// Reads a little further: to the end of a version's piece at most, since the next one need not be here.
    fn read_on(&mut self) -> Result<(), CutError> {
        let begin = self.at + self.held.open().len() as u64;
        let aligned = (begin / READ_BYTES + 1) * READ_BYTES - begin;
        let Run { len, clean } = self.snapshot.run_at(begin, aligned.min(self.size - begin));
        let piece = clean.and_then(|(content, at)| self.manifests.rest_of_piece(&content, at));
        let len = usize::try_from(piece.unwrap_or(len).min(len)).map_err(|_| CutError::TooLong)?;
        self.held.read(len, |space| self.snapshot.read(begin, space)).map_err(CutError::Read)
    }

    fn advance(&mut self, len: u64) {
        self.held.skip(usize::try_from(len).unwrap_or(usize::MAX));
        self.at += len;
    }
}
