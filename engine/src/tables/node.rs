//! One node of the tree in memory.
//!
//! The fields are what `stat`, `readlink` and `getxattr` answer from without a look anywhere else.

use crate::body::Body;
use crate::tables::dir::Directory;
use crate::{Attr, Ino, Kind, Time};
use freehold_model::FileId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One name of a node. A directory has exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) dir: Ino,
    pub(crate) name: Arc<[u8]>,
}

/// A node: attributes, names, and what its kind adds.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) ino: Ino,
    pub(crate) file: FileId,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) rdev: u32,
    pub(crate) atime: Time,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
    pub(crate) target: Option<Box<[u8]>>,
    pub(crate) xattrs: BTreeMap<Box<[u8]>, Box<[u8]>>,
    pub(crate) links: Vec<Link>,
    pub(crate) children: Directory,
    pub(crate) body: Body,
    /// References the kernel holds.
    pub(crate) lookups: u64,
    /// The node that took this one's names when a remote version replaced it.
    pub(crate) successor: Option<Ino>,
}

impl Node {
    /// What `stat` shows.
    pub(crate) fn attr(&self) -> Attr {
        let nlink = match self.kind {
            Kind::Dir if self.links.is_empty() && self.ino != crate::ROOT => 0,
            Kind::Dir => self.children.subdirs().saturating_add(2),
            _ => u32::try_from(self.links.len()).unwrap_or(u32::MAX),
        };
        let size = match &self.target {
            Some(target) => target.len() as u64,
            None => self.body.size,
        };
        Attr {
            ino: self.ino,
            kind: self.kind,
            mode: self.mode,
            nlink,
            uid: self.uid,
            gid: self.gid,
            rdev: self.rdev,
            size,
            blocks: self.body.extents.bytes().div_ceil(4096) * 8,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
        }
    }
}
