//! Cuts of bytes that come in any portions.

use super::roll::WINDOW;
use super::scan::Masks;
use super::{Chunker, Rule};

/// Finds the cuts of a content that is handed over portion by portion.
///
/// The cuts are those of [`Chunker::pieces`], whatever the portions are. Long ones are searched fastest: below
/// 8 KiB the lanes stay empty.
pub struct Cutter<'a> {
    chunker: &'a Chunker,
    rule: Rule,
    /// Bytes since the last cut.
    len: usize,
    /// The last of them; all of it counts once there are that many.
    window: [u8; WINDOW],
}

impl<'a> Cutter<'a> {
    pub(super) const fn new(chunker: &'a Chunker, rule: Rule) -> Self {
        Self { chunker, rule, len: 0, window: [0; WINDOW] }
    }

    /// Takes the next bytes. `Some(n)`: the piece ends with the n-th of them, which is at least 1; what follows
    /// was not taken and is pushed next. `None`: all were taken and no piece ends.
    pub fn push(&mut self, bytes: &[u8]) -> Option<usize> {
        match self.find(bytes) {
            Some(taken) => {
                self.len = 0;
                Some(taken)
            }
            None => {
                self.len += bytes.len();
                self.remember(bytes);
                None
            }
        }
    }

    /// Bytes taken since the last cut: the last piece, once nothing more comes.
    #[must_use]
    pub const fn open_bytes(&self) -> usize {
        self.len
    }

    fn find(&self, bytes: &[u8]) -> Option<usize> {
        let Rule { min, max, .. } = self.rule;
        // Positions count from the first byte handed over; 0 was looked at with the bytes before.
        let first = min.saturating_sub(self.len).max(1);
        let end = (max - self.len).min(bytes.len() + 1);
        let masks = self.rule.masks(self.len);
        let mut scan = self.chunker.scan();
        if first < end.min(WINDOW) {
            // The window of these lies partly in bytes that came before. There are enough: the shortest piece
            // has two windows.
            let head = &bytes[..bytes.len().min(WINDOW)];
            let joined = [&self.window, head].concat();
            let masks = Masks { normal: masks.normal + WINDOW, ..masks };
            let range = first + WINDOW..end.min(WINDOW) + WINDOW;
            if let Some(found) = scan.first(&joined, range, masks) {
                return Some(found - WINDOW);
            }
        }
        let found = scan.first(bytes, first.max(WINDOW)..end, masks);
        found.or_else(|| (self.len + bytes.len() >= max).then(|| max - self.len))
    }

    fn remember(&mut self, bytes: &[u8]) {
        match bytes.last_chunk() {
            Some(last) => self.window = *last,
            None => {
                self.window.rotate_left(bytes.len());
                self.window[WINDOW - bytes.len()..].copy_from_slice(bytes);
            }
        }
    }
}

impl std::fmt::Debug for Cutter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cutter").field("rule", &self.rule).field("len", &self.len).finish_non_exhaustive()
    }
}
