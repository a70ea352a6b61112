//! One of the two trees: does an operation and says what a program would learn from it.

use super::operation::{Allocate, Operation, Rename, SetXattr};
use freehold_tests::pseudo_random;
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid,
    XattrFlags,
};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Open files at most.
pub(super) const SLOTS: usize = 6;

/// Times before this second, the first of 2020, come from a program and not from a clock.
const CLOCKS_FROM: i64 = 1_577_836_800;

/// What an operation returned.
pub(super) type Answer = Result<Vec<u8>, Errno>;

/// Whether a time of modification comes from a clock.
pub(super) fn recent(meta: &Metadata) -> bool {
    meta.mtime() >= CLOCKS_FROM
}

/// A tree and its open files.
pub(super) struct Side {
    root: PathBuf,
    open: [Option<File>; SLOTS],
}

impl Side {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), open: Default::default() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn close_all(&mut self) {
        self.open = Default::default();
    }

    /// Does it.
    pub(super) fn apply(&mut self, operation: &Operation) -> Answer {
        use Operation as Do;
        match operation {
            Do::Open { slot, .. } => {
                self.open[*slot] = None;
                self.open[*slot] = Some(self.opened(operation)?);
                done(Ok(()))
            }
            Do::Close { slot } => self.open[*slot].take().map(|_| Vec::new()).ok_or(Errno::BADF),
            Do::Write { slot, .. }
            | Do::Read { slot, .. }
            | Do::SetLen { slot, .. }
            | Do::Allocate { slot, .. }
            | Do::Sync { slot, .. }
            | Do::StatOpen { slot } => on_file(self.file(*slot)?, operation),
            Do::Copy { from, from_offset, to, to_offset, len } => {
                copy(self.file(*from)?, *from_offset, self.file(*to)?, *to_offset, *len)
            }
            Do::Rename { from, to, how } => {
                let flags = match how {
                    Rename::Replace => RenameFlags::empty(),
                    Rename::NoReplace => RenameFlags::NOREPLACE,
                    Rename::Exchange => RenameFlags::EXCHANGE,
                };
                done(rustix::fs::renameat_with(CWD, self.at(from), CWD, self.at(to), flags))
            }
            Do::Link { from, to } => {
                done(rustix::fs::linkat(CWD, self.at(from), CWD, self.at(to), AtFlags::empty()))
            }
            Do::MakeDir { path, .. }
            | Do::RemoveDir { path }
            | Do::Unlink { path }
            | Do::Symlink { path, .. }
            | Do::ReadLink { path }
            | Do::Fifo { path, .. }
            | Do::List { path } => on_name(&self.at(path), operation),
            Do::Chmod { path, .. }
            | Do::Chown { path, .. }
            | Do::Times { path, .. }
            | Do::SetXattr { path, .. }
            | Do::GetXattr { path, .. }
            | Do::ListXattr { path }
            | Do::RemoveXattr { path, .. }
            | Do::Truncate { path, .. }
            | Do::Stat { path }
            | Do::ReadFile { path } => on_node(&self.at(path), operation),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn file(&self, slot: usize) -> Result<&File, Errno> {
        self.open[slot].as_ref().ok_or(Errno::BADF)
    }

    fn opened(&self, operation: &Operation) -> Result<File, Errno> {
        let Operation::Open { path, create, exclusive, truncate, append, mode, .. } = operation else {
            return Err(Errno::INVAL);
        };
        // A fifo without a reader would wait for one.
        let mut flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        flags.set(OFlags::CREATE, *create);
        flags.set(OFlags::EXCL, *create && *exclusive);
        flags.set(OFlags::TRUNC, *truncate);
        flags.set(OFlags::APPEND, *append);
        Ok(File::from(rustix::fs::open(self.at(path), flags, Mode::from_raw_mode(*mode))?))
    }
}

fn done(outcome: rustix::io::Result<()>) -> Answer {
    outcome.map(|()| Vec::new())
}

fn told(text: String) -> Answer {
    Ok(text.into_bytes())
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn on_file(file: &File, operation: &Operation) -> Answer {
    match operation {
        Operation::Write { offset, len, seed, .. } => {
            told(rustix::io::pwrite(file, &pseudo_random(*seed, *len), *offset)?.to_string())
        }
        Operation::Read { offset, len, .. } => {
            let mut bytes = vec![0; *len];
            let read = rustix::io::pread(file, &mut bytes, *offset)?;
            bytes.truncate(read);
            Ok(bytes)
        }
        Operation::SetLen { len_bytes, .. } => done(rustix::fs::ftruncate(file, *len_bytes)),
        Operation::Allocate { how, offset, len, .. } => {
            let flags = match how {
                Allocate::Grow => FallocateFlags::empty(),
                Allocate::KeepSize => FallocateFlags::KEEP_SIZE,
                Allocate::Punch => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                Allocate::Zero => FallocateFlags::ZERO_RANGE,
                Allocate::ZeroKeepSize => FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
            };
            done(rustix::fs::fallocate(file, flags, *offset, *len))
        }
        Operation::Sync { only_data: true, .. } => done(rustix::fs::fdatasync(file)),
        Operation::Sync { .. } => done(rustix::fs::fsync(file)),
        _ => shown(&file.metadata().map_err(|error| errno(&error))?),
    }
}

/// Copies until nothing more comes: how much one call does is the file system's choice.
fn copy(from: &File, from_offset: u64, to: &File, to_offset: u64, len: usize) -> Answer {
    let (mut at, mut to_at, mut left) = (from_offset, to_offset, len);
    loop {
        let copied = rustix::fs::copy_file_range(from, Some(&mut at), to, Some(&mut to_at), left)?;
        left -= copied;
        if copied == 0 || left == 0 {
            return told((len - left).to_string());
        }
    }
}

fn on_name(path: &Path, operation: &Operation) -> Answer {
    match operation {
        Operation::MakeDir { mode, .. } => done(rustix::fs::mkdir(path, Mode::from_raw_mode(*mode))),
        Operation::RemoveDir { .. } => done(rustix::fs::rmdir(path)),
        Operation::Unlink { .. } => done(rustix::fs::unlink(path)),
        Operation::Symlink { target, .. } => done(rustix::fs::symlink(target.as_str(), path)),
        Operation::ReadLink { .. } => Ok(rustix::fs::readlink(path, Vec::new())?.into_bytes()),
        Operation::Fifo { mode, .. } => {
            done(rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(*mode), 0))
        }
        _ => {
            let mut names = BTreeSet::new();
            for entry in std::fs::read_dir(path).map_err(|error| errno(&error))? {
                let entry = entry.map_err(|error| errno(&error))?;
                let kind = entry.file_type().map_err(|error| errno(&error))?;
                let is_new = names.insert(format!("{:?} {kind:?}", entry.file_name()));
                assert!(is_new, "a name is listed twice: {}", entry.path().display());
            }
            told(format!("{names:?}"))
        }
    }
}

fn on_node(path: &Path, operation: &Operation) -> Answer {
    match operation {
        Operation::Chmod { mode, .. } => done(rustix::fs::chmod(path, Mode::from_raw_mode(*mode))),
        Operation::Chown { uid, gid, .. } => {
            let (uid, gid) = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
            done(rustix::fs::chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW))
        }
        Operation::Times { accessed, modified, .. } => {
            let time = |(tv_sec, tv_nsec): (i64, i64)| Timespec { tv_sec, tv_nsec };
            let times = Timestamps { last_access: time(*accessed), last_modification: time(*modified) };
            rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
            let meta = path.symlink_metadata().map_err(|error| errno(&error))?;
            told(format!("{}.{} {}.{}", meta.atime(), meta.atime_nsec(), meta.mtime(), meta.mtime_nsec()))
        }
        Operation::Truncate { len_bytes, .. } => {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
            done(rustix::fs::ftruncate(rustix::fs::open(path, flags, Mode::empty())?, *len_bytes))
        }
        Operation::Stat { .. } => shown(&path.symlink_metadata().map_err(|error| errno(&error))?),
        Operation::ReadFile { .. } => match path.symlink_metadata() {
            // Nobody writes to a fifo.
            Ok(meta) if meta.file_type().is_fifo() => Ok(Vec::new()),
            // Behind a symlink there may be one as well.
            Ok(meta) if meta.is_symlink() && path.metadata().is_ok_and(|meta| meta.file_type().is_fifo()) => {
                Ok(Vec::new())
            }
            _ => std::fs::read(path).map_err(|error| errno(&error)),
        },
        _ => on_attributes(path, operation),
    }
}

fn on_attributes(path: &Path, operation: &Operation) -> Answer {
    match operation {
        Operation::SetXattr { name, len, seed, how, .. } => {
            let flags = match how {
                SetXattr::Any => XattrFlags::empty(),
                SetXattr::Create => XattrFlags::CREATE,
                SetXattr::Replace => XattrFlags::REPLACE,
            };
            done(rustix::fs::lsetxattr(path, name.as_str(), &pseudo_random(*seed, *len), flags))
        }
        Operation::GetXattr { name, .. } => {
            let mut value = vec![0; 1_000];
            let len = rustix::fs::lgetxattr(path, name.as_str(), &mut value)?;
            value.truncate(len);
            Ok(value)
        }
        Operation::RemoveXattr { name, .. } => done(rustix::fs::lremovexattr(path, name.as_str())),
        _ => {
            let mut names = vec![0; 4_000];
            let len = rustix::fs::llistxattr(path, &mut names)?;
            let names: BTreeSet<&[u8]> =
                names[..len].split(|byte| *byte == 0).filter(|name| name.starts_with(b"user.")).collect();
            Ok(names.into_iter().collect::<Vec<_>>().join(&0))
        }
    }
}

/// What stat says, without what each file system chooses for itself.
fn shown(meta: &Metadata) -> Answer {
    let times =
        if recent(meta) { "recent".into() } else { format!("{}.{}", meta.mtime(), meta.mtime_nsec()) };
    let sizes = match meta.is_dir() {
        true => String::new(),
        false => format!(" {} links, {} bytes", meta.nlink(), meta.len()),
    };
    told(format!("{:o} {}:{}{sizes}, {times}", meta.mode(), meta.uid(), meta.gid()))
}
