//! Where a directory stands: name register, historic parents, trash.
//!
//! Name and parent are apart, so a concurrent rename and move both survive. Parents are kept as
//! history: when concurrent moves would make a cycle, `view::tree` falls back to an older one.
//!
//! Trash is a join, not a flag: the union of what the deleters had seen. A directory is trashed
//! while it holds no write outside that union. Any later or unseen write revives it, so edit beats
//! delete, restoring is an ordinary write, and two concurrent deletions stay a deletion.

use super::observed::Element;
use super::register::Register;
use freehold_model::{Dot, FileId, Stamp, VersionVector};

/// One parent a directory was moved to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParentEdge {
    /// The move.
    pub stamp: Stamp,
    /// The parent it chose.
    pub parent: FileId,
}

impl Element for ParentEdge {
    type Key = ();

    fn key(&self) -> &() {
        &()
    }

    fn dot(&self) -> &Dot {
        &self.stamp.dot
    }

    fn absorb(&mut self, other: &Self) {
        if *self < *other {
            other.clone_into(self);
        }
    }
}

/// A deletion of a directory with all its author had seen below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trash {
    /// The newest deletion.
    pub stamp: Stamp,
    /// Every write its authors had seen, in the whole vault.
    pub seen: VersionVector,
}

impl Trash {
    pub(crate) fn merge(&self, other: &Self) -> Self {
        let mut seen = self.seen.clone();
        seen.join(&other.seen);
        Self { stamp: self.stamp.max(other.stamp), seen }
    }
}

/// The place of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirPlace {
    pub(crate) name: Register<Vec<u8>>,
    /// Sorted by dot. Empty for the root only.
    pub(crate) parents: Vec<ParentEdge>,
    pub(crate) trash: Option<Trash>,
}

impl DirPlace {
    /// The newest move.
    pub(crate) fn newest(&self) -> Option<&ParentEdge> {
        self.parents.iter().max()
    }

    /// Drops the oldest moves until at most `keep` are left.
    pub(crate) fn prune(&mut self, keep: usize) {
        while self.parents.len() > keep {
            let oldest = self.parents.iter().enumerate().min_by_key(|(_, edge)| edge.stamp);
            let Some((index, _)) = oldest else { return };
            self.parents.remove(index);
        }
    }
}
