//! What one program did to its folder, and what a power cut behind each of its operations leaves.
//!
//! A cut changes what is found only if an operation of this folder came between. So the prefixes of the whole trace
//! fall into spans that leave the same: each span is one [`Image`], to be opened once, held against everything that
//! was promised by the span's end.

use super::found::Found;
use super::trace::{At, Changed, Op, ROOT, Replay, Unflushed};
use anyhow::Result;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The operations of one folder, each with the number of operations up to it in the whole trace.
#[derive(Clone, Debug)]
pub struct Recording {
    top: OsString,
    ops: Vec<(u64, Op)>,
    end: u64,
}

/// What cuts behind a span of prefixes leave.
#[derive(Clone, Debug)]
pub struct Image {
    /// Operations of the shortest prefix.
    pub from: u64,
    /// Operations of the longest one.
    pub until: u64,
    /// How what was not flushed fared.
    pub unflushed: Unflushed,
    top: OsString,
    found: Found,
}

impl Recording {
    pub(super) fn of(trace: &[Op], top: &OsStr) -> Self {
        let mut below = BTreeSet::new();
        let mut ops = Vec::new();
        for (position, op) in (1..).zip(trace) {
            let is_below = |(dir, name): &At| below.contains(dir) || (*dir == ROOT && name == top);
            let is_ours = match op {
                Op::Make { at, .. } => is_below(at),
                Op::Move { from, to } => is_below(from) || is_below(to),
                Op::Remove { at } => is_below(at),
                Op::SyncNames => true,
                Op::Write { node, .. } | Op::SetLen { node, .. } | Op::Sync { node } | Op::Lose { node } => {
                    below.contains(node)
                }
            };
            if let (true, Op::Make { node, .. }) = (is_ours, op) {
                below.insert(*node);
            }
            if is_ours {
                ops.push((position, op.clone()));
            }
        }
        Self { top: top.to_owned(), ops, end: trace.len() as u64 }
    }

    /// Operations of the whole trace.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Operations of this folder.
    #[must_use]
    pub fn own(&self) -> u64 {
        self.ops.len() as u64
    }

    /// Calls `each` with an image for each span of prefixes, the whole trace through, until it says no more.
    ///
    /// # Errors
    /// As `each` fails.
    pub fn images(
        &self,
        unflushed: impl Fn(u64) -> Unflushed,
        mut each: impl FnMut(Image) -> Result<()>,
    ) -> Result<()> {
        let mut replay = Replay::default();
        let mut open = Image {
            from: 0,
            until: 0,
            unflushed: unflushed(0),
            top: self.top.clone(),
            found: Found::default(),
        };
        for (position, op) in &self.ops {
            let (changed, fate) = (replay.apply(op), unflushed(*position));
            let is_other = match fate {
                Unflushed::Lost => changed == Changed::Kept,
                Unflushed::Kept | Unflushed::Drawn(_) => changed != Changed::Nothing,
            };
            if is_other {
                let found = replay.settle(fate);
                let next = Image { from: *position, until: 0, unflushed: fate, top: self.top.clone(), found };
                each(Image { until: position - 1, ..std::mem::replace(&mut open, next) })?;
            }
        }
        each(Image { until: self.end, ..open })
    }

    /// The same on a disk that forgot one of the longest writes that were ever flushed: the longest is number 0.
    /// Zeroes do not count: room that is prepared for later holds nothing anybody could miss.
    #[must_use]
    pub fn without_long_write(mut self, number: usize) -> Self {
        let len = |op: &Op| match op {
            Op::Write { bytes, .. } if bytes.iter().any(|byte| *byte != 0) => bytes.len(),
            _ => 0,
        };
        let is_flushed = |index: usize| match &self.ops[index].1 {
            Op::Write { node: written, .. } => {
                self.ops[index..].iter().any(|(_, op)| matches!(op, Op::Sync { node } if node == written))
            }
            _ => false,
        };
        let mut flushed: Vec<usize> = (0..self.ops.len()).filter(|index| is_flushed(*index)).collect();
        flushed.sort_by_key(|index| std::cmp::Reverse(len(&self.ops[*index].1)));
        if let Some(long) = flushed.get(number) {
            self.ops.remove(*long);
        }
        self
    }

    /// The same on a disk that does nothing when it is told to flush, from halfway on.
    #[must_use]
    pub fn without_late_flushes(mut self) -> Self {
        let half = self.ops.len() / 2;
        let mut index = 0;
        self.ops.retain(|(_, op)| {
            index += 1;
            index <= half || !matches!(op, Op::Sync { .. } | Op::SyncNames)
        });
        self
    }
}

impl Image {
    /// Writes it to an ordinary folder, which is made.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_to(&self, folder: &Path) -> Result<()> {
        match self.found.names_in(ROOT).find(|(name, ..)| *name == self.top) {
            Some((_, top, ..)) => self.found.write_to(top, folder),
            None => Ok(std::fs::create_dir_all(folder)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trace::Kind;
    use super::*;

    fn make(dir: u64, name: &str, node: u64, kind: Kind) -> Op {
        Op::Make { at: (dir, name.into()), node, kind, mode: 0o700 }
    }

    fn fill(node: u64, len: usize) -> Op {
        Op::Write { node, offset: 0, bytes: vec![7; len] }
    }

    /// Two folders with a file each.
    fn trace() -> Vec<Op> {
        vec![
            make(ROOT, "a", 2, Kind::Dir),
            make(ROOT, "b", 3, Kind::Dir),
            make(2, "file", 4, Kind::File),
            make(3, "file", 5, Kind::File),
            Op::SyncNames,
            fill(4, 10),
            fill(5, 20),
            Op::Sync { node: 5 },
            Op::Sync { node: 4 },
            Op::SyncNames,
        ]
    }

    fn spans(recording: &Recording, unflushed: Unflushed) -> Vec<(u64, u64, usize)> {
        let mut spans = Vec::new();
        let note = |image: Image| {
            spans.push((image.from, image.until, image.found.file(4).len()));
            Ok(())
        };
        recording.images(|_| unflushed, note).expect("nothing fails");
        spans
    }

    #[test]
    fn spans_of_prefixes_cover_the_trace_and_end_where_the_folder_changes() {
        let recording = Recording::of(&trace(), "a".as_ref());
        assert_eq!(spans(&recording, Unflushed::Lost), [(0, 4, 0), (5, 8, 0), (9, 10, 10)]);
        let kept = [(0, 0, 0), (1, 2, 0), (3, 4, 0), (5, 5, 0), (6, 8, 10), (9, 10, 10)];
        assert_eq!(spans(&recording, Unflushed::Kept), kept);
    }

    #[test]
    fn a_disk_that_breaks_its_word_leaves_less() {
        let recording = Recording::of(&trace(), "a".as_ref());
        assert_eq!(
            spans(&recording.clone().without_long_write(0), Unflushed::Lost).last(),
            Some(&(5, 10, 0))
        );
        assert_eq!(spans(&recording.without_late_flushes(), Unflushed::Lost), [(0, 4, 0), (5, 10, 0)]);
    }
}
