//! Deleted files that nobody holds: of each only its heads stay in memory.
//!
//! A deletion must be remembered, because a device that has not heard of it may still write to the
//! file; its record says which writes the deletion had seen. But months of temporary files are more
//! nodes than a vault has files. So a settled deletion that the index has leaves the tables, and comes
//! back from its row when somebody speaks of the file again ([`Volume::wake`](crate::Volume)). Its
//! heads stay: they are part of what devices compare.

use crate::tables::Tables;
use crate::tables::node::Node;
use crate::{Ino, Kind};
use freehold_model::{FileId, VersionHash};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// When deletions may be buried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Burial {
    /// Nothing could bring them back.
    Never,
    /// A step is under way that may need them.
    NotNow,
    Now,
}

/// Deletions that are not in the tables.
#[derive(Debug, Default)]
pub(crate) struct Buried {
    heads: HashMap<FileId, Box<[VersionHash]>>,
    /// Whether what is buried can be read back: there is an index.
    pub(crate) has_index: bool,
    /// Steps under way that need what they woke.
    pub(crate) awake: Arc<AtomicUsize>,
}

impl Buried {
    /// Whether deletions may be buried now.
    pub(crate) fn when(&self) -> Burial {
        match (self.has_index, self.awake.load(Ordering::SeqCst)) {
            (false, _) => Burial::Never,
            (true, 0) => Burial::Now,
            (true, _) => Burial::NotNow,
        }
    }

    /// The heads of a buried file.
    pub(crate) fn heads(&self, file: &FileId) -> Option<&[VersionHash]> {
        self.heads.get(file).map(|heads| &**heads)
    }

    /// Every buried file with its heads, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&FileId, &[VersionHash])> {
        self.heads.iter().map(|(file, heads)| (file, &**heads))
    }

    /// Those of these files that are buried.
    pub(crate) fn among<'a>(&self, files: impl Iterator<Item = &'a FileId>) -> BTreeSet<FileId> {
        files.filter(|file| self.heads.contains_key(*file)).copied().collect()
    }

    /// The files that show one of these versions.
    pub(crate) fn showing(&self, versions: &BTreeSet<VersionHash>) -> BTreeSet<FileId> {
        let shows = |heads: &[VersionHash]| heads.iter().any(|head| versions.contains(head));
        self.iter().filter(|(_, heads)| shows(heads)).map(|(file, _)| *file).collect()
    }

    /// A deletion that the index has, and the tables never saw.
    pub(crate) fn insert(&mut self, file: FileId, heads: Vec<VersionHash>) {
        self.heads.insert(file, heads.into_boxed_slice());
    }

    /// Forgets that a file is buried; whether it was.
    pub(crate) fn remove(&mut self, file: &FileId) -> bool {
        self.heads.remove(file).is_some()
    }

    /// Number of buried files.
    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }
}

/// Whether a settled node is a deletion that can leave the tables.
pub(crate) fn is_buriable(node: &Node) -> bool {
    node.kind() != Kind::Dir && node.is_deleted() && node.links.is_empty() && node.sync.is_known()
}

impl Tables {
    /// Takes a packed deletion out of the tables.
    pub(crate) fn bury(&mut self, ino: Ino) {
        let Some(node) = self.nodes.peek(ino) else { return };
        let (file, heads) = (node.file(), node.sync.heads.clone());
        drop(node);
        if self.by_file.get(&file) == Some(&ino) {
            self.by_file.remove(&file);
            self.nodes.remove(ino);
            self.buried.insert(file, heads);
        }
    }

    /// Takes a deletion in again, as its row has it.
    pub(crate) fn unbury(&mut self, node: Node) {
        let file = node.file();
        if self.buried.remove(&file) {
            self.by_file.insert(file, node.ino);
            self.nodes.insert(node.ino, node);
        }
    }
}
