//! GETATTR and SETATTR: stat, chmod, chown, truncate and utimensat.
//!
//! What clears set-id bits: the kernel leaves that to us (`HANDLE_KILLPRIV_V2`). The
//! mark it may set (`FATTR_KILL_SUIDGID`) is not looked at; what comes beside it was measured: before a
//! write a SETATTR with nothing else in it, else a changed size or owner. So the bits fall on an empty SETATTR, on a size change by anyone
//! but root, and on every change of owner or group, root's included, as ext4 does.

use freehold_engine::{Attr, Ino, Kind, SetTimes, Time};
use rustix::io::Errno;

use super::{Caller, Filesystem, MODE_BITS, set_times, without_privileges};
use crate::errno::from_engine;
use crate::time;

/// What SETATTR asks for; `None` leaves a field alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SetAttr {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) atime: Option<Time>,
    pub(crate) mtime: Option<Time>,
    pub(crate) ctime: Option<Time>,
}

impl SetAttr {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn changes_owner(&self) -> bool {
        self.uid.is_some() || self.gid.is_some()
    }

    /// Whether the node loses its set-id bits with this change. Directories never do.
    fn kills_privileges(&self, caller: Caller, before: &Attr) -> bool {
        let resized = self.size.is_some_and(|size| size != before.size);
        before.kind != Kind::Dir
            && self.mode.is_none()
            && (self.is_empty() || self.changes_owner() || (resized && !caller.is_root()))
    }
}

impl Filesystem {
    /// What stat shows.
    pub(crate) fn getattr(&self, ino: Ino) -> Result<Attr, Errno> {
        self.volume.lock_nodes(&[ino]).map_err(from_engine)?.attr(ino).ok_or(Errno::STALE)
    }

    /// Changes attributes and returns them as they are then.
    pub(crate) fn setattr(&self, caller: Caller, ino: Ino, set: &SetAttr) -> Result<Attr, Errno> {
        let before = self.getattr(ino)?;
        if let Some(size) = set.size {
            self.volume.truncate(ino, size).map_err(from_engine)?;
        }
        let mut tables = self.volume.lock_nodes(&[ino]).map_err(from_engine)?;
        let mode = set.mode.map_or(before.mode, |mode| mode & MODE_BITS);
        let mode = if set.kills_privileges(caller, &before) { without_privileges(mode) } else { mode };
        if set.mode.is_some() || mode != before.mode {
            tables.set_mode(ino, mode).map_err(from_engine)?;
        }
        if set.changes_owner() {
            let (uid, gid) = (set.uid.unwrap_or(before.uid), set.gid.unwrap_or(before.gid));
            tables.set_owner(ino, uid, gid).map_err(from_engine)?;
        }
        let times = SetTimes { atime: set.atime, mtime: self.mtime_after(set, &before), ctime: set.ctime };
        if times != SetTimes::default() {
            set_times(&mut tables, ino, times)?;
        }
        tables.attr(ino).ok_or(Errno::STALE)
    }

    /// The mtime to set: the caller's, or now for a truncation that brings none. Under writeback
    /// the kernel sends one with every size that differs; without writeback it never does.
    fn mtime_after(&self, set: &SetAttr, before: &Attr) -> Option<Time> {
        let truncates = set.size.is_some_and(|size| self.strict || size != before.size);
        set.mtime.or_else(|| truncates.then(time::now))
    }
}
