//! The filesystem: POSIX rules over the tables and file bodies of one volume.
//!
//! One file per operation. Every operation takes what the kernel asks and returns the answer or an
//! errno; none knows of FUSE, none waits for the network. Namespace and attribute work happens
//! under the tables' lock, bytes outside it; what sleeps is woken before the lock is taken.
//! Permission bits, sticky directories and search permission are the kernel's part
//! (`default_permissions`): it knows supplementary groups, we do not.
//!
//! An answer that names a node counts one kernel lookup, under the same lock, so that a node cannot
//! vanish between answer and use.

mod acl;
mod attr;
mod create;
mod fallocate;
mod fsync;
mod link;
mod lookup;
mod read;
mod readdir;
mod release;
mod rename;
mod statfs;
#[cfg(test)]
mod tests;
mod unlink;
mod write;
mod xattr;

use std::sync::Arc;

use freehold_engine::{Attr, Ino, Kind, SetTimes, Tables, TablesGuard, Volume};
use rustix::io::Errno;

use crate::errno::from_engine;
use crate::notifier::InvalQueue;

pub(crate) use self::attr::SetAttr;
pub(crate) use self::create::Mode;
pub(crate) use self::fallocate::CopyRange;
pub(crate) use self::readdir::DirEntry;
pub(crate) use self::rename::Rename;
pub(crate) use self::write::Write;

/// Permission bits, set-id bits and sticky.
const MODE_BITS: u32 = 0o7777;
const SUID: u32 = 0o4000;
const SGID: u32 = 0o2000;
const GROUP_EXEC: u32 = 0o0010;

/// Who asks. Supplementary groups are not in a FUSE request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Caller {
    fn is_root(self) -> bool {
        self.uid == 0
    }
}

/// A volume under POSIX rules.
#[derive(Debug)]
pub(crate) struct Filesystem {
    volume: Arc<Volume>,
    invals: Arc<InvalQueue>,
    strict: bool,
}

impl Filesystem {
    /// `strict` says that the kernel caches no writes, so that times are ours to keep.
    pub(crate) fn new(volume: Arc<Volume>, invals: Arc<InvalQueue>, strict: bool) -> Self {
        Self { volume, invals, strict }
    }

    /// Whether every write reaches the daemon before it returns.
    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }

    /// The tables, with whatever stands at a name of a directory awake.
    fn named(&self, parent: Ino, name: &[u8]) -> Result<TablesGuard<'_>, Errno> {
        self.volume.lock_names(&[(parent, name)]).map_err(from_engine)
    }

    /// Sets the times of a content change, where they are ours to set. Under writeback the kernel
    /// keeps the times of regular files itself and sends them by SETATTR; a time from here would be
    /// later than the write it stands for.
    fn content_changed(&self, ino: Ino) -> Result<(), Errno> {
        if self.strict {
            let mut tables = self.volume.lock_nodes(&[ino]).map_err(from_engine)?;
            let now = crate::time::now();
            set_times(&mut tables, ino, SetTimes { mtime: Some(now), ..SetTimes::default() })?;
        }
        Ok(())
    }
}

/// The attributes of a node whose id goes to the kernel, which holds one more reference from here
/// on.
fn hand_out(tables: &mut Tables, ino: Ino) -> Result<Attr, Errno> {
    tables.remember(ino, 1);
    tables.attr(ino).ok_or(Errno::STALE)
}

/// Clears suid, and sgid where it means "run as the group", as the kernel does when someone changes
/// a program.
fn drop_privileges(tables: &mut Tables, ino: Ino) -> Result<(), Errno> {
    let attr = tables.attr(ino).ok_or(Errno::STALE)?;
    let mode = without_privileges(attr.mode);
    if attr.kind == Kind::File && mode != attr.mode {
        tables.set_mode(ino, mode).map_err(from_engine)?;
    }
    Ok(())
}

/// The mode without suid and without an effective sgid. Sgid without group execution is a locking
/// mark and stays.
fn without_privileges(mode: u32) -> u32 {
    let sgid = if mode & GROUP_EXEC != 0 { SGID } else { 0 };
    mode & !(SUID | sgid)
}

fn set_times(tables: &mut Tables, ino: Ino, times: SetTimes) -> Result<(), Errno> {
    tables.set_times(ino, times).map_err(from_engine)
}
