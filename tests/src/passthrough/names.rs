//! Operations on names: create, remove, rename, link, list.

use super::nodes::{Nodes, by_descriptor};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, RenameFlags, SeekFrom, Stat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Room for names read from a folder at once: libc's own size.
const LISTING_BYTES: usize = 32 << 10;

/// One name of a folder.
pub(super) struct Listed<'a> {
    pub(super) name: &'a OsStr,
    pub(super) inode: u64,
    pub(super) kind: FileType,
    /// Where the next one is.
    pub(super) cookie: u64,
}

impl Nodes {
    /// Creates and opens a file; its number, attributes and handle.
    pub(super) fn create(
        &self,
        parent: u64,
        name: &OsStr,
        mode: u32,
        flags: i32,
    ) -> Result<(u64, Stat, u64), Errno> {
        let flags = super::files::for_daemon(flags) | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&*self.node(parent)?, name, flags, Mode::from_raw_mode(mode))?;
        let (number, stat) = self.look_up(parent, name)?;
        Ok((number, stat, self.keep_open(file)))
    }

    /// Makes a file, pipe, socket or device.
    pub(super) fn make_node(
        &self,
        parent: u64,
        name: &OsStr,
        mode: u32,
        device: u32,
    ) -> Result<(u64, Stat), Errno> {
        let kind = FileType::from_raw_mode(mode);
        let parent_node = self.node(parent)?;
        rustix::fs::mknodat(&*parent_node, name, kind, Mode::from_raw_mode(mode), u64::from(device))?;
        self.look_up(parent, name)
    }

    /// Makes a folder.
    pub(super) fn make_dir(&self, parent: u64, name: &OsStr, mode: u32) -> Result<(u64, Stat), Errno> {
        rustix::fs::mkdirat(&*self.node(parent)?, name, Mode::from_raw_mode(mode))?;
        self.look_up(parent, name)
    }

    /// Makes a symbolic link.
    pub(super) fn make_symlink(
        &self,
        parent: u64,
        name: &OsStr,
        target: &Path,
    ) -> Result<(u64, Stat), Errno> {
        rustix::fs::symlinkat(target, &*self.node(parent)?, name)?;
        self.look_up(parent, name)
    }

    /// Gives a node one more name.
    pub(super) fn link(&self, number: u64, parent: u64, name: &OsStr) -> Result<(u64, Stat), Errno> {
        let (node, parent_node) = (self.node(number)?, self.node(parent)?);
        rustix::fs::linkat(CWD, by_descriptor(&node), &*parent_node, name, AtFlags::SYMLINK_FOLLOW)?;
        self.look_up(parent, name)
    }

    /// Removes a name.
    pub(super) fn unlink(&self, parent: u64, name: &OsStr, flags: AtFlags) -> Result<(), Errno> {
        rustix::fs::unlinkat(&*self.node(parent)?, name, flags)
    }

    /// Moves a name.
    pub(super) fn rename(&self, from: (u64, &OsStr), to: (u64, &OsStr), flags: u32) -> Result<(), Errno> {
        let (old, new) = (self.node(from.0)?, self.node(to.0)?);
        if flags == 0 {
            return rustix::fs::renameat(&*old, from.1, &*new, to.1);
        }
        rustix::fs::renameat_with(&*old, from.1, &*new, to.1, RenameFlags::from_bits_retain(flags))
    }

    /// Where a symbolic link leads.
    pub(super) fn read_link(&self, number: u64) -> Result<Vec<u8>, Errno> {
        Ok(rustix::fs::readlinkat(&*self.node(number)?, "", Vec::new())?.into_bytes())
    }

    /// Tells the names behind a cookie until `add` says that it has no more room.
    ///
    /// Nothing is kept between two calls: the cookies are the file system's below.
    pub(super) fn list(
        &self,
        number: u64,
        cookie: u64,
        mut add: impl FnMut(&Listed<'_>) -> bool,
    ) -> Result<(), Errno> {
        let dir = self.reopen(number, OFlags::DIRECTORY | OFlags::RDONLY)?;
        if cookie != 0 {
            rustix::fs::seek(&dir, SeekFrom::Start(cookie))?;
        }
        let mut space = [MaybeUninit::uninit(); LISTING_BYTES];
        let mut names = RawDir::new(&dir, &mut space);
        while let Some(entry) = names.next() {
            let entry = entry?;
            let listed = Listed {
                name: OsStr::from_bytes(entry.file_name().to_bytes()),
                inode: entry.ino(),
                kind: entry.file_type(),
                cookie: entry.next_entry_cookie(),
            };
            if add(&listed) {
                break;
            }
        }
        Ok(())
    }
}
