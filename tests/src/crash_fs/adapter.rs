//! FUSE requests to the disk. The kernel's page cache works as on any file system, without write-back: a write is
//! recorded when it is made, a store to a shared mapping when the kernel writes its page.

use super::disk::{Disk, Node};
use super::lock;
use super::trace::{Kind, ROOT};
use fuser::{
    BsdFileFlags, Errno as FuserErrno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nothing changes but through the kernel.
const TTL: Duration = Duration::from_secs(3_600);
const NO_HANDLE: FileHandle = FileHandle(0);
const BLOCK_BYTES: u32 = 4096;

/// The disk as fuser sees it.
pub(super) struct Adapter {
    disk: Arc<Mutex<Disk>>,
}

impl Adapter {
    pub(super) const fn new(disk: Arc<Mutex<Disk>>) -> Self {
        Self { disk }
    }

    fn entry(&self, reply: ReplyEntry, find: impl FnOnce(&mut Disk) -> Result<u64, Errno>) {
        let mut disk = lock(&self.disk);
        match find(&mut disk).and_then(|node| Ok(attr(node, disk.node(node)?))) {
            Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn empty(&self, reply: ReplyEmpty, work: impl FnOnce(&mut Disk) -> Result<(), Errno>) {
        match work(&mut lock(&self.disk)) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(error)),
        }
    }
}

fn errno(error: Errno) -> FuserErrno {
    FuserErrno::from_i32(error.raw_os_error())
}

fn file_type(node: &Node) -> FileType {
    match node.kind {
        Kind::File => FileType::RegularFile,
        Kind::Dir => FileType::Directory,
        Kind::Other if node.mode & libc::S_IFMT == libc::S_IFSOCK => FileType::Socket,
        Kind::Other => FileType::NamedPipe,
    }
}

fn attr(number: u64, node: &Node) -> FileAttr {
    FileAttr {
        ino: INodeNo(number),
        size: node.bytes.len() as u64,
        blocks: (node.bytes.len() as u64).div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: file_type(node),
        perm: u16::try_from(node.mode & 0o7777).expect("twelve bits fit sixteen"),
        nlink: if node.kind == Kind::Dir { 2 } else { 1 },
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

impl Filesystem for Adapter {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(reply, |disk| disk.child(parent.0, name));
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match lock(&self.disk).node(ino.0) {
            Ok(node) => reply.attr(&TTL, &attr(ino.0, node)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = lock(&self.disk);
        if let (Some(mode), Some(node)) = (mode, disk.nodes.get_mut(&ino.0)) {
            node.mode = (node.mode & libc::S_IFMT) | (mode & 0o7777);
        }
        let sized = size.map_or(Ok(()), |size| disk.set_len(ino.0, size));
        match sized.and_then(|()| disk.node(ino.0)) {
            Ok(node) => reply.attr(&TTL, &attr(ino.0, node)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn mknod(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        let kind = if mode & libc::S_IFMT == libc::S_IFREG { Kind::File } else { Kind::Other };
        self.entry(reply, |disk| disk.make(parent.0, name, kind, mode & !(umask & 0o777)));
    }

    fn mkdir(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let mode = libc::S_IFDIR | (mode & !(umask & 0o777));
        self.entry(reply, |disk| disk.make(parent.0, name, Kind::Dir, mode));
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(reply, |disk| disk.remove(parent.0, name));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(reply, |disk| disk.remove(parent.0, name));
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
        let (from, to) = ((parent.0, name.to_owned()), (newparent.0, newname.to_owned()));
        self.empty(reply, |disk| match flags {
            flags if flags.contains(RenameFlags::RENAME_EXCHANGE) => Err(Errno::INVAL),
            flags => disk.rename(from, to, !flags.contains(RenameFlags::RENAME_NOREPLACE)),
        });
    }

    fn open(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(NO_HANDLE, FopenFlags::FOPEN_KEEP_CACHE);
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
        match lock(&self.disk).read(ino.0, offset, usize::try_from(size).unwrap_or(usize::MAX)) {
            Ok(bytes) => reply.data(bytes),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn write(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match lock(&self.disk).write(ino.0, offset, data) {
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

    fn fsync(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.empty(reply, |disk| disk.sync(ino.0));
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.empty(reply, |disk| disk.sync(ino.0));
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let disk = lock(&self.disk);
        let Ok(dir) = disk.node(ino.0) else { return reply.error(errno(Errno::NOENT)) };
        // By number, so that a name taken away while somebody lists moves no other.
        let mut names: Vec<(u64, u64, &OsStr)> =
            dir.children.iter().map(|(name, node)| (node + 2, *node, name.as_os_str())).collect();
        names.extend([(1, ino.0, OsStr::new(".")), (2, ROOT, OsStr::new(".."))]);
        names.sort_unstable();
        for (cookie, node, name) in names.into_iter().filter(|(cookie, ..)| *cookie > offset) {
            let Some(found) = disk.nodes.get(&node) else { continue };
            if reply.add(INodeNo(node), cookie, file_type(found), name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let (all, free) = lock(&self.disk).space();
        let blocks = |bytes: u64| bytes / u64::from(BLOCK_BYTES);
        reply.statfs(
            blocks(all),
            blocks(free),
            blocks(free),
            1 << 20,
            1 << 20,
            BLOCK_BYTES,
            255,
            BLOCK_BYTES,
        );
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
        self.empty(reply, |disk| match mode {
            0 => disk.reserve(ino.0, offset.saturating_add(length), false),
            libc::FALLOC_FL_KEEP_SIZE => disk.reserve(ino.0, offset.saturating_add(length), true),
            _ => Err(Errno::OPNOTSUPP),
        });
    }
}
