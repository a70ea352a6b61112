//! The record of what was done, and what a power cut leaves of it.

use super::found::Found;
use crate::seed::Draw;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// The number of the top folder.
pub(super) const ROOT: u64 = 1;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Dir,
    /// Sockets and pipes: a name and nothing that lasts.
    Other,
}

/// A place of a name.
pub(super) type At = (u64, OsString);

/// One change.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Make {
        at: At,
        node: u64,
        kind: Kind,
        mode: u32,
    },
    Move {
        from: At,
        to: At,
    },
    Remove {
        at: At,
    },
    SyncNames,
    Write {
        node: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
    SetLen {
        node: u64,
        len_bytes: u64,
    },
    Sync {
        node: u64,
    },
    /// A flush failed: what was not kept before is lost.
    Lose {
        node: u64,
    },
}

/// What becomes of operations that nothing flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unflushed {
    /// None of them reached the disk.
    Lost,
    /// All of them did.
    Kept,
    /// Some did, in part or in another order, as this seed decides.
    Drawn(u64),
}

/// A replay that tells what is kept from what is not.
#[derive(Default)]
pub(super) struct Replay<'a> {
    kept: Found,
    names: Vec<&'a Op>,
    files: BTreeMap<u64, Vec<&'a Op>>,
}

/// How a file's unflushed operations fare.
#[derive(Clone, Copy)]
enum Fate {
    Lost,
    Kept,
    Torn,
}

/// What a power cut behind these operations leaves.
pub(super) fn settle(ops: &[Op], unflushed: Unflushed) -> Found {
    let mut replay = Replay::default();
    for op in ops {
        replay.apply(op);
    }
    replay.settle(unflushed)
}

/// What an operation changed of what a power cut would leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Nothing,
    /// Only what may be kept or lost.
    Unflushed,
    /// Also what is certainly there.
    Kept,
}

impl<'a> Replay<'a> {
    pub(super) fn apply(&mut self, op: &'a Op) -> Changed {
        match op {
            Op::Make { .. } | Op::Move { .. } | Op::Remove { .. } => {
                self.names.push(op);
                Changed::Unflushed
            }
            Op::SyncNames if self.names.is_empty() => Changed::Nothing,
            Op::SyncNames => {
                for op in self.names.drain(..) {
                    self.kept.name(op);
                }
                Changed::Kept
            }
            Op::Write { node, .. } | Op::SetLen { node, .. } => {
                self.files.entry(*node).or_default().push(op);
                Changed::Unflushed
            }
            Op::Sync { node } => match self.files.remove(node) {
                Some(ops) => {
                    for op in ops {
                        self.kept.content(op, &mut |_| true);
                    }
                    Changed::Kept
                }
                None => Changed::Nothing,
            },
            Op::Lose { node } => match self.files.remove(node) {
                Some(_) => Changed::Unflushed,
                None => Changed::Nothing,
            },
        }
    }

    /// What is found when the power is cut now.
    pub(super) fn settle(&self, unflushed: Unflushed) -> Found {
        let mut found = self.kept.clone();
        match unflushed {
            Unflushed::Lost => {}
            Unflushed::Kept => {
                self.names.iter().for_each(|op| found.name(op));
                self.files.values().flatten().for_each(|op| found.content(op, &mut |_| true));
            }
            Unflushed::Drawn(seed) => self.draw(&mut found, &mut Draw::new(seed)),
        }
        found
    }

    fn draw(&self, found: &mut Found, draw: &mut Draw) {
        let kept = usize::try_from(draw.below(self.names.len() as u64 + 1)).unwrap_or(0);
        self.names.iter().take(kept).for_each(|op| found.name(op));
        for ops in self.files.values() {
            let fate = [Fate::Lost, Fate::Kept, Fate::Torn][usize::try_from(draw.below(3)).unwrap_or(0)];
            let keeps = |draw: &mut Draw| match fate {
                Fate::Lost => false,
                Fate::Kept => true,
                Fate::Torn => draw.is_one_in(2),
            };
            for op in ops {
                if matches!(op, Op::SetLen { .. }) && !keeps(draw) {
                    break;
                }
                found.content(op, &mut |_| keeps(draw));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(name: &str, node: u64) -> Op {
        Op::Make { at: (ROOT, name.into()), node, kind: Kind::File, mode: 0o600 }
    }

    fn fill(node: u64, len: usize) -> Op {
        Op::Write { node, offset: 0, bytes: vec![7; len] }
    }

    fn names(found: &Found) -> Vec<String> {
        found.names_in(ROOT).map(|(name, ..)| name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn what_was_flushed_is_found_whatever_the_seed() {
        let ops = [make("a", 2), fill(2, 3_000), Op::Sync { node: 2 }, Op::SyncNames, fill(2, 100)];
        for seed in 0..50 {
            let found = settle(&ops, Unflushed::Drawn(seed));
            assert_eq!(names(&found), ["a"]);
            assert_eq!(found.file(2), vec![7; 3_000], "seed {seed}");
        }
    }

    #[test]
    fn what_was_not_flushed_is_lost_kept_and_torn_by_some_seed() {
        let ops = [make("a", 2), Op::SyncNames, fill(2, 5_120)];
        let lens: std::collections::BTreeSet<usize> = (0..200)
            .map(|seed| {
                settle(&ops, Unflushed::Drawn(seed)).file(2).iter().filter(|byte| **byte == 7).count()
            })
            .collect();
        assert!(lens.contains(&0) && lens.contains(&5_120) && lens.len() > 4, "{lens:?}");
    }

    #[test]
    fn names_are_kept_in_their_order_only() {
        let ops = [make("a", 2), make("b", 3)];
        let all: std::collections::BTreeSet<Vec<String>> =
            (0..50).map(|seed| names(&settle(&ops, Unflushed::Drawn(seed)))).collect();
        assert_eq!(all.len(), 3, "none, the first, both: {all:?}");
        assert!(!all.contains(&vec!["b".to_owned()]));
    }

    #[test]
    fn what_a_failed_flush_lost_never_comes_back() {
        let ops = [make("a", 2), Op::SyncNames, fill(2, 100), Op::Lose { node: 2 }, Op::Sync { node: 2 }];
        for seed in 0..50 {
            assert_eq!(settle(&ops, Unflushed::Drawn(seed)).file(2), [0; 0]);
        }
    }
}
