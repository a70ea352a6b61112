//! The tree in memory: the truth at run time.
//!
//! Every node of the vault is loaded; lookups, listings and attributes never touch a disk. One lock
//! guards all of it ([`TablesGuard`]), is held for microseconds and never across I/O. Each change
//! marks its node dirty; the journal takes the dirty nodes of a flush in one piece, under this
//! lock, so what is on disk is always a state that existed.

pub(crate) mod attrs;
pub(crate) mod dir;
mod links;
pub(crate) mod node;
#[cfg(test)]
mod tests;

use crate::{Attr, FsError, Ino, Kind, ROOT, Time};
use freehold_model::{Entropy, FileId};
use node::Node;
use parking_lot::MutexGuard;
use std::collections::{BTreeSet, HashMap};
use std::ops::{ControlFlow, Deref, DerefMut};

/// Fills buffers from the operating system's generator.
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the kernel's generator does not fail after boot");
    }
}

/// The inode and name tables of one volume.
pub struct Tables {
    nodes: HashMap<Ino, Node>,
    by_file: HashMap<FileId, Ino>,
    next_ino: Ino,
    pub(crate) now: Time,
    dirty: BTreeSet<Ino>,
    entropy: Box<dyn Entropy + Send>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("nodes", &self.nodes.len()).field("dirty", &self.dirty.len()).finish()
    }
}

impl Tables {
    /// A tree with nothing but its root, mode 0700 and owned by `uid` and `gid`.
    pub(crate) fn new(uid: u32, gid: u32, now: Time, entropy: Box<dyn Entropy + Send>) -> Self {
        let mut tables = Self {
            nodes: HashMap::new(),
            by_file: HashMap::new(),
            next_ino: ROOT + 1,
            now,
            dirty: BTreeSet::new(),
            entropy,
        };
        let root = tables.blank(ROOT, FileId::default(), Kind::Dir, 0o700, uid, gid);
        tables.by_file.insert(root.file, ROOT);
        tables.nodes.insert(ROOT, root);
        tables
    }

    fn blank(&self, ino: Ino, file: FileId, kind: Kind, mode: u32, uid: u32, gid: u32) -> Node {
        Node {
            ino,
            file,
            kind,
            mode: mode & 0o7777,
            uid,
            gid,
            rdev: 0,
            atime: self.now,
            mtime: self.now,
            ctime: self.now,
            target: None,
            xattrs: std::collections::BTreeMap::new(),
            links: Vec::new(),
            children: dir::Directory::default(),
            body: crate::body::Body::default(),
            lookups: 0,
            successor: None,
        }
    }

    pub(crate) fn node(&self, ino: Ino) -> Result<&Node, FsError> {
        self.nodes.get(&ino).ok_or(FsError::NotFound)
    }

    /// The node for a change: marks it for the next flush.
    pub(crate) fn change(&mut self, ino: Ino) -> Result<&mut Node, FsError> {
        let node = self.nodes.get_mut(&ino).ok_or(FsError::NotFound)?;
        self.dirty.insert(ino);
        Ok(node)
    }

    /// A file for a change of its content.
    pub(crate) fn change_file(&mut self, ino: Ino) -> Result<&mut Node, FsError> {
        match self.node(ino)?.kind {
            Kind::File => self.change(ino),
            Kind::Dir => Err(FsError::IsDir),
            _ => Err(FsError::Invalid),
        }
    }

    /// The attributes of a node.
    #[must_use]
    pub fn attr(&self, ino: Ino) -> Option<Attr> {
        self.nodes.get(&ino).map(Node::attr)
    }

    /// What a node is.
    #[must_use]
    pub fn kind(&self, ino: Ino) -> Option<Kind> {
        self.nodes.get(&ino).map(|node| node.kind)
    }

    /// The node a name in a directory leads to.
    #[must_use]
    pub fn child(&self, dir: Ino, name: &[u8]) -> Option<Ino> {
        self.nodes.get(&dir)?.children.entry(name).map(|entry| entry.ino)
    }

    /// Whether a directory has no entries; true for everything that is not a directory.
    #[must_use]
    pub fn is_empty(&self, dir: Ino) -> bool {
        self.nodes.get(&dir).is_none_or(|node| node.children.len() == 0)
    }

    /// The directory a directory lies in; the root lies in itself. `None` for removed directories.
    #[must_use]
    pub fn parent(&self, dir: Ino) -> Option<Ino> {
        if dir == ROOT {
            return Some(ROOT);
        }
        self.nodes.get(&dir)?.links.first().map(|link| link.dir)
    }

    /// Whether `ancestor` is `of` or lies above it.
    #[must_use]
    pub fn is_ancestor(&self, ancestor: Ino, of: Ino) -> bool {
        let mut at = of;
        // The tree has no cycles; the bound only keeps a broken one from hanging the lock.
        for _ in 0..=self.nodes.len() {
            if at == ancestor {
                return true;
            }
            match self.parent(at) {
                Some(up) if up != at => at = up,
                _ => return false,
            }
        }
        false
    }

    /// A symlink's target.
    #[must_use]
    pub fn target(&self, ino: Ino) -> Option<&[u8]> {
        self.nodes.get(&ino)?.target.as_deref()
    }

    /// Calls `each` with cookie, name and attributes of the entries after a cookie, until it breaks.
    ///
    /// Start with 0. Cookies of entries are [`FIRST_COOKIE`](crate::FIRST_COOKIE) and above; `.` and
    /// `..` are the caller's.
    pub fn list(&self, dir: Ino, after: u64, mut each: impl FnMut(u64, &[u8], Attr) -> ControlFlow<()>) {
        let Some(node) = self.nodes.get(&dir) else { return };
        for (cookie, name, ino) in node.children.after(after) {
            let Some(attr) = self.attr(ino) else { continue };
            if each(cookie, name, attr).is_break() {
                return;
            }
        }
    }

    /// Notes `count` more references of the kernel to a node.
    pub fn remember(&mut self, ino: Ino, count: u64) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.lookups = node.lookups.saturating_add(count);
        }
    }

    /// Drops `count` references; a node without names goes with the last one, its content unsent.
    pub fn forget(&mut self, ino: Ino, count: u64) {
        let Some(node) = self.nodes.get_mut(&ino) else { return };
        node.lookups = node.lookups.saturating_sub(count);
        if node.lookups == 0 && node.links.is_empty() && ino != ROOT {
            self.drop_node(ino);
        }
    }

    /// Takes a node nobody can reach any more out of the tables.
    fn drop_node(&mut self, ino: Ino) {
        if let Some(node) = self.nodes.remove(&ino) {
            if self.by_file.get(&node.file) == Some(&ino) {
                self.by_file.remove(&node.file);
            }
            self.dirty.insert(ino);
        }
    }

    /// The node that a new name of `ino` must lead to: itself, or the version that replaced it.
    #[must_use]
    pub fn successor(&self, ino: Ino) -> Ino {
        let mut at = ino;
        while let Some(next) = self.nodes.get(&at).and_then(|node| node.successor) {
            at = next;
        }
        at
    }

    /// Number of nodes.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }
}

/// The tables, locked. Drop it before any I/O.
#[derive(Debug)]
pub struct TablesGuard<'a>(pub(crate) MutexGuard<'a, Tables>);

impl Deref for TablesGuard<'_> {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.0
    }
}

impl DerefMut for TablesGuard<'_> {
    fn deref_mut(&mut self) -> &mut Tables {
        &mut self.0
    }
}
