//! fuser's types to and from the filesystem's.

use std::time::Duration;

use freehold_engine::{Attr, Ino, Kind};
use fuser::{FileAttr, FileType, Generation, INodeNo, ReplyEntry, Request, TimeOrNow};
use rustix::io::Errno;

use crate::fs::Caller;
use crate::limits::CACHE_TTL;
use crate::time;

/// Node ids are never reused, so their generation never matters.
pub(super) const GENERATION: Generation = Generation(0);
/// How long the kernel keeps what it was told.
pub(super) const TTL: &Duration = &CACHE_TTL;
/// Preferred I/O size shown by stat.
const BLOCK_BYTES: u32 = 4096;

pub(super) fn errno(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

pub(super) fn caller(request: &Request) -> Caller {
    Caller { uid: request.uid(), gid: request.gid() }
}

pub(super) fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Dir => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
        Kind::Char => FileType::CharDevice,
        Kind::Block => FileType::BlockDevice,
    }
}

pub(super) fn file_attr(attr: &Attr) -> FileAttr {
    let ctime = time::to_system(attr.ctime);
    FileAttr {
        ino: INodeNo(attr.ino),
        size: attr.size,
        blocks: attr.blocks,
        atime: time::to_system(attr.atime),
        mtime: time::to_system(attr.mtime),
        ctime,
        crtime: ctime,
        kind: file_type(attr.kind),
        perm: u16::try_from(attr.mode & 0o7777).expect("twelve bits fit sixteen"),
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

/// What SETATTR asks for; the kernel's "now" becomes the daemon's.
pub(super) fn set_time(time: TimeOrNow) -> freehold_engine::Time {
    match time {
        TimeOrNow::SpecificTime(at) => time::from_fuser(at),
        TimeOrNow::Now => time::now(),
    }
}

/// Answers a request that names a node, counting on the node to have been remembered.
pub(super) fn reply_entry(reply: ReplyEntry, answer: Result<Attr, Errno>) {
    match answer {
        Ok(attr) => reply.entry(TTL, &file_attr(&attr), GENERATION),
        Err(error) => reply.error(errno(error)),
    }
}

/// The attributes of "no such name", which the kernel caches like any other answer: node id 0 says
/// that there is none.
pub(super) fn absent() -> FileAttr {
    const NOBODY: Ino = 0;
    let none = Attr {
        ino: NOBODY,
        kind: Kind::File,
        mode: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        size: 0,
        blocks: 0,
        atime: freehold_engine::Time::default(),
        mtime: freehold_engine::Time::default(),
        ctime: freehold_engine::Time::default(),
    };
    file_attr(&none)
}
