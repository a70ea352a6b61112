//! One node of the tree in memory.
//!
//! The record is the node's state that travels; beside it stand the local attributes, the names as
//! this device shows them, the content and the sync state. `stat`, `readlink` and `getxattr` answer
//! from here without a look anywhere else.

use crate::body::Body;
use crate::tables::dir::Directory;
use crate::{Attr, Ino, Kind, ROOT, Time};
use freehold_model::{ChunkId, FileId, LinkId, VersionHash};
use freehold_vault::record::{self, Record};
use std::sync::Arc;

/// One name of a node, as shown. A directory has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) dir: Ino,
    pub(crate) name: Arc<[u8]>,
    /// The link in the record; all zeroes for directories.
    pub(crate) id: LinkId,
}

/// What is known about the record's way to the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sync {
    /// The own write counter at the oldest change no commit carries; 0 when there is none.
    pub(crate) dirty_since: u64,
    /// Changes since the volume was opened, to tell a batch whether it is still current.
    pub(crate) writes: u64,
    /// Versions the server knows that nothing has superseded.
    pub(crate) heads: Vec<VersionHash>,
    /// Own versions not numbered and placed yet.
    pub(crate) unplaced: Vec<VersionHash>,
    /// A batch with this record was handed out and not yet written.
    pub(crate) in_batch: bool,
    /// The body was cut since the node was created or loaded.
    pub(crate) has_version: bool,
    /// The file that took this node's name by a rename and has no content version yet: a deletion
    /// must not travel before it.
    pub(crate) replaced_by: Option<Ino>,
    /// Chunks pinned on this device until they are placed.
    pub(crate) pins: Vec<ChunkId>,
    /// The journal segment of the last image.
    pub(crate) image_segment: u64,
}

impl Sync {
    /// Whether any other device may have heard of the node.
    pub(crate) const fn is_known(&self) -> bool {
        !self.heads.is_empty() || !self.unplaced.is_empty() || self.in_batch
    }

    /// Whether nothing of the node is on its way or waits for anything.
    pub(crate) fn is_settled(&self) -> bool {
        !self.is_waiting() && !self.in_batch && self.replaced_by.is_none() && self.pins.is_empty()
    }

    /// Whether the record is not on the server for good.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.dirty_since != 0 || !self.unplaced.is_empty()
    }
}

/// A node: record, names, and what its kind adds.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) ino: Ino,
    pub(crate) record: Record,
    pub(crate) atime: Time,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
    pub(crate) links: Vec<Link>,
    pub(crate) children: Directory,
    pub(crate) body: Body,
    /// Set on an old version of a file: the node that took its names.
    pub(crate) successor: Option<Ino>,
    /// Old versions of the file that name this node as their successor.
    pub(crate) old_versions: u32,
    pub(crate) sync: Sync,
    /// Something of this node may be missing on disk; the next `fsync` says so, once.
    pub(crate) poisoned: bool,
}

impl Node {
    pub(crate) fn new(ino: Ino, record: Record, now: Time) -> Self {
        let mtime = shown_time(record.mtime());
        Self {
            ino,
            atime: now,
            mtime,
            ctime: now,
            links: Vec::new(),
            children: Directory::default(),
            body: Body::of_record(&record),
            successor: None,
            old_versions: 0,
            sync: Sync::default(),
            poisoned: false,
            record,
        }
    }

    pub(crate) const fn file(&self) -> FileId {
        self.record.file()
    }

    pub(crate) const fn kind(&self) -> Kind {
        match self.record.kind() {
            record::Kind::File => Kind::File,
            record::Kind::Dir => Kind::Dir,
            record::Kind::Symlink => Kind::Symlink,
            record::Kind::Fifo => Kind::Fifo,
            record::Kind::Socket => Kind::Socket,
            record::Kind::Char => Kind::Char,
            record::Kind::Block => Kind::Block,
        }
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind() == Kind::Dir
    }

    /// Whether the node is a view of this device alone and is never stored.
    pub(crate) fn is_local_only(&self) -> bool {
        self.file() == record::LOST_AND_FOUND
    }

    /// Whether the node was deleted and is the current version of its file. One that only is not
    /// shown (part of another directory, below a deleted one) is not: it lives on other devices.
    pub(crate) fn is_deleted(&self) -> bool {
        self.successor.is_none() && self.record.is_trashed()
    }

    /// Whether no name shown leads here.
    pub(crate) fn is_orphan(&self) -> bool {
        self.links.is_empty() && self.ino != ROOT
    }

    /// What `stat` shows.
    pub(crate) fn attr(&self) -> Attr {
        let kind = self.kind();
        let nlink = match kind {
            Kind::Dir if self.is_orphan() => 0,
            Kind::Dir => self.children.subdirs().saturating_add(2),
            _ => u32::try_from(self.links.len()).unwrap_or(u32::MAX),
        };
        let size = self.record.target().map_or(self.body.size, |target| target.len() as u64);
        let owner = self.record.owner();
        Attr {
            ino: self.ino,
            kind,
            mode: u32::from(self.record.mode()),
            nlink,
            uid: owner.uid,
            gid: owner.gid,
            rdev: self.record.rdev(),
            size,
            blocks: 0,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
        }
    }
}

/// A record's time as the mount shows it.
pub(crate) const fn shown_time(time: record::Time) -> Time {
    Time { secs: time.secs, nanos: time.nanos }
}

/// A time of the mount as a record holds it.
pub(crate) const fn record_time(time: Time) -> record::Time {
    record::Time { secs: time.secs, nanos: time.nanos }
}
