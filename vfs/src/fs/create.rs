//! CREATE, MKNOD, MKDIR and SYMLINK: new nodes.
//!
//! Modes arrive with the caller's umask beside them, which counts unless the directory has a default
//! access list (`acl`). In a directory with sgid, new nodes take the directory's group, and new
//! directories its sgid as well; the kernel has already stripped sgid from programs of callers
//! outside the group.

use freehold_engine::{Attr, Ino, Kind, NewNode, Tables};
use rustix::io::Errno;

use super::acl::Inherited;
use super::{Caller, Filesystem, MODE_BITS, SGID, hand_out};
use crate::errno::from_engine;

/// Permission bits of a symlink, which nothing ever looks at.
const SYMLINK_MODE: u32 = 0o777;

/// What a creator asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    /// Type, set-id and permission bits, before the umask.
    pub(crate) bits: u32,
    /// Permissions the creator does not want to give.
    pub(crate) umask: u32,
}

impl Filesystem {
    /// Creates and opens a file. An existing one is opened unless `O_EXCL` forbids it: the kernel
    /// asks on the strength of a negative answer that a remote change may have outdated.
    pub(crate) fn create(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        mode: Mode,
        flags: i32,
    ) -> Result<Attr, Errno> {
        let mut tables = self.named(parent, name)?;
        let Some(existing) = tables.child(parent, name) else {
            return make(&mut tables, caller, parent, name, Make::plain(Kind::File, mode));
        };
        if flags & libc::O_EXCL != 0 {
            return Err(Errno::EXIST);
        }
        match tables.kind(existing) {
            Some(Kind::File) => {}
            Some(Kind::Dir) => return Err(Errno::ISDIR),
            _ => return Err(Errno::EXIST),
        }
        if flags & libc::O_TRUNC == 0 {
            return hand_out(&mut tables, existing);
        }
        drop(tables);
        self.volume.truncate(existing, 0).map_err(from_engine)?;
        hand_out(&mut *self.volume.lock_nodes(&[existing]).map_err(from_engine)?, existing)
    }

    /// Creates a file, fifo, socket or, for root, a device node.
    pub(crate) fn mknod(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        mode: Mode,
        rdev: u32,
    ) -> Result<Attr, Errno> {
        let kind = match mode.bits & libc::S_IFMT {
            // mknod(2): a type of zero means a regular file.
            0 | libc::S_IFREG => Kind::File,
            libc::S_IFIFO => Kind::Fifo,
            libc::S_IFSOCK => Kind::Socket,
            libc::S_IFCHR => Kind::Char,
            libc::S_IFBLK => Kind::Block,
            _ => return Err(Errno::INVAL),
        };
        let is_device = matches!(kind, Kind::Char | Kind::Block);
        if is_device && !caller.is_root() {
            return Err(Errno::PERM);
        }
        let rdev = if is_device { rdev } else { 0 };
        make(&mut *self.named(parent, name)?, caller, parent, name, Make { rdev, ..Make::plain(kind, mode) })
    }

    /// Creates a directory.
    pub(crate) fn mkdir(&self, caller: Caller, parent: Ino, name: &[u8], mode: Mode) -> Result<Attr, Errno> {
        make(&mut *self.named(parent, name)?, caller, parent, name, Make::plain(Kind::Dir, mode))
    }

    /// Creates a symbolic link.
    pub(crate) fn symlink(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        target: &[u8],
    ) -> Result<Attr, Errno> {
        let mode = Mode { bits: SYMLINK_MODE, umask: 0 };
        let new = Make { target: Some(target.to_vec()), ..Make::plain(Kind::Symlink, mode) };
        make(&mut *self.named(parent, name)?, caller, parent, name, new)
    }
}

/// What to make, before the parent directory has its say.
struct Make {
    kind: Kind,
    mode: Mode,
    rdev: u32,
    target: Option<Vec<u8>>,
}

impl Make {
    fn plain(kind: Kind, mode: Mode) -> Self {
        Self { kind, mode, rdev: 0, target: None }
    }
}

fn make(tables: &mut Tables, caller: Caller, parent: Ino, name: &[u8], make: Make) -> Result<Attr, Errno> {
    let directory = tables.attr(parent).ok_or(Errno::STALE)?;
    let inherits = directory.mode & SGID != 0;
    let begins = Inherited::from(tables, parent, make.kind, make.mode.bits & MODE_BITS, make.mode.umask);
    let new = NewNode {
        kind: make.kind,
        mode: if inherits && make.kind == Kind::Dir { begins.mode | SGID } else { begins.mode },
        uid: caller.uid,
        gid: if inherits { directory.gid } else { caller.gid },
        rdev: make.rdev,
        target: make.target,
    };
    let ino = tables.insert(parent, name, new).map_err(from_engine)?;
    if let Err(error) = begins.apply(tables, ino) {
        // Without its list the mode's group bits would grant more than was meant.
        tables.remove_link(parent, name).map_err(from_engine)?;
        return Err(error);
    }
    hand_out(tables, ino)
}
