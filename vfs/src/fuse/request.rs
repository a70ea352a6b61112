//! A request as the kernel sends it, made into what it asks for.
//!
//! The classic device hands over one run of bytes: header, fixed arguments, then names and data. A
//! ring has three places: header, fixed arguments, and a payload with the rest. [`Args`] is both;
//! the operations are read the same way from either.

use freehold_engine::{Ino, Time};
use zerocopy::FromBytes;

use super::abi::{
    self, BatchForgetIn, CopyFileRangeIn, CreateIn, FallocateIn, ForgetOne, GetXattrIn, InHeader, MkdirIn,
    MknodIn, ReadIn, Rename2In, SetAttrIn, SetXattrIn, WriteIn, fattr, opcode,
};
use crate::fs::{Caller, CopyRange, Mode, Rename, SetAttr, Write};
use crate::time;

/// What follows a request's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Args<'a> {
    /// The operation's structure, if it has one; on the classic device everything else after it.
    pub(super) fixed: &'a [u8],
    /// Where names and data are, if they have a place of their own.
    pub(super) payload: Option<&'a [u8]>,
}

/// The bytes are no request of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// One request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) node: Ino,
    pub(super) caller: Caller,
    pub(super) op: Op<'a>,
}

/// How long a request may take to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Microseconds; now and then a read of the disk.
    Light,
    /// A short READ or WRITE, which may have to wait for the disk.
    Short,
    /// It moves so much that starting another thread is nothing beside it.
    Bulk,
    /// It waits for the disk.
    Waits,
}

/// Data that takes longer to move than a thread takes to wake, in bytes.
const BULK_BYTES: u32 = 128 * 1024;

/// What a request asks for, of the node or in the directory it names.
#[derive(Debug)]
pub(super) enum Op<'a> {
    Lookup {
        name: &'a [u8],
    },
    Forget {
        lookups: u64,
    },
    BatchForget {
        nodes: &'a [u8],
    },
    GetAttr,
    SetAttr(SetAttr),
    ReadLink,
    Symlink {
        name: &'a [u8],
        target: &'a [u8],
    },
    Mknod {
        name: &'a [u8],
        mode: Mode,
        rdev: u32,
    },
    Mkdir {
        name: &'a [u8],
        mode: Mode,
    },
    Unlink {
        name: &'a [u8],
    },
    Rmdir {
        name: &'a [u8],
    },
    Rename(Rename<'a>),
    Link {
        node: Ino,
        name: &'a [u8],
    },
    Open,
    Create {
        name: &'a [u8],
        mode: Mode,
        flags: i32,
    },
    Read {
        offset: u64,
        size: u32,
    },
    Write(Write<'a>),
    StatFs,
    Release,
    ReleaseDir,
    Fsync,
    SetXattr {
        name: &'a [u8],
        value: &'a [u8],
        flags: i32,
    },
    GetXattr {
        name: &'a [u8],
        size: u32,
    },
    ListXattr {
        size: u32,
    },
    RemoveXattr {
        name: &'a [u8],
    },
    ReadDir {
        offset: u64,
        size: u32,
    },
    ReadDirPlus {
        offset: u64,
        size: u32,
    },
    Fallocate {
        offset: u64,
        len: u64,
        mode: i32,
    },
    CopyFileRange(CopyRange),
    Ioctl,
    Destroy,
    /// Anything else: not done here, and the kernel is to remember that.
    Other,
}

impl<'a> Args<'a> {
    /// The operation's structure, and what follows it.
    fn split<T: FromBytes>(self) -> Result<(T, &'a [u8]), Malformed> {
        let (fixed, after) = T::read_from_prefix(self.fixed).map_err(|_| Malformed)?;
        Ok((fixed, self.payload.unwrap_or(after)))
    }

    fn only<T: FromBytes>(self) -> Result<T, Malformed> {
        self.split().map(|(fixed, _)| fixed)
    }

    /// What an operation without a structure has.
    fn rest(self) -> &'a [u8] {
        self.payload.unwrap_or(self.fixed)
    }

    fn name(self) -> Result<&'a [u8], Malformed> {
        name(self.rest()).map(|(name, _)| name)
    }
}

/// A name up to its zero byte, and what follows that.
fn name(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let end = bytes.iter().position(|byte| *byte == 0).ok_or(Malformed)?;
    Ok((&bytes[..end], &bytes[end + 1..]))
}

impl<'a> Request<'a> {
    /// Reads the operation that `header` announces.
    pub(super) fn parse(header: &InHeader, args: Args<'a>) -> Result<Self, Malformed> {
        let caller = Caller { uid: header.uid, gid: header.gid };
        Ok(Self { node: header.nodeid, caller, op: Op::parse(header, args)? })
    }
}

impl<'a> Op<'a> {
    /// How long it may take.
    pub(super) fn weight(&self) -> Weight {
        match self {
            Self::Fsync => Weight::Waits,
            Self::Read { size, .. } if *size >= BULK_BYTES => Weight::Bulk,
            Self::Write(write) if write.data.len() >= BULK_BYTES as usize => Weight::Bulk,
            Self::Read { .. } | Self::Write(_) => Weight::Short,
            _ => Weight::Light,
        }
    }

    /// What the log calls it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Lookup { .. } => "LOOKUP",
            Self::Forget { .. } | Self::BatchForget { .. } => "FORGET",
            Self::GetAttr => "GETATTR",
            Self::SetAttr(_) => "SETATTR",
            Self::ReadLink => "READLINK",
            Self::Symlink { .. } => "SYMLINK",
            Self::Mknod { .. } => "MKNOD",
            Self::Mkdir { .. } => "MKDIR",
            Self::Unlink { .. } => "UNLINK",
            Self::Rmdir { .. } => "RMDIR",
            Self::Rename(_) => "RENAME",
            Self::Link { .. } => "LINK",
            Self::Open => "OPEN",
            Self::Create { .. } => "CREATE",
            Self::Read { .. } => "READ",
            Self::Write(_) => "WRITE",
            Self::StatFs => "STATFS",
            Self::Release | Self::ReleaseDir => "RELEASE",
            Self::Fsync => "FSYNC",
            Self::SetXattr { .. } => "SETXATTR",
            Self::GetXattr { .. } => "GETXATTR",
            Self::ListXattr { .. } => "LISTXATTR",
            Self::RemoveXattr { .. } => "REMOVEXATTR",
            Self::ReadDir { .. } => "READDIR",
            Self::ReadDirPlus { .. } => "READDIRPLUS",
            Self::Fallocate { .. } => "FALLOCATE",
            Self::CopyFileRange(_) => "COPY_FILE_RANGE",
            Self::Ioctl => "IOCTL",
            Self::Destroy => "DESTROY",
            Self::Other => "OTHER",
        }
    }

    fn parse(header: &InHeader, args: Args<'a>) -> Result<Self, Malformed> {
        Ok(match header.opcode {
            opcode::LOOKUP => Self::Lookup { name: args.name()? },
            opcode::FORGET => Self::Forget { lookups: args.only()? },
            opcode::BATCH_FORGET => {
                let (BatchForgetIn { count, .. }, nodes) = args.split()?;
                let len = usize::try_from(count).map_err(|_| Malformed)? * size_of::<ForgetOne>();
                Self::BatchForget { nodes: nodes.get(..len).ok_or(Malformed)? }
            }
            opcode::GETATTR => Self::GetAttr,
            opcode::SETATTR => Self::SetAttr(set_attr(&args.only()?)),
            opcode::READLINK => Self::ReadLink,
            opcode::OPEN => Self::Open,
            opcode::READ => {
                let ReadIn { offset, size, .. } = args.only()?;
                Self::Read { offset, size }
            }
            opcode::WRITE => Self::write(args)?,
            opcode::STATFS => Self::StatFs,
            opcode::RELEASE => Self::Release,
            opcode::RELEASEDIR => Self::ReleaseDir,
            opcode::FSYNC | opcode::FSYNCDIR => Self::Fsync,
            opcode::READDIR => {
                let ReadIn { offset, size, .. } = args.only()?;
                Self::ReadDir { offset, size }
            }
            opcode::READDIRPLUS => {
                let ReadIn { offset, size, .. } = args.only()?;
                Self::ReadDirPlus { offset, size }
            }
            opcode::FALLOCATE => {
                let FallocateIn { offset, length, mode, .. } = args.only()?;
                Self::Fallocate { offset, len: length, mode: mode.cast_signed() }
            }
            opcode::COPY_FILE_RANGE => {
                let CopyFileRangeIn { from_offset, to_node, to_offset, len, .. } = args.only()?;
                Self::CopyFileRange(CopyRange {
                    from: header.nodeid,
                    from_offset,
                    to: to_node,
                    to_offset,
                    len,
                })
            }
            opcode::IOCTL => Self::Ioctl,
            opcode::DESTROY => Self::Destroy,
            opcode::SETXATTR | opcode::GETXATTR | opcode::LISTXATTR | opcode::REMOVEXATTR => {
                Self::xattr(header.opcode, args)?
            }
            _ => return Self::names(header, args),
        })
    }

    /// The operations that make, move and remove names.
    fn names(header: &InHeader, args: Args<'a>) -> Result<Self, Malformed> {
        Ok(match header.opcode {
            opcode::SYMLINK => {
                let (name, after) = name(args.rest())?;
                let target = self::name(after)?.0;
                Self::Symlink { name, target }
            }
            opcode::MKNOD => {
                let (MknodIn { mode, rdev, umask, .. }, rest) = args.split()?;
                Self::Mknod { name: name(rest)?.0, mode: Mode { bits: mode, umask }, rdev }
            }
            opcode::MKDIR => {
                let (MkdirIn { mode, umask }, rest) = args.split()?;
                Self::Mkdir { name: name(rest)?.0, mode: Mode { bits: mode, umask } }
            }
            opcode::CREATE => {
                let (CreateIn { flags, mode, umask, .. }, rest) = args.split()?;
                let mode = Mode { bits: mode, umask };
                Self::Create { name: name(rest)?.0, mode, flags: flags.cast_signed() }
            }
            opcode::UNLINK => Self::Unlink { name: args.name()? },
            opcode::RMDIR => Self::Rmdir { name: args.name()? },
            opcode::RENAME => {
                let (new_dir, rest) = args.split::<u64>()?;
                Self::rename(header, new_dir, 0, rest)?
            }
            opcode::RENAME2 => {
                let (Rename2In { new_dir, flags, .. }, rest) = args.split()?;
                Self::rename(header, new_dir, flags, rest)?
            }
            opcode::LINK => {
                let (node, rest) = args.split::<u64>()?;
                Self::Link { node, name: name(rest)?.0 }
            }
            _ => Self::Other,
        })
    }

    fn rename(header: &InHeader, new_dir: u64, flags: u32, names: &'a [u8]) -> Result<Self, Malformed> {
        let (from, after) = name(names)?;
        let (to, _) = name(after)?;
        Ok(Self::Rename(Rename { from: (header.nodeid, from), to: (new_dir, to), flags }))
    }

    fn write(args: Args<'a>) -> Result<Self, Malformed> {
        let (WriteIn { offset, size, write_flags, .. }, data) = args.split()?;
        let len = usize::try_from(size).map_err(|_| Malformed)?;
        Ok(Self::Write(Write {
            offset,
            data: data.get(..len).ok_or(Malformed)?,
            from_cache: write_flags & abi::WRITE_CACHE != 0,
            kill_suid: write_flags & abi::WRITE_KILL_SUIDGID != 0,
        }))
    }

    fn xattr(opcode: u32, args: Args<'a>) -> Result<Self, Malformed> {
        Ok(match opcode {
            opcode::SETXATTR => {
                let (SetXattrIn { size, flags }, rest) = args.split()?;
                let (name, value) = name(rest)?;
                let len = usize::try_from(size).map_err(|_| Malformed)?;
                let value = value.get(..len).ok_or(Malformed)?;
                Self::SetXattr { name, value, flags: flags.cast_signed() }
            }
            opcode::GETXATTR => {
                let (GetXattrIn { size, .. }, rest) = args.split()?;
                Self::GetXattr { name: name(rest)?.0, size }
            }
            opcode::LISTXATTR => {
                let GetXattrIn { size, .. } = args.only()?;
                Self::ListXattr { size }
            }
            _ => Self::RemoveXattr { name: args.name()? },
        })
    }
}

fn set_attr(set: &SetAttrIn) -> SetAttr {
    let has = |bit| set.valid & bit != 0;
    let at = |bit, now, secs, nanos| match (has(now), has(bit)) {
        (true, _) => Some(time::now()),
        (false, true) => Some(Time { secs, nanos }),
        (false, false) => None,
    };
    SetAttr {
        mode: has(fattr::MODE).then_some(set.mode),
        uid: has(fattr::UID).then_some(set.uid),
        gid: has(fattr::GID).then_some(set.gid),
        size: has(fattr::SIZE).then_some(set.size),
        atime: at(fattr::ATIME, fattr::ATIME_NOW, set.atime, set.atime_nanos),
        mtime: at(fattr::MTIME, fattr::MTIME_NOW, set.mtime, set.mtime_nanos),
        ctime: has(fattr::CTIME).then_some(Time { secs: set.ctime, nanos: set.ctime_nanos }),
    }
}
