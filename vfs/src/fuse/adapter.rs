//! Translates FUSE requests into filesystem calls and their results into replies; decides nothing
//! else.
//!
//! Every handler runs its call under [`guarded`]: a panic becomes `EIO` for that one request and
//! one line in the log, instead of a silently dead event loop. Answered `ENOSYS` on purpose, which
//! the kernel remembers for the life of the mount: FLUSH (the kernel has pushed the data by then,
//! so the request says nothing), OPENDIR (cookies are stable, a listing needs no state; the kernel
//! then caches listings), LSEEK (under writeback the kernel asks without flushing, so an honest
//! answer would hide unwritten data; it falls back to "all data"), locks (never asked for), POLL,
//! BMAP and ACCESS.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno as FuserErrno, FileHandle, FopenFlags, INodeNo,
    IoctlFlags, KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags,
    ReplyAttr, ReplyBmap, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyIoctl, ReplyLock, ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
    TimeOrNow, WriteFlags,
};
use rustix::io::Errno;

use super::convert::{GENERATION, TTL, absent, caller, errno, file_attr, file_type, reply_entry, set_time};
use super::flags;
use crate::fs::{CopyRange, Filesystem, Mode, Rename, SetAttr, Write};

/// No open file has state of its own in the daemon; the kernel's lookup count keeps a node alive.
const NO_HANDLE: FileHandle = FileHandle(0);

/// The filesystem as fuser's session sees it.
pub(super) struct FuseAdapter {
    fs: Arc<Filesystem>,
}

impl FuseAdapter {
    pub(super) fn new(fs: Arc<Filesystem>) -> Self {
        Self { fs }
    }
}

/// Runs one request; a panic in it is a bug of ours, answered with `EIO`.
fn guarded<T>(operation: &'static str, body: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        tracing::error!(operation, "bug: the handler of a filesystem request panicked; its caller got EIO");
        Err(Errno::IO)
    })
}

fn reply_empty(reply: ReplyEmpty, answer: Result<(), Errno>) {
    match answer {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

/// Answers GETXATTR and LISTXATTR: the length if the caller's buffer has none, else the bytes if
/// they fit.
fn reply_xattr(reply: ReplyXattr, buffer_bytes: u32, answer: Result<Vec<u8>, Errno>) {
    let answer = answer.and_then(|value| Ok((u32::try_from(value.len()).map_err(|_| Errno::TOOBIG)?, value)));
    match answer {
        Ok((len, _)) if buffer_bytes == 0 => reply.size(len),
        Ok((len, _)) if len > buffer_bytes => reply.error(errno(Errno::RANGE)),
        Ok((_, value)) => reply.data(&value),
        Err(error) => reply.error(errno(error)),
    }
}

impl fuser::Filesystem for FuseAdapter {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        flags::configure(config, self.fs.is_strict())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match guarded("LOOKUP", || self.fs.lookup(parent.0, name.as_bytes())) {
            Ok(Some(attr)) => reply.entry(TTL, &file_attr(&attr), GENERATION),
            Ok(None) => reply.entry(TTL, &absent(), GENERATION),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn forget(&self, _request: &Request, ino: INodeNo, lookups: u64) {
        // Nobody waits for an answer, and the guard has logged a panic.
        let _ = guarded("FORGET", || {
            self.fs.forget(ino.0, lookups);
            Ok(())
        });
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match guarded("GETATTR", || self.fs.getattr(ino.0)) {
            Ok(attr) => reply.attr(TTL, &file_attr(&attr)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = SetAttr {
            mode,
            uid,
            gid,
            size,
            atime: atime.map(set_time),
            mtime: mtime.map(set_time),
            ctime: ctime.map(|at| set_time(TimeOrNow::SpecificTime(at))),
        };
        match guarded("SETATTR", || self.fs.setattr(caller(request), ino.0, &set)) {
            Ok(attr) => reply.attr(TTL, &file_attr(&attr)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        match guarded("READLINK", || self.fs.readlink(ino.0)) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let answer = guarded("MKNOD", || {
            self.fs.mknod(caller(request), parent.0, name.as_bytes(), Mode { bits: mode, umask }, rdev)
        });
        reply_entry(reply, answer);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let answer = guarded("MKDIR", || {
            self.fs.mkdir(caller(request), parent.0, name.as_bytes(), Mode { bits: mode, umask })
        });
        reply_entry(reply, answer);
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, guarded("UNLINK", || self.fs.unlink(parent.0, name.as_bytes())));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, guarded("RMDIR", || self.fs.rmdir(parent.0, name.as_bytes())));
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let target = target.as_os_str().as_bytes();
        let answer =
            guarded("SYMLINK", || self.fs.symlink(caller(request), parent.0, name.as_bytes(), target));
        reply_entry(reply, answer);
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
        let rename = Rename {
            from: (parent.0, name.as_bytes()),
            to: (newparent.0, newname.as_bytes()),
            flags: flags.bits(),
        };
        reply_empty(reply, guarded("RENAME", || self.fs.rename(&rename)));
    }

    fn link(&self, _request: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        reply_entry(reply, guarded("LINK", || self.fs.link(ino.0, newparent.0, newname.as_bytes())));
    }

    fn open(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match guarded("OPEN", || self.fs.open(ino.0)) {
            Ok(()) => reply.opened(NO_HANDLE, FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        // The reply travels with the read, which may end on another thread. Lost in a panic, fuser
        // answers EIO in its place.
        let _ = guarded("READ", || {
            self.fs.read(ino.0, offset, size, move |answer| match answer {
                Ok(bytes) => reply.data(&bytes),
                Err(error) => reply.error(errno(error)),
            });
            Ok(())
        });
    }

    fn write(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let write = Write {
            offset,
            data,
            from_cache: write_flags.contains(WriteFlags::FUSE_WRITE_CACHE),
            kill_suid: write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID),
        };
        match guarded("WRITE", || self.fs.write(ino.0, &write)) {
            Ok(written) => reply.written(written),
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
        ino: INodeNo,
        _handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        reply_empty(
            reply,
            guarded("RELEASE", || {
                self.fs.release(ino.0);
                Ok(())
            }),
        );
    }

    fn fsync(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, guarded("FSYNC", || self.fs.fsync(ino.0)));
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
        let answer = guarded("READDIR", || {
            self.fs.readdir(ino.0, offset, |entry| {
                reply.add(
                    INodeNo(entry.attr.ino),
                    entry.cookie,
                    file_type(entry.attr.kind),
                    OsStr::from_bytes(entry.name),
                )
            })
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
        let answer = guarded("READDIRPLUS", || {
            self.fs.readdirplus(ino.0, offset, |entry| {
                let (node, name) = (INodeNo(entry.attr.ino), OsStr::from_bytes(entry.name));
                reply.add(node, entry.cookie, name, TTL, &file_attr(&entry.attr), GENERATION)
            })
        });
        match answer {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn releasedir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, guarded("FSYNCDIR", || self.fs.fsync(ino.0)));
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        match guarded("STATFS", || Ok(self.fs.statfs())) {
            Ok(total) => reply.statfs(
                total.blocks,
                total.free,
                total.free,
                total.files + total.files_free,
                total.files_free,
                total.block_bytes,
                total.name_max,
                total.block_bytes,
            ),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let answer =
            guarded("SETXATTR", || self.fs.setxattr(caller(request), ino.0, name.as_bytes(), value, flags));
        reply_empty(reply, answer);
    }

    fn getxattr(&self, _request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        reply_xattr(reply, size, guarded("GETXATTR", || self.fs.getxattr(ino.0, name.as_bytes())));
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        reply_xattr(reply, size, guarded("LISTXATTR", || self.fs.listxattr(caller(request), ino.0)));
    }

    fn removexattr(&self, request: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(
            reply,
            guarded("REMOVEXATTR", || self.fs.removexattr(caller(request), ino.0, name.as_bytes())),
        );
    }

    fn access(&self, _request: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        // The kernel checks the permission bits itself (`default_permissions`).
        reply.error(FuserErrno::ENOSYS);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let mode = Mode { bits: mode, umask };
        match guarded("CREATE", || self.fs.create(caller(request), parent.0, name.as_bytes(), mode, flags)) {
            Ok(attr) => {
                reply.created(TTL, &file_attr(&attr), GENERATION, NO_HANDLE, FopenFlags::FOPEN_KEEP_CACHE)
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn getlk(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _lock_owner: LockOwner,
        _start: u64,
        _end: u64,
        _typ: i32,
        _pid: u32,
        reply: ReplyLock,
    ) {
        reply.error(FuserErrno::ENOSYS);
    }

    fn setlk(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _lock_owner: LockOwner,
        _start: u64,
        _end: u64,
        _typ: i32,
        _pid: u32,
        _sleep: bool,
        reply: ReplyEmpty,
    ) {
        reply.error(FuserErrno::ENOSYS);
    }

    fn bmap(&self, _request: &Request, _ino: INodeNo, _blocksize: u32, _idx: u64, reply: ReplyBmap) {
        reply.error(FuserErrno::ENOSYS);
    }

    fn ioctl(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        // Programs probe with ioctls (is it a terminal, has it flags); the answer for "no such call
        // here" is ENOTTY.
        reply.error(FuserErrno::ENOTTY);
    }

    fn poll(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _notifier: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(FuserErrno::ENOSYS);
    }

    fn fallocate(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, guarded("FALLOCATE", || self.fs.fallocate(ino.0, offset, length, mode)));
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

    fn copy_file_range(
        &self,
        _request: &Request,
        ino_in: INodeNo,
        _handle_in: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        _handle_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let copy =
            CopyRange { from: ino_in.0, from_offset: offset_in, to: ino_out.0, to_offset: offset_out, len };
        match guarded("COPY_FILE_RANGE", || self.fs.copy_file_range(&copy)) {
            Ok(copied) => reply.written(copied),
            Err(error) => reply.error(errno(error)),
        }
    }
}
