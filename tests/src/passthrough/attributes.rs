//! Attributes: stat to fuser's form, SETATTR, extended attributes.

use super::nodes::{Nodes, by_descriptor};
use fuser::{FileAttr, FileType, INodeNo, TimeOrNow};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What SETATTR asks for.
pub(super) struct Change {
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) size: Option<u64>,
    pub(super) atime: Option<TimeOrNow>,
    pub(super) mtime: Option<TimeOrNow>,
    pub(super) handle: Option<u64>,
}

impl Nodes {
    /// Changes attributes; the ones in force afterwards.
    pub(super) fn change(&self, number: u64, change: &Change) -> Result<Stat, Errno> {
        let node = self.node(number)?;
        if let Some(mode) = change.mode {
            rustix::fs::chmodat(CWD, by_descriptor(&node), Mode::from_raw_mode(mode), AtFlags::empty())?;
        }
        if change.uid.is_some() || change.gid.is_some() {
            let (uid, gid) = (change.uid.map(Uid::from_raw), change.gid.map(Gid::from_raw));
            rustix::fs::chownat(&*node, "", uid, gid, AtFlags::EMPTY_PATH)?;
        }
        if let Some(size) = change.size {
            match change.handle {
                Some(handle) => rustix::fs::ftruncate(&*self.open_file(handle)?, size)?,
                None => rustix::fs::ftruncate(self.reopen(number, OFlags::WRONLY)?, size)?,
            }
        }
        if change.atime.is_some() || change.mtime.is_some() {
            let times =
                Timestamps { last_access: timespec(change.atime), last_modification: timespec(change.mtime) };
            rustix::fs::utimensat(&*node, "", &times, AtFlags::EMPTY_PATH)?;
        }
        self.stat(number)
    }

    /// One extended attribute.
    pub(super) fn xattr(&self, number: u64, name: &OsStr) -> Result<Vec<u8>, Errno> {
        let path = by_descriptor(&*self.node(number)?);
        let mut value = Vec::with_capacity(rustix::fs::getxattr(&path, name, &mut [0_u8; 0][..])?);
        rustix::fs::getxattr(&path, name, rustix::buffer::spare_capacity(&mut value))?;
        Ok(value)
    }

    /// The names of all extended attributes.
    pub(super) fn xattr_names(&self, number: u64) -> Result<Vec<u8>, Errno> {
        let path = by_descriptor(&*self.node(number)?);
        let mut names = Vec::with_capacity(rustix::fs::listxattr(&path, &mut [0_u8; 0][..])?);
        rustix::fs::listxattr(&path, rustix::buffer::spare_capacity(&mut names))?;
        Ok(names)
    }

    /// Sets an extended attribute.
    pub(super) fn set_xattr(&self, number: u64, name: &OsStr, value: &[u8], flags: i32) -> Result<(), Errno> {
        let flags = XattrFlags::from_bits_retain(flags.cast_unsigned());
        rustix::fs::setxattr(by_descriptor(&*self.node(number)?), name, value, flags)
    }

    /// Removes an extended attribute.
    pub(super) fn remove_xattr(&self, number: u64, name: &OsStr) -> Result<(), Errno> {
        rustix::fs::removexattr(by_descriptor(&*self.node(number)?), name)
    }
}

fn timespec(time: Option<TimeOrNow>) -> Timespec {
    let fixed = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let at = match time {
        None => return fixed(rustix::fs::UTIME_OMIT),
        Some(TimeOrNow::Now) => return fixed(rustix::fs::UTIME_NOW),
        Some(TimeOrNow::SpecificTime(at)) => at,
    };
    // Times before 1970 are of no use to a benchmark; they come back as 1970.
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timespec {
        tv_sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(since.subsec_nanos()),
    }
}

/// The kind of a mode.
pub(super) fn kind(mode: rustix::fs::FileType) -> FileType {
    match mode {
        rustix::fs::FileType::Directory => FileType::Directory,
        rustix::fs::FileType::Symlink => FileType::Symlink,
        rustix::fs::FileType::Fifo => FileType::NamedPipe,
        rustix::fs::FileType::Socket => FileType::Socket,
        rustix::fs::FileType::CharacterDevice => FileType::CharDevice,
        rustix::fs::FileType::BlockDevice => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

/// The attributes of a node with this number.
pub(super) fn file_attr(number: u64, stat: &Stat) -> FileAttr {
    let ctime = system_time(stat.st_ctime, stat.st_ctime_nsec);
    FileAttr {
        ino: INodeNo(number),
        size: u64::try_from(stat.st_size).unwrap_or_default(),
        blocks: u64::try_from(stat.st_blocks).unwrap_or_default(),
        atime: system_time(stat.st_atime, stat.st_atime_nsec),
        mtime: system_time(stat.st_mtime, stat.st_mtime_nsec),
        ctime,
        crtime: ctime,
        kind: kind(rustix::fs::FileType::from_raw_mode(stat.st_mode)),
        perm: u16::try_from(stat.st_mode & 0o7777).expect("twelve bits fit sixteen"),
        nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: u32::try_from(stat.st_rdev).unwrap_or_default(),
        blksize: u32::try_from(stat.st_blksize).unwrap_or(4096),
        flags: 0,
    }
}

fn system_time(seconds: i64, nanos: u64) -> SystemTime {
    let (seconds, nanos) =
        (u64::try_from(seconds).unwrap_or_default(), u32::try_from(nanos).unwrap_or_default());
    UNIX_EPOCH + Duration::new(seconds, nanos)
}
