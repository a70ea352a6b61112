//! The extent map: which source shows at which offset of a file.
//!
//! Extents never overlap and are ordered by offset; what no extent covers is a hole. Writing cuts
//! or drops what lay there, so the newest bytes win by construction, in any order of arrival.

use crate::body::Piece;
use freehold_vault::record;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the bytes of an extent come from, and how far into it.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Written here, not yet part of a version.
    Piece {
        /// The written run.
        piece: Arc<Piece>,
        /// Bytes of it before this extent's first.
        skip: u32,
    },
    /// Part of a version.
    Clean {
        /// The version's bytes, or where they are.
        content: Arc<record::Body>,
        /// Offset in the version.
        offset: u64,
    },
}

impl Source {
    /// The same source, `by` bytes further in.
    fn advanced(&self, by: u64) -> Self {
        match self {
            Self::Piece { piece, skip } => {
                let by = u32::try_from(by).expect("an extent is no longer than its piece");
                Self::Piece { piece: Arc::clone(piece), skip: skip + by }
            }
            Self::Clean { content, offset } => {
                Self::Clean { content: Arc::clone(content), offset: offset + by }
            }
        }
    }
}

/// A run of one source.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    pub(crate) len: u64,
    pub(crate) source: Source,
}

/// One stretch of a range: the source, or `None` for a hole.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) source: Option<Source>,
}

/// Extents by their first offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExtentMap {
    /// The only extent, from the first byte on: nearly every body has one, and a tree's node has room for
    /// eleven. With it the tree is empty.
    whole: Option<Extent>,
    extents: BTreeMap<u64, Extent>,
    bytes: u64,
}

impl ExtentMap {
    /// Shows `source` for `len` bytes from `offset`.
    pub(crate) fn insert(&mut self, offset: u64, len: u64, source: Source) {
        self.clear(offset, len);
        if len == 0 {
            return;
        }
        self.bytes += len;
        if offset == 0 && self.extents.is_empty() {
            self.whole = Some(Extent { len, source });
        } else {
            self.spread();
            self.extents.insert(offset, Extent { len, source });
        }
    }

    /// Puts an only extent among the others.
    fn spread(&mut self) {
        if let Some(extent) = self.whole.take() {
            self.extents.insert(0, extent);
        }
    }

    /// Makes a hole of `len` bytes from `offset`.
    pub(crate) fn clear(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len);
        if self.whole.as_ref().is_some_and(|extent| extent.len <= offset) {
            return;
        }
        self.spread();
        self.split(offset);
        self.split(end);
        let dropped: Vec<u64> = self.extents.range(offset..end).map(|(at, _)| *at).collect();
        for at in dropped {
            if let Some(extent) = self.extents.remove(&at) {
                self.bytes -= extent.len;
            }
        }
    }

    /// Cuts the extent that spans `at` in two.
    fn split(&mut self, at: u64) {
        let Some((start, extent)) = self.extents.range_mut(..at).next_back() else { return };
        let before = at - *start;
        if extent.len <= before {
            return;
        }
        let rest = Extent { len: extent.len - before, source: extent.source.advanced(before) };
        extent.len = before;
        self.extents.insert(at, rest);
    }

    /// The sources and holes of a range, in order, without gaps.
    pub(crate) fn stretches(&self, offset: u64, len: u64) -> Vec<Stretch> {
        let end = offset.saturating_add(len);
        let mut found = Vec::new();
        let mut at = offset;
        let first = self.extents.range(..=offset).next_back().map_or(offset, |(start, _)| *start);
        let whole = self.whole.iter().map(|extent| (0, extent));
        let others = self.extents.range(first..end.max(first)).map(|(start, extent)| (*start, extent));
        for (start, extent) in whole.chain(others) {
            let stop = (start + extent.len).min(end);
            if stop <= at {
                continue;
            }
            let from = start.max(at);
            if from > at {
                found.push(Stretch { offset: at, len: from - at, source: None });
            }
            let source = Some(extent.source.advanced(from - start));
            found.push(Stretch { offset: from, len: stop - from, source });
            at = stop;
        }
        if at < end {
            found.push(Stretch { offset: at, len: end - at, source: None });
        }
        found
    }

    /// All extents, in order.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u64, &Extent)> {
        let whole = self.whole.iter().map(|extent| (0, extent));
        whole.chain(self.extents.iter().map(|(offset, extent)| (*offset, extent)))
    }

    /// All pieces, in order of their extents.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Arc<Piece>> {
        self.runs().filter_map(|(_, extent)| match &extent.source {
            Source::Piece { piece, .. } => Some(piece),
            Source::Clean { .. } => None,
        })
    }

    /// Bytes that are not holes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}
