//! FUSE requests to calls on the folder below, and their results to replies; decides nothing else.
//!
//! Answered `ENOSYS` as our own mount does, which the kernel remembers: FLUSH, OPENDIR, LSEEK, ACCESS.

use super::attributes::{Change, file_attr, kind};
use super::nodes::Nodes;
use fuser::{
    AccessFlags, BsdFileFlags, Errno as FuserErrno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is asked of the kernel: the same as `vfs/src/fuse/flags.rs`.
const FLAGS: InitFlags = InitFlags::FUSE_PARALLEL_DIROPS
    .union(InitFlags::FUSE_DO_READDIRPLUS)
    .union(InitFlags::FUSE_READDIRPLUS_AUTO)
    .union(InitFlags::FUSE_CACHE_SYMLINKS)
    .union(InitFlags::FUSE_HANDLE_KILLPRIV_V2)
    .union(InitFlags::FUSE_EXPLICIT_INVAL_DATA)
    .union(InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP)
    .union(InitFlags::FUSE_ASYNC_DIO)
    .union(InitFlags::FUSE_WRITEBACK_CACHE);

/// Request sizes and background requests: the same as `vfs/src/limits.rs`.
const MAX_REQUEST_BYTES: u32 = 1 << 20;
const MAX_BACKGROUND: u16 = 64;
const CONGESTION_THRESHOLD: u16 = 48;

/// How long the kernel keeps what it was told: nobody else changes the folder.
const TTL: Duration = Duration::from_secs(24 * 60 * 60);
const GENERATION: Generation = Generation(0);

/// The folder as fuser sees it.
pub(super) struct Adapter {
    nodes: Nodes,
}

impl Adapter {
    /// Over the folder at this path.
    pub(super) fn over(source: &Path) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { nodes: Nodes::over(rustix::fs::open(source, flags, Mode::empty())?)? })
    }
}

fn errno(error: Errno) -> FuserErrno {
    FuserErrno::from_i32(error.raw_os_error())
}

fn reply_entry(reply: ReplyEntry, answer: Result<(u64, Stat), Errno>) {
    match answer {
        Ok((number, stat)) => reply.entry(&TTL, &file_attr(number, &stat), GENERATION),
        Err(error) => reply.error(errno(error)),
    }
}

fn reply_empty(reply: ReplyEmpty, answer: Result<(), Errno>) {
    match answer {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

fn reply_xattr(reply: ReplyXattr, buffer_bytes: u32, answer: Result<Vec<u8>, Errno>) {
    let answer = answer.and_then(|value| Ok((u32::try_from(value.len()).map_err(|_| Errno::TOOBIG)?, value)));
    match answer {
        Ok((len, _)) if buffer_bytes == 0 => reply.size(len),
        Ok((len, _)) if len > buffer_bytes => reply.error(errno(Errno::RANGE)),
        Ok((_, value)) => reply.data(&value),
        Err(error) => reply.error(errno(error)),
    }
}

/// The attributes of "no such name", which the kernel keeps like any other answer: number 0 says that there is none.
const fn absent() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let refused = config.add_capabilities(FLAGS).is_err()
            || config.set_max_write(MAX_REQUEST_BYTES).is_err()
            || config.set_max_background(MAX_BACKGROUND).is_err()
            || config.set_congestion_threshold(CONGESTION_THRESHOLD).is_err()
            || config.set_time_granularity(Duration::from_nanos(1)).is_err();
        if refused {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel lacks a flag of ours"));
        }
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.nodes.look_up(parent.0, name) {
            Err(Errno::NOENT) => reply.entry(&TTL, &absent(), GENERATION),
            answer => reply_entry(reply, answer),
        }
    }

    fn forget(&self, _request: &Request, ino: INodeNo, lookups: u64) {
        self.nodes.forget(ino.0, lookups);
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.nodes.stat(ino.0) {
            Ok(stat) => reply.attr(&TTL, &file_attr(ino.0, &stat)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let handle = handle.map(|handle| handle.0);
        match self.nodes.change(ino.0, &Change { mode, uid, gid, size, atime, mtime, handle }) {
            Ok(stat) => reply.attr(&TTL, &file_attr(ino.0, &stat)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        match self.nodes.read_link(ino.0) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn mknod(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        reply_entry(reply, self.nodes.make_node(parent.0, name, mode, rdev));
    }

    fn mkdir(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        reply_entry(reply, self.nodes.make_dir(parent.0, name, mode));
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.nodes.unlink(parent.0, name, AtFlags::empty()));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.nodes.unlink(parent.0, name, AtFlags::REMOVEDIR));
    }

    fn symlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        reply_entry(reply, self.nodes.make_symlink(parent.0, name, target));
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, self.nodes.rename((parent.0, name), (newparent.0, newname), flags.bits()));
    }

    fn link(&self, _request: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        reply_entry(reply, self.nodes.link(ino.0, newparent.0, newname));
    }

    fn open(&self, _request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.nodes.open(ino.0, flags.0) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn read(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.nodes.read(handle.0, offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn write(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.nodes.write(handle.0, offset, data) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn flush(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.error(FuserErrno::ENOSYS);
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.nodes.close(handle.0);
        reply.ok();
    }

    fn fsync(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        is_data_only: bool,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, self.nodes.sync(handle.0, is_data_only));
    }

    fn opendir(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.error(FuserErrno::ENOSYS);
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let answer = self.nodes.list(ino.0, offset, |entry| {
            let number = INodeNo(self.nodes.number(entry.inode));
            reply.add(number, entry.cookie, kind(entry.kind), entry.name)
        });
        match answer {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn readdirplus(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let answer = self.nodes.list(ino.0, offset, |entry| {
            // The kernel counts no lookup of these two, and needs none of their attributes.
            if entry.name == "." || entry.name == ".." {
                let attr = FileAttr { kind: FileType::Directory, ..absent() };
                let attr = FileAttr { ino: INodeNo(self.nodes.number(entry.inode)), ..attr };
                return reply.add(attr.ino, entry.cookie, entry.name, &Duration::ZERO, &attr, GENERATION);
            }
            let Ok((number, stat)) = self.nodes.look_up(ino.0, entry.name) else { return false };
            let attr = file_attr(number, &stat);
            let is_full = reply.add(attr.ino, entry.cookie, entry.name, &TTL, &attr, GENERATION);
            if is_full {
                self.nodes.forget(number, 1);
            }
            is_full
        });
        match answer {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, self.nodes.sync_dir(ino.0));
    }

    fn statfs(&self, _request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let answer = self.nodes.node(ino.0).and_then(|node| rustix::fs::fstatvfs(&*node));
        let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        match answer {
            Ok(total) => reply.statfs(
                total.f_blocks,
                total.f_bfree,
                total.f_bavail,
                total.f_files,
                total.f_ffree,
                short(total.f_bsize),
                short(total.f_namemax),
                short(total.f_frsize),
            ),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setxattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, self.nodes.set_xattr(ino.0, name, value, flags));
    }

    fn getxattr(&self, _request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        reply_xattr(reply, size, self.nodes.xattr(ino.0, name));
    }

    fn listxattr(&self, _request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        reply_xattr(reply, size, self.nodes.xattr_names(ino.0));
    }

    fn removexattr(&self, _request: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.nodes.remove_xattr(ino.0, name));
    }

    fn access(&self, _request: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        reply.error(FuserErrno::ENOSYS);
    }

    fn create(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        match self.nodes.create(parent.0, name, mode, flags) {
            Ok((number, stat, handle)) => reply.created(
                &TTL,
                &file_attr(number, &stat),
                GENERATION,
                FileHandle(handle),
                FopenFlags::FOPEN_KEEP_CACHE,
            ),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn lseek(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _offset: i64,
        _whence: i32,
        reply: ReplyLseek,
    ) {
        reply.error(FuserErrno::ENOSYS);
    }

    fn fallocate(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, self.nodes.allocate(handle.0, mode, offset, length));
    }
}
