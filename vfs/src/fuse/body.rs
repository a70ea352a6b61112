//! The bodies of answers, written into a buffer that a thread keeps.

use std::time::Duration;

use freehold_engine::{Attr, Kind, StatFs};
use zerocopy::{Immutable, IntoBytes};

use super::abi::{AttrOut, Attributes, CountOut, Dirent, EntryOut, FOPEN_KEEP_CACHE, OpenOut, StatFsOut};
use crate::fs::DirEntry;
use crate::limits::CACHE_TTL;

/// Node ids are never reused, so their generation never matters.
const GENERATION: u64 = 0;
/// How long the kernel keeps what it was told.
const TTL: Duration = CACHE_TTL;
/// Preferred I/O size shown by stat.
const BLOCK_BYTES: u32 = 4096;
/// Set-id, sticky and permission bits.
const PERMISSIONS: u32 = 0o7777;
/// Entries of a listing begin at multiples of this.
const DIRENT_ALIGN: usize = 8;

/// An answer's body. Empty for many an answer.
#[derive(Debug, Default)]
pub(super) struct Body {
    bytes: Vec<u8>,
}

impl Body {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    fn put(&mut self, value: &(impl IntoBytes + Immutable)) {
        self.bytes.extend_from_slice(value.as_bytes());
    }

    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A node under a name, or that there is none.
    pub(super) fn put_entry(&mut self, attr: Option<&Attr>) {
        self.put(&entry(attr));
    }

    pub(super) fn put_attr(&mut self, attr: &Attr) {
        self.put(&AttrOut {
            attr_secs: TTL.as_secs(),
            attr_nanos: TTL.subsec_nanos(),
            dummy: 0,
            attr: attributes(attr),
        });
    }

    /// An open file. It has no state of its own in the daemon; the kernel's lookup count keeps a
    /// node alive.
    pub(super) fn put_open(&mut self) {
        self.put(&OpenOut { open_flags: FOPEN_KEEP_CACHE, ..OpenOut::default() });
    }

    pub(super) fn put_count(&mut self, count: u32) {
        self.put(&CountOut { count, padding: 0 });
    }

    pub(super) fn put_statfs(&mut self, total: &StatFs) {
        self.put(&StatFsOut {
            blocks: total.blocks,
            free: total.free,
            available: total.free,
            files: total.files + total.files_free,
            files_free: total.files_free,
            block_bytes: total.block_bytes,
            name_max: total.name_max,
            fragment_bytes: total.block_bytes,
            ..StatFsOut::default()
        });
    }

    /// Adds an entry to a listing of at most `limit` bytes, with its attributes if `plus`. True,
    /// "full", if it has no room; then it is not added.
    pub(super) fn add_dirent(&mut self, entry: &DirEntry<'_>, plus: bool, limit: usize) -> bool {
        let head = if plus { size_of::<EntryOut>() } else { 0 } + size_of::<Dirent>();
        let len = (head + entry.name.len()).next_multiple_of(DIRENT_ALIGN);
        let Ok(name_bytes) = u32::try_from(entry.name.len()) else { return true };
        let end = self.bytes.len() + len;
        if end > limit {
            return true;
        }
        if plus {
            self.put_entry(Some(&entry.attr));
        }
        let kind = kind_bits(entry.attr.kind) >> 12;
        self.put(&Dirent { ino: entry.attr.ino, cookie: entry.cookie, name_bytes, kind });
        self.put_bytes(entry.name);
        self.bytes.resize(end, 0);
        false
    }
}

fn entry(attr: Option<&Attr>) -> EntryOut {
    EntryOut {
        nodeid: attr.map_or(0, |attr| attr.ino),
        generation: GENERATION,
        entry_secs: TTL.as_secs(),
        attr_secs: TTL.as_secs(),
        entry_nanos: TTL.subsec_nanos(),
        attr_nanos: TTL.subsec_nanos(),
        attr: attr.map_or(NOBODY, attributes),
    }
}

fn attributes(attr: &Attr) -> Attributes {
    Attributes {
        ino: attr.ino,
        size: attr.size,
        blocks: attr.blocks,
        atime: attr.atime.secs,
        mtime: attr.mtime.secs,
        ctime: attr.ctime.secs,
        atime_nanos: attr.atime.nanos,
        mtime_nanos: attr.mtime.nanos,
        ctime_nanos: attr.ctime.nanos,
        mode: kind_bits(attr.kind) | (attr.mode & PERMISSIONS),
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        block_bytes: BLOCK_BYTES,
        flags: 0,
    }
}

/// The attributes beside "no such name", which nobody looks at.
const NOBODY: Attributes = Attributes {
    ino: 0,
    size: 0,
    blocks: 0,
    atime: 0,
    mtime: 0,
    ctime: 0,
    atime_nanos: 0,
    mtime_nanos: 0,
    ctime_nanos: 0,
    mode: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    block_bytes: BLOCK_BYTES,
    flags: 0,
};

/// The type bits of a mode.
fn kind_bits(kind: Kind) -> u32 {
    match kind {
        Kind::File => libc::S_IFREG,
        Kind::Dir => libc::S_IFDIR,
        Kind::Symlink => libc::S_IFLNK,
        Kind::Fifo => libc::S_IFIFO,
        Kind::Socket => libc::S_IFSOCK,
        Kind::Char => libc::S_IFCHR,
        Kind::Block => libc::S_IFBLK,
    }
}
