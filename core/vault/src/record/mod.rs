//! The record: the sealed state of one node of the tree, and how two of them become one.
//!
//! A node (file, directory, symlink, fifo, socket, device) is one [`Record`], found by its
//! [`FileId`], never by its path. Each part merges by its own rule:
//!
//! ```text
//! mode, owner, rdev, explicit mtime, directory name    last-writer register by (HLC, dot)
//! links, xattrs, contents, directory parents           observed-remove set of dotted values
//! trash (directories)                                  join of what the deleters had seen
//! context                                              join of all writes to this record
//! symlink target, kind                                 immutable
//! ```
//!
//! Every part is a join semilattice and the record is their product, so merging is commutative,
//! associative and idempotent (`tests/merge_laws.rs`). The canonical encoding is in [`encode`] and
//! [`decode`], drawn in `docs/format.md`.

mod content;
mod decode;
mod edit;
mod encode;
mod link;
mod merge;
mod observed;
mod place;
mod register;
mod settle;
#[cfg(test)]
mod tests;
mod xattr;

pub use content::{Body, Chunked, Content, Time};
pub use edit::RecordError;
pub use link::{Link, Place};
pub use merge::MergeError;
pub use place::{ParentEdge, Trash};
pub use register::Register;
pub use settle::conflict_id;

use freehold_model::{FileId, Hlc, LinkId, Stamp, VersionVector};
use link::Names;
use place::DirPlace;
use xattr::Xattr;

/// The root directory of every vault. It has no parent and no name.
pub const ROOT: FileId = FileId::from_bytes([0; 16]);

/// The directory that shows what no path leads to. It has no record; greatest of all ids, so a
/// user's own directory of that name takes its place.
pub const LOST_AND_FOUND: FileId = FileId::from_bytes([0xff; 16]);

/// What a node is. The numbers stand in the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A regular file.
    File = 1,
    /// A directory.
    Dir = 2,
    /// A symbolic link.
    Symlink = 3,
    /// A named pipe.
    Fifo = 4,
    /// A socket.
    Socket = 5,
    /// A character device.
    Char = 6,
    /// A block device.
    Block = 7,
}

/// The owner of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
}

/// What every new node is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewNode {
    /// Permission bits, `0o7777` at most.
    pub mode: u16,
    /// Owner.
    pub owner: Owner,
    /// Modification time.
    pub mtime: Time,
}

/// The state of one node of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    file: FileId,
    context: VersionVector,
    mode: Register<u16>,
    owner: Register<Owner>,
    /// Sorted by (name, dot).
    xattrs: Vec<Xattr>,
    node: Node,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File { names: Names, contents: Vec<Content> },
    Dir { mtime: Register<Time>, place: DirPlace },
    Symlink { names: Names, mtime: Register<Time>, target: Vec<u8> },
    Special { kind: SpecialKind, names: Names, mtime: Register<Time>, rdev: Register<u32> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SpecialKind {
    Fifo,
    Socket,
    Char,
    Block,
}

impl Record {
    /// The node's id.
    #[must_use]
    pub const fn file(&self) -> FileId {
        self.file
    }

    /// What the node is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match &self.node {
            Node::File { .. } => Kind::File,
            Node::Dir { .. } => Kind::Dir,
            Node::Symlink { .. } => Kind::Symlink,
            Node::Special { kind, .. } => match kind {
                SpecialKind::Fifo => Kind::Fifo,
                SpecialKind::Socket => Kind::Socket,
                SpecialKind::Char => Kind::Char,
                SpecialKind::Block => Kind::Block,
            },
        }
    }

    /// Every write to this record that is in it.
    #[must_use]
    pub const fn context(&self) -> &VersionVector {
        &self.context
    }

    /// Permission bits.
    #[must_use]
    pub const fn mode(&self) -> u16 {
        self.mode.value
    }

    /// Owner.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        self.owner.value
    }

    /// Device number; 0 for anything but a device.
    #[must_use]
    pub const fn rdev(&self) -> u32 {
        match &self.node {
            Node::Special { rdev, .. } => rdev.value,
            _ => 0,
        }
    }

    /// Modification time: of the current content for files, the explicitly set one otherwise.
    #[must_use]
    pub fn mtime(&self) -> Time {
        match &self.node {
            Node::File { .. } => self.newest_content().map(|content| content.mtime.value).unwrap_or_default(),
            Node::Dir { mtime, .. } | Node::Symlink { mtime, .. } | Node::Special { mtime, .. } => {
                mtime.value
            }
        }
    }

    /// The write that set the explicit modification time. `None` for files, whose time is their content's.
    #[must_use]
    pub const fn mtime_stamp(&self) -> Option<Stamp> {
        match &self.node {
            Node::File { .. } => None,
            Node::Dir { mtime, .. } | Node::Symlink { mtime, .. } | Node::Special { mtime, .. } => {
                Some(mtime.stamp)
            }
        }
    }

    /// The value of an extended attribute.
    #[must_use]
    pub fn xattr(&self, name: &[u8]) -> Option<&[u8]> {
        self.xattrs().find_map(|(key, value)| (key == name).then_some(value))
    }

    /// All extended attributes in byte order of their names.
    pub fn xattrs(&self) -> impl Iterator<Item = (&[u8], &[u8])> + '_ {
        xattr::current(&self.xattrs).map(|xattr| (xattr.name.as_slice(), xattr.value.as_slice()))
    }

    /// The target of a symlink.
    #[must_use]
    pub fn target(&self) -> Option<&[u8]> {
        match &self.node {
            Node::Symlink { target, .. } => Some(target),
            _ => None,
        }
    }

    /// The current value of each hard link, by link id. Empty for directories.
    pub fn links(&self) -> impl Iterator<Item = &Link> + '_ {
        self.names().into_iter().flat_map(Names::current)
    }

    /// One hard link.
    #[must_use]
    pub fn link(&self, id: &LinkId) -> Option<&Link> {
        self.names()?.find(id)
    }

    /// Where the last link stood, for a node that has none left.
    #[must_use]
    pub fn unlinked_from(&self) -> Option<&Place> {
        let names = self.names()?;
        names.unlinked.as_ref().filter(|_| names.links.is_empty()).map(|register| &register.value)
    }

    /// The write that deleted the node: of a directory the last deletion, of anything else the removal of
    /// the last link.
    #[must_use]
    pub fn deletion(&self) -> Option<Stamp> {
        match self.trash_mark() {
            Some(trash) => Some(trash.stamp),
            None => self.names()?.unlinked.as_ref().map(|register| register.stamp),
        }
    }

    /// The name of a directory; empty for the root.
    #[must_use]
    pub fn dir_name(&self) -> Option<&Register<Vec<u8>>> {
        self.dir().map(|place| &place.name)
    }

    /// Every parent a directory is known to have had, in no order of meaning.
    #[must_use]
    pub fn parents(&self) -> &[ParentEdge] {
        self.dir().map_or(&[], |place| &place.parents)
    }

    /// The parent a directory was moved to last.
    #[must_use]
    pub fn newest_parent(&self) -> Option<&ParentEdge> {
        self.dir()?.newest()
    }

    /// The deletion of a directory, also when a later write revived it.
    #[must_use]
    pub fn trash_mark(&self) -> Option<&Trash> {
        self.dir()?.trash.as_ref()
    }

    /// All content values, in no order of meaning; more than one is a conflict.
    #[must_use]
    pub fn contents(&self) -> &[Content] {
        match &self.node {
            Node::File { contents, .. } => contents,
            _ => &[],
        }
    }

    /// The content the node shows: the value written last.
    #[must_use]
    pub fn newest_content(&self) -> Option<&Content> {
        self.contents().iter().max_by_key(|content| content.stamp)
    }

    /// Whether the node itself was deleted: no link left, or a directory without a write its
    /// deleters had not seen. A deleted directory above hides a node too; see `view::tree`.
    #[must_use]
    pub fn is_trashed(&self) -> bool {
        match self.dir() {
            Some(place) => place.trash.as_ref().is_some_and(|trash| trash.seen.dominates(&self.context)),
            None => self.names().is_some_and(|names| names.links.is_empty()),
        }
    }

    /// The newest clock reading in the record.
    #[must_use]
    pub fn newest_hlc(&self) -> Hlc {
        let mut newest = Hlc::default();
        self.each_stamp(&mut |stamp| newest = newest.max(stamp.hlc));
        newest
    }

    const fn names(&self) -> Option<&Names> {
        match &self.node {
            Node::File { names, .. } | Node::Symlink { names, .. } | Node::Special { names, .. } => {
                Some(names)
            }
            Node::Dir { .. } => None,
        }
    }

    const fn names_mut(&mut self) -> Option<&mut Names> {
        match &mut self.node {
            Node::File { names, .. } | Node::Symlink { names, .. } | Node::Special { names, .. } => {
                Some(names)
            }
            Node::Dir { .. } => None,
        }
    }

    const fn dir(&self) -> Option<&DirPlace> {
        match &self.node {
            Node::Dir { place, .. } => Some(place),
            _ => None,
        }
    }

    /// Visits every stamp in the record.
    fn each_stamp(&self, visit: &mut dyn FnMut(&Stamp)) {
        visit(&self.mode.stamp);
        visit(&self.owner.stamp);
        self.xattrs.iter().for_each(|xattr| visit(&xattr.stamp));
        if let Some(names) = self.names() {
            for link in &names.links {
                visit(&link.asserted);
                visit(&link.placed);
            }
            names.unlinked.iter().for_each(|place| visit(&place.stamp));
        }
        match &self.node {
            Node::File { contents, .. } => {
                for content in contents {
                    visit(&content.stamp);
                    visit(&content.mtime.stamp);
                }
            }
            Node::Dir { mtime, place } => {
                visit(&mtime.stamp);
                visit(&place.name.stamp);
                place.parents.iter().for_each(|edge| visit(&edge.stamp));
                place.trash.iter().for_each(|trash| visit(&trash.stamp));
            }
            Node::Symlink { mtime, .. } => visit(&mtime.stamp),
            Node::Special { mtime, rdev, .. } => {
                visit(&mtime.stamp);
                visit(&rdev.stamp);
            }
        }
    }
}
