//! The record of what was done, and what a power cut leaves of it. Pure but for the writing of the result.

use crate::seed::Draw;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt};
use std::path::Path;

/// The number of the top folder.
pub(super) const ROOT: u64 = 1;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

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

/// What is found after the cut.
#[derive(Debug, Default)]
pub(super) struct Found {
    names: BTreeMap<At, (u64, Kind, u32)>,
    files: BTreeMap<u64, Vec<u8>>,
}

/// A replay that tells what is kept from what is not.
#[derive(Default)]
struct Replay {
    kept: Found,
    names: Vec<Op>,
    files: BTreeMap<u64, Vec<Op>>,
}

/// How a file's unflushed operations fare.
#[derive(Clone, Copy)]
enum Fate {
    Lost,
    Kept,
    Torn,
}

/// What a power cut behind these operations leaves.
pub(super) fn settle(ops: &[Op], seed: u64) -> Found {
    let mut replay = Replay::default();
    ops.iter().for_each(|op| replay.apply(op));
    replay.settle(&mut Draw::new(seed))
}

impl Replay {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Make { .. } | Op::Move { .. } | Op::Remove { .. } => self.names.push(op.clone()),
            Op::SyncNames => {
                for op in self.names.drain(..) {
                    self.kept.name(op);
                }
            }
            Op::Write { node, .. } | Op::SetLen { node, .. } => {
                self.files.entry(*node).or_default().push(op.clone());
            }
            Op::Sync { node } => {
                for op in self.files.remove(node).unwrap_or_default() {
                    self.kept.content(&op, &mut |_| true);
                }
            }
            Op::Lose { node } => drop(self.files.remove(node)),
        }
    }

    fn settle(mut self, draw: &mut Draw) -> Found {
        let kept = usize::try_from(draw.below(self.names.len() as u64 + 1)).unwrap_or(0);
        for op in self.names.drain(..).take(kept) {
            self.kept.name(op);
        }
        for ops in self.files.into_values() {
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
                self.kept.content(&op, &mut |_| keeps(draw));
            }
        }
        self.kept
    }
}

impl Found {
    fn name(&mut self, op: Op) {
        match op {
            Op::Make { at, node, kind, mode } => drop(self.names.insert(at, (node, kind, mode))),
            Op::Remove { at } => drop(self.names.remove(&at)),
            Op::Move { from, to } => {
                if let Some(node) = self.names.remove(&from) {
                    self.names.insert(to, node);
                }
            }
            _ => unreachable!("only changes of names are pending as such"),
        }
    }

    /// Applies a change of a file, sector by sector as `keeps` says.
    fn content(&mut self, op: &Op, keeps: &mut dyn FnMut(usize) -> bool) {
        match op {
            Op::Write { node, offset, bytes } => {
                let file = self.files.entry(*node).or_default();
                let mut at = usize::try_from(*offset).unwrap_or(usize::MAX);
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let len = (SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len());
                    let (sector, after) = rest.split_at(len);
                    if keeps(at) {
                        write(file, at, sector);
                    }
                    (at, rest) = (at + len, after);
                }
            }
            Op::SetLen { node, len_bytes } => {
                let len = usize::try_from(*len_bytes).unwrap_or(usize::MAX);
                self.files.entry(*node).or_default().resize(len, 0);
            }
            _ => unreachable!("only changes of content are pending on a file"),
        }
    }

    /// Writes it all below a new folder. Holes stay holes.
    pub(super) fn write_to(&self, folder: &Path) -> Result<()> {
        DirBuilder::new().recursive(true).create(folder)?;
        self.write_dir(ROOT, folder)
    }

    fn write_dir(&self, dir: u64, folder: &Path) -> Result<()> {
        let names = self.names.range((dir, OsString::new())..).take_while(|((parent, _), _)| *parent == dir);
        for ((_, name), (node, kind, mode)) in names {
            let path = folder.join(name);
            match kind {
                Kind::Other => {}
                Kind::Dir => {
                    DirBuilder::new().mode(*mode & 0o7777).create(&path).context("a folder of the image")?;
                    self.write_dir(*node, &path)?;
                }
                Kind::File => {
                    let file = File::create_new(&path).context("a file of the image")?;
                    file.set_permissions(Permissions::from_mode(*mode & 0o7777))?;
                    let bytes = self.files.get(node).map(Vec::as_slice).unwrap_or_default();
                    file.set_len(bytes.len() as u64)?;
                    for (index, block) in bytes.chunks(1 << 16).enumerate() {
                        if block.iter().any(|byte| *byte != 0) {
                            file.write_all_at(block, (index << 16) as u64)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Writes into a file in memory, which grows as needed.
pub(super) fn write(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[at..end].copy_from_slice(bytes);
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

    #[test]
    fn what_was_flushed_is_found_whatever_the_seed() {
        let ops = [make("a", 2), fill(2, 3_000), Op::Sync { node: 2 }, Op::SyncNames, fill(2, 100)];
        for seed in 0..50 {
            let found = settle(&ops, seed);
            assert!(found.names.contains_key(&(ROOT, "a".into())));
            assert_eq!(found.files[&2], vec![7; 3_000], "seed {seed}");
        }
    }

    #[test]
    fn what_was_not_flushed_is_lost_kept_and_torn_by_some_seed() {
        let ops = [make("a", 2), Op::SyncNames, fill(2, 5_120)];
        let lens: std::collections::BTreeSet<usize> = (0..200)
            .map(|seed| {
                settle(&ops, seed).files.get(&2).map_or(0, |file| file.iter().filter(|b| **b == 7).count())
            })
            .collect();
        assert!(lens.contains(&0) && lens.contains(&5_120) && lens.len() > 4, "{lens:?}");
    }

    #[test]
    fn names_are_kept_in_their_order_only() {
        let ops = [make("a", 2), make("b", 3)];
        let all: std::collections::BTreeSet<Vec<OsString>> = (0..50)
            .map(|seed| settle(&ops, seed).names.into_keys().map(|(_, name)| name).collect())
            .collect();
        assert_eq!(all.len(), 3, "none, the first, both: {all:?}");
        assert!(!all.contains(&vec![OsString::from("b")]));
    }

    #[test]
    fn what_a_failed_flush_lost_never_comes_back() {
        let ops = [make("a", 2), Op::SyncNames, fill(2, 100), Op::Lose { node: 2 }, Op::Sync { node: 2 }];
        for seed in 0..50 {
            assert!(!settle(&ops, seed).files.contains_key(&2));
        }
    }
}
