//! LOOKUP, FORGET, OPEN and READLINK: from names to nodes, and letting go of them.
//!
//! A node is also found by its number alone: `open_by_handle_at(2)` and file servers keep numbers that the
//! kernel has forgotten, and ask with `.` as the name (`FUSE_EXPORT_SUPPORT`).

use freehold_engine::{Attr, Ino, Kind};
use freehold_model::limits::NAME_BYTES_MAX;
use rustix::io::Errno;

use super::{Filesystem, hand_out};
use crate::errno::from_engine;

impl Filesystem {
    /// The node a name leads to, or `None`, which the kernel caches too.
    pub(crate) fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Option<Attr>, Errno> {
        if name.len() > NAME_BYTES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        if name == b"." {
            let mut tables = self.volume.lock_nodes(&[parent]).map_err(from_engine)?;
            // A number of a file that was removed, and that nobody holds, leads nowhere.
            let is_there = tables.attr(parent).is_some_and(|attr| attr.nlink > 0);
            return if is_there { hand_out(&mut tables, parent).map(Some) } else { Err(Errno::STALE) };
        }
        let mut tables = self.named(parent, name)?;
        if name == b".." {
            let above = tables.parent(parent).ok_or(Errno::STALE)?;
            return hand_out(&mut tables, above).map(Some);
        }
        match tables.kind(parent) {
            Some(Kind::Dir) => {}
            Some(_) => return Err(Errno::NOTDIR),
            None => return Err(Errno::STALE),
        }
        match tables.child(parent, name) {
            Some(ino) => hand_out(&mut tables, ino).map(Some),
            None => Ok(None),
        }
    }

    /// Drops kernel references; a node without names goes with its last one.
    pub(crate) fn forget(&self, ino: Ino, count: u64) {
        self.volume.lock().forget(ino, count);
    }

    /// Opening needs nothing but a node: no open file has state in the daemon.
    pub(crate) fn open(&self, ino: Ino) -> Result<(), Errno> {
        match self.volume.lock_nodes(&[ino]).map_err(from_engine)?.kind(ino) {
            Some(Kind::File) => Ok(()),
            Some(Kind::Dir) => Err(Errno::ISDIR),
            // The kernel opens fifos, sockets and devices itself.
            Some(_) => Err(Errno::NXIO),
            None => Err(Errno::STALE),
        }
    }

    /// A symlink's target.
    pub(crate) fn readlink(&self, ino: Ino) -> Result<Vec<u8>, Errno> {
        let tables = self.volume.lock_nodes(&[ino]).map_err(from_engine)?;
        tables.kind(ino).ok_or(Errno::STALE)?;
        tables.target(ino).ok_or(Errno::INVAL)
    }
}
