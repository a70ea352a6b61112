//! File bodies: where each byte of a file comes from.
//!
//! A body is an extent map. Bytes written here and not yet cut into chunks are *pieces*, in memory
//! or sealed in the journal or a staging segment; bytes of a version are *clean*, found through the
//! version's manifest in the chunk cache, or fetched; everything else is a hole and reads as
//! zeroes. A body is *dirty* while it differs from the record's current content.

pub(crate) mod ahead;
pub(crate) mod cache;
pub(crate) mod clean;
pub(crate) mod extents;
pub(crate) mod log;
pub(crate) mod part;
pub(crate) mod piece;
pub(crate) mod read;
#[cfg(test)]
mod tests;
pub(crate) mod walk;

pub(crate) use ahead::{Ahead, AheadPieces};
pub(crate) use extents::{ExtentMap, Source};
pub(crate) use log::{BodyLog, Op};
pub(crate) use piece::Piece;

use freehold_model::Dot;
use freehold_vault::record::{self, Record};
use std::sync::Arc;

/// How much of a clean body is on this device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Here {
    /// Not looked at: where its manifest's root is, all of it counts as here.
    #[default]
    Unknown,
    /// All of it.
    All,
    /// So many bytes.
    Part(u64),
}

/// The content of one file, as this device shows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub(crate) extents: ExtentMap,
    pub(crate) size: u64,
    /// The content version the clean extents and, when not dirty, the whole body show.
    pub(crate) shown: Option<Dot>,
    /// The record as it was when the first unsent byte was written, once remote content has come
    /// on top of it: the cut makes its version from this one, so that neither overwrites the other.
    pub(crate) base: Option<Box<Record>>,
    pub(crate) log: BodyLog,
    /// What was sealed of it before it is cut.
    pub(crate) ahead: Ahead,
    /// Changes so far, to tell whether a cut's snapshot is still the whole body; 0 when clean.
    pub(crate) writes: u64,
    /// A cut of a snapshot is under way.
    pub(crate) in_cut: bool,
    pub(crate) first_write_ms: u64,
    pub(crate) last_write_ms: u64,
    /// Closed by a program since the last write.
    pub(crate) is_closed: bool,
    /// It was one of a flood of closed files: it is cut with the others.
    pub(crate) may_wait: bool,
    pub(crate) here: Here,
}

impl Body {
    /// The body of a record's current content; empty for everything but files.
    pub(crate) fn of_record(record: &Record) -> Self {
        let Some(content) = record.newest_content() else { return Self::default() };
        let size = content.size();
        let mut body = Self { size, shown: Some(content.stamp.dot), ..Self::default() };
        body.extents.insert(0, size, Source::Clean { content: Arc::new(content.body.clone()), offset: 0 });
        body
    }

    /// Whether the body differs from the record's content.
    pub(crate) const fn is_dirty(&self) -> bool {
        self.writes > 0
    }

    /// Whether [`Self::of_record`] would make the same body again, but for what is known of its residence.
    pub(crate) fn is_settled(&self, record: &Record) -> bool {
        let content = record.newest_content();
        let is_whole = self.extents.runs().all(|(offset, extent)| offset == 0 && extent.len == self.size);
        let is_idle = !self.is_dirty() && !self.in_cut && self.base.is_none() && self.log.is_idle();
        is_idle
            && is_whole
            && self.extents.bytes() == self.size
            && self.shown == content.map(|content| content.stamp.dot)
            && self.size == content.map_or(0, record::Content::size)
    }

    /// Whether bytes were lost to damage.
    pub(crate) fn is_damaged(&self) -> bool {
        self.extents.pieces().any(|piece| piece.is_lost())
    }

    /// Notes a change of content at a time.
    pub(crate) fn touch(&mut self, now_ms: u64) {
        if self.writes == 0 {
            self.first_write_ms = now_ms;
            self.log.begin();
        }
        self.writes += 1;
        self.last_write_ms = now_ms;
        self.is_closed = false;
    }

    /// Whether the journal has extents of this body.
    pub(crate) const fn is_logged(&self) -> bool {
        self.log.is_durable()
    }

    /// Shows a source for `len` bytes from `offset`; the body grows to its end.
    pub(crate) fn show(&mut self, offset: u64, len: u64, source: Source) {
        self.log.note(Op::Show { offset, len, source: source.clone() });
        self.extents.insert(offset, len, source);
        let end = offset.saturating_add(len);
        self.ahead.changed(offset, len);
        self.ahead.written_to(end);
        if end > self.size {
            self.set_size(end);
        }
    }

    /// Makes a hole.
    pub(crate) fn clear(&mut self, offset: u64, len: u64) {
        self.log.note(Op::Clear { offset, len });
        self.extents.clear(offset, len);
        self.ahead.changed(offset, len);
    }

    /// Sets the size; what lies beyond is gone.
    pub(crate) fn set_size(&mut self, size: u64) {
        self.log.note(Op::Size(size));
        if size < self.size {
            self.extents.clear(size, u64::MAX - size);
            self.ahead.cut_to(size);
        }
        self.size = size;
    }

    /// The body is the given version now, apart from its holes.
    pub(crate) fn settle(&mut self, content: &record::Content) {
        let body = Arc::new(content.body.clone());
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (offset, extent) in self.extents.runs() {
            match runs.last_mut() {
                Some((start, len)) if *start + *len == offset => *len += extent.len,
                _ => runs.push((offset, extent.len)),
            }
        }
        self.extents = ExtentMap::default();
        for (offset, len) in runs {
            self.extents.insert(offset, len, Source::Clean { content: Arc::clone(&body), offset });
        }
        self.shown = Some(content.stamp.dot);
        self.base = None;
        self.writes = 0;
        self.ahead = Ahead::default();
        // What was just cut lies in the cache, but for parts of a version that were never fetched.
        self.here = Here::Unknown;
        self.log.clean();
    }

    /// The version a clean body shows, where that lies in chunks.
    pub(crate) fn chunked(&self) -> Option<&record::Chunked> {
        if self.is_dirty() {
            return None;
        }
        match self.extents.runs().next()?.1.source {
            Source::Clean { ref content, .. } => match **content {
                record::Body::Chunked(ref chunked) => Some(chunked),
                record::Body::Inline(_) => None,
            },
            Source::Piece { .. } => None,
        }
    }
}
